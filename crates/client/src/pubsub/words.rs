//! What is said on a subscriber's connection, in Redis's words. Nothing is sent here, and nothing follows from it.

use redis::{Msg, PushInfo, PushKind, ServerError, Value};
use redis_failover_core::subscriptions::{Kind, Subscription};

/// What a caller wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    Subscribe,
    Unsubscribe,
}

/// What the server said.
pub(super) enum Said {
    Message(Msg),
    /// To what was asked first, or a part of it.
    Answer(Result<(), ServerError>),
}

/// What this reply is; `None` if it has no place on such a connection.
pub(super) fn read(reply: Value) -> Option<Said> {
    match reply {
        Value::ServerError(error) => Some(Said::Answer(Err(error))),
        Value::SimpleString(_) | Value::Okay => Some(Said::Answer(Ok(()))),
        Value::Array(mut words) if !words.is_empty() => {
            let Value::BulkString(first) = words.remove(0) else { return None };
            let kind = match first.as_slice() {
                b"message" => PushKind::Message,
                b"pmessage" => PushKind::PMessage,
                b"smessage" => PushKind::SMessage,
                _ => return Some(Said::Answer(Ok(()))),
            };
            Msg::from_push_info(PushInfo { kind, data: words }).map(Said::Message)
        }
        _ => None,
    }
}

/// The command.
pub(super) fn word(wish: Wish, kind: Kind) -> &'static str {
    match (wish, kind) {
        (Wish::Subscribe, Kind::Channel) => "SUBSCRIBE",
        (Wish::Subscribe, Kind::Pattern) => "PSUBSCRIBE",
        (Wish::Subscribe, Kind::Shard) => "SSUBSCRIBE",
        (Wish::Unsubscribe, Kind::Channel) => "UNSUBSCRIBE",
        (Wish::Unsubscribe, Kind::Pattern) => "PUNSUBSCRIBE",
        (Wish::Unsubscribe, Kind::Shard) => "SUNSUBSCRIBE",
    }
}

/// The command with its names, as it is sent.
pub(super) fn pack<N: AsRef<[u8]>>(word: &str, names: impl IntoIterator<Item = N>) -> Vec<u8> {
    let mut command = redis::cmd(word);
    for name in names {
        command.arg(name.as_ref());
    }
    command.get_packed_command()
}

pub(super) fn subscription(kind: Kind, name: &[u8]) -> Subscription {
    Subscription { kind, name: name.to_vec() }
}
