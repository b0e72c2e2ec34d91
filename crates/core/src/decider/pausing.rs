//! How long a pause lasts, by this monitor's own clock. It begins no change of master and ends none.
//!
//! A monitor that sees a pause come counts from then. One that finds it when it begins counts from when it was
//! recorded, by wall clocks: it errs by as much as its own differs from that of the monitor that recorded it.

use std::time::Duration;

use super::Decider;
use crate::pause::Pause;
use crate::step::{Purpose, Step};
use crate::time::Instant;
use crate::topology::{Phase, Topology};

/// What this monitor knows of pauses.
#[derive(Clone, Debug, Default, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub(super) struct Pausing {
    /// Whether a record was read before: a pause that comes afterwards is new.
    begun: bool,
    /// The recorded pause, and since when it counts.
    seen: Option<(Pause, Instant)>,
    /// What a wall clock said, in milliseconds of the Unix epoch, and when.
    wall: Option<(Instant, u64)>,
}

impl Decider {
    /// Takes in what the wall clock says.
    pub(super) fn see_wall_clock(&mut self, now: Instant, unix_millis: u64) {
        self.pausing.wall = Some((now, unix_millis));
    }

    /// What the wall clock says now, in milliseconds of the Unix epoch.
    pub(super) fn wall_clock(&self, now: Instant) -> Option<u64> {
        let (at, unix_millis) = self.pausing.wall?;
        let later = u64::try_from(now.since(at).as_millis()).unwrap_or(u64::MAX);
        Some(unix_millis.saturating_add(later))
    }

    /// Keeps since when the recorded pause counts.
    pub(super) fn follow_pause(&mut self, now: Instant) {
        let Some(record) = self.record() else { return };
        let recorded = record.pause.clone();
        let known = self.pausing.seen.take();
        self.pausing.seen = recorded.map(|pause| match known {
            Some((seen, since)) if seen.is_of_the_same(&pause) => (pause, since),
            Some(_) | None if self.pausing.begun => (pause, now),
            Some(_) | None => {
                let recorded_at = pause.since.zip(self.wall_clock(now));
                let age = recorded_at.map(|(since, wall)| Duration::from_millis(wall.saturating_sub(since)));
                (pause, now.before(age.unwrap_or_default()))
            }
        });
        self.pausing.begun = true;
    }

    /// When the recorded pause is over; `None` where there is none, or it ends by no time.
    fn pause_ends(&self) -> Option<Instant> {
        let (pause, since) = self.pausing.seen.as_ref()?;
        Some(*since + pause.lasts?)
    }

    /// The pause that counts now.
    pub(super) fn paused(&self, now: Instant) -> Option<&Pause> {
        let (pause, _) = self.pausing.seen.as_ref()?;
        self.pause_ends().is_none_or(|until| until > now).then_some(pause)
    }

    /// Strikes out a pause that is over.
    pub(super) fn end_pause(&self, now: Instant) -> Option<Step> {
        let until = self.pause_ends().filter(|_| self.loss.is_none() && !self.has_ceded())?;
        if until > now {
            return None;
        }
        let record = self.record().filter(|record| record.phase == Phase::Steady)?.clone();
        let expected = self.read.as_ref()?.version;
        let record = Box::new(Topology { pause: None, ..record });
        Some(Step::Commit { expected, record, purpose: Purpose::Refresh, entry: None })
    }

    /// Wakes the leader when the pause is over.
    pub(super) fn wake_for_pause(&mut self, now: Instant) {
        let Some(until) = self.pause_ends().filter(|until| *until > now) else { return };
        self.wake = Some(self.wake.map_or(until, |wake| wake.min(until)));
    }
}
