//! A Sentinel endpoint: to a client that knows Redis Sentinel, this process is a Sentinel. It answers from the groups'
//! records and from what this process sees itself, and tells subscribers of what changes.
//!
//! It decides nothing and commands no Redis server. What a client may ask for is left as a request for the leader, as
//! the command line does. Who is told to it and by whom it is asked it learns from `app`; it knows no monitor.

mod clients;
mod commands;
mod directory;
mod events;
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

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use redis_failover_core::{MonitorId, NodeAddr};
use secrecy::SecretString;
use tokio::sync::broadcast;

use clients::Clients;
use events::Message;
pub(crate) use group::Group;
pub(crate) use listener::listen;
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

/// What all connections of the endpoint share.
pub(crate) struct Endpoint {
    /// Who this process is, as Sentinels are named: forty hexadecimal digits, the same in each of its lives.
    id: String,
    /// Where others are told that it is.
    address: NodeAddr,
    access: Access,
    groups: Mutex<Vec<Arc<Group>>>,
    clients: Clients,
    messages: broadcast::Sender<Arc<Message>>,
    begun: Instant,
}

/// How many messages a subscriber may be behind; one that is further behind is cut off, as Redis does.
const BEHIND: usize = 4_096;

impl Endpoint {
    /// An endpoint that knows no group yet, of the process that is called `id`.
    pub(crate) fn new(id: &MonitorId, address: NodeAddr, access: Access) -> Arc<Self> {
        Arc::new(Self {
            id: run_id(id),
            address,
            access,
            groups: Mutex::default(),
            clients: Clients::default(),
            messages: broadcast::Sender::new(BEHIND),
            begun: Instant::now(),
        })
    }

    /// Where others are told that it is.
    pub(crate) fn address(&self) -> &NodeAddr {
        &self.address
    }

    /// Answers for `group` from now on, in the place of another one of its name.
    pub(crate) fn serve(self: &Arc<Self>, group: Group) {
        let group = Arc::new(group);
        let mut groups = self.groups.lock().unwrap_or_else(PoisonError::into_inner);
        groups.retain(|other| other.name != group.name);
        let (me, weak) = (self.id.clone(), Arc::downgrade(&group));
        groups.push(group);
        groups.sort_by(|one, other| one.name.cmp(&other.name));
        drop(groups);
        tokio::spawn(events::tell(weak, me, self.messages.clone()));
    }

    /// Answers no more for the group of this name.
    pub(crate) fn forget(&self, name: &str) {
        self.groups.lock().unwrap_or_else(PoisonError::into_inner).retain(|group| group.name != name);
    }

    fn groups(&self) -> Vec<Arc<Group>> {
        self.groups.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn group(&self, name: &str) -> Option<Arc<Group>> {
        self.groups().into_iter().find(|group| group.name == name)
    }
}

/// The name of a monitor as Sentinels are named.
fn run_id(id: &MonitorId) -> String {
    sha1_smol::Sha1::from(id.to_string()).digest().to_string()
}

#[cfg(test)]
mod tests;
