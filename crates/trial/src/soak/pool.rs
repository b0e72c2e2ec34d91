//! What a pool of connections was asked for and gave, and what of it is wrong. It reads no clock and knows no pool.
//!
//! A connection follows the master by itself, so a pool that has one left gives it out at once, also while there is no
//! master: it is the command that waits. And it makes new ones only in the place of those that were given back with a
//! session on them.

use std::time::Duration;

/// How many connections the pool has, and how many threads take one at a time: nobody has to wait for another.
pub(super) const SIZE: usize = 2;

/// How long who wants a connection may wait, on a machine that has other things to do.
const WITHIN: Duration = Duration::from_secs(1);

/// The figures of one pool.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Pool {
    /// How many connections were given out.
    pub given: usize,
    /// The longest that somebody waited for one.
    pub longest: Duration,
    /// How many connections were made.
    pub made: usize,
    /// How many were given back with a session on them, or where none could be begun.
    pub left: usize,
}

impl Pool {
    /// Enters that a connection was given out to somebody who had waited for so long; returns what is wrong with that.
    pub(super) fn give(&mut self, waited: Duration) -> Option<String> {
        self.given += 1;
        self.longest = self.longest.max(waited);
        (waited > WITHIN).then(|| {
            let (waited, within) = (waited.as_millis(), WITHIN.as_millis());
            format!("the pool gave out a connection after {waited} ms, {within} ms is allowed")
        })
    }

    /// Enters that a connection was made.
    pub(super) fn make(&mut self) {
        self.made += 1;
    }

    /// Enters that one is given back with a session on it.
    pub(super) fn leave(&mut self) {
        self.left += 1;
    }

    /// What is wrong with how many connections were made.
    pub(super) fn wrong(&self) -> Option<String> {
        let Self { made, left, .. } = *self;
        (made > SIZE + left).then(|| {
            format!("a pool of {SIZE} made {made} connections, and {left} were given back in a session")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_waits_for_too_long_is_told_and_the_longest_is_kept() {
        let mut pool = Pool::default();
        assert_eq!(pool.give(WITHIN), None);
        let wrong = pool.give(Duration::from_millis(1_500));
        let expected = "the pool gave out a connection after 1500 ms, 1000 ms is allowed";
        assert_eq!(wrong.as_deref(), Some(expected));
        assert_eq!(pool.give(Duration::ZERO), None);
        assert_eq!((pool.given, pool.longest), (3, Duration::from_millis(1_500)));
    }

    #[test]
    fn only_what_was_left_in_a_session_is_replaced() {
        let mut pool = Pool::default();
        for _ in 0..SIZE {
            pool.make();
        }
        assert_eq!(pool.wrong(), None);
        pool.leave();
        pool.make();
        assert_eq!(pool.wrong(), None);
        pool.make();
        let expected = "a pool of 2 made 4 connections, and 1 were given back in a session";
        assert_eq!(pool.wrong().as_deref(), Some(expected));
    }
}
