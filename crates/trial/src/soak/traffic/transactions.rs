//! A session that adds one to a counter with WATCH, MULTI and EXEC, and now and then has a watched key changed by
//! somebody else before EXEC.
//!
//! In the same transaction it adds one to a counter of the ledger, so that what was lost or executed twice is known one
//! by one, and the whole must be what is in the pages.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use redis::{RedisError, RedisResult};
use redis_failover::{Connection, Outcome, outcome};
use tokio::sync::watch;
use tokio::time::sleep;

use super::super::ledger::PAGE;
use super::{PACE, PAUSE, Shared, lock};

/// What all transactions count in.
pub(super) const COUNTER: &str = "soak:counter";

/// What somebody else changes.
const WATCHED: &str = "soak:watched";

/// One in so many transactions is disturbed, and lingers before: so one is open in most changes of master.
const DISTURBED: usize = 4;
const LINGER: Duration = Duration::from_millis(50);

/// Adds one in one transaction after the other; again only if the library says that it was not executed.
pub(super) async fn transact(connections: [Connection; 2], shared: Arc<Shared>, stop: watch::Receiver<bool>) {
    let [mut connection, mut other] = connections;
    let mut turn: usize = 0;
    while !*stop.borrow() {
        turn = turn.wrapping_add(1);
        let other = turn.is_multiple_of(DISTURBED).then_some(&mut other);
        once(&mut connection, other, &shared).await;
        sleep(PACE).await;
    }
}

async fn once(connection: &mut Connection, other: Option<&mut Connection>, shared: &Shared) {
    let (number, key) = lock(&shared.transactions).place();
    let (before, disturbed) = match begin(connection, other).await {
        Ok(begun) => begun,
        // Nothing was to be changed yet: whether it was executed does not matter.
        Err(error) => {
            if outcome(&error) == Outcome::Executed {
                shared.not_done(Outcome::Executed, &error);
            }
            return sleep(PAUSE).await;
        }
    };
    let mut pipeline = redis::pipe();
    pipeline.atomic().cmd("INCR").arg(COUNTER);
    pipeline.cmd("HINCRBY").arg(key).arg(number % PAGE).arg(1);
    let executed: RedisResult<Option<(u64, u64)>> = pipeline.query_async(connection).await;
    let at = Instant::now();
    match executed.map_err(|error| (outcome(&error), error)) {
        Ok(Some((after, counter))) => {
            lock(&shared.transactions).acknowledge(counter, at);
            if let Some(wrong) = wrong(before, after, disturbed) {
                shared.complain(&wrong);
            }
        }
        Ok(None) => {
            shared.aborted.fetch_add(1, Ordering::Relaxed);
        }
        Err((Outcome::Unknown, _)) => lock(&shared.transactions).give_up(at),
        Err((outcome, error)) => {
            shared.not_done(outcome, &error);
            sleep(PAUSE).await;
        }
    }
}

/// Watches and reads; yields the counter, and whether somebody else has certainly changed a watched key since.
async fn begin(
    connection: &mut Connection,
    other: Option<&mut Connection>,
) -> Result<(u64, bool), RedisError> {
    redis::cmd("WATCH").arg(COUNTER).arg(WATCHED).query_async::<()>(connection).await?;
    let before: Option<u64> = redis::cmd("GET").arg(COUNTER).query_async(connection).await?;
    let disturbed = match other {
        Some(other) => {
            sleep(LINGER).await;
            redis::cmd("INCR").arg(WATCHED).query_async::<()>(other).await.is_ok()
        }
        None => false,
    };
    Ok((before.unwrap_or_default(), disturbed))
}

/// What is wrong with a transaction that was executed, between whose WATCH and EXEC the counter went so.
fn wrong(before: u64, after: u64, disturbed: bool) -> Option<String> {
    if disturbed {
        return Some(format!(
            "EXEC went through although a watched key was changed (the counter is {after})"
        ));
    }
    (after != before + 1)
        .then(|| format!("a watched counter was {before}, and {after} after one INCR in EXEC"))
}

/// What is wrong where the counter stood so before and after all counters of the ledger, with that sum, were read.
pub(super) fn incomplete(before: u64, sum: u64, after: u64) -> Option<String> {
    let is_whole = (before..=after).contains(&sum);
    (!is_whole).then(|| {
        format!(
            "a transaction was executed in part: {sum} in the pages, the counter from {before} to {after}"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exec_goes_through_only_if_nothing_that_is_watched_has_changed() {
        assert_eq!(wrong(4, 5, false), None);
        assert!(wrong(4, 6, false).is_some(), "somebody else, or the same twice");
        assert!(wrong(4, 4, false).is_some());
        assert!(wrong(4, 5, true).is_some());
    }

    #[test]
    fn a_transaction_is_executed_whole() {
        assert_eq!(incomplete(7, 7, 7), None);
        assert_eq!(incomplete(7, 8, 9), None, "it went on meanwhile");
        assert!(incomplete(7, 6, 9).is_some());
        assert!(incomplete(7, 10, 9).is_some());
    }
}
