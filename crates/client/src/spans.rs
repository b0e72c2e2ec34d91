//! The spans of commands: which command, how long it waited for a node, which nodes it was sent to. Never what stands
//! in it: neither keys nor values, which may be secrets.
//!
//! All have the target `redis_failover::command` and the level DEBUG. Where nobody listens to that, a command pays one
//! look at an atomic for it.

use redis_failover_core::NodeAddr;
use tracing::{Level, Span, debug_span, enabled};

use crate::outcome::{Outcome, outcome};
use crate::work::Work;

const TARGET: &str = "redis_failover::command";

/// The longest name of a command that is shown.
const LONGEST: usize = 32;

/// Whether somebody listens.
pub(crate) fn are_seen() -> bool {
    enabled!(target: TARGET, Level::DEBUG)
}

/// The span of the whole command, with the names of OpenTelemetry's conventions.
pub(crate) fn command(work: Work<'_>) -> Span {
    let name = String::from_utf8_lossy(work.name()).to_ascii_uppercase();
    let name: String = name.chars().take(LONGEST).collect();
    let batch = match work {
        Work::Command(_) => None,
        Work::Pipeline(pipeline, ..) => Some(pipeline.len()),
    };
    debug_span!(
        target: TARGET,
        "command",
        otel.kind = "client",
        db.system.name = "redis",
        db.operation.name = name,
        db.operation.batch.size = batch,
        outcome = tracing::field::Empty,
    )
}

/// Writes down how it ended, where that was in an error of ours.
pub(crate) fn ended<T>(span: &Span, reply: &redis::RedisResult<T>) {
    match reply.as_ref().err().map(outcome) {
        None | Some(Outcome::Executed) => {}
        Some(outcome) => drop(span.record("outcome", tracing::field::display(outcome))),
    }
}

/// The time that a command waits for a node.
pub(crate) fn wait() -> Span {
    debug_span!(target: TARGET, "wait")
}

/// One sending of it, to the reply.
pub(crate) fn attempt(node: &NodeAddr) -> Span {
    debug_span!(target: TARGET, "attempt", server.address = node.host(), server.port = node.port())
}
