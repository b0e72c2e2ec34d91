//! Operators who take the group out of monitors' configuration files, and put it back in: some at any time, and all of
//! them when all is well at the end. It is drawn of a stream of its own, so that worlds in which nobody leaves are what
//! they were.

use fastrand::Rng;

use crate::queue::{MS, Micros, S};
use crate::swarm::{Swarm, choose};
use crate::world::{Event, World};

/// Who leaves the group, and when.
#[derive(Clone, Debug)]
pub(crate) struct Departures {
    /// When the group is taken out of whose file, or put back in.
    plan: Vec<(Micros, usize, bool)>,
    /// All leave when all is well at the end, one after the other with so much time between them.
    at_end: Option<Micros>,
    /// Whose files have the group.
    listed: Vec<bool>,
    /// Since when all have been told to leave at the end.
    ending: Option<Micros>,
}

impl Departures {
    /// Nobody leaves before the end.
    pub(crate) fn none(monitors: usize, at_end: Option<Micros>) -> Self {
        Self { plan: Vec::new(), at_end, listed: vec![true; monitors], ending: None }
    }

    /// Draws them.
    pub(crate) fn draw(seed: u64, swarm: &Swarm) -> Self {
        let mut rng = Rng::with_seed(seed.wrapping_mul(0xd134_2543_de82_ef95) ^ 0x1ea_7e5);
        let at_end = (rng.u8(0..3) == 0).then(|| draw_gap(&mut rng));
        let mut departures = Self::none(swarm.monitors, at_end);
        // A crash while nobody guards the group is another promise.
        if !swarm.gentle && rng.u8(0..3) == 0 {
            departures.draw_plan(&mut rng, swarm);
        }
        departures
    }

    fn draw_plan(&mut self, rng: &mut Rng, swarm: &Swarm) {
        let end = 5 * S + swarm.hostile;
        let mut order: Vec<_> = (0..swarm.monitors).collect();
        rng.shuffle(&mut order);
        // So many may stay away, and the others are a quorum without them.
        let spare = (swarm.monitors - 1) / 2;
        let (leave, for_good) = match rng.u8(0..4) {
            0 if spare > 0 => (rng.usize(1..=spare), true),
            1 => (rng.usize(1..=swarm.monitors), false),
            _ => (swarm.monitors, false),
        };
        let (gap, away) = (draw_gap(rng), *choose(rng, &[S, 6 * S, 20 * S]));
        let mut at = rng.u64(2 * S..end);
        for m in order.into_iter().take(leave) {
            self.plan.push((at, m, false));
            if !for_good {
                let back = at + rng.u64(away / 2..away * 2);
                self.plan.push((back.min(end), m, true));
            }
            at = (at + gap).min(end);
        }
    }
}

/// How long after one the next is told to leave: at the same moment, or later than that takes.
fn draw_gap(rng: &mut Rng) -> Micros {
    *choose(rng, &[0, 0, 5 * MS, 300 * MS, 2 * S, 6 * S])
}

impl World {
    /// Plans what was drawn.
    pub(crate) fn plan_departures(&mut self) {
        let plan = self.departures.plan.clone();
        if !plan.is_empty() {
            self.say(|| format!("{plan:?}"));
        }
        for (at, m, listed) in plan {
            self.queue.at(at, Event::Listed { m, listed });
        }
    }

    /// The group is taken out of a monitor's file, or put back in.
    pub(crate) fn list_group(&mut self, m: usize, listed: bool) {
        self.say(|| format!("! the file of m{m} has the group: {listed}"));
        self.departures.listed[m] = listed;
        self.checks.disturbed();
        self.quiet = false;
        if listed {
            self.may_be_back(m);
        } else {
            let life = self.monitors[m].life;
            self.handle(Event::Leave { m, life });
        }
    }

    /// Starts a monitor that had left, if its file has the group again. One that is about to leave does that first.
    pub(crate) fn may_be_back(&mut self, m: usize) {
        if self.departures.listed[m] && self.monitors[m].has_left {
            self.start_monitor(m);
        }
    }

    /// A monitor's process is started, with the group if its file has it.
    pub(crate) fn restart_monitor(&mut self, m: usize) {
        self.monitors[m].has_left = true;
        self.may_be_back(m);
    }

    /// All is well: whether all are to leave now, or are about to.
    pub(crate) fn all_are_to_leave(&mut self) -> bool {
        let Some(gap) = self.departures.at_end else { return false };
        // The report of a process that ended is taken for somebody who stays.
        if self.departures.ending.is_none() && self.nothing_is_left_behind() {
            let (now, mut at) = (self.queue.now(), self.queue.now());
            let mut order: Vec<_> = (0..self.monitors.len()).collect();
            self.rng.shuffle(&mut order);
            for m in order.into_iter().filter(|m| self.departures.listed[*m]) {
                self.queue.at(at, Event::Listed { m, listed: false });
                at += gap;
            }
            self.departures.ending = Some(now);
            self.ends_at = self.ends_at.max(at + 20 * S);
        }
        true
    }

    /// Whether all have been told to leave at the end, and are gone.
    pub(crate) fn all_have_left(&self) -> bool {
        let gone = !self.monitors.iter().any(|monitor| monitor.alive);
        self.departures.ending.is_some() && gone && !self.departures.listed.contains(&true)
    }

    /// Whether all have been told to leave at the end.
    pub(crate) fn is_ending(&self) -> bool {
        self.departures.ending.is_some()
    }
}
