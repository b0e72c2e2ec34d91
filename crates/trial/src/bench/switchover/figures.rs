//! The table of `bench switchover`, and the same as JSON. Pure.

use std::time::Duration;

use serde_json::{Value, json};

use super::Side;
use crate::bench::statistics::{Spread, spread};
use crate::failure::Failure;

/// What one switchover cost.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Run {
    /// How many writes were due while it was measured.
    pub writes: usize,
    /// How many callers were told of an error.
    pub errors: usize,
    /// One of these errors.
    pub error: Option<String>,
    /// Acknowledged writes that the final master does not hold.
    pub lost: usize,
    /// Writes that were executed more than once.
    pub twice: usize,
    /// The longest time in which one of the processes got no write acknowledged, from the command on.
    pub pause: Duration,
    /// How long the slowest acknowledged write took from when it was due, from the command on.
    pub worst: Duration,
    /// As `pause`, before the command.
    pub pause_before: Duration,
    /// As `worst`, before the command.
    pub worst_before: Duration,
    /// From the command until it is known that another leads.
    pub took: Duration,
    /// Why none does.
    pub refused: Option<String>,
    /// What `redis-failover explain` says of it.
    pub explained: Value,
}

/// What stands above the columns.
pub(super) const HEAD: &str = "who switches over     done     errors, median (most)   lost, median (most)   twice   \
pause, ms (quartiles; most)   worst write, ms               command, ms                   \
before: pause, ms             before: worst write, ms";

/// What the columns mean.
pub(super) const NOTES: &str = "
errors: callers that were told of one. A client of sentinels is redis-rs over whom they name; it asks them anew
after an error, hears of no change before, and sends nothing twice. lost: acknowledged, and not on the final
master. twice: executed more than once. pause: the longest time in which one of the two processes got no write
acknowledged. worst write: the slowest acknowledged one, from when it was due. command: until it is known that
another leads; a sentinel is asked again every 5 ms. before: the same of the two seconds before the command, which
is what the machine does by itself. Times: the median and, in parentheses, the quartiles and the worst.";

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn count(number: usize) -> f64 {
    u32::try_from(number).map_or(f64::MAX, f64::from)
}

/// The median, and the most.
fn few(runs: &[Run], figure: impl Fn(&Run) -> usize) -> String {
    let values: Vec<_> = runs.iter().map(|run| count(figure(run))).collect();
    let most = runs.iter().map(figure).max().unwrap_or_default();
    format!("{:.0} ({most})", spread(&values).median)
}

/// The median, the quartiles and the most.
fn time(runs: &[Run], figure: impl Fn(&Run) -> Duration) -> String {
    let Spread { lower, median, upper } =
        spread(&runs.iter().map(|run| millis(figure(run))).collect::<Vec<_>>());
    let most = millis(runs.iter().map(figure).max().unwrap_or_default());
    format!("{median:.0} ({lower:.0} – {upper:.0}; {most:.0})")
}

/// A line of the table.
pub(super) fn line(side: Side, runs: &[Run]) -> String {
    let done = format!("{} of {}", runs.iter().filter(|run| run.refused.is_none()).count(), runs.len());
    let twice: usize = runs.iter().map(|run| run.twice).sum();
    format!(
        "{:<19} {done:>8}   {:<24}{:<22}{twice:>5}   {:<30}{:<30}{:<30}{:<30}{}",
        side.name(),
        few(runs, |run| run.errors),
        few(runs, |run| run.lost),
        time(runs, |run| run.pause),
        time(runs, |run| run.worst),
        time(runs, |run| run.took),
        time(runs, |run| run.pause_before),
        time(runs, |run| run.worst_before),
    )
}

/// What came of one switchover, while others are still to come.
pub(super) fn told(side: Side, run: &Run) -> String {
    let Run { writes, errors, lost, twice, .. } = run;
    let (pause, worst, took) = (millis(run.pause), millis(run.worst), millis(run.took));
    let why = |why: &Option<String>| why.as_ref().map(|why| format!("; {why}")).unwrap_or_default();
    format!(
        "{}: {writes} writes, {errors} errors, {lost} lost, {twice} twice, pause {pause:.0} ms, worst write {worst:.0} \
         ms, command {took:.0} ms{}{}",
        side.name(),
        why(&run.error),
        why(&run.refused)
    )
}

/// The same for programs, with each run.
pub(super) fn json(side: Side, runs: &[Run]) -> Value {
    let column = |figure: &dyn Fn(&Run) -> f64| {
        let values: Vec<_> = runs.iter().map(figure).collect();
        let Spread { lower, median, upper } = spread(&values);
        let most = values.iter().copied().fold(0.0, f64::max);
        json!({ "median": median, "quartiles": [lower, upper], "most": most, "runs": values })
    };
    json!({
        "who_switches_over": side.name(),
        "done": runs.iter().filter(|run| run.refused.is_none()).count(),
        "writes": column(&|run| count(run.writes)),
        "errors": column(&|run| count(run.errors)),
        "lost": column(&|run| count(run.lost)),
        "twice": column(&|run| count(run.twice)),
        "pause_ms": column(&|run| millis(run.pause)),
        "worst_write_ms": column(&|run| millis(run.worst)),
        "command_ms": column(&|run| millis(run.took)),
        "before": {
            "pause_ms": column(&|run| millis(run.pause_before)),
            "worst_write_ms": column(&|run| millis(run.worst_before)),
        },
        "told": runs.iter().map(|run| json!({ "error": run.error, "refused": run.refused })).collect::<Vec<_>>(),
        "explained": runs.iter().map(|run| run.explained.clone()).collect::<Vec<_>>(),
    })
}

/// Whether ours did what is promised: all were done, and no caller noticed more than a pause.
///
/// # Errors
/// What was otherwise.
pub(super) fn kept<'a>(ours: impl IntoIterator<Item = &'a Run>) -> Result<(), Failure> {
    for (run, number) in ours.into_iter().zip(1..) {
        if run.refused.is_some() || run.errors + run.lost + run.twice > 0 {
            return Err(Failure::new(format!("not as promised: {number}: {}", told(Side::Ours, run))));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run() -> Run {
        let time = Duration::from_millis;
        Run {
            writes: 10,
            errors: 0,
            error: None,
            lost: 0,
            twice: 0,
            pause: time(40),
            worst: time(45),
            pause_before: time(1),
            worst_before: time(2),
            took: time(300),
            refused: None,
            explained: Value::Null,
        }
    }

    #[test]
    fn whatever_a_caller_notices_is_not_as_promised() {
        assert_eq!(kept(&[run(), run()]), Ok(()));
        let bad = [
            Run { errors: 1, error: Some("READONLY".to_owned()), ..run() },
            Run { lost: 2, ..run() },
            Run { twice: 3, ..run() },
            Run { refused: Some("nobody can".to_owned()), ..run() },
        ];
        for (bad, word) in bad.into_iter().zip(["READONLY", "2 lost", "3 twice", "nobody can"]) {
            let told = kept(&[run(), bad]).unwrap_err().to_string();
            assert!(told.contains("not as promised: 2: ") && told.contains(word), "{told}");
        }
    }

    #[test]
    fn the_worst_stands_beside_the_median() {
        let runs = [run(), Run { pause: Duration::from_millis(250), lost: 7, ..run() }, run()];
        let line = line(Side::Ours, &runs);
        assert!(
            line.contains("3 of 3") && line.contains("0 (7)") && line.contains("40 (40 – 145; 250)"),
            "{line}"
        );
        let json = json(Side::Ours, &runs);
        assert_eq!((&json["pause_ms"]["most"], &json["lost"]["median"]), (&json!(250.0), &json!(0.0)));
    }
}
