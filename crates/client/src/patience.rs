//! How long things are waited for, and how long nothing is done in between.

use std::io;
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use redis::RedisResult;
use tokio::time::Instant;

use crate::outcome::{Outcome, failure};

/// When a command gives up.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadline {
    pub(crate) at: Instant,
    pub(crate) limit: Duration,
}

impl Deadline {
    pub(crate) fn after(limit: Duration) -> Self {
        let now = Instant::now();
        Self { at: now.checked_add(limit).unwrap_or(now + FAR), limit }
    }

    pub(crate) fn is_over(self) -> bool {
        Instant::now() >= self.at
    }

    /// Gives up when it is time.
    pub(crate) fn check(self, why: &str) -> RedisResult<()> {
        if !self.is_over() {
            return Ok(());
        }
        let what = format!("no node could take it within {:?}: {why}", self.limit);
        Err(failure(Outcome::NotExecuted, io::ErrorKind::TimedOut, what))
    }
}

/// A deadline that nobody lives to see.
const FAR: Duration = Duration::from_hours(24 * 365 * 30);

/// The longest rest before what was refused is sent again.
pub(crate) const LONGEST_REST: Duration = Duration::from_millis(100);

/// A master that is about to be opened is open in less than the first of these rests.
pub(crate) fn rests() -> ExponentialBackoff {
    growing(Duration::from_millis(2), LONGEST_REST)
}

/// Pauses from the shortest to the longest, each twice the one before, and some chance in each; without an end.
pub(crate) fn growing(shortest: Duration, longest: Duration) -> ExponentialBackoff {
    ExponentialBuilder::default()
        .with_min_delay(shortest)
        .with_max_delay(longest)
        .with_jitter()
        .without_max_times()
        .build()
}
