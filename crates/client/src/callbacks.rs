//! Those who want to be called when the topology changes: each in the order of the changes, and none disturbs another.
//! What they do is nobody's business here.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, watch};

use crate::topology::Topology;

type Call = dyn Fn(&Topology) + Send + Sync;

/// Everybody who wants to be called.
#[derive(Default)]
pub(crate) struct Callbacks {
    all: Mutex<Vec<Callback>>,
    more: Notify,
}

/// Somebody who wants to be called, and what they were told last.
struct Callback {
    call: Arc<Call>,
    told: Option<Arc<Topology>>,
}

impl Callbacks {
    /// One more.
    pub(crate) fn add(&self, call: Arc<Call>) {
        self.locked().push(Callback { call, told: None });
        self.more.notify_one();
    }

    /// Nobody wants it any more.
    pub(crate) fn clear(&self) {
        // They may own what takes this very lock when it ends.
        let all = std::mem::take(&mut *self.locked());
        drop(all);
    }

    fn locked(&self) -> MutexGuard<'_, Vec<Callback>> {
        // Whole between any two statements.
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Who was not told of `topology`. They are taken for told from now on.
    fn untold(&self, topology: &Arc<Topology>) -> Vec<Arc<Call>> {
        let mut all = self.locked();
        let untold =
            all.iter_mut().filter(|it| !it.told.as_ref().is_some_and(|told| Arc::ptr_eq(told, topology)));
        untold
            .map(|callback| {
                callback.told = Some(Arc::clone(topology));
                Arc::clone(&callback.call)
            })
            .collect()
    }

    /// Calls everybody who wants it, each in the order of the changes.
    pub(crate) async fn call(&self, mut topologies: watch::Receiver<Option<Arc<Topology>>>) {
        loop {
            let present = topologies.borrow_and_update().clone();
            for call in present.iter().flat_map(|topology| self.untold(topology)) {
                let called =
                    catch_unwind(AssertUnwindSafe(|| present.iter().for_each(|topology| call(topology))));
                if called.is_err() {
                    tracing::error!(
                        "a callback for changes of the topology panicked; it will be called again"
                    );
                }
            }
            tokio::select! {
                changed = topologies.changed() => if changed.is_err() { return },
                () = self.more.notified() => {}
            }
        }
    }
}
