//! What a node that came back holds beyond, as it stands in the record and in the history. It never decides what
//! becomes of that.

use redis_failover_core::{Divergence, Epoch, Keeping, RunId};
use serde::{Deserialize, Serialize};

/// What is to become of it: nothing.
const DISCARDED: &str = "discarded";

/// It is to be saved.
const DUE: &str = "due";

/// It is.
const SAVED: &str = "saved";

/// It could not be.
const HELD: &str = "held";

#[derive(Serialize, Deserialize)]
pub(super) struct DivergenceV1 {
    run: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    left: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    bytes: Option<u64>,
    is: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    file: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    why: Option<String>,
}

impl DivergenceV1 {
    /// Whether this version knows the word for what becomes of it.
    pub(super) fn is_known(&self) -> bool {
        [DISCARDED, DUE, SAVED, HELD].contains(&self.is.as_str())
    }

    /// What it says.
    ///
    /// # Errors
    /// What is wrong with it: a clause.
    pub(super) fn read(self) -> Result<Divergence, String> {
        let file = |file: Option<String>| file.ok_or_else(|| "it names no `file`".to_owned());
        let keeping = match self.is.as_str() {
            DISCARDED => Keeping::Discarded,
            DUE => Keeping::Due { file: file(self.file)? },
            SAVED => Keeping::Saved { file: file(self.file)? },
            HELD => Keeping::Held { file: file(self.file)?, why: self.why.unwrap_or_default() },
            word => return Err(format!("it is `{word}`")),
        };
        Ok(Divergence { run: RunId(self.run), left: self.left.map(Epoch), bytes: self.bytes, keeping })
    }

    pub(super) fn of(divergence: &Divergence) -> Self {
        let (is, file, why) = match divergence.keeping.clone() {
            Keeping::Discarded => (DISCARDED, None, None),
            Keeping::Due { file } => (DUE, Some(file), None),
            Keeping::Saved { file } => (SAVED, Some(file), None),
            Keeping::Held { file, why } => (HELD, Some(file), Some(why)),
        };
        let (run, left) = (divergence.run.0.clone(), divergence.left.map(|epoch| epoch.0));
        Self { run, left, bytes: divergence.bytes, is: is.to_owned(), file, why }
    }
}
