//! Asks one node how it is set up. It reads, and changes nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use redis::Value;
use redis_failover_core::NodeAddr;
use tokio::time::{Instant, sleep, timeout};

use super::facts::NodeFacts;
use super::rights;
use crate::info::Info;
use crate::names::{Names, Way};
use crate::redis_link::{Credentials, Limits, RedisLink, text};

/// How long one step of asking a node may take.
const LIMIT: Duration = Duration::from_secs(5);

/// How the connections are called in CLIENT LIST. No leader's begins so.
const NAME: &str = "redis-failover-doctor";

/// The settings that are asked for.
const SETTINGS: [&str; 17] = [
    "appendonly",
    "busy-reply-threshold",
    "client-output-buffer-limit",
    "enable-protected-configs",
    "lua-time-limit",
    "masteruser",
    "maxclients",
    "maxmemory",
    "min-replicas-max-lag",
    "min-replicas-to-write",
    "repl-backlog-size",
    "repl-backlog-ttl",
    "replica-priority",
    "replica-read-only",
    "replica-serve-stale-data",
    "save",
    "timeout",
];

/// Those that are secrets, and are only compared.
const SECRETS: [&str; 2] = ["requirepass", "masterauth"];

/// What is asked of every node alike.
#[derive(Clone, Debug)]
pub(super) struct Questions {
    /// Who we are.
    pub(super) credentials: Credentials,
    /// For how long the master's writes are counted.
    pub(super) sample: Duration,
    /// Whether what a node alone holds is to be saved.
    pub(super) saves: bool,
}

/// What the node says; `is_master` has its writes counted.
///
/// # Errors
/// With why it said nothing.
pub(super) async fn ask(
    node: &NodeAddr,
    names: &Names,
    questions: &Questions,
    is_master: bool,
) -> Result<NodeFacts, String> {
    let open = async || {
        let limits = Limits { connect: LIMIT, greet: LIMIT };
        let link = RedisLink::open((node, Way::ByName), names, &questions.credentials, NAME, limits).await;
        link.map_err(|error| error.to_string())
    };
    let mut link = open().await?;
    let mut facts = in_time(look(&mut link)).await?;
    if is_master {
        facts.written = in_time(count_writes(&mut link, questions.sample)).await?;
    }
    drop(link);
    let link = open().await?;
    let mut found = (BTreeSet::new(), BTreeSet::new());
    let asked = rights::ask(link, questions.saves, (&mut found.0, &mut found.1));
    in_time(async { asked.await.map_err(|error| error.to_string()) }).await?;
    (facts.refused, facts.unknown) = found;
    Ok(facts)
}

async fn in_time<T>(work: impl Future<Output = Result<T, String>>) -> Result<T, String> {
    // Counting takes its time.
    timeout(LIMIT * 2, work).await.unwrap_or_else(|_| Err("no answer in time".to_owned()))
}

async fn look(link: &mut RedisLink) -> Result<NodeFacts, String> {
    let mut question = redis::pipe();
    question.cmd("INFO");
    let before = now();
    let replies = link.ask(&question).await.map_err(|error| error.to_string())?;
    let after = now();
    let info = Info::parse(&replies.first().and_then(text).unwrap_or_default());
    let mut facts = NodeFacts { ahead: ahead(&info, before, after), info, ..NodeFacts::default() };
    if let Some(Value::ServerError(error)) = replies.first() {
        facts.unread.push(("what INFO says", error.to_string()));
    }
    let mut question = redis::pipe();
    for setting in SETTINGS.into_iter().chain(SECRETS) {
        question.cmd("CONFIG").arg("GET").arg(setting);
    }
    let replies = link.ask(&question).await.map_err(|error| error.to_string())?;
    if let Some(Value::ServerError(error)) = replies.first() {
        facts.unread.push(("its settings", error.to_string()));
        return Ok(facts);
    }
    let mut settings: BTreeMap<_, _> = replies.iter().filter_map(pair).collect();
    let mut secret = |name| settings.remove(name).filter(|it: &String| !it.is_empty()).map(Into::into);
    (facts.requires, facts.gives) = (secret("requirepass"), secret("masterauth"));
    facts.settings = settings;
    Ok(facts)
}

/// How many bytes are added to the history in `span`.
async fn count_writes(link: &mut RedisLink, span: Duration) -> Result<Option<(u64, Duration)>, String> {
    let mut question = redis::pipe();
    question.cmd("INFO").arg("replication");
    let mut offset = async || -> Result<Option<u64>, String> {
        let replies = link.ask(&question).await.map_err(|error| error.to_string())?;
        let info = Info::parse(&replies.first().and_then(text).unwrap_or_default());
        Ok(info.field("master_repl_offset").and_then(|offset| offset.parse().ok()))
    };
    let (begun, first) = (Instant::now(), offset().await?);
    sleep(span).await;
    let (second, span) = (offset().await?, begun.elapsed());
    Ok(first.zip(second).map(|(first, second)| (second.saturating_sub(first), span)))
}

/// By how many milliseconds the server's clock is ahead of ours at least and at most, where it was asked between these
/// two moments.
fn ahead(info: &Info, before: i64, after: i64) -> Option<(i64, i64)> {
    // The server may say the time of its last turn.
    let theirs = info.field("server_time_usec")?.parse::<i64>().ok()? / 1000;
    Some((theirs - after, theirs - before))
}

/// Milliseconds since 1970 by this machine's clock.
fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

fn pair(reply: &Value) -> Option<(String, String)> {
    match reply {
        Value::Array(pair) => Some((pair.first().and_then(text)?, pair.get(1).and_then(text)?)),
        Value::Map(pairs) => pairs.first().and_then(|(name, value)| Some((text(name)?, text(value)?))),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_is_known_as_well_as_the_answer_was_fast() {
        let info = Info::parse("server_time_usec:1795646620500000\r\n");
        assert_eq!(ahead(&info, 1_795_646_620_000, 1_795_646_620_400), Some((100, 500)));
        assert_eq!(ahead(&Info::default(), 0, 1), None);
    }
}
