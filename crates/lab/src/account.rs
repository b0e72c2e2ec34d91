//! What a writer of unique keys was told, and what became of it.
//!
//! The writer sets the keys `PREFIX:0`, `PREFIX:1`, … each to its own number and enters each outcome here. Afterwards
//! the account says what was acknowledged, how long nothing was, and, by reading all acknowledged keys back, what was
//! lost. It never writes, reads no clock, and knows nothing of how the writer found its server.

use std::ops::Range;
use std::time::{Duration, Instant};

use crate::{Redis, Reply};

/// How many keys are read back at once: many enough to be quick, few enough for one reply.
const PART: usize = 500;

/// The outcomes of one writer's writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    prefix: String,
    acknowledged: Vec<Write>,
    unknown: Vec<Write>,
}

/// One write of a key of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Write {
    /// The number in the key, and the value.
    pub number: u64,
    /// When its outcome was known, or was given up.
    pub at: Instant,
}

impl Account {
    /// An empty account of keys that begin with `prefix`.
    pub fn new(prefix: impl Into<String>) -> Self {
        Self { prefix: prefix.into(), acknowledged: Vec::new(), unknown: Vec::new() }
    }

    /// The key of this number.
    pub fn key(&self, number: u64) -> String {
        format!("{}:{number}", self.prefix)
    }

    /// Enters that the server confirmed the write, later than all that were entered before.
    pub fn acknowledge(&mut self, number: u64, at: Instant) {
        self.acknowledged.push(Write { number, at });
    }

    /// Enters that nobody knows whether the write was carried out.
    pub fn give_up(&mut self, number: u64, at: Instant) {
        self.unknown.push(Write { number, at });
    }

    /// How many writes were acknowledged.
    pub fn acknowledged(&self) -> usize {
        self.acknowledged.len()
    }

    /// The first acknowledged write.
    pub fn first(&self) -> Option<Write> {
        self.acknowledged.first().copied()
    }

    /// The last acknowledged write.
    pub fn last(&self) -> Option<Write> {
        self.acknowledged.last().copied()
    }

    /// Of how many writes nobody knows whether they were carried out.
    pub fn unknown(&self) -> usize {
        self.unknown.len()
    }

    /// The longest time between two acknowledgements that follow each other; zero where there are fewer than two.
    pub fn longest_gap(&self) -> Duration {
        let gaps = self.acknowledged.windows(2).map(|pair| pair[1].at.saturating_duration_since(pair[0].at));
        gaps.max().unwrap_or_default()
    }

    /// The part of this account in a window of time.
    ///
    /// For the gap of one fault let the window begin before the fault and end when writes flow again: a gap counts
    /// only where both its ends are in the window.
    #[must_use]
    pub fn during(&self, window: &Range<Instant>) -> Self {
        let within = |writes: &[Write]| writes.iter().copied().filter(|it| window.contains(&it.at)).collect();
        Self {
            prefix: self.prefix.clone(),
            acknowledged: within(&self.acknowledged),
            unknown: within(&self.unknown),
        }
    }

    /// The acknowledged writes that `master` does not hold: it has another value, or none.
    ///
    /// # Errors
    ///
    /// When the server does not answer, or with something else than values.
    pub fn lost(&self, master: &Redis) -> Result<Vec<Write>, String> {
        let mut connection = master.connect()?;
        let mut lost = Vec::new();
        for part in self.acknowledged.chunks(PART) {
            let keys: Vec<_> = part.iter().map(|it| self.key(it.number)).collect();
            let words: Vec<_> = std::iter::once("MGET").chain(keys.iter().map(String::as_str)).collect();
            let values = match connection.command(&words)?.into_result()? {
                Reply::Array(values) if values.len() == part.len() => values,
                other => return Err(format!("unexpected reply to MGET: {other:?}")),
            };
            let missing = |(write, value): &(&Write, Reply)| *value != Reply::Bulk(write.number.to_string());
            lost.extend(part.iter().zip(values).filter(missing).map(|(write, _)| *write));
        }
        Ok(lost)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Acknowledgements at these milliseconds, numbered from 0.
    fn account(times: &[u64]) -> (Account, impl Fn(u64) -> Instant + use<>) {
        let start = Instant::now();
        let at = move |millis| start + Duration::from_millis(millis);
        let mut account = Account::new("key");
        (0..).zip(times).for_each(|(number, millis)| account.acknowledge(number, at(*millis)));
        (account, at)
    }

    #[test]
    fn an_account_of_less_than_two_writes_has_no_gap() {
        assert_eq!(account(&[]).0.longest_gap(), Duration::ZERO);
        assert_eq!(account(&[7]).0.longest_gap(), Duration::ZERO);
    }

    #[test]
    fn the_longest_gap_is_between_acknowledgements() {
        let (mut account, at) = account(&[0, 10, 500, 505]);
        account.give_up(4, at(250));
        assert_eq!(account.longest_gap(), Duration::from_millis(490), "an unknown write ends no gap");
        assert_eq!((account.acknowledged(), account.unknown()), (4, 1));
    }

    #[test]
    fn a_window_has_its_own_figures() {
        let (mut account, at) = account(&[0, 10, 500, 505, 2_000]);
        account.give_up(5, at(1_000));
        let window = account.during(&(at(0)..at(506)));
        assert_eq!((window.acknowledged(), window.unknown()), (4, 0));
        assert_eq!(window.longest_gap(), Duration::from_millis(490));
        let window = account.during(&(at(505)..at(2_000)));
        assert_eq!((window.acknowledged(), window.unknown()), (1, 1), "the end is not in it");
        assert_eq!(window.longest_gap(), Duration::ZERO);
        assert_eq!(window.key(3), "key:3");
    }
}
