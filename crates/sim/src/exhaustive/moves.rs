//! What may happen next. It carries nothing out.

use redis_failover_core::{Instant, Link, Outcome, Role, Sighting, Step, Vote};

use super::Rules;
use super::group::{Group, MONITORS, Monitor, NODES, Node, Running, Sight};
use super::promises::Amiss;

/// One thing that happens at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Move {
    /// The leader's prober of the recorded master, before the others, sees another life, another role or none.
    Look(usize, usize),
    /// All probers of the leader look, and see something that is new.
    LookAll(usize),
    /// The monitor reads the record.
    Read(usize),
    /// The monitor hears what the other votes.
    Hear(usize),
    /// The monitor takes the lead, which is free.
    Lead(usize),
    /// The monitor hears that its session has expired, and has a new one.
    Learn(usize),
    /// The monitor's action is carried out at the node; for a commit at the store.
    Visit(usize, usize),
    /// What the monitor sent to the node before it lost the lead never arrives.
    Miss(usize, usize),
    /// The monitor hears what came of its action.
    Finish(usize),
    /// A command of an action that nobody waits for arrives: the monitor's n-th.
    Late(usize, usize),
    /// The replica asks its master to go on from where it is.
    Connect(usize),
    /// The replica takes in the next of what was sent to it.
    Receive(usize),
    /// The client reads the published document.
    Follow,
    /// The client writes, and is answered.
    Write,
    /// Time moves to the next moment in which anybody does anything.
    Time,
    /// The node is started again, after it died.
    Restart(usize, Memory),
    /// A stalled link goes on.
    Heal(usize),
    /// Fault: the node dies.
    Die(usize),
    /// Fault: the monitor dies.
    Kill(usize),
    /// Fault: the leader's session expires, and it does not know yet.
    Expire(usize),
    /// Fault: what came of the monitor's commit or promotion, carried out or not, is lost.
    Lose(usize),
    /// Fault: the replica's link to its master stalls.
    Stall(usize),
    /// Fault: the monitor, which does not lead, finds the one that does gone, though it lives.
    Doubt(usize),
    /// The monitor, which does not lead, finds the one that does dead.
    Gone(usize),
}

/// What may befall the group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Fault {
    /// A node dies, and may come back.
    Die,
    /// A monitor dies.
    Kill,
    /// The leader's session expires, and it goes on acting on what it saw.
    Expire,
    /// What came of a commit or a promotion is lost.
    Lose,
    /// The link between a replica and its master stalls.
    Stall,
    /// Who does not lead finds the leader gone that lives (with `--deposing`).
    Doubt,
}

/// What a node has left when it is back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Memory {
    /// All, under a new name for its history: an append-only file.
    Log,
    /// All, up to a snapshot that it wrote as it ended.
    Saved,
    /// The snapshot from before the client began.
    Older,
    /// Nothing.
    Nothing,
}

impl Move {
    /// Which fault it is, if it is one, of which there is a budget.
    pub(super) fn fault(self) -> Option<Fault> {
        match self {
            Self::Die(_) => Some(Fault::Die),
            Self::Kill(_) => Some(Fault::Kill),
            Self::Expire(_) => Some(Fault::Expire),
            Self::Lose(_) => Some(Fault::Lose),
            Self::Stall(_) => Some(Fault::Stall),
            Self::Doubt(_) => Some(Fault::Doubt),
            _ => None,
        }
    }

    /// Whether it need never happen: a path may end before it.
    pub(super) fn is_optional(self) -> bool {
        self.fault().is_some() || matches!(self, Self::Restart(..) | Self::Heal(_) | Self::Late(..))
    }
}

impl Group {
    /// All that may happen now.
    pub(super) fn moves(&self, rules: &Rules) -> Vec<Move> {
        let mut moves = Vec::new();
        for monitor in 0..MONITORS {
            self.moves_of_monitor(monitor, rules, &mut moves);
        }
        for node in 0..NODES {
            if self.can_connect(node) {
                moves.push(Move::Connect(node));
            }
            let inbound = self.nodes[node].inbound.as_ref().filter(|_| !self.rest.stalled[node]);
            if inbound.is_some_and(|wire| wire.copy.is_some() || !wire.entries.is_empty()) {
                moves.push(Move::Receive(node));
            }
        }
        if moves.is_empty() && self.next_moment(rules).is_some() {
            moves.push(Move::Time);
        }
        // A client takes its time.
        if self.rest.client.sees != self.published() {
            moves.push(Move::Follow);
        }
        if self.can_write(rules) {
            moves.push(Move::Write);
        }
        if self.is_calm(rules) {
            // What is left is to bring all in order, and that is taken in one order.
            moves.truncate(1);
        }
        self.accidents(rules, &mut moves);
        moves
    }

    /// Whether nothing can befall the group any more, and its master takes writes.
    fn is_calm(&self, rules: &Rules) -> bool {
        let Some((master, run)) = self.published().master else { return false };
        let whole =
            |node: usize| (self.nodes[node].alive || rules.back.is_empty()) && !self.rest.stalled[node];
        let server = &self.nodes[master].server;
        self.rest.faults == 0
            && (0..NODES).all(whole)
            && self.monitors.iter().all(|monitor| monitor.late.is_empty())
            && !(0..MONITORS).any(|monitor| rules.deposing && self.is_contested(monitor))
            && self.lives(master, &run)
            && server.is_master()
            && is_open(&self.nodes[master])
    }

    fn moves_of_monitor(&self, monitor: usize, rules: &Rules, moves: &mut Vec<Move>) {
        let it = &*self.monitors[monitor];
        if !it.alive {
            return;
        }
        let leads = it.leads;
        // Before it knows what came of its action it does nothing about what it sees.
        let can_act = it.running.as_ref().is_none_or(|running| running.outcome.is_some());
        if leads && can_act {
            self.looks(monitor, rules, moves);
        }
        if it.session && leads && (it.decider.must_read() || it.told != self.record.version.order) {
            moves.push(Move::Read(monitor));
        }
        if it.session && leads && can_act && it.heard != self.heard_by(monitor) {
            moves.push(Move::Hear(monitor));
        }
        if it.session && !leads && self.rest.lock.is_none() {
            moves.push(Move::Lead(monitor));
        }
        if !it.session || self.is_deposed(monitor) {
            moves.push(Move::Learn(monitor));
        }
        if rules.deposing && self.can_find_leader_gone(monitor, false) {
            moves.push(Move::Gone(monitor));
        }
        let Some(running) = &it.running else { return };
        if running.outcome.is_some() {
            moves.push(Move::Finish(monitor));
        } else {
            let at_once = matches!(running.action.step, Step::Persist { .. });
            for node in running.pending.iter().copied().take(if at_once { 1 } else { NODES }) {
                moves.push(Move::Visit(monitor, node));
                if !it.session && !matches!(running.action.step, Step::Commit { .. }) {
                    moves.push(Move::Miss(monitor, node));
                }
            }
        }
    }

    /// What a leader may see. One who does not lead sees at once who lives, and when time moves all else.
    fn looks(&self, monitor: usize, rules: &Rules, moves: &mut Vec<Move>) {
        let it = &*self.monitors[monitor];
        let news: [News; NODES] =
            std::array::from_fn(|node| it.news(node, &self.nodes[node], self.now(), rules));
        let master = self.topology().and_then(|record| super::group::index(&record.master));
        if let Some(master) = master.filter(|master| news[*master] == News::Great) {
            moves.push(Move::Look(monitor, master));
        }
        if news.iter().any(|it| *it != News::None) {
            moves.push(Move::LookAll(monitor));
        }
    }

    /// What need not happen.
    fn accidents(&self, rules: &Rules, moves: &mut Vec<Move>) {
        for (monitor, it) in self.monitors.iter().enumerate() {
            moves.extend((0..it.late.len()).map(|n| Move::Late(monitor, n)));
        }
        for node in 0..NODES {
            if !self.nodes[node].alive {
                moves.extend(rules.back.iter().map(|memory| Move::Restart(node, *memory)));
            }
            if self.rest.stalled[node] {
                moves.push(Move::Heal(node));
            }
        }
        if self.rest.faults > 0 {
            let allowed = |step: &Move| step.fault().is_some_and(|fault| rules.only.contains(&fault));
            moves.extend(self.faults(rules).into_iter().filter(allowed));
        }
    }

    /// All that may befall the group now.
    fn faults(&self, rules: &Rules) -> Vec<Move> {
        let mut faults = Vec::new();
        for (node, it) in self.nodes.iter().enumerate() {
            if it.alive {
                faults.push(Move::Die(node));
            }
            if it.inbound.is_some() && !self.rest.stalled[node] {
                faults.push(Move::Stall(node));
            }
        }
        for (monitor, it) in self.monitors.iter().enumerate().filter(|(_, it)| it.alive) {
            faults.push(Move::Kill(monitor));
            if self.leads(monitor) {
                faults.push(Move::Expire(monitor));
            }
            if rules.deposing && self.can_find_leader_gone(monitor, true) {
                faults.push(Move::Doubt(monitor));
            }
            let lost = [Some(Outcome::CommitUnknown), Some(Outcome::Promoted(None))];
            let can_be_lost = |running: &Running| {
                matches!(running.action.step, Step::Commit { .. } | Step::Promote { .. })
                    && !lost.contains(&running.outcome)
            };
            if it.running.as_ref().is_some_and(can_be_lost) {
                faults.push(Move::Lose(monitor));
            }
        }
        faults
    }

    /// Whether a replica without a connection finds a master that answers.
    fn can_connect(&self, node: usize) -> bool {
        let it = &*self.nodes[node];
        if !it.alive || it.inbound.is_some() || self.rest.stalled[node] {
            return false;
        }
        let master = it.server.master().and_then(super::group::index);
        master.filter(|master| *master != node).is_some_and(|master| {
            let master = &*self.nodes[master];
            master.alive && (master.server.is_master() || master.server.link() == Link::Up)
        })
    }

    /// A client writes only to the life of the master that was published, and only what would be answered well counts.
    fn can_write(&self, rules: &Rules) -> bool {
        let client = &self.rest.client;
        let Some((master, run)) = &client.sees.master else { return false };
        let server = &self.nodes[*master].server;
        client.next <= rules.writes
            && self.lives(*master, run)
            && server.is_master()
            && is_open(&self.nodes[*master])
    }

    /// When time stops next, if anybody waits for it.
    pub(super) fn next_moment(&self, rules: &Rules) -> Option<u64> {
        if self.rest.idle >= LONGEST_IDLENESS {
            return None;
        }
        let alive = || self.monitors.iter().filter(|monitor| monitor.alive);
        let wakes = alive().filter_map(|monitor| monitor.decider.poll_timeout()).map(Instant::as_millis);
        // Probes never end; but where all is well and nothing is new they tell nobody anything.
        let amiss = self.find_amiss(rules).is_some_and(|amiss| amiss != Amiss::NotWritten);
        let asks =
            (amiss && self.rest.idle < PROBES) || (0..MONITORS).any(|monitor| self.must_look_again(monitor));
        let probe = asks.then_some(self.rest.now + PROBE);
        wakes.map(|at| at.max(self.rest.now + 1)).chain(probe).min()
    }

    /// Whether the next round of probes tells the monitor anything.
    fn must_look_again(&self, monitor: usize) -> bool {
        let it = &*self.monitors[monitor];
        let behind = it.told != self.record.version.order || it.heard != self.heard_by(monitor);
        let stale = |node: usize| {
            let seen = it.sees[node].sighting.as_ref().filter(|_| self.nodes[node].alive);
            seen.is_some_and(|seen| {
                let now = self.nodes[node].server.sighting(seen.asked);
                seen.asked.as_millis() <= it.stirred || **seen != now
            })
        };
        it.alive && (behind || (0..NODES).any(stale))
    }
}

impl Monitor {
    /// What a probe of `node` would tell.
    fn news(&self, node: usize, it: &Node, now: Instant, rules: &Rules) -> News {
        let Sight { ballot, sighting, .. } = &self.sees[node];
        let vote = ballot.map(|ballot| ballot.vote);
        if vote != Some(if it.alive { Vote::Up } else { Vote::Refused }) {
            return News::Great;
        }
        let seen = sighting.as_ref().filter(|_| it.alive);
        seen.map_or(News::None, |seen| News::between(seen, &it.server.sighting(now), rules.fencing))
    }
}

/// What is new in an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum News {
    /// Nothing but how far the node has come, and whom it feeds; whether it guards its writes, where nobody is fenced.
    None,
    /// Its link, or the name of its history; where masters are fenced, whether it guards its writes and can take them.
    Small,
    /// Its life or its role.
    Great,
}

impl News {
    fn between(one: &Sighting, other: &Sighting, fencing: bool) -> Self {
        let link = |role: &Role| match role {
            Role::Replica { link, .. } => Some(*link),
            Role::Master { .. } => None,
        };
        let of = |role: &Role| match role {
            Role::Replica { of, .. } => Some(of.clone()),
            Role::Master { .. } => None,
        };
        if one.run != other.run || of(&one.role) != of(&other.role) {
            return Self::Great;
        }
        let (old, new) = (&one.history, &other.history);
        let guards = |it: &Sighting| fencing.then_some((it.guarded, it.good_replicas > 0));
        if guards(one) != guards(other) {
            return Self::Small;
        }
        let same = (&old.replid, &old.previous) == (&new.replid, &new.previous);
        if same && link(&one.role) == link(&other.role) { Self::None } else { Self::Small }
    }
}

/// Whether a master takes writes: it is not closed, and where it is fenced a replica follows it.
pub(super) fn is_open(node: &Node) -> bool {
    node.server.has_replicas()
}

/// From one round of probes to the next, in milliseconds.
const PROBE: u64 = 100;

/// So many probes are waited for where something is amiss: longer than any deadline but the wait of a third failover.
const PROBES: u8 = 12;

/// So often time moves while nothing else does: then nothing else will.
const LONGEST_IDLENESS: u8 = 16;
