//! One writer and two readers that use the client library as an application would. They know of no fault.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use redis_failover::{Client, Connection, Outcome, outcome};
use redis_failover_lab::Account;
use tokio::sync::watch;
use tokio::task::JoinSet;

/// The keys are `demo:0`, `demo:1`, …
const PREFIX: &str = "demo";

/// How many readers there are.
const READERS: u64 = 2;

/// How long after a failure it is tried again: the library itself has waited before it gave up.
const PAUSE: Duration = Duration::from_millis(20);

/// What the writer and the readers have seen so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    /// Writes that were confirmed.
    pub acknowledged: u64,
    /// Writes of which nobody knows whether they were carried out.
    pub unknown: u64,
    /// Reads that were answered.
    pub reads: u64,
    /// Reads that ended in an error, after the library had tried again.
    pub read_errors: u64,
}

#[derive(Debug)]
struct Shared {
    account: Mutex<Account>,
    acknowledged: AtomicU64,
    unknown: AtomicU64,
    reads: AtomicU64,
    read_errors: AtomicU64,
}

/// The running writer and readers. Dropping it ends them where they stand.
#[derive(Debug)]
pub(super) struct Traffic {
    shared: Arc<Shared>,
    stop: watch::Sender<bool>,
    tasks: JoinSet<()>,
}

/// Whoever only looks at the counts.
#[derive(Clone, Debug)]
pub(super) struct Meter(Arc<Shared>);

impl Meter {
    /// The counts at this moment.
    pub(super) fn counts(&self) -> Counts {
        let Shared { acknowledged, unknown, reads, read_errors, .. } = &*self.0;
        let [acknowledged, unknown, reads, read_errors] =
            [acknowledged, unknown, reads, read_errors].map(|count| count.load(Ordering::Relaxed));
        Counts { acknowledged, unknown, reads, read_errors }
    }
}

impl Traffic {
    /// Starts them: the writer on `writes`, the readers on `reads`.
    pub(super) fn start(writes: &Client, reads: &Client) -> Self {
        let shared = Arc::new(Shared {
            account: Mutex::new(Account::new(PREFIX)),
            acknowledged: AtomicU64::new(0),
            unknown: AtomicU64::new(0),
            reads: AtomicU64::new(0),
            read_errors: AtomicU64::new(0),
        });
        let stop = watch::Sender::new(false);
        let mut tasks = JoinSet::new();
        tasks.spawn(write(writes.connection(), shared.clone(), stop.subscribe()));
        for reader in 0..READERS {
            tasks.spawn(read(reads.connection(), shared.clone(), stop.subscribe(), reader));
        }
        Self { shared, stop, tasks }
    }

    /// To look at the counts from elsewhere.
    pub(super) fn meter(&self) -> Meter {
        Meter(self.shared.clone())
    }

    /// Ends them after their present command, and returns the writer's account and the last counts.
    pub(super) async fn finish(mut self) -> (Account, Counts) {
        self.stop.send_replace(true);
        while self.tasks.join_next().await.is_some() {}
        let counts = self.meter().counts();
        (self.shared.account().clone(), counts)
    }
}

impl Shared {
    fn account(&self) -> MutexGuard<'_, Account> {
        // An account is whole between any two statements.
        self.account.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Sets each key once. Only where the library says that a write was not executed the same key is sent again.
async fn write(mut connection: Connection, shared: Arc<Shared>, stop: watch::Receiver<bool>) {
    let mut number = 0;
    while !*stop.borrow() {
        let key = format!("{PREFIX}:{number}");
        let written: redis::RedisResult<()> =
            redis::cmd("SET").arg(key).arg(number).query_async(&mut connection).await;
        let at = Instant::now();
        match written.map_err(|error| outcome(&error)) {
            Ok(()) => {
                shared.account().acknowledge(number, at);
                shared.acknowledged.fetch_add(1, Ordering::Relaxed);
                number += 1;
            }
            Err(Outcome::NotExecuted) => tokio::time::sleep(PAUSE).await,
            Err(Outcome::Unknown | Outcome::Executed) => {
                shared.account().give_up(number, at);
                shared.unknown.fetch_add(1, Ordering::Relaxed);
                number += 1;
            }
        }
    }
}

/// Reads keys that were written, old and new; that a replica has not got a key yet is no error.
async fn read(mut connection: Connection, shared: Arc<Shared>, stop: watch::Receiver<bool>, reader: u64) {
    let mut turn = reader;
    while !*stop.borrow() {
        // A large odd step visits all numbers in no order.
        turn = turn.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let number = turn % shared.acknowledged.load(Ordering::Relaxed).max(1);
        let key = format!("{PREFIX}:{number}");
        let value: redis::RedisResult<Option<u64>> =
            redis::cmd("GET").arg(key).query_async(&mut connection).await;
        if value.is_ok() {
            shared.reads.fetch_add(1, Ordering::Relaxed);
        } else {
            shared.read_errors.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(PAUSE).await;
        }
    }
}
