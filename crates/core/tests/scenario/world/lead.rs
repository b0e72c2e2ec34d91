//! How the monitors watch who leads, and what it is to remove a leader's lock.

use redis_failover_core::{Event, LeadBallot, LeadWatch, Leadership, Outcome, Probe, Term};

use super::super::redis::addr;
use super::World;

/// How often a leader is asked.
const PACE: u64 = 200;

/// What becomes of a question at the address where a living monitor can be asked; a dead one's refuses.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Port {
    /// It is answered.
    Open,
    /// It is refused.
    Shut,
    /// It waits: the monitor stands still for good.
    Dumb,
}

/// One monitor's watch over who leads.
#[derive(Default)]
pub(super) struct Lead {
    watch: Option<LeadWatch>,
    connected: bool,
    next: u64,
    told: Option<LeadBallot>,
}

impl Lead {
    /// What it says of who leads.
    pub(super) fn said(&self) -> Option<LeadBallot> {
        self.told
    }
}

impl World {
    /// The leader stands still for good.
    pub(super) fn stop_leader(&mut self) {
        if let Some(name) = self.leader.clone() {
            let monitor = self.monitors.get_mut(&name).expect("the leader is a monitor");
            (monitor.alive, monitor.port) = (false, Port::Dumb);
            self.lose_leader(&name);
        }
    }

    /// Asks who leads whether it lives, when that is due.
    pub(super) fn watch_lead(&mut self, name: &str) {
        let now = self.instant();
        let holder = self.lock.clone().filter(|holder| self.listens && holder != name);
        let port = holder.as_ref().map(|holder| &self.monitors[holder]).map(|it| match it.port {
            Port::Open if !it.alive => Port::Shut,
            port => port,
        });
        let monitor = self.monitors.get_mut(name).expect("a monitor");
        let lead = &mut monitor.lead;
        let term = holder.is_some().then_some(Term(self.term));
        if lead.watch.as_ref().map(LeadWatch::term) != term {
            let watch = |holder| LeadWatch::new(&self.policy, Term(self.term), addr(holder), now);
            *lead = Lead { watch: holder.as_deref().map(watch), told: lead.told, ..Lead::default() };
        }
        if let Some(watch) = &mut lead.watch {
            let mut tell = |probe| watch.probed(now, now, probe);
            let closed = port == Some(Port::Shut) && std::mem::take(&mut lead.connected);
            if closed {
                tell(Probe::Lost);
            }
            if closed || self.now >= lead.next {
                lead.next = self.now + PACE;
                tell(Probe::Sent);
                match port {
                    Some(Port::Open) => tell(Probe::Alive),
                    Some(Port::Shut) => tell(Probe::Refused),
                    Some(Port::Dumb) | None => {}
                }
                lead.connected |= port == Some(Port::Open);
            }
            if now >= watch.poll_timeout() {
                watch.tick(now);
            }
        }
        let said = lead.watch.as_ref().and_then(LeadWatch::ballot);
        if std::mem::replace(&mut lead.told, said) != said {
            monitor.decider.handle(now, Event::LeaderWatched(said));
            monitor.stirred = true;
        }
    }

    /// Leaves the lead to another, where that can do more.
    pub(super) fn may_stand_aside(&mut self, name: &str) {
        if self.monitors[name].decider.out_of_touch(self.instant()).is_some() {
            self.say(&format!("{name} stands aside"));
            self.depose(Term(self.term));
        }
    }

    /// Removes the lock of who leads in this term; another leads with the next step.
    pub(super) fn depose(&mut self, term: Term) -> Outcome {
        if term == Term(self.term)
            && let Some(holder) = self.lock.take()
        {
            let now = self.instant();
            let monitor = self.monitors.get_mut(&holder).expect("who holds the lock is a monitor");
            monitor.deposed += 1;
            if monitor.alive {
                monitor.running = None;
                monitor.stirred = true;
                monitor.decider.handle(now, Event::Leadership(Leadership::Following));
                if let Some(read) = self.record.clone() {
                    monitor.decider.handle(now, Event::TopologyRead(read));
                }
            }
            self.leader = None;
            self.free_at = Some(self.now);
        }
        Outcome::Deposed
    }
}
