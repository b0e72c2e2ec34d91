//! Whether a leader had better leave the lead to another monitor. It gives up no lock, and stops no change of master.

use super::Decider;
use crate::event::Leadership;
use crate::names::NodeAddr;
use crate::time::Instant;
use crate::topology::Phase;
use crate::verdict::Verdict;
use crate::view::{Ballot, Vote};

impl Decider {
    /// A node for which this leader had better leave the lead to another monitor, if there is one: that one reaches it,
    /// and this one has found it out of reach for longer than others may need to find and say so, though no quorum
    /// finds it down.
    ///
    /// It is the published master, while nothing is under way: a leader that does not reach it replaces nobody and
    /// repairs nothing, and a master that has lost its last replica would stay closed for as long as that one leads.
    /// Or it is one that might take over, where none of those that this leader reaches may. Sooner the votes of a
    /// quorum may be on their way, and nobody may lead while they arrive.
    pub fn out_of_touch(&self, now: Instant) -> Option<&NodeAddr> {
        let leads = matches!(self.leadership, Leadership::Leading(_)) && self.progress.switch.is_none();
        let facts = self.facts(now).filter(|_| leads)?;
        let record = facts.record;
        let patience = record.policy.down_after() + record.policy.link_grace();
        let is_far = |node: &&NodeAddr| {
            let own = facts.electorate.own.get(*node);
            let blind = own.is_some_and(|own| own.vote != Vote::Up && now.since(own.since) >= patience);
            let lost = matches!(facts.verdict(node), Verdict::Down(_));
            blind && !lost && self.is_reached_by_others(node)
        };
        let master = Some(&record.master).filter(|_| record.phase == Phase::Steady).filter(is_far);
        let may_lead = |node: &&NodeAddr| !record.left.contains(*node) && !record.never_leads(node);
        let others = || record.nodes().filter(may_lead).find(is_far);
        master.or_else(|| self.stuck.as_ref().and_then(|_| others()))
    }

    /// Whether another monitor that is alive reaches this node.
    fn is_reached_by_others(&self, node: &NodeAddr) -> bool {
        let up = |ballot: &Ballot| ballot.vote == Vote::Up;
        self.peers.values().any(|peer| peer.ballots.get(node).is_some_and(up))
    }
}
