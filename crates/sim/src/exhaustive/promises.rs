//! What must hold in every state, and at the end of every path. It changes nothing.

use std::fmt;

use redis_failover_core::plan::CLOSED;
use redis_failover_core::{Intent, Link, Phase, Topology};

use super::Rules;
use super::group::{Group, MONITORS, NODES, address, index};
use super::turn::Turn;

/// What must not be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Broken {
    /// A monitor that did not hold the lock changed the record.
    CommittedWithoutTheLock,
    /// A monitor that did not hold the lock began to command a node.
    BegunWithoutTheLead,
    /// A leader's lock was removed, and no quorum had found it gone.
    DeposedAlone,
    /// A node was told to follow another than the published master.
    SentToUnpublished,
    /// A master was begun to be let go on without replicas, and the record does not say so.
    LetGoUnrecorded,
    /// A promotion reached another life of the process than the intended one.
    PromotedAnotherLife,
    /// The epoch fell, or leapt over one, or began without an intent.
    EpochOutOfOrder,
    /// One epoch had two intents.
    TwoIntents,
    /// One epoch had two masters, or another than its intent.
    TwoMasters,
    /// A node was published that was not promoted in the intended life with the intended history.
    PublishedUnpromoted,
    /// A node that was promoted and not published takes writes.
    TakesWritesUnpublished,
    /// The node of an open epoch took something in after it was frozen.
    IntendedMoved,
    /// An acknowledged write that was owed is not on the published master.
    WriteLost,
    /// Epoch after epoch is opened, and nothing befalls the group.
    EpochsWithoutEnd,
    /// Nothing more happens, and this is amiss.
    Amiss(Amiss),
}

/// What is amiss where nothing more happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Amiss {
    /// Nobody leads, though somebody could.
    NoLeader,
    /// No master is published.
    NoMaster,
    /// The published master is dead, another life, or a replica.
    MasterGone,
    /// The published master takes no writes.
    MasterClosed,
    /// The published master takes no writes, because no replica follows it.
    NotLetGo,
    /// A node that lives does not follow the published master.
    Astray,
    /// The client could not write.
    NotWritten,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::CommittedWithoutTheLock => "a monitor that did not hold the lock changed the record",
            Self::BegunWithoutTheLead => "a monitor that did not lead began to command a node",
            Self::DeposedAlone => "a leader's lock was removed, and no quorum had found it gone",
            Self::SentToUnpublished => "a node was told to follow another than the published master",
            Self::LetGoUnrecorded => "a master is let go on alone before that is recorded",
            Self::PromotedAnotherLife => {
                "a promotion reached another life of the process than the intended one"
            }
            Self::EpochOutOfOrder => "an epoch fell, leapt over one, or began without an intent",
            Self::TwoIntents => "one epoch had two intents",
            Self::TwoMasters => "one epoch had two masters, or another than its intent",
            Self::PublishedUnpromoted => {
                "a node was published that was not promoted in the intended life with the intended history"
            }
            Self::TakesWritesUnpublished => "a node that was promoted and not published takes writes",
            Self::IntendedMoved => "the node of an open epoch took something in after it was frozen",
            Self::WriteLost => "an acknowledged write that was owed is not on the published master",
            Self::EpochsWithoutEnd => "epoch after epoch is opened, and nothing befalls the group",
            Self::Amiss(amiss) => return amiss.fmt(f),
        })
    }
}

impl fmt::Display for Amiss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("at the end ")?;
        f.write_str(match self {
            Self::NoLeader => "nobody leads",
            Self::NoMaster => "no master is published",
            Self::MasterGone => "the published master is dead, another life, or a replica",
            Self::MasterClosed => "the published master takes no writes",
            Self::NotLetGo => "the published master is not let go on without replicas",
            Self::Astray => "a node does not follow the published master",
            Self::NotWritten => "the client could not write",
        })
    }
}

impl Turn<'_> {
    /// What a commit may make of the record.
    pub(super) fn check_commit(&mut self, record: &Topology) {
        let Some(old) = self.group.topology() else { return };
        let broken = match (&old.phase, &record.phase) {
            _ if record.epoch < old.epoch || record.epoch.0 > old.epoch.0 + 1 => {
                Some(Broken::EpochOutOfOrder)
            }
            (_, Phase::Steady) if record.epoch > old.epoch => Some(Broken::EpochOutOfOrder),
            _ if record.epoch > old.epoch => None,
            (Phase::FailingOver(one), Phase::FailingOver(other)) => {
                (one.intent != other.intent).then_some(Broken::TwoIntents)
            }
            (Phase::Steady, Phase::FailingOver(_)) => Some(Broken::TwoIntents),
            (Phase::Steady, Phase::Steady) => {
                let other_run = old.master_run.is_some() && old.master_run != record.master_run;
                (old.master != record.master || other_run).then_some(Broken::TwoMasters)
            }
            (Phase::FailingOver(change), Phase::Steady) => {
                let intent = change.intent.clone();
                self.group.check_publication(&intent, record)
            }
        };
        self.broken = self.broken.take().or(broken);
        if record.phase == Phase::Steady
            && old_differs(self.group.topology(), record)
            && let Some(node) = index(&record.master)
        {
            self.group.node(node).promoted.clear();
        }
    }
}

/// Whether the record's master is newly published.
fn old_differs(old: Option<&Topology>, record: &Topology) -> bool {
    old.is_some_and(|old| old.phase != record.phase)
}

impl Group {
    fn check_publication(&self, intent: &Intent, record: &Topology) -> Option<Broken> {
        if record.master != intent.node || record.master_run.as_ref() != Some(&intent.run) {
            return Some(Broken::TwoMasters);
        }
        let node = index(&intent.node)?;
        let promoted = (intent.run.clone(), intent.replid.clone(), intent.offset);
        if !self.nodes[node].promoted.contains(&promoted) {
            return Some(Broken::PublishedUnpromoted);
        }
        // One that was restarted since is replaced again: another epoch will have to hold what is owed.
        let lost = self.lives(node, &intent.run) && self.lacks_what_is_owed(node);
        lost.then_some(Broken::WriteLost)
    }

    /// Before anybody died everything is owed, afterwards what was everywhere by then.
    fn lacks_what_is_owed(&self, node: usize) -> bool {
        let past = self.rest.past;
        let owed = if past.crashes == 0 { self.rest.client.acknowledged } else { past.owed };
        !past.race_lost && owed & !self.writes(node) != 0
    }

    /// What must hold in every state.
    pub(super) fn check(&self) -> Option<Broken> {
        let record = self.topology()?;
        let open_too_early = |node: &usize| {
            let it = &*self.nodes[*node];
            let run = it.server.run();
            it.alive
                && it.server.is_master()
                && it.server.min_replicas_to_write != CLOSED
                && it.promoted.iter().any(|(promoted, ..)| *promoted == run)
        };
        if (0..NODES).any(|node| open_too_early(&node)) {
            return Some(Broken::TakesWritesUnpublished);
        }
        if record.epoch.0 > 2 + EPOCHS * u64::from(self.rest.past.events) {
            return Some(Broken::EpochsWithoutEnd);
        }
        let Phase::FailingOver(change) = &record.phase else { return None };
        let intent = &change.intent;
        let node = index(&intent.node)?;
        let it = &*self.nodes[node];
        let promoted = it.promoted.iter().any(|(run, ..)| *run == intent.run);
        // What a leader of the past had sent can still arrive: then the promotion will not be confirmed.
        let judged = self.lives(node, &intent.run) && !promoted && !self.rest.past.came_late;
        let moved = *it.server.replid() != intent.replid || it.server.offset() != intent.offset;
        (judged && moved).then_some(Broken::IntendedMoved)
    }

    /// Whether the group may wait here for ever, by `docs/guarantees.md`: too few monitors live to replace a master, or
    /// more than one node died.
    pub(super) fn may_wait(&self, rules: &Rules) -> bool {
        let alive = self.monitors.iter().filter(|monitor| monitor.alive).count();
        alive < rules.quorum as usize || self.rest.past.crashes > 1
    }

    /// What must hold where nothing more happens.
    pub(super) fn check_end(&self, rules: &Rules) -> Option<Amiss> {
        if !(0..MONITORS).any(|monitor| self.monitors[monitor].alive) {
            // Nobody guards the group any more.
            return None;
        }
        let amiss = self.find_amiss(rules);
        // Nobody is waited for to let a master go on alone.
        amiss.filter(|amiss| *amiss == Amiss::NotLetGo || !self.may_wait(rules))
    }

    /// What is amiss, whether it may be or not.
    pub(super) fn find_amiss(&self, rules: &Rules) -> Option<Amiss> {
        if self.rest.lock.is_none_or(|(leader, _)| !self.monitors[leader].alive) {
            return Some(Amiss::NoLeader);
        }
        let Some((master, run)) = self.published().master else { return Some(Amiss::NoMaster) };
        let server = &self.nodes[master].server;
        if !self.lives(master, &run) || !server.is_master() {
            return Some(Amiss::MasterGone);
        }
        if server.min_replicas_to_write == CLOSED {
            return Some(Amiss::MasterClosed);
        }
        if !server.has_replicas() {
            return Some(Amiss::NotLetGo);
        }
        let follows = |node: usize| {
            let it = &*self.nodes[node];
            let stalled = self.rest.stalled[node];
            it.server.master() == Some(&address(master)) && (stalled || it.server.link() == Link::Up)
        };
        if (0..NODES).any(|node| node != master && self.nodes[node].alive && !follows(node)) {
            return Some(Amiss::Astray);
        }
        (self.rest.client.next <= rules.writes).then_some(Amiss::NotWritten)
    }

    /// Whether what is owed is missing where nothing more happens.
    pub(super) fn has_lost(&self) -> bool {
        let published = self.published().master;
        published.is_some_and(|(master, run)| self.lives(master, &run) && self.lacks_what_is_owed(master))
    }
}

/// So many epochs one event may cost.
const EPOCHS: u64 = 2;
