//! What must hold of what operators have ordered of single nodes, and of a failover that nobody else would have begun.
//! It changes nothing in the world.

use redis_failover_core::{Phase, Reason, Topology};

use super::brief;
use crate::world::World;

impl World {
    /// An epoch was opened: for an operator only by whom he named, and for nobody by a node that is not to lead. Yields
    /// whether that broke.
    pub(super) fn check_ordered(&mut self, chosen: usize, old: &Topology, new: &Topology) -> bool {
        let Phase::FailingOver(change) = &new.phase else { return false };
        let keeps = change.intent.node == old.master;
        let named = self.orders.accepts(old.epoch, chosen);
        if change.reason == Reason::Ordered && old.phase == Phase::Steady {
            self.checks.counts.orders.2 += 1;
            if !keeps && !named {
                let detail = format!("nobody ordered that: {}; {:?}", brief(new), self.orders);
                self.violate("who-was-named-takes-over", &detail);
                return true;
            }
        }
        // Who is named leads all the same, and so does the master where nobody else takes over from it.
        let kept_out = self.orders.keeps_out(chosen);
        if kept_out && !keeps && !named {
            self.violate("who-is-not-to-lead-does-not", &format!("{}; {:?}", brief(new), self.orders));
        }
        kept_out && !keeps && !named
    }
}
