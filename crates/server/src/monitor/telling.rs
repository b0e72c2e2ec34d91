//! What a monitor's report says beside its votes, and when it is worth a writing: each wakes whoever reads reports. It
//! writes nothing.

use std::time::Duration;

use redis_failover_core::{Attends, Ballots, Epoch, Instant, Lags, LeadBallot, Waits};

/// For how long a leader is at the same before it says so: most requests are answered by then, and a change of master
/// that goes well shares its session with no other writing.
const TOLD_AFTER: Duration = Duration::from_millis(100);

/// How often lags are written that differ in nothing but their numbers, as all do under load.
const LAGS_EVERY: Duration = Duration::from_secs(5);

/// What a report says.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Told {
    pub(super) ballots: Ballots,
    pub(super) lead: Option<LeadBallot>,
    pub(super) remembers: Option<Epoch>,
    pub(super) waits: Waits,
    pub(super) attends: Attends,
    pub(super) lags: Lags,
}

/// What a leader has to tell, and since when.
#[derive(Debug, Default)]
pub(super) struct Telling {
    /// What a group without a master waits for, as this monitor found when it last tried to name one.
    pub(super) waits: Waits,
    attends: Attends,
    /// What it is at now, if that is another thing, and since when.
    next: Option<(Attends, Instant)>,
    lags: Lags,
    lags_at: Option<Instant>,
}

impl Telling {
    /// How far it is with each request, worth telling or not yet.
    pub(super) fn attend(&mut self, attends: Attends, now: Instant) {
        if attends == self.attends {
            self.next = None;
            return;
        }
        let since = self.next.take().filter(|(next, _)| *next == attends).map_or(now, |(_, since)| since);
        if now.since(since) >= TOLD_AFTER {
            self.attends = attends;
        } else {
            self.next = Some((attends, since));
        }
    }

    /// When there will be something to tell, if nothing happens.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.next.as_ref().map(|(_, since)| *since + TOLD_AFTER)
    }

    /// How far each replica is behind now.
    pub(super) fn lag(&mut self, lags: Lags, now: Instant) {
        let others = !lags.keys().eq(self.lags.keys());
        if others || self.lags_at.is_none_or(|at| now.since(at) >= LAGS_EVERY) {
            (self.lags, self.lags_at) = (lags, Some(now));
        }
    }

    /// The whole, with these votes.
    pub(super) fn told(&self, ballots: &Ballots, lead: Option<LeadBallot>, remembers: Option<Epoch>) -> Told {
        Told {
            ballots: ballots.clone(),
            lead,
            remembers,
            waits: self.waits.clone(),
            attends: self.attends.clone(),
            lags: self.lags.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use redis_failover_core::RequestId;

    use super::*;

    fn at(millis: u64) -> Instant {
        Instant::from_millis(10_000 + millis)
    }

    fn told(telling: &Telling) -> Told {
        telling.told(&Ballots::new(), None, None)
    }

    #[test]
    fn what_it_is_at_is_told_once_that_has_lasted() {
        let mut telling = Telling::default();
        let is_at = |text: &str| Attends::from([(RequestId(1), text.to_owned())]);
        telling.attend(is_at("near"), at(0));
        assert_eq!((told(&telling).attends, telling.poll_timeout()), (Attends::new(), Some(at(100))));
        telling.attend(is_at("near"), at(99));
        assert_eq!(told(&telling).attends, Attends::new());
        telling.attend(is_at("near"), at(100));
        assert_eq!((told(&telling).attends, telling.poll_timeout()), (is_at("near"), None));
        telling.attend(is_at("holds"), at(150));
        telling.attend(is_at("ceded"), at(200));
        assert_eq!(told(&telling).attends, is_at("near"), "neither has lasted");
        telling.attend(Attends::new(), at(250));
        telling.attend(Attends::new(), at(350));
        assert_eq!(told(&telling).attends, Attends::new());
    }

    #[test]
    fn lags_are_told_where_others_have_one_and_else_from_time_to_time() {
        let mut telling = Telling::default();
        let lags = |lags: &[(&str, u64)]| -> Lags {
            lags.iter().map(|(node, lag)| (node.parse().expect("a node"), *lag)).collect()
        };
        let (first, later) = (lags(&[("b:1", 1)]), lags(&[("b:1", 2)]));
        telling.lag(first.clone(), at(0));
        assert_eq!(told(&telling).lags, first);
        telling.lag(later.clone(), at(4_999));
        assert_eq!(told(&telling).lags, first);
        telling.lag(later.clone(), at(5_000));
        assert_eq!(told(&telling).lags, later);
        let both = lags(&[("b:1", 3), ("c:1", 0)]);
        telling.lag(both.clone(), at(5_001));
        assert_eq!(told(&telling).lags, both);
        telling.lag(Lags::new(), at(5_002));
        assert_eq!(told(&telling).lags, Lags::new());
    }
}
