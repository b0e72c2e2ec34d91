//! A pause in the state, and what it kept from being done in the history. It measures nothing.

use std::time::Duration;

use redis_failover_core::{Epoch, Pause, Reason, Withheld};
use serde::{Deserialize, Serialize};

use super::FORMAT;
use super::state::{millis, parsed};

/// The kind of what is told of a master that was not replaced.
pub(super) const WITHHELD: &str = "withheld";

#[derive(Serialize, Deserialize)]
pub(super) struct PauseV1 {
    by: String,
    reason: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    lasts_ms: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    since_ms: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    withheld: Option<String>,
}

#[derive(Serialize, Deserialize)]
pub(super) struct WithheldV1 {
    format: u64,
    kind: String,
    epoch: u64,
    master: String,
    reason: String,
    by: String,
    why: String,
    leader: String,
}

impl PauseV1 {
    pub(super) fn of(pause: &Pause) -> Self {
        Self {
            by: pause.by.clone(),
            reason: pause.reason.clone(),
            lasts_ms: pause.lasts.map(millis),
            since_ms: pause.since,
            withheld: pause.withheld.map(|reason| reason.word().to_owned()),
        }
    }

    pub(super) fn read(self) -> Pause {
        Pause {
            by: self.by,
            reason: self.reason,
            lasts: self.lasts_ms.map(Duration::from_millis),
            since: self.since_ms,
            withheld: self.withheld.as_deref().map(Reason::from_word),
        }
    }
}

impl WithheldV1 {
    pub(super) fn of(told: &Withheld) -> Self {
        Self {
            format: FORMAT,
            kind: WITHHELD.to_owned(),
            epoch: told.epoch.0,
            master: told.master.to_string(),
            reason: told.reason.word().to_owned(),
            by: told.by.clone(),
            why: told.why.clone(),
            leader: told.leader.to_string(),
        }
    }

    pub(super) fn read(self) -> Result<Withheld, String> {
        Ok(Withheld {
            epoch: Epoch(self.epoch),
            master: parsed(&self.master)?,
            reason: Reason::from_word(&self.reason),
            by: self.by,
            why: self.why,
            leader: parsed(&self.leader)?,
        })
    }
}
