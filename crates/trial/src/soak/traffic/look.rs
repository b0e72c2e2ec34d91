//! What a master holds of all that was written. It is read, and nothing is changed.

use std::collections::BTreeMap;
use std::sync::Mutex;

use redis::RedisResult;
use redis::aio::MultiplexedConnection;

use super::super::ledger::{Ledger, PAGE};
use super::{lock, transactions};

/// How many pages are read back at once.
const PART: usize = 50;

/// Compares all pages of a ledger with what this master holds; returns how many writes are lost that were not before,
/// and the sum of all counters.
pub(super) async fn read_back(
    ledger: &Mutex<Ledger>,
    connection: &mut MultiplexedConnection,
) -> RedisResult<(usize, u64)> {
    // What is confirmed from here on may come after the look.
    let until = lock(ledger).next();
    let pages: Vec<_> = (0..=until / PAGE).collect();
    let (mut lost, mut sum) = (0, 0);
    for part in pages.chunks(PART) {
        let mut pipeline = redis::pipe();
        for page in part {
            pipeline.cmd("HGETALL").arg(lock(ledger).key(*page));
        }
        let held: Vec<BTreeMap<usize, u64>> = pipeline.query_async(connection).await?;
        let mut ledger = lock(ledger);
        lost += part.iter().zip(&held).map(|(page, held)| ledger.compare(*page, until, held)).sum::<usize>();
        sum += held.iter().flat_map(BTreeMap::values).sum::<u64>();
    }
    Ok((lost, sum))
}

/// What all transactions count in.
pub(super) async fn counter(connection: &mut MultiplexedConnection) -> RedisResult<u64> {
    let counter: Option<u64> = redis::cmd("GET").arg(transactions::COUNTER).query_async(connection).await?;
    Ok(counter.unwrap_or_default())
}
