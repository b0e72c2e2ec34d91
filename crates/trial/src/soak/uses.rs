//! What the soak's uses of the client other than plain commands have come to: what of it a fault cost, whether that was
//! promised, and the table of it. Pure.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::kinds::Loss;
use super::pool;

/// One use of the client, with one command in flight for each of its writers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Use {
    /// A session writes and reads what it wrote.
    OwnWrites,
    /// A session adds one to a counter with WATCH, MULTI and EXEC.
    Transactions,
    /// A producer pushes jobs.
    Pushes,
    /// A worker takes them with BLPOP: one that was taken and comes again is lost as a taking.
    Takings,
    /// A publisher publishes, and a subscriber hears: what it did not hear is lost.
    Messages,
    /// A thread writes with the blocking client.
    Blocking,
    /// Threads write with connections of its pool.
    Pooled,
}

/// What a use has come to so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Standing {
    pub confirmed: usize,
    pub unknown: usize,
    pub lost: usize,
}

/// The same of all uses, in the order of [`Use::ALL`].
pub(super) type Standings = [Standing; Use::ALL.len()];

/// What one fault cost one use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Toll {
    pub of: Use,
    pub lost: usize,
    /// How many may be lost on top because nobody knows who took them.
    pub excused: usize,
    /// How many were confirmed from the fault's beginning until clients must have heard of the last change.
    pub until_heard: usize,
}

impl Use {
    /// All of them.
    pub(super) const ALL: [Self; 7] = [
        Self::OwnWrites,
        Self::Transactions,
        Self::Pushes,
        Self::Takings,
        Self::Messages,
        Self::Blocking,
        Self::Pooled,
    ];

    /// What it is, for a table.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::OwnWrites => "writes, read by their session",
            Self::Transactions => "transactions with WATCH",
            Self::Pushes => "jobs pushed",
            Self::Takings => "jobs taken with BLPOP",
            Self::Messages => "messages published",
            Self::Blocking => "writes of a blocking client",
            Self::Pooled => "writes through its r2d2 pool",
        }
    }

    /// How many write at a time.
    fn writers(self) -> usize {
        if self == Self::Pooled { pool::SIZE } else { 1 }
    }
}

impl Standing {
    /// Both together.
    pub(super) fn plus(self, other: Self) -> Self {
        let (confirmed, unknown) = (self.confirmed + other.confirmed, self.unknown + other.unknown);
        Self { confirmed, unknown, lost: self.lost + other.lost }
    }
}

impl Toll {
    /// What each use has lost since `before`, and what was confirmed until clients had heard of the last change.
    pub(super) fn between(before: &Standings, after: &Standings, until_heard: &Standings) -> Vec<Self> {
        let doubts = |standings: &Standings| standings[Use::Takings as usize].unknown;
        let toll = |of: Use| {
            let index = of as usize;
            let excused = if of == Use::Pushes { doubts(after).saturating_sub(doubts(before)) } else { 0 };
            let lost = after[index].lost.saturating_sub(before[index].lost);
            Self { of, lost, excused, until_heard: until_heard[index].confirmed }
        };
        Use::ALL.map(toll).to_vec()
    }

    /// What is not as promised, where so much may be lost.
    pub(super) fn wrong(&self, loss: Loss) -> Option<String> {
        let Self { of, lost, excused, until_heard } = *self;
        // Nobody is promised to hear a message: that a marker says so was looked at one by one.
        let allowed = loss.allowed(of.writers(), until_heard).filter(|_| of != Use::Messages)? + excused;
        (lost > allowed).then(|| format!("of {}, {lost} are lost, {allowed} may be", of.name()))
    }
}

/// The table of all uses; `tolls` are those of all faults.
pub(super) fn table(standings: &Standings, tolls: &[Toll]) -> String {
    let mut text = format!("{:<29} {:>9} {:>8} {:>12}\n", "use", "confirmed", "unknown", "lost (most)");
    for (of, Standing { confirmed, unknown, lost }) in Use::ALL.into_iter().zip(standings) {
        let lost = format!("{lost} ({})", most(of, tolls));
        writeln!(text, "{:<29} {confirmed:>9} {unknown:>8} {lost:>12}", of.name())
            .expect("a String takes all text");
    }
    text
}

/// The same for programs.
pub(super) fn json(standings: &Standings, tolls: &[Toll]) -> Value {
    let uses = Use::ALL.into_iter().zip(standings).map(|(of, Standing { confirmed, unknown, lost })| {
        json!({
            "use": of.name(),
            "confirmed": confirmed,
            "unknown": unknown,
            "lost": lost,
            "most_lost": most(of, tolls),
        })
    });
    uses.collect()
}

fn most(of: Use, tolls: &[Toll]) -> usize {
    tolls.iter().filter(|toll| toll.of == of).map(|toll| toll.lost).max().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn standings(lost: [usize; 7], in_doubt: usize) -> Standings {
        let mut standings = lost.map(|lost| Standing { confirmed: 100, unknown: 1, lost });
        standings[Use::Takings as usize].unknown = in_doubt;
        standings
    }

    #[test]
    fn each_use_stands_in_its_own_place() {
        for (index, of) in Use::ALL.into_iter().enumerate() {
            assert_eq!(of as usize, index, "{of:?}");
        }
    }

    #[test]
    fn a_use_may_lose_what_its_writers_may() {
        for of in Use::ALL {
            let toll = |lost| Toll { of, lost, excused: 0, until_heard: 10 };
            let is_judged = of != Use::Messages;
            let turn = if of == Use::Pooled { 4 } else { 2 };
            for (loss, allowed) in [(Loss::Nothing, 0), (Loss::Turn, turn), (Loss::UntilPublished, 10 + turn)]
            {
                assert_eq!(toll(allowed).wrong(loss), None, "{of:?} {loss:?}");
                assert_eq!(toll(allowed + 1).wrong(loss).is_some(), is_judged, "{of:?} {loss:?}");
            }
            assert_eq!(toll(9_000).wrong(Loss::Any), None);
        }
    }

    #[test]
    fn only_what_was_lost_since_counts_and_a_doubtful_taking_explains_one_missing_job() {
        let before = standings([1, 2, 3, 4, 5, 6, 7], 6);
        let after = standings([1, 2, 5, 4, 50, 6, 7], 8);
        let tolls = Toll::between(&before, &after, &standings([0; 7], 0));
        let lost: Vec<_> = tolls.iter().map(|toll| (toll.lost, toll.excused, toll.until_heard)).collect();
        let none = (0, 0, 100);
        assert_eq!(lost, [none, none, (2, 2, 100), none, (45, 0, 100), none, none]);
        assert!(tolls.iter().all(|toll| toll.wrong(Loss::Nothing).is_none()));
        let after = standings([1, 2, 6, 5, 50, 6, 8], 8);
        let tolls = Toll::between(&before, &after, &standings([0; 7], 0));
        let wrongs: Vec<_> = tolls.iter().filter_map(|toll| toll.wrong(Loss::Nothing)).collect();
        let expected = [
            "of jobs pushed, 3 are lost, 2 may be",
            "of jobs taken with BLPOP, 1 are lost, 0 may be",
            "of writes through its r2d2 pool, 1 are lost, 0 may be",
        ];
        assert_eq!(wrongs, expected);
    }

    #[test]
    fn the_table_has_a_line_for_each_use_with_the_most_that_one_fault_cost() {
        let (before, after) = (standings([0; 7], 0), standings([3, 0, 0, 0, 7, 0, 0], 0));
        let tolls = Toll::between(&before, &after, &before);
        let text = table(&after, &tolls);
        assert_eq!(text.lines().count(), 1 + Use::ALL.len(), "{text}");
        assert!(text.contains("messages published                  100        1        7 (7)"), "{text}");
        assert_eq!(json(&after, &tolls)[0]["most_lost"], 3);
    }
}
