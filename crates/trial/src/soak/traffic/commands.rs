//! Writers and readers with plain commands. They judge nothing.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use redis::RedisResult;
use redis_failover::{Connection, Outcome, outcome};
use tokio::sync::watch;
use tokio::time::sleep;

use super::super::ledger::PAGE;
use super::{PACE, PAUSE, Shared, WRITERS, lock};

/// Adds one to one counter after the other; to the same again only if the library says that it was not executed.
pub(super) async fn write(
    mut connection: Connection,
    shared: Arc<Shared>,
    writer: usize,
    stop: watch::Receiver<bool>,
) {
    let ledger = &shared.ledgers[writer];
    while !*stop.borrow() {
        let (number, key) = lock(ledger).place();
        let mut command = redis::cmd("HINCRBY");
        command.arg(key).arg(number % PAGE).arg(1);
        let written: RedisResult<u64> = command.query_async(&mut connection).await;
        let at = Instant::now();
        match written.map_err(|error| (outcome(&error), error)) {
            Ok(counter) => lock(ledger).acknowledge(counter, at),
            Err((Outcome::Unknown, _)) => lock(ledger).give_up(at),
            Err((outcome, error)) => {
                shared.not_done(outcome, &error);
                sleep(PAUSE).await;
            }
        }
        sleep(PACE).await;
    }
}

/// Reads counters that were written, old and new; that a replica has not got one yet is no error.
pub(super) async fn read(
    mut connection: Connection,
    shared: Arc<Shared>,
    reader: usize,
    stop: watch::Receiver<bool>,
) {
    let ledger = &shared.ledgers[reader % WRITERS];
    let mut turn = reader;
    while !*stop.borrow() {
        // A large odd step visits all numbers in no order.
        turn = turn.wrapping_add(0x9E37_79B9);
        let (number, key) = {
            let ledger = lock(ledger);
            let number = turn % ledger.next().max(1);
            (number, ledger.key(number / PAGE))
        };
        let mut command = redis::cmd("HGET");
        command.arg(key).arg(number % PAGE);
        let counter: RedisResult<Option<u64>> = command.query_async(&mut connection).await;
        if let Ok(counter) = counter {
            shared.reads.fetch_add(1, Ordering::Relaxed);
            lock(ledger).read(number, counter.unwrap_or_default());
        } else {
            shared.read_errors.fetch_add(1, Ordering::Relaxed);
            sleep(PAUSE).await;
        }
        sleep(PACE).await;
    }
}
