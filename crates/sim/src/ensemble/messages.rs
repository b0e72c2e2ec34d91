//! What monitors and `ZooKeeper` send one another.

use std::collections::{BTreeMap, BTreeSet};

use redis_failover_core::{
    ActionId, Answer, Entry, Leadership, MonitorId, Outcome, Report, RequestId, Requests, Term, Topology,
    Version, Versioned,
};
use redis_failover_store::Leader;

use crate::queue::Micros;
use crate::wires::ConnId;

/// What a monitor sends.
#[derive(Clone, Debug)]
pub(crate) enum Up {
    /// I am here, at this time of mine.
    Ping(u64),
    /// I come over a new connection.
    Hello,
    /// What stands there?
    Look,
    /// My report.
    Publish(Box<Report>),
    /// Write this.
    Commit(ActionId, Term, Version, Box<Topology>, Option<Box<Entry>>),
    /// Do I lead? For the connection to a node.
    Confirm(ConnId, Term),
    /// Remove the lock of who leads in this term.
    Depose(ActionId, Term),
    /// Answer this.
    Answer(ActionId, Term, RequestId, Answer),
    /// I stand for the lead, or aside.
    Stand(bool),
    /// Take my report back. Whose stand then?
    Leave,
    /// I give up the lead, and my session.
    Bye,
}

/// What it is sent.
#[derive(Clone, Debug)]
pub(crate) enum Down {
    /// You were heard, as of that time of yours.
    Pong(u64),
    /// Something is new.
    Changed,
    /// Your session has ended.
    Expired,
    /// What stands there.
    Snapshot(Box<Snapshot>),
    /// Whether it leads, for the connection to a node.
    Confirmed(ConnId, bool),
    /// What came of an action.
    Finished(ActionId, Outcome),
    /// Whose reports stand, after the asking one's own was taken back.
    Standing(BTreeSet<MonitorId>),
}

/// What stands there.
#[derive(Clone, Debug)]
pub(crate) struct Snapshot {
    /// When it was looked at.
    pub(crate) at: Micros,
    /// Whether the monitor leads.
    pub(crate) leadership: Leadership,
    /// Who else leads.
    pub(crate) leader: Option<Leader>,
    /// The record.
    pub(crate) record: Option<Versioned>,
    /// The reports, and which writing of each.
    pub(crate) reports: BTreeMap<MonitorId, (Report, i64)>,
    /// What operators ask.
    pub(crate) requests: Requests,
}
