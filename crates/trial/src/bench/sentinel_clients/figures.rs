//! The table of `bench sentinel-clients`, the same as JSON, and what is promised. Pure.

use std::time::Duration;

use serde_json::{Value, json};

use super::play::Seen;
use super::{Change, Side};
use crate::bench::statistics::{Spread, spread};
use crate::failure::Failure;

/// What the columns mean.
const NOTES: &str = "
no writes: the longest time without a confirmed write of a client that writes every 5 ms and 50 ms after an error;
the median and, in parentheses, the quartiles and the worst. errors: failed writes; lost: confirmed, and not on the
new master; of both the median and, in parentheses, the most. switchover: SENTINEL FAILOVER to one of the three.
kill: the master is killed, and stays away; after 1 s of silence it is down on both sides, and our monitors need not
wait for that where connections are refused.";

/// All that one side's clients met.
pub(super) type Figures = (Side, Vec<Seen>);

/// The table.
pub(super) fn table(sides: &[Figures], runs: u32) -> String {
    let names: Vec<_> = sides.iter().map(|(side, _)| format!("{:<49}", side.name())).collect();
    let head = format!("{:<36}{}", "", names.join("   "));
    let column = format!("   {:<27} {:<10} {:<10}", "no writes, ms", "errors", "lost");
    let columns = format!("{:<11} {:<21}{}", "change", "client", column.repeat(sides.len()));
    let mut lines = vec![
        format!("{runs} runs for each line\n"),
        head.trim_end().to_owned(),
        columns.trim_end().to_owned(),
    ];
    for change in Change::ALL {
        for title in titles(sides) {
            let cells = sides.iter().map(|(_, seen)| cell(&of(seen, change, title)));
            let cells: String = cells.collect();
            lines.push(format!("{:<11} {title:<21}{cells}", change.name()).trim_end().to_owned());
        }
    }
    lines.join("\n") + NOTES
}

fn cell(seen: &[&Seen]) -> String {
    let pauses = column(seen, |it| millis(it.pause));
    let Spread { lower, median, upper } = spread(&pauses);
    let pause = format!("{median:.0} ({lower:.0} – {upper:.0}; {:.0})", most(&pauses));
    let few = |figure: fn(&Seen) -> usize| {
        let values = column(seen, |it| count(figure(it)));
        format!("{:.0} ({:.0})", spread(&values).median, most(&values))
    };
    format!("   {pause:<27} {:<10} {:<10}", few(|it| it.errors), few(|it| it.lost))
}

/// The same for programs, with each run.
pub(super) fn json(sides: &[Figures]) -> Vec<Value> {
    let line = |side: Side, seen: &[&Seen], change: Change, title: &str| {
        let figure = |figure: &dyn Fn(&Seen) -> f64| {
            let values = column(seen, figure);
            let Spread { lower, median, upper } = spread(&values);
            json!({ "median": median, "quartiles": [lower, upper], "most": most(&values), "runs": values })
        };
        json!({
            "who_answers": side.name(),
            "change": change.name(),
            "client": title,
            "no_writes_ms": figure(&|it| millis(it.pause)),
            "errors": figure(&|it| count(it.errors)),
            "read_errors": figure(&|it| count(it.read_errors)),
            "reads_of_replicas": figure(&|it| count(it.of_replicas)),
            "reads_of_master": figure(&|it| count(it.of_master)),
            "lost": figure(&|it| count(it.lost)),
            "lost_after": figure(&|it| count(it.lost_after)),
            "told": seen.iter().filter_map(|it| it.error.as_deref()).collect::<Vec<_>>(),
        })
    };
    let mut lines = Vec::new();
    for change in Change::ALL {
        for title in titles(sides) {
            lines.extend(
                sides.iter().map(|(side, seen)| line(*side, &of(seen, change, title), change, title)),
            );
        }
    }
    lines
}

/// # Errors
/// When a client of ours lost what must not be lost: anything in a switchover, or what the new master confirmed.
pub(super) fn as_promised<'a>(ours: impl IntoIterator<Item = &'a Seen>) -> Result<(), Failure> {
    let is_broken = |it: &&Seen| it.lost_after > 0 || (it.change == Change::Switchover && it.lost > 0);
    match ours.into_iter().find(is_broken) {
        Some(Seen { change, title, lost, lost_after, .. }) => Err(Failure::new(format!(
            "not as promised: {}, {title}: {lost} confirmed writes are lost, {lost_after} of them of the new master",
            change.name()
        ))),
        None => Ok(()),
    }
}

/// The clients, each once.
fn titles(sides: &[Figures]) -> Vec<&str> {
    let mut titles: Vec<&str> = Vec::new();
    for seen in sides.iter().flat_map(|(_, seen)| seen) {
        if !titles.contains(&seen.title.as_str()) {
            titles.push(&seen.title);
        }
    }
    titles
}

fn of<'a>(seen: &'a [Seen], change: Change, title: &str) -> Vec<&'a Seen> {
    seen.iter().filter(|it| it.change == change && it.title == title).collect()
}

fn column(seen: &[&Seen], figure: impl Fn(&Seen) -> f64) -> Vec<f64> {
    seen.iter().map(|it| figure(it)).collect()
}

fn most(values: &[f64]) -> f64 {
    values.iter().copied().fold(0.0, f64::max)
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn count(number: usize) -> f64 {
    u32::try_from(number).map_or(f64::MAX, f64::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(change: Change, millis: u64) -> Seen {
        Seen {
            change,
            client: "redis-py".to_owned(),
            title: "redis-py 1.2".to_owned(),
            pause: Duration::from_millis(millis),
            errors: 1,
            error: Some("gone".to_owned()),
            read_errors: 0,
            of_replicas: 5,
            of_master: 0,
            lost: 0,
            lost_after: 0,
        }
    }

    #[test]
    fn the_sides_stand_beside_each_other() {
        let both = |first, second| vec![seen(Change::Switchover, first), seen(Change::Kill, second)];
        let mut sides = vec![(Side::Ours, both(40, 1_200)), (Side::Sentinel, both(900, 2_400))];
        sides[0].1.push(seen(Change::Kill, 1_400));
        let table = table(&sides, 2);
        let lines: Vec<_> = table.lines().collect();
        assert!(lines[2].contains("redis-failover") && lines[2].contains("Redis Sentinel"), "{table}");
        let kill = lines.iter().find(|line| line.starts_with("kill ")).unwrap();
        assert!(
            kill.contains("1300 (1250 – 1350; 1400)") && kill.contains("2400 (2400 – 2400; 2400)"),
            "{table}"
        );
        let json = json(&sides);
        assert_eq!(json.len(), 4, "{json:#?}");
        assert_eq!(
            (&json[3]["change"], &json[3]["no_writes_ms"]["median"]),
            (&json!("kill"), &json!(2_400.0))
        );
    }

    #[test]
    fn what_is_lost_where_nothing_may_be_is_a_failure() {
        let lost = |change, lost, lost_after| Seen { lost, lost_after, ..seen(change, 40) };
        assert_eq!(as_promised(&[lost(Change::Switchover, 0, 0), lost(Change::Kill, 2, 0)]), Ok(()));
        for bad in [lost(Change::Switchover, 1, 0), lost(Change::Kill, 3, 1)] {
            let told = as_promised(&[bad]).unwrap_err().to_string();
            assert!(told.contains("not as promised") && told.contains("redis-py 1.2"), "{told}");
        }
    }
}
