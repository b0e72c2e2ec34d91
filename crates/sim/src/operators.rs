//! Operators who ask for switchovers: of whomever or of one node, with patience or without, and some take it back, or
//! the leader dies that they asked. It is drawn of a stream of its own, so that worlds in which nobody asks are what
//! they were; and so is which servers there are.

use std::collections::BTreeMap;

use fastrand::Rng;
use redis_failover_core::{Answer, Epoch, Leadership, Request, RequestId, Switchover};

use crate::faults::Fault;
use crate::orders::Said;
use crate::queue::{MS, Micros, S};
use crate::swarm::{Swarm, choose};
use crate::world::{Event, World};

/// One switchover that is asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wish {
    /// Who is to take over.
    pub(crate) to: Option<usize>,
    /// For how long to wait until that node is near.
    pub(crate) timeout: Micros,
    /// It is only to be said what would be done.
    pub(crate) dry_run: bool,
    /// It is taken back after so long.
    pub(crate) patience: Option<Micros>,
    /// The leader ends so long after it was asked.
    pub(crate) kills: Option<Micros>,
}

/// Who asks for what, and when; and what the servers can do.
#[derive(Clone, Debug)]
pub(crate) struct Operators {
    plan: Vec<(Micros, Wish)>,
    /// The servers are Redis 6.2: who follows another cuts its own replicas off.
    pub(crate) old_servers: bool,
    /// The servers don't let monitors pause clients.
    pub(crate) no_pauses: bool,
    /// What was asked for and nobody has answered.
    open: BTreeMap<RequestId, Wish>,
}

/// What an operator does.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Act {
    /// Asks.
    Ask(Wish),
    /// Takes it back.
    TakeBack(RequestId),
    /// Ends the leader's process.
    KillLeader,
    /// Looks whether it is over.
    Due(RequestId),
    /// Says something of nodes or of the group.
    Order(Said),
}

impl Operators {
    /// Nobody asks, and the servers are new.
    pub(crate) fn none() -> Self {
        Self { plan: Vec::new(), old_servers: false, no_pauses: false, open: BTreeMap::new() }
    }

    /// Draws them.
    pub(crate) fn draw(seed: u64, swarm: &Swarm) -> Self {
        let mut rng = Rng::with_seed(seed.wrapping_mul(0xa076_1d64_78bd_642f) ^ 0x5317_c4ed);
        let mut operators = Self::none();
        operators.old_servers = rng.u8(0..4) == 0;
        if rng.u8(0..2) == 0 {
            operators.no_pauses = rng.u8(0..4) == 0;
            operators.draw_plan(&mut rng, swarm);
        }
        operators
    }

    fn draw_plan(&mut self, rng: &mut Rng, swarm: &Swarm) {
        let end = 5 * S + swarm.hostile;
        let every = *choose(rng, &[2, 6, 20]) * S;
        let kills = !swarm.gentle && rng.u8(0..3) == 0;
        // The first one mostly before any fault.
        let mut at = rng.u64(3 * S..5 * S);
        while at < end {
            let timeout = *choose(rng, &[300 * MS, 2 * S, 10 * S]);
            let soon = *choose(rng, &[10, 100, 400]) * MS;
            let wish = Wish {
                to: (rng.u8(0..3) > 0).then(|| rng.usize(0..swarm.disks.len())),
                timeout,
                dry_run: rng.u8(0..10) == 0,
                patience: (rng.u8(0..5) == 0).then(|| rng.u64(0..timeout.min(S))),
                kills: (kills && rng.u8(0..3) == 0).then(|| rng.u64(0..soon)),
            };
            self.plan.push((at, wish));
            at += rng.u64(every / 4..every * 2);
        }
    }
}

impl World {
    /// Plans what was drawn.
    pub(crate) fn plan_operators(&mut self) {
        let operators = &self.operators;
        if operators.old_servers || operators.no_pauses || !operators.plan.is_empty() {
            let drawn = format!("{operators:?}");
            self.say(|| drawn);
        }
        for (at, wish) in self.operators.plan.clone() {
            self.queue.at(at, Event::Operator(Act::Ask(wish)));
        }
    }

    /// An operator does something.
    pub(crate) fn operate(&mut self, act: Act) {
        match act {
            Act::Ask(wish) => self.ask_for_switchover(wish),
            Act::TakeBack(request) => {
                if self.ensemble.up && self.operators.open.contains_key(&request) {
                    self.say(|| format!("! {request:?} is taken back"));
                    self.ensemble.take_back(request);
                    self.operators.open.remove(&request);
                    self.store_changed();
                }
            }
            Act::KillLeader => self.kill_leader(),
            Act::Due(request) => self.check_switched_in_time(request),
            Act::Order(said) => self.order(said),
        }
    }

    fn ask_for_switchover(&mut self, wish: Wish) {
        let Some(epoch) = self.last_record().map(|record| record.epoch).filter(|_| self.ensemble.up) else {
            return;
        };
        let Some(request) = self.ensemble.ask(&self.wanted(epoch, wish)) else { return };
        self.say(|| format!("! {request:?}: a switchover of epoch {epoch}: {wish:?}"));
        self.checks.counts.switchovers.asked += 1;
        self.note_asked(request, wish);
        self.operators.open.insert(request, wish);
        let bound = self.longest_switchover(wish.timeout);
        self.queue.after(bound, Event::Operator(Act::Due(request)));
        if let Some(patience) = wish.patience {
            self.queue.after(patience, Event::Operator(Act::TakeBack(request)));
        }
        if let Some(after) = wish.kills {
            self.queue.after(after, Event::Operator(Act::KillLeader));
        }
        self.store_changed();
    }

    fn wanted(&self, epoch: Epoch, wish: Wish) -> Request {
        Request::Switchover(Switchover {
            to: wish.to.map(|n| self.nodes[n].server.addr.clone()),
            epoch,
            timeout: std::time::Duration::from_millis(wish.timeout / MS),
            dry_run: wish.dry_run,
        })
    }

    fn kill_leader(&mut self) {
        let leads = |m: &usize| matches!(self.monitors[*m].leadership, Leadership::Leading(_));
        let leader = (0..self.monitors.len()).filter(|m| self.monitors[*m].alive).find(leads);
        let Some(m) = leader.filter(|_| self.is_hostile()) else { return };
        self.say(|| format!("! m{m} ends, which was asked for a switchover"));
        self.checks.disturbed();
        self.kill_monitor(m);
        self.active += 1;
        self.checks.counts.faults += 1;
        self.queue.after(2 * S, Event::Heal(Fault::DeadMonitor(m)));
    }

    /// A leader has answered.
    pub(crate) fn operator_is_answered(&mut self, request: RequestId, answer: &Answer) {
        self.say(|| format!("{request:?} is answered: {answer}"));
        if self.order_is_answered(request, answer) {
            return;
        }
        if self.operators.open.remove(&request).is_some_and(|wish| !wish.dry_run) {
            self.check_told(answer);
        }
        let counted = &mut self.checks.counts.switchovers;
        match answer {
            Answer::Done(_) => counted.done += 1,
            Answer::Refused(_) => counted.refused += 1,
        }
    }

    /// Whether a request stands that nobody has answered.
    pub(crate) fn somebody_asks(&self) -> bool {
        !self.operators.open.is_empty() || self.somebody_orders()
    }
}
