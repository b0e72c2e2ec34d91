//! What monitors see: votes, reports, sightings and evidence. Present values only, never differences.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use crate::lag::Lags;
use crate::names::{Epoch, MonitorId, NodeAddr, RunId, Term};
use crate::position::History;
use crate::request::RequestId;
use crate::time::Instant;

/// What one monitor believes of one node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Vote {
    /// It answers.
    Up,
    /// Its port is closed: the process is gone.
    Refused,
    /// A question has waited longer than `down_after`.
    Silent,
    /// It answers, but cannot serve: it is loading its data.
    Unusable,
    /// Not known: not asked yet, or it will not talk to us. Counts neither way.
    Unknown,
}

impl Vote {
    /// The word that is written into reports.
    pub fn word(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Refused => "refused",
            Self::Silent => "silent",
            Self::Unusable => "unusable",
            Self::Unknown => "unknown",
        }
    }

    /// The vote that has this word.
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Up, Self::Refused, Self::Silent, Self::Unusable, Self::Unknown]
            .into_iter()
            .find(|vote| vote.word() == word)
    }
}

impl fmt::Display for Vote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// A vote and since when it stands, on the reader's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Ballot {
    /// The vote.
    pub vote: Vote,
    /// Since when.
    pub since: Instant,
}

/// One monitor's ballots.
pub type Ballots = BTreeMap<NodeAddr, Ballot>;

/// A vote on who leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct LeadBallot {
    /// In which term: in another one it is another question.
    pub term: Term,
    /// The vote.
    pub ballot: Ballot,
}

/// A monitor's votes as it publishes them: each with its age at the time of writing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Who votes.
    pub monitor: MonitorId,
    /// Where that monitor can be asked (`--listen`), if anywhere.
    pub address: Option<String>,
    /// The greatest epoch that it knows of: a record that is older was not the last.
    pub remembers: Option<Epoch>,
    /// Its votes and their ages.
    pub votes: BTreeMap<NodeAddr, (Vote, Duration)>,
    /// Its vote on who leads, in which term, and the vote's age; `None` where it leads itself or never reached the
    /// leader.
    pub lead: Option<(Term, Vote, Duration)>,
    /// What it waits for, where it leads a group in which nobody may take over; empty otherwise.
    pub waits: Waits,
    /// How far it is with each request that it has not answered, where it leads; empty otherwise.
    pub attends: Attends,
    /// How far each replica was behind the master when its leader looked last, if it leads; else empty. For people.
    pub lags: Lags,
    /// The version of its program; `None` where that is one that says none. For people.
    pub version: Option<String>,
    /// Where it answers as a Redis Sentinel, `HOST:PORT`, if anywhere. For those who tell it to clients.
    pub sentinel: Option<String>,
    /// What its wall clock said when this was written, in milliseconds since 1970. For people.
    pub clock: Option<u64>,
}

/// Why each node of a group without a master may not take over.
pub type Waits = BTreeMap<NodeAddr, Wait>;

/// How far a leader is with each request, in words. For people: nothing is decided by it.
pub type Attends = BTreeMap<RequestId, String>;

/// Why one node may not take over, and what it holds. For people: nothing is decided by it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wait {
    /// Why not.
    pub why: String,
    /// How many keys it holds; `None` where it did not say.
    pub keys: Option<u64>,
    /// When it last saved its data in this life of its process, in seconds since 1970; `None` where it never did or
    /// did not say.
    pub saved: Option<u64>,
}

impl Report {
    /// The report of these ballots, written `now` by a monitor that can be asked nowhere and remembers nothing.
    pub fn of(monitor: MonitorId, ballots: &Ballots, now: Instant) -> Self {
        let votes = ballots
            .iter()
            .map(|(node, ballot)| (node.clone(), (ballot.vote, now.since(ballot.since))))
            .collect();
        Self {
            monitor,
            address: None,
            remembers: None,
            votes,
            lead: None,
            waits: Waits::new(),
            attends: Attends::new(),
            lags: Lags::new(),
            version: None,
            sentinel: None,
            clock: None,
        }
    }

    /// What it says on the clock of a reader that saw this writing for the first time `seen`.
    pub fn peer(&self, seen: Instant) -> Peer {
        let ballot = |(vote, age): &(Vote, Duration)| Ballot { vote: *vote, since: seen.before(*age) };
        let ballots = self.votes.iter().map(|(node, vote)| (node.clone(), ballot(vote))).collect();
        let lead = self.lead.map(|(term, vote, age)| LeadBallot { term, ballot: ballot(&(vote, age)) });
        Peer { ballots, lead, remembers: self.remembers }
    }
}

/// All live monitors but the reader.
pub type Peers = BTreeMap<MonitorId, Peer>;

/// What another monitor says, on the reader's clock.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Peer {
    /// Its ballots.
    pub ballots: Ballots,
    /// Its vote on who leads.
    pub lead: Option<LeadBallot>,
    /// The greatest epoch that it knows of.
    pub remembers: Option<Epoch>,
}

/// The replication link of a replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Link {
    /// Connected and receiving.
    Up,
    /// Not connected.
    Down {
        /// For how many seconds, as the replica says.
        seconds: u64,
    },
    /// Being filled with a full copy; its own data may be gone already.
    Syncing,
}

/// What a node says it is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Role {
    /// It takes writes.
    Master {
        /// How many replicas it sees.
        replicas: u32,
    },
    /// It follows.
    Replica {
        /// Whom, as Redis writes it; `None` where that is no address.
        of: Option<NodeAddr>,
        /// Its link.
        link: Link,
        /// Bytes received (`slave_read_repl_offset`), applied or not.
        received: u64,
    },
}

impl Role {
    /// Whether it is a master.
    pub fn is_master(&self) -> bool {
        matches!(self, Self::Master { .. })
    }
}

/// One answered probe of a monitor's own.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Sighting {
    /// When the question was sent, not when the answer came.
    pub asked: Instant,
    /// The life of the process.
    pub run: RunId,
    /// What it is.
    pub role: Role,
    /// What it holds.
    pub history: History,
    /// Whether it has a `min-replicas-to-write` above 0, and so may refuse writes.
    pub guarded: bool,
    /// How many replicas have acknowledged something within [`crate::plan::MAX_LAG`]; 0 for who is no master.
    pub good_replicas: u32,
    /// The replicas that it feeds, as it knows them; empty where it feeds none.
    pub feeds: Vec<NodeAddr>,
}

/// What a replica was seen to hold of the published master's history, when it followed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Copied {
    /// The life of its process; [`RunId::UNKNOWN`] where only the master told of it.
    pub run: RunId,
    /// What it held; where only the master told of it, what that held, which is no less.
    pub history: History,
}

/// What a node said of itself on the connection over which it is commanded.
///
/// Evidence is void once that connection breaks or the node was told to follow somebody.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Evidence {
    /// The life of the process.
    pub run: RunId,
    /// What it was before it was frozen (for a mere look: what it is).
    pub role: Role,
    /// What it holds, frozen.
    pub history: History,
    /// Redis's `replica-priority`: lower is preferred, 0 never.
    pub priority: u32,
    /// Whether its offset stands still whatever it writes: it keeps no backlog, for in this life it has neither gone on
    /// with a master nor had a replica.
    #[cfg_attr(feature = "serde", serde(default))]
    pub uncounted: bool,
    /// How many keys it holds in all databases.
    pub keys: u64,
    /// When it last saved its data in this life of its process, in seconds since 1970; `None` where it never did.
    pub saved: Option<u64>,
    /// Its `min-replicas-to-write`; `None` where CONFIG is not allowed.
    pub min_replicas_to_write: Option<u32>,
    /// The server's version in its own words; `None` where it does not tell.
    #[cfg_attr(feature = "serde", serde(default))]
    pub version: Option<String>,
    /// Whether it keeps an append-only file; `None` where it does not tell.
    #[cfg_attr(feature = "serde", serde(default))]
    pub appends: Option<bool>,
}

impl Evidence {
    /// Whether it was being filled with a full copy when it was frozen. What it held before is there until that is
    /// complete.
    pub fn is_half_synced(&self) -> bool {
        matches!(self.role, Role::Replica { link: Link::Syncing, .. })
    }
}
