//! Writers and readers that use the client library as an application would, and the look at what became of the
//! writes. They know of no fault.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use redis::RedisResult;
use redis_failover::{Client, Connection, Outcome, outcome};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::ledger::{Ledger, PAGE};
use crate::failure::Failure;
use crate::plain;

/// How many writers there are, each with one write in flight.
pub(super) const WRITERS: usize = 2;

/// How many readers there are.
const READERS: usize = 2;

/// From one command to the next: the machine is the servers'.
const PACE: Duration = Duration::from_millis(2);

/// After a failure: the library itself has waited before it gave up.
const PAUSE: Duration = Duration::from_millis(20);

/// How many pages are read back at once.
const PART: usize = 50;

/// How long the master has for one part.
const PATIENCE: Duration = Duration::from_secs(5);

/// The running writers and readers. Dropping it ends them where they stand.
#[derive(Debug)]
pub(super) struct Traffic {
    shared: Arc<Shared>,
    stop: watch::Sender<bool>,
    tasks: JoinSet<()>,
}

#[derive(Debug)]
struct Shared {
    ledgers: Vec<Mutex<Ledger>>,
    reads: AtomicU64,
    read_errors: AtomicU64,
    /// What a server said that no write should have to hear.
    refusals: Mutex<Vec<String>>,
}

/// What came of all of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Balance {
    pub acknowledged: usize,
    pub lost: usize,
    pub unknown: usize,
    pub twice: usize,
    pub reads: u64,
    pub read_errors: u64,
    pub refusals: Vec<String>,
}

impl Traffic {
    /// Starts them.
    pub(super) fn start(client: &Client) -> Self {
        let began = Instant::now();
        let shared = Arc::new(Shared {
            ledgers: (0..WRITERS).map(|writer| Mutex::new(Ledger::new(writer, began))).collect(),
            reads: AtomicU64::new(0),
            read_errors: AtomicU64::new(0),
            refusals: Mutex::default(),
        });
        let stop = watch::Sender::new(false);
        let mut tasks = JoinSet::new();
        for writer in 0..WRITERS {
            tasks.spawn(write(client.connection(), Arc::clone(&shared), writer, stop.subscribe()));
        }
        for reader in 0..READERS {
            tasks.spawn(read(client.connection(), Arc::clone(&shared), reader, stop.subscribe()));
        }
        Self { shared, stop, tasks }
    }

    /// Waits until each writer had a write confirmed later than at `since`.
    pub(super) async fn acknowledged_since(&self, since: Instant, limit: Duration) -> Result<(), Failure> {
        let began = Instant::now();
        while self.ledgers().any(|ledger| ledger.last().is_none_or(|at| at <= since)) {
            if began.elapsed() > limit {
                return Err(Failure::new(format!(
                    "a writer gets nothing confirmed in {} s",
                    limit.as_secs()
                )));
            }
            sleep(PACE).await;
        }
        Ok(())
    }

    /// How many writes were confirmed in this time, and of how many nobody knows.
    pub(super) fn during(&self, window: &Range<Instant>) -> (usize, usize) {
        self.ledgers()
            .map(|ledger| ledger.during(window))
            .fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1))
    }

    /// The longest time that touches this one in which some writer got no write confirmed.
    pub(super) fn longest_gap(&self, window: &Range<Instant>) -> Duration {
        self.ledgers().map(|ledger| ledger.longest_gap(window)).max().unwrap_or_default()
    }

    /// Reads all writes back from the master at this address; returns how many are lost that were not before.
    pub(super) async fn look(&self, master: &str) -> Result<usize, Failure> {
        let no_answer = || Failure::new(format!("{master} does not show what it holds"));
        let mut connection = plain::connect(master, Some(PATIENCE)).await.ok_or_else(no_answer)?;
        let mut lost = 0;
        for ledger in &self.shared.ledgers {
            // What is confirmed from here on may come after the look.
            let until = lock(ledger).next();
            let pages: Vec<_> = (0..until.div_ceil(PAGE)).collect();
            for part in pages.chunks(PART) {
                let mut pipeline = redis::pipe();
                for page in part {
                    pipeline.cmd("HGETALL").arg(lock(ledger).key(*page));
                }
                let held: Vec<BTreeMap<usize, u64>> =
                    pipeline.query_async(&mut connection).await.map_err(Failure::new)?;
                let mut ledger = lock(ledger);
                lost += part
                    .iter()
                    .zip(&held)
                    .map(|(page, held)| ledger.compare(*page, until, held))
                    .sum::<usize>();
            }
        }
        Ok(lost)
    }

    /// Ends them after their present command, or soon.
    pub(super) async fn finish(&mut self) {
        self.stop.send_replace(true);
        let ended = async { while self.tasks.join_next().await.is_some() {} };
        let _ = tokio::time::timeout(PATIENCE, ended).await;
        self.tasks.abort_all();
    }

    /// What came of all of it so far.
    pub(super) fn balance(&self) -> Balance {
        let sum = |count: fn(&Ledger) -> usize| self.ledgers().map(|ledger| count(&ledger)).sum();
        Balance {
            acknowledged: sum(Ledger::acknowledged),
            lost: sum(Ledger::lost),
            unknown: sum(Ledger::unknown),
            twice: sum(Ledger::twice),
            reads: self.shared.reads.load(Ordering::Relaxed),
            read_errors: self.shared.read_errors.load(Ordering::Relaxed),
            refusals: lock(&self.shared.refusals).clone(),
        }
    }

    fn ledgers(&self) -> impl Iterator<Item = MutexGuard<'_, Ledger>> {
        self.shared.ledgers.iter().map(lock)
    }
}

/// Adds one to one counter after the other; to the same again only if the library says that it was not executed.
async fn write(mut connection: Connection, shared: Arc<Shared>, writer: usize, stop: watch::Receiver<bool>) {
    let ledger = &shared.ledgers[writer];
    while !*stop.borrow() {
        let (number, key) = {
            let ledger = lock(ledger);
            (ledger.next(), ledger.key(ledger.next() / PAGE))
        };
        let mut command = redis::cmd("HINCRBY");
        command.arg(key).arg(number % PAGE).arg(1);
        let written: RedisResult<u64> = command.query_async(&mut connection).await;
        let at = Instant::now();
        match written.map_err(|error| (outcome(&error), error)) {
            Ok(counter) => lock(ledger).acknowledge(counter, at),
            Err((Outcome::Unknown, _)) => lock(ledger).give_up(at),
            Err((Outcome::NotExecuted, _)) => sleep(PAUSE).await,
            // A server that names an error has not executed this command.
            Err((Outcome::Executed, error)) => {
                lock(&shared.refusals).push(error.to_string());
                sleep(PAUSE).await;
            }
        }
        sleep(PACE).await;
    }
}

/// Reads counters that were written, old and new; that a replica has not got one yet is no error.
async fn read(mut connection: Connection, shared: Arc<Shared>, reader: usize, stop: watch::Receiver<bool>) {
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

/// What is locked here is whole between any two statements.
fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}
