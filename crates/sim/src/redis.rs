//! One Redis server as a state machine: its role, its history and offset, its backlog, its replicas, its disk. It reads
//! no clock and sends nothing: whoever drives it carries entries and copies from one server to the next.
//!
//! A test plays the same scripts on this and on a real server (`tests/redis.rs`).

use std::collections::{BTreeMap, VecDeque};

use redis_failover_core::{Evidence, History, Instant, Link, NodeAddr, ReplId, Role, RunId, Sighting};

/// One client's write of one key, by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WriteId(pub u32);

/// Which writes a server holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Writes(Vec<u64>);

impl Writes {
    /// Takes one in.
    pub fn insert(&mut self, WriteId(id): WriteId) {
        let word = (id / 64) as usize;
        if word >= self.0.len() {
            self.0.resize(word + 1, 0);
        }
        self.0[word] |= 1 << (id % 64);
    }

    /// Whether it is there.
    pub fn contains(&self, WriteId(id): WriteId) -> bool {
        self.0.get((id / 64) as usize).is_some_and(|word| word & (1 << (id % 64)) != 0)
    }

    /// Drops all that are not in `other`.
    pub fn keep(&mut self, other: &Self) {
        for (word, bits) in self.0.iter_mut().enumerate() {
            *bits &= other.0.get(word).copied().unwrap_or(0);
        }
    }

    /// How many.
    pub fn len(&self) -> u64 {
        self.0.iter().map(|word| u64::from(word.count_ones())).sum()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(|word| *word == 0)
    }

    /// Those that are here and not in `other`.
    pub fn without<'a>(&'a self, other: &'a Self) -> impl Iterator<Item = WriteId> + 'a {
        (0..).zip(&self.0).flat_map(move |(word, bits)| {
            let missing = bits & !other.0.get(word as usize).copied().unwrap_or(0);
            (0..64).filter(move |bit| missing & (1 << bit) != 0).map(move |bit| WriteId(word * 64 + bit))
        })
    }
}

/// What a master sends to its replicas.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Entry {
    /// The offset after it.
    pub end: u64,
    /// What it says.
    pub kind: Kind,
}

/// What an entry of the replication stream says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A write.
    Write(WriteId),
    /// The master lives.
    Ping,
    /// Say at once how far you are.
    GetAck,
}

impl Kind {
    /// Bytes of the stream, about as many as a real server's.
    fn size(self) -> u64 {
        match self {
            Self::Write(_) => 40,
            Self::Ping => 14,
            Self::GetAck => 37,
        }
    }
}

/// A whole copy of a server's data, as it is on its way to a replica or on a disk.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Copy {
    /// The history that it belongs to; `None` for a snapshot of a server that kept none.
    pub replid: Option<ReplId>,
    /// How far.
    pub offset: u64,
    /// The data.
    pub writes: Writes,
}

/// What a server's disk brings back after a restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Persistence {
    /// Nothing.
    Nothing,
    /// The last snapshot.
    Snapshots,
    /// Everything: an append-only file.
    Log,
}

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

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Backlog {
    /// The offset before its first byte.
    start: u64,
    entries: VecDeque<Entry>,
}

/// The answer to PSYNC.
#[derive(Clone, Debug, PartialEq, Eq)]
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

/// Why a write was not executed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Refusal {
    /// It is a replica.
    ReadOnly,
    /// Too few good replicas.
    NoReplicas,
}

/// How much of the stream is kept, in bytes.
const BACKLOG: u64 = 16 * 1024;

/// One server.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Server {
    /// Its address.
    pub addr: NodeAddr,
    run: u32,
    named: u32,
    /// Whom it follows; `Some(None)` is the refusing address.
    follows: Option<Option<NodeAddr>>,
    /// The time in milliseconds, set by whoever drives it.
    pub now: u64,
    link: Link,
    down_since: u64,
    replid: ReplId,
    offset: u64,
    previous: Option<(ReplId, u64)>,
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
    /// What its disk keeps.
    pub persistence: Persistence,
    /// The last snapshot.
    pub snapshot: Option<Copy>,
    /// Its role as its configuration file has it.
    filed: Option<Option<NodeAddr>>,
    /// Until when CLIENT PAUSE holds writes back, in milliseconds.
    pub paused_until: u64,
    /// What was added to the stream and not yet sent.
    stream: Vec<Entry>,
}

/// What whoever drives a server must do to its connections after a command.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Upheaval {
    /// Close the one to the master.
    pub master: bool,
    /// Close those of all replicas.
    pub replicas: bool,
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
            backlog: None,
            writes: Writes::default(),
            replicas: BTreeMap::new(),
            good_replicas: 0,
            min_replicas_to_write: 0,
            max_lag: 10_000,
            priority: 100,
            persistence,
            snapshot: None,
            filed: None,
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
        self.follows.clone_from(&self.filed);
        self.backlog = None;
        self.link_is_down();
        (self.replicas, self.good_replicas, self.stream) = Default::default();
        (self.min_replicas_to_write, self.paused_until) = (0, 0);
        let Copy { replid, offset, writes } =
            kept.unwrap_or(Copy { replid: None, offset: 0, writes: Writes::default() });
        (self.previous, self.offset, self.writes) = (None, offset, writes);
        match (replid, &self.follows) {
            // A replica goes on where its snapshot ends.
            (Some(replid), Some(_)) => self.replid = replid,
            // A master takes a new name for what it goes on with, and knows the old one.
            (Some(replid), None) => {
                self.previous = Some((replid, offset + 1));
                self.replid = self.new_name();
                self.backlog = Some(Backlog { start: offset, entries: VecDeque::new() });
            }
            (None, _) => self.replid = self.new_name(),
        }
    }

    fn new_name(&mut self) -> ReplId {
        self.named += 1;
        ReplId(format!("{}.{}", self.addr.host(), self.named))
    }

    /// Writes a snapshot to the disk. A server that keeps no backlog saves no name of its history.
    pub fn save(&mut self) {
        let named = self.follows.is_some() || self.backlog.is_some();
        let copy = self.copy();
        self.snapshot = Some(Copy { replid: copy.replid.filter(|_| named), ..copy });
    }

    /// Writes its role into its configuration file.
    pub fn rewrite(&mut self) {
        self.filed.clone_from(&self.follows);
    }
}

/// What it is told.
impl Server {
    /// REPLICAOF; `None` is the refusing address.
    pub fn follow(&mut self, of: Option<NodeAddr>) -> Upheaval {
        if self.follows.as_ref() == Some(&of) {
            return Upheaval::default();
        }
        self.follows = Some(of);
        self.link_is_down();
        Upheaval { master: true, replicas: false }
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
        if self.good_replicas < self.min_replicas_to_write {
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
        // Nobody ever followed: the stream is not written down, and offsets only count it.
        self.offset += if self.backlog.is_none() && self.replicas.is_empty() { 1 } else { kind.size() };
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
        let good = |it: &&Attached| it.online && self.now.saturating_sub(it.heard) <= self.max_lag;
        self.good_replicas = u32::try_from(self.replicas.values().filter(good).count()).unwrap_or(u32::MAX);
    }

    /// How many replicas said that they are at `offset`, for WAIT.
    pub fn count_at(&self, offset: u64) -> u32 {
        let there = |it: &&Attached| it.online && it.acked >= offset;
        u32::try_from(self.replicas.values().filter(there).count()).unwrap_or(u32::MAX)
    }
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
            self.backlog = Some(Backlog { start: self.offset, entries: VecDeque::new() });
        }
        self.replicas.insert(link, attached(false));
        Resync::Full
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
    /// What it asks PSYNC for: its history and how far it has it.
    pub fn wants(&self) -> (ReplId, u64) {
        (self.replid.clone(), self.offset)
    }

    /// Whom it follows, where that is somebody.
    pub fn master(&self) -> Option<&NodeAddr> {
        self.follows.as_ref().and_then(Option::as_ref)
    }

    /// The master goes on from where it is, perhaps under a new name; its own replicas must then ask again.
    pub fn continue_with(&mut self, replid: ReplId) -> Upheaval {
        let renamed = replid != self.replid;
        if renamed {
            let old = std::mem::replace(&mut self.replid, replid);
            self.previous = Some((old, self.offset + 1));
        }
        self.backlog.get_or_insert_with(|| Backlog { start: self.offset, entries: VecDeque::new() });
        self.link = Link::Up;
        Upheaval { master: false, replicas: renamed }
    }

    /// A whole copy is on its way.
    pub fn begin_copy(&mut self) {
        self.link = Link::Syncing;
    }

    /// A whole copy has arrived: what was here is gone.
    pub fn replace_with(&mut self, copy: Copy) -> Upheaval {
        self.replid = copy.replid.unwrap_or_else(|| self.new_name());
        (self.offset, self.writes, self.previous) = (copy.offset, copy.writes, None);
        self.backlog = Some(Backlog { start: self.offset, entries: VecDeque::new() });
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

/// What it says of itself.
impl Server {
    /// The life of its process.
    pub fn run(&self) -> RunId {
        RunId(format!("{}#{}", self.addr.host(), self.run))
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
                of: Some(of.clone().unwrap_or_else(|| NodeAddr::new("127.0.0.1", 1))),
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
        let guarded = self.min_replicas_to_write > 0;
        Sighting { asked, run: self.run(), role: self.role(), history: self.history(), guarded, feeds }
    }

    /// What it says to who commands it, if it was `role` before.
    pub fn evidence(&self, role: Role) -> Evidence {
        Evidence {
            run: self.run(),
            role,
            history: self.history(),
            priority: self.priority,
            keys: self.writes.len(),
            saved: None,
            min_replicas_to_write: Some(self.min_replicas_to_write),
        }
    }
}
