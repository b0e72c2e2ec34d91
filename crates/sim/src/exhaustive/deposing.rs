//! A leader that is found gone, and whose lock is removed before its session ends (`--deposing`): what it may do until
//! it hears of that, and which nodes hear it still. It decides nothing.

use redis_failover_core::{Ballot, Event, Outcome, Step, Term, Vote};

use super::Planted;
use super::group::{Group, MONITORS, name};
use super::promises::Broken;
use super::turn::Turn;

impl Group {
    /// Whether the monitor takes itself for the leader and holds no lock: it was removed, or its session has expired.
    pub(super) fn is_deposed(&self, monitor: usize) -> bool {
        let it = &*self.monitors[monitor];
        it.alive && it.session && it.leads && !self.leads(monitor)
    }

    /// Whether who leads is about to change: the monitor finds the leader gone, or does not know that it leads no more.
    pub(super) fn is_contested(&self, monitor: usize) -> bool {
        self.monitors[monitor].lead.is_some() || self.is_deposed(monitor)
    }

    /// Whether the monitor may find the leader gone, which lives or not, and has not yet.
    pub(super) fn can_find_leader_gone(&self, monitor: usize, lives: bool) -> bool {
        let it = &*self.monitors[monitor];
        let Some((leader, term)) = self.rest.lock.filter(|(leader, _)| *leader != monitor) else {
            return false;
        };
        let new = it.lead.is_none_or(|lead| lead.term != Term(term));
        it.alive && it.session && !it.leads && new && self.monitors[leader].alive == lives
    }

    /// A node that is started again has no connection of an earlier leader, and none can be made: it would have to be
    /// confirmed.
    pub(super) fn forget_connections(&mut self, node: usize) {
        let latest = self.rest.term + i64::from(self.rest.lock.is_none());
        self.node(node).heard = latest;
    }
}

impl Turn<'_> {
    /// The monitor finds the leader gone.
    pub(super) fn doubt(&mut self, monitor: usize) {
        let Some((_, term)) = self.group.rest.lock else { return };
        let ballot = Ballot { vote: Vote::Refused, since: self.group.now() };
        let lead = Some(redis_failover_core::LeadBallot { term: Term(term), ballot });
        self.monitor(monitor).lead = lead;
        if self.rules.planted == Some(Planted::DeposesAlone) {
            // As if all others had found so, too.
            let mut heard = self.group.heard_by(monitor);
            for peer in heard.values_mut() {
                peer.lead = lead;
            }
            self.tell(monitor, Event::ReportsRead(heard));
        }
        self.tell(monitor, Event::LeaderWatched(lead));
    }

    /// The monitor leads now: its removal of another's lock is over, and so is what anybody said of the last leader.
    pub(super) fn watch_anew(&mut self, leader: usize) {
        let it = self.monitor(leader);
        it.running.take_if(|running| running.action.step == Step::Depose);
        for monitor in 0..MONITORS {
            if self.monitor(monitor).lead.take().is_some() {
                self.tell(monitor, Event::LeaderWatched(None));
            }
        }
    }

    /// The lock of who leads in this term is removed, if it still stands: a quorum must have found it gone.
    pub(super) fn depose(&mut self, term: Term) -> Outcome {
        if self.group.rest.lock.is_some_and(|(_, held)| Term(held) == term) {
            let gone = |monitor: &usize| self.group.monitors[*monitor].lead.is_some_and(|it| it.term == term);
            let registered = |monitor: &usize| {
                self.group.topology().is_some_and(|record| record.monitors.contains(&name(*monitor)))
            };
            let found = (0..MONITORS).filter(registered).filter(gone).count();
            if found < self.rules.quorum as usize {
                self.broken = Some(Broken::DeposedAlone);
            }
            self.group.rest.lock = None;
        }
        Outcome::Deposed
    }

    /// Whether the node hears a leader of this term: it ends the connections of earlier ones when a later one comes.
    pub(super) fn enters(&mut self, node: usize, term: Term) -> bool {
        if !self.rules.deposing || !self.group.nodes[node].alive {
            return true;
        }
        let heard = self.group.nodes[node].heard;
        if heard < term.0 {
            self.group.node(node).heard = term.0;
        }
        heard <= term.0
    }
}
