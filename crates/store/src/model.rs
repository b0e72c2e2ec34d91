//! The store's rules as a plain struct: sessions, the election, the commit, the reports, on a tree of znodes that
//! hold the very bytes that `ZooKeeper` would hold.
//!
//! Nothing happens by itself: a session that others changed something for does its part when it is told to
//! [`Model::attend`], and believes until then what it knew before. It reads no clock, starts no thread, waits for
//! nobody and draws no random number; the same calls always lead to the same answers.

mod commits;
mod report;
mod requests;
mod tree;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use redis_failover_core::{Instant, Leadership, MonitorId, Report, Term, Versioned};

use crate::history::Written;
use crate::raw::{Raw, Writing};
use crate::wire::{self, Lock, leader_of, lock_bytes, parse_report};
use crate::znodes::{Znodes, lock_prefix, sequence};
use crate::{CommitError, Contact, Glance, GroupPath, Leader, Unreadable};
use report::OwnReport;
use tree::{Change, Tree};

pub use tree::Stat;
pub(crate) use tree::{Kept, KeptZnode};

/// A store without servers. A clone is another world that was the same until now.
#[derive(Clone, Debug, Default)]
pub struct Model {
    tree: Tree,
    sessions: BTreeMap<SessionId, Session>,
    campaigns: BTreeMap<CampaignId, Candidate>,
    /// The last campaign's number; a session is called by the transaction that began it.
    last_campaign: u64,
}

/// One who uses the store. It is lasting: what expires is replaced under the same id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SessionId(i64);

/// One standing for the lead of one group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct CampaignId(u64);

#[derive(Clone, Debug)]
struct Session {
    /// The owner of its ephemeral znodes; another one after it expired.
    owner: i64,
    link: Link,
    /// The record of each group as it was last read or written here, where a commit may replace it.
    known: BTreeMap<GroupPath, Raw>,
    reports: BTreeMap<GroupPath, OwnReport>,
}

/// Whether a session is in touch with the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Link {
    Connected,
    /// Its locks and reports stand for now.
    Broken,
    /// Nothing of it stands any more.
    Expired,
}

#[derive(Clone, Debug)]
struct Candidate {
    session: SessionId,
    group: GroupPath,
    data: Vec<u8>,
    /// As of when its session attended last.
    leadership: Leadership,
    /// Who else leads, as of then.
    leader: Option<Leader>,
    lock: Option<String>,
    stands: bool,
    /// The entry that it wrote last.
    written: Option<Written>,
}

/// Lives of a process that keeps it.
impl Model {
    /// What is to be found again after a restart: the record, the history and the numbers, of all groups.
    pub(crate) fn kept(&self) -> Kept {
        self.tree.kept()
    }

    /// The model as an earlier life left it, without its sessions. All numbers, terms among them, are greater than any
    /// of that life.
    pub(crate) fn of(kept: Kept) -> Self {
        Self { tree: Tree::of(kept), ..Self::default() }
    }
}

/// Sessions.
impl Model {
    /// A new session, connected.
    pub fn open(&mut self) -> SessionId {
        let owner = self.tree.begin();
        let id = SessionId(owner);
        let (known, reports) = Default::default();
        self.sessions.insert(id, Session { owner, link: Link::Connected, known, reports });
        id
    }

    /// Ends the session for good: its locks and reports vanish, and it knows.
    pub fn close(&mut self, session: SessionId) {
        let Some(closed) = self.sessions.remove(&session) else { return };
        self.campaigns.retain(|_, candidate| candidate.session != session);
        if closed.link != Link::Expired {
            self.tree.end(closed.owner);
        }
    }

    /// The session can neither ask nor be told anything, and believes no longer that it leads.
    pub fn disconnect(&mut self, session: SessionId) {
        let connected = |session: &&mut Session| session.link == Link::Connected;
        let Some(broken) = self.sessions.get_mut(&session).filter(connected) else { return };
        broken.link = Link::Broken;
        for candidate in self.campaigns.values_mut().filter(|candidate| candidate.session == session) {
            if matches!(candidate.leadership, Leadership::Leading(_)) {
                candidate.leadership = Leadership::Suspended;
            }
        }
    }

    /// Ends a session against the will of its user, who will get another one with [`Model::reconnect`]: its locks
    /// and reports vanish.
    pub fn expire(&mut self, session: SessionId) {
        let alive = |session: &&mut Session| session.link != Link::Expired;
        let Some(expired) = self.sessions.get_mut(&session).filter(alive) else { return };
        expired.link = Link::Expired;
        self.tree.end(expired.owner);
        for candidate in self.campaigns.values_mut().filter(|candidate| candidate.session == session) {
            candidate.leadership = Leadership::Following;
            candidate.lock = None;
        }
    }

    /// The session is in touch again; if it has expired, another takes its place.
    pub fn reconnect(&mut self, session: SessionId) {
        let Some(session) = self.sessions.get_mut(&session) else { return };
        if std::mem::replace(&mut session.link, Link::Connected) == Link::Expired {
            session.owner = self.tree.begin();
        }
    }

    /// Whether the session can ask and be told anything.
    pub fn is_connected(&self, session: SessionId) -> bool {
        self.sessions.get(&session).is_some_and(|session| session.link == Link::Connected)
    }

    /// The session hears of all changes and does its part: its campaigns look at their locks, or make them, and its
    /// reports are written where they are not. One that is not connected hears and does nothing.
    pub fn attend(&mut self, session: SessionId, now: Instant) {
        let Some(Session { owner, link: Link::Connected, .. }) = self.sessions.get(&session) else { return };
        let owner = *owner;
        self.step_aside(session);
        for (id, candidate) in &mut self.campaigns {
            if candidate.session == session && candidate.stands {
                candidate.stand(*id, owner, &mut self.tree);
            }
        }
        let Some(session) = self.sessions.get_mut(&session) else { return };
        for (group, report) in &mut session.reports {
            report.keep_written(group, owner, &mut self.tree, now);
        }
        session.reports.retain(|_, report| report.latest.is_some());
    }

    /// All sessions attend. Nothing is left to do then.
    pub fn settle(&mut self, now: Instant) {
        let sessions: Vec<_> = self.sessions.keys().copied().collect();
        // Whose way is free now sees it when it attends.
        for session in &sessions {
            self.step_aside(*session);
        }
        for session in sessions {
            self.attend(session, now);
        }
    }

    /// Deletes the locks of campaigns that do not stand.
    fn step_aside(&mut self, session: SessionId) {
        if !self.is_connected(session) {
            return;
        }
        let aside = |candidate: &&mut Candidate| candidate.session == session && !candidate.stands;
        for candidate in self.campaigns.values_mut().filter(aside) {
            candidate.leadership = Leadership::Following;
            if let Some(lock) = candidate.lock.take() {
                // Somebody else may have deleted it.
                let _ = self.tree.transact(&[Change::Delete { path: &lock }]);
            }
        }
    }
}

/// The lead.
impl Model {
    /// Stands for the lead of `group` as `me`, from when the session attends.
    pub fn campaign(
        &mut self,
        session: SessionId,
        group: &GroupPath,
        me: &MonitorId,
        contact: Option<&Contact>,
    ) -> CampaignId {
        self.last_campaign += 1;
        let id = CampaignId(self.last_campaign);
        let data = lock_bytes(&Lock::of(me, contact));
        let (group, leadership) = (group.clone(), Leadership::Following);
        let (leader, lock, written) = Default::default();
        let candidate = Candidate { session, group, data, leadership, leader, lock, stands: true, written };
        self.campaigns.insert(id, candidate);
        id
    }

    /// Whether the campaign leads, as of when its session attended last or lost touch.
    pub fn leadership(&self, campaign: CampaignId) -> Leadership {
        self.campaigns.get(&campaign).map_or(Leadership::Following, |candidate| candidate.leadership)
    }

    /// Who leads where the campaign does not, as of when its session attended last.
    pub fn leader(&self, campaign: CampaignId) -> Option<&Leader> {
        self.campaigns.get(&campaign)?.leader.as_ref()
    }

    /// The term of who holds the first lock of `group` now, whether he knows it or not.
    pub fn term(&self, group: &GroupPath) -> Option<Term> {
        first_lock(&self.tree, &Znodes::new(group.to_string())).map(|(_, leader)| leader.term)
    }

    /// Removes the lock of who leads in `term` in `group`, if that is not over yet.
    pub fn depose(&mut self, group: &GroupPath, term: Term) {
        let znodes = Znodes::new(group.to_string());
        let first = first_lock(&self.tree, &znodes);
        if let Some((path, _)) = first.filter(|(_, leader)| leader.term == term) {
            // Cannot fail: it was just there.
            let _ = self.tree.transact(&[Change::Delete { path: &path }]);
        }
    }

    /// Stands, or leaves the lead to others until it stands again, from when its session attends.
    pub fn stand(&mut self, campaign: CampaignId, stands: bool) {
        if let Some(candidate) = self.campaigns.get_mut(&campaign) {
            candidate.stands = stands;
        }
    }

    /// Gives up the lead, and stands no longer. What is not connected leaves its lock behind until its session ends.
    pub fn resign(&mut self, campaign: CampaignId) {
        let Some(candidate) = self.campaigns.remove(&campaign) else { return };
        if let Some(lock) = candidate.lock.filter(|_| self.is_connected(candidate.session)) {
            // Somebody else may have deleted it.
            let _ = self.tree.transact(&[Change::Delete { path: &lock }]);
        }
    }

    /// Confirms that the campaign leads in `term`, as the store has it now and not as its session knew last.
    ///
    /// # Errors
    /// [`CommitError::Fenced`].
    pub fn confirm(&self, campaign: CampaignId, term: Term) -> Result<(), CommitError> {
        let leads = |candidate: &&Candidate| candidate.leadership == Leadership::Leading(term);
        let lock =
            self.campaigns.get(&campaign).filter(leads).and_then(|candidate| candidate.lock.as_deref());
        let stands = lock.is_some_and(|lock| self.tree.get(lock).is_some());
        if stands { Ok(()) } else { Err(CommitError::Fenced) }
    }
}

/// Reading, and reporting.
impl Model {
    /// The session reads the record; a commit may replace what was read last. `None` where it is not connected.
    pub fn look(&mut self, session: SessionId, group: &GroupPath) -> Option<Result<Versioned, Unreadable>> {
        let znodes = Znodes::new(group.to_string());
        let session = self.sessions.get_mut(&session).filter(|session| session.link == Link::Connected)?;
        let writing = |path: &str| {
            let (bytes, stat) = self.tree.get(path)?;
            Some(Writing { bytes: bytes.to_owned(), order: stat.modified, version: stat.version })
        };
        let raw = Raw::new(writing(&znodes.document), writing(&znodes.state));
        let read = raw.found(&znodes.document).map(|found| Versioned { version: raw.version, found });
        match read {
            Ok(_) => session.known.insert(group.clone(), raw),
            // What cannot be read is never overwritten.
            Err(_) => session.known.remove(group),
        };
        Some(read)
    }

    /// What the group publishes.
    pub fn publication(&self, group: &GroupPath) -> Glance {
        let read = self.tree.get(group.as_str());
        let (order, created) = read.map_or((0, 0), |(_, stat)| (stat.modified, stat.created));
        let publication = wire::publication(group.as_str(), read.map(|(bytes, _)| bytes));
        Glance { read: Some(publication.map_err(Arc::new)), order, created }
    }

    /// All reports that can be read, and which writing of each it is.
    pub fn reports(&self, group: &GroupPath) -> BTreeMap<MonitorId, (Report, i64)> {
        let znodes = Znodes::new(group.to_string());
        let report = |name: &String| {
            let id: MonitorId = name.parse().ok()?;
            let znode = znodes.report(&id);
            let (bytes, stat) = self.tree.get(&znode)?;
            let report = parse_report(&znode, &id, bytes).ok()?;
            Some((id, (report, stat.modified)))
        };
        self.tree.children(&znodes.monitors).iter().filter_map(report).collect()
    }

    /// The monitors whose reports stand, whether they can be read or not.
    pub fn remaining(&self, group: &GroupPath) -> BTreeSet<MonitorId> {
        let znodes = Znodes::new(group.to_string());
        self.tree.children(&znodes.monitors).iter().filter_map(|name| name.parse().ok()).collect()
    }

    /// Makes `report` the session's own for the group; it is written when the session attends.
    pub fn publish(&mut self, session: SessionId, group: &GroupPath, report: Report, now: Instant) {
        let Some(session) = self.sessions.get_mut(&session) else { return };
        let written = session.reports.remove(group).and_then(|before| before.written);
        session.reports.insert(group.clone(), OwnReport { latest: Some((report, now)), written });
    }

    /// Takes the session's report for the group back; it is deleted when the session attends.
    pub fn withdraw(&mut self, session: SessionId, group: &GroupPath) {
        let session = self.sessions.get_mut(&session);
        if let Some(report) = session.and_then(|session| session.reports.get_mut(group)) {
            report.latest = None;
        }
    }
}

/// What others do with the store, and can see of it: people, tools, the predecessor.
impl Model {
    /// Writes `data` to the znode `path`, which is made where it is missing, and all above it.
    pub fn put(&mut self, path: &str, data: &[u8]) {
        self.tree.ensure(path);
        // Cannot fail: it is there, and no version is asked for.
        let _ = self.tree.transact(&[Change::Set { path, data, version: None }]);
    }

    /// Deletes the znode `path` and all below it in one transaction, if it is there.
    pub fn delete(&mut self, path: &str) {
        let below = self.tree.descendants(path);
        let paths = below.iter().map(String::as_str).chain([path]);
        let deletions: Vec<_> = paths.map(|path| Change::Delete { path }).collect();
        let _ = self.tree.transact(&deletions);
    }

    /// The data of the znode `path`, and which writing of it.
    pub fn get(&self, path: &str) -> Option<(&[u8], Stat)> {
        self.tree.get(path)
    }

    /// The names of the znodes directly below `path`.
    pub fn children(&self, path: &str) -> Vec<String> {
        self.tree.children(path)
    }

    /// The number of the last transaction: while it stands still nothing is written.
    pub fn transaction(&self) -> i64 {
        self.tree.transaction()
    }
}

impl Candidate {
    /// Looks at its lock, which it makes where there is none, and says whether it is the first.
    fn stand(&mut self, id: CampaignId, owner: i64, tree: &mut Tree) {
        let znodes = Znodes::new(self.group.to_string());
        let prefix = lock_prefix(owner, id.0);
        let own = tree.children(&znodes.leader).into_iter().find(|name| name.starts_with(&prefix));
        let lock = own.map(|name| znodes.lock(&name)).or_else(|| {
            tree.ensure(&znodes.leader);
            tree.create_sequential(&znodes.lock(&prefix), &self.data, owner).ok()
        });
        let first = first_lock(tree, &znodes);
        (self.leadership, self.leader) = match first {
            Some((path, leader)) if lock.as_ref() == Some(&path) => (Leadership::Leading(leader.term), None),
            first => (Leadership::Following, first.map(|(_, leader)| leader)),
        };
        self.lock = lock;
    }
}

/// The lock that makes its holder the leader, and who that is.
fn first_lock(tree: &Tree, znodes: &Znodes) -> Option<(String, Leader)> {
    let names = tree.children(&znodes.leader);
    let first = names.iter().filter(|name| sequence(name).is_some()).min_by_key(|name| sequence(name))?;
    let path = znodes.lock(first);
    let (bytes, stat) = tree.get(&path)?;
    let leader = leader_of(first, bytes, Term(stat.created));
    Some((path, leader))
}
