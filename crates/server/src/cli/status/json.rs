//! A group for programs: one JSON object. Its keys are kept, for scripts read them.

use std::time::SystemTime;

use redis_failover_core::{Divergence, Keeping, Wait};
use serde_json::{Map, Value, json};

use super::pausing;
use super::state::State;
use super::trouble::Trouble;
use super::view::{Absence, ChangeView, MonitorView, NodeView, View};
use crate::journal::Moment;

/// The group.
pub(super) fn group(view: &View) -> Value {
    let leader = view
        .leader
        .as_ref()
        .map(|leader| json!({ "id": leader.monitor, "address": leader.address, "term": leader.term.0 }));
    json!({
        "group": view.path,
        "epoch": view.epoch,
        "phase": view.phase.word(),
        "change": view.change.as_ref().map(change),
        "master": view.master.to_string(),
        "pause": view.pause.as_ref().map(pausing::json),
        "nodes": view.nodes.iter().map(node).collect::<Vec<_>>(),
        "monitors": view.monitors.iter().map(monitor).collect::<Vec<_>>(),
        "leader": leader,
        "quorum": view.quorum,
        "troubles": view.troubles.iter().map(Trouble::line).collect::<Vec<_>>(),
        "states": view.troubles.iter().map(|trouble| trouble.state.word()).collect::<Vec<_>>(),
        "fixes": view.troubles.iter().map(|trouble| &trouble.fix).collect::<Vec<_>>(),
        "version": view.order,
        "source": "record",
    })
}

/// A look at the group at `path` that showed none.
pub(super) fn absence(path: &str, absence: &Absence) -> Value {
    let Absence { state, failure } = absence;
    json!({
        "group": path,
        "troubles": [failure.message],
        "states": [state.word()],
        "hint": failure.hint,
    })
}

/// The same with when it was looked.
pub(super) fn timed(mut value: Value, now: SystemTime) -> Value {
    value["time"] = Moment::from(now).to_string().into();
    value
}

fn node(node: &NodeView) -> Value {
    let votes = node.votes.iter().map(|(id, vote)| (id.to_string(), Value::from(vote.word())));
    let notes: Vec<_> = node.notes.iter().map(|(state, _)| state.word()).collect();
    json!({
        "node": node.addr.to_string(),
        "role": node.role.word(),
        "ok": node.is == State::Ok,
        "lag": node.lag,
        "votes": votes.collect::<Map<_, _>>(),
        "notes": notes,
        "diverged": node.diverged.as_ref().map(diverged),
        "waits": node.waits.as_ref().map(waits),
    })
}

/// What a node alone holds.
fn diverged((is, divergence): &(State, Divergence)) -> Value {
    let (file, why) = match &divergence.keeping {
        Keeping::Discarded => (None, None),
        Keeping::Due { file } | Keeping::Saved { file } => (Some(file), None),
        Keeping::Held { file, why } => (Some(file), Some(why)),
    };
    let left = divergence.left.map(|epoch| epoch.0);
    json!({ "left": left, "bytes": divergence.bytes, "is": is.word(), "file": file, "why": why })
}

fn waits((state, wait): &(State, Wait)) -> Value {
    json!({ "why": wait.why, "state": state.word(), "keys": wait.keys, "saved": wait.saved })
}

fn monitor(monitor: &MonitorView) -> Value {
    json!({
        "id": monitor.id.to_string(),
        "live": monitor.live,
        "is": monitor.is.word(),
        "listens": monitor.listens,
        "version": monitor.version,
    })
}

fn change(change: &ChangeView) -> Value {
    let ChangeView { old, reason, new } = change;
    json!({ "from": old.to_string(), "why": reason.word(), "to": new.to_string(), "text": change.to_string() })
}
