//! The core's clock reading: a number that the caller supplies. It never reads a clock itself.

use std::ops::Add;
use std::time::Duration;

/// A moment on one machine's monotonic clock, in milliseconds since a point of the caller's choosing.
///
/// It is meaningless on another machine and after a restart: what crosses the wire or goes into ZooKeeper is an age
/// (a [`Duration`]), never an `Instant`. The feature `serde` writes it as the number that it is, for a journal, which
/// is read back with the clock that it was written by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Instant(u64);

impl Instant {
    /// The moment `millis` milliseconds after the caller's origin.
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// Milliseconds since the caller's origin.
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// How long ago `earlier` was; zero if it is not earlier.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }

    /// The moment `age` before this one, or the origin if that lies before it.
    #[must_use]
    pub fn before(self, age: Duration) -> Self {
        Self(self.0.saturating_sub(millis(age)))
    }
}

impl Add<Duration> for Instant {
    type Output = Self;

    fn add(self, later: Duration) -> Self {
        Self(self.0.saturating_add(millis(later)))
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
