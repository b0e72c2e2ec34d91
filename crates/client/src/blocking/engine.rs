//! The thread that drives what blocking callers wait for.
//!
//! A call is a task of its runtime, and the caller waits for the task's end, whatever thread it is on. Nothing of tokio
//! is asked to block on the caller's thread: within a runtime that would panic, and what yields there would wait for a
//! scheduler that its own thread holds up.

use std::cell::Cell;
use std::future::Future;
use std::io;
use std::sync::{Mutex, PoisonError, mpsc};
use std::thread;

use redis::{RedisError, RedisResult};
use tokio::runtime::{self, Handle, Runtime};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::outcome::{Outcome, failure};

/// How many names of nodes are looked up at a time. The system's resolver blocks, so each takes a thread meanwhile.
const LOOKUPS: usize = 4;

thread_local! {
    /// Whether this thread drives a client.
    static DRIVES: Cell<bool> = const { Cell::new(false) };
}

/// A thread that is started when it is first needed, and ends when this is dropped.
#[derive(Debug, Default)]
pub(super) struct Engine {
    running: Mutex<Option<Running>>,
}

#[derive(Debug)]
struct Running {
    handle: Handle,
    _end: DropGuard,
}

impl Engine {
    /// Its runtime.
    ///
    /// # Errors
    /// When the system grants no thread now.
    pub(super) fn handle(&self) -> RedisResult<Handle> {
        self.started_by(start)
    }

    /// What failed is tried again when it is next needed.
    fn started_by(&self, start: impl FnOnce() -> io::Result<Running>) -> RedisResult<Handle> {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(running) = &*running {
            return Ok(running.handle.clone());
        }
        let started = start().map_err(|error| {
            let what = format!("no thread could be started for the client: {error}");
            failure(Outcome::NotExecuted, io::ErrorKind::Other, what)
        })?;
        Ok(running.insert(started).handle.clone())
    }

    /// Waits until this is done.
    ///
    /// # Errors
    /// When there is no thread to do it, or this is the one.
    pub(super) fn wait<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> RedisResult<T> {
        may_wait()?;
        wait_on(&self.handle()?, work).ok_or_else(ended)
    }
}

/// Refuses to wait on a thread that others wait for.
pub(super) fn may_wait() -> RedisResult<()> {
    if !DRIVES.get() {
        return Ok(());
    }
    let what = "a callback for changes of the topology runs on the client's own thread, which would wait for itself; \
                send commands from another thread";
    Err(failure(Outcome::NotExecuted, io::ErrorKind::Deadlock, what))
}

/// Of work that its thread did not end.
pub(super) fn ended() -> RedisError {
    failure(
        Outcome::Unknown,
        io::ErrorKind::BrokenPipe,
        "the client's thread ended, or panicked, before the reply came",
    )
}

/// Waits until this is done there; `None` if it never will be, or if this thread must not wait.
pub(super) fn wait_on<T: Send + 'static>(
    handle: &Handle,
    work: impl Future<Output = T> + Send + 'static,
) -> Option<T> {
    may_wait().ok()?;
    let (done, waiting) = mpsc::sync_channel(1);
    handle.spawn(async move {
        let result = work.await;
        // There is one place, and it is empty.
        let _ = done.send(result);
    });
    waiting.recv().ok()
}

fn start() -> io::Result<Running> {
    start_by(|run| thread::Builder::new().name("redis-failover".to_owned()).spawn(run).map(drop))
}

fn start_by(spawn: impl FnOnce(Box<dyn FnOnce() + Send>) -> io::Result<()>) -> io::Result<Running> {
    let runtime = runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .max_blocking_threads(LOOKUPS)
        .thread_name("redis-failover")
        .build()?;
    let handle = runtime.handle().clone();
    let end = CancellationToken::new();
    let asked = end.clone();
    // It is given to the thread once that is there: where none is granted it would be dropped with what the thread
    // should have done, and tokio panics when that happens within a caller's runtime.
    let (give, take) = mpsc::sync_channel::<Runtime>(1);
    let run = move || {
        let Ok(runtime) = take.recv() else { return };
        DRIVES.set(true);
        runtime.block_on(asked.cancelled());
        // A lookup may take its time: nobody waits for it.
        runtime.shutdown_background();
    };
    if let Err(error) = spawn(Box::new(run)) {
        runtime.shutdown_background();
        return Err(error);
    }
    // The thread is there, and takes it.
    let _ = give.send(runtime);
    Ok(Running { handle, _end: end.drop_guard() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_panics_is_unknown_and_the_thread_goes_on() {
        let engine = Engine::default();
        let error = engine.wait(async { panic!("a defect") }).map(|(): ()| ()).expect_err("it never ends");
        assert_eq!(crate::outcome(&error), Outcome::Unknown);
        assert_eq!(
            engine.wait(async { thread::current().name().map(str::to_owned) }).ok(),
            Some(Some("redis-failover".into()))
        );
    }

    #[test]
    fn a_thread_that_was_not_granted_is_asked_for_again() {
        let engine = Engine::default();
        let error = engine.started_by(|| Err(io::ErrorKind::OutOfMemory.into())).expect_err("there is none");
        assert_eq!(crate::outcome(&error), Outcome::NotExecuted);
        assert_eq!(engine.wait(async { 1 }).ok(), Some(1));
    }

    #[tokio::test]
    async fn within_a_runtime_a_thread_that_is_not_granted_is_no_panic() {
        let error = start_by(|_| Err(io::ErrorKind::WouldBlock.into())).expect_err("there is none");
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
    }

    #[test]
    fn who_waits_when_it_ends_is_let_go() {
        let engine = Engine::default();
        let handle = engine.handle().expect("a thread");
        let waiting = thread::spawn(move || wait_on(&handle, std::future::pending::<()>()));
        drop(engine);
        assert_eq!(waiting.join().expect("no panic"), None);
    }
}
