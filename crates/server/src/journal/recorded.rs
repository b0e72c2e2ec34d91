//! A decider every call of which goes into a journal, if there is one. It never waits for the journal.

use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use redis_failover_core::{Action, Decider, Event, Instant, NodeAddr, Policy};
use tokio::sync::mpsc::{self, error::TrySendError};
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::format::{Entry, FORMAT, Head};
use super::writer::Writer;
use super::{Call, JournalFile, Moment};

/// How many entries may wait to be written. In the densest moments some 3000 come in a second.
const ROOM: usize = 4_096;

/// How long the end of a monitor waits until all is written.
const PATIENCE: Duration = Duration::from_secs(2);

/// A decider. Whatever only looks at it is called on the decider itself; what may change it is called here.
pub(crate) struct Recorded {
    decider: Decider,
    journal: Option<Journal>,
}

impl Recorded {
    /// This decider, with a journal of the group at `place`, where that is given.
    pub(crate) fn new(decider: Decider, group: &str, place: Option<JournalFile>) -> Self {
        let journal = place.and_then(|place| Journal::start(group, place));
        Self { decider, journal }
    }

    /// [`Decider::handle`].
    pub(crate) fn handle(&mut self, now: Instant, event: Event) {
        self.call(Call::Handle(now, event));
    }

    /// [`Decider::poll_action`].
    pub(crate) fn poll_action(&mut self, now: Instant) -> Option<Action> {
        self.call(Call::Poll(now))
    }

    /// [`Decider::seed`].
    pub(crate) fn seed(&mut self, now: Instant, nodes: Vec<NodeAddr>, policy: Policy) {
        self.call(Call::Seed(now, nodes, policy));
    }

    /// Waits a moment until all is written.
    pub(crate) async fn close(self) {
        let Some(journal) = self.journal else { return };
        drop(journal.entries);
        // The file may be on a disk that hangs.
        let _ = timeout(PATIENCE, journal.ended).await;
    }

    /// Whether the writer has taken all that there was.
    #[cfg(test)]
    pub(super) fn is_taken(&self) -> bool {
        self.journal.as_ref().is_none_or(Journal::is_taken)
    }

    fn call(&mut self, call: Call) -> Option<Action> {
        let Some(journal) = &mut self.journal else { return call.make(&mut self.decider) };
        // Before it is made: a call that panics is the last in the journal.
        journal.call(&self.decider, &call);
        let action = call.make(&mut self.decider);
        if let Some(action) = &action {
            journal.send(|| Entry::Action(Box::new(action.clone())));
        }
        action
    }
}

impl Deref for Recorded {
    type Target = Decider;

    fn deref(&self) -> &Decider {
        &self.decider
    }
}

/// The way to the thread that writes.
pub(super) struct Journal {
    group: String,
    entries: mpsc::Sender<Entry>,
    /// Whether the next entry must be a head.
    wanted: Arc<AtomicBool>,
    /// Whether there was no head yet.
    starts: bool,
    /// How many entries found no room since the last head.
    dropped: u64,
    ended: oneshot::Receiver<()>,
}

impl Journal {
    /// Starts the thread that writes; `None` where the system has none to give, which is said.
    fn start(group: &str, place: JournalFile) -> Option<Self> {
        let (journal, writer) = Self::new(group, place, ROOM);
        let path = writer.path().display().to_string();
        let thread = std::thread::Builder::new().name("journal".to_owned()).spawn(move || writer.run());
        match thread {
            Ok(_) => Some(journal),
            Err(error) => {
                tracing::error!(
                    event = "journal",
                    group,
                    "no journal is written to {path}: no thread: {error}"
                );
                None
            }
        }
    }

    /// A journal whose writer is yet to be run, and which has room for so many entries.
    pub(super) fn new(group: &str, place: JournalFile, room: usize) -> (Self, Writer) {
        let (entries, inbox) = mpsc::channel(room);
        let (end, ended) = oneshot::channel();
        let wanted = Arc::new(AtomicBool::new(true));
        let writer = Writer::new(group.to_owned(), place, inbox, wanted.clone(), end);
        (Self { group: group.to_owned(), entries, wanted, starts: true, dropped: 0, ended }, writer)
    }

    /// Whether the writer has taken all that there was.
    #[cfg(test)]
    pub(super) fn is_taken(&self) -> bool {
        self.entries.capacity() == self.entries.max_capacity()
    }

    /// Notes that `decider`, as it is, will be called.
    pub(super) fn call(&mut self, decider: &Decider, call: &Call) {
        let behind = self.dropped > 0;
        // Not at the first free place: the head, and what follows it, would find none.
        if behind && self.entries.capacity() < self.entries.max_capacity() / 2 {
            self.dropped += 1;
            return;
        }
        if behind | self.wanted.swap(false, Ordering::Relaxed) {
            let head = Head {
                journal: FORMAT,
                program: env!("CARGO_PKG_VERSION").to_owned(),
                started: std::mem::take(&mut self.starts),
                missing: std::mem::take(&mut self.dropped),
                group: self.group.clone(),
                monitor: decider.monitor().clone(),
                time: Moment::present(),
                now: call.now(),
                decider: decider.clone(),
            };
            self.send(|| Entry::Begin(Box::new(head)));
        }
        self.send(|| Entry::Call(call.clone()));
    }

    /// Has an entry written; it is dropped where there is no room, or one before it was.
    pub(super) fn send(&mut self, entry: impl FnOnce() -> Entry) {
        if self.dropped > 0 {
            self.dropped += 1;
            return;
        }
        match self.entries.try_reserve() {
            Ok(place) => place.send(entry()),
            Err(TrySendError::Full(())) => {
                self.dropped = 1;
                tracing::warn!(
                    event = "journal", group = %self.group,
                    "the journal can't be written as fast as things happen: what is dropped is counted in it"
                );
            }
            // The thread has ended: it panicked, and there is nothing to be done about it.
            Err(TrySendError::Closed(())) => {}
        }
    }
}
