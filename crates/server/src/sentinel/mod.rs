//! A Sentinel endpoint: to a client that knows Redis Sentinel, this process is a Sentinel. It answers from the groups'
//! records and from what this process sees itself, and tells subscribers of what changes.
//!
//! It decides nothing and commands no Redis server. What a client may ask for is left as a request for the leader, as
//! the command line does. It knows no monitor, and has a thread of its own: whatever clients do to it, no monitor
//! waits.

mod clients;
mod commands;
mod directory;
mod events;
mod freshness;
mod glob;
mod group;
mod info;
mod instance;
mod listener;
mod session;
mod subscriptions;
mod tls;
mod view;
mod words;

use std::collections::BTreeMap;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use redis_failover_core::NodeAddr;
use secrecy::SecretString;
use tokio::runtime::{Builder, Handle};
use tokio::sync::{self, broadcast};
use tokio::time::sleep;

use clients::Clients;
use events::{Message, Teller};
use freshness::Freshness;
pub(crate) use group::Group;
pub(crate) use tls::{ServerTls, ServerTlsFiles};

/// Who may talk to the endpoint, and how.
#[derive(Clone, Debug, Default)]
pub(crate) struct Access {
    /// The user; `default` where none is named.
    pub(crate) username: Option<String>,
    /// Its password; `None` where all who can connect may ask.
    pub(crate) password: Option<SecretString>,
    /// `None` for plain connections.
    pub(crate) tls: Option<ServerTls>,
}

impl Access {
    /// The one user that there is.
    fn user(&self) -> &str {
        self.username.as_deref().unwrap_or(DEFAULT_USER)
    }
}

/// The user whom clients mean that name none.
const DEFAULT_USER: &str = "default";

/// What all connections of the endpoint share.
pub(crate) struct Endpoint {
    /// Who this process is, as Sentinels are named: forty hexadecimal digits, the same in each of its lives.
    id: String,
    /// Where others are told that it is.
    address: NodeAddr,
    access: Access,
    /// Where all of it runs.
    runtime: Handle,
    /// Of what the monitors' thread shows.
    freshness: Freshness,
    groups: Mutex<Vec<Arc<Group>>>,
    /// What subscribers were last told of each group that there ever was.
    tellers: Mutex<BTreeMap<String, Arc<sync::Mutex<Teller>>>>,
    clients: Clients,
    messages: broadcast::Sender<Arc<Message>>,
    begun: Instant,
    /// Whether subscribers were told that ZooKeeper is lost.
    tilted: Mutex<bool>,
    /// When it was last logged that somebody was denied.
    denied: Mutex<Option<Instant>>,
}

/// A thread for an endpoint, until the process ends.
///
/// # Errors
/// When the operating system grants none.
pub(crate) fn thread() -> io::Result<Handle> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let handle = runtime.handle().clone();
    let forever = move || runtime.block_on(std::future::pending::<()>());
    std::thread::Builder::new().name("sentinel".to_owned()).spawn(forever)?;
    Ok(handle)
}

/// How many messages a subscriber may be behind; one that is further behind is cut off, as Redis does.
const BEHIND: usize = 4_096;

impl Endpoint {
    /// An endpoint that knows no group yet, of the process that is called `name`: a monitor by its id.
    ///
    /// To be called on the thread of those who will show what they see of the groups' nodes.
    pub(crate) fn new(name: &str, address: NodeAddr, access: Access, runtime: Handle) -> Arc<Self> {
        Arc::new(Self {
            id: run_id(name),
            address,
            access,
            runtime,
            freshness: Freshness::here(),
            groups: Mutex::default(),
            tellers: Mutex::default(),
            clients: Clients::default(),
            messages: broadcast::Sender::new(BEHIND),
            begun: Instant::now(),
            tilted: Mutex::default(),
            denied: Mutex::default(),
        })
    }

    /// Takes clients' connections from now on.
    pub(crate) fn listen(self: &Arc<Self>, listener: TcpListener) {
        let endpoint = Arc::clone(self);
        self.keep("the Sentinel endpoint", move || {
            listener::listen(Arc::clone(&endpoint), listener.try_clone())
        });
    }

    /// Runs a task that `begin` makes, and again where it panics.
    fn keep<T>(&self, what: &'static str, begin: impl Fn() -> T + Send + 'static)
    where
        T: Future<Output = ()> + Send + 'static,
    {
        self.runtime.spawn(async move {
            while let Err(panicked) = tokio::spawn(begin()).await {
                tracing::error!(
                    event = "panicked",
                    "{what}: {panicked}; it is begun anew (please report this)"
                );
                sleep(Duration::from_secs(1)).await;
            }
        });
    }

    /// Where others are told that it is.
    pub(crate) fn address(&self) -> &NodeAddr {
        &self.address
    }

    /// Answers for `group` from now on, in the place of another one of its name.
    pub(crate) fn serve(self: &Arc<Self>, group: Group) {
        let group = Arc::new(group);
        let mut groups = lock(&self.groups);
        leave(&mut groups, &group.name);
        groups.push(Arc::clone(&group));
        groups.sort_by(|one, other| one.name.cmp(&other.name));
        drop(groups);
        // Who goes on with a group tells what changed since it was last told of, by whomever.
        let new = || Arc::new(sync::Mutex::new(Teller::new(self.id.clone())));
        let teller = Arc::clone(lock(&self.tellers).entry(group.name.clone()).or_insert_with(new));
        let endpoint = Arc::clone(self);
        self.keep("the messages of a group", move || {
            events::tell(Arc::clone(&group), Arc::clone(&teller), Arc::clone(&endpoint))
        });
    }

    /// Answers no more for the group of this name.
    pub(crate) fn forget(&self, name: &str) {
        leave(&mut lock(&self.groups), name);
    }

    fn groups(&self) -> Vec<Arc<Group>> {
        lock(&self.groups).clone()
    }

    /// Logs that somebody was denied, once a second at most: who calls again and again fills no disk.
    fn deny(&self, peer: SocketAddr, why: &str) {
        let mut denied = lock(&self.denied);
        if denied.is_none_or(|at| at.elapsed() >= Duration::from_secs(1)) {
            *denied = Some(Instant::now());
            tracing::warn!(event = "denied", %peer, "{why}");
        }
    }

    fn group(&self, name: &str) -> Option<Arc<Group>> {
        self.groups().into_iter().find(|group| group.name == name)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What they guard is whole between any two statements.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Ends what there is under this name.
fn leave(groups: &mut Vec<Arc<Group>>, name: &str) {
    for group in groups.extract_if(.., |group| group.name == name) {
        group.end();
    }
}

/// A name as Sentinels are named.
fn run_id(name: &str) -> String {
    sha1_smol::Sha1::from(name).digest().to_string()
}

#[cfg(test)]
mod tests;
