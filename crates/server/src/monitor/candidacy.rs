//! Whether a monitor stands for the lead, or aside for one that can do a leader's work. It takes and gives up no lock.

use redis_failover_core::{Aside, Topology};
use redis_failover_store::{Campaign, Store};

use super::Monitor;

/// What speaks for it and against it.
pub(super) struct Candidacy {
    /// Whether the record can be read, as far as is known: who cannot must not keep the lead from a monitor that can.
    pub(super) readable: bool,
    /// Whether no monitor of the predecessor kept this one from standing for the lead; it is asked until it once stood.
    pub(super) alone: bool,
    /// Whether it leaves the lead to others, which can do more.
    pub(super) aside: Aside,
}

impl Candidacy {
    /// One of a monitor that is `alone`.
    pub(super) fn new(alone: bool) -> Self {
        Self { readable: true, alone, aside: Aside::default() }
    }

    /// Whether it stands.
    pub(super) fn stands(&self) -> bool {
        self.readable && self.alone && !self.aside.is_aside()
    }
}

impl<S: Store> Monitor<S> {
    /// Stands for the lead or aside.
    pub(super) fn stand(&self) {
        self.campaign.stand(self.candidacy.stands());
    }

    /// Leaves the lead to others where the store refuses what this one writes.
    pub(super) fn refused(&mut self) {
        if self.has_peers() {
            self.candidacy.aside.refused(self.clock.now());
            self.stand();
        }
    }

    /// Leaves the lead to a monitor that can do more, and stands again behind it.
    pub(super) fn may_stand_aside(&mut self) {
        let now = self.clock.now();
        if self.candidacy.aside.tick(now) {
            self.stand();
        }
        let Some(node) = self.decider.out_of_touch(now).cloned() else { return };
        if self.candidacy.aside.leave(now) {
            tracing::warn!(
                event = "out-of-touch",
                group = %self.setup.group,
                node = %node,
                "this monitor does not reach {node}, and another one does: it leaves the lead to that"
            );
            self.stand();
        }
    }

    /// Whether others are registered: who is alone tries on.
    fn has_peers(&self) -> bool {
        let others = |record: &Topology| record.monitors.iter().any(|id| *id != self.setup.id);
        self.decider.record().is_some_and(others)
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
