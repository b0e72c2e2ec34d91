//! Who wants to be called when who is who changes.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::client::Inner;
use crate::topology::Topology;

type Call = dyn Fn(&Topology) + Send + Sync;

/// Everybody who wants to be called.
#[derive(Default)]
pub(crate) struct Callbacks {
    all: Mutex<Vec<Callback>>,
    added: Notify,
}

/// Somebody who wants to be called, and what they were told last.
struct Callback {
    call: Arc<Call>,
    told: Option<Arc<Topology>>,
}

impl Callbacks {
    pub(crate) fn add(&self, callback: impl Fn(&Topology) + Send + Sync + 'static) {
        self.lock().push(Callback { call: Arc::new(callback), told: None });
        self.added.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Callback>> {
        // Whole between any two statements.
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Who was not told of `topology`. They are taken for told from now on.
    fn untold(&self, topology: &Arc<Topology>) -> Vec<Arc<Call>> {
        let mut callbacks = self.lock();
        let untold = callbacks
            .iter_mut()
            .filter(|it| !it.told.as_ref().is_some_and(|told| Arc::ptr_eq(told, topology)));
        untold
            .map(|callback| {
                callback.told = Some(Arc::clone(topology));
                Arc::clone(&callback.call)
            })
            .collect()
    }
}

/// Calls everybody who wants it, each in the order of the changes.
pub(crate) async fn call_back(inner: Arc<Inner>) {
    let mut topologies = inner.topology.subscribe();
    loop {
        let present = topologies.borrow_and_update().clone();
        for call in present.iter().flat_map(|topology| inner.callbacks.untold(topology)) {
            let called =
                catch_unwind(AssertUnwindSafe(|| present.iter().for_each(|topology| call(topology))));
            if called.is_err() {
                tracing::error!("a callback for changes of the topology panicked; it will be called again");
            }
        }
        tokio::select! {
            changed = topologies.changed() => if changed.is_err() { return },
            () = inner.callbacks.added.notified() => {}
        }
    }
}
