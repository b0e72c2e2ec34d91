//! One line for each change that an operator cares about, named as Sentinel names it. It never repeats a line.

use std::collections::{BTreeMap, BTreeSet};

use redis_failover_core::{
    Ballots, Diagnosis, Keeping, Leadership, Loss, NodeAddr, Outcome, Pause, Phase, Policy, Reason, Status,
    Step, Topology, Verdict, Vote,
};
use redis_failover_store::Unreadable;
use tracing::{error, info, warn};

/// What was said last, so that only changes are said.
#[derive(Default)]
pub(super) struct Tidings {
    group: String,
    leadership: Option<Leadership>,
    votes: BTreeMap<NodeAddr, Vote>,
    verdicts: BTreeMap<NodeAddr, Verdict>,
    diagnosis: Option<Diagnosis>,
    too_few: Option<(usize, usize)>,
    refusal: Option<String>,
    stuck: Option<String>,
    loss: Option<Loss>,
    postponed: bool,
    unreadable: Option<Unreadable>,
    predecessors: Vec<String>,
    record: Option<Topology>,
    /// The nodes and the policy of the record that the configuration was compared with.
    compared: Option<(BTreeSet<NodeAddr>, Policy)>,
}

impl Tidings {
    /// The tidings of the group of this name.
    pub(super) fn new(group: &str) -> Self {
        Self { group: group.to_owned(), ..Self::default() }
    }

    /// Says whose vote of ours changed.
    pub(super) fn votes(&mut self, ballots: &Ballots) {
        let group = &self.group;
        for (node, ballot) in ballots {
            let before = self.votes.insert(node.clone(), ballot.vote);
            match (before, ballot.vote) {
                (before, now) if before == Some(now) => {}
                (Some(Vote::Refused | Vote::Silent | Vote::Unusable), Vote::Up) => {
                    info!(event = "-sdown", %group, %node, "{node} answers again");
                }
                (_, Vote::Refused | Vote::Silent | Vote::Unusable) => {
                    warn!(event = "+sdown", %group, %node, "{node} is {} for this monitor", ballot.vote);
                }
                (_, Vote::Up | Vote::Unknown) => {}
            }
        }
    }

    /// Says what changed in what the decider thinks.
    pub(super) fn status(&mut self, status: &Status) {
        let group = &self.group;
        if self.leadership != Some(status.leadership) {
            match (self.leadership, status.leadership) {
                (_, Leadership::Leading(term)) => {
                    info!(event = "+leader", %group, "this monitor leads, term {term}");
                }
                (Some(Leadership::Leading(_)), Leadership::Suspended) => {
                    warn!(event = "-leader", %group, "the lead is in doubt: hands off");
                }
                (Some(Leadership::Leading(_) | Leadership::Suspended), Leadership::Following) => {
                    warn!(event = "-leader", %group, "this monitor leads no more");
                }
                _ => info!(event = "+standby", %group, "this monitor stands by"),
            }
            self.leadership = Some(status.leadership);
        }
        let leads = matches!(status.leadership, Leadership::Leading(_));
        for (node, verdict) in &status.verdicts {
            let before = self.verdicts.insert(node.clone(), *verdict);
            let was_down = matches!(before, Some(Verdict::Down(_)));
            match verdict {
                _ if !leads || before == Some(*verdict) => {}
                Verdict::Down(reason) => {
                    warn!(event = "+odown", %group, %node, "{node} is down: a quorum finds it {reason}");
                }
                Verdict::Up | Verdict::Doubted | Verdict::Unknown if was_down => {
                    info!(event = "-odown", %group, %node, "{node} is no longer down");
                }
                Verdict::Up | Verdict::Doubted | Verdict::Unknown => {}
            }
        }
        if leads && self.diagnosis != status.diagnosis {
            match &status.diagnosis {
                Some(diagnosis @ (Diagnosis::Healthy | Diagnosis::ChangeUnfinished)) => {
                    info!(event = "diagnosis", %group, "{diagnosis}");
                }
                Some(diagnosis) => warn!(event = "diagnosis", %group, "{diagnosis}"),
                None => {}
            }
            self.diagnosis.clone_from(&status.diagnosis);
        }
        self.hindrances(status);
    }

    fn hindrances(&mut self, status: &Status) {
        let group = &self.group;
        let leads = matches!(status.leadership, Leadership::Leading(_));
        let too_few = status.too_few.filter(|_| leads);
        if let Some((alive, quorum)) = too_few.filter(|_| too_few != self.too_few) {
            error!(
                event = "too-few-monitors", %group,
                "{quorum} monitors must agree and only {alive} of the registered ones lives: no failover until more do"
            );
        }
        self.too_few = too_few;
        let refusal = status.refusal.as_ref().map(ToString::to_string);
        if let Some(refusal) = refusal.as_ref().filter(|_| refusal != self.refusal) {
            error!(event = "no-master", %group, "no master can be named: {refusal}");
        }
        self.refusal = refusal;
        let stuck = status.stuck.as_ref().map(|ranking| {
            let waits = ranking.waits().into_iter().map(|(node, wait)| {
                let keys = wait.keys.map(|keys| format!(" ({keys} keys)")).unwrap_or_default();
                format!("{node}: {}{keys}", wait.why)
            });
            waits.collect::<Vec<_>>().join("; ")
        });
        if let Some(stuck) = stuck.as_ref().filter(|_| stuck != self.stuck) {
            error!(event = "-failover-abort-no-good-slave", %group, "nobody may take over, trying again: {stuck}");
        }
        self.stuck = stuck;
        if status.loss != self.loss {
            match status.loss {
                Some(loss @ Loss::Older { .. }) => error!(
                    event = "record-lost", %group,
                    "{loss}: ZooKeeper was emptied or restored, so nothing is done and no master is replaced; say \
                     which node is the master: redis-failover adopt --master HOST:PORT"
                ),
                Some(loss @ Loss::Unreadable) => error!(
                    event = "record-lost", %group, "{loss}: nothing is done until it is mended"
                ),
                None => info!(event = "-record-lost", %group, "the record is followed again"),
            }
            self.loss = status.loss;
        }
        let postponed = status.postponed_until.is_some() && leads;
        if postponed && !self.postponed {
            warn!(
                event = "+flapping", %group,
                "the master was replaced twice within ten minutes: this failover waits, in case it is not the \
                 master that fails (third-failover-waits); `redis-failover failover` begins it now"
            );
        }
        self.postponed = postponed;
    }

    /// Says that the record cannot be read, and when it can be again.
    pub(super) fn readable(&mut self, unreadable: Option<&Unreadable>) {
        let group = &self.group;
        if self.unreadable.as_ref() == unreadable {
            return;
        }
        if let Some(why) = unreadable {
            error!(
                event = "unreadable", %group,
                "{why}; until it can be read this monitor watches and votes, and does not stand for the lead"
            );
        } else {
            info!(event = "readable", %group, "the record can be read again");
        }
        self.unreadable = unreadable.cloned();
    }

    /// Says that monitors of the predecessor are alive, and whether this one stands for the lead all the same.
    pub(super) fn predecessors(&mut self, found: &[String], stands: bool) {
        let group = &self.group;
        if self.predecessors == found {
            return;
        }
        let names = found.join(", ");
        match (found.is_empty(), stands) {
            (true, _) => {
                info!(event = "-predecessor", %group, "no monitor of the predecessor is alive any more");
            }
            (false, false) => error!(
                event = "+predecessor", %group,
                "a monitor of the Python predecessor is alive ({names}): this one does not stand for the lead, for \
                 both would command the same servers (end it; if it is another group's: --take-over)"
            ),
            (false, true) => warn!(
                event = "+predecessor", %group,
                "a monitor of the Python predecessor is alive ({names}): if it is this group's, end it"
            ),
        }
        self.predecessors = found.to_vec();
    }

    /// Says what changed in the record.
    pub(super) fn record(&mut self, record: &Topology) {
        let group = &self.group;
        let before = self.record.replace(record.clone());
        let epoch = |record: &Topology| record.epoch;
        if before.as_ref().map(epoch) != Some(record.epoch) {
            info!(event = "+new-epoch", %group, "epoch {}", record.epoch);
        }
        if before.as_ref().map(|it| &it.phase) != Some(&record.phase) {
            match &record.phase {
                Phase::FailingOver(change) if change.reason == Reason::Switchover => info!(
                    event = "+switchover", %group,
                    "master {} has given up its role, {} is to take over", record.master, change.intent.node
                ),
                Phase::FailingOver(change) => info!(
                    event = "+try-failover", %group,
                    "master {} is {}, {} is to take over", record.master, change.reason, change.intent.node
                ),
                Phase::Steady => info!(event = "+steady", %group, "master {}", record.master),
            }
        }
        if let Some(old) = before.as_ref().map(|it| &it.master).filter(|old| **old != record.master) {
            let (new, old_host, old_port) = (&record.master, old.host(), old.port());
            info!(
                event = "+switch-master", %group, epoch = record.epoch.0,
                "{group} {old_host} {old_port} {} {}", new.host(), new.port()
            );
        }
        self.membership(before.as_ref(), record);
        self.divergence(before.as_ref(), record);
        self.pause(before.as_ref(), record);
        for member in &record.members {
            let was = before.as_ref().and_then(|it| it.members.iter().find(|old| old.addr == member.addr));
            if was.is_some_and(|was| was.ok != member.ok) {
                let word = if member.ok { "OK" } else { "KO" };
                info!(event = "published", %group, node = %member.addr, "{} is published as {word}", member.addr);
            }
        }
    }

    /// Says who paused the group and why, what is not done for it, and when it is over.
    fn pause(&self, before: Option<&Topology>, record: &Topology) {
        let (group, master) = (&self.group, &record.master);
        let was = before.and_then(|before| before.pause.as_ref());
        match (was, &record.pause) {
            (Some(was), Some(pause)) if was.is_of_the_same(pause) => {}
            (_, Some(pause)) => warn!(
                event = "+paused", %group, "{pause}; no change of master is begun (redis-failover resume)"
            ),
            (Some(_), None) => info!(event = "-paused", %group, "the group is paused no more"),
            (None, None) => {}
        }
        let withheld = |pause: Option<&Pause>| pause.and_then(|pause| pause.withheld);
        match (withheld(was), withheld(record.pause.as_ref())) {
            (None, Some(reason)) => error!(
                event = "+would-failover", %group, node = %master,
                "{master} is {reason} and would be replaced now, but the group is paused (redis-failover resume)"
            ),
            (Some(_), None) if record.pause.is_some() => {
                info!(event = "-would-failover", %group, node = %master, "{master} is well again");
            }
            _ => {}
        }
    }

    /// Says what nodes that came back hold beyond the master, and what became of it.
    fn divergence(&self, before: Option<&Topology>, record: &Topology) {
        let group = &self.group;
        for (node, divergence) in &record.diverged {
            let was = before.and_then(|before| before.diverged.get(node));
            if was == Some(divergence) {
                continue;
            }
            match &divergence.keeping {
                Keeping::Discarded => {
                    warn!(event = "+diverged", %group, %node, "{node} holds {divergence}");
                }
                Keeping::Due { .. } => warn!(
                    event = "+diverged", %group, %node,
                    "{node} holds {divergence}; it follows nobody until then"
                ),
                Keeping::Saved { .. } => info!(event = "+saved", %group, %node, "{node} holds {divergence}"),
                Keeping::Held { .. } => error!(
                    event = "+held", %group, %node,
                    "{node} holds {divergence}; it follows nobody until it is saved: copy what it holds and then \
                     give it up (redis-failover resync {node}), or let its name be set (enable-protected-configs yes \
                     in its configuration, and a restart)"
                ),
            }
        }
        let over = before.into_iter().flat_map(|before| before.diverged.keys());
        for node in over.filter(|node| !record.diverged.contains_key(*node)) {
            info!(event = "-diverged", %group, %node, "{node} holds nothing beyond the master any more");
        }
    }

    /// Says who is new, and who is struck out.
    fn membership(&self, before: Option<&Topology>, record: &Topology) {
        let group = &self.group;
        let Some(before) = before else { return };
        for node in record.nodes().filter(|node| !before.nodes().any(|old| old == *node)) {
            info!(event = "+slave", %group, %node, "{node} was found through the master and is watched from now on");
        }
        for monitor in record.monitors.difference(&before.monitors) {
            info!(event = "+monitor", %group, "monitor {monitor} is registered");
        }
        for monitor in before.monitors.difference(&record.monitors) {
            info!(event = "-monitor", %group, "monitor {monitor} is forgotten");
        }
    }

    /// Says what is done.
    pub(super) fn step(&self, step: &Step) {
        info!(event = "step", group = %self.group, "{step}");
    }

    /// Says what came of it, where that is not what was wanted.
    pub(super) fn outcome(&self, outcome: &Outcome) {
        let group = &self.group;
        match outcome {
            Outcome::Committed(_)
            | Outcome::Read(_)
            | Outcome::Promoted(Some(_))
            | Outcome::Done(_)
            | Outcome::Saving(Some(_))
            | Outcome::Answered
            | Outcome::Amended => {}
            Outcome::Deposed => {
                warn!(
                    event = "leader-removed", %group,
                    "a quorum found the leading monitor gone: its lock is removed, so that another leads"
                );
            }
            Outcome::NotDeposed => {
                warn!(event = "step-failed", %group, "the lock of the leading monitor, which is gone, may stand");
            }
            Outcome::Saving(None) => {
                warn!(event = "step-failed", %group, "a snapshot may have been begun");
            }
            Outcome::NotAnswered => warn!(event = "step-failed", %group, "not answered"),
            Outcome::NotCommitted => warn!(event = "step-failed", %group, "not committed"),
            Outcome::CommitRefused => {
                warn!(event = "stands-aside", %group, "refused: where there are others, it leaves the lead to them");
            }
            Outcome::CommitUnknown => warn!(event = "step-failed", %group, "commit unclear, reading again"),
            Outcome::Promoted(None) => warn!(event = "step-failed", %group, "promotion unclear, looking"),
            Outcome::NotBegun => warn!(event = "step-failed", %group, "not begun: it leads no more"),
        }
    }

    /// Has what differs said again at the next comparison.
    pub(super) fn compare_again(&mut self) {
        self.compared = None;
    }

    /// Says in what the configuration differs from the record, which counts. It is said once, and again when one of the
    /// two was changed.
    pub(super) fn compare(&mut self, record: &Topology, configured: &[NodeAddr], policy: &Policy) {
        let nodes: BTreeSet<_> = record.nodes().cloned().collect();
        let compared = (nodes, record.policy.clone());
        if self.compared.as_ref() == Some(&compared) {
            return;
        }
        let nodes_too = self.compared.as_ref().map(|(nodes, _)| nodes) != Some(&compared.0);
        self.compared = Some(compared);
        if nodes_too {
            self.compare_nodes(record, configured);
        }
        for ((key, configured), (_, recorded)) in policy.settings().into_iter().zip(record.policy.settings())
        {
            if configured != recorded {
                warn!(
                    event = "policy-differs", group = %self.group, key, configured, recorded,
                    "{key} is {configured} in this monitor's configuration and {recorded} in the group's record, which \
                     counts for all monitors (redis-failover config set changes it)"
                );
            }
        }
    }

    fn compare_nodes(&self, record: &Topology, configured: &[NodeAddr]) {
        let unknown = configured.iter().filter(|node| !record.nodes().any(|known| known == *node));
        let unknown: Vec<_> = unknown.map(ToString::to_string).collect();
        if !unknown.is_empty() {
            warn!(
                event = "config-differs", group = %self.group,
                "not in the group's record and therefore not managed: {} (the record is followed, not the configured \
                 redishosts)",
                unknown.join(", ")
            );
        }
        let unlisted = record.nodes().filter(|node| !configured.contains(node)).map(ToString::to_string);
        let unlisted: Vec<_> = unlisted.collect();
        if !unlisted.is_empty() {
            warn!(
                event = "config-differs", group = %self.group,
                "in the group's record and therefore managed, though not in the configured redishosts: {}",
                unlisted.join(", ")
            );
        }
        if record.monitors.len() == 2 {
            let why = "both must agree, so neither can be missed; run three";
            warn!(event = "two-monitors", group = %self.group, "two monitors are registered: {why}");
        }
    }
}
