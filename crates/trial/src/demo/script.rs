//! The story: what is done to the servers, and what must be seen before it goes on.
//!
//! It knows what it does itself, and learns all else as an application does: from the client library. Every wait has a
//! deadline, and a missed one ends the demo with what was waited for.

use std::sync::Arc;
use std::time::{Duration, Instant};

use redis_failover::{Client, Topology};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::screen::Screen;
use super::stage::Stage;
use super::traffic::Meter;
use super::view::{Condition, grouped};
use crate::failure::Failure;

/// How many steps the whole demo has: the first and the last are in [`super::perform`].
pub(super) const STEPS: usize = 7;

/// How many writes must be confirmed on each side of a fault.
pub(super) const ENOUGH: u64 = 1_000;

/// How long anything may take.
const LIMIT: Duration = Duration::from_secs(20);

/// How long the application is left alone before the first fault.
const WARM_UP: Duration = Duration::from_secs(3);

/// How long it is watched after each change.
const WATCH: Duration = Duration::from_secs(2);

/// How often something is looked at that does not tell by itself.
const LOOK: Duration = Duration::from_millis(20);

/// One thing that was done to the master.
#[derive(Clone, Debug)]
pub(super) struct Fault {
    /// What it was.
    pub name: &'static str,
    /// Since when what the application sees is counted as its doing: all was well then.
    pub since: Instant,
    /// When it was done.
    pub at: Instant,
}

/// What was played.
#[derive(Clone, Debug)]
pub(super) struct Played {
    /// What was done, in order.
    pub faults: Vec<Fault>,
    /// Which server is master in the end.
    pub master: usize,
}

/// The group as the client library knows it.
#[derive(Debug)]
pub(super) struct Group {
    topology: watch::Receiver<Option<Arc<Topology>>>,
    _task: JoinSet<()>,
}

impl Group {
    /// Follows the group of `client`, and tells each change.
    pub(super) fn follow(client: &Client, screen: Screen) -> Self {
        let mut feed = client.topology();
        let sender = watch::Sender::new(None);
        let topology = sender.subscribe();
        let mut task = JoinSet::new();
        task.spawn(async move {
            let mut told = None;
            loop {
                let next = feed.next().await;
                let master = next.master.as_ref().map(ToString::to_string);
                if told.as_ref() != Some(&master) {
                    match &master {
                        Some(master) => screen.event(&format!("client   writes go to {master}")),
                        None if told.is_some() => {
                            screen.event("client   no master is published: writes wait");
                        }
                        None => {}
                    }
                    told = Some(master);
                }
                screen.update(|view| view.topology = Some(next.clone()));
                sender.send_replace(Some(next));
            }
        });
        Self { topology, _task: task }
    }

    /// The master, once one is published for which `wanted` holds.
    async fn master(
        &mut self,
        what: &str,
        wanted: impl Fn(&Topology, &str) -> bool,
    ) -> Result<String, Failure> {
        let found = |topology: &Option<Arc<Topology>>| {
            let topology = topology.as_ref().filter(|topology| topology.steady)?;
            let master = topology.master.as_ref()?.to_string();
            wanted(topology, &master).then_some(master)
        };
        let seen = timeout(LIMIT, self.topology.wait_for(|topology| found(topology).is_some())).await;
        let topology = seen.map_err(|_| missed(what))?.map_err(|_| missed(what))?;
        found(&topology).ok_or_else(|| missed(what))
    }
}

fn missed(what: &str) -> Failure {
    Failure::new(format!("waited {} s in vain until {what}", LIMIT.as_secs()))
        .hint("the lines above tell what the monitors saw; on a very busy machine, try again")
}

/// The play and those who take part in it.
#[derive(Debug)]
pub(super) struct Script<'a> {
    /// The servers.
    pub stage: &'a mut Stage,
    /// Who is told.
    pub screen: &'a Screen,
    /// What the application sees of the group.
    pub group: Group,
    /// What the application sees of its writes.
    pub meter: Meter,
    /// Before the application began.
    pub began: Instant,
}

impl Script<'_> {
    /// Steps 2 to 6.
    pub(super) async fn play(mut self) -> Result<Played, Failure> {
        self.screen.step("An application writes and reads; all is well");
        let first = self.master_that_all_follow(None).await?;
        self.watch_writes(WARM_UP).await?;

        let killed_at = self.kill(first)?;
        let second = self.successor_of(first).await?;
        self.watch_writes(WATCH).await?;

        self.bring_back(first, second).await?;
        let between = Instant::now();
        self.watch_writes(WATCH).await?;

        let frozen_at = self.freeze(second)?;
        let third = self.successor_of(second).await?;
        self.watch_writes(WATCH).await?;

        self.wake(second, third).await?;
        self.watch_writes(WATCH).await?;
        let faults = vec![
            Fault { name: "the master is killed (kill -9)", since: self.began, at: killed_at },
            Fault { name: "the master hangs (kill -STOP)", since: between, at: frozen_at },
        ];
        Ok(Played { faults, master: third })
    }

    fn kill(&mut self, index: usize) -> Result<Instant, Failure> {
        let (node, pid) = (self.address(index), self.stage.pid(index));
        self.screen.step(&format!("Kill the master: kill -9 {pid} ({node})"));
        let at = Instant::now();
        self.stage.kill(index)?;
        self.is(index, Condition::Killed);
        Ok(at)
    }

    async fn bring_back(&mut self, index: usize, master: usize) -> Result<(), Failure> {
        let node = self.address(index);
        self.screen.step(&format!(
            "Start the old master again ({node}): it is empty, and takes itself for a master"
        ));
        self.stage.restart(index)?;
        self.is(index, Condition::Up);
        self.master_that_all_follow(Some(master)).await?;
        self.screen.event(&format!("demo     {node} is a replica and holds all data again"));
        Ok(())
    }

    fn freeze(&mut self, index: usize) -> Result<Instant, Failure> {
        let (node, pid) = (self.address(index), self.stage.pid(index));
        self.screen.step(&format!("Freeze the new master: kill -STOP {pid} ({node})"));
        self.screen.event(
            "demo     its connections stay open: only after 1 s of silence (down-after) it counts as down",
        );
        let at = Instant::now();
        self.stage.freeze(index)?;
        self.is(index, Condition::Frozen);
        Ok(at)
    }

    async fn wake(&mut self, index: usize, master: usize) -> Result<(), Failure> {
        let (node, pid) = (self.address(index), self.stage.pid(index));
        self.screen
            .step(&format!("Wake it: kill -CONT {pid} ({node}); it takes itself for the master still"));
        self.stage.wake(index)?;
        self.is(index, Condition::Up);
        self.master_that_all_follow(Some(master)).await?;
        self.screen.event(&format!("demo     {node} is a replica and holds all data again"));
        Ok(())
    }

    /// Waits until another node than `old` is master.
    async fn successor_of(&mut self, old: usize) -> Result<usize, Failure> {
        let old = self.address(old);
        let master = self.group.master("another master is published", |_, master| master != old).await?;
        self.index(&master)
    }

    /// Waits until a master is published, this one if one is given, and the servers themselves say that the others
    /// follow it.
    async fn master_that_all_follow(&mut self, wanted: Option<usize>) -> Result<usize, Failure> {
        let wanted = wanted.map(|index| self.address(index));
        let what = "a master is published and all others follow it";
        let all_follow = |topology: &Topology, master: &str| {
            wanted.as_ref().is_none_or(|wanted| wanted == master)
                && topology.replicas.len() == 2
                && topology.replicas.iter().all(|replica| replica.healthy)
        };
        let master = self.group.master(what, all_follow).await?;
        let master = self.index(&master)?;
        let began = Instant::now();
        while let Err(reason) = self.servers_agree(master) {
            if began.elapsed() > LIMIT {
                return Err(missed(&format!("{what}: {reason}")));
            }
            sleep(LOOK).await;
        }
        Ok(master)
    }

    /// Asks the servers themselves: one is master, and the others receive its data.
    fn servers_agree(&self, master: usize) -> Result<(), String> {
        for index in 0..3 {
            let info = self.stage.redis(index).info("replication")?;
            let says = |name: &str, value: &str| match info.get(name) {
                Some(said) if said == value => Ok(()),
                said => Err(format!("{} says {name}:{said:?}", self.address(index))),
            };
            if index == master {
                says("role", "master")?;
            } else {
                says("role", "slave")?;
                says("master_port", &self.stage.redis(master).port().to_string())?;
                says("master_link_status", "up")?;
            }
        }
        Ok(())
    }

    /// Watches the writer for this long, and for as long as it has not written enough.
    async fn watch_writes(&mut self, time: Duration) -> Result<(), Failure> {
        let (began, before) = (Instant::now(), self.meter.counts().acknowledged);
        let written = || self.meter.counts().acknowledged - before;
        while written() < ENOUGH || began.elapsed() < time {
            if began.elapsed() > LIMIT {
                let enough = grouped(ENOUGH);
                return Err(missed(&format!("{enough} more writes are confirmed: {}", written())));
            }
            sleep(LOOK).await;
        }
        Ok(())
    }

    fn address(&self, index: usize) -> String {
        self.stage.redis(index).addr()
    }

    fn index(&self, address: &str) -> Result<usize, Failure> {
        let index = self.stage.addresses().iter().position(|it| it == address);
        index.ok_or_else(|| Failure::new(format!("{address} is none of the servers of this demo")))
    }

    fn is(&self, index: usize, condition: Condition) {
        self.screen.update(|view| view.nodes[index].1 = condition);
    }
}
