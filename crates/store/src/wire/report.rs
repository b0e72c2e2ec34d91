//! The short-lived documents: a monitor's report and its lock. Each is read with mercy: they vanish by
//! themselves.

use std::collections::BTreeMap;
use std::time::Duration;

use redis_failover_core::{Epoch, MonitorId, NodeAddr, Report, RequestId, Term, Vote, Wait};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize};

use super::{FORMAT, Unreadable, format_of, garbage, object};
use crate::{Contact, Leader};

#[derive(Serialize, Deserialize)]
struct ReportV1 {
    format: u64,
    monitor: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    address: Option<String>,
    /// The greatest epoch that the monitor knows of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    epoch: Option<u64>,
    votes: BTreeMap<String, VoteV1>,
    /// On who leads. One that cannot be read is none.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "mercifully")]
    lead: Option<LeadV1>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    waits: BTreeMap<String, WaitV1>,
    /// How far its leader is with each request. What cannot be read of it is nothing.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "or_nothing")]
    attends: BTreeMap<i64, String>,
    /// By how many bytes each replica is behind, if its monitor leads. What cannot be read of it is nothing.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "or_nothing")]
    lags: BTreeMap<String, u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    version: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sentinel: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    clock_ms: Option<u64>,
}

#[derive(Serialize, Deserialize)]
struct VoteV1 {
    vote: String,
    age_ms: u64,
}

#[derive(Serialize, Deserialize)]
struct LeadV1 {
    term: i64,
    vote: String,
    age_ms: u64,
}

#[derive(Serialize, Deserialize)]
struct WaitV1 {
    why: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    keys: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    saved: Option<u64>,
}

/// The report as it is written.
pub(crate) fn report_bytes(report: &Report) -> Vec<u8> {
    let age_ms = |age: Duration| u64::try_from(age.as_millis()).unwrap_or(u64::MAX);
    let vote = |(node, (vote, age)): (&NodeAddr, &(Vote, Duration))| {
        (node.to_string(), VoteV1 { vote: vote.word().to_owned(), age_ms: age_ms(*age) })
    };
    let lead = |(term, vote, age): (Term, Vote, Duration)| LeadV1 {
        term: term.0,
        vote: vote.word().to_owned(),
        age_ms: age_ms(age),
    };
    let wait = |(node, wait): (&NodeAddr, &Wait)| {
        let Wait { why, keys, saved } = wait.clone();
        (node.to_string(), WaitV1 { why, keys, saved })
    };
    let report = ReportV1 {
        format: FORMAT,
        monitor: report.monitor.to_string(),
        address: report.address.clone(),
        epoch: report.remembers.map(|epoch| epoch.0),
        votes: report.votes.iter().map(vote).collect(),
        lead: report.lead.map(lead),
        waits: report.waits.iter().map(wait).collect(),
        attends: report.attends.iter().map(|(id, at)| (id.0, at.clone())).collect(),
        lags: report.lags.iter().map(|(node, bytes)| (node.to_string(), *bytes)).collect(),
        version: report.version.clone(),
        sentinel: report.sentinel.clone(),
        clock_ms: report.clock,
    };
    serde_json::to_vec(&report).unwrap_or_default()
}

/// The report that stands in `znode`, which is named after monitor `id`.
///
/// A word that is no vote here is `Unknown`: it counts neither way.
pub(crate) fn parse_report(znode: &str, id: &MonitorId, bytes: &[u8]) -> Result<Report, Unreadable> {
    format_of(znode, bytes, &object(znode, bytes)?, FORMAT)?;
    let report: ReportV1 =
        serde_json::from_slice(bytes).map_err(|error| garbage(znode, bytes, error.to_string()))?;
    if report.monitor != id.to_string() {
        return Err(garbage(znode, bytes, format!("it is the report of `{}`", report.monitor)));
    }
    let addr =
        |node: &str| node.parse::<NodeAddr>().map_err(|error| garbage(znode, bytes, error.to_string()));
    let votes = report.votes.into_iter().map(|(node, vote)| {
        let age = Duration::from_millis(vote.age_ms);
        Ok((addr(&node)?, (Vote::from_word(&vote.vote).unwrap_or(Vote::Unknown), age)))
    });
    let votes = votes.collect::<Result<_, Unreadable>>()?;
    let waits = report
        .waits
        .into_iter()
        .map(|(node, WaitV1 { why, keys, saved })| Ok((addr(&node)?, Wait { why, keys, saved })));
    let waits = waits.collect::<Result<_, Unreadable>>()?;
    Ok(Report {
        monitor: id.clone(),
        address: report.address,
        remembers: report.epoch.map(Epoch),
        votes,
        lead: report.lead.and_then(|it| {
            Some((Term(it.term), Vote::from_word(&it.vote)?, Duration::from_millis(it.age_ms)))
        }),
        waits,
        attends: report.attends.into_iter().map(|(id, at)| (RequestId(id), at)).collect(),
        lags: report.lags.iter().filter_map(|(node, bytes)| Some((node.parse().ok()?, *bytes))).collect(),
        version: report.version,
        sentinel: report.sentinel,
        clock: report.clock_ms,
    })
}

/// What is there, or nothing where it is not what it should be.
fn or_nothing<'de, D: Deserializer<'de>, T: DeserializeOwned + Default>(value: D) -> Result<T, D::Error> {
    let value = serde_json::Value::deserialize(value)?;
    Ok(serde_json::from_value(value).unwrap_or_default())
}

/// What is there, if it is what it should be.
fn mercifully<'de, D: Deserializer<'de>>(value: D) -> Result<Option<LeadV1>, D::Error> {
    let value = serde_json::Value::deserialize(value)?;
    Ok(serde_json::from_value(value).ok())
}

/// Who stands behind a lock node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Lock {
    pub(crate) monitor: String,
    #[serde(default)]
    pub(crate) address: Option<String>,
    /// Which life of the process answers there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) life: Option<String>,
}

impl Lock {
    /// The lock of `monitor`, which can be asked there.
    pub(crate) fn of(monitor: &MonitorId, contact: Option<&Contact>) -> Self {
        Self {
            monitor: monitor.to_string(),
            address: contact.map(|contact| contact.address.clone()),
            life: contact.map(|contact| contact.life.clone()),
        }
    }
}

/// Who leads in `term`, by its lock's name and data.
pub(crate) fn leader_of(name: &str, bytes: &[u8], term: Term) -> Leader {
    let (monitor, address, life) = match parse_lock(bytes) {
        Some(lock) => (lock.monitor, lock.address, lock.life),
        None => (name.to_owned(), None, None),
    };
    Leader { monitor, address, life, term }
}

/// The lock's data as it is written.
pub(crate) fn lock_bytes(lock: &Lock) -> Vec<u8> {
    serde_json::to_vec(lock).unwrap_or_default()
}

/// Who stands behind a lock; `None` where another program put it there.
fn parse_lock(bytes: &[u8]) -> Option<Lock> {
    serde_json::from_slice(bytes).ok()
}
