//! The findings as they are printed, for people and for programs. It judges nothing.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::facts::Facts;
use super::finding::{Finding, Severity};
use crate::cli::layout::wrapped;

/// How wide a line is.
const WIDTH: usize = 100;

/// The findings for people, the heaviest first.
pub(super) fn as_text(facts: &Facts, findings: &[Finding]) -> String {
    let mut page = format!(
        "group    {}\nmaster   {}, epoch {}\nlooked   at {} of {} nodes, {} of {} monitors are alive\nfound    {}\n",
        facts.place.path(),
        facts.record.master,
        facts.record.epoch,
        facts.nodes.values().filter(|node| node.is_ok()).count(),
        facts.nodes.len(),
        facts.record.monitors.iter().filter(|id| facts.alive.contains_key(id)).count(),
        facts.record.monitors.len(),
        tally(findings)
    );
    for finding in findings {
        write!(page, "\n{:<8} {}\n", finding.severity.word(), finding.name.word()).expect(STRING);
        let mut paragraph = |label: &str, text: &str, hangs: bool| {
            let lines = if hangs { wrapped(text, WIDTH) } else { vec![text.to_owned()] };
            for (index, line) in lines.iter().enumerate() {
                let label = if index == 0 { label } else { "" };
                writeln!(page, "  {label:<6} {line}").expect(STRING);
            }
        };
        for (index, found) in finding.found.iter().enumerate() {
            paragraph(if index == 0 { "found" } else { "" }, found, true);
        }
        paragraph("why", &finding.why, true);
        // Never broken: it is there to be copied.
        for (index, fix) in finding.fix.iter().enumerate() {
            paragraph(if index == 0 { "do" } else { "" }, fix, false);
        }
    }
    page
}

const STRING: &str = "a string takes everything";

fn tally(findings: &[Finding]) -> String {
    let count = |severity: Severity| findings.iter().filter(|it| it.severity == severity).count();
    let all = [Severity::Error, Severity::Warning, Severity::Note].map(|severity| {
        let (count, word) = (count(severity), severity.word());
        if count == 1 { format!("1 {word}") } else { format!("{count} {word}s") }
    });
    all.join(", ")
}

/// The findings for programs.
pub(super) fn as_json(facts: &Facts, findings: &[Finding]) -> Value {
    let findings: Vec<_> = findings
        .iter()
        .map(|finding| {
            json!({
                "name": finding.name.word(),
                "severity": finding.severity.word(),
                "found": finding.found,
                "why": finding.why,
                "do": finding.fix,
            })
        })
        .collect();
    json!({
        "group": facts.place.path(),
        "epoch": facts.record.epoch.0,
        "master": facts.record.master.to_string(),
        "findings": findings,
    })
}
