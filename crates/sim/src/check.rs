//! What must hold, looked at whenever something happens that could break it. Each invariant has a name; the table of
//! all is in docs/testing.md. It changes nothing in the world.

mod fences;
mod parting;
mod record;
mod returns;
mod switching;
mod writes;

use std::collections::BTreeMap;

use redis_failover_core::plan::CLOSED;
use redis_failover_core::{Phase, RunId, Term, Topology, Vote};

use crate::queue::Micros;
use crate::redis::{Server, WriteId, Writes, named};
use crate::wires::Ask;
use fences::Fences;
use parting::Partings;
use returns::Returns;
use switching::Switchings;
pub use switching::Switchovers;

/// One that is checked, for the table in docs/testing.md.
#[derive(Clone, Copy, Debug)]
pub struct Invariant {
    /// Its name.
    pub name: &'static str,
    /// What must hold.
    pub what: &'static str,
}

/// All that are checked.
pub const INVARIANTS: &[Invariant] = &[
    Invariant {
        name: "one-master-per-epoch",
        what: "epochs only grow, and each has one intent and one master, the one that was meant",
    },
    Invariant {
        name: "each-change-is-told-once",
        what: "each epoch that ends has one entry in the history, of the node that was published or meant, written in \
               that transaction; and so has what is counted of a node that came back",
    },
    Invariant { name: "fenced-commit", what: "only who holds the lock writes the record" },
    Invariant {
        name: "commands-only-in-the-lead",
        what: "who commands a node holds the lock as it sends; also while ZooKeeper is away",
    },
    Invariant {
        name: "fenced-commands",
        what: "no node carries out a command of a leader after one of a later term's, or after such a leader has read \
               there what it acts upon",
    },
    Invariant {
        name: "a-quorum-found-the-leader-gone",
        what: "a leader's lock is removed only if a majority of the registered monitors said in its term that it is \
               gone",
    },
    Invariant {
        name: "made-master-in-an-epoch",
        what: "a node is promoted only as the intent of an open epoch",
    },
    Invariant { name: "evidence-is-of-frozen-nodes", what: "an epoch is opened on what frozen nodes said" },
    Invariant {
        name: "the-best-is-chosen",
        what: "no other node that was frozen, in its run and with a known history, has acknowledged writes that the \
               chosen one lacks",
    },
    Invariant {
        name: "who-may-hold-more-is-waited-for",
        what: "a node that was restarted does not lead while a missing one holds, in memory or on its disk, \
               acknowledged writes that it lacks",
    },
    Invariant {
        name: "published-is-promoted",
        what: "a published master is one, in the intended run and with the intended history",
    },
    Invariant {
        name: "closed-until-published",
        what: "a promoted node takes no write before it is published, and is not told to",
    },
    Invariant { name: "follow-only-the-published", what: "no node is pointed at one that is not published" },
    Invariant {
        name: "closes-when-cut-off",
        what: "a master that a leader has fenced takes no write 4 s after it heard of a replica last",
    },
    Invariant {
        name: "let-go-on-alone",
        what: "a published master that has lost its last replica takes writes again within 5 s, while nothing hinders \
               its leader",
    },
    Invariant {
        name: "recorded-before-lowered",
        what: "no master is told to take writes without replicas before the record says so",
    },
    Invariant {
        name: "who-was-left-does-not-lead",
        what: "while a master that was let go on alone is missing, nobody leads who lacks what it took alone",
    },
    Invariant {
        name: "counted-before-replaced",
        what: "no node that held writes which the master lacks when the leader looked at it is sent there before the \
               record tells of them",
    },
    Invariant {
        name: "one-copy-at-a-time",
        what: "no node is told to take a full copy while `parallel_syncs` others of its host were told so or take one",
    },
    Invariant {
        name: "a-quorum-found-it-down",
        what: "a master is replaced only if a majority of the registered monitors lately found it down, or if it is \
               not what was published",
    },
    Invariant {
        name: "one-crash-loses-nothing",
        what: "one crash at a time, of a process or a host, with replication caught up and a monitor that leads, loses \
               no acknowledged write",
    },
    Invariant {
        name: "who-leaves-begins-nothing-new",
        what: "a monitor that leaves others behind begins nothing any more, and the last one no change of master: it \
               only ends a switchover whose master has given up its role",
    },
    Invariant {
        name: "who-leaves-is-gone-in-time",
        what: "a monitor that leaves is gone after 5 s of its own time, unless it stands still",
    },
    Invariant {
        name: "a-group-is-left-in-order",
        what: "where nothing hinders the last one that leaves, the master takes writes without replicas, by its file, \
               too, all follow it, and the record says that it may go on without them",
    },
    Invariant {
        name: "what-is-left-is-named",
        what: "who leaves last, and does not say that something is left, has given the master's number back, in its \
               file, too, and recorded it",
    },
    Invariant {
        name: "a-switchover-alone-loses-nothing",
        what: "a switchover that no fault befell since it was asked for loses no acknowledged write",
    },
    Invariant {
        name: "a-switchover-alone-ends-in-time",
        what: "it is answered within its time and a moment, and then the published master takes writes",
    },
    Invariant {
        name: "cedes-when-all-is-there",
        what: "a master that holds writes gives up its role only when the wanted node has all from before that",
    },
    Invariant {
        name: "who-takes-over-has-all",
        what: "an epoch is opened for a switchover only for a node that holds exactly what the master held when it \
               gave up its role; where it fails before that, the old master leads on if it is reached",
    },
    Invariant {
        name: "cut-off-before-it-leads-again",
        what: "a master that gave up its role leads again only when the clients that it had are cut off, or a WAIT of \
               theirs might be answered in another history",
    },
    Invariant { name: "executed-once", what: "no write is executed twice" },
    Invariant { name: "client-epoch-grows", what: "a client never goes back to an older document" },
    Invariant { name: "predecessor-reads-it", what: "the document has the predecessor's keys in its format" },
    Invariant { name: "record-is-readable", what: "the record can be read" },
    Invariant {
        name: "liveness",
        what: "within 60 s of the last fault a master is published and takes writes, all follow it, and it would close \
               without them",
    },
];

/// What broke.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which invariant.
    pub invariant: &'static str,
    /// When.
    pub at: Micros,
    /// What was seen.
    pub detail: String,
}

/// What happened, in numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Faults.
    pub faults: u64,
    /// Changes of master that were published.
    pub changes: u64,
    /// Switchovers that operators asked for.
    pub switchovers: Switchovers,
    /// Commits.
    pub commits: u64,
    /// Leaders whose locks the others removed.
    pub deposed: u64,
    /// Monitors that left the group, those of them that were the last, and those of these that said what is left.
    pub left: (u64, u64, u64),
    /// Writes that the published master acknowledged.
    pub acknowledged: u64,
    /// Those of them that the last published master lacks.
    pub lost: u64,
    /// Writes that somebody else acknowledged.
    pub elsewhere: u64,
    /// Writes whose client does not know.
    pub unknown: u64,
    /// Reads.
    pub reads: u64,
    /// Writes that a replica confirmed, and those of them that were lost.
    pub confirmed: (u64, u64),
    /// How often a server lost data to a full copy that lacked acknowledged writes.
    pub wiped: u64,
    /// How often the recorded master was back with less than was acknowledged, and how often it then filled a replica.
    pub forgot: (u64, u64),
    /// Whether the group waits for an operator at the end, as the guarantees say that it does.
    pub waits: u64,
    /// How long after the last fault all was well.
    pub calm_after: Micros,
}

/// What is remembered to judge by.
#[derive(Clone, Debug)]
pub struct Checks {
    /// The first violation.
    pub violation: Option<Violation>,
    /// In numbers.
    pub counts: Counts,
    /// All came to rest.
    pub is_well: bool,
    /// Writes since the faults ended.
    pub acked_since_calm: u32,
    now: Micros,
    orders: (i64, i64),
    record: Option<Topology>,
    published: Option<(usize, RunId)>,
    committer: Option<usize>,
    executed: BTreeMap<WriteId, (usize, RunId, bool)>,
    confirmed: Writes,
    /// Acknowledged by the published master and not given up by a later change.
    live: Writes,
    given_up: Writes,
    /// Who was promoted by a monitor, in which run, and is not published.
    promoted: Vec<Option<RunId>>,
    /// When each server was last found a replica, or was meddled with.
    replica_at: Vec<Option<Micros>>,
    fences: Fences,
    returns: Returns,
    partings: Partings,
    switchings: Switchings,
    /// When the node that was chosen for the latest epoch was asked to freeze.
    chosen_since: Micros,
    /// When an operator changed what a server follows.
    meddled_at: Vec<Option<Micros>>,
    /// Terms that were ended by force: no lease tells of that.
    forced: Vec<Term>,
    /// Which monitors' votes against which nodes counted when `ZooKeeper` was lost, until it is back.
    stood: Vec<(usize, usize)>,
}

/// A record in a few words.
pub fn brief(record: &Topology) -> String {
    let phase = match &record.phase {
        Phase::Steady => "steady".to_owned(),
        Phase::FailingOver(change) => {
            format!("{} -> {} at {}", change.reason, change.intent.node, change.intent.offset)
        }
    };
    let run = record.master_run.as_ref().map_or("?", |run| &run.0);
    let ok: Vec<_> = record.members.iter().filter(|it| it.ok).map(|it| named(&it.addr)).collect();
    format!("epoch {} {phase}, master {run}, ok {ok:?}, registered {}", record.epoch, record.monitors.len())
}

impl Checks {
    pub(crate) fn new(nodes: usize) -> Self {
        Self {
            violation: None,
            counts: Counts::default(),
            is_well: false,
            acked_since_calm: 0,
            now: 0,
            orders: (0, 0),
            record: None,
            published: None,
            committer: None,
            executed: BTreeMap::new(),
            confirmed: Writes::default(),
            live: Writes::default(),
            given_up: Writes::default(),
            promoted: vec![None; nodes],
            replica_at: vec![None; nodes],
            fences: Fences::default(),
            returns: Returns::default(),
            partings: Partings::default(),
            switchings: Switchings::default(),
            chosen_since: 0,
            meddled_at: vec![None; nodes],
            forced: Vec::new(),
            stood: Vec::new(),
        }
    }

    fn violate(&mut self, invariant: &'static str, detail: String) {
        let at = self.now;
        self.violation.get_or_insert(Violation { invariant, at, detail });
    }

    /// Only who holds the lock writes the record.
    pub(crate) fn committed(&mut self, m: usize, term: Term, holder: Option<Term>) {
        self.counts.commits += 1;
        self.committer = Some(m);
        if holder != Some(term) {
            self.violate("fenced-commit", format!("m{m} wrote in term {term}, the lock is of {holder:?}"));
        }
    }

    pub(crate) fn ended_by_force(&mut self, term: Option<Term>) {
        self.forced.extend(term);
    }

    pub(crate) fn promoted(&mut self, n: usize, server: &Server) {
        let run = server.run();
        if self.published.as_ref() != Some(&(n, run.clone())) {
            self.promoted[n] = Some(run);
        }
    }

    /// An operator changed what it follows: what becomes of that is not the monitors' doing.
    pub(crate) fn meddled(&mut self, n: usize, now: Micros) {
        self.now = now;
        self.promoted[n] = None;
        self.replica_at[n] = Some(self.now);
        self.meddled_at[n] = Some(self.now);
        self.returns.changed(n, now);
    }

    /// A write is executed once, and never by a server that was promoted and is not published.
    pub(crate) fn executed(&mut self, id: WriteId, n: usize, server: &Server, now: Micros) {
        self.now = now;
        let run = server.run();
        if self.promoted[n].as_ref() == Some(&run) {
            let closed = server.min_replicas_to_write == CLOSED;
            self.violate("closed-until-published", format!("{run:?} executes {id:?}, closed {closed}"));
        }
        let main = self.published.as_ref() == Some(&(n, run.clone()));
        if !main {
            self.returns.changed(n, now);
        }
        if let Some(before) = self.executed.insert(id, (n, run.clone(), main)) {
            self.violate("executed-once", format!("{id:?} by {before:?} and by {run:?}"));
        }
    }

    pub(crate) fn confirmed(&mut self, id: WriteId) {
        self.confirmed.insert(id);
        self.counts.confirmed.0 += 1;
    }

    /// Something befell somebody, or is over.
    pub(crate) fn disturbed(&mut self) {
        self.fences.disturbed();
        self.switchings.disturbed();
    }

    /// A monitor leads, or does no longer.
    pub(crate) fn led_anew(&mut self) {
        self.disturbed();
        self.returns.led_anew();
    }

    /// A server goes on after it had stood still.
    pub(crate) fn woke(&mut self, n: usize, now: Micros) {
        self.fences.woke(n, now);
    }

    /// A server carries out a command.
    pub(crate) fn obeyed(&mut self, n: usize, ask: &Ask, now: Micros) {
        self.fences.obeyed(n, ask, now);
        if matches!(ask, Ask::Freeze { .. } | Ask::Promote { .. }) {
            self.returns.is_not_filled(n);
        }
    }

    /// A server begins to take in a full copy, or is done with that or needs none.
    pub(crate) fn filled(&mut self, n: usize, begins: Option<Micros>) {
        match begins {
            Some(now) => self.returns.is_filled(n, now),
            None => self.returns.is_not_filled(n),
        }
    }
}

/// Whether a vote says that a node is down.
pub(crate) fn is_failing(vote: Vote) -> bool {
    matches!(vote, Vote::Refused | Vote::Silent | Vote::Unusable)
}
