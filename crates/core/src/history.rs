//! What became of each change of master, for people, afterwards. Nothing is ever decided by it.
//!
//! It holds no moment of any machine's clock, only spans: what is written down is read elsewhere, and later.

mod returns;

use std::collections::BTreeMap;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::time::Duration;

use crate::candidate::{Dropped, Ranking};
use crate::names::{Epoch, MonitorId, NodeAddr, ReplId, RunId};
pub use crate::pause::Withheld;
use crate::position::{History, Lineages, Position};
use crate::topology::{Change, Reason};
use crate::view::{Evidence, Vote};
pub use returns::Return;

/// One thing that the history of a group tells. There may be more kinds later: a reader passes over what it does not
/// know.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Entry {
    /// A change of master, or how the group came to its first.
    Change(Box<Account>),
    /// A node came back with what the master does not have.
    Return(Box<Return>),
    /// A master was found lost and was not replaced, for the group was paused.
    Withheld(Box<Withheld>),
}

impl Entry {
    /// The epoch in which it was written, or that it tells of.
    pub fn epoch(&self) -> Epoch {
        match self {
            Self::Change(account) => account.epoch,
            Self::Return(told) => told.epoch,
            Self::Withheld(told) => told.epoch,
        }
    }

    /// Whether both tell of the same: then the later one tells more.
    pub fn is_of_the_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Change(one), Self::Change(other)) => one.epoch == other.epoch,
            (Self::Return(one), Self::Return(other)) => one.is_of_the_same(other),
            // Each time that a master is lost is another one.
            (Self::Change(_) | Self::Return(_) | Self::Withheld(_), _) => false,
        }
    }
}

/// Whoever visits each state of a group once need not tell two apart by what is only told.
impl Hash for Entry {
    fn hash<H: Hasher>(&self, _: &mut H) {}
}

/// One change of master, told.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Account {
    /// Its epoch; each has one account.
    pub epoch: Epoch,
    /// Why it was begun.
    pub cause: Cause,
    /// The master before; `None` where there was none on record.
    pub old: Option<NodeAddr>,
    /// Who was chosen, or named.
    pub new: NodeAddr,
    /// How it ended.
    pub ending: Ending,
    /// Who led when the epoch was opened; `None` where a version that noted nothing opened it.
    pub leader: Option<MonitorId>,
    /// Who finished what another had begun.
    pub finished_by: Option<MonitorId>,
    /// What each monitor said of the old master when the epoch was opened, and for how long it had.
    pub votes: BTreeMap<MonitorId, (Vote, Option<Duration>)>,
    /// What became of each node as a candidate.
    pub candidates: BTreeMap<NodeAddr, Candidate>,
    /// When each step was done, counted from the leader's first sign of trouble.
    pub times: Times,
    /// When each other node was first seen to receive from the new master, counted likewise.
    pub following: BTreeMap<NodeAddr, Duration>,
    /// How far the old master was last seen to have come; `None` where this is not known.
    pub seen: Option<Seen>,
    /// How much was lost, as far as can be said; `None` where there was nothing to lose.
    pub loss: Option<Estimate>,
}

/// Why a master was published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Cause {
    /// The one before was lost, in this way.
    Lost(Reason),
    /// The group had no record, and this node was found to be its master.
    Founded,
    /// The group had the predecessor's document, and that named it.
    Predecessor,
    /// An operator named it (`adopt`).
    Adopted,
}

impl Cause {
    /// The word that is written into the history.
    pub fn word(self) -> &'static str {
        match self {
            Self::Lost(reason) => reason.word(),
            Self::Founded => "founded",
            Self::Predecessor => "predecessor",
            Self::Adopted => "adopted",
        }
    }

    /// The cause that has this word.
    pub fn from_word(word: &str) -> Self {
        let named = [Self::Founded, Self::Predecessor, Self::Adopted];
        let named = named.into_iter().find(|cause| cause.word() == word);
        named.unwrap_or_else(|| Self::Lost(Reason::from_word(word)))
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// How a change of master ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Ending {
    /// The new master was published.
    Published,
    /// It was not, for this reason, and the next epoch was opened.
    GivenUp(String),
}

/// What was known when an epoch was opened. It stands in the record until the epoch ends, so that whoever finishes it
/// can tell.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Opening {
    /// Who led.
    pub leader: MonitorId,
    /// For how long each monitor had said what it said.
    pub ages: BTreeMap<MonitorId, Duration>,
    /// What became of each node as a candidate.
    pub candidates: BTreeMap<NodeAddr, Candidate>,
    /// What was done until then.
    pub times: Times,
    /// How far the old master was last seen to have come.
    pub seen: Option<Seen>,
    /// How much is lost with this choice.
    pub loss: Estimate,
}

/// As with [`Entry`].
impl Hash for Opening {
    fn hash<H: Hasher>(&self, _: &mut H) {}
}

/// One node, as somebody who might take over.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Candidate {
    /// Why it was taken, or why not: a clause.
    pub why: String,
    /// What it held; `None` where it did not answer.
    pub holds: Option<Holds>,
}

/// What a node said that it holds.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Holds {
    /// The life of its process.
    pub run: RunId,
    /// Its history.
    pub replid: ReplId,
    /// How much of it.
    pub offset: u64,
    /// How many keys.
    pub keys: u64,
}

impl Holds {
    fn of(said: &Evidence) -> Self {
        let History { replid, offset, .. } = said.history.clone();
        Self { run: said.run.clone(), replid, offset, keys: said.keys }
    }
}

/// How far the old master was last seen to have come.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Seen {
    /// Its history.
    pub replid: ReplId,
    /// How much of it.
    pub offset: u64,
    /// How long before the choice that was.
    pub age: Duration,
    /// Whether it was frozen there: then it came no further.
    pub frozen: bool,
}

/// How much was lost, never exactly: a master that is gone cannot be asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Estimate {
    /// By how many bytes of one history the old master was last seen ahead of the chosen node. `None` where that is not
    /// known, or where the two do not share a history.
    pub bytes: Option<u64>,
    /// How long before its end the old master was last seen to hold no more than the chosen node: what it acknowledged
    /// before that was kept, what it acknowledged since may be lost. `None` where it was never seen so.
    pub span: Option<Duration>,
}

/// When each step was done.
pub type Times = BTreeMap<Milestone, Duration>;

/// A step that is timed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Milestone {
    /// The leader concluded that the master is lost.
    Lost,
    /// The nodes were frozen and read.
    Frozen,
    /// The choice was made.
    Chosen,
    /// It was recorded.
    Opened,
    /// The chosen node was a master, closed.
    Promoted,
    /// It was published; until the entry was amended: the transaction that did so was sent.
    Published,
    /// It took writes.
    Writable,
}

impl Milestone {
    /// All, in their order.
    pub const ALL: [Self; 7] = [
        Self::Lost,
        Self::Frozen,
        Self::Chosen,
        Self::Opened,
        Self::Promoted,
        Self::Published,
        Self::Writable,
    ];

    /// The word that is written into the history.
    pub fn word(self) -> &'static str {
        match self {
            Self::Lost => "lost",
            Self::Frozen => "frozen",
            Self::Chosen => "chosen",
            Self::Opened => "opened",
            Self::Promoted => "promoted",
            Self::Published => "published",
            Self::Writable => "writable",
        }
    }

    /// The milestone that has this word.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|milestone| milestone.word() == word)
    }
}

impl Account {
    /// The account of the master `new` that `leader` published without a change: of a first one, or one that was named.
    pub(crate) fn named(epoch: Epoch, cause: Cause, new: NodeAddr, leader: &MonitorId) -> Self {
        Self {
            epoch,
            cause,
            old: None,
            new,
            ending: Ending::Published,
            leader: Some(leader.clone()),
            finished_by: None,
            votes: BTreeMap::new(),
            candidates: BTreeMap::new(),
            times: Times::new(),
            following: BTreeMap::new(),
            seen: None,
            loss: None,
        }
    }

    /// The account of a change of the master `old` that `me` has brought to its end.
    pub(crate) fn of(epoch: Epoch, old: &NodeAddr, change: &Change, ending: Ending, me: &MonitorId) -> Self {
        let opening = change.opening.as_deref();
        let vote = |(id, vote): (&MonitorId, &Vote)| {
            let age = opening.and_then(|opening| opening.ages.get(id).copied());
            (id.clone(), (*vote, age))
        };
        let leader = opening.map(|opening| opening.leader.clone());
        Self {
            epoch,
            cause: Cause::Lost(change.reason),
            old: Some(old.clone()),
            new: change.intent.node.clone(),
            finished_by: Some(me.clone()).filter(|me| leader.as_ref() != Some(me)),
            leader,
            votes: change.votes.iter().map(vote).collect(),
            candidates: opening.map(|opening| opening.candidates.clone()).unwrap_or_default(),
            times: opening.map(|opening| opening.times.clone()).unwrap_or_default(),
            following: BTreeMap::new(),
            seen: opening.and_then(|opening| opening.seen.clone()),
            loss: opening.map(|opening| opening.loss).filter(|_| ending == Ending::Published),
            ending,
        }
    }
}

/// What becomes of each of `nodes`, which said `evidence` when they were frozen.
pub(crate) fn candidates<'a>(
    nodes: impl Iterator<Item = &'a NodeAddr>,
    ranking: &Ranking,
    evidence: &BTreeMap<NodeAddr, Evidence>,
) -> BTreeMap<NodeAddr, Candidate> {
    let candidate = |node: &NodeAddr| {
        let taken = ranking.chosen.as_ref() == Some(node);
        let dropped = ranking.dropped.get(node).copied();
        let why = match (taken, ranking.positions.contains_key(node), dropped) {
            (true, _, _) if ranking.wished => "taken: an operator wanted it".to_owned(),
            (true, true, _) => "taken: none that may lead holds more".to_owned(),
            (true, false, why) => {
                let why = why.unwrap_or(Dropped::UnknownHistory);
                format!("taken, as there is nothing better, though: {why}")
            }
            (false, true, _) => ranking.behind(node),
            (false, false, why) => why.unwrap_or(Dropped::NotFrozen).to_string(),
        };
        (node.clone(), Candidate { why, holds: evidence.get(node).map(Holds::of) })
    };
    nodes.map(candidate).collect()
}

/// What each of `nodes` said when they were looked at for the master `named`.
pub(crate) fn looked_at<'a>(
    nodes: impl Iterator<Item = &'a NodeAddr>,
    named: &NodeAddr,
    said: &BTreeMap<NodeAddr, Evidence>,
) -> BTreeMap<NodeAddr, Candidate> {
    let candidate = |node: &NodeAddr| {
        let why = match said.get(node) {
            _ if node == named => "named the master",
            Some(_) => "to follow it",
            None => "did not answer",
        };
        (node.clone(), Candidate { why: why.to_owned(), holds: said.get(node).map(Holds::of) })
    };
    nodes.map(candidate).collect()
}

/// How much is lost where `chosen` takes over from a master that was last `seen` there, and of which `safe` says how
/// long before its end it was last seen to hold no more than a position.
pub(crate) fn estimate(
    lineages: &Lineages,
    chosen: &History,
    seen: Option<&Seen>,
    safe: impl Fn(Position) -> Option<Duration>,
) -> Estimate {
    let Some(chosen) = lineages.locate(chosen) else { return Estimate::default() };
    let reached = seen.and_then(|seen| {
        let history = History { replid: seen.replid.clone(), offset: seen.offset, previous: None };
        lineages.locate(&history)
    });
    let bytes = reached.and_then(|reached| {
        // A position in an earlier history is no measure of what came after it.
        if reached <= chosen { Some(0) } else { reached.ahead_of(chosen) }
    });
    let frozen = seen.is_some_and(|seen| seen.frozen);
    let span = if frozen && bytes == Some(0) { Some(Duration::ZERO) } else { safe(chosen) };
    Estimate { bytes, span }
}
