//! Those who wait for a node: how many they may be, and how many bytes. They have no order among each other.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use redis::RedisResult;

use crate::client::Inner;
use crate::outcome::{Outcome, failure};

/// How many wait, and how many bytes their commands are.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    commands: AtomicUsize,
    bytes: AtomicUsize,
}

/// A place in the queue. Dropping it gives it back.
pub(crate) struct Place<'a> {
    inner: &'a Inner,
    since: Instant,
    bytes: usize,
}

impl Queue {
    /// How many wait now.
    pub(crate) fn length(&self) -> usize {
        self.commands.load(Ordering::Relaxed)
    }
}

impl Inner {
    /// Takes a place in the queue, and room for so many bytes.
    pub(crate) fn enter_queue(&self, bytes: usize) -> RedisResult<Place<'_>> {
        let (commands, limit) = (self.settings.queue_limit, self.settings.queue_bytes);
        let full = |what| Err(failure(Outcome::NotExecuted, io::ErrorKind::WouldBlock, what));
        if take(&self.queue.commands, 1, commands).is_err() {
            return full(format!(
                "{commands} commands wait for a node already, and no more may (`queue_limit`)"
            ));
        }
        if let Err(before) = take(&self.queue.bytes, bytes, limit) {
            self.queue.commands.fetch_sub(1, Ordering::Relaxed);
            return full(format!(
                "commands of {before} bytes wait for a node already, and {bytes} more would be too many \
                 (`queue_bytes` is {limit})"
            ));
        }
        Ok(Place { inner: self, since: Instant::now(), bytes })
    }
}

/// Adds `more` where that stays within the limit; the error is how much there is already.
fn take(counter: &AtomicUsize, more: usize, limit: usize) -> Result<usize, usize> {
    let sum = |before: usize| before.checked_add(more).filter(|sum| *sum <= limit);
    counter.fetch_update(Ordering::Relaxed, Ordering::Relaxed, sum)
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.inner.queue.commands.fetch_sub(1, Ordering::Relaxed);
        self.inner.queue.bytes.fetch_sub(self.bytes, Ordering::Relaxed);
        self.inner.waited(self.since.elapsed());
    }
}
