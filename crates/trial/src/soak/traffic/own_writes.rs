//! A session that reads what it wrote, from wherever the client has it read. It judges nothing.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use redis::RedisResult;
use redis_failover::{Connection, Outcome, outcome};
use tokio::sync::watch;
use tokio::time::sleep;

use super::super::ledger::PAGE;
use super::{PACE, PAUSE, Shared, lock};

/// How often each write is read: first at the master, later at replicas that hold it.
const READS: usize = 8;

/// Adds one to one counter after the other, and reads each, in turn on the connection and on a clone: both are one
/// session.
pub(super) async fn write_and_read(connection: Connection, shared: Arc<Shared>, stop: watch::Receiver<bool>) {
    let connection = connection.read_your_writes(true);
    let mut connections = [connection.clone(), connection];
    while !*stop.borrow() {
        let (number, key) = lock(&shared.own).place();
        let mut command = redis::cmd("HINCRBY");
        command.arg(&key).arg(number % PAGE).arg(1);
        let written: RedisResult<u64> = command.query_async(&mut connections[0]).await;
        let at = Instant::now();
        match written.map_err(|error| (outcome(&error), error)) {
            Ok(counter) => lock(&shared.own).acknowledge(counter, at),
            Err((Outcome::Unknown, _)) => {
                lock(&shared.own).give_up(at);
                continue;
            }
            Err((outcome, error)) => {
                shared.not_done(outcome, &error);
                sleep(PAUSE).await;
                continue;
            }
        }
        for turn in 0..READS {
            read(&mut connections[turn % 2], &shared, &key, number).await;
            sleep(PACE).await;
        }
    }
}

async fn read(connection: &mut Connection, shared: &Shared, key: &str, number: usize) {
    let counter: RedisResult<Option<u64>> =
        redis::cmd("HGET").arg(key).arg(number % PAGE).query_async(connection).await;
    let Ok(counter) = counter else {
        shared.read_errors.fetch_add(1, Ordering::Relaxed);
        return sleep(PAUSE).await;
    };
    shared.own_reads.fetch_add(1, Ordering::Relaxed);
    let mut ledger = lock(&shared.own);
    match counter.unwrap_or_default() {
        0 => ledger.miss(number, Instant::now()),
        counter => ledger.read(number, counter),
    }
}
