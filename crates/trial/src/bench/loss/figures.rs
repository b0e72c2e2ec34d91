//! The table of `bench loss`, and the same as JSON. Pure.

use std::time::Duration;

use serde_json::{Value, json};

use super::super::statistics::{Spread, spread};
use super::play::Run;
use super::{Fault, Side};

/// What stands above the columns.
pub(super) const HEAD: &str = "fault  who watches          runs   wiped   lost writes, median (quartiles; most)   \
two masters for, ms (quartiles)   no writes for, ms (quartiles)";

/// What the columns mean.
pub(super) const NOTES: &str = "
wipe: the master is killed and started again 100 ms later, empty. hang: it stands still until another
leads, and wakes 1 s later with a client that never looked away and goes on writing to it. cut: its host
is cut off from all others for 10 s, with a client on it that goes on writing. wiped: the keys that both
replicas had are gone from all nodes. lost writes: acknowledged, and not on the final master. two masters
for: how long two nodes at once took writes, which were tried on each every 20 ms from its own host. no
writes for: the longest time without an acknowledged write of the client that follows the master, and
waits 500 ms for a reply.";

/// The spread of one figure of all runs that have it, and the most.
struct Figures {
    spread: Spread,
    most: f64,
    each: Vec<f64>,
}

impl Figures {
    fn of(runs: &[Run], figure: impl Fn(&Run) -> Option<f64>) -> Option<Self> {
        let each: Vec<_> = runs.iter().filter_map(figure).collect();
        let most = each.iter().copied().reduce(f64::max)?;
        Some(Self { spread: spread(&each), most, each })
    }

    fn lost(runs: &[Run]) -> Option<Self> {
        Self::of(runs, |run| u32::try_from(run.lost).ok().map(f64::from))
    }

    fn two_masters(runs: &[Run]) -> Option<Self> {
        Self::of(runs, |run| Some(millis(run.two_masters)))
    }

    fn gap(runs: &[Run]) -> Option<Self> {
        Self::of(runs, |run| Some(millis(run.gap)))
    }

    fn json(&self) -> Value {
        let Spread { lower, median, upper } = self.spread;
        json!({ "median": median, "quartiles": [lower, upper], "most": self.most, "runs": self.each })
    }
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// A line of the table.
pub(super) fn line(fault: Fault, side: Side, runs: &[Run]) -> String {
    let (fault, side, count) = (fault.name(), side.name(), runs.len());
    let wiped = runs.iter().filter(|run| run.wiped).count();
    let time = |figures: Option<Figures>| {
        figures.map_or_else(
            || "–".to_owned(),
            |Figures { spread: Spread { lower, median, upper }, .. }| {
                format!("{median:.0} ({lower:.0} – {upper:.0})")
            },
        )
    };
    let lost = Figures::lost(runs).map_or_else(String::new, |figures| {
        let Spread { lower, median, upper } = figures.spread;
        format!("{median:.0} ({lower:.0} – {upper:.0}; {:.0})", figures.most)
    });
    let (two_masters, gap) = (time(Figures::two_masters(runs)), time(Figures::gap(runs)));
    format!("{fault:<6} {side:<20} {count:>4} {wiped:>7}   {lost:<38}   {two_masters:<31}   {gap}")
}

/// The same for programs, with each run.
pub(super) fn json(fault: Fault, side: Side, runs: &[Run]) -> Value {
    let figures = |figures: Option<Figures>| figures.map(|figures| figures.json());
    json!({
        "fault": fault.name(),
        "who_watches": side.name(),
        "runs": runs.len(),
        "wiped": runs.iter().filter(|run| run.wiped).count(),
        "lost": figures(Figures::lost(runs)),
        "two_masters_ms": figures(Figures::two_masters(runs)),
        "no_writes_ms": figures(Figures::gap(runs)),
    })
}
