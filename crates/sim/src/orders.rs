//! Operators who ask for something else than a switchover: a node drained or never to lead, a pause, a failover that
//! nobody else would begin. Each order is undone after a time, and all are when the faults are over. It is drawn of a
//! stream of its own, so that worlds in which nobody orders anything are what they were.
//!
//! It judges nothing: what must hold of an order that stands is looked at in `check/orders`.

use std::collections::{BTreeMap, BTreeSet};

use fastrand::Rng;
use redis_failover_core::{Answer, Epoch, Failover, Order, Request, RequestId};

use crate::operators::Act;
use crate::queue::{MS, Micros, S};
use crate::swarm::{Swarm, choose};
use crate::world::{Event, World};

/// What an operator says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Said {
    /// A node is out of service, or back in it.
    Drain(usize, bool),
    /// A node never leads, or may again.
    Never(usize, bool),
    /// The group is paused.
    Pause,
    /// It is not any more.
    Resume,
    /// A failover begins now: by whom, whatever is lost or not, and only told or not; it is taken back after so long,
    /// if it is.
    Failover { to: Option<usize>, accept_loss: bool, dry_run: bool, patience: Option<Micros> },
    /// What was asked for is taken back, if nobody has answered.
    TakeBack(RequestId),
    /// All that was ordered is over.
    AllIsOver,
}

/// Who orders what, and what stands.
#[derive(Clone, Debug, Default)]
pub(crate) struct Orders {
    plan: Vec<(Micros, Said)>,
    /// Who was asked and has not answered.
    open: BTreeMap<RequestId, Said>,
    /// Whether the group was paused, and that was answered, and nobody has asked to resume since.
    pub(crate) paused: bool,
    /// The nodes that were taken out of service in the same sense.
    pub(crate) drained: BTreeSet<usize>,
    /// The nodes that are never to lead in the same sense.
    pub(crate) never: BTreeSet<usize>,
    /// The failovers that were asked for whatever is lost: of which epoch, to whom, and when that was over.
    pub(crate) forced: BTreeMap<RequestId, Forced>,
    /// Whether anything was ever asked for that has to be undone.
    undoes: bool,
}

/// A failover that was asked for whatever is lost.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Forced {
    /// The epoch that it ends.
    pub(crate) epoch: Epoch,
    /// Who takes over, if anybody was named.
    pub(crate) to: Option<usize>,
    /// When it was answered or taken back.
    pub(crate) ended: Option<Micros>,
}

impl Orders {
    /// Draws them. Where one crash must lose nothing nobody orders anything: who is drained does not take over.
    pub(crate) fn draw(seed: u64, swarm: &Swarm) -> Self {
        let mut rng = Rng::with_seed(seed.wrapping_mul(0xe703_7ed1_a0b4_28db) ^ 0x0d0e_2015);
        let mut orders = Self::default();
        if rng.u8(0..3) > 0 || swarm.gentle {
            return orders;
        }
        let (end, nodes) = (5 * S + swarm.hostile, swarm.disks.len());
        let every = *choose(&mut rng, &[2, 5, 12]) * S;
        let mut at = rng.u64(3 * S..6 * S);
        while at < end {
            orders.draw_one(&mut rng, at, nodes);
            at += rng.u64(every / 4..every * 2);
        }
        orders
    }

    fn draw_one(&mut self, rng: &mut Rng, at: Micros, nodes: usize) {
        let n = rng.usize(0..nodes);
        let over = at + rng.u64(S..15 * S);
        match rng.u8(0..8) {
            0 | 1 => self.plan.extend([(at, Said::Drain(n, true)), (over, Said::Drain(n, false))]),
            2 => self.plan.extend([(at, Said::Never(n, true)), (over, Said::Never(n, false))]),
            3 | 4 => self.plan.extend([(at, Said::Pause), (over, Said::Resume)]),
            _ => {
                let to = (rng.u8(0..4) > 0).then_some(n);
                let (accept_loss, dry_run) = (rng.u8(0..4) > 0, rng.u8(0..10) == 0);
                let patience = (rng.u8(0..5) == 0).then(|| rng.u64(0..S));
                self.plan.push((at, Said::Failover { to, accept_loss, dry_run, patience }));
            }
        }
    }

    /// Whether somebody has said, of this epoch, that this node is to lead whatever is lost, and that was not over
    /// before `since`.
    pub(crate) fn accepts(&self, epoch: Epoch, n: usize, since: Micros) -> bool {
        let names = |it: &&Forced| it.epoch == epoch && it.to.is_none_or(|to| to == n);
        self.forced.values().filter(names).any(|it| it.ended.is_none_or(|at| at >= since))
    }

    /// Whether an operator wants that this node does not lead.
    pub(crate) fn keeps_out(&self, n: usize) -> bool {
        self.drained.contains(&n) || self.never.contains(&n)
    }

    /// Whether somebody has said that this epoch is to end now, and that was not over before `since`.
    pub(crate) fn ends(&self, epoch: Epoch, since: Micros) -> bool {
        self.forced.values().any(|it| it.epoch == epoch && it.ended.is_none_or(|at| at >= since))
    }
}

impl World {
    /// Plans what was drawn.
    pub(crate) fn plan_orders(&mut self) {
        if self.orders.plan.is_empty() {
            return;
        }
        let drawn = format!("{:?}", self.orders.plan);
        self.say(|| drawn);
        let hostile = |(at, _): &(Micros, Said)| *at < self.hostile_until;
        for (at, said) in self.orders.plan.clone().into_iter().filter(hostile) {
            self.queue.at(at, Event::Operator(Act::Order(said)));
        }
        self.queue.at(self.hostile_until, Event::Operator(Act::Order(Said::AllIsOver)));
    }

    /// An operator says something, if there is a group and a store that keeps it.
    pub(crate) fn order(&mut self, said: Said) {
        let epoch = self.last_record().map(|record| record.epoch).filter(|_| self.ensemble.up);
        match (said, epoch) {
            (Said::AllIsOver, Some(_)) => self.end_all_orders(),
            (Said::AllIsOver, None) => {
                self.queue.after(500 * MS, Event::Operator(Act::Order(said)));
            }
            (Said::TakeBack(request), Some(_)) => self.take_order_back(request),
            (_, Some(epoch)) => self.ask_for(said, epoch),
            (_, None) => {}
        }
    }

    fn take_order_back(&mut self, request: RequestId) {
        if self.orders.open.remove(&request).is_none() {
            return;
        }
        self.say(|| format!("! {request:?} is taken back"));
        self.checks.disturbed();
        let now = self.queue.now();
        if let Some(forced) = self.orders.forced.get_mut(&request) {
            forced.ended = Some(now);
        }
        self.ensemble.take_back(request);
        self.store_changed();
    }

    fn end_all_orders(&mut self) {
        let epoch = self.last_record().map(|record| record.epoch);
        let Some(epoch) = epoch.filter(|_| std::mem::take(&mut self.orders.undoes)) else { return };
        for n in 0..self.nodes.len() {
            self.ask_for(Said::Drain(n, false), epoch);
            self.ask_for(Said::Never(n, false), epoch);
        }
        self.ask_for(Said::Resume, epoch);
    }

    fn ask_for(&mut self, said: Said, epoch: Epoch) {
        let addr = |n: usize| self.nodes[n].server.addr.clone();
        let request = match said {
            Said::Drain(n, drained) => Request::Node { node: addr(n), order: Order::Drain(drained) },
            Said::Never(n, never) => {
                Request::Node { node: addr(n), order: Order::Priority(never.then_some(0)) }
            }
            Said::Pause => Request::Pause { by: "o".into(), reason: "so".into(), lasts: None },
            Said::Resume => Request::Resume,
            Said::Failover { to, accept_loss, dry_run, .. } => {
                Request::Failover(Failover { to: to.map(addr), epoch: Some(epoch), accept_loss, dry_run })
            }
            Said::TakeBack(_) | Said::AllIsOver => return,
        };
        let Some(id) = self.ensemble.ask(&request) else { return };
        self.say(|| format!("! {id:?}: {request:?}"));
        // A switchover that is under way has no longer the leader to itself.
        self.checks.disturbed();
        let orders = &mut self.orders;
        orders.open.insert(id, said);
        orders.undoes |= !matches!(said, Said::Failover { .. });
        if let Said::Failover { patience: Some(patience), .. } = said {
            self.queue.after(patience, Event::Operator(Act::Order(Said::TakeBack(id))));
        }
        let orders = &mut self.orders;
        match said {
            // From now on it may be undone at any time.
            Said::Drain(n, false) => drop(orders.drained.remove(&n)),
            Said::Never(n, false) => drop(orders.never.remove(&n)),
            Said::Resume => orders.paused = false,
            Said::Failover { to, accept_loss: true, dry_run: false, .. } => {
                orders.forced.insert(id, Forced { epoch, to, ended: None });
            }
            _ => {}
        }
        self.store_changed();
    }

    /// A leader has answered; yields whether it was an order.
    pub(crate) fn order_is_answered(&mut self, request: RequestId, answer: &Answer) -> bool {
        let now = self.queue.now();
        let Some(said) = self.orders.open.remove(&request) else { return false };
        self.checks.disturbed();
        if let Some(forced) = self.orders.forced.get_mut(&request) {
            forced.ended = Some(now);
        }
        if matches!(said, Said::Failover { dry_run: false, .. }) {
            self.check_told(answer);
        }
        let done = matches!(answer, Answer::Done(_));
        let counted = &mut self.checks.counts.orders;
        (counted.0, counted.1) = (counted.0 + u64::from(done), counted.1 + u64::from(!done));
        if !done {
            return true;
        }
        // One of these that is to be undone, and that was asked for already, does not stand.
        let undone = |by: Said| self.orders.open.iter().any(|(id, it)| *id > request && *it == by);
        let stands = match said {
            Said::Drain(n, true) => !undone(Said::Drain(n, false)) && !self.is_published(n),
            Said::Never(n, true) => !undone(Said::Never(n, false)),
            Said::Pause => !undone(Said::Resume),
            _ => false,
        };
        match said {
            Said::Drain(n, true) if stands => drop(self.orders.drained.insert(n)),
            Said::Never(n, true) if stands => drop(self.orders.never.insert(n)),
            Said::Pause if stands => self.orders.paused = true,
            _ => {}
        }
        true
    }

    fn is_published(&self, n: usize) -> bool {
        self.last_record().is_some_and(|record| record.master == self.nodes[n].server.addr)
    }

    /// Whether an order stands that nobody has answered.
    pub(crate) fn somebody_orders(&self) -> bool {
        !self.orders.open.is_empty()
    }
}
