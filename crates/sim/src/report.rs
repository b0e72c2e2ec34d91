//! What was played, as tables for people and as JSON. It plays nothing.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use serde_json::{Value, json};

use crate::Outcome;
use crate::bugs::Bug;
use crate::check::{INVARIANTS, Violation};
use crate::queue::S;

/// Where a planted bug was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// By what; all is well there without the bug.
    pub by: By,
    /// What it broke.
    pub violation: Violation,
}

/// What finds a planted bug.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// This seed.
    Seed(u64),
    /// A script of this name.
    Script(&'static str),
}

/// The columns of what a restart costs.
const BACK: &str = "recorded masters back with less";
const FOLLOWED: &str = "of these followed by a replica";

/// Many seeds together.
#[derive(Clone, Debug)]
pub struct Total {
    seeds: u64,
    took: Duration,
    simulated: u64,
    events: u64,
    digest: u64,
    columns: Vec<(&'static str, Vec<u64>)>,
    /// Seeds that broke something.
    pub violations: BTreeMap<u64, Violation>,
}

impl Total {
    /// Adds them up; in the order of their seeds, so that the digest is the same each time.
    pub fn of<'a>(outcomes: impl Iterator<Item = &'a Outcome>, took: Duration) -> Self {
        let (columns, violations) = Default::default();
        let mut total = Self { seeds: 0, took, simulated: 0, events: 0, digest: 0, columns, violations };
        for outcome in outcomes {
            total.seeds += 1;
            total.simulated += outcome.lasted;
            total.events += outcome.events;
            total.digest = total.digest.rotate_left(5) ^ outcome.digest;
            if let Some(violation) = &outcome.violation {
                total.violations.insert(outcome.seed, violation.clone());
            }
            let counts = &outcome.counts;
            let row = [
                ("faults", counts.faults),
                ("changes of master", counts.changes),
                ("commits", counts.commits),
                ("switchovers asked for", counts.switchovers.asked),
                ("of these done", counts.switchovers.done),
                ("of these refused", counts.switchovers.refused),
                ("epochs of switchovers", counts.switchovers.epochs),
                ("asked for while all is well", counts.switchovers.alone),
                ("other orders done", counts.orders.0),
                ("other orders refused", counts.orders.1),
                ("epochs of forced failovers", counts.orders.2),
                ("leaders whose locks were removed", counts.deposed),
                ("monitors that left the group", counts.left.0),
                ("of these the last", counts.left.1),
                ("who said what is left", counts.left.2),
                ("writes acknowledged by the published master", counts.acknowledged),
                ("of these lost", counts.lost),
                ("acknowledged by another", counts.elsewhere),
                ("of unknown outcome", counts.unknown),
                ("confirmed by a replica", counts.confirmed.0),
                ("of these lost", counts.confirmed.1),
                ("copies that wiped acknowledged writes", counts.wiped),
                (BACK, counts.forgot.0),
                (FOLLOWED, counts.forgot.1),
                ("reads", counts.reads),
                ("waiting for an operator at the end", counts.waits),
                ("all well after the last fault, ms", counts.calm_after / 1_000),
            ];
            total.columns.resize(row.len(), ("", Vec::new()));
            for (column, (name, value)) in total.columns.iter_mut().zip(row) {
                column.0 = name;
                column.1.push(value);
            }
        }
        total.columns.iter_mut().for_each(|(_, values)| values.sort_unstable());
        total
    }

    /// For people.
    pub fn table(&self) -> String {
        let (seconds, hours) = (self.took.as_secs_f64(), self.simulated / S / 3_600);
        let mut text = format!(
            "{} seeds in {seconds:.1} s: {hours} h {} min of worlds, {} events, digest {:016x}\n\n",
            self.seeds,
            self.simulated / S / 60 % 60,
            self.events,
            self.digest
        );
        let _ = writeln!(
            text,
            "{:<46}{:>9}{:>9}{:>9}{:>9}{:>12}",
            "in one seed", "least", "median", "9 of 10", "most", "all"
        );
        for (name, values) in &self.columns {
            let at = |part: usize| values.get((values.len() * part / 10).min(values.len().saturating_sub(1)));
            let [least, median, most_of, most] = [0, 5, 9, 10].map(|part| at(part).copied().unwrap_or(0));
            let all: u64 = values.iter().sum();
            let _ = writeln!(text, "{name:<46}{least:>9}{median:>9}{most_of:>9}{most:>9}{all:>12}");
        }
        let _ = writeln!(text, "\n{}", self.odds());
        let _ = writeln!(text, "\n{:<46}{:>9}", "invariant", "broken");
        for invariant in INVARIANTS {
            let broken = self.violations.values().filter(|it| it.invariant == invariant.name).count();
            let _ = writeln!(text, "{:<46}{broken:>9}", invariant.name);
        }
        for (seed, violation) in self.violations.iter().take(20) {
            let _ = write!(
                text,
                "\nseed {seed} breaks {} at {} ms:\n  {}",
                violation.invariant,
                violation.at / 1_000,
                violation.detail
            );
        }
        text
    }

    /// How often a master that was back with less was followed all the same: best effort, so it is counted.
    fn odds(&self) -> String {
        let all = |wanted: &str| {
            let column = self.columns.iter().find(|(name, _)| *name == wanted);
            column.map_or(0, |(_, values)| values.iter().sum::<u64>())
        };
        let (back, followed) = (all(BACK), all(FOLLOWED));
        let percent = followed * 100 / back.max(1);
        format!(
            "of {back} recorded masters that were back with less, {followed} filled a replica ({percent} %)"
        )
    }

    /// For programs.
    pub fn json(&self) -> Value {
        let columns: Vec<_> = self
            .columns
            .iter()
            .map(|(name, values)| {
                let at =
                    |part: usize| values.get((values.len() * part / 10).min(values.len().saturating_sub(1)));
                json!({ "name": name, "least": at(0), "median": at(5), "nine_of_ten": at(9), "most": at(10),
                    "all": values.iter().sum::<u64>() })
            })
            .collect();
        let violations: Vec<_> = self
            .violations
            .iter()
            .map(|(seed, it)| json!({ "seed": seed, "invariant": it.invariant, "detail": it.detail }))
            .collect();
        json!({ "seeds": self.seeds, "seconds": self.took.as_secs_f64(), "simulated_seconds": self.simulated / S,
            "events": self.events, "digest": format!("{:016x}", self.digest), "in_one_seed": columns,
            "violations": violations })
    }
}

/// One seed, for people.
pub fn one(outcome: &Outcome) -> String {
    let broken = outcome.violation.as_ref().map_or_else(
        || "nothing broke".to_owned(),
        |it| format!("{} broke at {} ms: {}", it.invariant, it.at / 1_000, it.detail),
    );
    format!(
        "seed {}, digest {:016x}, {} s of a world, {} events: {broken}\n{:?}",
        outcome.seed,
        outcome.digest,
        outcome.lasted / S,
        outcome.events,
        outcome.counts
    )
}

/// One seed, for programs.
pub fn json(outcome: &Outcome) -> Value {
    let violation = outcome.violation.as_ref();
    json!({ "seed": outcome.seed, "digest": format!("{:016x}", outcome.digest), "events": outcome.events,
        "simulated_ms": outcome.lasted / 1_000,
        "violation": violation.map(|it| json!({ "invariant": it.invariant, "detail": it.detail })) })
}

/// The planted bugs, as the table of docs/testing.md.
pub fn bugs(found: &BTreeMap<Bug, Option<Found>>) -> String {
    let mut text =
        "| bug | what it does | invariant that breaks | found by |\n|---|---|---|---|\n".to_owned();
    for (bug, found) in found {
        let by = match found.as_ref().map(|found| found.by) {
            Some(By::Seed(seed)) => format!("seed {seed}"),
            Some(By::Script(name)) => format!("script `{name}`"),
            None => "nothing".to_owned(),
        };
        let _ = writeln!(text, "| `{}` | {} | `{}` | {by} |", bug.word(), bug.what(), bug.invariant());
    }
    text
}

/// The same, for programs.
pub fn bugs_json(found: &BTreeMap<Bug, Option<Found>>) -> Value {
    let rows = found.iter().map(|(bug, found)| {
        let (seed, script) = match found.as_ref().map(|found| found.by) {
            Some(By::Seed(seed)) => (Some(seed), None),
            Some(By::Script(name)) => (None, Some(name)),
            None => (None, None),
        };
        json!({ "bug": bug.word(), "invariant": bug.invariant(), "seed": seed, "script": script })
    });
    Value::Array(rows.collect())
}
