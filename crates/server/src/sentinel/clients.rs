//! Who is connected to the endpoint: what `CLIENT LIST` shows, and how `CLIENT KILL` reaches a connection. It reads and
//! writes no socket.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::watch;

/// The clients that are connected, and how many there ever were.
#[derive(Debug, Default)]
pub(super) struct Clients {
    known: Mutex<Known>,
    /// What waits for clients to read it.
    pub(super) unread: Waiting,
    /// Requests that have not come whole.
    pub(super) unfinished: Waiting,
}

/// How many bytes of a kind may wait for all clients together; one that would have more wait is cut off.
const WAITING: usize = 64 << 20;

/// Bytes of a kind that wait, of all clients together.
#[derive(Debug, Default)]
pub(super) struct Waiting(AtomicUsize);

impl Waiting {
    /// A place for bytes that wait; `None` where too many wait already.
    pub(super) fn take(&self, bytes: usize) -> Option<Share<'_>> {
        let waiting = self.0.fetch_add(bytes, Ordering::Relaxed) + bytes;
        let share = Share { total: &self.0, bytes };
        (waiting <= WAITING).then_some(share)
    }
}

/// Bytes that wait for one client, or of one, for as long as it is kept.
#[derive(Debug)]
pub(super) struct Share<'a> {
    total: &'a AtomicUsize,
    bytes: usize,
}

impl Drop for Share<'_> {
    fn drop(&mut self) {
        self.total.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[derive(Debug, Default)]
struct Known {
    present: BTreeMap<u64, Arc<Client>>,
    totals: Totals,
}

/// What was counted since the process began.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Totals {
    /// Connections that were taken; the last one's id.
    pub(super) connections: u64,
    /// Connections that were turned away because there were too many.
    pub(super) rejected: u64,
    /// Commands that were answered.
    pub(super) commands: u64,
}

/// One connected client.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) id: u64,
    /// Where it calls from.
    pub(super) peer: SocketAddr,
    /// Where it called.
    pub(super) local: SocketAddr,
    since: Instant,
    state: Mutex<State>,
    /// Told when somebody ends the connection.
    killed: watch::Sender<bool>,
}

/// What changes about a client.
#[derive(Clone, Debug)]
pub(super) struct State {
    pub(super) name: String,
    pub(super) library: String,
    pub(super) library_version: String,
    pub(super) command: String,
    pub(super) active: Instant,
    pub(super) channels: usize,
    pub(super) patterns: usize,
    pub(super) protocol: u8,
}

/// A client's place among the connected, for as long as it is kept.
pub(super) struct Place {
    clients: Arc<super::Endpoint>,
    pub(super) client: Arc<Client>,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.clients.clients.lock().present.remove(&self.client.id);
    }
}

impl Clients {
    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All who are connected, the first to come first.
    pub(super) fn present(&self) -> Vec<Arc<Client>> {
        self.lock().present.values().cloned().collect()
    }

    /// How many are connected.
    pub(super) fn count(&self) -> usize {
        self.lock().present.len()
    }

    /// What was counted so far.
    pub(super) fn totals(&self) -> Totals {
        self.lock().totals
    }

    /// Counts one command.
    pub(super) fn served(&self) {
        self.lock().totals.commands += 1;
    }
}

impl Place {
    /// A place for who calls from `peer`; `None` where `limit` are connected already.
    pub(super) fn take(
        endpoint: &Arc<super::Endpoint>,
        peer: SocketAddr,
        local: SocketAddr,
        limit: usize,
    ) -> Option<Self> {
        let mut known = endpoint.clients.lock();
        if known.present.len() >= limit {
            known.totals.rejected += 1;
            return None;
        }
        known.totals.connections += 1;
        let now = Instant::now();
        let state = State {
            name: String::new(),
            library: String::new(),
            library_version: String::new(),
            command: "NULL".to_owned(),
            active: now,
            channels: 0,
            patterns: 0,
            protocol: 2,
        };
        let client = Arc::new(Client {
            id: known.totals.connections,
            peer,
            local,
            since: now,
            state: Mutex::new(state),
            killed: watch::Sender::new(false),
        });
        known.present.insert(client.id, Arc::clone(&client));
        drop(known);
        Some(Self { clients: Arc::clone(endpoint), client })
    }
}

impl Client {
    /// What is known of it.
    pub(super) fn state(&self) -> State {
        self.lock().clone()
    }

    /// Changes what is known of it.
    pub(super) fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.lock());
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends its connection.
    pub(super) fn kill(&self) {
        self.killed.send_replace(true);
    }

    /// Becomes true when its connection is to end.
    pub(super) fn killed(&self) -> watch::Receiver<bool> {
        self.killed.subscribe()
    }

    /// Its line in `CLIENT LIST`, at an endpoint whose one user is `user`.
    pub(super) fn line(&self, user: &str) -> String {
        let state = self.state();
        let listens = state.channels + state.patterns > 0;
        format!(
            "id={} addr={} laddr={} name={} age={} idle={} flags={} db=0 sub={} psub={} cmd={} user={user} \
             lib-name={} lib-ver={} resp={}\n",
            self.id,
            self.peer,
            self.local,
            state.name,
            self.since.elapsed().as_secs(),
            state.active.elapsed().as_secs(),
            if listens { "P" } else { "N" },
            state.channels,
            state.patterns,
            state.command,
            state.library,
            state.library_version,
            state.protocol,
        )
    }
}
