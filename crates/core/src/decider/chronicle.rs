//! What a leader notes of a change of master while it makes it, for the history of the group. It decides nothing, and
//! writes nothing by itself: it adds to the steps that were decided what is to be told of them.

use std::collections::VecDeque;
use std::time::Duration;

use super::Decider;
use crate::diagnosis::Facts;
use crate::divergence::Divergence;
use crate::history::{
    Account, Cause, Ending, Entry, Milestone, Opening, Return, Seen, Times, candidates, estimate, looked_at,
};
use crate::names::{NodeAddr, ReplId};
use crate::pause::Withheld;
use crate::plan::rank;
use crate::position::{History, Lineages, Position};
use crate::step::{Purpose, Step};
use crate::time::Instant;
use crate::topology::{Change, Found, Phase, Reason, Topology};
use crate::view::{Ballot, Link, Role, Vote};

/// How many places of a master are remembered: at the usual pace of probes some six seconds of one that writes.
const MARKS: usize = 32;

/// How long after its publication an entry waits for the replicas.
const AMENDED_AFTER: Duration = Duration::from_secs(5);

/// What is noted.
#[derive(Clone, Debug, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub(super) struct Chronicle {
    /// Whose places these are: the recorded master.
    master: Option<NodeAddr>,
    /// Where it was seen, each place once, with the last time, the latest last.
    trail: VecDeque<Mark>,
    /// What belongs to this term.
    term: Notes,
}

/// Where a master was seen.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
struct Mark {
    at: Instant,
    replid: ReplId,
    offset: u64,
}

/// What one leader notes in one term.
#[derive(Clone, Debug, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
struct Notes {
    /// When the change under way began: what is timed counts from here.
    base: Option<Instant>,
    frozen: Option<Instant>,
    /// When the choice was sent to be recorded, in this term.
    chosen: Option<Instant>,
    /// Whether this leader had the intent carried out.
    commanded: bool,
    promoted: Option<Instant>,
    /// The entry that this leader published, until it is amended.
    published: Option<Box<Account>>,
}

impl Chronicle {
    /// The term is over.
    pub(super) fn forget(&mut self) {
        self.term = Notes::default();
    }

    /// How long before `end` the master was last seen to hold no more than `chosen`.
    fn safe(&self, lineages: &Lineages, chosen: Position, end: Instant) -> Option<Duration> {
        let held_no_more = |mark: &&Mark| lineages.locate(&mark.history()).is_some_and(|it| it <= chosen);
        self.trail.iter().rev().find(held_no_more).map(|mark| end.since(mark.at))
    }
}

impl Mark {
    fn history(&self) -> History {
        History { replid: self.replid.clone(), offset: self.offset, previous: None }
    }
}

/// What is noted.
impl Decider {
    /// Remembers where the recorded master was seen, in its recorded run.
    pub(super) fn follow_master(&mut self) {
        let Some(Found::Record(record)) = self.read.as_ref().map(|read| &read.found) else { return };
        let chronicle = &mut self.chronicle;
        if chronicle.master.as_ref() != Some(&record.master) {
            chronicle.master = Some(record.master.clone());
            chronicle.trail.clear();
        }
        let Some(seen) = self.observation.sightings.get(&record.master) else { return };
        let other_run = record.master_run.as_ref().is_some_and(|run| *run != seen.run);
        if other_run || !seen.role.is_master() {
            return;
        }
        let (at, offset) = (seen.asked, seen.history.offset);
        match chronicle.trail.back_mut() {
            Some(last) if last.at >= at => {}
            Some(last) if last.offset == offset && last.replid == seen.history.replid => last.at = at,
            _ => {
                let excess = (chronicle.trail.len() + 1).saturating_sub(MARKS);
                chronicle.trail.drain(..excess);
                chronicle.trail.push_back(Mark { at, replid: seen.history.replid.clone(), offset });
            }
        }
    }

    /// Notes who receives from the master that this leader published.
    pub(super) fn follow_replicas(&mut self, now: Instant) {
        let Some(published) = self.chronicle.term.published.as_deref() else { return };
        let Some(facts) = self.facts(now) else { return };
        let missing = facts.record.nodes().filter(|node| !published.following.contains_key(node));
        let new: Vec<_> = missing.filter(|node| receives(&facts, node)).cloned().collect();
        let Notes { published: Some(published), base: Some(base), .. } = &mut self.chronicle.term else {
            return;
        };
        published.following.extend(new.into_iter().map(|node| (node, now.since(*base))));
    }

    pub(super) fn note_frozen(&mut self, now: Instant) {
        self.chronicle.term.frozen = Some(now);
    }

    pub(super) fn note_promoted(&mut self, now: Instant) {
        self.chronicle.term.promoted = Some(now);
    }

    /// The published master takes writes.
    pub(super) fn note_open(&mut self, now: Instant) {
        if let Notes { published: Some(published), base: Some(base), .. } = &mut self.chronicle.term {
            published.times.entry(Milestone::Writable).or_insert(now.since(*base));
        }
    }

    /// The entry stands in the history; one of a change is amended later.
    pub(super) fn note_published(&mut self, now: Instant, entry: Option<Box<Entry>>) {
        let (Some(entry), Some(base)) = (entry, self.chronicle.term.base) else { return };
        let Entry::Change(mut account) = *entry else { return };
        account.times.insert(Milestone::Published, now.since(base));
        self.chronicle.term.published = Some(account);
    }
}

/// What is told.
impl Decider {
    /// The step, with what is to be told of it.
    pub(super) fn chronicled(&mut self, now: Instant, step: Step) -> Step {
        match step {
            Step::Commit { expected, mut record, purpose, .. } => {
                let change = |told: Option<Account>| Some(Entry::Change(Box::new(told?)));
                let told = match purpose {
                    Purpose::OpenEpoch => change(self.opened(now, &mut record)),
                    Purpose::Publish => change(self.published(now)),
                    Purpose::Found => change(self.founded(&record)),
                    Purpose::Asked(_) => change(self.adopted(&record)).or_else(|| self.returned(&record)),
                    Purpose::Count => self.returned(&record),
                    Purpose::Refresh => self.withheld(&record),
                };
                Step::Commit { expected, record, purpose, entry: told.map(Box::new) }
            }
            Step::Promote { .. } => {
                self.chronicle.term.commanded = true;
                step
            }
            other => other,
        }
    }

    /// The amended entry, once: when all living replicas follow, or at the next occasion after some seconds.
    pub(super) fn amend(&mut self, now: Instant) -> Option<Step> {
        let Notes { published: Some(account), base: Some(base), .. } = &self.chronicle.term else {
            return None;
        };
        let since = account.times.get(&Milestone::Published).map(|after| *base + *after)?;
        let record = self.record()?;
        let lives = |node: &&NodeAddr| {
            let own = self.observation.ballots.get(*node);
            **node != record.master && own.is_some_and(|ballot| ballot.vote == Vote::Up)
        };
        let complete = account.times.contains_key(&Milestone::Writable)
            && record.nodes().filter(lives).all(|node| account.following.contains_key(node));
        if !complete && now.since(since) < AMENDED_AFTER {
            return None;
        }
        let account = self.chronicle.term.published.take()?;
        Some(Step::Amend { entry: Box::new(Entry::Change(account)) })
    }

    /// Notes in `record`, which opens an epoch, what is known; yields the account of an epoch that is given up for it.
    fn opened(&mut self, now: Instant, record: &mut Topology) -> Option<Account> {
        let Phase::FailingOver(change) = &mut record.phase else { return None };
        let before = self.record()?;
        let mut given_up = self.given_up(before);
        let base = self.chronicle.term.base.filter(|_| given_up.is_some());
        if let (Some(account), Some(base)) = (&mut given_up, base) {
            account.times.insert(Milestone::Opened, self.record_since.since(base));
        }
        let base = base.unwrap_or_else(|| self.first_sign(now, &before.master));
        change.opening = Some(Box::new(self.opening(now, base, change)?));
        self.chronicle.term.base = Some(base);
        self.chronicle.term.chosen = Some(now);
        (self.chronicle.term.commanded, self.chronicle.term.promoted) = (false, None);
        self.chronicle.term.published = None;
        given_up
    }

    fn opening(&self, now: Instant, base: Instant, change: &Change) -> Option<Opening> {
        let facts = self.facts(now)?;
        let (record, evidence) = (facts.record, &self.progress.evidence);
        let seen = self.last_seen(now, record);
        // A process that is gone took no writes after the first sign; any other may have, up to now.
        let gone = matches!(change.reason, Reason::Refused | Reason::Restarted);
        let end = if gone { base } else { now };
        let safe = |chosen| self.chronicle.safe(&record.lineages, chosen, end);
        let history = &evidence.get(&change.intent.node)?.history;
        let ages = facts.electorate.ballots(&record.master);
        let age = |ballot: Ballot| now.since(ballot.since);
        let times = [
            (Milestone::Lost, self.lost_since),
            (Milestone::Frozen, self.chronicle.term.frozen),
            (Milestone::Chosen, Some(now)),
        ];
        let after = |(step, at): (Milestone, Option<Instant>)| Some((step, at?.since(base)));
        Some(Opening {
            leader: self.me.clone(),
            ages: ages.into_iter().map(|(id, ballot)| (id, age(ballot))).collect(),
            candidates: candidates(record.nodes(), &rank(&facts, &self.progress), evidence),
            times: times.into_iter().filter_map(after).collect(),
            loss: estimate(&record.lineages, history, seen.as_ref(), safe),
            seen,
        })
    }

    /// When this monitor first saw that something is wrong with the master.
    fn first_sign(&self, now: Instant, master: &NodeAddr) -> Instant {
        if let Some(since) = self.switched.held_since() {
            return since;
        }
        self.observation.troubles.get(master).copied().or(self.lost_since).unwrap_or(now)
    }

    /// How far the master of `record` was last seen to have come: by its own word when it was frozen, by this monitor's
    /// probes, or by those of who opened the epoch before.
    fn last_seen(&self, now: Instant, record: &Topology) -> Option<Seen> {
        let frozen = self.progress.evidence.get(&record.master);
        let frozen = frozen.filter(|it| record.master_run.as_ref().is_none_or(|run| *run == it.run));
        if let Some(said) = frozen {
            let age = self.chronicle.term.frozen.map_or(Duration::ZERO, |at| now.since(at));
            let History { replid, offset, .. } = said.history.clone();
            return Some(Seen { replid, offset, age, frozen: true });
        }
        let last =
            self.chronicle.trail.back().filter(|_| self.chronicle.master.as_ref() == Some(&record.master));
        let own = last.map(|Mark { at, replid, offset }| Seen {
            replid: replid.clone(),
            offset: *offset,
            age: now.since(*at),
            frozen: false,
        });
        let Phase::FailingOver(Change { opening: Some(opening), .. }) = &record.phase else { return own };
        let since = now.since(self.record_since);
        own.or_else(|| opening.seen.clone().map(|seen| Seen { age: seen.age + since, frozen: false, ..seen }))
    }

    /// The account of an epoch that was opened and is not to be published.
    fn given_up(&self, before: &Topology) -> Option<Account> {
        let Phase::FailingOver(change) = &before.phase else { return None };
        let why = if self.chronicle.term.commanded {
            "it was told to become a master, and was none in the intended run and history afterwards"
        } else {
            "an earlier leader chose it, and had not carried that out"
        };
        let ending = Ending::GivenUp(why.to_owned());
        Some(Account::of(before.epoch, &before.master, change, ending, &self.me))
    }

    /// The account of the epoch that is about to be published.
    fn published(&mut self, now: Instant) -> Option<Account> {
        let before = self.record()?;
        let Phase::FailingOver(change) = &before.phase else { return None };
        let mut account = Account::of(before.epoch, &before.master, change, Ending::Published, &self.me);
        let chosen = account.times.get(&Milestone::Chosen).copied().unwrap_or_default();
        // Who did not make the choice counts from when it saw it.
        let own = self.chronicle.term.chosen.and(self.chronicle.term.base);
        let base = own.unwrap_or_else(|| self.record_since.before(chosen));
        let times = [
            (Milestone::Opened, Some(self.record_since)),
            (Milestone::Promoted, self.chronicle.term.promoted),
            (Milestone::Published, Some(now)),
        ];
        let after = |(step, at): (Milestone, Option<Instant>)| Some((step, at?.since(base)));
        account.times.extend(times.into_iter().filter_map(after).collect::<Times>());
        self.chronicle.term.base = Some(base);
        Some(account)
    }

    fn founded(&self, record: &Topology) -> Option<Account> {
        let cause = match self.read.as_ref()?.found {
            Found::Predecessor { .. } => Cause::Predecessor,
            Found::Nothing | Found::Record(_) => Cause::Founded,
        };
        let mut account = Account::named(record.epoch, cause, record.master.clone(), &self.me);
        if cause == Cause::Founded {
            account.candidates = looked_at(record.nodes(), &record.master, &self.progress.evidence);
        }
        Some(account)
    }

    /// The account of what an operator asked for, if that is a master.
    fn adopted(&self, record: &Topology) -> Option<Account> {
        let known = self.record();
        if known.is_some_and(|known| known.epoch == record.epoch) {
            return None;
        }
        let account = Account::named(record.epoch, Cause::Adopted, record.master.clone(), &self.me);
        Some(Account { old: known.map(|known| known.master.clone()), ..account })
    }
}

/// What is told of a master that is not replaced.
impl Decider {
    /// What `record` newly says of a change of master that a pause keeps from being begun.
    fn withheld(&self, record: &Topology) -> Option<Entry> {
        let pause = record.pause.as_ref()?;
        let known = self.record()?.pause.as_ref().and_then(|known| known.withheld);
        Some(Entry::Withheld(Box::new(Withheld {
            epoch: record.epoch,
            master: record.master.clone(),
            reason: pause.withheld.filter(|_| known.is_none())?,
            by: pause.by.clone(),
            why: pause.reason.clone(),
            leader: self.me.clone(),
        })))
    }
}

/// What is told of nodes that came back.
impl Decider {
    /// What `record` newly says of a node that came back: a commit says it of one. Who gives up what a node holds that
    /// this leader has not read has nothing more to tell of it than stands there.
    fn returned(&self, record: &Topology) -> Option<Entry> {
        let known = self.record()?;
        let is_new = |(node, divergence): &(&NodeAddr, &Divergence)| {
            known.diverged.get(*node) != Some(*divergence) && known.epoch == record.epoch
        };
        let (node, divergence) = record.diverged.iter().find(is_new)?;
        let said = self.progress.evidence.get(node).filter(|said| said.run == divergence.run)?;
        let History { replid, offset, .. } = said.history.clone();
        Some(Entry::Return(Box::new(Return {
            epoch: record.epoch,
            node: node.clone(),
            replid,
            offset,
            keys: said.keys,
            divergence: divergence.clone(),
            leader: self.me.clone(),
        })))
    }
}

/// Whether a node was seen to receive what the published master writes.
pub(super) fn receives(facts: &Facts<'_>, node: &NodeAddr) -> bool {
    let current = facts.record.lineages.current().map(|lineage| &lineage.replid);
    facts.fresh(node, None).is_some_and(|seen| {
        matches!(seen.role, Role::Replica { link: Link::Up, .. }) && current == Some(&seen.history.replid)
    })
}
