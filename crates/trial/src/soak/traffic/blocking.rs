//! Those without a runtime: a thread that writes on a connection of the blocking client, and threads that take one of
//! its `r2d2` pool for each write. They judge nothing.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use redis::RedisResult;
use redis_failover::blocking::{Client, Connection};
use redis_failover::r2d2::event::AcquireEvent;
use redis_failover::r2d2::{HandleEvent, Pool};
use redis_failover::{Outcome, outcome};
use tokio::sync::watch;

use super::super::ledger::{Ledger, PAGE};
use super::super::pool::SIZE;
use super::{PATIENCE, PAUSE, Shared, lock};
use crate::failure::Failure;

/// From one write to the next. A thread rests as long as it is told, a task somewhat longer.
const REST: Duration = Duration::from_millis(5);

/// After so many writes a user of the pool begins something, and gives the connection back without ending it.
const LEAVES: usize = 20;

/// The running threads. Each ends after its present command when it is told to stop, or when nobody could tell it any
/// more.
#[derive(Debug)]
pub(super) struct Threads {
    client: Client,
    running: Vec<JoinHandle<()>>,
}

/// Enters the connections that the pool makes.
#[derive(Debug)]
struct Made(Arc<Shared>);

impl HandleEvent for Made {
    fn handle_acquire(&self, _: AcquireEvent) {
        lock(&self.0.pool).make();
    }
}

impl Threads {
    /// Starts them; nothing here waits for a server.
    ///
    /// # Errors
    /// When the system grants no thread.
    pub(super) fn start(
        client: Client,
        shared: &Arc<Shared>,
        stop: &watch::Sender<bool>,
    ) -> Result<Self, Failure> {
        let mut threads = Self { client, running: Vec::new() };
        let (client, its, stopped) = (threads.client.clone(), Arc::clone(shared), stop.subscribe());
        threads.spawn(move || write_alone(&client, &its, &stopped))?;
        let pool = pool(threads.client.clone(), shared);
        for user in 0..SIZE {
            let (pool, its, stopped) = (pool.clone(), Arc::clone(shared), stop.subscribe());
            threads.spawn(move || write_through(&pool, &its, user, &stopped))?;
        }
        Ok(threads)
    }

    fn spawn(&mut self, work: impl FnOnce() + Send + 'static) -> Result<(), Failure> {
        let thread = thread::Builder::new().name("blocking".to_owned()).spawn(work).map_err(Failure::new)?;
        self.running.push(thread);
        Ok(())
    }

    /// Ends them, who were told to stop, after their present command, or soon. It blocks until then.
    pub(super) fn finish(&mut self, shared: &Shared) {
        // What is not over by then fails, so nobody is waited for in vain.
        if let Err(error) = self.client.close(PATIENCE) {
            shared.complain(&format!("the blocking client can't be closed: {error}"));
        }
        for thread in self.running.drain(..) {
            if thread.join().is_err() {
                shared.complain("a thread that used the blocking client panicked");
            }
        }
    }
}

/// A pool that keeps its connections for as long as it lives.
fn pool(client: Client, shared: &Arc<Shared>) -> Pool<Client> {
    let builder = Pool::builder().max_size(u32::try_from(SIZE).unwrap_or(u32::MAX));
    let builder = builder.connection_timeout(PATIENCE).idle_timeout(None).max_lifetime(None);
    builder.event_handler(Box::new(Made(Arc::clone(shared)))).build_unchecked(client)
}

/// Whether nobody has told it to stop, and somebody still could.
fn goes_on(stop: &watch::Receiver<bool>) -> bool {
    stop.has_changed().is_ok() && !*stop.borrow()
}

fn write_alone(client: &Client, shared: &Shared, stop: &watch::Receiver<bool>) {
    let mut connection = client.connection();
    while goes_on(stop) {
        write(&mut connection, &shared.blocking, shared);
        thread::sleep(REST);
    }
}

fn write_through(pool: &Pool<Client>, shared: &Shared, user: usize, stop: &watch::Receiver<bool>) {
    let mut turn: usize = 0;
    while goes_on(stop) {
        turn = turn.wrapping_add(1);
        let asked = Instant::now();
        let mut connection = match pool.get() {
            Ok(connection) => connection,
            Err(error) => {
                shared.complain(&format!("the pool gave out no connection in {PATIENCE:?}: {error}"));
                continue;
            }
        };
        if let Some(wrong) = lock(&shared.pool).give(asked.elapsed()) {
            shared.complain(&wrong);
        }
        write(&mut connection, &shared.pooled[user], shared);
        if turn.is_multiple_of(LEAVES) {
            lock(&shared.pool).leave();
            // Where it fails nothing was begun, and nothing was to be changed.
            let _ = redis::cmd("MULTI").exec(&mut *connection);
        }
        drop(connection);
        thread::sleep(REST);
    }
}

/// Adds one to the next counter; to the same again only if the library says that it was not executed.
fn write(connection: &mut Connection, ledger: &Mutex<Ledger>, shared: &Shared) {
    let (number, key) = lock(ledger).place();
    let written: RedisResult<u64> =
        redis::cmd("HINCRBY").arg(key).arg(number % PAGE).arg(1).query(connection);
    let at = Instant::now();
    match written.map_err(|error| (outcome(&error), error)) {
        Ok(counter) => lock(ledger).acknowledge(counter, at),
        Err((Outcome::Unknown, _)) => lock(ledger).give_up(at),
        Err((outcome, error)) => {
            if outcome == Outcome::NotExecuted {
                shared.not_executed.fetch_add(1, Ordering::Relaxed);
            }
            shared.not_done(outcome, &error);
            thread::sleep(PAUSE);
        }
    }
}
