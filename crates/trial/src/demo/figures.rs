//! What came out: the table, the same as JSON, and whether it is what docs/guarantees.md promises. Pure.

use std::fmt::Write as _;
use std::time::Duration;

use serde_json::{Value, json};

use super::script::ENOUGH;
use super::view::grouped;

/// How many confirmed writes one fault may cost this writer.
///
/// The old master answers and sends the same writes to its replicas in one turn of its loop; a crash between the two
/// costs what was in that turn. A writer that waits for each reply has one write in it, and perhaps the one before.
pub(super) const LOST_AT_MOST: usize = 2;

/// What one fault cost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FaultFigures {
    /// What was done.
    pub name: &'static str,
    /// The longest time between two confirmed writes.
    pub gap: Duration,
    /// Writes that were confirmed before it, since all was well.
    pub before: usize,
    /// Writes that were confirmed after it, until all was well.
    pub after: usize,
    /// Confirmed writes that the final master does not hold.
    pub lost: usize,
    /// Writes of which the client could not know whether they were carried out.
    pub unknown: usize,
}

/// What the whole demo came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Figures {
    /// Where the monitors kept what they agreed on, in words.
    pub store: String,
    /// The faults in order.
    pub faults: Vec<FaultFigures>,
    /// All confirmed writes.
    pub acknowledged: usize,
    /// All lost ones.
    pub lost: usize,
    /// All unknown ones.
    pub unknown: usize,
    /// Reads that were answered.
    pub reads: u64,
    /// Reads that ended in an error.
    pub read_errors: u64,
    /// How long all of it took.
    pub took: Duration,
    /// The ids of all processes that were started.
    pub pids: Vec<u32>,
}

impl Figures {
    /// Whether every fault was survived and cost no more than is promised.
    pub(super) fn is_as_promised(&self) -> bool {
        let enough = |count: usize| u64::try_from(count).is_ok_and(|count| count >= ENOUGH);
        let survived =
            |fault: &FaultFigures| fault.lost <= LOST_AT_MOST && enough(fault.before) && enough(fault.after);
        self.faults.iter().all(survived) && self.lost <= LOST_AT_MOST * self.faults.len()
    }

    /// The table and what it means.
    pub(super) fn text(&self) -> String {
        let mut text = String::from("\n");
        let mut row = |cells: [&str; 5]| {
            let [what, gap, acknowledged, lost, unknown] = cells;
            writeln!(text, "{what:<32} {gap:>13} {acknowledged:>10} {lost:>5} {unknown:>8}")
                .expect("a String takes all text");
        };
        row(["what happened", "no writes for", "confirmed", "lost", "unknown"]);
        for fault in &self.faults {
            let acknowledged = grouped(fault.before + fault.after);
            let (lost, unknown) = (grouped(fault.lost), grouped(fault.unknown));
            row([fault.name, &time(fault.gap), &acknowledged, &lost, &unknown]);
        }
        let (lost, unknown) = (grouped(self.lost), grouped(self.unknown));
        row(["together", "", &grouped(self.acknowledged), &lost, &unknown]);
        let (reads, errors) = (grouped(self.reads), grouped(self.read_errors));
        let took = self.took.as_secs_f64();
        write!(text, "\n{reads} reads, {errors} errors. It took {took:.1} s.\n\n{}\n", self.meaning())
            .expect("a String takes all text");
        text
    }

    fn meaning(&self) -> String {
        let lost = match (self.lost, self.is_as_promised()) {
            (0, _) => "This time no confirmed write was lost. It can happen:".to_owned(),
            (1, true) => "One confirmed write was lost, which is within what is promised:".to_owned(),
            (lost, true) => format!("{lost} confirmed writes were lost, which is within what is promised:"),
            (lost, false) => format!("{lost} confirmed writes were lost."),
        };
        format!(
            "{lost}\n\
             Redis confirms a write before its replicas have it, so a master that dies can take\n\
             the last one or two of each writer along (docs/guarantees.md). \"Unknown\" are writes\n\
             whose answer never came: the client library says so to the application instead of\n\
             sending them twice."
        )
    }

    /// The same for programs; times in milliseconds.
    pub(super) fn json(&self) -> Value {
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let fault = |fault: &FaultFigures| {
            json!({
                "fault": fault.name,
                "gap_ms": millis(fault.gap),
                "acknowledged_before": fault.before,
                "acknowledged_after": fault.after,
                "lost": fault.lost,
                "unknown": fault.unknown,
            })
        };
        json!({
            "store": self.store,
            "as_promised": self.is_as_promised(),
            "faults": self.faults.iter().map(fault).collect::<Vec<_>>(),
            "acknowledged": self.acknowledged,
            "lost": self.lost,
            "unknown": self.unknown,
            "reads": self.reads,
            "read_errors": self.read_errors,
            "took_ms": millis(self.took),
            "pids": self.pids,
        })
    }
}

fn time(time: Duration) -> String {
    format!("{} ms", grouped(time.as_millis()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(lost: usize, after: usize) -> Figures {
        let fault = FaultFigures {
            name: "the master hangs (kill -STOP)",
            gap: Duration::from_micros(1_234_567),
            before: 1_000,
            after,
            lost,
            unknown: 1,
        };
        Figures {
            store: "in this process".into(),
            faults: vec![fault],
            acknowledged: 1_000 + after,
            lost,
            unknown: 1,
            reads: 12_345,
            read_errors: 0,
            took: Duration::from_millis(20_040),
            pids: vec![7],
        }
    }

    #[test]
    fn the_loss_of_a_turn_is_promised_and_no_more() {
        assert!(figures(0, 1_000).is_as_promised());
        assert!(figures(LOST_AT_MOST, 1_000).is_as_promised());
        assert!(!figures(LOST_AT_MOST + 1, 1_000).is_as_promised());
        assert!(!figures(0, 999).is_as_promised(), "too few writes prove nothing");
    }

    #[test]
    fn the_table_says_what_it_means() {
        let text = figures(1, 2_000).text();
        let row = "the master hangs (kill -STOP)         1,234 ms      3,000     1        1\n";
        assert!(text.contains(row), "{text}");
        assert!(text.contains("12,345 reads, 0 errors. It took 20.0 s."), "{text}");
        assert!(text.contains("One confirmed write was lost, which is within what is promised"), "{text}");
        assert!(figures(0, 2_000).text().contains("It can happen"));
        assert!(text.lines().all(|line| line.chars().count() <= 85), "{text}");
    }
}
