//! Whether the session's thread is alive and in touch with a server, by this machine's monotonic clock.
//!
//! It is read from other threads, without locks, and never believes a state that could be older than its
//! limit.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// The last moment at which the session was known to be alive.
#[derive(Debug)]
pub(super) struct Pulse {
    base: Instant,
    /// Milliseconds since `base`, plus one: zero means never.
    beat: AtomicU64,
    limit_ms: AtomicU64,
}

impl Pulse {
    pub(super) fn new(session_timeout: Duration) -> Self {
        let pulse = Self { base: Instant::now(), beat: AtomicU64::new(0), limit_ms: AtomicU64::new(0) };
        pulse.set_session_timeout(session_timeout);
        pulse
    }

    /// Sets the limit for a session of this time-out.
    ///
    /// The client reports a silent server after 2/5 of the time-out, at the latest 1/20 later. With 3/20 for
    /// a stalled thread, nobody is taken for leader after 0.6 of the time-out.
    pub(super) fn set_session_timeout(&self, timeout: Duration) {
        self.limit_ms.store(millis(timeout * 3 / 20).max(1), Ordering::Relaxed);
    }

    /// For how long a beat is believed.
    pub(super) fn limit(&self) -> Duration {
        Duration::from_millis(self.limit_ms.load(Ordering::Relaxed))
    }

    /// Records that the session was alive at `moment`; an older moment than the last changes nothing.
    pub(super) fn beat(&self, moment: Instant) {
        let at = millis(moment.saturating_duration_since(self.base)) + 1;
        self.beat.fetch_max(at, Ordering::AcqRel);
    }

    /// Whether the last beat is young enough, right now.
    pub(super) fn is_alive(&self) -> bool {
        let beat = self.beat.load(Ordering::Acquire);
        let now = millis(self.base.elapsed()) + 1;
        beat > 0 && now.saturating_sub(beat) <= self.limit_ms.load(Ordering::Relaxed)
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_beat_is_believed_for_its_limit_and_no_longer() {
        let pulse = Pulse::new(Duration::from_secs(2));
        assert_eq!(pulse.limit(), Duration::from_millis(300));
        assert!(!pulse.is_alive(), "never");
        pulse.beat(pulse.base + Duration::from_millis(1));
        assert!(pulse.is_alive());
        let pulse =
            Pulse { base: Instant::now().checked_sub(Duration::from_secs(9)).expect("9 s up"), ..pulse };
        assert!(!pulse.is_alive(), "9 s ago");
        pulse.beat(Instant::now());
        assert!(pulse.is_alive());
        pulse.beat(pulse.base);
        assert!(pulse.is_alive(), "an older beat changes nothing");
    }
}
