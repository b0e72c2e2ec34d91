//! What may be assumed of a command that failed.

use std::error::Error;
use std::fmt;
use std::io;
use std::sync::Arc;

use redis::{ErrorKind, RedisError, ServerErrorKind};

/// What became of a command that ended in an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was never sent, or Redis refused it before it did anything. Sending it again is safe.
    NotExecuted,
    /// It was sent, and no reply came. It may have been executed, may still be, and may be lost with its master. (Now
    /// and then this is said of one that was never sent; the opposite never happens.)
    Unknown,
    /// Redis answered, and this error is its answer, or the answer could not be converted into the type that was asked
    /// for. Sending it again executes it again.
    Executed,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotExecuted => "not executed",
            Self::Unknown => "outcome unknown",
            Self::Executed => "executed",
        })
    }
}

/// What became of the command that failed with this error.
///
/// It knows the errors of this crate exactly. Of other errors of redis-rs it tells what their kind allows:
///
/// - an I/O error is [`Outcome::Unknown`];
/// - a pipeline of which single commands failed is [`Outcome::Executed`], as the others were executed; a transaction
///   that Redis aborted is [`Outcome::NotExecuted`];
/// - the nil of a transaction that was not executed, because what it watched has changed or a session was lost, is no
///   error: ask for an [`Option`]. `exec`, `bool` and collections take nil for success or for empty; tuples and numbers
///   make it an error, of an answer that could not be converted, which is [`Outcome::Executed`] whatever it answers;
/// - a script that failed half-way is [`Outcome::Executed`]. A script that makes up errors with Redis's own codes is
///   taken at its word.
///
/// ```no_run
/// use redis_failover::redis::{AsyncCommands, RedisResult};
/// # #[cfg(feature = "tokio")]
/// use redis_failover::Connection;
/// use redis_failover::{Outcome, outcome};
///
/// /// Puts an order into the queue, and says whether it is there; `None` if nobody knows.
/// # #[cfg(feature = "tokio")]
/// async fn order(connection: &mut Connection, order: &str) -> RedisResult<Option<bool>> {
///     match connection.rpush::<_, _, ()>("orders", order).await {
///         Ok(()) => Ok(Some(true)),
///         Err(error) => match outcome(&error) {
///             Outcome::NotExecuted => Ok(Some(false)),
///             Outcome::Unknown => Ok(None),
///             Outcome::Executed => Err(error),
///         },
///     }
/// }
/// ```
pub fn outcome(error: &RedisError) -> Outcome {
    if let Some(failure) = failure_in(error) {
        return failure.outcome;
    }
    // Of a single reply the source is the reply; without one these are the failures of several commands.
    let several = error.source().is_none();
    match error.kind() {
        ErrorKind::Io => Outcome::Unknown,
        ErrorKind::Parse | ErrorKind::UnexpectedReturnType => Outcome::Executed,
        ErrorKind::Server(ServerErrorKind::ExecAbort) if several => {
            if multi_was_refused(error) {
                Outcome::Executed
            } else {
                Outcome::NotExecuted
            }
        }
        ErrorKind::Server(_) | ErrorKind::Extension => match error.clone().into_server_errors() {
            Some(_) if several => Outcome::Executed,
            _ if error.detail().is_some_and(|text| text.contains(" script: ")) => Outcome::Executed,
            _ => error.code().map_or(Outcome::Executed, outcome_of_code),
        },
        _ => Outcome::NotExecuted,
    }
}

/// Whether it is of an atomic pipeline whose commands were refused while they were queued.
pub(crate) fn is_aborted(error: &RedisError) -> bool {
    // Of a single reply the source is the reply.
    error.kind() == ErrorKind::Server(ServerErrorKind::ExecAbort) && error.source().is_none()
}

/// Whether it is of an atomic pipeline of which MULTI itself was refused: then its commands were executed one by one.
/// redis-rs counts the commands from behind MULTI, which so gets the number before the first.
pub(crate) fn multi_was_refused(error: &RedisError) -> bool {
    let errors = is_aborted(error).then(|| error.clone().into_server_errors()).flatten();
    errors.is_some_and(|errors| errors.iter().any(|(index, _)| *index == usize::MAX))
}

/// The replies with which Redis refuses a command before it begins, or ends the waiting of one that took nothing.
fn outcome_of_code(code: &str) -> Outcome {
    match code {
        "READONLY" | "LOADING" | "MASTERDOWN" | "NOREPLICAS" | "BUSY" | "MISCONF" | "OOM" | "NOAUTH"
        | "NOPERM" | "WRONGPASS" | "NOSCRIPT" | "EXECABORT" | "MOVED" | "ASK" | "TRYAGAIN"
        | "CLUSTERDOWN" | "CROSSSLOT" | "UNBLOCKED" => Outcome::NotExecuted,
        _ => Outcome::Executed,
    }
}

/// An error of this crate, inside the [`io::Error`] inside a [`RedisError`].
#[derive(Debug)]
struct Failure {
    outcome: Outcome,
    what: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.outcome, self.what)
    }
}

impl Error for Failure {}

/// An error that says the outcome in its text, and to [`outcome`].
pub(crate) fn failure(outcome: Outcome, kind: io::ErrorKind, what: impl Into<String>) -> RedisError {
    io::Error::new(kind, Failure { outcome, what: what.into() }).into()
}

/// Of a command whose reply did not come because of `error`.
pub(crate) fn unknown(node: &impl fmt::Display, error: &RedisError) -> RedisError {
    let kind = if error.is_timeout() { io::ErrorKind::TimedOut } else { io::ErrorKind::BrokenPipe };
    failure(Outcome::Unknown, kind, format!("no reply came from {node}, which had it: {error}"))
}

fn failure_in(error: &RedisError) -> Option<&Failure> {
    // redis-rs keeps it behind an `Arc<dyn Error>`, which is what it names as the source.
    let shared = error.source()?.downcast_ref::<Arc<dyn Error + Send + Sync>>()?;
    shared.downcast_ref::<io::Error>()?.get_ref()?.downcast_ref()
}

#[cfg(test)]
mod tests {
    use redis::Value;

    use super::*;

    fn answered(text: &str) -> RedisError {
        let reply = redis::parse_redis_value(format!("-{text}\r\n").as_bytes()).expect("a reply");
        reply.extract_error().expect_err("an error")
    }

    #[test]
    fn our_own_errors_tell_their_outcome_and_say_it() {
        for outcome in [Outcome::NotExecuted, Outcome::Unknown, Outcome::Executed] {
            let error = failure(outcome, io::ErrorKind::TimedOut, "no master");
            assert_eq!(super::outcome(&error), outcome);
            assert_eq!(super::outcome(&error.clone()), outcome);
            assert_eq!(error.to_string(), format!("{outcome}: no master"));
            assert!(error.is_timeout());
        }
        let broken = RedisError::from(io::Error::from(io::ErrorKind::BrokenPipe));
        let error = unknown(&"h:1", &broken);
        assert_eq!(outcome(&error), Outcome::Unknown);
        assert!(
            error.is_connection_dropped() && error.to_string().starts_with("outcome unknown: "),
            "{error}"
        );
    }

    #[test]
    fn the_servers_refusals_are_told_from_its_answers() {
        for refusal in [
            "READONLY You can't write",
            "LOADING",
            "NOREPLICAS few",
            "NOPERM",
            "EXECABORT",
            "OOM x",
            "UNBLOCKED it",
        ] {
            assert_eq!(outcome(&answered(refusal)), Outcome::NotExecuted, "{refusal}");
        }
        let script = "READONLY You can't write against a read only replica. script: f_1, on @user_script:1.";
        for answer in ["WRONGTYPE no", "ERR value is not an integer", "MYSCRIPT said", script] {
            assert_eq!(outcome(&answered(answer)), Outcome::Executed, "{answer}");
        }
    }

    #[test]
    fn other_errors_are_told_by_their_kind() {
        let io = RedisError::from(io::Error::from(io::ErrorKind::ConnectionReset));
        assert_eq!(outcome(&io), Outcome::Unknown);
        let converted: Result<i64, _> = redis::from_redis_value(Value::BulkString(b"x".to_vec()));
        assert_eq!(outcome(&RedisError::from(converted.expect_err("no number"))), Outcome::Executed);
        let config = RedisError::from((ErrorKind::InvalidClientConfig, "wrong"));
        assert_eq!(outcome(&config), Outcome::NotExecuted);
    }
}
