//! A journal's turns as JSON objects, one for each. The words of the facts are those that people read.

use redis_failover_core::Instant;
use serde_json::{Map, Value, json};

use super::text::shows_candidates;
use super::{facts, matters};
use crate::journal::{Decision, Moment, Turn};

/// The object of a turn; `None` where it is not to be shown.
pub(super) fn turn(time: Moment, now: Instant, turn: &Turn, all: bool) -> Option<Value> {
    if !all && !matters(turn) {
        return None;
    }
    let mut value = match turn {
        Turn::Begin(head, view) => json!({
            "turn": "begin",
            "monitor": head.monitor.to_string(),
            "group": head.group,
            "program": head.program,
            "started": head.started,
            "missing": head.missing,
            "facts": object(facts::facts(&view.status, view.record.as_ref())),
        }),
        Turn::Cut => json!({ "turn": "cut" }),
        Turn::Told { call, before, after, .. } => json!({
            "turn": "told",
            "what": call,
            "changed": object(facts::changes(before, after)),
        }),
        Turn::Decided(decision) => decided(now, decision),
    };
    value["time"] = time.to_string().into();
    value["now"] = now.as_millis().into();
    Some(value)
}

fn decided(now: Instant, decision: &Decision) -> Value {
    let step = |action: &redis_failover_core::Action| action.step.to_string();
    let mut value = json!({
        "turn": "decided",
        "step": decision.action.as_ref().map(step),
        "action": decision.action,
        "same": decision.differs.is_none(),
        "facts": object(facts::facts(&decision.grounds.status, decision.record.as_ref())),
        "votes": object(facts::votes(decision, now)),
        "sightings": object(facts::sightings(decision, now)),
    });
    if let Some(differs) = &decision.differs {
        let recorded = &differs.recorded;
        value["recorded"] = json!({ "step": recorded.as_ref().map(step), "action": recorded });
    }
    if shows_candidates(decision) {
        let candidate = |(node, taken, why): (_, bool, String)| {
            let node: redis_failover_core::NodeAddr = node;
            json!({ "node": node.to_string(), "taken": taken, "why": why })
        };
        value["candidates"] = facts::candidates(decision).into_iter().map(candidate).collect();
    }
    value
}

fn object(facts: Vec<(String, impl Into<Value>)>) -> Value {
    Value::Object(facts.into_iter().map(|(name, what)| (name, what.into())).collect::<Map<_, _>>())
}
