//! The documents in JSON: format 1. It reads and writes bytes; it never decides what they mean for the group.
//!
//! Keys that it does not know are kept. What it cannot read it refuses with an [`Unreadable`] that names the
//! znode: a store that cannot read a document must not overwrite it.

mod divergence;
mod document;
mod history;
mod kept;
mod pause;
mod report;
mod request;
mod state;

use redis_failover_core::{Found, Member, Publication, Topology};
use serde_json::{Map, Value};

use document::Published;
pub(crate) use document::document_bytes;
pub use history::entry_value;
pub(crate) use history::{entry_bytes, parse_entry};
pub(crate) use kept::{STATE_FILE_FORMAT, Unusable, kept_bytes, parse_kept};
pub(crate) use report::{Lock, leader_of, lock_bytes, parse_report, report_bytes};
pub(crate) use request::{answered_bytes, parse_request, request_bytes};
pub(crate) use state::state_bytes;

/// The format that is written, and the greatest that is understood.
pub const FORMAT: u64 = 1;

/// Why a document cannot be used. It was left as it is, and is left so until somebody mends it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// It is not what its znode is for.
    #[error("{znode} is left as it is, it cannot be used: {why}; it begins with `{found}` ({hint})")]
    Garbage {
        /// Which znode.
        znode: String,
        /// What is wrong.
        why: String,
        /// How it begins.
        found: String,
        /// What to do.
        hint: &'static str,
    },
    /// A newer version of this program wrote it.
    #[error(
        "{znode} has format {format}, this version understands up to {FORMAT}: it is left \
         alone (upgrade this monitor)"
    )]
    NewerFormat {
        /// Which znode.
        znode: String,
        /// Its format.
        format: u64,
    },
    /// The published document and the monitors' state are of different changes: somebody else wrote one of
    /// them.
    #[error(
        "{znode} and {znode}/state contradict each other: {why} (end whatever else writes {znode}, such as \
         the predecessor's monitor; then set {znode} right, or delete {znode}/state and the key `format` in \
         {znode} to begin anew from what {znode} says)"
    )]
    Contradiction {
        /// The published document's znode.
        znode: String,
        /// In what they differ.
        why: String,
    },
}

/// What stands in the published document and in the state beside it; `None` where the znode is missing.
///
/// `znode` is only for messages.
///
/// # Errors
/// When it is none of: nothing, the predecessor's document, our record.
pub fn read(znode: &str, document: Option<&[u8]>, state: Option<&[u8]>) -> Result<Found, Unreadable> {
    let published = document::parse(znode, document.unwrap_or_default(), FORMAT)?;
    let state = state.map(|bytes| state::parse(&format!("{znode}/state"), bytes)).transpose()?;
    let contradiction = |why: String| Err(Unreadable::Contradiction { znode: znode.to_owned(), why });
    match (published, state) {
        (None, None) => Ok(Found::Nothing),
        (Some(Published { format: None, content }), None) => {
            Ok(Found::Predecessor { master: content.master, replicas: content.replicas })
        }
        (Some(Published { format: Some(_), .. }), None) => {
            contradiction("the first is ours, the second is missing".to_owned())
        }
        (None, Some(_)) => contradiction("the first names no master, the second does".to_owned()),
        (Some(Published { format: None, .. }), Some(_)) => {
            contradiction("the first is the predecessor's, the second is ours".to_owned())
        }
        (Some(Published { format: Some(_), content }), Some(mut record)) => {
            let Publication { master, replicas, epoch, .. } = content;
            if master.addr != record.master {
                return contradiction(format!(
                    "the first names the master {}, the second {}",
                    master.addr, record.master
                ));
            }
            if epoch != record.epoch {
                let ours = record.epoch;
                return contradiction(format!("the first is of epoch {epoch}, the second of epoch {ours}"));
            }
            // The state says who belongs to the group; the document adds how each was seen.
            mark(&mut record, &master, &replicas);
            Ok(Found::Record(Box::new(record)))
        }
    }
}

/// What the published document alone says, for those who follow and never write; `None` where nothing was
/// published, or where the znode is missing.
///
/// A newer format is read like ours: whoever only follows goes on while the monitors are upgraded. `znode` is
/// only for messages.
///
/// # Errors
/// When it names no master and is not nothing either.
pub fn publication(znode: &str, document: Option<&[u8]>) -> Result<Option<Publication>, Unreadable> {
    let published = document::parse(znode, document.unwrap_or_default(), u64::MAX)?;
    Ok(published.map(|published| published.content))
}

fn mark(record: &mut Topology, master: &Member, replicas: &[Member]) {
    for member in &mut record.members {
        let published = std::iter::once(master).chain(replicas).find(|known| known.addr == member.addr);
        member.ok = published.is_some_and(|known| known.ok);
    }
}

fn garbage(znode: &str, bytes: &[u8], why: impl Into<String>) -> Unreadable {
    let text = String::from_utf8_lossy(bytes);
    let found = text.chars().take(60).flat_map(char::escape_debug).collect();
    let hint = "delete or mend it if nobody needs it";
    Unreadable::Garbage { znode: znode.to_owned(), why: why.into(), found, hint }
}

fn object(znode: &str, bytes: &[u8]) -> Result<Map<String, Value>, Unreadable> {
    match serde_json::from_slice(bytes) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(_) => Err(garbage(znode, bytes, "it is JSON, but not an object")),
        Err(error) => Err(garbage(znode, bytes, format!("it is not JSON: {error}"))),
    }
}

/// The format of an object of ours, if not after `newest`; `None` where it has none.
fn format_of(
    znode: &str,
    bytes: &[u8],
    object: &Map<String, Value>,
    newest: u64,
) -> Result<Option<u64>, Unreadable> {
    match object.get("format").map(Value::as_u64) {
        None => Ok(None),
        Some(Some(format)) if format > newest => {
            Err(Unreadable::NewerFormat { znode: znode.to_owned(), format })
        }
        Some(Some(format)) if format > 0 => Ok(Some(format)),
        Some(_) => Err(garbage(znode, bytes, "its `format` is no positive number")),
    }
}

/// `ours` written over `base`: the keys that `base` has beside ours stay, each where it was.
fn merged(mut base: Map<String, Value>, ours: Vec<(&str, Option<Value>)>) -> Map<String, Value> {
    for (key, value) in ours {
        match value {
            Some(value) => drop(base.insert(key.to_owned(), value)),
            None => drop(base.shift_remove(key)),
        }
    }
    base
}

/// The object in what stands there now; an empty one where that is none.
fn base(bytes: Option<&[u8]>) -> Map<String, Value> {
    bytes.and_then(|bytes| serde_json::from_slice(bytes).ok()).unwrap_or_default()
}

fn bytes(object: Map<String, Value>) -> Vec<u8> {
    Value::Object(object).to_string().into_bytes()
}

#[cfg(test)]
mod tests;
