//! A journal's turns as lines for people. It chooses no words for what a decider thinks: those are the facts.

use std::fmt::Write as _;

use redis_failover_core::{Action, Instant, Purpose, Step};

use super::{facts, matters};
use crate::journal::{Decision, Head, Moment, Turn};

const GROWS: &str = "a string takes everything";

/// The lines of a turn, with their ends; `None` where it is not to be shown.
pub(super) fn turn(time: Moment, now: Instant, turn: &Turn, all: bool) -> Option<String> {
    if !all && !matters(turn) {
        return None;
    }
    let mut text = format!("{time} ");
    match turn {
        Turn::Begin(head, view) => {
            text += &begin(head);
            for (name, what) in facts::facts(&view.status, view.record.as_ref()) {
                fact(&mut text, &name, &what);
            }
        }
        Turn::Cut => text += "-- a line is cut off, as after a crash\n",
        Turn::Told { call, before, after, .. } => {
            writeln!(text, "{call}").expect(GROWS);
            for (name, what) in facts::changes(before, after) {
                fact(&mut text, &name, what.as_deref().unwrap_or("no more"));
            }
        }
        Turn::Decided(decision) => decided(&mut text, now, decision),
    }
    Some(text)
}

fn begin(head: &Head) -> String {
    let gap = match head.missing {
        0 => String::new(),
        missing => format!("-- a gap: {missing} entries could not be written; "),
    };
    let does = if head.started { "starts" } else { "goes on" };
    format!("{gap}monitor {} of {} {does}, redis-failover {}\n", head.monitor, head.group, head.program)
}

fn fact(text: &mut String, name: &str, what: &str) {
    writeln!(text, "    {name}: {what}").expect(GROWS);
}

fn decided(text: &mut String, now: Instant, decision: &Decision) {
    let step = |action: &Option<Action>| {
        action.as_ref().map_or_else(|| "nothing".to_owned(), |action| action.step.to_string())
    };
    writeln!(text, "=> {}", step(&decision.action)).expect(GROWS);
    if let Some(differs) = &decision.differs {
        let same = step(&decision.action) == step(&differs.recorded);
        writeln!(text, "!! the journal says: {}", step(&differs.recorded)).expect(GROWS);
        if same {
            // The words are those of people; the whole of both tells them apart.
            writeln!(text, "!! decided now: {:?}", decision.action).expect(GROWS);
            writeln!(text, "!! the journal: {:?}", differs.recorded).expect(GROWS);
        }
    }
    for (name, what) in facts::facts(&decision.grounds.status, decision.record.as_ref()) {
        fact(text, &name, &what);
    }
    for (monitor, vote) in facts::votes(decision, now) {
        fact(text, &format!("{monitor} on the master"), &vote);
    }
    for (node, seen) in facts::sightings(decision, now) {
        fact(text, &format!("seen of {node}"), &seen);
    }
    if shows_candidates(decision) {
        for (node, _, why) in facts::candidates(decision) {
            fact(text, &format!("candidate {node}"), &why);
        }
    }
}

/// Whether it is about who takes over: an epoch is opened, or was.
pub(super) fn shows_candidates(decision: &Decision) -> bool {
    let recorded = decision.differs.as_ref().and_then(|differs| differs.recorded.as_ref());
    let opens = |action: &Action| matches!(action.step, Step::Commit { purpose: Purpose::OpenEpoch, .. });
    decision.action.iter().chain(recorded).any(opens)
}
