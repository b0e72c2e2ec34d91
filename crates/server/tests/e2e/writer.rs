//! A writer of unique keys on a thread of its own, through the client library, and what it was told.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use redis_failover::redis::{RedisResult, cmd};
use redis_failover::{Client, Outcome, outcome};
use redis_failover_lab::{Account, Redis, ensure_eq, eventually};

use crate::world::{CLIENT, DEADLINE, Group, SESSION, Servers};

/// On a crash under load the last replies may have left before the same writes went to the replicas: both are sent in
/// one turn of the server's loop, so a writer that waits for each reply can lose one or two, never more.
pub(crate) const LOST_AT_MOST: usize = 2;

/// A test that takes longer than this to write again has found something.
const GAP_AT_MOST: Duration = Duration::from_secs(8);

/// How many writes must have been acknowledged on each side of a fault.
const ENOUGH: usize = 1_000;

/// What a writer is to do.
const WRITE: u8 = 0;
const PAUSE: u8 = 1;
const PAUSED: u8 = 2;
const END: u8 = 3;

/// A running writer. Dropping it ends it.
pub(crate) struct Writer {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    account: Mutex<Account>,
    orders: AtomicU8,
}

/// What came of a writer's keys.
#[derive(Debug)]
pub(crate) struct Balance {
    /// The keys whose write was acknowledged.
    pub(crate) acknowledged: usize,
    /// Those of them that the final master does not hold.
    pub(crate) lost: usize,
    /// The keys whose outcome the writer does not know.
    pub(crate) unknown: usize,
    /// The longest time without an acknowledged write.
    pub(crate) gap: Duration,
}

/// `faults` is how often the master went: a writer that waits for each reply has one write in flight then.
pub(crate) fn assert_sound(balance: &Balance, faults: usize, lost_at_most: usize) {
    assert!(balance.lost <= lost_at_most, "{balance:?}");
    assert!(balance.unknown <= faults, "{balance:?}");
    assert!(balance.acknowledged >= 2_000, "{balance:?}");
    assert!(balance.gap < GAP_AT_MOST, "{balance:?}");
}

impl Writer {
    /// A writer to `group` that has begun to write.
    pub(crate) fn start(servers: &Servers, group: &Group, prefix: &str) -> Self {
        let builder = Client::builder().servers(servers.zookeeper.connect_string()).path(&group.path);
        // It loses and finds ZooKeeper when the monitors do: what they must wait for is waited for by it, too.
        let mut builder = builder.session_timeout(SESSION);
        if group.linked {
            builder = builder.source_address(CLIENT.into());
        }
        if let Some(tls) = &group.tls {
            builder = builder.tls(tls.clone());
        }
        if let Some(password) = group.password {
            builder = builder.password(password);
        }
        let client = builder.build().expect("good settings");
        let shared =
            Arc::new(Shared { account: Mutex::new(Account::new(prefix)), orders: AtomicU8::new(WRITE) });
        let theirs = Arc::clone(&shared);
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime").block_on(theirs.write(&client)).expect("Redis takes a SET");
        });
        let writer = Self { shared, thread: Some(thread) };
        writer.write_more();
        writer
    }

    /// Waits until enough more writes were acknowledged.
    pub(crate) fn write_more(&self) {
        let wanted = self.acknowledged() + ENOUGH;
        eventually(DEADLINE, "the writer writes", || {
            let acknowledged = self.acknowledged();
            if acknowledged >= wanted { Ok(()) } else { Err(format!("{acknowledged} of {wanted}")) }
        });
    }

    /// How many writes were acknowledged so far.
    pub(crate) fn acknowledged(&self) -> usize {
        self.shared.account().acknowledged()
    }

    /// Holds the writer still: nothing is in flight when this returns.
    pub(crate) fn pause(&self) {
        self.shared.orders.store(PAUSE, Ordering::SeqCst);
        eventually(DEADLINE, "the writer pauses", || {
            ensure_eq(self.shared.orders.load(Ordering::SeqCst), PAUSED)
        });
    }

    /// Lets it go on.
    pub(crate) fn resume(&self) {
        self.shared.orders.store(WRITE, Ordering::SeqCst);
        self.unpark();
    }

    /// Ends the writer and reads every acknowledged key back from `master`.
    pub(crate) fn finish(mut self, master: &Redis) -> Balance {
        self.end().expect("the writer has not failed");
        let account = self.shared.account();
        let balance = Balance {
            acknowledged: account.acknowledged(),
            lost: account.lost(master).expect("the final master answers").len(),
            unknown: account.unknown(),
            gap: account.longest_gap(),
        };
        println!("{}: {balance:?}", account.key(0));
        balance
    }

    fn unpark(&self) {
        if let Some(thread) = &self.thread {
            thread.thread().unpark();
        }
    }

    fn end(&mut self) -> std::thread::Result<()> {
        self.shared.orders.store(END, Ordering::SeqCst);
        self.unpark();
        self.thread.take().map_or(Ok(()), JoinHandle::join)
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // A test that fails already says why.
        let _ = self.end();
    }
}

impl Shared {
    fn account(&self) -> MutexGuard<'_, Account> {
        self.account.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes one key after the other until it is told to end. A key is sent again only if it surely was not written.
    async fn write(&self, client: &Client) -> RedisResult<()> {
        let mut connection = client.connection();
        let mut number = 0;
        while self.may_write() {
            let key = self.account().key(number);
            let written: RedisResult<()> = cmd("SET").arg(key).arg(number).query_async(&mut connection).await;
            let now = Instant::now();
            match written.map_err(|error| (outcome(&error), error)) {
                Ok(()) => self.account().acknowledge(number, now),
                Err((Outcome::Unknown, _)) => self.account().give_up(number, now),
                Err((Outcome::NotExecuted, _)) => continue,
                // A server that runs a script refuses all else before it begins.
                Err((Outcome::Executed, error)) if error.code() == Some("BUSY") => continue,
                Err((Outcome::Executed, error)) => return Err(error),
            }
            number += 1;
        }
        Ok(())
    }

    /// Waits while it is to pause; false at the end.
    fn may_write(&self) -> bool {
        loop {
            let paused = self.orders.compare_exchange(PAUSE, PAUSED, Ordering::SeqCst, Ordering::SeqCst);
            match paused.unwrap_or_else(|order| order) {
                WRITE => return true,
                END => return false,
                // Nothing else runs on this thread: the client's own tasks wait, too, as in a process that is stopped.
                _ => std::thread::park(),
            }
        }
    }
}
