//! A producer that pushes numbered jobs, and a worker that takes them with a BLPOP that waits for ever. They judge
//! nothing.

use std::sync::Arc;
use std::time::{Duration, Instant};

use redis::RedisResult;
use redis_failover::{Connection, Outcome, outcome};
use tokio::sync::watch;
use tokio::time::sleep;

use super::{PAUSE, Shared, lock};

/// The queue.
const KEY: &str = "soak:jobs";

/// So many jobs are pushed at once, with a rest in between: the worker waits for jobs about as often as jobs wait for
/// it. One that it takes with a reply that is lost then was confirmed before, and its push is not in doubt, too.
const BURST: usize = 12;
const REST: Duration = Duration::from_millis(100);

/// When the worker is so far behind, a rest comes after each job. It makes a connection for each BLPOP, which takes
/// longer than a push on a machine that has other things to do; behind for ever it would look as if it got nothing.
const BEHIND: usize = 4 * BURST;

/// Pushes one job after the other; the same again only if the library says that it was not executed.
pub(super) async fn produce(mut connection: Connection, shared: Arc<Shared>, stop: watch::Receiver<bool>) {
    while !*stop.borrow() {
        let number = lock(&shared.jobs).next();
        let pushed: RedisResult<u64> =
            redis::cmd("RPUSH").arg(KEY).arg(number).query_async(&mut connection).await;
        let at = Instant::now();
        match pushed.map_err(|error| (outcome(&error), error)) {
            Ok(_) => lock(&shared.jobs).push(true, at),
            Err((Outcome::Unknown, _)) => lock(&shared.jobs).push(false, at),
            Err((outcome, error)) => {
                shared.not_done(outcome, &error);
                sleep(PAUSE).await;
            }
        }
        if number % BURST == BURST - 1 || lock(&shared.jobs).behind() > BEHIND {
            sleep(REST).await;
        }
    }
}

/// Takes jobs for as long as it is let.
pub(super) async fn work(mut connection: Connection, shared: Arc<Shared>) {
    loop {
        let taken: RedisResult<(String, usize)> =
            redis::cmd("BLPOP").arg(KEY).arg(0).query_async(&mut connection).await;
        match taken.map_err(|error| (outcome(&error), error)) {
            Ok((_, number)) => lock(&shared.jobs).take(number, Instant::now()),
            Err((Outcome::Unknown, _)) => lock(&shared.jobs).doubt(),
            Err((outcome, error)) => {
                shared.not_done(outcome, &error);
                sleep(PAUSE).await;
            }
        }
    }
}
