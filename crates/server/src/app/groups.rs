//! The groups of this process, each with a monitor of its own: begun, changed and ended to match a configuration. It
//! decides nothing about any group.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::select_all;
use redis_failover_core::MonitorId;
use redis_failover_store::{Connection, Contact, Feed, Store};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::sleep;
use tokio_util::task::AbortOnDropHandle;

use super::sessions::{Session, Sessions};
use crate::config::GroupConfig;
use crate::failure::Failure;
use crate::monitor::{Monitor, Onlooker, Order, Seed, Setup};
use crate::observed::Showcase;
use crate::sentinel::{self, Endpoint};

/// The rest before a monitor that panicked, or that could not be begun, is begun anew.
const REST: Duration = Duration::from_secs(1);

/// The groups that are monitored.
pub(super) struct Groups {
    me: Me,
    /// Where the groups are answered for.
    endpoint: Option<Arc<Endpoint>>,
    sessions: Sessions,
    running: Vec<Running>,
    unbegun: Vec<Unbegun>,
}

/// A group that could not be begun.
pub(super) struct Unbegun {
    config: GroupConfig,
    /// Why, with the name of the group.
    pub(super) failure: Failure,
}

/// Who this process is in all its groups.
#[derive(Clone)]
struct Me {
    id: MonitorId,
    contact: Option<Contact>,
    /// Where it answers as a Sentinel.
    sentinel: Option<String>,
}

/// One group's monitor.
struct Running {
    config: GroupConfig,
    seeds: watch::Sender<Seed>,
    fate: watch::Sender<Fate>,
    monitor: JoinHandle<()>,
}

/// What is to become of a monitor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// It goes on.
    Stays,
    /// It leaves its group, for this process looks after that no longer.
    Leaves,
    /// It ends; it, or another, goes on later.
    Ends,
}

impl Groups {
    /// No groups yet, for monitor `id`, which can be asked by `contact`; they are answered for at `endpoint`.
    pub(super) fn new(
        id: MonitorId,
        contact: Option<Contact>,
        endpoint: Option<Arc<Endpoint>>,
        sessions: Sessions,
    ) -> Self {
        let sentinel = endpoint.as_ref().map(|endpoint| endpoint.address().to_string());
        let (running, unbegun) = Default::default();
        Self { me: Me { id, contact, sentinel }, endpoint, sessions, running, unbegun }
    }

    /// Those that are wanted and do not run: there was no session to be had for them. See [`Groups::retry`].
    pub(super) fn unbegun(&self) -> &[Unbegun] {
        &self.unbegun
    }

    /// Tries once more to begin those that do not run, after a rest. It does not return where all run. To drop it
    /// leaves everything as it is.
    pub(super) async fn retry(&mut self) {
        if self.unbegun.is_empty() {
            return std::future::pending().await;
        }
        sleep(REST).await;
        for Unbegun { config, .. } in std::mem::take(&mut self.unbegun) {
            self.begin(config);
        }
    }

    /// Begins, changes and ends what it takes to monitor exactly the groups that are `wanted`, and says what it did.
    /// For some there may be no session to be had: see [`Groups::unbegun`].
    pub(super) async fn become_these(&mut self, wanted: Vec<GroupConfig>) {
        self.unbegun.clear();
        let (kept, over): (Vec<_>, Vec<_>) = std::mem::take(&mut self.running)
            .into_iter()
            .partition(|running| wanted.iter().any(|config| config.runs_like(&running.config)));
        self.running = kept;
        let (changed, removed): (Vec<_>, Vec<_>) =
            over.into_iter().partition(|over| wanted.iter().any(|config| config.goes_on_for(&over.config)));
        for Running { config, .. } in &changed {
            tell_begun_anew(config);
        }
        for Running { config, .. } in &removed {
            tell_removed(config);
        }
        // What was changed is answered for as it was until it is begun anew.
        let named = |running: &&Running| !wanted.iter().any(|config| config.name == running.config.name);
        for Running { config, .. } in changed.iter().chain(&removed).filter(named) {
            if let Some(endpoint) = &self.endpoint {
                endpoint.forget(&config.name);
            }
        }
        // It may take them some seconds, which no other group waits for but one that is in their place.
        doom(&removed, Fate::Leaves);
        let (left, changed): (Vec<_>, Vec<_>) = changed.into_iter().partition(|over| {
            let only_follows =
                |config: &GroupConfig| config.goes_on_for(&over.config) && config.only_follows();
            !over.config.only_follows() && wanted.iter().any(only_follows)
        });
        for Running { config, .. } in &left {
            tell_removed(config);
        }
        doom(&left, Fate::Leaves);
        doom(&changed, Fate::Ends);
        self.begin_all(wanted, left.into_iter().chain(changed).chain(removed).collect()).await;
        let needed: Vec<_> = self.running.iter().map(|running| &running.config.backing).collect();
        self.sessions.keep(&needed).await;
    }

    /// Begins those of `wanted` that do not run, each as soon as nobody of the `leaving` is in its way, and returns
    /// when all of these are gone.
    async fn begin_all(&mut self, mut wanted: Vec<GroupConfig>, mut leaving: Vec<Running>) {
        loop {
            let (held_up, free): (Vec<_>, Vec<_>) = wanted
                .into_iter()
                .partition(|config| leaving.iter().any(|over| over.is_in_the_way_of(config)));
            for config in free {
                let present = self.running.iter_mut().find(|running| config.runs_like(&running.config));
                match present {
                    Some(running) => running.reseed(config),
                    None => self.begin(config),
                }
            }
            wanted = held_up;
            if leaving.is_empty() {
                return;
            }
            // A monitor that panicked has ended, too.
            let (_, first, _) = select_all(leaving.iter_mut().map(|over| &mut over.monitor)).await;
            drop(leaving.swap_remove(first));
        }
    }

    /// Ends all monitors, which give up the lead, and then the sessions.
    pub(super) async fn end(mut self) {
        doom(&self.running, Fate::Ends);
        gone(self.running).await;
        self.sessions.keep(&[]).await;
    }

    /// Has the group run, or remembers that it does not.
    fn begin(&mut self, config: GroupConfig) {
        let session = match self.sessions.with(&config.backing) {
            Ok(session) => session,
            Err(mut failure) => {
                failure.message = format!("{}: {}", config.name, failure.message);
                self.unbegun.push(Unbegun { config, failure });
                return;
            }
        };
        tell_begun(&config, &self.me.id);
        let (seeds, fate) = (watch::Sender::new(seed(&config)), watch::Sender::new(Fate::Stays));
        let (path, told) = (config.path.clone(), (seeds.subscribe(), fate.subscribe()));
        let monitor = match session {
            Session::ZooKeeper(session) => {
                let state = Some(session.state());
                self.begin_on(&config, move || session.group(&path), state, told)
            }
            Session::StateFile(session) => self.begin_on(&config, move || session.group(&path), None, told),
        };
        self.running.push(Running { config, seeds, fate, monitor });
    }

    /// Has the group answered for and its monitor begun, each with a handle that `handle` makes.
    fn begin_on<S: Store>(
        &self,
        config: &GroupConfig,
        handle: impl Fn() -> S + Send + Sync + 'static,
        session: Option<Feed<Connection>>,
        told: (watch::Receiver<Seed>, watch::Receiver<Fate>),
    ) -> JoinHandle<()> {
        let shown = Showcase::default();
        if let Some(endpoint) = &self.endpoint {
            endpoint.serve(sentinel::Group::new(config.name.clone(), handle(), shown.look(), session));
        }
        let keeper = Keeper { me: self.me.clone(), config: config.clone(), shown };
        tokio::spawn(keeper.keep(handle, told))
    }
}

impl Running {
    /// Whether `config` is begun only when this is gone: it takes this one's place, or has servers or the journal of
    /// it. Two that command one server undo each other's work.
    fn is_in_the_way_of(&self, config: &GroupConfig) -> bool {
        config.goes_on_for(&self.config)
            || config.nodes.iter().any(|node| self.config.nodes.contains(node))
            || config.shares_journal(&self.config).is_some()
    }

    /// Takes over a configuration by which this monitor can go on.
    fn reseed(&mut self, config: GroupConfig) {
        if !config.seeds_like(&self.config) {
            tracing::info!(
                event = "reload",
                group = %config.name,
                "its nodes or its policy changed in the configuration; they seed a group that has no record yet"
            );
            self.seeds.send_replace(seed(&config));
        }
        self.config = config;
    }
}

fn seed(config: &GroupConfig) -> Seed {
    Seed { nodes: config.nodes.clone(), policy: config.policy.clone() }
}

fn tell_begun(config: &GroupConfig, id: &MonitorId) {
    let (group, path) = (&config.name, &config.path);
    if config.only_follows() {
        tracing::info!(event = "start", %group, %id, "{path} is answered for, and not monitored from here");
    } else {
        let listed = config.nodes.len();
        tracing::info!(event = "start", %group, %id, "monitor {id} of {path}, {listed} nodes are listed");
    }
}

fn tell_begun_anew(config: &GroupConfig) {
    tracing::info!(event = "reload", group = %config.name, "its settings changed: its monitor is begun anew");
}

fn tell_removed(config: &GroupConfig) {
    tracing::warn!(
        event = "removed",
        group = %config.name,
        "this process monitors {} no longer. It leaves the group's record in {}; this monitor registered there, \
         counting for the quorum; and repl-ping-replica-period 1, repl-backlog-ttl 0 and, where masters are fenced, \
         min-replicas-max-lag 2 on nodes that were master. The last monitor that leaves the group gives its master \
         min-replicas-to-write 0 back",
        config.path,
        config.backing
    );
}

/// Tells monitors what is to become of them, all at once.
fn doom(over: &[Running], fate: Fate) {
    for running in over {
        running.fate.send_replace(fate);
    }
}

/// Returns when these monitors are gone.
async fn gone(over: Vec<Running>) {
    for running in over {
        // A monitor that panicked has ended, too.
        let _ = running.monitor.await;
    }
}

/// Keeps one group monitored.
struct Keeper {
    me: Me,
    config: GroupConfig,
    /// Where what it sees of the nodes is shown.
    shown: Showcase,
}

impl Keeper {
    /// Runs the group's monitor until it is told to end, or has left. One that panics is begun anew: it must end
    /// neither the other groups nor the watch over this one. Each looks at the group through a handle of its own.
    async fn keep<S: Store>(
        self,
        handle: impl Fn() -> S,
        (mut seeds, mut fate): (watch::Receiver<Seed>, watch::Receiver<Fate>),
    ) {
        while self.config.only_follows() {
            let looking = AbortOnDropHandle::new(tokio::spawn(self.onlooker().look(handle().record())));
            let ended = tokio::select! {
                ended = looking => ended,
                _ = fate.wait_for(|fate| *fate != Fate::Stays) => return,
            };
            // It never ends by itself.
            let why = ended.err().map(|panicked| panicked.to_string()).unwrap_or_default();
            tracing::error!(
                event = "panicked",
                group = %self.config.name,
                "{why}; the look at its nodes is begun anew (please report this)"
            );
            sleep(REST).await;
        }
        loop {
            let setup = self.setup(seeds.borrow_and_update().clone());
            let group = handle();
            let (mut monitor, inbox) = Monitor::new(setup, group.clone());
            monitor.show(self.shown.clone());
            let orders = monitor.orders();
            let mut ends = fate.clone();
            // Its sender is gone only with the program.
            let shutdown = async move { drop(ends.wait_for(|fate| *fate == Fate::Ends).await) };
            let mut running = tokio::spawn(monitor.run(inbox, shutdown));
            let ended = loop {
                tokio::select! {
                    ended = &mut running => break ended,
                    Ok(()) = seeds.changed() => {
                        drop(orders.send(Order::Reseed(seeds.borrow_and_update().clone())));
                    }
                    Ok(()) = fate.changed() => {
                        if *fate.borrow_and_update() == Fate::Leaves {
                            drop(orders.send(Order::Leave));
                        }
                    }
                }
            };
            let Err(panicked) = ended else { return };
            // What it believed last must not stand beside what the next one finds.
            group.withdraw();
            tracing::error!(
                event = "panicked",
                group = %self.config.name,
                "{panicked}; this monitor of the group is begun anew (please report this)"
            );
            tokio::select! {
                () = sleep(REST) => {}
                _ = fate.wait_for(|fate| *fate != Fate::Stays) => return,
            }
        }
    }

    /// Who looks at the nodes of a group that is not monitored from here.
    fn onlooker(&self) -> Onlooker {
        Onlooker {
            id: self.me.id.clone(),
            credentials: self.config.credentials.clone(),
            slow_every: self.config.slow_every,
            shown: self.shown.clone(),
        }
    }

    fn setup(&self, Seed { nodes, policy }: Seed) -> Setup {
        Setup {
            group: self.config.name.clone(),
            znode: self.config.backing.znode(&self.config.path),
            id: self.me.id.clone(),
            contact: self.me.contact.clone(),
            sentinel: self.me.sentinel.clone(),
            nodes,
            policy,
            credentials: self.config.credentials.clone(),
            slow_every: self.config.slow_every,
            take_over: self.config.take_over,
            journal: self.config.journal.clone(),
        }
    }
}

#[cfg(test)]
mod tests;
