//! Bugs that are planted on purpose, to see that the simulator finds each for its own reason. They are planted where
//! the core meets its driver, in what the decider is told and in what becomes of its actions, so that the core itself
//! holds nothing for them.

mod switching;

use redis_failover_core::{
    Event as Fact, Found, Intent, Leadership, NodeAddr, Outcome, Phase, Purpose, Reason, Requests, RunId,
    Step, Term, Topology, Versioned,
};

use crate::monitor::Monitor;
use crate::wires::{Ask, End, Owner, Payload};
use crate::world::World;

pub(crate) use switching::Remembered;

macro_rules! bugs {
    ($($name:ident, $word:literal, $invariant:literal, $what:literal;)*) => {
        /// A planted bug.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Bug {
            $(#[doc = $what] $name,)*
        }

        /// All of them.
        pub const BUGS: &[Bug] = &[$(Bug::$name,)*];

        impl Bug {
            /// What it is called on the command line.
            pub fn word(self) -> &'static str {
                match self { $(Self::$name => $word,)* }
            }

            /// The invariant that it must break.
            pub fn invariant(self) -> &'static str {
                match self { $(Self::$name => $invariant,)* }
            }

            /// What it does, for people.
            pub fn what(self) -> &'static str {
                match self { $(Self::$name => $what,)* }
            }
        }
    };
}

bugs! {
    SkipsFreeze, "skips-freeze", "evidence-is-of-frozen-nodes",
        "The nodes are read and not frozen.";
    PromotesAnyRun, "promotes-any-run", "published-is-promoted",
        "A promotion goes over a new connection, to whatever runs there, and its answer is not compared.";
    PromotesOpen, "promotes-open", "closed-until-published",
        "A promoted node takes writes before it is published.";
    CommitsWithoutLock, "commits-without-lock", "fenced-commit",
        "The record is written without a check of the lock.";
    PublishesUnconfirmed, "publishes-unconfirmed", "published-is-promoted",
        "A master is published before it said that it is one.";
    ChoosesByOrder, "chooses-by-order", "the-best-is-chosen",
        "The first node of the list takes over, not the one with the most data.";
    IgnoresLineage, "ignores-lineage", "the-best-is-chosen",
        "Offsets are compared, whatever history they are in.";
    CountsDeadVotes, "counts-dead-votes", "a-quorum-found-it-down",
        "The last vote of a monitor that is gone still counts.";
    ShrinksQuorum, "shrinks-quorum", "a-quorum-found-it-down",
        "The quorum is a majority of the living monitors.";
    TrustsStaleView, "trusts-stale-view", "a-quorum-found-it-down",
        "A monitor that stood still believes what it saw before.";
    InheritsEvidence, "inherits-evidence", "evidence-is-of-frozen-nodes",
        "What was learned in an earlier term counts in this one.";
    RepairsByNoOne, "repairs-by-no-one", "made-master-in-an-epoch",
        "A recorded master that was demoted is made a master again without a new epoch.";
    PointsAtUnpublished, "points-at-unpublished", "follow-only-the-published",
        "The others follow the candidate before it is published.";
    ReusesEpoch, "reuses-epoch", "one-master-per-epoch",
        "A change whose promotion failed is tried again in the same epoch.";
    TellsNothing, "tells-nothing", "each-change-is-told-once",
        "A master is published without its entry in the history.";
    TellsNoReturn, "tells-no-return", "each-change-is-told-once",
        "What a node that came back holds is counted without an entry in the history.";
    IgnoresLease, "ignores-lease", "commands-only-in-the-lead",
        "Who led once commands the nodes without asking whether it still leads.";
    SkipsFence, "skips-fence", "fenced-commands",
        "A leader neither has its connections confirmed nor ends those of earlier leaders.";
    DeposesAlone, "deposes-alone", "a-quorum-found-the-leader-gone",
        "A monitor that finds the leader gone believes that all others do.";
    NeverCloses, "never-closes", "closes-when-cut-off",
        "A master is not told to take writes only while a replica follows it.";
    NeverLetsGo, "never-lets-go", "let-go-on-alone",
        "A master that has lost its last replica is not told to go on without.";
    LeadsOnBlind, "leads-on-blind", "let-go-on-alone",
        "A leader that does not reach the master keeps the lead, though others reach it.";
    LowersBeforeRecording, "lowers-before-recording", "recorded-before-lowered",
        "A master is let go on alone first, and then that is recorded.";
    IgnoresLeft, "ignores-left", "who-was-left-does-not-lead",
        "Who was left behind when the master was let go on is forgotten.";
    ReplacesUncounted, "replaces-uncounted", "counted-before-replaced",
        "Nodes that came back are told to follow before what they hold beyond is recorded.";
    FillsAllAtOnce, "fills-all-at-once", "one-copy-at-a-time",
        "All nodes that need a full copy are told to follow at once, whatever host they share.";
    LeavesFenced, "leaves-fenced", "a-group-is-left-in-order",
        "A monitor that leaves is gone as soon as it knows who stays, though it is the last.";
    LooksBeforeItWithdraws, "looks-before-it-withdraws", "a-group-is-left-in-order",
        "A monitor that leaves is told who stays before its own report is gone.";
    LeadsOnAsItLeaves, "leads-on-as-it-leaves", "who-leaves-begins-nothing-new",
        "A monitor that leaves goes on as if it stayed, until it is gone.";
    OpensAClosedPromotion, "opens-a-closed-promotion", "closed-until-published",
        "The last monitor that leaves opens a node that it promoted, and then publishes it.";
    SaysAllIsDone, "says-all-is-done", "what-is-left-is-named",
        "The last monitor that leaves takes the master's number for given back, and does not do it.";
    StaysOn, "stays-on", "who-leaves-is-gone-in-time",
        "A monitor that leaves stays for as long as something is left to do.";
    OpensForLess, "opens-for-less", "who-takes-over-has-all",
        "A switchover's epoch is opened though the wanted node lacks something.";
    ForgetsTheEnd, "forgets-the-end", "who-takes-over-has-all",
        "What the wanted node held before counts for what the master held when it gave up its role.";
    KeepsTheClients, "keeps-the-clients", "cut-off-before-it-leads-again",
        "That the clients of a master that gave up its role are not cut off yet is not recorded.";
    CutsNothing, "cuts-nothing", "cut-off-before-it-leads-again",
        "A master that gave up its role is made one again without its clients being cut off.";
    LooksBeforeItHolds, "looks-before-it-holds", "cedes-when-all-is-there",
        "A look at both nodes from before writes were held counts as one from after.";
    CedesOn, "cedes-on", "commands-only-in-the-lead",
        "A leader has the master give up its role though it lost the lead meanwhile.";
    OpensForAnother, "opens-for-another", "who-was-named-takes-over",
        "An epoch that an operator ordered is opened for another node than the one that he named.";
    IgnoresOrders, "ignores-orders", "who-is-not-to-lead-does-not",
        "What operators said of single nodes is not read.";
    IgnoresPause, "ignores-pause", "a-pause-begins-no-change",
        "That the group is paused is not read.";
    SaysItIsOpen, "says-it-is-open", "done-when-it-takes-writes",
        "A published master is taken for opened, and is not.";
    NeverOpens, "never-opens", "liveness",
        "A published master stays closed.";
    NeverRepoints, "never-repoints", "liveness",
        "The others are not told whom to follow.";
    ClientRepeats, "client-repeats", "executed-once",
        "A client sends a write again though it may have been executed.";
    ClientTrustsOlder, "client-trusts-older", "client-epoch-grows",
        "A client believes an older document.";
}

impl Monitor {
    /// The term of an action, where the decider was told a false one.
    pub(crate) fn true_term(&self, term: Term) -> Term {
        match self.leadership {
            Leadership::Leading(present) if term == Term(0) => present,
            _ => term,
        }
    }
}

impl World {
    /// What a decider with a planted bug is told instead.
    pub(crate) fn distort(&mut self, m: usize, fact: Fact) -> Fact {
        let monitor = &mut self.monitors[m];
        match (self.bug, fact) {
            (Some(Bug::CountsDeadVotes), Fact::ReportsRead(mut peers)) => {
                for (id, peer) in &monitor.planted.peers {
                    peers.entry(id.clone()).or_insert_with(|| peer.clone());
                }
                monitor.planted.peers.clone_from(&peers);
                Fact::ReportsRead(peers)
            }
            (Some(Bug::DeposesAlone), Fact::ReportsRead(mut peers)) => {
                for peer in peers.values_mut() {
                    peer.lead = monitor.lead.said();
                }
                Fact::ReportsRead(peers)
            }
            (Some(Bug::ShrinksQuorum), Fact::TopologyRead(mut read)) => {
                shrink(&mut read, monitor);
                Fact::TopologyRead(read)
            }
            (Some(bug), Fact::TopologyRead(mut read)) => {
                if let Found::Record(record) = &mut read.found {
                    match bug {
                        Bug::IgnoresLeft => record.left.clear(),
                        Bug::IgnoresOrders => record.orders.clear(),
                        Bug::IgnoresPause => record.pause = None,
                        _ => {}
                    }
                }
                Fact::TopologyRead(read)
            }
            (Some(Bug::InheritsEvidence), Fact::Leadership(leadership)) => {
                let leads = matches!(leadership, Leadership::Leading(_));
                if leads && !std::mem::replace(&mut monitor.planted.led, true) {
                    Fact::Leadership(Leadership::Leading(Term(0)))
                } else {
                    // It is told nothing.
                    Fact::RequestsRead(Requests::new())
                }
            }
            (Some(Bug::IgnoresLineage), Fact::Finished(id, Outcome::Read(mut said))) => {
                let record = monitor.decider.record();
                if let Some(current) = record.and_then(|record| record.lineages.current()) {
                    for evidence in said.values_mut() {
                        evidence.history.replid.clone_from(&current.replid);
                    }
                }
                Fact::Finished(id, Outcome::Read(said))
            }
            (Some(bug), Fact::Finished(id, Outcome::Read(said))) => monitor.distort_read(bug, id, said),
            (_, fact) => fact,
        }
    }

    /// What is done instead of what the decider wants.
    pub(crate) fn distort_step(&mut self, m: usize, step: Step) -> Step {
        if self.bug.is_some() {
            self.monitors[m].planted.switching.begin(&step);
        }
        match step {
            Step::Commit { record, .. } if self.lowers_first(m, &record) => {
                self.monitors[m].planted.distorted = true;
                let run = record.master_run.clone().unwrap_or(RunId(String::new()));
                Step::Fence { node: record.master, run, number: 0 }
            }
            Step::Commit { record, purpose: Purpose::Publish, .. } if self.opens_first(m) => {
                self.monitors[m].planted.distorted = true;
                let run = record.master_run.clone().unwrap_or(RunId(String::new()));
                Step::Open { node: record.master, run, min_replicas_to_write: 0, first: true }
            }
            Step::Commit { expected, mut record, purpose, entry }
                if purpose == Purpose::OpenEpoch || self.bug == Some(Bug::IgnoresLeft) =>
            {
                let wanted = record.clone();
                if purpose == Purpose::OpenEpoch {
                    self.distort_epoch(m, &mut record);
                }
                if self.bug == Some(Bug::IgnoresLeft) {
                    record.left.clear();
                }
                if self.bug == Some(Bug::KeepsTheClients) {
                    record.unclosed.clear();
                }
                self.monitors[m].planted.distorted = wanted != record;
                Step::Commit { expected, record, purpose, entry }
            }
            Step::Commit { expected, record, purpose: Purpose::Publish, .. }
                if self.bug == Some(Bug::TellsNothing) =>
            {
                Step::Commit { expected, record, purpose: Purpose::Publish, entry: None }
            }
            Step::Commit { expected, record, purpose: Purpose::Count, .. }
                if self.bug == Some(Bug::TellsNoReturn) =>
            {
                Step::Commit { expected, record, purpose: Purpose::Count, entry: None }
            }
            Step::Promote { intent, closable, closes } => {
                let others = |n: &usize| self.nodes[*n].server.addr != intent.node;
                if self.bug == Some(Bug::PointsAtUnpublished) {
                    for n in (0..self.nodes.len()).filter(others).collect::<Vec<_>>() {
                        let follow = Ask::Follow { master: intent.node.clone(), cut: false, number: None };
                        self.send_planted(m, n, follow);
                    }
                }
                let closes = closes && self.bug != Some(Bug::CutsNothing);
                Step::Promote { intent, closable, closes }
            }
            step => step,
        }
    }

    /// Whether this commit lets a master go on that was not told so yet; the next time it was.
    fn lowers_first(&mut self, m: usize, record: &Topology) -> bool {
        let before = self.monitors[m].decider.record();
        let lets_go = before.is_some_and(|before| {
            before.fenced && before.epoch == record.epoch && record.phase == Phase::Steady && !record.fenced
        });
        let monitor = &mut self.monitors[m];
        let wanted = self.bug == Some(Bug::LowersBeforeRecording) && lets_go;
        monitor.planted.lowered = wanted && !monitor.planted.lowered;
        monitor.planted.lowered
    }

    /// Whether the last monitor, which leaves, is about to publish for the first time; it tries again.
    fn opens_first(&mut self, m: usize) -> bool {
        let wanted = self.bug == Some(Bug::OpensAClosedPromotion) && self.is_last(Some(m));
        wanted && !std::mem::replace(&mut self.monitors[m].planted.lowered, wanted)
    }

    fn distort_epoch(&self, m: usize, record: &mut Topology) {
        let monitor = &self.monitors[m];
        let epoch = record.epoch;
        let Phase::FailingOver(change) = &mut record.phase else { return };
        let held = |node: &NodeAddr| monitor.held.get(&self.node_of(node)?).map(|held| &held.said);
        let as_it_is = |node: &NodeAddr| {
            held(node).map(|said| Intent {
                node: node.clone(),
                run: said.run.clone(),
                replid: said.history.replid.clone(),
                offset: said.history.offset,
            })
        };
        let mut nodes = record.members.iter().map(|it| &it.addr);
        match self.bug {
            Some(Bug::ChoosesByOrder) => {
                change.intent = nodes.find_map(as_it_is).unwrap_or(change.intent.clone());
            }
            Some(Bug::OpensForAnother) if change.reason == Reason::Ordered => {
                let mut others = nodes.filter(|node| **node != change.intent.node && **node != record.master);
                change.intent = others.find_map(as_it_is).unwrap_or(change.intent.clone());
            }
            Some(Bug::IgnoresLineage) => {
                if let Some(said) = held(&change.intent.node) {
                    change.intent.replid.clone_from(&said.history.replid);
                }
            }
            Some(Bug::ReusesEpoch) => {
                let open = monitor.decider.record().filter(|old| old.phase != Phase::Steady);
                record.epoch = open.map_or(epoch, |old| old.epoch);
            }
            _ => {}
        }
    }

    /// What a driver with a planted bug says that it did, without doing it.
    pub(crate) fn pretend(&self, m: usize, step: &Step) -> Option<Outcome> {
        if let Some(outcome) = self.monitors[m].planted.switching.pretend(self.bug?, step) {
            return Some(outcome);
        }
        match (self.bug?, step) {
            (Bug::SaysAllIsDone, Step::Fence { node, number: 0, .. }) if self.is_last(Some(m)) => {
                Some(Outcome::Done([node.clone()].into()))
            }
            (Bug::NeverOpens | Bug::SaysItIsOpen, Step::Open { node, .. })
            | (Bug::NeverLetsGo, Step::Fence { node, number: 0, .. })
            | (Bug::NeverCloses, Step::Fence { node, number: 1.., .. }) => {
                Some(Outcome::Done([node.clone()].into()))
            }
            (Bug::ReplacesUncounted, Step::Commit { expected, purpose: Purpose::Count, .. }) => {
                Some(Outcome::Committed(*expected))
            }
            (Bug::NeverRepoints, Step::Follow { nodes, .. }) => {
                Some(Outcome::Done(nodes.iter().cloned().collect()))
            }
            _ => None,
        }
    }

    /// Sends a command that the decider did not ask for.
    pub(crate) fn send_planted(&mut self, m: usize, n: usize, ask: Ask) {
        self.check_command(m, n, &ask);
        // As if nothing fenced it.
        let term = self.monitors[m].led.map_or(Term(0), |(term, _)| term);
        let conn = self.open(Owner::Admin(m, term), n);
        self.send(conn, End::Caller, Payload::Ask(ask));
    }

    /// What the driver of a monitor with a planted bug does by itself.
    pub(crate) fn meddle_planted(&mut self, m: usize) {
        if self.bug != Some(Bug::RepairsByNoOne)
            || !matches!(self.monitors[m].leadership, Leadership::Leading(_))
        {
            return;
        }
        let Some(record) = self.monitors[m].decider.record().filter(|it| it.phase == Phase::Steady) else {
            return;
        };
        let master = record.master.clone();
        let sightings = self.monitors[m].observer.sightings();
        let demoted = sightings.get(&master).is_some_and(|it| !it.role.is_master());
        if let Some(n) = self.node_of(&master).filter(|_| demoted) {
            self.send_planted(m, n, Ask::Promote { closed: false, cut: false });
        }
    }
}

fn shrink(read: &mut Versioned, monitor: &Monitor) {
    if let Found::Record(record) = &mut read.found {
        record.monitors.retain(|id| *id == monitor.id || monitor.knows(id));
    }
}
