//! The monitor's clock: the one place that makes the core's instants from the machine's.

use std::time::Duration;

use redis_failover_core::Instant;
use tokio::time::Instant as Moment;

/// A monotonic clock. All instants of one monitor come from one clock.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    origin: Moment,
}

/// What the clock shows at its start: ages that others report lie before it.
const HEAD_START: Duration = Duration::from_hours(365 * 24);

impl Clock {
    /// A clock that starts now.
    pub(super) fn start() -> Self {
        Self { origin: Moment::now() }
    }

    /// The present.
    pub(super) fn now(self) -> Instant {
        self.at(Moment::now())
    }

    /// The instant of a moment on this machine; a moment before the start is the start.
    pub(super) fn at(self, moment: Moment) -> Instant {
        Instant::from_millis(0) + HEAD_START + moment.saturating_duration_since(self.origin)
    }

    /// The moment of an instant, for a timer.
    pub(super) fn moment(self, instant: Instant) -> Moment {
        self.origin + instant.since(Instant::from_millis(0) + HEAD_START)
    }
}
