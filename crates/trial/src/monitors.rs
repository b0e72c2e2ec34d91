//! Three monitors in this process; on a store in this process, too, they are a group that needs no `ZooKeeper`.
//!
//! They are the monitors that the program runs, and end when they are dropped. It starts no Redis server and harms
//! none.

use std::future::pending;
use std::time::Duration;

use redis_failover::{Client, ReadFrom};
use redis_failover_core::{NodeAddr, Policy};
use redis_failover_lab::Redis;
use redis_failover_server::{Credentials, Monitor, Setup};
use redis_failover_store::{Embedded, GroupPath, Store};
use tokio::task::JoinSet;

use crate::failure::Failure;

/// The group's path in the store.
pub(crate) const PATH: &str = "/redis/demo";

/// The monitors' names.
pub(crate) const NAMES: [&str; 3] = ["one", "two", "three"];

/// The running monitors and their store.
#[derive(Debug)]
pub(crate) struct Monitors {
    store: Embedded,
    _tasks: JoinSet<()>,
}

impl Monitors {
    /// Starts them over these servers, with the default policy.
    pub(crate) fn start(redis: &[Redis]) -> Result<Self, Failure> {
        let (store, path) = (Embedded::new(), path()?);
        let tasks = spawn(redis, || Ok(store.session().group(&path)))?;
        Ok(Self { store, _tasks: tasks })
    }

    /// The client library, as an application would use it on this group.
    pub(crate) fn client(&self, reads: ReadFrom) -> Result<Client, Failure> {
        let client =
            Client::builder().path(PATH).read_from(reads).build_on(&self.store.session().group(&path()?));
        client.map_err(|error| Failure::new(format!("no client: {error}")))
    }
}

/// Starts the monitors over these servers, each on a store of its own; dropping what this yields ends them.
pub(crate) fn spawn<S: Store>(
    redis: &[Redis],
    mut store: impl FnMut() -> Result<S, Failure>,
) -> Result<JoinSet<()>, Failure> {
    let mut tasks = JoinSet::new();
    for name in NAMES {
        let (monitor, inbox) = Monitor::new(setup(name, redis)?, store()?);
        tasks.spawn(monitor.run(inbox, pending()));
    }
    Ok(tasks)
}

fn setup(name: &str, redis: &[Redis]) -> Result<Setup, Failure> {
    let nodes: Result<Vec<NodeAddr>, _> = redis.iter().map(|redis| redis.addr().parse()).collect();
    Ok(Setup {
        group: path()?.name().to_owned(),
        znode: path()?.to_string(),
        id: name.parse().map_err(Failure::new)?,
        sentinel: None,
        contact: None,
        nodes: nodes.map_err(Failure::new)?,
        policy: Policy::default(),
        credentials: Credentials::default(),
        slow_every: Duration::from_secs(30),
        take_over: false,
        journal: None,
    })
}

/// The path, as a store wants it.
pub(crate) fn path() -> Result<GroupPath, Failure> {
    PATH.parse().map_err(Failure::new)
}
