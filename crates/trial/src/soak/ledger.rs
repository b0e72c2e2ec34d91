//! What one writer was told of its writes, and what a master holds of them.
//!
//! Each write adds one to a counter of its own that starts at nothing: a counter of 0 is a write that is not there, and
//! one of 2 is a write that was executed twice. Where the writer reads what it wrote, one that it does not find must be
//! lost. It reads no clock and asks no server.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::time::{Duration, Instant};

/// How many counters are in one hash, which Redis keeps compact.
pub(super) const PAGE: usize = 100;

/// The outcomes of one writer's writes.
#[derive(Clone, Debug)]
pub(super) struct Ledger {
    writer: usize,
    began: Instant,
    writes: Vec<Write>,
    lost: BTreeSet<usize>,
    twice: BTreeSet<usize>,
    /// What its own writer did not find, and when, in milliseconds.
    not_found: BTreeMap<usize, u32>,
}

#[derive(Clone, Copy, Debug)]
struct Write {
    /// Milliseconds since the ledger began: a soak is short enough, and there are many writes.
    at: u32,
    acknowledged: bool,
}

impl Ledger {
    /// An empty one.
    pub(super) fn new(writer: usize, began: Instant) -> Self {
        let (lost, twice, not_found) = (BTreeSet::new(), BTreeSet::new(), BTreeMap::new());
        Self { writer, began, writes: Vec::new(), lost, twice, not_found }
    }

    /// The key of a page's hash.
    pub(super) fn key(&self, page: usize) -> String {
        format!("soak:{}:{page}", self.writer)
    }

    /// The number of the next write, and so how many there were.
    pub(super) fn next(&self) -> usize {
        self.writes.len()
    }

    /// The number of the next write, and the key of its page.
    pub(super) fn place(&self) -> (usize, String) {
        (self.next(), self.key(self.next() / PAGE))
    }

    /// Enters that the next write was confirmed, and what its counter then was.
    pub(super) fn acknowledge(&mut self, counter: u64, at: Instant) {
        if counter != 1 {
            self.twice.insert(self.next());
        }
        self.enter(true, at);
    }

    /// Enters that nobody knows whether the next write was carried out.
    pub(super) fn give_up(&mut self, at: Instant) {
        self.enter(false, at);
    }

    fn enter(&mut self, acknowledged: bool, at: Instant) {
        self.writes.push(Write { at: self.millis(at), acknowledged });
    }

    fn millis(&self, at: Instant) -> u32 {
        u32::try_from(at.saturating_duration_since(self.began).as_millis()).unwrap_or(u32::MAX)
    }

    /// Compares a page of the first `until` writes with what a master holds; returns how many it has lost that were
    /// not lost before.
    pub(super) fn compare(&mut self, page: usize, until: usize, held: &BTreeMap<usize, u64>) -> usize {
        // None, where the page is one that the writer was about to begin.
        let numbers = page * PAGE..((page + 1) * PAGE).min(until);
        let mut lost = 0;
        for number in numbers {
            match held.get(&(number % PAGE)) {
                None | Some(0) if self.writes[number].acknowledged => {
                    lost += usize::from(self.lost.insert(number));
                }
                Some(2..) => {
                    self.twice.insert(number);
                }
                _ => {}
            }
        }
        lost
    }

    /// Enters that a reader found a counter of this value.
    pub(super) fn read(&mut self, number: usize, counter: u64) {
        if counter > 1 {
            self.twice.insert(number);
        }
    }

    /// Enters that its own writer read a confirmed write and did not find it.
    pub(super) fn miss(&mut self, number: usize, at: Instant) {
        let at = self.millis(at);
        self.not_found.entry(number).or_insert(at);
    }

    /// The confirmed writes that their writer did not find although they are not lost, and when that was.
    pub(super) fn overlooked(&self) -> impl Iterator<Item = (usize, Duration)> {
        let overlooked = self.not_found.iter().filter(|(number, _)| !self.lost.contains(number));
        overlooked.map(|(number, at)| (*number, Duration::from_millis((*at).into())))
    }

    /// When the last confirmed write was.
    pub(super) fn last(&self) -> Option<Instant> {
        let last = self.writes.iter().rev().find(|write| write.acknowledged)?;
        Some(self.began + Duration::from_millis(last.at.into()))
    }

    /// How many writes were confirmed.
    pub(super) fn acknowledged(&self) -> usize {
        self.writes.iter().filter(|write| write.acknowledged).count()
    }

    /// Of how many nobody knows.
    pub(super) fn unknown(&self) -> usize {
        self.next() - self.acknowledged()
    }

    /// How many confirmed ones were lost.
    pub(super) fn lost(&self) -> usize {
        self.lost.len()
    }

    /// How many were executed twice.
    pub(super) fn twice(&self) -> usize {
        self.twice.len()
    }

    /// How many writes were confirmed in this time, and of how many nobody knows.
    pub(super) fn during(&self, window: &Range<Instant>) -> (usize, usize) {
        let writes = self.within(window);
        let acknowledged = writes.iter().filter(|write| write.acknowledged).count();
        (acknowledged, writes.len() - acknowledged)
    }

    /// The longest time without a confirmed write that touches this one.
    pub(super) fn longest_gap(&self, window: &Range<Instant>) -> Duration {
        let (from, to) = (self.millis(window.start), self.millis(window.end));
        // The end counts as a write: what had not come by then is a gap, too.
        let (mut longest, mut later) = (0, to);
        for write in self.writes.iter().rev().filter(|write| write.acknowledged && write.at < to) {
            longest = longest.max(later - write.at);
            later = write.at;
            if write.at <= from {
                break;
            }
        }
        Duration::from_millis(longest.into())
    }

    fn within(&self, window: &Range<Instant>) -> &[Write] {
        let place = |at| self.writes.partition_point(|write| write.at < self.millis(at));
        let (from, to) = (place(window.start), place(window.end));
        &self.writes[from..to.max(from)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Writes at these milliseconds; negative ones are those of which nobody knows.
    fn ledger(times: &[i64]) -> (Ledger, impl Fn(u64) -> Instant + use<>) {
        let began = Instant::now();
        let at = move |millis| began + Duration::from_millis(millis);
        let mut ledger = Ledger::new(0, began);
        for time in times {
            if *time < 0 {
                ledger.give_up(at(time.unsigned_abs()));
            } else {
                ledger.acknowledge(1, at(time.unsigned_abs()));
            }
        }
        (ledger, at)
    }

    #[test]
    fn a_write_is_lost_once_and_only_if_it_was_confirmed() {
        let (mut ledger, _) = ledger(&[1, 2, -3, 4, 5]);
        let held = BTreeMap::from([(0, 1), (3, 1)]);
        assert_eq!(ledger.compare(0, 4, &held), 1, "number 1; number 4 was written after the look");
        assert_eq!(ledger.compare(0, 4, &held), 0, "it was lost before");
        assert_eq!(ledger.compare(0, 5, &BTreeMap::new()), 3, "all that was there is gone");
        assert_eq!((ledger.acknowledged(), ledger.unknown(), ledger.lost(), ledger.twice()), (4, 1, 4, 0));
    }

    #[test]
    fn what_was_executed_twice_is_seen_by_the_writer_the_reader_and_the_look() {
        let (mut ledger, at) = ledger(&[1, -2, 3, 4]);
        ledger.acknowledge(2, at(5));
        assert_eq!(ledger.twice(), 1);
        ledger.read(0, 1);
        ledger.read(2, 2);
        assert_eq!(ledger.twice(), 2);
        ledger.compare(0, 4, &BTreeMap::from([(0, 1), (1, 2), (2, 1), (3, 1)]));
        assert_eq!((ledger.twice(), ledger.lost()), (3, 0), "also of those that nobody knows of");
    }

    #[test]
    fn a_write_that_its_writer_does_not_find_must_be_lost() {
        let (mut ledger, at) = ledger(&[1, 2, 3]);
        ledger.miss(1, at(50));
        ledger.miss(2, at(60));
        ledger.miss(2, at(70));
        let lost = BTreeMap::from([(0, 1), (2, 1)]);
        ledger.compare(0, 3, &lost);
        let overlooked: Vec<_> = ledger.overlooked().collect();
        assert_eq!(overlooked, [(2, Duration::from_millis(60))]);
    }

    #[test]
    fn pages_follow_each_other() {
        let times: Vec<i64> = (0..250).collect();
        let (mut ledger, _) = ledger(&times);
        let whole: BTreeMap<_, _> = (0..PAGE).map(|field| (field, 1)).collect();
        assert_eq!(ledger.compare(1, 250, &whole), 0);
        assert_eq!(ledger.compare(2, 250, &BTreeMap::new()), 50);
        assert_ne!(ledger.key(1), ledger.key(2));
    }

    #[test]
    fn a_gap_counts_where_it_touches_the_window() {
        let (ledger, at) = ledger(&[0, 10, -300, 700, 710, 2_000]);
        let gap = |from, to| ledger.longest_gap(&(at(from)..at(to))).as_millis();
        assert_eq!(gap(100, 705), 690, "it began before");
        assert_eq!(gap(0, 11), 10);
        assert_eq!(gap(705, 1_000), 290, "and has not ended yet");
        assert_eq!(gap(705, 3_000), 1_290);
        assert_eq!(ledger.during(&(at(5)..at(710))), (2, 1));
        assert_eq!(ledger.last(), Some(at(2_000)));
    }
}
