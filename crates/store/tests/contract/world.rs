//! What the cases share: names, records, reports, and how a group comes to be led.

use std::future::Future;
use std::time::Duration;

use redis_failover_core::{
    Epoch, Found, Leadership, Member, MonitorId, Policy, Report, Term, Topology, Version, Versioned, Vote,
};
use redis_failover_store::{Contact, GroupPath, Sight};

use super::subject::{Candidate, Group, Shows, Subject};

/// Longer than anything here takes, even on a busy machine.
pub(crate) const LONG: Duration = Duration::from_secs(20);

/// The session time-out of most tests.
pub(crate) const SESSION: Duration = Duration::from_secs(4);

/// How long something must stay as it is before it is believed to.
pub(crate) const MOMENT: Duration = Duration::from_millis(300);

pub(crate) fn path(text: &str) -> GroupPath {
    text.parse().unwrap()
}

pub(crate) fn id(text: &str) -> MonitorId {
    text.parse().unwrap()
}

pub(crate) fn member(addr: &str, ok: bool) -> Member {
    Member { addr: addr.parse().unwrap(), ok }
}

/// The outcome, which must be there in time.
pub(crate) async fn soon<T>(what: &str, work: impl Future<Output = T>) -> T {
    tokio::time::timeout(LONG, work).await.unwrap_or_else(|_| panic!("not within {LONG:?}: {what}"))
}

pub(crate) async fn term(campaign: &impl Candidate) -> Term {
    let leads = |leadership: &Leadership| match leadership {
        Leadership::Leading(term) => Some(*term),
        Leadership::Following | Leadership::Suspended => None,
    };
    campaign.leadership().until("it leads", leads).await
}

/// Until the leadership is this.
pub(crate) async fn becomes(campaign: &impl Candidate, wanted: Leadership) {
    let is = |now: &Leadership| (*now == wanted).then_some(());
    campaign.leadership().until(&format!("{wanted:?}"), is).await;
}

/// Until `count` candidates of the group `/g` have their locks, that of `campaign` among them.
pub(crate) async fn stand<S: Subject>(subject: &S, campaign: &impl Candidate, count: usize) {
    let work = async {
        loop {
            // Where nothing happens by itself, somebody must look.
            let _ = campaign.leadership().latest();
            if subject.children("/g/leader").await.len() == count {
                return;
            }
        }
    };
    soon("they stand", work).await;
}

/// The record once it was read and is as `wanted`.
pub(crate) async fn seen(group: &impl Group, what: &str, wanted: impl Fn(&Found) -> bool) -> Versioned {
    let read = |sight: &Sight| match &sight.read {
        Some(Ok(read)) if wanted(&read.found) => Some(read.clone()),
        _ => None,
    };
    group.record().until(what, read).await
}

pub(crate) fn record(epoch: u64) -> Topology {
    let members = vec![member("h1:1", true), member("h2:2", true)];
    let master = members[0].addr.clone();
    Topology {
        members,
        monitors: [id("m1")].into(),
        ..Topology::new(Epoch(epoch), master, Policy::default())
    }
}

pub(crate) fn report(monitor: &str, vote: Vote) -> Report {
    report_of(monitor, vote, Duration::ZERO)
}

/// Where m1 can be asked.
pub(crate) fn contact() -> Contact {
    Contact { address: "m1:80".to_owned(), life: "1".to_owned() }
}

/// What [`report`] says, `later`.
pub(crate) fn report_of(monitor: &str, vote: Vote, later: Duration) -> Report {
    let votes = [("h1:1".parse().unwrap(), (vote, Duration::from_millis(5) + later))];
    let (address, remembers, lead, waits) = Default::default();
    Report {
        monitor: id(monitor),
        address,
        remembers,
        votes: votes.into(),
        lead,
        waits,
        attends: [].into(),
        lags: [].into(),
        version: None,
        sentinel: None,
        clock: None,
    }
}

/// A group that is led, and the version that stands at first.
pub(crate) struct Led<G: Group> {
    pub(crate) group: G,
    pub(crate) campaign: G::Campaign,
    pub(crate) term: Term,
    pub(crate) version: Version,
}

pub(crate) async fn led<S: Subject>(subject: &S, session: &S::Session, group: &str) -> Led<S::Group> {
    lead(subject.group(session, group)).await
}

pub(crate) async fn lead<G: Group>(group: G) -> Led<G> {
    let campaign = group.campaign(&id("m1"), Some(&contact()));
    let term = term(&campaign).await;
    let there = |sight: &Sight| match &sight.read {
        Some(Ok(read)) if read.version.document >= 0 => Some(read.version),
        _ => None,
    };
    let version = group.record().until("a znode is there", there).await;
    Led { group, campaign, term, version }
}
