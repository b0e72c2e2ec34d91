//! What must hold of what operators have ordered: of single nodes, of a failover that nobody else would have begun, and
//! of what they are told. It changes nothing in the world.

use redis_failover_core::{Answer, Phase, Reason, Topology};

use super::brief;
use crate::wires::Ask;
use crate::world::World;

impl World {
    /// An epoch was opened for `chosen`, which an operator has accepted whatever is lost by it, or not: for an operator
    /// alone only by whom he named, and for nobody by a node that is not to lead. Yields whether that broke.
    pub(super) fn check_ordered(
        &mut self,
        (chosen, accepted): (usize, bool),
        old: &Topology,
        new: &Topology,
    ) -> bool {
        let Phase::FailingOver(change) = &new.phase else { return false };
        let keeps = change.intent.node == old.master;
        if change.reason == Reason::Ordered {
            let begins = old.phase == Phase::Steady;
            self.checks.counts.orders.2 += u64::from(begins);
            // What was begun for an operator may become what a quorum wants.
            let lost = !begins
                && self.node_of(&old.master).is_none_or(|n| {
                    let other = old.master_run.as_ref() != Some(&self.nodes[n].server.run());
                    other || self.who_found_down(old, n) >= old.quorum()
                });
            if !keeps && !accepted && !lost {
                let detail = format!("nobody ordered that: {}; {:?}", brief(new), self.orders);
                self.violate("who-was-named-takes-over", &detail);
                return true;
            }
        }
        // Who is named leads all the same, and so does the master where nobody else takes over from it.
        let breaks = self.orders.keeps_out(chosen) && !keeps && !accepted;
        if breaks {
            self.violate("who-is-not-to-lead-does-not", &format!("{}; {:?}", brief(new), self.orders));
        }
        breaks
    }

    /// A server carries out a command: whether it is the published master that takes writes from now on.
    pub(crate) fn note_opened(&mut self, n: usize, ask: &Ask) {
        let master = (n, self.nodes[n].server.run());
        if matches!(ask, Ask::Open { .. }) && self.checks.published == Some(master) {
            self.checks.opened = self.last_record().map(|record| record.epoch);
        }
    }

    /// An operator is told what became of a change of master that he wanted: that it is done only once the new master
    /// was opened.
    pub(crate) fn check_told(&mut self, answer: &Answer) {
        let epoch = self.last_record().map(|record| record.epoch);
        if matches!(answer, Answer::Done(_)) && self.checks.opened != epoch {
            let detail = format!("{answer}; opened was that of {:?}", self.checks.opened);
            self.violate("done-when-it-takes-writes", &detail);
        }
    }
}
