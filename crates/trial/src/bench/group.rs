//! Three Redis servers and who watches over them, for measurements that harm them.
//!
//! It starts them, says who leads, and ends them when it is dropped. It never decides what is done to them.

use std::net::Ipv4Addr;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use redis_failover::{Builder, Client, ReadFrom};
use redis_failover_lab::{
    Account, Flavour, Process, Redis, RedisBuilder, Reply, Sentinel, ZooKeeper, free_port,
};
use redis_failover_store::ZooKeeper as Session;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::finder::Finder;
use crate::attempt::attempt;
use crate::failure::Failure;
use crate::monitors::{self, Monitors};
use crate::servers::all_follow;
use crate::shipped::program;

/// How long anything may take that is not what is measured.
const LIMIT: Duration = Duration::from_secs(40);

/// How often servers are asked whether they are what is waited for.
const LOOK: Duration = Duration::from_millis(50);

/// How long a master may be silent before it counts as down: the default of our policy, and given to Sentinel, too.
const DOWN_AFTER: Duration = Duration::from_secs(1);

/// The time-out of sessions with `ZooKeeper`: the default of the client.
const SESSION: Duration = Duration::from_secs(10);

/// A master, two replicas, and three who watch over them.
#[derive(Debug)]
pub(super) struct Group {
    // Before the servers, because fields are dropped in this order: nobody fails over what is being ended.
    guardian: Guardian,
    redis: Vec<Redis>,
}

/// What is between the servers and all others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wiring {
    /// Nothing.
    Direct,
    /// A link before each server, so that it can be cut off.
    Linked,
}

/// Who watches over a group.
#[derive(Debug)]
enum Guardian {
    /// Our monitors, in this process.
    Monitors { _monitors: Monitors, client: Client },
    /// The same on a `ZooKeeper` that each of them, and each client, has a session with.
    Ensemble { _monitors: JoinSet<()>, client: Client, zookeeper: ZooKeeper },
    /// The program as it is shipped, a process for each monitor.
    Shipped { _monitors: Vec<Process>, client: Client, zookeeper: ZooKeeper, endpoints: Vec<String> },
    /// Redis Sentinel.
    Sentinels(Vec<Sentinel>),
}

impl Group {
    /// Starts servers with these configuration lines and our monitors over them; returns when all follow one master.
    pub(super) async fn with_monitors(options: &[(&str, &str)], wiring: Wiring) -> Result<Self, Failure> {
        let start = |index| attempt(|| builder(options, wiring, index).start());
        let redis: Vec<_> = (0..3).map(start).collect::<Result<_, _>>()?;
        let monitors = Monitors::start(&redis)?;
        let client = monitors.client(ReadFrom::Master)?;
        client.ready(LIMIT).await.map_err(Failure::new)?;
        let group = Self { guardian: Guardian::Monitors { _monitors: monitors, client }, redis };
        group.steady("at the start").await?;
        Ok(group)
    }

    /// The same with the record in a `ZooKeeper` of one server.
    pub(super) async fn with_zookeeper(options: &[(&str, &str)]) -> Result<Self, Failure> {
        let start = |index| attempt(|| builder(options, Wiring::Direct, index).start());
        let redis: Vec<_> = (0..3).map(start).collect::<Result<_, _>>()?;
        let zookeeper = attempt(|| ZooKeeper::start(1))?;
        let (servers, path) = (zookeeper.connect_string().parse().map_err(Failure::new)?, monitors::path()?);
        let session = || Session::connect(Clone::clone(&servers), SESSION).map_err(Failure::new);
        let running = monitors::spawn(&redis, || Ok(session()?.group(&path)))?;
        let client = builder_of_clients(&zookeeper).build().map_err(Failure::new)?;
        client.ready(LIMIT).await.map_err(Failure::new)?;
        let guardian = Guardian::Ensemble { _monitors: running, client, zookeeper };
        let group = Self { guardian, redis };
        group.steady("at the start").await?;
        Ok(group)
    }

    /// The same with the shipped program, whose journals and logs go to `folder`, on so many `ZooKeeper` servers.
    pub(super) async fn with_shipped_monitors(
        options: &[(&str, &str)],
        servers: usize,
        folder: &Path,
    ) -> Result<Self, Failure> {
        Self::shipped(options, servers, folder, &[]).await
    }

    /// The same on one `ZooKeeper` server, with an endpoint for clients of Redis Sentinel at each monitor.
    pub(super) async fn with_endpoints(options: &[(&str, &str)], folder: &Path) -> Result<Self, Failure> {
        let endpoints = attempt(|| monitors::NAMES.map(|_| format!("127.0.0.1:{}", free_port())))?;
        Self::shipped(options, 1, folder, &endpoints).await
    }

    async fn shipped(
        options: &[(&str, &str)],
        servers: usize,
        folder: &Path,
        endpoints: &[String],
    ) -> Result<Self, Failure> {
        let start = |index| attempt(|| builder(options, Wiring::Direct, index).start());
        let redis: Vec<_> = (0..3).map(start).collect::<Result<_, _>>()?;
        let zookeeper = attempt(|| ZooKeeper::start(servers))?;
        let spawn = |(index, name): (usize, &&str)| {
            spawn_shipped(name, &redis, &zookeeper, folder, endpoints.get(index))
        };
        let running = monitors::NAMES.iter().enumerate().map(spawn).collect::<Result<_, _>>()?;
        let client = builder_of_clients(&zookeeper).build().map_err(Failure::new)?;
        client.ready(LIMIT).await.map_err(Failure::new)?;
        let endpoints = endpoints.to_vec();
        let guardian = Guardian::Shipped { _monitors: running, client, zookeeper, endpoints };
        let group = Self { guardian, redis };
        group.steady("at the start").await?;
        Ok(group)
    }

    /// The same with three sentinels, of which two must agree.
    pub(super) async fn with_sentinels(options: &[(&str, &str)], wiring: Wiring) -> Result<Self, Failure> {
        Self::with_sentinels_of(Flavour::Installed, options, wiring).await
    }

    /// The same with servers and sentinels of this version.
    pub(super) async fn with_sentinels_of(
        flavour: Flavour,
        options: &[(&str, &str)],
        wiring: Wiring,
    ) -> Result<Self, Failure> {
        let builder = |index| builder(options, wiring, index).flavour(flavour);
        let master = attempt(|| builder(0).start())?;
        let replica = |index| attempt(|| builder(index).replica_of(&master).start());
        let (one, two) = (replica(1)?, replica(2)?);
        let sentinels = attempt(|| Sentinel::watch(&master, 2, DOWN_AFTER))?;
        let group = Self { guardian: Guardian::Sentinels(sentinels.into()), redis: vec![master, one, two] };
        group.steady("at the start").await?;
        Ok(group)
    }

    /// How an application finds the master.
    pub(super) fn finder(&self) -> Finder {
        match &self.guardian {
            Guardian::Monitors { client, .. }
            | Guardian::Ensemble { client, .. }
            | Guardian::Shipped { client, .. } => Finder::Published(client.clone()),
            Guardian::Sentinels(sentinels) => {
                Finder::Sentinels(sentinels.iter().map(Sentinel::addr).collect())
            }
        }
    }

    /// Whom clients of Redis Sentinel ask, and what these call the group.
    pub(super) fn sentinels(&self) -> Option<(Vec<String>, String)> {
        match &self.guardian {
            Guardian::Sentinels(sentinels) => {
                Some((sentinels.iter().map(Sentinel::addr).collect(), Sentinel::GROUP.to_owned()))
            }
            Guardian::Shipped { endpoints, .. } if !endpoints.is_empty() => {
                Some((endpoints.clone(), monitors::path().ok()?.name().to_owned()))
            }
            _ => None,
        }
    }

    /// The client library, where our monitors publish for it.
    pub(super) fn client(&self) -> Option<&Client> {
        match &self.guardian {
            Guardian::Monitors { client, .. }
            | Guardian::Ensemble { client, .. }
            | Guardian::Shipped { client, .. } => Some(client),
            Guardian::Sentinels(_) => None,
        }
    }

    /// Where others find its `ZooKeeper`, if it has one.
    pub(super) fn zookeeper(&self) -> Option<String> {
        match &self.guardian {
            Guardian::Ensemble { zookeeper, .. } | Guardian::Shipped { zookeeper, .. } => {
                Some(zookeeper.connect_string())
            }
            Guardian::Monitors { .. } | Guardian::Sentinels(_) => None,
        }
    }

    /// One more client with a session of its own, where there is a `ZooKeeper`.
    pub(super) fn another_client(&self) -> Result<Option<Client>, Failure> {
        match &self.guardian {
            Guardian::Ensemble { zookeeper, .. } | Guardian::Shipped { zookeeper, .. } => {
                builder_of_clients(zookeeper).build().map(Some).map_err(Failure::new)
            }
            Guardian::Monitors { .. } | Guardian::Sentinels(_) => Ok(None),
        }
    }

    /// Which server has this address.
    pub(super) fn index(&self, address: &str) -> Result<usize, Failure> {
        let index = self.redis.iter().position(|redis| redis.addr() == address);
        index.ok_or_else(|| Failure::new(format!("{address} is none of the servers")))
    }

    /// A server.
    pub(super) fn server(&self, index: usize) -> &Redis {
        &self.redis[index]
    }

    /// Where those on the servers' own hosts reach them.
    pub(super) fn local_addresses(&self) -> Vec<String> {
        self.redis.iter().map(Redis::local_addr).collect()
    }

    /// A server, to be harmed.
    pub(super) fn redis(&mut self, index: usize) -> &mut Redis {
        &mut self.redis[index]
    }

    /// Changes a setting of a server, and has it keep that over a restart.
    pub(super) fn configure(&self, index: usize, name: &str, value: &str) -> Result<(), Failure> {
        for words in [&["CONFIG", "SET", name, value][..], &["CONFIG", "REWRITE"]] {
            self.redis[index].command(words).and_then(Reply::into_result).map_err(Failure::new)?;
        }
        Ok(())
    }

    /// Waits until those who ask find a master that the others follow and that takes writes which reach them all.
    pub(super) async fn steady(&self, when: &str) -> Result<usize, Failure> {
        let finder = self.finder();
        let began = Instant::now();
        loop {
            let answer = match finder.master().await {
                Some(address) if self.is_recorded().await => attempt(|| self.is_steady(&address))?,
                Some(_) => Err("not all replicas are published as OK".to_owned()),
                None => Err("nobody names a master".to_owned()),
            };
            match answer {
                Ok(master) => return Ok(master),
                Err(reason) if began.elapsed() > LIMIT => {
                    let limit = LIMIT.as_secs();
                    return Err(Failure::new(format!(
                        "{when} the group is not steady in {limit} s: {reason}"
                    )));
                }
                Err(_) => sleep(LOOK).await,
            }
        }
    }

    /// Whether those who watch know that the replicas follow: before that they do not know what these hold.
    async fn is_recorded(&self) -> bool {
        match self.client() {
            Some(client) => client.topology().next().await.replicas.iter().all(|replica| replica.healthy),
            None => true,
        }
    }

    /// Which server has this address, if it leads the others.
    fn is_steady(&self, address: &str) -> Result<usize, String> {
        let master = self.index(address).map_err(|failure| failure.to_string())?;
        all_follow(&self.redis, master).map(|()| master)
    }

    /// Writes the keys of these numbers to server `master`, one after the other.
    pub(super) fn write(
        &self,
        master: usize,
        account: &mut Account,
        numbers: std::ops::Range<u64>,
    ) -> Result<(), Failure> {
        let write = || {
            let mut connection = self.redis[master].connect()?;
            for number in numbers {
                connection.command(&["SET", &account.key(number), &number.to_string()])?.into_result()?;
                account.acknowledge(number, Instant::now());
            }
            match connection.command(&["WAIT", "2", "5000"])? {
                Reply::Integer(2) => Ok(()),
                reply => Err(format!("the writes are confirmed by {reply:?} of 2 replicas")),
            }
        };
        attempt(write)?.map_err(|error| Failure::new(format!("cannot write: {error}")))
    }
}

/// A client of the group whose record is in the `ZooKeeper` at these addresses.
pub(super) fn clients_of(zookeeper: &str) -> Builder {
    let builder = Client::builder().servers(zookeeper).path(monitors::PATH);
    builder.session_timeout(SESSION).read_from(ReadFrom::Master)
}

fn builder_of_clients(zookeeper: &ZooKeeper) -> Builder {
    clients_of(&zookeeper.connect_string())
}

fn spawn_shipped(
    name: &str,
    redis: &[Redis],
    zookeeper: &ZooKeeper,
    folder: &Path,
    endpoint: Option<&String>,
) -> Result<Process, Failure> {
    let nodes = redis.iter().map(Redis::addr).collect::<Vec<_>>().join(",");
    let mut command = Command::new(program()?);
    command.args([
        "run",
        "-z",
        &zookeeper.connect_string(),
        "-p",
        monitors::PATH,
        "-r",
        &nodes,
        "--id",
        name,
    ]);
    command.args(["--listen", "127.0.0.1:0", "--journal-limit", "64MiB", "--journal"]);
    command.arg(folder.join(format!("{name}.journal")));
    if let Some(endpoint) = endpoint {
        command.args(["--sentinel", endpoint]);
    }
    attempt(|| Process::spawn(&format!("monitor {name}"), command, &folder.join(format!("{name}.log"))))
}

fn builder(options: &[(&str, &str)], wiring: Wiring, index: u8) -> RedisBuilder {
    let plain = options.iter().fold(Redis::builder(), |builder, (name, value)| builder.option(*name, *value));
    match wiring {
        Wiring::Direct => plain,
        Wiring::Linked => plain.linked(Ipv4Addr::new(127, 0, 1, 11 + index)),
    }
}
