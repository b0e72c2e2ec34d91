//! The end of a client: who still has something on its way, and how all of it is closed. Nothing is decided here about
//! what was in flight; that fails like anything whose connection ends.

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use redis::{RedisError, RedisResult};
use tokio::sync::Notify;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::client::Shared;
use crate::outcome::{Outcome, failure};
use crate::routes::Routes;

/// What is set in the number of calls when no more may begin.
const CLOSING: usize = 1 << (usize::BITS - 1);

/// How long the client's own tasks are waited for, which end as soon as their runtime runs them.
const GRACE: Duration = Duration::from_secs(1);

/// Who may still call, and how many are at it: one number, so that no call begins unseen.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    calls: AtomicUsize,
    empty: Notify,
    /// No call begins any more.
    pub(crate) closing: CancellationToken,
    /// All is closed.
    pub(crate) closed: CancellationToken,
}

/// A call that is at it, until this is dropped.
pub(crate) struct Entered(Option<Arc<Gate>>);

impl Entered {
    /// Begins a call.
    ///
    /// # Errors
    /// When no call may begin any more.
    pub(crate) fn new(gate: Arc<Gate>) -> RedisResult<Self> {
        if gate.calls.fetch_add(1, Ordering::AcqRel) & CLOSING != 0 {
            gate.leave();
            return Err(closed());
        }
        Ok(Self(Some(gate)))
    }

    /// Ends the call, and gives back what it was begun with: to count costs no more than the counting.
    pub(crate) fn end(mut self) -> Option<Arc<Gate>> {
        let gate = self.0.take();
        if let Some(gate) = &gate {
            gate.leave();
        }
        gate
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        if let Some(gate) = &self.0 {
            gate.leave();
        }
    }
}

impl Gate {
    fn leave(&self) {
        if self.calls.fetch_sub(1, Ordering::AcqRel) == CLOSING + 1 {
            self.empty.notify_waiters();
        }
    }

    fn count(&self) -> usize {
        self.calls.load(Ordering::Acquire) & !CLOSING
    }

    /// Lets no call begin any more.
    pub(crate) fn shut(&self) {
        self.calls.fetch_or(CLOSING, Ordering::AcqRel);
        self.closing.cancel();
    }

    /// Waits until no call is at it.
    async fn emptied(&self) {
        loop {
            let mut emptied = pin!(self.empty.notified());
            emptied.as_mut().enable();
            if self.count() == 0 {
                return;
            }
            emptied.await;
        }
    }
}

impl Shared {
    /// Lets no call begin, waits for those that are at it, and closes everything. Yields how many were not waited for.
    pub(crate) async fn close(&self, limit: Duration) -> usize {
        let gate = &self.inner.gate;
        gate.shut();
        // One that was interrupted is done by whoever closes next.
        let left = match timeout(limit, gate.emptied()).await {
            Ok(()) => 0,
            Err(_) => gate.count(),
        };
        // From here on nobody waits for anything: whatever ends finds it closed.
        gate.closed.cancel();
        self.forget_source();
        if let Some(ended) = self.stop() {
            // Where their runtime is not run any more there is nobody to wait for.
            let _ = timeout(GRACE, ended.cancelled()).await;
        }
        // Who waits for a master looks again, and what has a connection of its own loses it.
        let last = self.inner.routes.send_replace(Arc::new(Routes::default()));
        last.tenure.cancel();
        left
    }
}

/// Of a call on a client that was closed.
pub(crate) fn closed() -> RedisError {
    failure(Outcome::NotExecuted, io::ErrorKind::NotConnected, "the client was closed")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_counts_from_its_beginning_to_its_end_or_until_it_is_dropped() {
        let gate = Arc::new(Gate::default());
        let (first, second) = (Entered::new(Arc::clone(&gate)), Entered::new(Arc::clone(&gate)));
        assert_eq!(gate.count(), 2);
        drop(first);
        assert_eq!(gate.count(), 1);
        gate.shut();
        let refused = Entered::new(Arc::clone(&gate)).err().expect("it is shut");
        assert_eq!((crate::outcome(&refused), gate.count()), (Outcome::NotExecuted, 1));
        assert!(second.expect("it was open").end().is_some());
        assert_eq!(gate.count(), 0);
    }
}
