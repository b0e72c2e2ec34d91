//! What is read at a node that is commanded, and what it answers. It commands nothing.

use redis::{Pipeline, Value};

use super::AdminError;
use crate::info::Info;
use crate::monitor::prober::text;

/// The sections that together are the evidence. Redis before 7 answers one section a question.
pub(super) fn read_all(commands: &mut Pipeline) {
    for section in SECTIONS {
        commands.cmd("INFO").arg(section);
    }
}

const SECTIONS: [&str; 4] = ["server", "replication", "persistence", "keyspace"];

pub(super) fn info(replies: &[Value], index: usize) -> Info {
    replies.get(index).and_then(text).map(|text| Info::parse(&text)).unwrap_or_default()
}

/// The sections at the end of the replies, as one.
pub(super) fn last(replies: &[Value]) -> Result<Info, AdminError> {
    let first = replies.len().saturating_sub(SECTIONS.len());
    let sections: Vec<_> = replies[first..].iter().filter_map(text).collect();
    let info = Info::parse(&sections.join("\n"));
    if info.loading() { Err(AdminError::Loading) } else { Ok(info) }
}

/// The value of CONFIG GET; `None` where CONFIG is not allowed, or does not know the setting.
pub(super) fn config_number(reply: &Value) -> Option<u32> {
    config_value(reply)?.parse().ok()
}

/// The same of a setting that is a text.
pub(super) fn config_value(reply: &Value) -> Option<String> {
    match reply {
        Value::Array(pair) => pair.get(1).and_then(text),
        Value::Map(pairs) => pairs.first().and_then(|(_, value)| text(value)),
        _ => None,
    }
}
