//! A group as a page that people read. It finds nothing out.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::{SystemTime, UNIX_EPOCH};

use redis_failover_core::{MonitorId, Wait};

use super::pausing;
use super::state::State;
use super::view::{Absence, MonitorView, NodeView, View};
use crate::cli::layout::{Cell, Colour, Paint, cell, table, wrapped};
use crate::journal::Moment;

/// How wide a line of words is.
const WIDTH: usize = 90;

const GROWS: &str = "a string takes everything";

/// The page of a group.
pub(super) fn group(view: &View, paint: Paint) -> String {
    let mut page = String::new();
    head(&mut page, view, paint);
    let nodes = view.nodes.iter().map(|node| node_row(node, view.alive));
    lines(&mut page, table(["node", "role", "is", "lag", "votes"], nodes, paint));
    for node in &view.nodes {
        for (label, state, text) in about(node, view.now) {
            let (addr, state) = (&node.addr, paint.text(colour(state), state.word()));
            writeln!(page, "{label:<8} {addr} is {state}: {text}").expect(GROWS);
        }
    }
    page.push('\n');
    let monitors = view.monitors.iter().map(monitor_row);
    lines(&mut page, table(["monitor", "is", "listens", "version"], monitors, paint));
    let (quorum, registered, alive) = (view.quorum, view.monitors.len(), view.alive);
    writeln!(page, "\nquorum   {quorum} of {registered} registered monitors, {alive} alive").expect(GROWS);
    if view.troubles.is_empty() {
        writeln!(page, "trouble  {}", paint.text(Some(Colour::Good), "none")).expect(GROWS);
    }
    for trouble in &view.troubles {
        let name = paint.text(Some(Colour::Bad), trouble.state.word());
        writeln!(page, "\ntrouble  {name}").expect(GROWS);
        paragraph(&mut page, "found", &wrapped(&trouble.found, WIDTH));
        // Never broken: it is there to be copied.
        paragraph(&mut page, "do", &trouble.fix);
    }
    page
}

/// The page of a look that showed no group.
pub(super) fn absence(absence: &Absence, paint: Paint) -> String {
    let Absence { state, failure } = absence;
    let name = paint.text(Some(Colour::Bad), state.word());
    let mut page = format!("trouble  {name}\n");
    paragraph(&mut page, "found", &wrapped(&failure.message, WIDTH));
    if let Some(hint) = &failure.hint {
        paragraph(&mut page, "do", std::slice::from_ref(hint));
    }
    page
}

/// The same, and below it the last page of the group, where it is only ZooKeeper that is away.
pub(super) fn last(absence: &Absence, last: Option<&View>, paint: Paint) -> String {
    let mut page = self::absence(absence, paint);
    if let Some(view) = last.filter(|_| absence.state == State::NoZooKeeper) {
        let since = Moment::from(view.now);
        writeln!(page, "\nSince {since} the record is not read. It said then:\n").expect(GROWS);
        page.push_str(&group(view, paint));
    }
    page
}

/// How a state stands out.
pub(in crate::cli) fn colour(state: State) -> Option<Colour> {
    match state {
        State::Ok | State::Up | State::Leader | State::Steady => Some(Colour::Good),
        State::Ko | State::Gone | State::Refused | State::Silent | State::Unusable | State::Held => {
            Some(Colour::Bad)
        }
        State::FailingOver | State::Unknown | State::Due => Some(Colour::Odd),
        _ => None,
    }
}

/// A state as a cell.
fn shown(state: State) -> Cell {
    (state.word().to_owned(), colour(state))
}

fn head(page: &mut String, view: &View, paint: Paint) {
    let phase = paint.text(colour(view.phase), view.phase.word());
    writeln!(page, "group    {}\nepoch    {}\nphase    {phase}", view.path, view.epoch).expect(GROWS);
    if let Some(change) = &view.change {
        writeln!(page, "change   {change}").expect(GROWS);
    }
    if let Some(pause) = &view.pause {
        writeln!(page, "paused   {}", pausing::line(pause)).expect(GROWS);
    }
    page.push_str("from     the record in ZooKeeper\n\n");
}

fn lines(page: &mut String, lines: Vec<String>) {
    for line in lines {
        writeln!(page, "{line}").expect(GROWS);
    }
}

fn paragraph(page: &mut String, label: &str, lines: &[String]) {
    for (index, line) in lines.iter().enumerate() {
        let label = if index == 0 { label } else { "" };
        writeln!(page, "  {label:<6} {line}").expect(GROWS);
    }
}

fn node_row(node: &NodeView, alive: usize) -> [Cell; 5] {
    let lag = cell(node.lag.map_or_else(|| "-".to_owned(), |bytes| format!("{bytes} B")));
    [cell(node.addr.to_string()), shown(node.role), shown(node.is), lag, votes(&node.votes, alive)]
}

/// Who says what, those who say the same together. It stands out where somebody says otherwise than `up`.
pub(in crate::cli) fn votes(votes: &BTreeMap<MonitorId, State>, alive: usize) -> Cell {
    let mut said: BTreeMap<State, Vec<String>> = BTreeMap::new();
    for (id, vote) in votes {
        said.entry(*vote).or_default().push(id.to_string());
    }
    let of = |(vote, ids): (&State, &Vec<String>)| {
        let all = ids.len() == votes.len() && ids.len() > 1 && ids.len() >= alive;
        let who = if all { format!("all {}", ids.len()) } else { ids.join(", ") };
        format!("{vote} ({who})")
    };
    let text: Vec<_> = said.iter().map(of).collect();
    let worst = said.keys().find(|vote| **vote != State::Up).copied();
    (if text.is_empty() { "-".to_owned() } else { text.join(", ") }, worst.and_then(colour))
}

/// What else is known of a node: what about it, the state, and that in words.
pub(in crate::cli) fn about(node: &NodeView, now: SystemTime) -> Vec<(&'static str, State, String)> {
    let notes = node.notes.iter().map(|(state, text)| ("note", *state, text.clone()));
    let diverged = node.diverged.iter().map(|(state, it)| ("diverged", *state, it.to_string()));
    let waits = node.waits.iter();
    let waits = waits.map(|(state, it)| ("waits", *state, format!("{}{}", it.why, holding(it, now))));
    notes.chain(diverged).chain(waits).collect()
}

/// What a node that may not take over holds.
fn holding(wait: &Wait, now: SystemTime) -> String {
    let now = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let keys = wait.keys.map(|keys| format!("{keys} keys"));
    let saved = wait.saved.map(|saved| format!("saved {} s ago", now.saturating_sub(saved)));
    let all: Vec<_> = keys.into_iter().chain(saved).collect();
    if all.is_empty() { String::new() } else { format!(" ({})", all.join(", ")) }
}

fn monitor_row(monitor: &MonitorView) -> [Cell; 4] {
    let or_none = |text: &Option<String>| cell(text.clone().unwrap_or_else(|| "-".to_owned()));
    [cell(monitor.id.to_string()), shown(monitor.is), or_none(&monitor.listens), or_none(&monitor.version)]
}
