//! When a monitor's report says something new, and how it grows older. It reads no clock: whoever calls it says how
//! much time has passed.

use std::time::Duration;

use redis_failover_core::Report;

/// Two moments of one vote that are closer than this are the same moment, taken twice.
const SAME: Duration = Duration::from_millis(50);

/// The report as of `waited` after it was handed in: its votes have grown older.
pub(crate) fn aged(report: &Report, waited: Duration) -> Report {
    let mut report = report.clone();
    report.votes.values_mut().for_each(|(_, age)| *age += waited);
    report
}

/// Whether `report` says the same as `earlier`, handed in `moved` before it: the same votes, standing since the
/// same moments.
pub(crate) fn says_the_same(report: &Report, earlier: &Report, moved: Duration) -> bool {
    report.monitor == earlier.monitor
        && report.address == earlier.address
        && report.remembers == earlier.remembers
        && report.votes.len() == earlier.votes.len()
        && report.votes.iter().zip(&earlier.votes).all(
            |((node, (vote, age)), (earlier_node, (earlier_vote, was)))| {
                node == earlier_node && vote == earlier_vote && age.abs_diff(*was + moved) <= SAME
            },
        )
}
