//! When a monitor's report says something new, and how it grows older. It reads no clock: whoever calls it says how
//! much time has passed.

use std::time::Duration;

use redis_failover_core::Report;

/// Two moments of one vote that are closer than this are the same moment, taken twice.
const SAME: Duration = Duration::from_millis(50);

/// The report as of `waited` after it was handed in: its votes have grown older.
pub(crate) fn aged(report: &Report, waited: Duration) -> Report {
    let mut report = report.clone();
    let lead = report.lead.iter_mut().map(|(.., age)| age);
    if let Some(clock) = &mut report.clock {
        *clock += u64::try_from(waited.as_millis()).unwrap_or_default();
    }
    report.votes.values_mut().map(|(_, age)| age).chain(lead).for_each(|age| *age += waited);
    report
}

/// Whether `report` says the same as `earlier`, handed in `moved` before it: the same votes, standing since the
/// same moments.
pub(crate) fn says_the_same(report: &Report, earlier: &Report, moved: Duration) -> bool {
    report.monitor == earlier.monitor
        && report.address == earlier.address
        && report.remembers == earlier.remembers
        && report.waits == earlier.waits
        && report.attends == earlier.attends
        && report.lags == earlier.lags
        && match (report.lead, earlier.lead) {
            (Some((term, vote, age)), Some((was_in, was, then))) => {
                (term, vote) == (was_in, was) && age.abs_diff(then + moved) <= SAME
            }
            (now, then) => now == then,
        }
        && report.votes.len() == earlier.votes.len()
        && report.votes.iter().zip(&earlier.votes).all(
            |((node, (vote, age)), (earlier_node, (earlier_vote, was)))| {
                node == earlier_node && vote == earlier_vote && age.abs_diff(*was + moved) <= SAME
            },
        )
}

#[cfg(test)]
mod tests {
    use redis_failover_core::{RequestId, Term, Vote, Wait};

    use super::*;

    #[test]
    fn a_report_is_news_when_a_vote_or_what_is_waited_for_changes_and_not_by_growing_older() {
        let node = "10.0.0.1:6379".parse().unwrap();
        let votes = [(node, (Vote::Up, Duration::from_secs(1)))].into();
        let (address, remembers, lead, waits) = Default::default();
        let report = Report {
            monitor: "m1".parse().unwrap(),
            address,
            remembers,
            votes,
            lead,
            waits,
            attends: [].into(),
            lags: [].into(),
            version: None,
            sentinel: None,
            clock: None,
        };
        let later = Duration::from_secs(3);
        assert!(says_the_same(&aged(&report, later), &report, later));
        assert!(!says_the_same(&report, &report, later), "the vote stands since another moment");
        let said = |vote, age| Report { lead: Some((Term(7), vote, age)), ..report.clone() };
        let lost = said(Vote::Refused, Duration::ZERO);
        assert!(!says_the_same(&lost, &report, Duration::ZERO));
        assert!(!says_the_same(&lost, &said(Vote::Up, Duration::ZERO), Duration::ZERO));
        assert!(says_the_same(&aged(&lost, later), &lost, later));
        let wait = Wait { why: "did not answer".to_owned(), keys: None, saved: None };
        let waits = [("10.0.0.1:6379".parse().unwrap(), wait)].into();
        let waiting = Report { waits, ..report.clone() };
        assert!(!says_the_same(&waiting, &report, Duration::ZERO));
        assert!(says_the_same(&aged(&waiting, later), &waiting, later));
        let attends = [(RequestId(1), "near".to_owned())].into();
        assert!(!says_the_same(&Report { attends, ..report.clone() }, &report, Duration::ZERO));
        let lags = [("10.0.0.1:6379".parse().unwrap(), 89)].into();
        assert!(!says_the_same(&Report { lags, ..report.clone() }, &report, Duration::ZERO));
    }
}
