//! Whether a monitor stands for the lead, and its watch over who leads, as `server/src/monitor/lead_watch.rs` keeps it:
//! one question after the other to the monitor that holds the lock. A question is lost where the way is cut; a process
//! that is gone refuses it at once.

use redis_failover_core::{Event as Fact, Instant, LeadBallot, LeadWatch, Leadership, NodeAddr, Probe, Term};
use redis_failover_store::{Contact, Leader};

use super::{Micros, World};
use crate::bugs::Bug;
use crate::ensemble::Up;
use crate::wires::Host;
use crate::world::Event;

/// One monitor's watch over who leads.
#[derive(Clone, Debug, Default)]
pub(crate) struct Lead {
    watch: Option<LeadWatch>,
    /// Who that is, and in which life of its process.
    of: (usize, u32),
    /// The number of the last question, and since when that waits for its answer, if it does.
    number: u64,
    asked: Option<Instant>,
    next: Option<Instant>,
    /// What it says.
    said: Option<LeadBallot>,
    /// In which terms it said that their leader is gone.
    pub(crate) gone: Vec<Term>,
}

impl Lead {
    /// What it says of who leads.
    pub(crate) fn said(&self) -> Option<LeadBallot> {
        self.said
    }

    /// When something is due.
    pub(super) fn due(&self, patience: std::time::Duration) -> Option<Instant> {
        let watch = self.watch.as_ref()?;
        let next = self.asked.map(|since| since + patience * 2).or(self.next);
        Some(next.unwrap_or(Instant::from_millis(0)).min(watch.poll_timeout()))
    }
}

/// Where monitor `m` can be asked in this life.
pub(crate) fn contact(m: usize, life: u32) -> Contact {
    Contact { address: format!("m{m}:1"), life: life.to_string() }
}

/// Which monitor holds the lock, and in which life.
fn holder(leader: &Leader) -> Option<(usize, u32)> {
    let m = leader.monitor.strip_prefix('m')?.parse().ok()?;
    Some((m, leader.life.as_deref()?.parse().ok()?))
}

impl World {
    /// Leaves the lead to others for a while where they can do more, as `server/src/monitor/candidacy.rs` does.
    pub(super) fn may_stand_aside(&mut self, m: usize, now: Instant) {
        let monitor = &mut self.monitors[m];
        let stands_again = monitor.aside.tick(now);
        let is_out = self.bug != Some(Bug::LeadsOnBlind) && monitor.decider.out_of_touch(now).is_some();
        let leaves = is_out && monitor.aside.leave(now);
        if leaves {
            self.say(|| format!("m{m} stands aside"));
            // It follows from here on, and then its lock goes.
            self.lead(m, Leadership::Following);
        }
        if leaves || stands_again {
            self.send_up(m, Up::Stand(!leaves));
        }
    }

    /// Watches who leads from now on, and nobody else.
    pub(super) fn watch_leader(&mut self, m: usize, leader: Option<Leader>) {
        let now = self.monitors[m].local(self.queue.now());
        let lead = &mut self.monitors[m].lead;
        let term = leader.as_ref().map(|leader| leader.term);
        if !self.swarm.listens || lead.watch.as_ref().map(LeadWatch::term) == term {
            return;
        }
        let found = leader.and_then(|leader| Some((holder(&leader)?, leader.term)));
        // An answer to an earlier question is none to the next.
        (lead.watch, lead.asked, lead.next) = (None, None, None);
        if let Some((of, term)) = found {
            lead.of = of;
            let address = NodeAddr::new(format!("m{}", of.0), 1);
            lead.watch = Some(LeadWatch::new(&self.policy, term, address, now));
        }
    }

    /// Asks who leads, when that is due, and says what is new of it.
    pub(super) fn lead_due(&mut self, m: usize, now: Instant) {
        let patience = self.policy.down_after();
        let lead = &mut self.monitors[m].lead;
        if let Some(watch) = &mut lead.watch {
            if now >= watch.poll_timeout() {
                watch.tick(now);
            }
            // Another connection is worth a try.
            lead.asked = lead.asked.filter(|since| now < *since + patience * 2);
            if lead.asked.is_none() && lead.next.is_none_or(|at| now >= at) {
                watch.probed(now, now, Probe::Sent);
                lead.number += 1;
                lead.asked = Some(now);
                let (to, number) = (lead.of.0, lead.number);
                self.greet(m, to, number);
            }
        }
        self.say_of_leader(m);
    }

    fn say_of_leader(&mut self, m: usize) {
        let lead = &mut self.monitors[m].lead;
        let said = lead.watch.as_ref().and_then(LeadWatch::ballot);
        if std::mem::replace(&mut lead.said, said) == said {
            return;
        }
        lead.gone.extend(said.filter(|it| crate::check::is_failing(it.ballot.vote)).map(|it| it.term));
        self.monitors[m].observed = true;
        self.decide(m, Fact::LeaderWatched(said));
    }

    fn greet(&mut self, from: usize, to: usize, number: u64) {
        let Some(at) = self.way_between(from, to) else { return };
        let life = self.monitors[from].life;
        self.queue.at(at, Event::Greet { to, from, life, number });
    }

    /// When a message arrives; never where the way is cut. Nothing is drawn for it: the same seeds stay the same.
    fn way_between(&self, from: usize, to: usize) -> Option<Micros> {
        let way = self.wires.way(Host::Monitor(from), Host::Monitor(to));
        (way.cuts == 0).then(|| self.queue.now() + self.swarm.delay.0 + way.slowed)
    }

    /// A question arrives: a process that stands still answers it when it goes on.
    pub(crate) fn greeted(&mut self, to: usize, (from, life, number): (usize, u32, u64)) {
        let monitor = &mut self.monitors[to];
        if monitor.alive && monitor.stopped_until.is_some() {
            monitor.later.push(Event::Greet { to, from, life, number });
            return;
        }
        // A process that has left the group answers all the same.
        let answer = (monitor.alive || monitor.has_left).then_some(monitor.life);
        if let Some(at) = self.way_between(to, from) {
            self.queue.at(at, Event::Greeted { m: from, life, number, answer });
        }
    }

    /// An answer arrives, or that nobody listens.
    pub(crate) fn leader_answers(&mut self, m: usize, number: u64, answer: Option<u32>) {
        let real = self.queue.now();
        let now = self.monitors[m].local(real);
        let lead = &mut self.monitors[m].lead;
        let asked = lead.asked.filter(|_| lead.number == number);
        if let (Some(asked), Some(watch)) = (asked, &mut lead.watch) {
            // Another life of its process: the one that is asked for has ended.
            let probe = if answer == Some(lead.of.1) { Probe::Alive } else { Probe::Refused };
            watch.probed(asked, now, probe);
            (lead.asked, lead.next) = (None, Some(now + self.policy.probe_interval()));
            self.say_of_leader(m);
        }
        self.turn(m);
    }
}
