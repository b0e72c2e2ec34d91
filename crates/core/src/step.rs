//! The closed list of what a leader may do, and what may come of it. It carries nothing out.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use crate::history::Entry;
use crate::names::{NodeAddr, RunId, Term};
use crate::request::{Answer, RequestId};
use crate::topology::{Intent, Topology, Version};
use crate::view::Evidence;

/// Names one action, so that a late outcome is not taken for a newer action's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct ActionId(pub u64);

/// One thing to do now, in this term only.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Action {
    /// To be given back with the outcome.
    pub id: ActionId,
    /// The term in which it was decided: whoever no longer leads in it must not carry it out.
    pub term: Term,
    /// What to do.
    pub step: Step,
}

/// What a leader may do. Every step is safe to repeat.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Step {
    /// Replace the record, if it is still the one of `expected` and the term's lock still stands.
    Commit {
        /// What the new record was computed from.
        expected: Version,
        /// The new record.
        record: Box<Topology>,
        /// For the log.
        purpose: Purpose,
        /// What to write into the history in the same transaction, or not at all.
        entry: Option<Box<Entry>>,
    },
    /// Replace the entry that this leader's last commit wrote, if the term's lock still stands.
    ///
    /// Once, and only to tell more: nothing depends on whether it succeeds.
    Amend {
        /// The same entry, with what is known since.
        entry: Box<Entry>,
    },
    /// Tell nodes to follow nobody and read them, each on a connection that is then kept for the promotion.
    ///
    /// A node that is a master loses its clients in the same transaction.
    Freeze {
        /// The nodes to freeze.
        nodes: Vec<NodeAddr>,
        /// Those that answer the monitors: only for these is it worth waiting.
        awaited: BTreeSet<NodeAddr>,
        /// The published master, which may have given up its role before: it loses its clients whatever it is.
        cut: Option<NodeAddr>,
    },
    /// Have the master hold writes for some time, and all that was written reach its replicas: a switchover begins.
    HoldWrites {
        /// The master.
        node: NodeAddr,
        /// For how long at most.
        lasts: Duration,
    },
    /// Have it hold them no longer: the switchover is given up.
    ResumeWrites {
        /// The master.
        node: NodeAddr,
    },
    /// Have the master give up its role, and read it: it follows nobody and takes no writes any more. Its clients are
    /// not cut off, so that each write that waits is refused, and known not to have been executed.
    Cede {
        /// The master.
        node: NodeAddr,
        /// The life of its process that was read before.
        run: RunId,
    },
    /// Tell nodes that came back to follow nobody, and read them, before anything else is done with them.
    ///
    /// A node that is a master loses its clients in the same transaction. Nobody is promoted on what it says.
    Demote {
        /// The nodes.
        nodes: Vec<NodeAddr>,
    },
    /// Have a frozen node save what it holds into a file of its own, or see how far that is.
    Save {
        /// The node.
        node: NodeAddr,
        /// The life of its process whose data it is.
        run: RunId,
        /// The file's name.
        file: String,
        /// Whether it was begun: then nothing is begun again.
        begun: bool,
    },
    /// Read nodes without changing them.
    Look {
        /// The nodes to read.
        nodes: Vec<NodeAddr>,
    },
    /// Make the intended node a master that takes no writes yet, on the connection on which it was frozen.
    Promote {
        /// The node, and what it must be.
        intent: Intent,
        /// Whether it lets itself be closed to writes (CONFIG is allowed).
        closable: bool,
        /// Whether its clients are cut off: they are those of a master that gave up its role.
        closes: bool,
    },
    /// Let the published master take writes, with the settings that a master of this group carries.
    Open {
        /// The master.
        node: NodeAddr,
        /// The life of its process that was published.
        run: RunId,
        /// The operator's `min-replicas-to-write`.
        min_replicas_to_write: u32,
        /// Whether it is the first time in this term; later only a closed master is opened again.
        first: bool,
    },
    /// Have the published master take writes only while so many replicas follow it. A higher number than 1 that it has
    /// is its operator's, and is kept.
    Fence {
        /// The master.
        node: NodeAddr,
        /// The life of its process that was published.
        run: RunId,
        /// Its `min-replicas-to-write`: 0, 1, or what its operator wants.
        number: u32,
    },
    /// Make nodes replicas of the published master; one that is a master itself loses its clients.
    Follow {
        /// The nodes.
        nodes: Vec<NodeAddr>,
        /// Whom to follow.
        master: NodeAddr,
        /// The operator's `min-replicas-to-write`, for a node that still carries the closing one.
        min_replicas_to_write: u32,
        /// Whether masters are fenced by a 1, so that a 1 is not its operator's either.
        fences: bool,
        /// The one of them whose clients are cut off though it is no master: they are those of a master that gave up
        /// its role.
        closes: Option<NodeAddr>,
    },
    /// Have nodes write their role into their configuration files, where they have one.
    Persist {
        /// The nodes.
        nodes: Vec<NodeAddr>,
    },
    /// Remove the lock of whoever leads in the action's term, which a quorum found gone: another may lead then.
    ///
    /// The only step of a monitor that does not lead.
    Depose,
    /// Answer an operator's request.
    Answer {
        /// Which one.
        request: RequestId,
        /// What became of it.
        answer: Answer,
    },
}

/// What a commit is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Purpose {
    /// The group's first record.
    Found,
    /// A new epoch with its intent.
    OpenEpoch,
    /// The new master.
    Publish,
    /// What a node that came back holds beyond, or what became of that.
    Count,
    /// What was seen of nodes and monitors.
    Refresh,
    /// What an operator asked for.
    Asked(RequestId),
}

/// What came of an action.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Outcome {
    /// The commit was written as this version.
    Committed(Version),
    /// The commit was not written: the lock or the expected version no longer stands.
    NotCommitted,
    /// The commit was not written, for the store does not let this monitor write it, nor will it later.
    CommitRefused,
    /// The commit may have been written: the record must be read again before anything is decided.
    CommitUnknown,
    /// What the nodes said; those that gave no answer in time are missing.
    Read(BTreeMap<NodeAddr, Evidence>),
    /// What the node said after it was promoted; `None` if its connection broke: it may have been promoted.
    Promoted(Option<Box<Evidence>>),
    /// The nodes that carried the step out.
    Done(BTreeSet<NodeAddr>),
    /// How far the snapshot is; `None` if the node gave no answer: it may have been begun.
    Saving(Option<Saving>),
    /// The answer stands beside its request, or nobody can be told: it was taken back, or may not be written to.
    Answered,
    /// It may not: the lead is lost.
    NotAnswered,
    /// The lock is gone, removed by this monitor or by another.
    Deposed,
    /// It may stand.
    NotDeposed,
    /// The entry was amended, or can't be: that is not tried again.
    Amended,
    /// It was not begun: the term was over, or the program is ending.
    NotBegun,
}

/// How far a snapshot is that a frozen node was asked for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Saving {
    /// It could not be begun yet: the server is about something of the kind already.
    Busy,
    /// It was begun.
    Begun {
        /// The file's path on the node's host.
        file: String,
        /// Why that is not the file that was asked for but the server's own, which the next full copy replaces.
        unnamed: Option<String>,
    },
    /// It goes on.
    Running,
    /// It is complete.
    Complete,
    /// It was not begun, or failed, for this reason.
    Failed(String),
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Commit { record, purpose, entry, .. } => match purpose {
                Purpose::Found => write!(f, "commit epoch {}: found master {}", record.epoch, record.master),
                Purpose::OpenEpoch => write!(f, "commit epoch {}: open", record.epoch),
                Purpose::Publish => {
                    write!(f, "commit epoch {}: publish master {}", record.epoch, record.master)
                }
                Purpose::Count => {
                    write!(f, "commit epoch {}: count", record.epoch)?;
                    match entry.as_deref() {
                        Some(Entry::Return(told)) => write!(f, "; {} holds {}", told.node, told.divergence),
                        Some(Entry::Change(_) | Entry::Withheld(_)) | None => Ok(()),
                    }
                }
                Purpose::Refresh => write!(f, "commit epoch {}: refresh", record.epoch),
                Purpose::Asked(_) => {
                    write!(f, "commit epoch {}: as asked, master {}", record.epoch, record.master)
                }
            },
            Self::Amend { .. } => write!(f, "amend the history"),
            Self::Freeze { nodes, .. } => write!(f, "freeze {}", list(nodes)),
            Self::HoldWrites { node, .. } => write!(f, "hold writes {node}"),
            Self::ResumeWrites { node } => write!(f, "resume writes {node}"),
            Self::Cede { node, .. } => write!(f, "cede {node}"),
            Self::Demote { nodes } => write!(f, "demote {}", list(nodes)),
            Self::Save { node, file, begun: false, .. } => write!(f, "save {node} as {file}"),
            Self::Save { node, .. } => write!(f, "is {node} saved"),
            Self::Look { nodes } => write!(f, "look {}", list(nodes)),
            Self::Promote { intent, .. } => write!(f, "promote {}", intent.node),
            Self::Open { node, .. } => write!(f, "open {node}"),
            Self::Fence { node, number, .. } => write!(f, "fence {node} by {number}"),
            Self::Follow { nodes, master, closes, .. } => {
                write!(f, "follow {master}: {}", list(nodes))?;
                closes.as_ref().map_or(Ok(()), |node| write!(f, ", cutting off the clients of {node}"))
            }
            Self::Persist { nodes } => write!(f, "persist {}", list(nodes)),
            Self::Depose => write!(f, "remove the leader's lock"),
            Self::Answer { answer, .. } => write!(f, "answer {answer}"),
        }
    }
}

fn list(nodes: &[NodeAddr]) -> String {
    let each: Vec<_> = nodes.iter().map(ToString::to_string).collect();
    each.join(" ")
}
