//! What a session has written, as far as its reads must know: the number of the question that a replica must have
//! proved before it is read from. What is proved is judged in core (`own_writes`).

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use redis_failover_core::own_writes::Marks;
use tokio::sync::{Notify, futures::Notified, watch};

/// The questions of one client to its nodes, which are numbered, and how far the master was at each.
#[derive(Debug)]
pub(crate) struct Questions {
    /// The number of the latest.
    begun: AtomicU64,
    marks: Mutex<Marks>,
    /// A read went to the master because nothing is proved yet.
    wanted: Notify,
    /// The latest question to the master that was wanted, when it is answered.
    pub(crate) noted: watch::Sender<u64>,
    more_is_proved: Notify,
}

impl Default for Questions {
    fn default() -> Self {
        Self {
            begun: AtomicU64::new(0),
            marks: Mutex::default(),
            wanted: Notify::new(),
            noted: watch::Sender::new(0),
            more_is_proved: Notify::new(),
        }
    }
}

impl Questions {
    /// The number of the next question, which is taken before it is known whom it asks.
    pub(crate) fn begin(&self) -> u64 {
        self.begun.fetch_add(1, Ordering::AcqRel) + 1
    }

    /// The question that a replica must prove to hold all that was answered until now.
    ///
    /// It writes, though nothing changes: who takes the next number then sees all that was seen here, the new master
    /// after a change before all.
    fn next(&self) -> u64 {
        self.begun.fetch_add(0, Ordering::AcqRel) + 1
    }

    /// How far the master was.
    pub(crate) fn marks(&self) -> MutexGuard<'_, Marks> {
        // Whole between any two statements.
        self.marks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has the next question asked soon.
    pub(crate) fn want(&self) {
        self.wanted.notify_one();
    }

    /// Waits until the next question is wanted.
    pub(crate) async fn wanted(&self) {
        self.wanted.notified().await;
    }

    /// Tells those who wait that a replica has proved more than before.
    pub(crate) fn tell_of_proof(&self) {
        self.more_is_proved.notify_waiters();
    }

    /// Ends when more is proved.
    pub(crate) fn more_is_proved(&self) -> Notified<'_> {
        self.more_is_proved.notified()
    }
}

/// What one session has written: a connection with all its clones.
#[derive(Debug)]
pub(crate) struct OwnWrites {
    questions: Arc<Questions>,
    /// The question that a replica must have proved; 0 before the first write.
    needed: AtomicU64,
}

impl OwnWrites {
    /// A session of its own, which knows what `before` has written.
    pub(crate) fn new(questions: &Arc<Questions>, before: Option<&Self>) -> Arc<Self> {
        let needed = AtomicU64::new(before.map_or(0, Self::needed));
        Arc::new(Self { questions: Arc::clone(questions), needed })
    }

    /// The question that a replica must have proved before this session reads from it; 0 if none.
    pub(crate) fn needed(&self) -> u64 {
        self.needed.load(Ordering::Acquire)
    }

    /// Notes a write when what this returns is dropped: with the reply, or with a future that nobody waits for any
    /// more.
    pub(crate) fn note_on_drop(self: &Arc<Self>) -> Writing {
        Writing(Arc::clone(self))
    }

    /// A read found no replica that holds all of it.
    pub(crate) fn want(&self) {
        self.questions.want();
    }
}

/// A write of a session that is under way.
#[derive(Debug)]
pub(crate) struct Writing(Arc<OwnWrites>);

impl Drop for Writing {
    fn drop(&mut self) {
        self.0.needed.fetch_max(self.0.questions.next(), Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_needs_a_question_that_was_asked_after_it() {
        let questions = Arc::new(Questions::default());
        let own = OwnWrites::new(&questions, None);
        assert_eq!(own.needed(), 0);
        let writing = own.note_on_drop();
        assert_eq!((questions.begin(), own.needed()), (1, 0));
        drop(writing);
        assert_eq!((own.needed(), questions.begin()), (2, 2));
        drop(own.note_on_drop());
        assert_eq!(own.needed(), 3);
        let later = OwnWrites::new(&questions, Some(&own));
        drop(later.note_on_drop());
        assert_eq!((later.needed(), own.needed(), questions.begin()), (3, 3, 3));
        drop(later.note_on_drop());
        assert_eq!((later.needed(), own.needed()), (4, 3), "each session has its own writes");
    }
}
