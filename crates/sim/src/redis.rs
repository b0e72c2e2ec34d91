//! One Redis server as a state machine: its role, its history and offset, its backlog, its replicas, its disk. It reads
//! no clock and sends nothing: whoever drives it carries entries and copies from one server to the next.
//!
//! A test plays the same scripts on this and on real servers (`tests/redis`).

mod data;
mod replication;
mod stream;

use std::collections::{BTreeMap, VecDeque};

use redis_failover_core::{Evidence, History, Instant, Link, NodeAddr, ReplId, Role, RunId, Sighting};

pub use data::{Copy, Persistence, WriteId, Writes};
pub use replication::{Attached, LinkId, Resync};
use stream::{BACKLOG, Backlog};
pub use stream::{Entry, Kind};

/// Why a write was not executed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Refusal {
    /// It is a replica.
    ReadOnly,
    /// Too few good replicas.
    NoReplicas,
}

/// One server.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Server {
    /// Its address.
    pub addr: NodeAddr,
    run: u32,
    named: u32,
    /// Whom it follows.
    follows: Option<NodeAddr>,
    /// The time in milliseconds, set by whoever drives it.
    pub now: u64,
    link: Link,
    down_since: u64,
    replid: ReplId,
    offset: u64,
    previous: Option<(ReplId, u64)>,
    /// Whether a replica may ask to go on from where it is: else it has nothing of any master's.
    resumes: bool,
    backlog: Option<Backlog>,
    /// What it holds.
    pub writes: Writes,
    /// Its replicas.
    pub replicas: BTreeMap<LinkId, Attached>,
    good_replicas: u32,
    /// Below so many good replicas it takes no write.
    pub min_replicas_to_write: u32,
    /// How long ago, in milliseconds, a replica must have been heard of to be a good one.
    pub max_lag: u64,
    /// `replica-priority`.
    pub priority: u32,
    /// Whether it does as Redis 6.2: it cuts its replicas off when it follows another, where Redis 7.0 and Valkey feed
    /// them on, and a master does not read from its snapshot whose history it is.
    pub is_6_2: bool,
    /// What its disk keeps.
    pub persistence: Persistence,
    /// The last snapshot.
    pub snapshot: Option<Copy>,
    /// Its role and `min-replicas-to-write` as its configuration file has them.
    filed: (Option<NodeAddr>, u32),
    /// Until when CLIENT PAUSE holds writes back, in milliseconds.
    pub paused_until: u64,
    /// What was added to the stream and not yet sent.
    stream: Vec<Entry>,
}

/// What whoever drives a server must do to its connections after a command.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Upheaval {
    /// Close the one to the master.
    pub master: bool,
    /// Close those of all replicas.
    pub replicas: bool,
}

/// A server's name, which no other has: its port is told where it is not the usual one.
pub fn named(addr: &NodeAddr) -> String {
    if addr.port() == 6379 { addr.host().to_owned() } else { addr.to_string() }
}

/// Where a frozen server is told to look for its master: nobody serves there.
fn refusing() -> NodeAddr {
    NodeAddr::new("127.0.0.1", 1)
}

/// A server's life.
impl Server {
    /// A master that was started for the first time.
    pub fn new(addr: NodeAddr, persistence: Persistence) -> Self {
        let mut server = Self {
            addr,
            run: 0,
            named: 0,
            follows: None,
            now: 0,
            link: Link::Down { seconds: 0 },
            down_since: 0,
            replid: ReplId(String::new()),
            offset: 0,
            previous: None,
            resumes: false,
            backlog: None,
            writes: Writes::default(),
            replicas: BTreeMap::new(),
            good_replicas: 0,
            min_replicas_to_write: 0,
            max_lag: 10_000,
            priority: 100,
            is_6_2: false,
            persistence,
            snapshot: None,
            filed: (None, 0),
            paused_until: 0,
            stream: Vec::new(),
        };
        server.run = 1;
        server.replid = server.new_name();
        server
    }

    /// The next life of its process, with what its disk brings back.
    pub fn restart(&mut self) {
        let kept = match self.persistence {
            Persistence::Nothing => None,
            Persistence::Snapshots => self.snapshot.clone(),
            Persistence::Log => {
                Some(Copy { replid: None, offset: 0, writes: std::mem::take(&mut self.writes) })
            }
        };
        self.start_with(kept);
    }

    /// The next life of its process, without any memory.
    pub fn restart_empty(&mut self) {
        self.snapshot = None;
        self.start_with(None);
    }

    fn start_with(&mut self, kept: Option<Copy>) {
        self.run += 1;
        (self.follows, self.min_replicas_to_write) = self.filed.clone();
        (self.backlog, self.resumes, self.paused_until) = (None, false, 0);
        self.link_is_down();
        (self.replicas, self.good_replicas, self.stream) = Default::default();
        let Copy { replid, offset, writes } =
            kept.unwrap_or(Copy { replid: None, offset: 0, writes: Writes::default() });
        (self.previous, self.offset, self.writes) = (None, 0, writes);
        match (replid, &self.follows) {
            // A replica goes on where its snapshot ends.
            (Some(replid), Some(_)) => {
                (self.replid, self.offset, self.resumes) = (replid, offset, true);
            }
            // A master takes a new name for what it goes on with, and knows the old one.
            (Some(replid), None) if !self.is_6_2 => {
                (self.previous, self.offset) = (Some((replid, offset + 1)), offset);
                self.replid = self.new_name();
                self.keep_backlog();
            }
            (_, _) => self.replid = self.new_name(),
        }
    }

    fn keep_backlog(&mut self) {
        self.backlog.get_or_insert_with(|| Backlog { start: self.offset, entries: VecDeque::new() });
    }

    fn new_name(&mut self) -> ReplId {
        self.named += 1;
        ReplId(format!("{}.{}", named(&self.addr), self.named))
    }

    /// What its disk would bring back.
    pub fn on_disk(&self) -> Writes {
        match self.persistence {
            Persistence::Nothing => Writes::default(),
            Persistence::Snapshots => {
                self.snapshot.as_ref().map(|copy| copy.writes.clone()).unwrap_or_default()
            }
            Persistence::Log => self.writes.clone(),
        }
    }

    /// Writes a snapshot to the disk. A server that has no history to share saves no name of it.
    pub fn save(&mut self) {
        let named = if self.follows.is_some() { self.resumes } else { self.backlog.is_some() };
        let copy = self.copy();
        self.snapshot = Some(Copy { replid: copy.replid.filter(|_| named), ..copy });
    }

    /// Writes its role and `min_replicas_to_write` into its configuration file.
    pub fn rewrite(&mut self) {
        self.filed = (self.follows.clone(), self.min_replicas_to_write);
    }

    /// Its `min_replicas_to_write` as its configuration file has it.
    pub fn filed_number(&self) -> u32 {
        self.filed.1
    }
}

/// What it is told.
impl Server {
    /// REPLICAOF; `None` is the refusing address.
    pub fn follow(&mut self, of: Option<NodeAddr>) -> Upheaval {
        let of = of.unwrap_or_else(refusing);
        if self.follows.as_ref() == Some(&of) {
            return Upheaval::default();
        }
        // What a master has is as good as a replica's.
        self.resumes |= self.follows.is_none();
        self.follows = Some(of);
        self.link_is_down();
        Upheaval { master: true, replicas: self.is_6_2 }
    }

    /// REPLICAOF NO ONE.
    pub fn follow_no_one(&mut self) -> Upheaval {
        if self.follows.take().is_none() {
            return Upheaval::default();
        }
        self.previous = Some((self.replid.clone(), self.offset + 1));
        self.replid = self.new_name();
        self.link_is_down();
        Upheaval { master: true, replicas: true }
    }

    fn link_is_down(&mut self) {
        (self.link, self.down_since) = (Link::Down { seconds: 0 }, self.now);
    }

    /// A client's write.
    ///
    /// # Errors
    /// Where it is not executed.
    pub fn write(&mut self, id: WriteId) -> Result<(), Refusal> {
        if self.follows.is_some() {
            return Err(Refusal::ReadOnly);
        }
        if !self.has_replicas() {
            return Err(Refusal::NoReplicas);
        }
        self.feed(Kind::Write(id));
        Ok(())
    }

    /// Something else for the replicas. A server without replicas says nothing.
    pub fn say(&mut self, kind: Kind) {
        if self.follows.is_none() && !self.replicas.is_empty() {
            self.feed(kind);
        }
    }

    fn feed(&mut self, kind: Kind) {
        self.offset += if self.is_uncounted() { 0 } else { kind.size() };
        self.take_in(Entry { end: self.offset, kind });
    }

    fn take_in(&mut self, entry: Entry) {
        if let Kind::Write(id) = entry.kind {
            self.writes.insert(id);
        }
        self.stream.push(entry);
        if let Some(backlog) = &mut self.backlog {
            backlog.entries.push_back(entry);
            while backlog.entries.front().is_some_and(|it| entry.end - it.end >= BACKLOG) {
                backlog.start = backlog.entries.pop_front().map_or(backlog.start, |it| it.end);
            }
        }
    }

    /// What was added to the stream since this was asked last: for all replicas that are online.
    pub fn take_stream(&mut self) -> Vec<Entry> {
        std::mem::take(&mut self.stream)
    }

    /// Once a second: who of the replicas is a good one.
    pub fn count_good_replicas(&mut self) {
        self.good_replicas = self.good_within(self.max_lag);
    }

    /// How many replicas have said something within `lag` milliseconds. Both are counted in whole seconds.
    fn good_within(&self, lag: u64) -> u32 {
        let ago = |it: &Attached| (self.now / 1_000).saturating_sub(it.heard / 1_000) * 1_000;
        let good = self.replicas.values().filter(|it| it.online && ago(it) <= lag);
        u32::try_from(good.count()).unwrap_or(u32::MAX)
    }

    /// Whether so many replicas follow it, as it counted last, that it takes writes.
    pub fn has_replicas(&self) -> bool {
        self.good_replicas >= self.min_replicas_to_write
    }

    /// When it last heard of a replica that is attached, in milliseconds.
    pub fn heard_of_a_replica(&self) -> Option<u64> {
        self.replicas.values().filter(|replica| replica.online).map(|replica| replica.heard).max()
    }

    /// Has it take writes only while `number` replicas follow it; an operator's own number stands.
    pub fn fence(&mut self, number: u32) {
        if self.min_replicas_to_write > 1 {
            return;
        }
        self.min_replicas_to_write = number;
        if number > 0 {
            self.max_lag = self.max_lag.min(2_000);
        }
        self.count_good_replicas();
    }

    /// How many replicas said that they are at `offset`, for WAIT.
    pub fn count_at(&self, offset: u64) -> u32 {
        let there = |it: &&Attached| it.online && it.acked >= offset;
        u32::try_from(self.replicas.values().filter(there).count()).unwrap_or(u32::MAX)
    }
}

/// What it says of itself.
impl Server {
    /// The life of its process.
    pub fn run(&self) -> RunId {
        RunId(format!("{}#{}", named(&self.addr), self.run))
    }

    /// Its link to its master, where it follows one.
    pub fn link(&self) -> Link {
        self.link
    }

    /// Whether it takes itself for a master.
    pub fn is_master(&self) -> bool {
        self.follows.is_none()
    }

    /// The offset after what it holds.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// The history that it goes on with.
    pub fn replid(&self) -> &ReplId {
        &self.replid
    }

    /// What it is.
    pub fn role(&self) -> Role {
        match &self.follows {
            None => Role::Master { replicas: u32::try_from(self.replicas.len()).unwrap_or(u32::MAX) },
            Some(of) => Role::Replica {
                of: Some(of.clone()),
                link: match self.link {
                    Link::Down { .. } => Link::Down { seconds: (self.now - self.down_since) / 1_000 },
                    other => other,
                },
                received: self.offset,
            },
        }
    }

    /// What it holds.
    pub fn history(&self) -> History {
        History { replid: self.replid.clone(), offset: self.offset, previous: self.previous.clone() }
    }

    /// The answer to a probe that was `asked` then.
    pub fn sighting(&self, asked: Instant) -> Sighting {
        let online = self.replicas.values().filter(|replica| replica.online);
        let feeds = online.map(|replica| replica.node.clone()).collect();
        Sighting {
            asked,
            run: self.run(),
            role: self.role(),
            history: self.history(),
            guarded: self.min_replicas_to_write > 0,
            good_replicas: self.good_within(2_000),
            feeds,
        }
    }

    /// What it says to who commands it, if it was `role` before.
    pub fn evidence(&self, role: Role) -> Evidence {
        Evidence {
            run: self.run(),
            role,
            history: self.history(),
            priority: self.priority,
            uncounted: self.is_uncounted(),
            keys: self.writes.len(),
            saved: None,
            min_replicas_to_write: Some(self.min_replicas_to_write),
            version: None,
            appends: Some(self.persistence == Persistence::Log),
        }
    }
}
