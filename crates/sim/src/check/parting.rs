//! What is looked at of monitors that leave their group: that they begin nothing new, are gone in time, and leave it in
//! order, or say that they do not.

use std::collections::BTreeSet;

use redis_failover_core::{Phase, Purpose, Step};

use crate::nodes::Process;
use crate::queue::{Micros, S};
use crate::world::World;

/// Who was told to follow by the last one that left does so after this time.
const SETTLES: Micros = 3 * S;

/// What is remembered of those that leave.
#[derive(Clone, Debug, Default)]
pub(super) struct Partings {
    /// Whether somebody said at the end that all is in order.
    said: bool,
    /// When the latest one was gone.
    gone: Micros,
}

impl World {
    /// A monitor begins an action: one that leaves others behind begins none, and the last one no change of master, but
    /// for the end of a switchover whose master has given up its role.
    pub(crate) fn check_leaver(&mut self, m: usize, step: &Step) {
        let monitor = &self.monitors[m];
        let Some(others) = monitor.leaving.as_ref().and_then(|leaving| leaving.others.as_ref()) else {
            return;
        };
        let steady = monitor.decider.record().is_some_and(|record| record.phase == Phase::Steady);
        let opens = matches!(step, Step::Commit { purpose: Purpose::OpenEpoch, .. }) && steady;
        let begins = matches!(step, Step::Cede { .. }) || (opens && !self.has_given_up());
        if !others.is_empty() || begins {
            let detail = format!("m{m} leaves {others:?} behind and begins {step}");
            self.violate("who-leaves-begins-nothing-new", &detail);
        }
    }

    /// Whether a monitor leaves, and knows that it is the last.
    pub(crate) fn is_last(&self, m: Option<usize>) -> bool {
        let leaving = m.and_then(|m| self.monitors[m].leaving.as_ref());
        leaving.and_then(|leaving| leaving.others.as_ref()).is_some_and(BTreeSet::is_empty)
    }

    /// A monitor is gone. What the last one leaves is as it says.
    pub(crate) fn check_gone(&mut self, m: usize, in_order: bool) {
        let real = self.queue.now();
        let monitor = &self.monitors[m];
        let Some(leaving) = &monitor.leaving else { return };
        let due = monitor.real(leaving.until).max(monitor.awake_since);
        let late = real.saturating_sub(due);
        let last = self.is_last(Some(m));
        self.checks.partings.gone = real;
        self.checks.counts.left.0 += 1;
        self.checks.counts.left.1 += u64::from(last);
        self.checks.counts.left.2 += u64::from(last && !in_order);
        if late > LATE {
            self.violate("who-leaves-is-gone-in-time", &format!("m{m} is {late} us late"));
        }
        if last && in_order {
            self.checks.partings.said |= self.is_ending();
            self.check_said(m);
        }
    }

    /// The last monitor says that it leaves the group in order, and still leads: so it is, in the life of the master
    /// that it saw, unless an operator has changed that.
    fn check_said(&mut self, m: usize) {
        let leads = self.monitors[m].led.map(|(term, _)| term) == self.ensemble.holder();
        let Some(record) = self.steady_record().filter(|_| leads) else { return };
        let Some(n) = self.node_of(&record.master) else { return };
        let (node, server) = (&self.nodes[n], &self.nodes[n].server);
        let same = record.master_run == Some(server.run()) && node.process != Process::Dead;
        let meddled = self.checks.meddled_at[n].is_some();
        let done = server.min_replicas_to_write == 0 && server.filed_number() == 0 && !record.fenced;
        if same && !meddled && !done {
            let detail = format!("m{m} says so, and {}", self.how_it_is_left());
            self.violate("what-is-left-is-named", &detail);
        }
    }

    /// Whether all have left at the end, and who was told to follow does, or has had the time for it.
    pub(crate) fn is_left(&mut self) -> bool {
        let late = self.queue.now() >= self.checks.partings.gone + SETTLES;
        self.all_have_left() && (late || self.all_is_well())
    }

    /// All have left at the end, and nothing hindered them.
    pub(crate) fn check_all_left(&mut self) {
        let well = self.all_is_well();
        let said = self.checks.partings.said;
        let recorded = self.steady_record().is_some_and(|record| {
            let replicas = record.synced.keys().filter(|node| **node != record.master);
            !record.fenced && replicas.into_iter().all(|node| record.left.contains(node))
        });
        let master = self.steady_record().and_then(|record| self.node_of(&record.master));
        let open = master.is_some_and(|n| {
            let server = &self.nodes[n].server;
            server.min_replicas_to_write == 0 && server.filed_number() == 0
        });
        if !(well && said && recorded && open) {
            let detail = format!("well {well}, said {said}, {}", self.how_it_is_left());
            self.violate("a-group-is-left-in-order", &detail);
        }
    }

    fn how_it_is_left(&self) -> String {
        let Some(record) = self.last_record() else { return "there is no record".to_owned() };
        let number = self.node_of(&record.master).map(|n| {
            let server = &self.nodes[n].server;
            (server.min_replicas_to_write, server.filed_number())
        });
        format!(
            "{} has {number:?} in memory and in its file; recorded: {}, fenced {}, left {:?}",
            record.master,
            super::brief(record),
            record.fenced,
            record.left
        )
    }
}

/// So much later than it may a monitor is gone, in microseconds: its clock counts milliseconds.
const LATE: Micros = 2_000;
