//! What `status` says of a pause. It asks nobody.

use redis_failover_core::{Pause, Topology};
use serde_json::{Value, json};

use crate::journal::Moment;

/// Who paused the group, why, since when and until when.
pub(super) fn lines(record: &Topology) -> Vec<String> {
    let Some(pause) = &record.pause else { return Vec::new() };
    let Pause { by, reason, .. } = pause;
    let (since, until) = times(pause);
    let since = since.map(|since| format!(", since {since}")).unwrap_or_default();
    let until = until.unwrap_or_else(|| "somebody resumes".to_owned());
    vec![format!("paused   by {by}{since}, until {until}: {reason}")]
}

/// What does not happen, and what to do.
pub(super) fn trouble(record: &Topology) -> Option<String> {
    let pause = record.pause.as_ref()?;
    Some(match pause.withheld {
        Some(reason) => format!(
            "the master {} is {reason} and would be replaced now, but the group is paused: redis-failover resume",
            record.master
        ),
        None => "the group is paused, so no change of master is begun: redis-failover resume".to_owned(),
    })
}

pub(super) fn json(record: &Topology) -> Option<Value> {
    let pause = record.pause.as_ref()?;
    let (since, until) = times(pause);
    Some(json!({
        "by": pause.by,
        "reason": pause.reason,
        "since": since,
        "until": until,
        "withheld": pause.withheld.map(redis_failover_core::Reason::word),
    }))
}

/// Since when and until when, where it has an end that is known.
fn times(pause: &Pause) -> (Option<String>, Option<String>) {
    let text = |millis: u64| Moment::of_unix(millis).to_string();
    let unknown_end = pause.lasts.filter(|_| pause.since.is_none()).map(|lasts| format!("{lasts:?} later"));
    (pause.since.map(text), pause.until().map(text).or(unknown_end))
}
