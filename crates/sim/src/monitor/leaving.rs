//! A monitor whose configuration file has its group no more, as `server/src/monitor/orders.rs` has it leave: it takes
//! its votes back, looks who is left, and has the decider see to what nobody would look after any more. It decides
//! nothing.

use std::collections::BTreeSet;
use std::time::Duration;

use redis_failover_core::{Event as Fact, Instant, Leadership, MonitorId};

use crate::bugs::Bug;
use crate::ensemble::Up;
use crate::wires::{End, Host};
use crate::world::World;

/// How long it stays at most.
pub(crate) const LIMIT: Duration = Duration::from_secs(5);

/// A monitor that leaves.
#[derive(Clone, Debug)]
pub(crate) struct Leaving {
    /// When it is gone, whatever is left to do.
    pub(crate) until: Instant,
    /// Who stays, once it was told.
    pub(crate) others: Option<BTreeSet<MonitorId>>,
    /// It will not be told.
    failed: bool,
}

impl World {
    /// It is told to leave.
    pub(crate) fn leave_group(&mut self, m: usize) {
        let monitor = &mut self.monitors[m];
        if monitor.leaving.is_some() {
            return;
        }
        let until = monitor.local(self.queue.now()) + LIMIT;
        monitor.leaving = Some(Leaving { until, others: None, failed: false });
        self.say(|| format!("m{m} leaves"));
        self.look_who_stays(m);
        if self.bug == Some(Bug::LooksBeforeItWithdraws) {
            let known = self.monitors[m].peers.keys().cloned().collect();
            self.hear_who_stays(m, known);
        }
        self.turn(m);
    }

    /// Asks whose reports stand beside its own, which is taken back, until it knows.
    pub(super) fn look_who_stays(&mut self, m: usize) {
        if self.monitors[m].leaving.as_ref().is_some_and(|leaving| leaving.others.is_none()) {
            self.send_up(m, Up::Leave);
        }
    }

    /// It is told. While a report of its own stands, of an earlier session, it waits for the end of that.
    pub(super) fn hear_who_stays(&mut self, m: usize, standing: BTreeSet<MonitorId>) {
        let monitor = &mut self.monitors[m];
        let waits = monitor.leaving.as_mut().filter(|leaving| leaving.others.is_none());
        let Some(leaving) = waits.filter(|_| !standing.contains(&monitor.id)) else { return };
        leaving.others = Some(standing.clone());
        self.say(|| format!("m{m} leaves {standing:?} behind"));
        if self.bug != Some(Bug::LeadsOnAsItLeaves) {
            self.decide(m, Fact::Leaving(standing));
        }
    }

    /// The connection leads nowhere: whether the question is asked again over the next one is chance.
    pub(super) fn may_never_hear_who_stays(&mut self, m: usize) {
        let leaving = self.monitors[m].leaving.as_mut();
        if let Some(leaving) = leaving.filter(|leaving| leaving.others.is_none()) {
            leaving.failed |= self.rng.bool();
        }
    }

    /// Whether it leaves and there is nothing left to do, or nothing that can be done.
    pub(super) fn is_gone(&self, m: usize, now: Instant) -> bool {
        let monitor = &self.monitors[m];
        let (early, stays) = (self.bug == Some(Bug::LeavesFenced), self.bug == Some(Bug::StaysOn));
        monitor.leaving.as_ref().is_some_and(|leaving| {
            let parted = monitor.decider.has_parted(now) || (early && leaving.others.is_some());
            leaving.failed || (now >= leaving.until && !stays) || parted
        })
    }

    /// It goes: it gives up the lead, and its connections are closed. What it sent is sent.
    pub(super) fn go(&mut self, m: usize) {
        let now = self.monitors[m].local(self.queue.now());
        let in_order = self.monitors[m].decider.left_in_order(now);
        self.check_gone(m, in_order);
        self.say(|| format!("m{m} is gone, in order {in_order}"));
        self.abort(m);
        self.send_up(m, Up::Bye);
        let monitor = &mut self.monitors[m];
        (monitor.alive, monitor.has_left, monitor.leaving) = (false, true, None);
        monitor.leadership = Leadership::Following;
        monitor.later.clear();
        for conn in self.wires.all(|conn| conn.host(End::Caller) == Host::Monitor(m)) {
            self.close(conn, End::Caller);
        }
        self.checks.led_anew();
        self.may_be_back(m);
    }
}
