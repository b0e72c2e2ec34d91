//! How one server follows another: both ends of it. It never calls anybody: whoever drives it does.

use redis_failover_core::{Link, NodeAddr, ReplId};

use super::{Copy, Entry, Server, Upheaval, refusing};

/// The end of a replica that a master keeps: one connection.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Attached {
    /// The address that it announced.
    pub node: NodeAddr,
    /// How far it said that it is.
    pub acked: u64,
    /// When it said so last, in milliseconds.
    pub heard: u64,
    /// Whether it holds a whole copy and receives what is written.
    pub online: bool,
}

/// A connection between a replica and its master, by its number.
pub type LinkId = u64;

/// The answer to PSYNC.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Resync {
    /// Go on from where you are: these are missing.
    Partial {
        /// The history's present name.
        replid: ReplId,
        /// What is missing.
        entries: Vec<Entry>,
    },
    /// A whole copy follows.
    Full,
    /// This server is a replica without a link to its master.
    NoMasterLink,
}

/// Replication, as the one who is followed.
impl Server {
    /// PSYNC of the replica `node` over `link`, which has the history `replid` up to `offset`, if any.
    pub fn psync(&mut self, link: LinkId, node: NodeAddr, replid: Option<&ReplId>, offset: u64) -> Resync {
        if self.follows.is_some() && self.link != Link::Up {
            return Resync::NoMasterLink;
        }
        let heard = self.now;
        let attached = |online| Attached { node, acked: if online { offset } else { 0 }, heard, online };
        if let Some(entries) = replid.and_then(|replid| self.missing(replid, offset)) {
            self.replicas.insert(link, attached(true));
            self.count_good_replicas();
            return Resync::Partial { replid: self.replid.clone(), entries };
        }
        if self.backlog.is_none() {
            if self.follows.is_none() {
                // A master renames its history when it gets its first replica.
                self.replid = self.new_name();
                self.previous = None;
            }
            self.keep_backlog();
        }
        self.replicas.insert(link, attached(false));
        Resync::Full
    }

    /// Whether what it writes does not move its offset: nobody followed it in this life, and it went on with nobody.
    pub(super) fn is_uncounted(&self) -> bool {
        self.backlog.is_none() && self.replicas.is_empty()
    }

    /// What a replica with this history lacks, if the backlog still has it.
    fn missing(&self, replid: &ReplId, offset: u64) -> Option<Vec<Entry>> {
        let backlog = self.backlog.as_ref()?;
        let same = *replid == self.replid;
        let before = self.previous.as_ref().is_some_and(|(name, end)| name == replid && offset < *end);
        let kept = offset >= backlog.start && offset <= self.offset;
        let after = |entry: &&Entry| entry.end > offset;
        ((same || before) && kept).then(|| backlog.entries.iter().filter(after).copied().collect())
    }

    /// The copy for a full resync; whoever sends it sends the stream from here on after it.
    pub fn copy(&self) -> Copy {
        Copy { replid: Some(self.replid.clone()), offset: self.offset, writes: self.writes.clone() }
    }

    /// A replica says how far it is.
    pub fn acknowledge(&mut self, link: LinkId, offset: u64) {
        if let Some(replica) = self.replicas.get_mut(&link) {
            let news = !replica.online;
            (replica.acked, replica.heard, replica.online) = (offset, self.now, true);
            if news {
                self.count_good_replicas();
            }
        }
    }

    /// A replica's connection is gone.
    pub fn detach(&mut self, link: LinkId) {
        if self.replicas.remove(&link).is_some() {
            self.count_good_replicas();
        }
    }
}

/// Replication, as the one who follows.
impl Server {
    /// What it asks PSYNC for: its history and how far it has it; or `?`, which nobody has, for a whole copy.
    pub fn wants(&self) -> (ReplId, u64) {
        if self.resumes { (self.replid.clone(), self.offset) } else { (ReplId("?".to_owned()), 0) }
    }

    /// Whom it follows, where that is somebody.
    pub fn master(&self) -> Option<&NodeAddr> {
        self.follows.as_ref().filter(|of| **of != refusing())
    }

    /// The master goes on from where it is, perhaps under a new name; its own replicas must then ask again.
    pub fn continue_with(&mut self, replid: ReplId) -> Upheaval {
        let renamed = replid != self.replid;
        if renamed {
            let old = std::mem::replace(&mut self.replid, replid);
            self.previous = Some((old, self.offset + 1));
        }
        self.resumes = true;
        self.keep_backlog();
        self.link = Link::Up;
        Upheaval { master: false, replicas: renamed }
    }

    /// A whole copy is on its way.
    pub fn begin_copy(&mut self) {
        self.link = Link::Syncing;
    }

    /// A whole copy has arrived: what was here is gone. The file in which it came stays as a snapshot.
    pub fn replace_with(&mut self, copy: Copy) -> Upheaval {
        self.snapshot = Some(copy.clone());
        self.replid = copy.replid.unwrap_or_else(|| self.new_name());
        (self.offset, self.writes, self.previous) = (copy.offset, copy.writes, None);
        (self.backlog, self.resumes) = (None, true);
        self.keep_backlog();
        self.stream.clear();
        self.link = Link::Up;
        Upheaval { master: false, replicas: true }
    }

    /// Takes in what the master sent. What it has already is passed over.
    pub fn apply(&mut self, entry: Entry) {
        if entry.end > self.offset {
            self.offset = entry.end;
            self.take_in(entry);
        }
    }

    /// The link to the master is gone.
    pub fn lose_master(&mut self) {
        if self.follows.is_some() {
            self.link_is_down();
        }
    }
}
