//! What all monitors of a group share: the record, the reports, the lead; and what followers see of it. [`Store`]
//! says it in the monitors' words. [`ZooKeeper`] keeps it for all, [`Embedded`] for one process, in a file if need be;
//! [`model`] is what the latter keeps it by: the rules as a plain struct. One contract suite holds all to the same.
//!
//! A store decides nothing and never talks to Redis. It never overwrites what it cannot read, never writes
//! equal data, and never lets a monitor that does not lead change the record: each commit is one transaction
//! with a check of the leader's lock. Only the module `zookeeper` knows the `ZooKeeper` client; only `wire`
//! knows the JSON.

mod access;
mod embedded;
mod feed;
mod history;
pub mod model;
mod names;
mod own_report;
mod raw;
#[cfg(feature = "tls")]
mod tls;
#[cfg(not(feature = "tls"))]
#[path = "no_tls.rs"]
mod tls;
mod tls_error;
pub mod wire;
mod znodes;
mod zookeeper;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use redis_failover_core::{
    Answer, Entry, Leadership, MonitorId, Publication, Report, Request, RequestId, Requests, Term, Topology,
    Version, Versioned,
};

pub use access::Access;
pub use embedded::{Embedded, EmbeddedCampaign, EmbeddedGroup, EmbeddedSession, StateFileError};
pub use feed::Feed;
pub use history::{KEPT, RETURNS_KEPT};
pub use names::{ConnectString, ConnectStringError, GroupPath, GroupPathError};
pub use tls::{Tls, tls_refusal};
pub use tls_error::TlsError;
pub use wire::Unreadable;
pub use zookeeper::{
    Connection, Examination, Snapshot, StoreError, Unanswered, ZooKeeper, ZooKeeperCampaign, ZooKeeperGroup,
};

/// What the monitors of one group share. A handle is cheap to clone; all clones are one monitor.
pub trait Store: Clone + Send + Sync + 'static {
    /// How this store lets a monitor stand for the lead.
    type Campaign: Campaign;

    /// What stands in the store for the group.
    fn record(&self) -> Feed<Sight>;

    /// Asks for a fresh look at the record: [`Store::record`] then yields once more, even if nothing changed.
    fn reread(&self);

    /// What the group publishes, for those who follow and never decide. It reads the published document alone,
    /// and yields only when that was written, made or deleted.
    fn published(&self) -> Feed<Glance>;

    /// The reports of all live monitors, this one's too.
    fn reports(&self) -> Feed<Arc<BTreeMap<MonitorId, SeenReport>>>;

    /// Makes `report` this monitor's own; the latest wins.
    ///
    /// It is written when there is a session, again with each new session, and only when its votes changed.
    /// It vanishes with the session. While another session holds a report of the same monitor this one waits.
    fn publish(&self, report: Report);

    /// Takes this monitor's report back, for a session that goes on without the group. It returns at once; the
    /// report is deleted as soon as there is a connection. A later [`Store::publish`] undoes it.
    fn withdraw(&self);

    /// Waits until no report of `me` stands any more, for `limit` at most, and says whose reports stand then: of
    /// monitors that take theirs back at the same time the last sees nobody's.
    ///
    /// # Errors
    /// When the store does not answer in time, or the report is another session's and stays.
    fn remaining(
        &self,
        me: &MonitorId,
        limit: Duration,
    ) -> impl Future<Output = Result<BTreeSet<MonitorId>, StoreError>> + Send;

    /// What operators ask for and nobody has answered yet.
    fn requests(&self) -> Feed<Arc<Requests>>;

    /// Leaves a request for the leader and waits for its answer.
    ///
    /// It stands for as long as this waits: dropping the future withdraws it, and so does the end of the session.
    /// What a leader had begun by then it may finish.
    ///
    /// # Errors
    /// When the store fails, or the request vanishes unanswered: it may have been carried out.
    fn ask(&self, request: &Request) -> impl Future<Output = Result<Answer, StoreError>> + Send;

    /// The Python predecessor's monitors that are alive in this ensemble, for whatever group: the znodes of their
    /// queue for the lead. `None` until that was looked at.
    fn predecessors(&self) -> Feed<Option<Arc<Vec<String>>>>;

    /// The history of the group, the oldest entry first, read within `limit`. What is of a kind that this version does
    /// not know is left out.
    ///
    /// # Errors
    /// When the store does not answer in time.
    fn history(&self, limit: Duration) -> impl Future<Output = Result<Vec<Recorded>, StoreError>> + Send;

    /// Stands for the lead as `me`, which other monitors may ask whether it lives, where there is a `contact`.
    fn campaign(&self, me: &MonitorId, contact: Option<&Contact>) -> Self::Campaign;
}

/// One monitor's standing for the lead of one group. Dropping it resigns.
pub trait Campaign: Send + Sync + 'static {
    /// Whether this monitor leads. What it says may be some milliseconds old: see [`Campaign::holds`].
    fn leadership(&self) -> Feed<Leadership>;

    /// Who leads, if that is known and is not this campaign. What it says may be some milliseconds old.
    fn leader(&self) -> Feed<Option<Leader>>;

    /// Removes the lock of whoever leads in `term`, if that is not over yet: the next in the queue leads then.
    ///
    /// Safe at any time: whoever it was can commit nothing from then on. What it has sent to the Redis servers is the
    /// next leader's to fence off.
    ///
    /// # Errors
    /// When nobody knows whether it was removed.
    fn depose(&self, term: Term) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Whether this monitor leads in `term` right now, by this machine's monotonic clock.
    ///
    /// To be asked immediately before each command to Redis. It asks nobody, and does not block.
    fn holds(&self, term: Term) -> bool;

    /// Writes `record` if this monitor leads in `term` and `expected` is still what stands.
    ///
    /// Equal data is not written; if nothing differs, `expected` is returned and nothing was asked of the
    /// store. Dropping the future has the outcome of [`CommitError::Unknown`].
    ///
    /// `entry` goes into the history in the same transaction, or not at all; the oldest entries go for it, so that
    /// [`KEPT`] are left, [`RETURNS_KEPT`] of them of nodes that came back. One that tells more of the same return
    /// takes the place of what is told of it, whoever wrote that. What else stands in the history and is in the way is
    /// not overwritten, and holds up no record: one whose entry cannot be written is written without.
    ///
    /// # Errors
    /// See [`CommitError`]: each says what may be assumed.
    fn commit(
        &self,
        term: Term,
        expected: Version,
        record: &Topology,
        entry: Option<&Entry>,
    ) -> impl Future<Output = Result<Version, CommitError>> + Send;

    /// Replaces the entry that this campaign's last commit with one wrote, by one that tells more of the same epoch, if
    /// this monitor leads in `term`. Equal data is not written.
    ///
    /// # Errors
    /// See [`CommitError`]; a conflict means that there is none to replace.
    fn amend(&self, term: Term, entry: &Entry) -> impl Future<Output = Result<(), CommitError>> + Send;

    /// Has the store confirm that this monitor leads in `term`, by a transaction that writes nothing and checks the
    /// lock.
    ///
    /// Unlike a read it can't be answered by a server that lags behind. When it succeeds, this monitor led at some
    /// moment between the call and the return.
    ///
    /// # Errors
    /// [`CommitError::Fenced`] where it does not lead; any other says that nobody knows.
    fn confirm(&self, term: Term) -> impl Future<Output = Result<(), CommitError>> + Send;

    /// Writes the answer to a request, if this monitor leads in `term`.
    ///
    /// # Errors
    /// See [`CommitError`]; a conflict means that it was answered or withdrawn before.
    fn answer(
        &self,
        term: Term,
        request: RequestId,
        answer: &Answer,
    ) -> impl Future<Output = Result<(), CommitError>> + Send;

    /// Says whether this monitor stands for the lead from now on; at first it does. It returns at once.
    ///
    /// One that does not gives up the lead as if it resigned, and takes none, until it stands again. For a monitor
    /// that cannot do a leader's work, so that another can.
    fn stand(&self, stands: bool);

    /// Gives up the lead for good and returns when the lock is deleted or that took too long; then it vanishes with
    /// the session. [`Campaign::leadership`] is `Following` from then on.
    fn resign(&self) -> impl Future<Output = ()> + Send;
}

/// Why a commit did not succeed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommitError {
    /// This monitor does not lead in that term. Nothing was written.
    #[error("not written: this monitor does not lead (any more)")]
    Fenced,
    /// Another version stands. Nothing was written; read again.
    #[error("not written: another version of the record stands; read it again")]
    Conflict,
    /// The store refused, and will refuse again. Nothing was written.
    #[error("not written: {0}")]
    Refused(StoreError),
    /// It may have been written, or may still be: read again before anything is decided.
    #[error("perhaps written, read the record again: {0}")]
    Unknown(StoreError),
}

/// Where a monitor can be asked whether it lives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contact {
    /// `HOST:PORT`.
    pub address: String,
    /// Which life of its process answers there: another answer means that the one that is asked for has ended.
    pub life: String,
}

/// Who holds the first lock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leader {
    /// Its id.
    pub monitor: String,
    /// Where it can be asked, if anywhere.
    pub address: Option<String>,
    /// Which life of its process answers there; `None` where that is an older version, or nowhere.
    pub life: Option<String>,
    /// Its time in the lead.
    pub term: Term,
}

/// A look at the record.
#[derive(Clone, Debug, Default)]
pub struct Sight {
    /// What was read; `None` until the first look. An `Err` stands until the document is mended.
    pub read: Option<Result<Versioned, Arc<Unreadable>>>,
    /// When it was last looked at; it is known to be the latest only for as long as the store is connected.
    pub at: Option<Instant>,
}

/// A look at the published document alone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Glance {
    /// What was read, `Ok(None)` where nothing is published; `None` until the first look. An `Err` stands until
    /// the document is mended.
    pub read: Option<Result<Option<Publication>, Arc<Unreadable>>>,
    /// Which writing was read: grows with every write of the document, 0 where there is none. A document that was
    /// deleted and made anew has a greater one than it had before.
    pub order: i64,
    /// Which making of the znode it was: differs after it was deleted and made anew, 0 where there is none.
    pub created: i64,
}

/// A monitor's report and which writing of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenReport {
    /// The report.
    pub report: Report,
    /// Grows with each writing: two equal reports of different writings are told apart by it.
    pub order: i64,
    /// When this writing was first seen here; the ages in the report count up to the writing.
    pub seen_at: Instant,
}

/// An entry of a group's history as it was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// Where it stands.
    pub znode: String,
    /// Which transaction wrote it: a later entry has the greater one.
    pub order: i64,
    /// When it was written by `ZooKeeper`'s wall clock; `None` where a store has none.
    pub time: Option<SystemTime>,
    /// What it says. One that cannot be read is left as it is.
    pub entry: Result<Entry, Unreadable>,
}
