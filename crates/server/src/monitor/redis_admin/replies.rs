//! What is read from the servers' replies to administrative commands. It sends nothing.

use redis::{ErrorKind, RedisError, ServerError, ServerErrorKind, Value};

use super::AdminError;
use crate::info::Info;
use crate::redis_link::text;

pub(super) const SECTIONS: [&str; 4] = ["server", "replication", "persistence", "keyspace"];

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

/// The number and the name of a connection in CLIENT LIST.
pub(super) fn listed(line: &str) -> Option<(u64, &str)> {
    let field = |key: &str| line.split(' ').find_map(|field| field.strip_prefix(key)?.strip_prefix('='));
    Some((field("id")?.parse().ok()?, field("name")?))
}

/// Whether a transaction was refused as a whole because one of its commands is not allowed: nothing was done. A server
/// that loads its data or runs a script allows none of them now, and it is of no use to send fewer.
pub(super) fn is_forbidden(error: &RedisError) -> bool {
    let causes = error.clone().into_server_errors().unwrap_or_default();
    let passes = |code: &str| ["LOADING", "BUSY"].contains(&code);
    error.kind() == ErrorKind::Server(ServerErrorKind::ExecAbort)
        && !causes.iter().any(|(_, cause)| passes(cause.code()))
}

/// Whether a command is refused for good: this user may not call it, or the server does not have it.
pub(super) fn is_never_allowed(error: &ServerError) -> bool {
    error.code() == "NOPERM" || error.details().is_some_and(|it| it.contains("unknown"))
}

/// Nobody, where a server does not let us name or list connections; any other refusal is an error.
pub(super) fn forbidden(replies: Vec<Value>) -> Result<Vec<u64>, AdminError> {
    let refusals = replies.into_iter().filter_map(|reply| match reply {
        Value::ServerError(error) => Some(error),
        _ => None,
    });
    for error in refusals {
        if !is_never_allowed(&error) {
            return Err(RedisError::from(error).into());
        }
        tell_unfenced(&RedisError::from(error).to_string());
    }
    Ok(Vec::new())
}

pub(super) fn tell_forbidden(error: &RedisError) {
    tracing::error!(
        "going on without CLIENT KILL and CONFIG SET, one of which this server does not allow us \
         ({error}): let the ACL user run client|kill and config|set"
    );
}

pub(super) fn tell_no_config(error: &redis::ServerError) {
    tracing::error!(
        "going on without CONFIG, which this server does not allow us ({}): a new master takes writes before it is \
         published, and none is fenced; let the ACL user run config|get and config|set",
        RedisError::from(error.clone())
    );
}

pub(super) fn tell_unfenced(why: &str) {
    tracing::error!(
        "commands of a deposed leader can't be kept from this server ({why}): let the ACL user run client|setname, \
         client|id, client|list and client|kill"
    );
}
