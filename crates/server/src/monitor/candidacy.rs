//! Whether a monitor stands for the lead, or aside for one that can do a leader's work. It takes and gives up no lock.

use std::time::{Duration, Instant};

use redis_failover_core::Topology;
use redis_failover_store::{Campaign, Store};

use super::Monitor;

/// For how long a monitor leaves the lead to others after the store has refused what it wrote, or where it does not
/// reach the master. Where the store refuses them all (a quota), each leads in its turn until it no longer does.
const ASIDE: Duration = Duration::from_secs(30);

/// What speaks for it and against it.
pub(super) struct Candidacy {
    /// Whether the record can be read, as far as is known: who cannot must not keep the lead from a monitor that can.
    pub(super) readable: bool,
    /// Whether no monitor of the predecessor kept this one from standing for the lead; it is asked until it once stood.
    pub(super) alone: bool,
    /// Until when it leaves the lead to others, which can do more.
    aside: Option<Instant>,
    /// Whether that is because they reach the master.
    blind: bool,
}

impl Candidacy {
    /// One of a monitor that is `alone`.
    pub(super) fn new(alone: bool) -> Self {
        Self { readable: true, alone, aside: None, blind: false }
    }

    /// Whether it stands.
    pub(super) fn stands(&self) -> bool {
        self.readable && self.alone && self.aside.is_none()
    }

    /// It can't do a leader's work, being `blind` or not let write.
    fn leave(&mut self, now: Instant, blind: bool) {
        (self.aside, self.blind) = (Some(now + ASIDE), blind);
    }

    /// When it may stand again.
    pub(super) fn again(&self) -> Option<Instant> {
        self.aside
    }

    /// Lets it stand again when others have had their time, or reach the master no more; yields whether that was so.
    pub(super) fn tick(&mut self, now: Instant, reached: bool) -> bool {
        let blind = self.blind;
        self.aside.take_if(|until| *until <= now || (blind && !reached)).is_some()
    }
}

impl<S: Store> Monitor<S> {
    /// Stands for the lead or aside.
    pub(super) fn stand(&self) {
        self.campaign.stand(self.candidacy.stands());
    }

    /// Leaves the lead to others for a while, where there are any: who is alone tries on.
    pub(super) fn stand_aside(&mut self, blind: bool) {
        let others = |record: &Topology| record.monitors.iter().any(|id| *id != self.setup.id);
        if self.decider.record().is_some_and(others) {
            self.candidacy.leave(Instant::now(), blind);
            self.stand();
        }
    }

    /// Leaves the lead to a monitor that can do more about the master.
    pub(super) fn may_stand_aside(&mut self) {
        if self.candidacy.again().is_none() && self.decider.is_out_of_touch(self.clock.now()) {
            tracing::warn!(
                event = "out-of-touch",
                group = %self.setup.group,
                "this monitor does not reach the master, and another one does: it leaves the lead to that"
            );
            self.stand_aside(true);
        }
    }

    /// Stands for the lead only once no monitor of the predecessor is alive: neither's lock excludes the other. One
    /// that comes later finds a record that it cannot know, and its first writing is told from ours.
    pub(super) fn predecessors(&mut self, found: Option<&Vec<String>>) {
        let Some(found) = found else { return };
        self.tidings.predecessors(found, self.candidacy.alone);
        self.candidacy.alone |= found.is_empty();
        self.stand();
    }
}
