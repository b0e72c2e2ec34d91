//! The virtual clock and what is to happen when. Two things of one moment happen in the order in which they were
//! planned.

use std::collections::BTreeMap;

/// A moment, or a time, in microseconds.
pub type Micros = u64;

/// One millisecond.
pub const MS: Micros = 1_000;

/// One second.
pub const S: Micros = 1_000 * MS;

/// What is to happen.
#[derive(Clone, Debug)]
pub struct Queue<E> {
    now: Micros,
    planned: u64,
    /// Boxed: what is planned is moved within the map over and over.
    events: BTreeMap<(Micros, u64), Box<E>>,
}

impl<E> Default for Queue<E> {
    fn default() -> Self {
        Self { now: 0, planned: 0, events: BTreeMap::new() }
    }
}

impl<E> Queue<E> {
    /// The present moment.
    pub fn now(&self) -> Micros {
        self.now
    }

    /// Plans `event` for `at`, or for now if that is over.
    pub fn at(&mut self, at: Micros, event: E) {
        self.planned += 1;
        self.events.insert((at.max(self.now), self.planned), Box::new(event));
    }

    /// Plans `event` for `after` from now.
    pub fn after(&mut self, after: Micros, event: E) {
        self.at(self.now + after, event);
    }

    /// The next event, if it comes before `end`; the clock then stands at it.
    pub fn next(&mut self, end: Micros) -> Option<E> {
        let entry = self.events.first_entry().filter(|entry| entry.key().0 < end);
        let Some(entry) = entry else {
            self.now = self.now.max(end);
            return None;
        };
        self.now = entry.key().0;
        Some(*entry.remove())
    }
}
