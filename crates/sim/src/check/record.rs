//! What is looked at when the record was written.

use redis_failover_core::{
    Divergence, Entry, Found, Keeping, NodeAddr, Phase, Reason, RunId, Term, Topology, Verdict,
};
use redis_failover_store::{KEPT, RETURNS_KEPT, Recorded};
use serde_json::Value;

use super::brief;
use crate::monitor::Monitor;
use crate::nodes::Process;
use crate::redis::{Persistence, Server, WriteId};
use crate::world::World;

/// The record.
impl World {
    /// Looks at the record, if it was written.
    pub(crate) fn check_record(&mut self) {
        let written = |path: &str| self.ensemble.model.get(path).map_or(0, |(_, stat)| stat.modified);
        let orders =
            (written(self.ensemble.group.as_str()), written(&format!("{}/state", self.ensemble.group)));
        if std::mem::replace(&mut self.checks.orders, orders) == orders {
            return;
        }
        self.checks.now = self.queue.now();
        if self.ensemble.document().is_none_or(<[u8]>::is_empty) {
            return;
        }
        self.check_document();
        let Some(Found::Record(new)) = self.ensemble.record().map(|read| read.found) else {
            return self.violate("record-is-readable", "it is none of ours any more");
        };
        let Some(old) = self.checks.record.replace((*new).clone()) else {
            self.check_history(None, &new);
            self.check_returns(None, &new);
            self.checks.published = self.run_of_master(&new);
            return;
        };
        if let Some(broken) = no_successor(&old, &new) {
            let (was, is) = (brief(&old), brief(&new));
            return self.violate("one-master-per-epoch", &format!("{broken}: {was}; {is}"));
        }
        self.check_history(Some(&old), &new);
        self.check_returns(Some(&old), &new);
        match &new.phase {
            Phase::FailingOver(_) if new.epoch > old.epoch => self.check_opened(&old, &new),
            Phase::Steady if old.phase != Phase::Steady => self.check_published(&old, &new),
            Phase::Steady => {
                let leaves = self.is_last(self.checks.committer);
                self.checks.fences.recorded(&old, &new, leaves);
            }
            Phase::FailingOver(_) => {}
        }
    }

    pub(super) fn run_of_master(&self, record: &Topology) -> Option<(usize, RunId)> {
        Some((self.node_of(&record.master)?, record.master_run.clone()?))
    }

    /// Whoever ends an epoch tells of it in the same transaction: of the one that is published, or else of the one that
    /// is given up.
    fn check_history(&mut self, old: Option<&Topology>, new: &Topology) {
        let was = old.map(|old| (old.epoch, &old.phase));
        let published = new.phase == Phase::Steady && was != Some((new.epoch, &Phase::Steady));
        let told = match was {
            _ if published => (new.epoch, &new.master),
            Some((epoch, Phase::FailingOver(change))) if new.epoch > epoch => (epoch, &change.intent.node),
            _ => return,
        };
        let history = self.ensemble.model.history(&self.ensemble.group);
        let of = |entry: &Recorded| match &entry.entry {
            Ok(Entry::Change(account)) if account.epoch == told.0 => Some((account.new.clone(), entry.order)),
            _ => None,
        };
        let order = self.checks.orders.0.max(self.checks.orders.1);
        let found: Vec<_> = history.iter().filter_map(of).collect();
        if found != [(told.1.clone(), order)] || history.len() > KEPT {
            self.violate("each-change-is-told-once", &format!("of {told:?} at {order}: {found:?}"));
        }
    }

    /// Whoever counts what a node that came back holds beyond, or learns what became of that, tells of it in the same
    /// transaction. Where it is given up, there may be nothing more to tell.
    fn check_returns(&mut self, old: Option<&Topology>, new: &Topology) {
        let known = |node: &NodeAddr| old.and_then(|old| old.diverged.get(node));
        let is_new = |(node, now): &(&NodeAddr, &Divergence)| {
            let given_up = now.keeping == Keeping::Discarded
                && known(node)
                    .is_some_and(|it| (&it.run, it.left, it.bytes) == (&now.run, now.left, now.bytes));
            known(node) != Some(*now) && !given_up
        };
        let history = self.ensemble.model.history(&self.ensemble.group);
        let returns: Vec<_> = history
            .iter()
            .filter_map(|it| match &it.entry {
                Ok(Entry::Return(told)) => Some(&**told),
                Ok(Entry::Change(_) | Entry::Withheld(_)) | Err(_) => None,
            })
            .collect();
        let is_told = |(node, now): &(&NodeAddr, &Divergence)| {
            returns.iter().any(|it| (it.epoch, &it.node, &it.divergence) == (new.epoch, *node, *now))
        };
        let untold = new.diverged.iter().filter(is_new).find(|it| !is_told(it));
        if untold.is_some() || returns.len() > RETURNS_KEPT {
            let detail = format!("of {untold:?} in epoch {}: {returns:?}", new.epoch);
            self.violate("each-change-is-told-once", &detail);
        }
    }

    /// What the Python predecessor's client needs, in every phase.
    fn check_document(&mut self) {
        let Some(bytes) = self.ensemble.document() else { return };
        let pair = |value: &Value| {
            let words: Vec<_> = value.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
            words.len() == 2 && words[0].contains(':') && ["OK", "KO"].contains(&words[1])
        };
        let read = serde_json::from_slice::<Value>(bytes).ok();
        let well = read.as_ref().is_some_and(|document| {
            let slaves = document.get("slaves").and_then(Value::as_object);
            document.get("master").is_some_and(pair) && slaves.is_some_and(|slaves| slaves.values().all(pair))
        });
        if !well {
            let text = String::from_utf8_lossy(bytes).into_owned();
            self.violate("predecessor-reads-it", &text);
        }
    }

    /// An epoch was opened: there was a reason, and the best of those who were frozen was chosen.
    fn check_opened(&mut self, old: &Topology, new: &Topology) {
        (self.checks.published, self.checks.chosen_since) = (None, self.queue.now());
        let (Some(m), Phase::FailingOver(change)) = (self.checks.committer, &new.phase) else { return };
        let Some(chosen) = self.node_of(&change.intent.node) else { return };
        if let Some(at) = self.monitors[m].frozen_at.get(&chosen) {
            self.checks.chosen_since = *at;
        }
        // An operator who accepts what is lost by it may name whomever he likes.
        let since = self.checks.chosen_since.saturating_sub(self.longest_vote());
        let switches = change.reason == Reason::Switchover;
        let accepted = !switches && self.orders.accepts(old.epoch, chosen, since);
        if self.check_ordered((chosen, accepted), old, new)
            || (!accepted && self.check_taken_over(m, chosen, old, change))
            || self.nodes[chosen].server.run() != change.intent.run
        {
            return;
        }
        if !accepted && (self.check_waited(m, chosen, old, new) || self.check_left(m, chosen, old)) {
            return;
        }
        let verdicts = self.monitors[m].judged.clone();
        let (led, frozen) = (self.monitors[m].led, self.monitors[m].frozen_at.get(&chosen));
        if led.is_none_or(|(_, since)| frozen.is_none_or(|at| *at < since)) {
            let detail = format!("{} was frozen in an earlier term: {}", change.intent.node, brief(new));
            return self.violate("evidence-is-of-frozen-nodes", &detail);
        }
        if self.checks.meddled_at[chosen].is_some_and(|at| frozen.is_none_or(|since| at >= *since)) {
            return;
        }
        for (n, held) in self.monitors[m].held.clone() {
            let server = &self.nodes[n].server;
            let meddled = self.checks.meddled_at[n].is_some_and(|at| at >= held.since);
            let same_run = server.run() == held.said.run;
            if meddled || !same_run {
                continue;
            }
            if server.master().is_some() || server.is_master() {
                let detail = format!("{} says {:?} in {}", server.addr, server.role(), brief(new));
                return self.violate("evidence-is-of-frozen-nodes", &detail);
            }
            let known = old.run_of(&server.addr);
            let counts = known == Some(&held.said.run)
                && old.lineages.locate(&held.said.history).is_some()
                && server.priority > 0
                && verdicts.get(&server.addr) == Some(&Verdict::Up);
            let orders = old.orders.get(&server.addr);
            let kept_out = orders.is_some_and(|it| it.drained || it.priority == Some(0));
            let counts = counts && !accepted && !kept_out;
            let better = |id: &WriteId| {
                self.checks.live.contains(*id) && !self.nodes[chosen].server.writes.contains(*id)
            };
            let more = server.writes.without(&self.nodes[chosen].server.writes).filter(better).count();
            if counts && more > 0 {
                let (here, there) = (server.history(), self.nodes[chosen].server.history());
                let lineages = new.lineages.as_slice();
                let detail = format!(
                    "{} at {here:?} was {:?} has {more} writes that are not in {there:?}: {}; {lineages:?}",
                    server.addr,
                    held.said.role,
                    brief(new)
                );
                return self.violate("the-best-is-chosen", &detail);
            }
        }
    }

    /// A node that was restarted, or was left behind, does not lead while one that is missing, or is back under a name
    /// that nobody knows, holds acknowledged writes that it lacks, be it in its memory or on its disk. Yields whether
    /// that broke.
    fn check_waited(&mut self, m: usize, chosen: usize, old: &Topology, new: &Topology) -> bool {
        let it = &self.nodes[chosen].server;
        let known = old.run_of(&it.addr);
        // A master with an append-only file comes back with all, under a name that nobody knows, and need not wait.
        let is_unknown = |server: &Server| old.lineages.locate(&server.history()).is_none();
        let unknown = is_unknown(it);
        let in_its_run = known.is_none_or(|run| *run == it.run());
        let was_left = old.left.contains(&it.addr) && !self.is_as_good(m, chosen, old);
        if (unknown && it.persistence == Persistence::Log) || (in_its_run && !was_left) {
            return false;
        }
        for n in (0..self.nodes.len()).filter(|n| *n != chosen) {
            let node = &self.nodes[n];
            let restarted = old.run_of(&node.server.addr).is_some_and(|run| *run != node.server.run());
            let compared = unknown || !(is_unknown(&node.server) && restarted);
            if self.monitors[m].held.contains_key(&n) && compared {
                continue;
            }
            if node.process != Process::Dead && self.queue.now() < node.loading_until {
                // What it held made room for the copy that it reads.
                continue;
            }
            if self.nobody_could_know(m, n, old) {
                continue;
            }
            let left = if node.process == Process::Dead {
                node.server.on_disk()
            } else {
                node.server.writes.clone()
            };
            let more = left.without(&it.writes).filter(|id| self.checks.live.contains(*id)).count();
            if more > 0 {
                let detail = format!("{} may hold {more} more: {}", node.server.addr, brief(new));
                self.violate("who-may-hold-more-is-waited-for", &detail);
                return true;
            }
        }
        false
    }

    /// Whether one that may lead, was not restarted and was not left behind has no more than the chosen one.
    fn is_as_good(&self, m: usize, chosen: usize, old: &Topology) -> bool {
        let writes = &self.nodes[chosen].server.writes;
        self.monitors[m].held.iter().any(|(n, held)| {
            let it = &self.nodes[*n].server;
            let may_lead = self.monitors[m].judged.get(&it.addr) == Some(&Verdict::Up)
                && it.priority > 0
                && !old.never_leads(&it.addr);
            let stayed = old.run_of(&it.addr) == Some(&held.said.run) && !old.left.contains(&it.addr);
            *n != chosen
                && may_lead
                && stayed
                && !it.writes.is_empty()
                && it.writes.without(writes).next().is_none()
        })
    }

    /// The leader begins to freeze the nodes: a quorum lately found the published master down, in truth, or it is no
    /// longer what was published. (The freeze itself demotes it, so later it is too late to look.)
    ///
    /// Who does not know that its term was ended by force goes by the record that it knows; no node hears it any more.
    pub(crate) fn check_freeze(&mut self, term: Term) {
        if self.checks.forced.contains(&term) && self.ensemble.holder() != Some(term) {
            return;
        }
        let Some(old) = self.steady_record() else { return };
        let Some(n) = self.node_of(&old.master) else { return };
        let now = self.queue.now();
        let late = self.longest_vote();
        let server = &self.nodes[n].server;
        let changed = old.master_run != Some(server.run())
            || !server.is_master()
            || self.checks.replica_at[n].is_some_and(|at| now - at < late);
        let (found, quorum, registered) = (self.who_found_down(old, n), old.quorum(), old.monitors.len());
        if !changed && self.orders.paused {
            return self.violate("a-pause-begins-no-change", "the nodes are frozen");
        }
        if !changed && self.orders.ends(old.epoch, now.saturating_sub(late)) {
            return;
        }
        if !(changed || found >= quorum) || quorum <= registered / 2 {
            let alive: usize = self.monitors.iter().filter(|m| m.alive).count();
            let detail = format!("{found} of {registered} found it down, {quorum} needed, {alive} live");
            self.violate("a-quorum-found-it-down", &detail);
        }
    }

    /// How many of the registered monitors lately found a node down, in truth.
    pub(super) fn who_found_down(&self, record: &Topology, n: usize) -> usize {
        let (now, late) = (self.queue.now(), self.longest_vote());
        let failing =
            |m: &&Monitor| record.monitors.contains(&m.id) && m.failing[n].is_some_and(|at| now - at < late);
        self.monitors.iter().filter(failing).count()
    }

    /// A master was published: it is the one that was meant, and has what was frozen.
    fn check_published(&mut self, old: &Topology, new: &Topology) {
        let Phase::FailingOver(change) = &old.phase else { return };
        let Some(n) = self.node_of(&new.master) else { return };
        self.checks.counts.changes += 1;
        self.note_absent(new);
        // Who leads, be it against an order, is in service again.
        self.orders.drained.remove(&n);
        let server = &self.nodes[n].server;
        let (intent, run) = (&change.intent, server.run());
        let parted = Some((intent.replid.clone(), intent.offset + 1));
        let in_run = run == intent.run;
        // Also before the epoch was opened: to make a master of a node that is frozen and chosen, in its run and with
        // its history, is what a monitor would have done next.
        let meddled = self.checks.meddled_at[n].is_some_and(|at| at >= self.checks.chosen_since);
        if !meddled && self.checks.promoted[n].as_ref() != Some(&intent.run) {
            let detail = format!("{}: promoted was {:?}", brief(new), self.checks.promoted[n]);
            return self.violate("published-is-promoted", &detail);
        }
        // A master that kept no backlog renames its history as soon as a replica attaches.
        let named = new.lineages.current().is_some_and(|it| it.replid == *server.replid());
        let other = named && server.history().previous != parted;
        if in_run && !meddled && (!server.is_master() || other) {
            let detail = format!("{} says {:?} {:?}", brief(new), server.role(), server.history());
            return self.violate("published-is-promoted", &detail);
        }
        self.checks.promoted[n] = None;
        self.checks.returns.published();
        self.checks.published = Some((n, intent.run.clone()));
        if in_run {
            let kept = server.writes.clone();
            let lost: Vec<_> = self.checks.live.without(&kept).collect();
            if self.swarm.gentle && !lost.is_empty() {
                let detail = format!("{} lacks {} writes", brief(new), lost.len());
                return self.violate("one-crash-loses-nothing", &detail);
            }
            if self.check_smooth(old, lost.len()) {
                return;
            }
            for id in lost {
                self.checks.given_up.insert(id);
            }
            self.checks.live.keep(&kept);
        }
    }
}

/// What is wrong with a record that follows another.
fn no_successor(old: &Topology, new: &Topology) -> Option<&'static str> {
    if new.epoch != old.epoch {
        let grows = new.epoch > old.epoch;
        return match new.phase {
            _ if !grows => Some("the epoch fell"),
            Phase::Steady => Some("a master without an intent"),
            Phase::FailingOver(_) => None,
        };
    }
    match (&old.phase, &new.phase) {
        (Phase::Steady, Phase::Steady) => {
            let other = old.master_run.is_some() && old.master_run != new.master_run;
            (other || old.master != new.master).then_some("another master in one epoch")
        }
        (Phase::Steady, Phase::FailingOver(_)) => Some("a change without a new epoch"),
        (Phase::FailingOver(before), Phase::FailingOver(now)) => {
            (before.intent != now.intent).then_some("a second intent in one epoch")
        }
        (Phase::FailingOver(change), Phase::Steady) => {
            let run = new.master_run.as_ref() == Some(&change.intent.run);
            (new.master != change.intent.node || !run).then_some("published is not what was meant")
        }
    }
}
