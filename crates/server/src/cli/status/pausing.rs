//! What `status` says of a pause. It asks nobody.

use redis_failover_core::{Pause, Topology};
use serde_json::{Value, json};

use super::state::State;
use super::trouble::Trouble;
use crate::cli::place::Place;
use crate::journal::Moment;

/// Who paused the group, why, since when and until when.
pub(in crate::cli) fn line(pause: &Pause) -> String {
    let Pause { by, reason, .. } = pause;
    let (since, until) = times(pause);
    let since = since.map(|since| format!(", since {since}")).unwrap_or_default();
    let until = until.unwrap_or_else(|| "somebody resumes".to_owned());
    format!("by {by}{since}, until {until}: {reason}")
}

/// What does not happen, and what to do.
pub(super) fn trouble(place: &Place, record: &Topology) -> Option<Trouble> {
    let pause = record.pause.as_ref()?;
    let (state, found) = match pause.withheld {
        Some(reason) => {
            let master = &record.master;
            let found =
                format!("the master {master} is {reason} and would be replaced now, but the group is paused");
            (State::Withheld, found)
        }
        None => (State::Paused, "the group is paused, so no change of master is begun".to_owned()),
    };
    Some(Trouble::new(state, found).fix(place.command("resume", &[])).then("redis-failover resume"))
}

pub(super) fn json(pause: &Pause) -> Value {
    let (since, until) = times(pause);
    json!({
        "by": pause.by,
        "reason": pause.reason,
        "since": since,
        "until": until,
        "withheld": pause.withheld.map(redis_failover_core::Reason::word),
    })
}

/// Since when and until when, where it has an end that is known.
fn times(pause: &Pause) -> (Option<String>, Option<String>) {
    let text = |millis: u64| Moment::of_unix(millis).to_string();
    let unknown_end = pause.lasts.filter(|_| pause.since.is_none()).map(|lasts| format!("{lasts:?} later"));
    (pause.since.map(text), pause.until().map(text).or(unknown_end))
}
