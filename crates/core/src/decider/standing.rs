//! Whether a leader had better leave the lead to another monitor. It gives up no lock, and stops no change of master.

use super::Decider;
use crate::event::Leadership;
use crate::time::Instant;
use crate::topology::Phase;
use crate::verdict::Verdict;
use crate::view::{Ballot, Vote};

impl Decider {
    /// Whether this leader has found the published master out of reach for longer than others may need to find and say
    /// so, while another monitor still reaches it and no quorum finds it down.
    ///
    /// Such a leader replaces nobody and repairs nothing: a master that has lost its last replica would stay closed for
    /// as long as it leads. The other one can let it go on. Sooner the votes of a quorum may be on their way, and
    /// nobody may lead while they arrive.
    pub fn is_out_of_touch(&self, now: Instant) -> bool {
        let Some(facts) = self.facts(now).filter(|_| matches!(self.leadership, Leadership::Leading(_)))
        else {
            return false;
        };
        let record = facts.record;
        let at_rest = record.phase == Phase::Steady && self.progress.switch.is_none();
        let patience = record.policy.down_after() + record.policy.link_grace();
        let own = facts.electorate.own.get(&record.master);
        let blind = own.is_some_and(|own| own.vote != Vote::Up && now.since(own.since) >= patience);
        let lost = matches!(facts.verdict(&record.master), Verdict::Down(_));
        at_rest && blind && !lost && self.is_master_reached_by_others()
    }

    /// Whether another monitor that is alive reaches the published master.
    pub fn is_master_reached_by_others(&self) -> bool {
        let Some(record) = self.record() else { return false };
        let up = |ballot: &Ballot| ballot.vote == Vote::Up;
        self.peers.values().any(|peer| peer.ballots.get(&record.master).is_some_and(up))
    }
}
