//! The entries of a group's history, and what the record keeps for one while its epoch is open. It is read with mercy:
//! nothing is decided by it, so what is not understood is passed over.

use std::collections::BTreeMap;
use std::time::Duration;

use redis_failover_core::history::{
    Account, Candidate, Cause, Ending, Entry, Estimate, Holds, Milestone, Opening, Return, Seen, Times,
};
use redis_failover_core::{Epoch, MonitorId, NodeAddr, ReplId, RunId, Vote};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::divergence::DivergenceV1;
use super::pause::{WITHHELD, WithheldV1};
use super::state::{millis, parsed};
use super::{FORMAT, Unreadable, bytes, format_of, garbage, object};

/// The kind of an account of a change of master.
const CHANGE: &str = "change";

/// The kind of what is told of a node that came back.
const RETURN: &str = "return";

/// How an epoch ended that was published.
const PUBLISHED: &str = "published";

/// How one ended that was not.
const GIVEN_UP: &str = "given up";

#[derive(Serialize, Deserialize)]
struct AccountV1 {
    format: u64,
    kind: String,
    epoch: u64,
    reason: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    old: Option<String>,
    new: String,
    ended: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    why: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    leader: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    finished_by: Option<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    votes: BTreeMap<String, VoteV1>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    candidates: BTreeMap<String, CandidateV1>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    times_ms: BTreeMap<String, u64>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    following_ms: BTreeMap<String, u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    seen: Option<SeenV1>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    lost: Option<LostV1>,
}

#[derive(Serialize, Deserialize)]
struct ReturnV1 {
    format: u64,
    kind: String,
    epoch: u64,
    node: String,
    replid: String,
    offset: u64,
    keys: u64,
    #[serde(flatten)]
    divergence: DivergenceV1,
    leader: String,
}

/// What the record keeps of an open epoch.
#[derive(Serialize, Deserialize)]
pub(super) struct OpeningV1 {
    leader: String,
    ages_ms: BTreeMap<String, u64>,
    candidates: BTreeMap<String, CandidateV1>,
    times_ms: BTreeMap<String, u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    seen: Option<SeenV1>,
    lost: LostV1,
}

#[derive(Serialize, Deserialize)]
struct VoteV1 {
    vote: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    age_ms: Option<u64>,
}

#[derive(Serialize, Deserialize)]
struct CandidateV1 {
    why: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    holds: Option<HoldsV1>,
}

#[derive(Serialize, Deserialize)]
struct HoldsV1 {
    run: String,
    replid: String,
    offset: u64,
    keys: u64,
}

#[derive(Serialize, Deserialize)]
struct SeenV1 {
    replid: String,
    offset: u64,
    age_ms: u64,
    frozen: bool,
}

/// What is missing is not known.
#[derive(Serialize, Deserialize)]
struct LostV1 {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    bytes: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    span_ms: Option<u64>,
}

/// An entry as a JSON object: as it is written, and as it is shown.
pub fn entry_value(entry: &Entry) -> Value {
    match entry {
        Entry::Change(account) => json!(account_v1(account)),
        Entry::Return(told) => json!(return_v1(told)),
        Entry::Withheld(told) => json!(WithheldV1::of(told)),
    }
}

/// The entry as it is written.
pub(crate) fn entry_bytes(entry: &Entry) -> Vec<u8> {
    match entry_value(entry) {
        Value::Object(object) => bytes(object),
        other => other.to_string().into_bytes(),
    }
}

/// The entry that stands in `znode`; `None` where it is of a kind, or a format, that this version does not know.
pub(crate) fn parse_entry(znode: &str, bytes: &[u8]) -> Result<Option<Entry>, Unreadable> {
    let object = object(znode, bytes)?;
    let kind = object.get("kind").and_then(Value::as_str);
    let format = format_of(znode, bytes, &object, u64::MAX)?;
    match (format, kind) {
        (None, _) | (_, None) => Err(garbage(znode, bytes, "it has no `format` or no `kind`")),
        (Some(FORMAT), Some(CHANGE)) => {
            let account = serde_json::from_value(Value::Object(object)).map_err(|error| error.to_string());
            let account = account.and_then(account_of).map_err(|why| garbage(znode, bytes, why))?;
            Ok(Some(Entry::Change(Box::new(account))))
        }
        (Some(FORMAT), Some(RETURN)) => {
            let told = serde_json::from_value(Value::Object(object)).map_err(|error| error.to_string());
            let told = told.and_then(return_of).map_err(|why| garbage(znode, bytes, why))?;
            Ok(told.map(|told| Entry::Return(Box::new(told))))
        }
        (Some(FORMAT), Some(WITHHELD)) => {
            let told = serde_json::from_value(Value::Object(object)).map_err(|error| error.to_string());
            let told = told.and_then(WithheldV1::read).map_err(|why| garbage(znode, bytes, why))?;
            Ok(Some(Entry::Withheld(Box::new(told))))
        }
        _ => Ok(None),
    }
}

/// What is told of a node that came back; `None` where this version does not know what became of what it held.
fn return_of(read: ReturnV1) -> Result<Option<Return>, String> {
    if !read.divergence.is_known() {
        return Ok(None);
    }
    Ok(Some(Return {
        epoch: Epoch(read.epoch),
        node: parsed(&read.node)?,
        replid: ReplId(read.replid),
        offset: read.offset,
        keys: read.keys,
        divergence: read.divergence.read()?,
        leader: parsed(&read.leader)?,
    }))
}

fn return_v1(told: &Return) -> ReturnV1 {
    ReturnV1 {
        format: FORMAT,
        kind: RETURN.to_owned(),
        epoch: told.epoch.0,
        node: told.node.to_string(),
        replid: told.replid.to_string(),
        offset: told.offset,
        keys: told.keys,
        divergence: DivergenceV1::of(&told.divergence),
        leader: told.leader.to_string(),
    }
}

fn account_of(read: AccountV1) -> Result<Account, String> {
    let node = |text: &str| parsed::<NodeAddr>(text);
    let ending = match read.ended.as_str() {
        PUBLISHED => Ending::Published,
        ended => Ending::GivenUp(read.why.unwrap_or_else(|| ended.to_owned())),
    };
    let vote = |(id, vote): (&String, &VoteV1)| -> Option<(MonitorId, (Vote, Option<Duration>))> {
        let age = vote.age_ms.map(Duration::from_millis);
        Some((id.parse().ok()?, (Vote::from_word(&vote.vote).unwrap_or(Vote::Unknown), age)))
    };
    Ok(Account {
        epoch: Epoch(read.epoch),
        cause: Cause::from_word(&read.reason),
        old: read.old.as_deref().map(node).transpose()?,
        new: node(&read.new)?,
        ending,
        leader: read.leader.and_then(|id| id.parse().ok()),
        finished_by: read.finished_by.and_then(|id| id.parse().ok()),
        votes: read.votes.iter().filter_map(vote).collect(),
        candidates: candidates(read.candidates),
        times: times(&read.times_ms),
        following: spans(&read.following_ms),
        seen: read.seen.map(seen),
        loss: read.lost.map(|lost| estimate(&lost)),
    })
}

fn account_v1(account: &Account) -> AccountV1 {
    let (ended, why) = match &account.ending {
        Ending::Published => (PUBLISHED, None),
        Ending::GivenUp(why) => (GIVEN_UP, Some(why.clone())),
    };
    let vote = |(id, (vote, age)): (&MonitorId, &(Vote, Option<Duration>))| {
        (id.to_string(), VoteV1 { vote: vote.word().to_owned(), age_ms: age.map(millis) })
    };
    AccountV1 {
        format: FORMAT,
        kind: CHANGE.to_owned(),
        epoch: account.epoch.0,
        reason: account.cause.word().to_owned(),
        old: account.old.as_ref().map(ToString::to_string),
        new: account.new.to_string(),
        ended: ended.to_owned(),
        why,
        leader: account.leader.as_ref().map(ToString::to_string),
        finished_by: account.finished_by.as_ref().map(ToString::to_string),
        votes: account.votes.iter().map(vote).collect(),
        candidates: candidates_v1(&account.candidates),
        times_ms: times_v1(&account.times),
        following_ms: spans_v1(&account.following),
        seen: account.seen.as_ref().map(seen_v1),
        lost: account.loss.as_ref().map(lost_v1),
    }
}

/// What the record keeps; `None` where a later version wrote it in another way.
pub(super) fn opening(value: Value) -> Option<Opening> {
    let read: OpeningV1 = serde_json::from_value(value).ok()?;
    Some(Opening {
        leader: read.leader.parse().ok()?,
        ages: spans(&read.ages_ms),
        candidates: candidates(read.candidates),
        times: times(&read.times_ms),
        seen: read.seen.map(seen),
        loss: estimate(&read.lost),
    })
}

pub(super) fn opening_v1(opening: &Opening) -> OpeningV1 {
    OpeningV1 {
        leader: opening.leader.to_string(),
        ages_ms: spans_v1(&opening.ages),
        candidates: candidates_v1(&opening.candidates),
        times_ms: times_v1(&opening.times),
        seen: opening.seen.as_ref().map(seen_v1),
        lost: lost_v1(&opening.loss),
    }
}

fn candidates(read: BTreeMap<String, CandidateV1>) -> BTreeMap<NodeAddr, Candidate> {
    let holds = |HoldsV1 { run, replid, offset, keys }| {
        let (run, replid) = (RunId(run), ReplId(replid));
        Holds { run, replid, offset, keys }
    };
    let candidate = |(node, CandidateV1 { why, holds: held }): (String, CandidateV1)| {
        Some((node.parse().ok()?, Candidate { why, holds: held.map(holds) }))
    };
    read.into_iter().filter_map(candidate).collect()
}

fn candidates_v1(candidates: &BTreeMap<NodeAddr, Candidate>) -> BTreeMap<String, CandidateV1> {
    let holds = |held: &Holds| {
        let (run, replid) = (held.run.to_string(), held.replid.to_string());
        HoldsV1 { run, replid, offset: held.offset, keys: held.keys }
    };
    let candidate = |(node, it): (&NodeAddr, &Candidate)| {
        (node.to_string(), CandidateV1 { why: it.why.clone(), holds: it.holds.as_ref().map(holds) })
    };
    candidates.iter().map(candidate).collect()
}

fn times(read: &BTreeMap<String, u64>) -> Times {
    let time =
        |(word, after): (&String, &u64)| Some((Milestone::from_word(word)?, Duration::from_millis(*after)));
    read.iter().filter_map(time).collect()
}

fn times_v1(times: &Times) -> BTreeMap<String, u64> {
    times.iter().map(|(step, after)| (step.word().to_owned(), millis(*after))).collect()
}

fn spans<K: std::str::FromStr + Ord>(read: &BTreeMap<String, u64>) -> BTreeMap<K, Duration> {
    let span = |(name, after): (&String, &u64)| Some((name.parse().ok()?, Duration::from_millis(*after)));
    read.iter().filter_map(span).collect()
}

fn spans_v1<K: ToString>(spans: &BTreeMap<K, Duration>) -> BTreeMap<String, u64> {
    spans.iter().map(|(name, after)| (name.to_string(), millis(*after))).collect()
}

fn seen(read: SeenV1) -> Seen {
    let SeenV1 { replid, offset, age_ms, frozen } = read;
    Seen { replid: ReplId(replid), offset, age: Duration::from_millis(age_ms), frozen }
}

fn seen_v1(seen: &Seen) -> SeenV1 {
    let (replid, age_ms) = (seen.replid.to_string(), millis(seen.age));
    SeenV1 { replid, offset: seen.offset, age_ms, frozen: seen.frozen }
}

fn estimate(read: &LostV1) -> Estimate {
    Estimate { bytes: read.bytes, span: read.span_ms.map(Duration::from_millis) }
}

fn lost_v1(loss: &Estimate) -> LostV1 {
    LostV1 { bytes: loss.bytes, span_ms: loss.span.map(millis) }
}
