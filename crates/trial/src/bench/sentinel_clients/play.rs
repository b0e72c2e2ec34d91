//! One group with all clients on it, its changes of master, and what each client met in each.
//!
//! It tells no client of a change. What is waited for is what the clients say themselves.

use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use redis_failover_lab::{Account, Connection, Redis, Reply};
use tokio::time::sleep;

use super::log::{At, Log};
use super::process::{Client, Program};
use super::{Change, Side};
use crate::attempt::attempt;
use crate::bench::group::{Group, Wiring};
use crate::failure::Failure;

/// How long a change, and a client, may take.
const LIMIT: Duration = Duration::from_secs(40);

/// How often it is looked.
const LOOK: Duration = Duration::from_millis(20);

/// From one command to sentinels that are not ready for it to the next.
const PAUSE: Duration = Duration::from_millis(200);

/// So many writes, and so many reads from replicas, are enough to say that a client gets on.
const WRITES: usize = 50;
const READS: usize = 5;

/// What one client met in one change.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Seen {
    pub change: Change,
    /// What it is called on the command line.
    pub client: String,
    /// What it calls itself.
    pub title: String,
    /// The longest time without a confirmed write.
    pub pause: Duration,
    /// How many writes failed, and one of the errors.
    pub errors: usize,
    pub error: Option<String>,
    /// How many reads failed.
    pub read_errors: usize,
    /// How many reads replicas answered once the client had reached the new master, and how many others did.
    pub of_replicas: usize,
    pub of_master: usize,
    /// Confirmed writes that the new master does not hold.
    pub lost: usize,
    /// Those among them that were confirmed after the client had reached the new master.
    pub lost_after: usize,
}

/// Those whom clients ask, and what these call the group.
struct Sentinels {
    addresses: Vec<String>,
    group: String,
}

/// Plays all changes on a group of its own.
pub(super) async fn play(side: Side, programs: &[Program], folder: &Path) -> Result<Vec<Seen>, Failure> {
    let mut group = match side {
        Side::Ours => Group::with_endpoints(&[], folder).await?,
        Side::Sentinel => Group::with_sentinels(&[], Wiring::Direct).await?,
    };
    let (addresses, name) = group.sentinels().ok_or_else(|| Failure::new("nobody answers as a sentinel"))?;
    let sentinels = Sentinels { addresses, group: name };
    let start = |program| Client::start(program, &sentinels.addresses, &sentinels.group, folder);
    let mut clients: Vec<_> = programs.iter().map(start).collect::<Result<_, _>>()?;
    let first = settled(&group, &sentinels).await?;
    await_reads(&mut clients, &group.server(first).addr()).await?;
    let mut seen = Vec::new();
    for change in Change::ALL {
        let old = settled(&group, &sentinels).await?;
        let from = group.server(old).addr();
        all_get_on(&mut clients, &from, now()?, "before the change").await?;
        let before =
            clients.iter().map(|client| missing(client, group.server(old))).collect::<Result<_, _>>()?;
        let began = now()?;
        match change {
            Change::Switchover => sentinels.fail_over().await?,
            Change::Kill => attempt(|| group.redis(old).kill())?,
        }
        let new = successor(&group, &from).await?;
        all_get_on(&mut clients, &group.server(new).addr(), began, "after the change").await?;
        seen.extend(counted(change, &clients, group.server(new), began, before)?);
    }
    Ok(seen)
}

/// What each client met in a change that began then and made a master of this server, which had lacked `before`.
fn counted(
    change: Change,
    clients: &[Client],
    master: &Redis,
    began: At,
    before: Vec<Vec<u64>>,
) -> Result<Vec<Seen>, Failure> {
    let of = |(client, before): (&Client, Vec<u64>)| {
        let log = &client.log;
        let arrived = log.arrived(&master.addr(), began).unwrap_or(At::MAX);
        let lost: Vec<_> =
            missing(client, master)?.into_iter().filter(|number| !before.contains(number)).collect();
        let is_after = |number: &&u64| log.writes.iter().any(|it| it.number == **number && it.at > arrived);
        Ok(Seen {
            change,
            client: client.name.clone(),
            title: client.title().to_owned(),
            pause: log.pause(began),
            errors: log.errors_after(began).count(),
            error: log.errors_after(began).next().map(str::to_owned),
            read_errors: log.read_errors.iter().filter(|(at, _)| *at > began).count(),
            of_replicas: log.read_after(arrived, &master.addr()),
            of_master: log.reads.iter().filter(|it| it.at > arrived).count()
                - log.read_after(arrived, &master.addr()),
            lost_after: lost.iter().filter(is_after).count(),
            lost: lost.len(),
        })
    };
    clients.iter().zip(before).map(of).collect()
}

/// Waits until every client has read from replicas.
async fn await_reads(clients: &mut [Client], master: &str) -> Result<(), Failure> {
    await_all(clients, "at the start", |log| {
        let (reads, last, error) =
            (log.read_after(At::ZERO, master), log.reads.last(), log.read_errors.last());
        let told =
            || format!("{reads} reads from replicas; the last read is {last:?}, the last error {error:?}");
        if reads < READS { Err(told()) } else { Ok(()) }
    })
    .await
}

/// Waits until every client has got on after `since`: it writes to `master`, and reads. From whom is up to it: redis-py
/// reads from the master as long as that answers, once it was told of no replica.
async fn all_get_on(clients: &mut [Client], master: &str, since: At, when: &str) -> Result<(), Failure> {
    await_all(clients, when, |log| gets_on(log, master, since)).await
}

/// Waits until all that every client has said is as it should be.
async fn await_all(
    clients: &mut [Client],
    when: &str,
    content: impl Fn(&Log) -> Result<(), String>,
) -> Result<(), Failure> {
    let began = Instant::now();
    for client in clients {
        client.look()?;
        while let Err(reason) = content(&client.log) {
            if began.elapsed() > LIMIT {
                let (limit, name) = (LIMIT.as_secs(), &client.name);
                return Err(Failure::new(format!("{when} {name} does not get on in {limit} s: {reason}")));
            }
            sleep(LOOK).await;
            client.look()?;
        }
    }
    Ok(())
}

fn gets_on(log: &Log, master: &str, since: At) -> Result<(), String> {
    let Some(arrived) = log.arrived(master, since) else {
        let took = log.took.last();
        return Err(format!(
            "{master} leads, it wrote last to {took:?}, its last error is {:?}",
            log.errors.last()
        ));
    };
    let (writes, reads) =
        (log.written_after(arrived), log.reads.iter().filter(|read| read.at > arrived).count());
    if writes < WRITES || reads < READS {
        return Err(format!(
            "{writes} writes and {reads} reads; the last error is {:?}",
            log.read_errors.last()
        ));
    }
    Ok(())
}

/// The confirmed writes that this server does not hold.
fn missing(client: &Client, server: &Redis) -> Result<Vec<u64>, Failure> {
    let mut account = Account::new(&client.name);
    client.log.writes.iter().for_each(|write| account.acknowledge(write.number, Instant::now()));
    let lost = attempt(|| account.lost(server))?.map_err(Failure::new)?;
    Ok(lost.iter().map(|write| write.number).collect())
}

/// Waits until the group is steady, and all sentinels say so; returns the master.
async fn settled(group: &Group, sentinels: &Sentinels) -> Result<usize, Failure> {
    let began = Instant::now();
    loop {
        let master = group.steady("before the change").await?;
        let said = attempt(|| sentinels.all_name(&group.server(master).addr()))?;
        match said {
            Ok(()) => return Ok(master),
            Err(reason) if began.elapsed() > LIMIT => {
                return Err(Failure::new(format!("not settled in {} s: {reason}", LIMIT.as_secs())));
            }
            Err(_) => sleep(LOOK).await,
        }
    }
}

/// Waits until another than the server at this address is named as the master.
async fn successor(group: &Group, old: &str) -> Result<usize, Failure> {
    let (finder, began) = (group.finder(), Instant::now());
    loop {
        match finder.master().await {
            Some(master) if master != old => return group.index(&master),
            _ if began.elapsed() > LIMIT => {
                return Err(Failure::new(format!("nobody takes over in {} s", LIMIT.as_secs())));
            }
            _ => sleep(LOOK).await,
        }
    }
}

impl Sentinels {
    /// Asks one of them for a change of master, again only where it says that it is not ready for that.
    async fn fail_over(&self) -> Result<(), Failure> {
        let began = Instant::now();
        let address = self.addresses.first().ok_or_else(|| Failure::new("there is no sentinel"))?;
        loop {
            let order = || Ok(open(address)?.command(&["SENTINEL", "FAILOVER", &self.group]));
            let answer = attempt(order)?.map_err(|error: String| Failure::new(error))?;
            match answer {
                Ok(Reply::Error(error)) => {
                    let is_early = ["INPROG", "NOGOODSLAVE"].iter().any(|code| error.starts_with(code));
                    if !is_early || began.elapsed() > LIMIT {
                        return Err(Failure::new(error).within("failover"));
                    }
                    sleep(PAUSE).await;
                }
                // Who answers when all is done may take longer than this waits: asked again, it would do it twice.
                Ok(_) | Err(_) => return Ok(()),
            }
        }
    }

    /// Whether all of them say that the server at this address leads two replicas, and that nothing is going on.
    fn all_name(&self, address: &str) -> Result<(), String> {
        let (host, port) = address.rsplit_once(':').ok_or("an address has a port")?;
        let wanted = [
            ("ip", host),
            ("port", port),
            ("flags", "master"),
            ("num-slaves", "2"),
            ("num-other-sentinels", "2"),
        ];
        for sentinel in &self.addresses {
            let Reply::Array(fields) = ask(sentinel, &["SENTINEL", "MASTER", &self.group])? else {
                return Err(format!("{sentinel} describes no master"));
            };
            for (name, wanted) in wanted {
                let field = fields.chunks(2).find(|pair| pair[0] == Reply::Bulk(name.to_owned()));
                match field.and_then(|pair| pair.get(1)) {
                    Some(Reply::Bulk(value)) if value == wanted => {}
                    other => return Err(format!("{sentinel} says {name}: {other:?}, not {wanted}")),
                }
            }
        }
        Ok(())
    }
}

/// Asks at this address.
fn ask(address: &str, words: &[&str]) -> Result<Reply, String> {
    open(address)?.command(words)?.into_result()
}

fn open(address: &str) -> Result<Connection, String> {
    Connection::open(address.parse().map_err(|error| format!("{address}: {error}"))?)
}

/// The time, as the clients have it.
fn now() -> Result<At, Failure> {
    SystemTime::now().duration_since(UNIX_EPOCH).map_err(Failure::new)
}
