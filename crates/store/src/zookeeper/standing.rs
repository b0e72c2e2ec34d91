//! Whether one campaign leads: what it was last told, and the lock by which it does. It asks nobody.

use std::sync::{Mutex, PoisonError};

use redis_failover_core::{Leadership, Term};
use tokio::sync::{Notify, watch};

use crate::Leader;

/// Whether one campaign leads; written by the session's thread and by the watchdog.
pub(super) struct Standing {
    pub(super) leadership: watch::Sender<Leadership>,
    /// Who leads, as was seen last, where that is another one.
    pub(super) leader: watch::Sender<Option<Leader>>,
    lock: Mutex<Option<Held>>,
    pub(super) doubt: Notify,
}

/// The lock node that makes its holder the leader.
#[derive(Clone, Debug)]
pub(super) struct Held {
    pub(super) path: String,
    pub(super) term: Term,
}

impl Standing {
    /// One that does not lead.
    pub(super) fn new() -> Self {
        let leadership = watch::Sender::new(Leadership::Following);
        Self { leadership, leader: watch::Sender::default(), lock: Mutex::default(), doubt: Notify::new() }
    }

    /// Hands off until the lock was looked at again.
    pub(super) fn suspend(&self) {
        let suspended = self.leadership.send_if_modified(|leadership| {
            let leads = matches!(leadership, Leadership::Leading(_));
            if leads {
                *leadership = Leadership::Suspended;
            }
            leads
        });
        if suspended {
            self.doubt.notify_one();
        }
    }

    pub(super) fn follow(&self) {
        *self.lock.lock().unwrap_or_else(PoisonError::into_inner) = None;
        self.set(Leadership::Following);
    }

    pub(super) fn lead(&self, held: Held) {
        let term = held.term;
        *self.lock.lock().unwrap_or_else(PoisonError::into_inner) = Some(held);
        self.set(Leadership::Leading(term));
        self.another_leads(None);
    }

    fn set(&self, new: Leadership) {
        self.leadership.send_if_modified(|old| std::mem::replace(old, new) != new);
    }

    /// Who leads, where that is another one.
    pub(super) fn another_leads(&self, new: Option<Leader>) {
        self.leader.send_if_modified(|old| {
            let differs = *old != new;
            if differs {
                *old = new;
            }
            differs
        });
    }

    pub(super) fn leads(&self, term: Term) -> bool {
        *self.leadership.borrow() == Leadership::Leading(term)
    }

    /// The lock of `term`, if that is the present one and not in doubt.
    pub(super) fn held(&self, term: Term) -> Option<Held> {
        let lock = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        lock.clone().filter(|held| held.term == term && self.leads(term))
    }
}
