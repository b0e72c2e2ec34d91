//! One state of the small group: its monitors, its nodes, the record, the client, and what has befallen them. It says
//! what is; what may happen is in `moves`.

use std::collections::{BTreeSet, VecDeque};
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use redis_failover_core::{
    Action, Ballot, Ballots, Decider, Evidence, Fencing, Found, Instant, LeadBallot, MonitorId, NodeAddr,
    Observation, Outcome, Peers, Phase, Policy, ReplId, RunId, Sighting, Step, Topology, Version, Versioned,
};

use super::Rules;
use crate::redis::{Copy, Entry, Persistence, Server};

/// How many monitors there are.
pub(super) const MONITORS: usize = 2;
/// How many nodes there are.
pub(super) const NODES: usize = 3;

/// The state of everything.
#[derive(Clone, Debug)]
pub(super) struct Group {
    /// Where the monitors are.
    pub(super) monitors: [Arc<Monitor>; MONITORS],
    /// Where the nodes are.
    pub(super) nodes: [Arc<Node>; NODES],
    /// What stands in the store.
    pub(super) record: Arc<Versioned>,
    /// All else.
    pub(super) rest: Rest,
}

/// What is small enough to be kept with each state.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Rest {
    /// The time in milliseconds, the same everywhere.
    pub(super) now: u64,
    /// How often time moved since anything else did.
    pub(super) idle: u8,
    /// Who holds the lead's lock, and in which term.
    pub(super) lock: Option<(usize, i64)>,
    /// The last term.
    pub(super) term: i64,
    /// The client.
    pub(super) client: Client,
    /// How many faults may still come.
    pub(super) faults: u8,
    /// What befell the group.
    pub(super) past: Past,
    /// The replicas whose link to their master is stalled.
    pub(super) stalled: [bool; NODES],
}

/// What is remembered only so that promises can be judged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Past {
    /// How much befell it: faults, returns and what came late.
    pub(super) events: u8,
    /// How many nodes died.
    pub(super) crashes: u8,
    /// The writes that were acknowledged and everywhere when a node died: nobody may be without them.
    pub(super) owed: u8,
    /// A node that had been restarted with less began to fill a replica before anybody froze them: the race that
    /// `docs/guarantees.md` calls best effort.
    pub(super) race_begun: bool,
    /// The replica took the copy.
    pub(super) race_lost: bool,
    /// A command of a monitor that no longer led arrived.
    pub(super) came_late: bool,
}

/// One who writes, one write after the other, to the master that is published as far as it knows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Client {
    /// What it last read of the published document.
    pub(super) sees: Published,
    /// The writes that were acknowledged, one bit each.
    pub(super) acknowledged: u8,
    /// The next write.
    pub(super) next: u8,
}

/// The published document, as far as a client heeds it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Published {
    /// The epoch.
    pub(super) epoch: u64,
    /// Who may be written to; nobody while a change is under way.
    pub(super) master: Option<(usize, RunId)>,
}

/// One Redis server and its connection to its master.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Node {
    /// The server.
    pub(super) server: Server,
    /// Whether its process lives.
    pub(super) alive: bool,
    /// The connection to its master.
    pub(super) inbound: Option<Wire>,
    /// The lives, histories and offsets in which it was made a master since it was published last.
    pub(super) promoted: BTreeSet<(RunId, ReplId, u64)>,
    /// The latest term whose leader it has heard, where leaders are deposed: it hears no earlier one.
    pub(super) heard: i64,
}

/// What a master has sent to a replica and that has not yet taken in.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Wire {
    /// The master.
    pub(super) from: usize,
    /// A whole copy, before the entries.
    pub(super) copy: Option<Copy>,
    /// The stream.
    pub(super) entries: VecDeque<Entry>,
}

/// One monitor: its decider, what it sees, and what it carries out.
#[derive(Clone, Debug, Hash)]
pub(super) struct Monitor {
    /// The real one.
    pub(super) decider: Decider,
    /// Whether its process lives.
    pub(super) alive: bool,
    /// Whether its decider takes itself for the leader.
    pub(super) leads: bool,
    /// Whether its session with the store stands; one that has expired does not know until it learns it.
    pub(super) session: bool,
    /// What it sees of each node, as its decider was told.
    pub(super) sees: [Sight; NODES],
    /// When its decider was last told anything but that: what was seen before may have to be seen again.
    pub(super) stirred: u64,
    /// Which writing of the record its decider was told last.
    pub(super) told: i64,
    /// What its decider was told of the other's votes.
    pub(super) heard: Peers,
    /// What it says of who leads.
    pub(super) lead: Option<LeadBallot>,
    /// The lives of the nodes to which it holds the connections over which it froze them, and what they said.
    pub(super) held: Said,
    /// The action under way.
    pub(super) running: Option<Running>,
    /// Commands that were sent for an action that nobody waits for any more.
    pub(super) late: BTreeSet<Late>,
}

/// What one monitor sees of one node.
#[derive(Clone, Debug, Default, Hash)]
pub(super) struct Sight {
    /// Its vote.
    pub(super) ballot: Option<Ballot>,
    /// The last answer.
    pub(super) sighting: Option<Arc<Sighting>>,
    /// Since when it is in trouble.
    pub(super) trouble: Option<Instant>,
}

/// What each node said.
pub(super) type Said = [Option<Arc<Evidence>>; NODES];

/// An action under way.
#[derive(Clone, Debug)]
pub(super) struct Running {
    /// It, as the decider gave it.
    pub(super) action: Action,
    /// Where it is still to be carried out; for a commit, whether.
    pub(super) pending: BTreeSet<usize>,
    /// What the nodes said.
    pub(super) said: Said,
    /// Where it was done.
    pub(super) done: BTreeSet<usize>,
    /// What came of it, once that is known.
    pub(super) outcome: Option<Outcome>,
}

/// Without the action's number, as the decider is hashed.
impl Hash for Running {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let Self { action: Action { id: _, term, step }, pending, said, done, outcome } = self;
        (term, step, pending, said, done, outcome).hash(state);
    }
}

/// A command on its way to a node, sent by somebody who does not wait for it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Late {
    /// To whom.
    pub(super) node: usize,
    /// What.
    pub(super) command: Command,
    /// Of a freeze that ended without it: the next freeze of the same monitor closes its connection.
    pub(super) straggler: bool,
}

/// What can be late.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Command {
    /// Follow nobody.
    Freeze,
    /// Be a master, over a connection to this life of the process.
    Promote(RunId),
    /// Take writes while so many replicas follow, in this life, if you are closed.
    Open(RunId, u32),
    /// The same if you are not.
    Fence(RunId, u32),
    /// Follow this node.
    Follow(NodeAddr),
    /// Write your role into your configuration file.
    Persist,
}

impl Command {
    /// What `step` has a node do, if it has it do anything.
    pub(super) fn of(step: &Step) -> Option<Self> {
        match step {
            Step::Freeze { .. } | Step::Demote { .. } => Some(Self::Freeze),
            Step::Promote { intent, .. } => Some(Self::Promote(intent.run.clone())),
            Step::Open { run, min_replicas_to_write: number, .. } => Some(Self::Open(run.clone(), *number)),
            Step::Fence { run, number, .. } => Some(Self::Fence(run.clone(), *number)),
            Step::Follow { master, .. } => Some(Self::Follow(master.clone())),
            Step::Persist { .. } => Some(Self::Persist),
            // Nobody asks for a switchover here.
            Step::HoldWrites { .. }
            | Step::ResumeWrites { .. }
            | Step::Cede { .. }
            | Step::Look { .. }
            | Step::Save { .. }
            | Step::Commit { .. }
            | Step::Answer { .. }
            | Step::Amend { .. }
            | Step::Depose => None,
        }
    }
}

impl Monitor {
    /// Its votes.
    pub(super) fn ballots(&self) -> Ballots {
        let ballots = self.sees.iter().enumerate();
        ballots.filter_map(|(node, sight)| Some((address(node), sight.ballot?))).collect()
    }

    /// What it sees, as a decider is told.
    pub(super) fn observation(&self) -> Observation {
        let sights = || self.sees.iter().enumerate().map(|(node, sight)| (address(node), sight));
        let sighting =
            |(addr, sight): (NodeAddr, &Sight)| Some((addr, Sighting::clone(sight.sighting.as_ref()?)));
        Observation {
            ballots: self.ballots(),
            sightings: sights().filter_map(sighting).collect(),
            troubles: sights().filter_map(|(addr, sight)| Some((addr, sight.trouble?))).collect(),
        }
    }
}

impl Running {
    /// Whether something of it is still to be carried out, now that its monitor waits for it.
    pub(super) fn is_pending(&self) -> bool {
        self.outcome.is_none() && !self.pending.is_empty()
    }
}

/// The address of a node.
pub(super) fn address(node: usize) -> NodeAddr {
    NodeAddr::new(["a", "b", "c"][node], 6379)
}

/// Which node has this address.
pub(super) fn index(addr: &NodeAddr) -> Option<usize> {
    (0..NODES).find(|node| address(*node) == *addr)
}

/// The name of a monitor.
pub(super) fn name(monitor: usize) -> MonitorId {
    // Cannot fail: both are names.
    ["m1", "m2"][monitor].parse().unwrap_or_else(|error| unreachable!("{error}"))
}

impl Group {
    /// Three servers that were just started, two monitors, and no record.
    pub(super) fn new(rules: &Rules) -> Self {
        let interval = Duration::from_millis(200);
        let policy = Policy::new(Some(rules.quorum), Duration::from_secs(1), interval);
        let fencing = if rules.fencing { Fencing::Replicas } else { Fencing::Off };
        let policy = policy.unwrap_or_default().with_fencing(fencing);
        let now = Instant::from_millis(START);
        let monitor = |monitor: usize| {
            let nodes = (0..NODES).map(address).collect();
            Arc::new(Monitor {
                decider: Decider::new(name(monitor), nodes, policy.clone(), now),
                alive: true,
                leads: false,
                session: true,
                sees: Default::default(),
                stirred: START,
                told: -1,
                heard: Peers::new(),
                lead: None,
                held: Said::default(),
                running: None,
                late: BTreeSet::new(),
            })
        };
        let node = |node: usize| {
            let server = Server::new(address(node), Persistence::Snapshots);
            Arc::new(Node { server, alive: true, inbound: None, promoted: BTreeSet::new(), heard: 0 })
        };
        Self {
            monitors: std::array::from_fn(monitor),
            nodes: std::array::from_fn(node),
            record: Arc::new(Versioned { version: Version::default(), found: Found::Nothing }),
            rest: Rest {
                now: START,
                idle: 0,
                lock: None,
                term: 0,
                client: Client::default(),
                faults: 0,
                past: Past::default(),
                stalled: [false; NODES],
            },
        }
    }

    /// Whether anything moved but time since `before`: what monitors know is not counted, for they may go on thinking
    /// for ever.
    pub(super) fn note_idleness(&mut self, before: &Self) {
        let rest = |it: &Self| {
            let Rest { lock, faults, stalled, ref client, .. } = it.rest;
            (lock, faults, stalled, client.clone())
        };
        if self.nodes != before.nodes || self.record != before.record || rest(self) != rest(before) {
            self.rest.idle = 0;
        }
    }

    /// The time, as the deciders are told it.
    pub(super) fn now(&self) -> Instant {
        Instant::from_millis(self.rest.now)
    }

    /// The record, once there is one.
    pub(super) fn topology(&self) -> Option<&Topology> {
        match &self.record.found {
            Found::Record(record) => Some(record),
            Found::Nothing | Found::Predecessor { .. } => None,
        }
    }

    /// Who is published now.
    pub(super) fn published(&self) -> Published {
        let Some(record) = self.topology() else { return Published::default() };
        let run = record.master_run.clone().filter(|_| record.phase == Phase::Steady);
        Published { epoch: record.epoch.0, master: index(&record.master).zip(run) }
    }

    /// Whether the monitor holds the lead's lock.
    pub(super) fn leads(&self, monitor: usize) -> bool {
        self.rest.lock.is_some_and(|(holder, _)| holder == monitor)
    }

    /// Whether the node lives in this life of its process.
    pub(super) fn lives(&self, node: usize, run: &RunId) -> bool {
        self.nodes[node].alive && self.nodes[node].server.run() == *run
    }

    /// The writes that a node holds, one bit each.
    pub(super) fn writes(&self, node: usize) -> u8 {
        let holds = |id: &u8| self.nodes[node].server.writes.contains(crate::redis::WriteId(u32::from(*id)));
        (0..8).filter(holds).fold(0, |all, id| all | 1 << id)
    }
}

/// When everything begins, in milliseconds: late enough that no age reaches before it.
const START: u64 = 1_000_000;
