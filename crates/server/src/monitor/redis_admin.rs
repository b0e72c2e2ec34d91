//! The administrative commands: the only place that changes a Redis server. It carries out, and decides nothing.
//!
//! Each function is one visit to one node over one connection. What it reads is read in the same transaction in
//! which it commands.

mod ceding;
mod persisting;
mod replies;
mod snapshot;

use redis::{Pipeline, RedisError, Value};
use redis_failover_core::plan::{CLOSED, MAX_LAG, NOBODY};
use redis_failover_core::{Evidence, Intent, NodeAddr, RunId};

use redis_failover_store::CommitError;

use crate::info::{InfoError, evidence};
use crate::redis_link::{LinkError, RedisLink, text};
pub(super) use ceding::{cede, hold_writes, resume_writes};
pub(super) use persisting::persist;
use replies::{
    SECTIONS, config_number, forbidden, info, is_forbidden, is_never_allowed, last, listed, tell_forbidden,
    tell_no_config, tell_unfenced,
};
pub(super) use snapshot::save;

/// Why a visit to a node did not succeed.
#[derive(Debug, thiserror::Error)]
pub(super) enum AdminError {
    /// No connection.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// The connection broke, or the server refused: what was sent may have been carried out.
    #[error(transparent)]
    Redis(#[from] RedisError),
    /// The server answered something that is no INFO.
    #[error(transparent)]
    Info(#[from] InfoError),
    /// The node is still a master: it refused REPLICAOF, as a server in cluster mode does.
    #[error("it refused REPLICAOF and is still a master")]
    NotObeyed,
    /// This monitor no longer leads; nothing was sent.
    #[error("this monitor leads no more")]
    Deposed,
    /// The store does not confirm that this monitor leads; nothing was sent but questions.
    #[error("the lead is not confirmed: {0}")]
    Unconfirmed(#[source] CommitError),
    /// It took too long; what was sent may be carried out later.
    #[error("no answer in time")]
    Late,
    /// It is reading its data from disk: what it says of it is not all.
    #[error("it is still loading its data")]
    Loading,
    /// The node is in another life of its process than the one that is meant.
    #[error("the process was restarted meanwhile")]
    OtherRun,
}

/// Whether the monitor that commands still leads, asked again right before each command: it may have stood still since
/// the last look. It asks nobody, and does not block.
pub(super) trait Lead: Fn() -> bool + Send + Sync {
    /// # Errors
    /// Where it does not.
    fn check(&self) -> Result<(), AdminError> {
        if self() { Ok(()) } else { Err(AdminError::Deposed) }
    }
}

impl<F: Fn() -> bool + Send + Sync> Lead for F {}

/// What a node was found to be before it is commanded.
struct Before {
    is_master: bool,
    min_replicas_to_write: Option<u32>,
}

/// The connections that bear `mark` in their names, but for this one, which must be called `name`: what leaders of the
/// group have opened to the node.
///
/// Where the server does not let us name or list connections nobody is found, and this one can't be found by others.
pub(super) async fn other_leaders(
    link: &mut RedisLink,
    name: &str,
    mark: &str,
) -> Result<Vec<u64>, AdminError> {
    let mut questions = redis::pipe();
    // Again: what was said at the greeting may have been refused, for a moment, by a script that ran.
    questions.cmd("CLIENT").arg("SETNAME").arg(name);
    questions.cmd("CLIENT").arg("ID");
    questions.cmd("CLIENT").arg("LIST").arg("TYPE").arg("normal");
    let replies = link.ask(&questions).await?;
    let (own, list) = match replies.as_slice() {
        [named, Value::Int(own), list] if !matches!(named, Value::ServerError(_)) => (*own, list),
        _ => return forbidden(replies),
    };
    let Some(list) = text(list) else { return forbidden(replies) };
    let listed: Vec<_> = list.lines().filter_map(listed).collect();
    let own = u64::try_from(own).unwrap_or_default();
    if !listed.contains(&(own, name)) {
        tell_unfenced("it does not list this connection by its name");
    }
    Ok(listed.into_iter().filter(|(id, name)| *id != own && name.contains(mark)).map(|(id, _)| id).collect())
}

/// Ends those connections. One that has ended by itself is no error.
pub(super) async fn end(link: &mut RedisLink, connections: &[u64]) -> Result<(), AdminError> {
    if connections.is_empty() {
        return Ok(());
    }
    let mut commands = redis::pipe();
    for id in connections {
        commands.cmd("CLIENT").arg("KILL").arg("ID").arg(*id);
    }
    for reply in link.ask(&commands).await? {
        match reply {
            Value::ServerError(error) if error.code() == "NOPERM" => {
                tell_unfenced(&RedisError::from(error).to_string());
            }
            Value::ServerError(error) => return Err(RedisError::from(error).into()),
            _ => {}
        }
    }
    Ok(())
}

/// Makes the node follow nobody, and reads it. A master loses its clients in the same transaction, and so does any
/// other where it `always_cuts`.
///
/// `patient` is false for a node that does not answer the monitors: everything is then sent at once, so that the
/// node finds it in its socket when it wakes, and is no master any more before a client reaches it.
pub(super) async fn freeze(
    link: &mut RedisLink,
    lead: &impl Lead,
    patient: bool,
    always_cuts: bool,
) -> Result<Evidence, AdminError> {
    let before = if patient { Some(look_before(link).await?) } else { None };
    let cuts = always_cuts || before.as_ref().is_none_or(|before| before.is_master);
    let commands = freezing(cuts);
    lead.check()?;
    let (replies, cuts) = match link.transact(&commands).await {
        Err(error) if is_forbidden(&error) && cuts => {
            // Nothing was carried out. Without its clients cut off is better than not at all.
            tell_forbidden(&error);
            lead.check()?;
            (link.transact(&freezing(false)).await?, true)
        }
        replies => (replies?, cuts),
    };
    let was = info(&replies, 0);
    if !cuts && was.role()?.is_master() {
        // It was made a master between the look and the transaction.
        let mut late = redis::pipe();
        cut_clients(&mut late);
        link.ask(&late).await?;
    }
    let now = last(&replies)?;
    if now.role()?.is_master() {
        // What it said is no evidence: it goes on taking writes.
        return Err(AdminError::NotObeyed);
    }
    // Who was not asked before is asked now: without its number it could not be promoted closed.
    let before = match before {
        Some(before) => before,
        None => look_before(link).await?,
    };
    let min_replicas_to_write = before.min_replicas_to_write;
    Ok(evidence(&was, &now, min_replicas_to_write)?)
}

fn freezing(cuts: bool) -> Pipeline {
    let mut commands = redis::pipe();
    commands.atomic();
    commands.cmd("INFO").arg("replication");
    commands.cmd("REPLICAOF").arg(NOBODY.0).arg(NOBODY.1);
    if cuts {
        cut_clients(&mut commands);
    }
    read_all(&mut commands);
    commands
}

/// Reads the node and changes nothing.
pub(super) async fn look(link: &mut RedisLink) -> Result<Evidence, AdminError> {
    let mut questions = redis::pipe();
    questions.atomic();
    read_all(&mut questions);
    let replies = link.transact(&questions).await?;
    let now = last(&replies)?;
    let before = look_before(link).await?;
    Ok(evidence(&now, &now, before.min_replicas_to_write)?)
}

/// Makes the node a master that takes no write, where it is `closable`, and whose clients are cut off where it
/// `cuts`, and reads it.
pub(super) async fn promote(
    link: &mut RedisLink,
    lead: &impl Lead,
    closable: bool,
    cuts: bool,
) -> Result<Evidence, AdminError> {
    // CONFIG SET may be forbidden where CONFIG GET is not, and CLIENT KILL where CONFIG SET is not.
    let ways = [(closable, cuts), (false, cuts), (false, false)];
    let all: Vec<_> = ways.iter().map(|(closes, cuts)| promoting(*closes, *cuts)).collect();
    let (way, replies) = transact_first_allowed(link, lead, &all).await?;
    let closed = ways[way].0;
    let now = last(&replies)?;
    Ok(evidence(&now, &now, closed.then_some(CLOSED))?)
}

fn promoting(closed: bool, cuts: bool) -> Pipeline {
    let mut commands = redis::pipe();
    commands.atomic();
    if cuts {
        cut_clients(&mut commands);
    }
    if closed {
        set_min_replicas(&mut commands, CLOSED);
    }
    commands.cmd("REPLICAOF").arg("NO").arg("ONE");
    read_all(&mut commands);
    commands
}

/// Lets the node take writes, if it is still in the life that was published.
///
/// Where CONFIG is not allowed the node was never closed, and there is nothing to do. The other settings of a
/// master are made only the `first` time: an operator may change them afterwards.
pub(super) async fn open(
    link: &mut RedisLink,
    lead: &impl Lead,
    run: &RunId,
    min_replicas_to_write: u32,
    first: bool,
) -> Result<(), AdminError> {
    let mut question = redis::pipe();
    question.cmd("INFO").arg("server");
    question.cmd("CONFIG").arg("GET").arg("min-replicas-to-write");
    let replies = link.ask(&question).await?;
    if info(&replies, 0).run()? != *run {
        return Err(AdminError::OtherRun);
    }
    let Some(number) = replies.get(1).and_then(config_number) else {
        if let (true, Some(Value::ServerError(error))) = (first, replies.get(1)) {
            tell_no_config(error);
        }
        return Ok(());
    };
    let mut commands = redis::pipe();
    if number == CLOSED {
        set_min_replicas(&mut commands, min_replicas_to_write);
    }
    if first {
        // So that replicas of an idle master can tell that they still hear it.
        commands.cmd("CONFIG").arg("SET").arg("repl-ping-replica-period").arg("1");
        // So that an idle master does not forget its history.
        commands.cmd("CONFIG").arg("SET").arg("repl-backlog-ttl").arg("0");
    }
    if commands.cmd_iter().next().is_none() {
        return Ok(());
    }
    lead.check()?;
    let replies = link.ask(&commands).await?;
    match replies.into_iter().next() {
        Some(Value::ServerError(error)) if number == CLOSED => Err(RedisError::from(error).into()),
        _ => Ok(()),
    }
}

/// Has the master take writes only while `number` replicas follow it, if it is still in the life that was published.
///
/// A higher number than 1 that it has is its operator's, and stands; one that still closes it is not for this to
/// change.
pub(super) async fn fence(
    link: &mut RedisLink,
    lead: &impl Lead,
    run: &RunId,
    number: u32,
) -> Result<(), AdminError> {
    let mut questions = redis::pipe();
    questions.cmd("INFO").arg("server");
    questions.cmd("CONFIG").arg("GET").arg("min-replicas-to-write");
    questions.cmd("CONFIG").arg("GET").arg("min-replicas-max-lag");
    let replies = link.ask(&questions).await?;
    if info(&replies, 0).run()? != *run {
        return Err(AdminError::OtherRun);
    }
    let Some(present) = replies.get(1).and_then(config_number) else { return Ok(()) };
    let lag = replies.get(2).and_then(config_number).map_or(0, u64::from);
    let mut commands = redis::pipe();
    if number > 0 && !(1..=MAX_LAG.as_secs()).contains(&lag) {
        commands.cmd("CONFIG").arg("SET").arg("min-replicas-max-lag").arg(MAX_LAG.as_secs());
    }
    if present > 1 || present == number && commands.cmd_iter().next().is_none() {
        return Ok(());
    }
    set_min_replicas(&mut commands, number);
    lead.check()?;
    let refusal = link.ask(&commands).await?.into_iter().find_map(|reply| match reply {
        Value::ServerError(error) => Some(error),
        _ => None,
    });
    match refusal {
        // As where it may not even be asked for: no master is fenced here, and nobody is to wait for it.
        Some(error) if is_never_allowed(&error) => Ok(()),
        Some(error) => Err(RedisError::from(error).into()),
        None => Ok(()),
    }
}

/// Makes the node a replica of `master`. A master loses its clients in the same transaction, and so does any other that
/// `closes`.
pub(super) async fn follow(
    link: &mut RedisLink,
    lead: &impl Lead,
    master: &NodeAddr,
    (min_replicas_to_write, fences): (u32, bool),
    closes: bool,
) -> Result<(), AdminError> {
    let before = look_before(link).await?;
    let mut bare = redis::pipe();
    bare.atomic();
    bare.cmd("REPLICAOF").arg(master.host()).arg(master.port());
    let mut cutting = bare.clone();
    if before.is_master || closes {
        cut_clients(&mut cutting);
    }
    let mut commands = cutting.clone();
    if before.min_replicas_to_write.is_some_and(|number| number == CLOSED || (fences && number == 1)) {
        set_min_replicas(&mut commands, min_replicas_to_write);
    }
    let (_, replies) = transact_first_allowed(link, lead, &[commands, cutting, bare]).await?;
    match replies.into_iter().next() {
        Some(Value::ServerError(error)) => Err(RedisError::from(error).into()),
        _ => Ok(()),
    }
}

/// Carries out the first of these transactions that has nothing in it which is forbidden; the last one as it is. Yields
/// which one that was, and what the server answered.
async fn transact_first_allowed(
    link: &mut RedisLink,
    lead: &impl Lead,
    ways: &[Pipeline],
) -> Result<(usize, Vec<Value>), AdminError> {
    let (last, before) = ways.split_last().ok_or(AdminError::NotObeyed)?;
    for (way, commands) in before.iter().enumerate() {
        lead.check()?;
        match link.transact(commands).await {
            // Nothing was carried out.
            Err(error) if is_forbidden(&error) => tell_forbidden(&error),
            replies => return Ok((way, replies?)),
        }
    }
    lead.check()?;
    Ok((before.len(), link.transact(last).await?))
}

/// Whether what was read is what `intent` asks for before it is promoted.
pub(super) fn is_intended(intent: &Intent, held: &Evidence) -> bool {
    held.run == intent.run && held.history.replid == intent.replid && held.history.offset == intent.offset
}

async fn look_before(link: &mut RedisLink) -> Result<Before, AdminError> {
    let mut questions = redis::pipe();
    questions.cmd("INFO").arg("replication");
    questions.cmd("CONFIG").arg("GET").arg("min-replicas-to-write");
    let replies = link.ask(&questions).await?;
    Ok(Before {
        is_master: info(&replies, 0).role()?.is_master(),
        min_replicas_to_write: replies.get(1).and_then(config_number),
    })
}

fn cut_clients(commands: &mut Pipeline) {
    commands.cmd("CLIENT").arg("KILL").arg("TYPE").arg("normal").arg("SKIPME").arg("yes");
    commands.cmd("CLIENT").arg("KILL").arg("TYPE").arg("pubsub");
}

fn set_min_replicas(commands: &mut Pipeline, number: u32) {
    commands.cmd("CONFIG").arg("SET").arg("min-replicas-to-write").arg(number);
}

/// The sections that together are the evidence. Redis before 7 answers one section a question.
fn read_all(commands: &mut Pipeline) {
    for section in SECTIONS {
        commands.cmd("INFO").arg(section);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use redis_failover_lab::Redis;

    use super::*;
    use crate::names::{Names, Way};
    use crate::redis_link::{Credentials, Limits};

    fn reply(text: &str) -> Value {
        Value::BulkString(text.into())
    }

    #[test]
    fn a_server_that_still_loads_is_no_evidence() {
        let with = |loading: &str| {
            let persistence = format!("# Persistence\r\nloading:{loading}\r\n");
            last(&["run_id:r\r\n", "role:master\r\n", &persistence, "db0:keys=3,expires=0\r\n"].map(reply))
        };
        assert_eq!(with("0").expect("it has loaded").keys(), 3);
        assert!(matches!(with("1"), Err(AdminError::Loading)));
    }

    #[test]
    fn the_number_of_config_get_in_both_protocols_and_where_it_is_forbidden() {
        let pair = [reply("min-replicas-to-write"), reply("2")];
        assert_eq!(config_number(&Value::Array(pair.clone().into())), Some(2));
        let [name, number] = pair;
        assert_eq!(config_number(&Value::Map(vec![(name, number)])), Some(2));
        assert_eq!(config_number(&Value::Array(Vec::new())), None);
        assert_eq!(config_number(&reply("NOPERM")), None);
    }

    /// A monitor that stood still between its look at a node and its command finds out before it sends that.
    #[tokio::test]
    async fn who_leads_no_more_changes_nothing() {
        let (master, other) = (Redis::start(), Redis::start());
        let node = |redis: &Redis| redis.addr().parse::<NodeAddr>().expect("an address");
        let (addr, other) = (node(&master), node(&other));
        let (names, limit) = (Names::default(), Duration::from_secs(20));
        let limits = Limits { connect: limit, greet: limit };
        let way = (&addr, Way::Beside);
        let mut link =
            RedisLink::open(way, &names, &Credentials::default(), "test", limits).await.expect("a link");
        let before = look(&mut link).await.expect("it answers");
        let (deposed, run) = (|| false, before.run.clone());
        let refused = [
            freeze(&mut link, &deposed, true, false).await.map(drop),
            freeze(&mut link, &deposed, false, false).await.map(drop),
            promote(&mut link, &deposed, true, false).await.map(drop),
            open(&mut link, &deposed, &run, 0, true).await,
            follow(&mut link, &deposed, &other, (0, true), false).await,
            fence(&mut link, &deposed, &run, 1).await,
        ];
        assert!(refused.iter().all(|it| matches!(it, Err(AdminError::Deposed))), "{refused:?}");
        assert_eq!(look(&mut link).await.expect("it answers"), before);
        let leads = || true;
        assert!(freeze(&mut link, &leads, true, false).await.is_ok_and(|said| said.role.is_master()));
        let again = freeze(&mut link, &leads, false, false).await.expect("it is frozen again");
        assert_eq!(again.min_replicas_to_write, Some(0), "also of one that did not answer the monitors");
    }
}
