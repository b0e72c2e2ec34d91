//! The wall clock's time in UTC, as text for people and back. Nothing is decided by it.

use std::fmt;
use std::str::FromStr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use redis_failover_core::Instant;
use serde::{Deserialize, Serialize};

use super::format::since;

/// Milliseconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Moment(u64);

const DAY: u64 = 86_400_000;

impl Moment {
    /// The present.
    pub(crate) fn present() -> Self {
        SystemTime::now().into()
    }

    /// When a monitor's clock showed `now`, if at this time it showed `then`.
    pub(super) fn of(self, now: Instant, then: Instant) -> Self {
        Self(self.0.saturating_add_signed(since(now, then)))
    }
}

impl Moment {
    /// So many milliseconds of the Unix epoch.
    pub(crate) fn of_unix(millis: u64) -> Self {
        Self(millis)
    }

    /// How much later it is than another; nothing where it is not.
    pub(crate) fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

impl From<SystemTime> for Moment {
    fn from(time: SystemTime) -> Self {
        let age = time.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        Self(u64::try_from(age.as_millis()).unwrap_or(u64::MAX))
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = date(self.0 / DAY);
        let millis = self.0 % DAY;
        let (seconds, minutes, hours) = (millis / 1_000 % 60, millis / 60_000 % 60, millis / 3_600_000);
        let millis = millis % 1_000;
        write!(f, "{year:04}-{month:02}-{day:02}T{hours:02}:{minutes:02}:{seconds:02}.{millis:03}Z")
    }
}

impl FromStr for Moment {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        parse(text).ok_or_else(|| {
            format!("`{text}` is no time: write it in UTC, for example 2026-01-31T13:05:00.250Z")
        })
    }
}

/// The date of a day, counted from 1970-01-01, in the Gregorian calendar.
fn date(days: u64) -> (u64, u64, u64) {
    let mut year = 1970 + days / 366;
    while days >= first_day(year + 1) {
        year += 1;
    }
    let mut month = 1;
    while days >= first_day(year) + before_month(year, month + 1) {
        month += 1;
    }
    (year, month, days - first_day(year) - before_month(year, month) + 1)
}

/// How many days lie between 1970-01-01 and the first of a year.
fn first_day(year: u64) -> u64 {
    let before = year - 1;
    365 * year + before / 4 - before / 100 + before / 400 - 719_527
}

/// How many days of a year lie before the first of a month; the thirteenth is the next year's first.
fn before_month(year: u64, month: u64) -> u64 {
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let february = if leap { 29 } else { 28 };
    let days = [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    days.iter().zip(1..month).map(|(days, _)| days).sum()
}

fn parse(text: &str) -> Option<Moment> {
    let (day, time) = text.strip_suffix('Z')?.split_once('T')?;
    let mut day = day.splitn(3, '-').map(number);
    let (year, month, day) = (day.next()??, day.next()??, day.next()??);
    let mut time = time.splitn(3, ':');
    let (hours, minutes, seconds) = (number(time.next()?)?, number(time.next()?)?, time.next()?);
    let (seconds, millis) = match seconds.split_once('.') {
        Some((seconds, fraction)) if (1..=3).contains(&fraction.len()) => {
            (number(seconds)?, number(&format!("{fraction:0<3}"))?)
        }
        Some(_) => return None,
        None => (number(seconds)?, 0),
    };
    let valid = (1970..10_000).contains(&year) && (1..=12).contains(&month) && day >= 1;
    if !valid || hours > 23 || minutes > 59 || seconds > 59 {
        return None;
    }
    if day > before_month(year, month + 1) - before_month(year, month) {
        return None;
    }
    let days = first_day(year) + before_month(year, month) + day - 1;
    Some(Moment(days * DAY + ((hours * 60 + minutes) * 60 + seconds) * 1_000 + millis))
}

fn number(text: &str) -> Option<u64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

impl Serialize for Moment {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_they_are_read() {
        for (text, seconds) in [
            ("1970-01-01T00:00:00.000Z", 0),
            ("1972-02-29T23:59:59.000Z", 68_255_999),
            ("2000-03-01T00:00:00.000Z", 951_868_800),
            ("2024-12-31T12:00:00.000Z", 1_735_646_400),
            ("2026-11-26T02:42:18.000Z", 1_795_660_938),
            ("2100-03-01T00:00:00.000Z", 4_107_542_400),
        ] {
            let moment = Moment(seconds * 1_000);
            assert_eq!(moment.to_string(), text);
            assert_eq!(text.parse(), Ok(moment));
        }
        assert_eq!("1970-01-01T00:00:01.25Z".parse(), Ok(Moment(1_250)));
        assert_eq!("1970-01-02T00:00:00Z".parse(), Ok(Moment(DAY)));
    }

    #[test]
    fn what_is_no_time_is_told_what_one_looks_like() {
        for text in
            ["", "now", "02:42:18", "2026-02-29T00:00:00Z", "2026-13-01T00:00:00Z", "2026-01-01T24:00:00Z"]
        {
            let error = text.parse::<Moment>().expect_err(text);
            assert!(error.contains("2026-01-31T13:05:00.250Z"), "{error}");
        }
    }
}
