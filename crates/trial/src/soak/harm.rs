//! What is done to the group: each kind of fault, carried out and mended. It looks at nothing that comes of it.

use std::time::{Duration, Instant};

use redis_failover_lab::Traffic;
use tokio::time::sleep;

use super::kinds::Kind;
use super::plan::Fault;
use super::witness::Witness;
use super::world::{CLIENT, NODES, Roles, World, source_of_monitor, source_of_node};
use crate::attempt::attempt;
use crate::failure::Failure;
use crate::monitors::NAMES;

/// What a slow link lets pass in a second: less than is written.
const SLOW: u32 = 20_000;

/// How much later everything arrives on a slow link, how often it stalls, and for how long: together far less than
/// what monitors wait for.
const LATE: Duration = Duration::from_millis(30);
const STALL_EVERY: Duration = Duration::from_secs(1);
const STALL: Duration = Duration::from_millis(300);

/// How long a dead master waits for its successor before it is started again.
const SUCCESSOR: Duration = Duration::from_secs(20);

/// How often it is looked whether there is one.
const LOOK: Duration = Duration::from_millis(20);

/// A fault and whom it befalls.
#[derive(Clone, Copy, Debug)]
pub(super) struct Harm {
    fault: Fault,
    roles: Roles,
}

impl Harm {
    /// This fault, now that these are who they are.
    pub(super) fn new(fault: Fault, roles: Roles) -> Self {
        Self { fault, roles }
    }

    /// Whom it befalls, in words.
    pub(super) fn victim(self, world: &World) -> String {
        let node = |index: usize| world.redis()[index].addr();
        let way = if self.resets() { ", connections reset" } else { "" };
        match self.fault.kind {
            Kind::MasterCutOff => format!("{}{way}", node(self.roles.master)),
            Kind::ReplicaCutOff => format!("{}{way}", node(self.replica())),
            Kind::ReplicaKilled | Kind::ReplicaRestartedEmpty | Kind::ReplicaHangs | Kind::ReplicaSlow => {
                node(self.replica())
            }
            Kind::LinksSlow | Kind::ZooKeeperLost => "all".to_owned(),
            Kind::ZooKeeperServerKilled => format!("server {}", self.server()),
            Kind::MasterLostByOneMonitor => {
                format!("{}, monitor {}", node(self.roles.master), NAMES[self.any_monitor()])
            }
            Kind::LeaderKilled | Kind::LeaderStops => format!("monitor {}", NAMES[self.roles.leader]),
            Kind::OtherMonitorKilled => format!("monitor {}", NAMES[self.other_monitor()]),
            Kind::LeaderAndMasterKilled | Kind::LeaderAndMasterHang => {
                format!("monitor {} and {}", NAMES[self.roles.leader], node(self.roles.master))
            }
            _ => node(self.roles.master),
        }
    }

    /// Does it, waits for as long as it lasts, and mends it.
    pub(super) async fn carry_out(self, world: &mut World, witness: &Witness) -> Result<(), Failure> {
        let (master, replica) = (self.roles.master, self.replica());
        match self.fault.kind {
            Kind::MasterKilled | Kind::MasterRestarted => self.kill(world, master).await,
            Kind::MasterRestartedEmpty => self.empty(world, master).await,
            Kind::MasterHangs | Kind::MasterPauses => self.stop(world, master).await,
            Kind::ReplicaKilled => self.kill(world, replica).await,
            Kind::ReplicaRestartedEmpty => self.empty(world, replica).await,
            Kind::ReplicaHangs => self.stop(world, replica).await,
            Kind::ZooKeeperServerKilled => self.kill_server(world).await,
            Kind::ZooKeeperLost => {
                attempt(|| world.zookeeper().kill_all())?;
                sleep(self.fault.lasting).await;
                attempt(|| world.zookeeper().restart_all())
            }
            Kind::ZooKeeperLostAndMasterKilled => {
                attempt(|| world.zookeeper().kill_all())?;
                let died = Instant::now();
                attempt(|| world.node(master).kill())?;
                sleep(self.fault.lasting).await;
                attempt(|| world.zookeeper().restart_all())?;
                await_successor(witness, died).await;
                attempt(|| world.node(master).restart())
            }
            Kind::LeaderKilled => self.kill_monitor(world, self.roles.leader).await,
            Kind::OtherMonitorKilled => self.kill_monitor(world, self.other_monitor()).await,
            Kind::LeaderStops => {
                attempt(|| world.monitor(self.roles.leader).stop())?;
                sleep(self.fault.lasting).await;
                attempt(|| world.monitor(self.roles.leader).cont())
            }
            Kind::LeaderAndMasterKilled => {
                let died = Instant::now();
                attempt(|| world.monitor(self.roles.leader).kill())?;
                attempt(|| world.node(master).kill())?;
                sleep(self.fault.lasting).await;
                await_successor(witness, died).await;
                attempt(|| world.node(master).restart())?;
                world.restart_monitor(self.roles.leader)
            }
            Kind::LeaderAndMasterHang => {
                let stopped = Instant::now();
                attempt(|| world.monitor(self.roles.leader).stop())?;
                attempt(|| world.node(master).process().stop())?;
                sleep(self.fault.lasting).await;
                await_successor(witness, stopped).await;
                attempt(|| world.monitor(self.roles.leader).cont())?;
                attempt(|| world.node(master).process().cont())
            }
            Kind::ClientsCutOff => {
                let traffic = world.redis()[master].link().of([CLIENT]);
                attempt(|| traffic.replies().hold())?;
                sleep(self.fault.lasting).await;
                attempt(|| traffic.cut())?;
                attempt(|| traffic.heal())
            }
            Kind::MasterCutOff
            | Kind::MasterNotHeard
            | Kind::MasterNotHearing
            | Kind::MasterLostByMonitors
            | Kind::MasterLostByReplicas
            | Kind::MasterLostByBoth
            | Kind::MasterLostByOneMonitor
            | Kind::ReplicaCutOff
            | Kind::ReplicaSlow
            | Kind::LinksSlow => self.trouble_links(world).await,
        }
    }

    async fn kill(self, world: &mut World, node: usize) -> Result<(), Failure> {
        attempt(|| world.node(node).kill())?;
        sleep(self.fault.lasting).await;
        attempt(|| world.node(node).restart())
    }

    async fn empty(self, world: &mut World, node: usize) -> Result<(), Failure> {
        attempt(|| world.node(node).kill())?;
        sleep(self.fault.lasting).await;
        attempt(|| world.node(node).restart_empty())
    }

    async fn stop(self, world: &mut World, node: usize) -> Result<(), Failure> {
        attempt(|| world.node(node).stop())?;
        sleep(self.fault.lasting).await;
        attempt(|| world.node(node).cont())
    }

    async fn kill_server(self, world: &mut World) -> Result<(), Failure> {
        let server = self.server();
        attempt(|| world.zookeeper().server(server).kill())?;
        sleep(self.fault.lasting).await;
        attempt(|| {
            world.zookeeper().restart(server);
            world.zookeeper().await_serving(server);
        })
    }

    async fn kill_monitor(self, world: &mut World, monitor: usize) -> Result<(), Failure> {
        attempt(|| world.monitor(monitor).kill())?;
        sleep(self.fault.lasting).await;
        world.restart_monitor(monitor)
    }

    /// The faults that only the network has.
    async fn trouble_links(self, world: &World) -> Result<(), Failure> {
        attempt(|| self.trouble(world))?;
        sleep(self.fault.lasting).await;
        attempt(|| world.redis().iter().for_each(|redis| redis.link().all().heal()))
    }

    fn trouble(self, world: &World) {
        let link = world.redis()[self.roles.master].link();
        let monitors = || (0..NAMES.len()).map(source_of_monitor);
        let nodes = || (0..usize::from(NODES)).map(source_of_node);
        match self.fault.kind {
            Kind::MasterCutOff => self.cut_off(world, self.roles.master),
            Kind::ReplicaCutOff => self.cut_off(world, self.replica()),
            Kind::MasterNotHeard => link.all().replies().hold(),
            Kind::MasterNotHearing => link.of(monitors().chain(nodes())).requests().hold(),
            Kind::MasterLostByMonitors => link.of(monitors()).hold(),
            Kind::MasterLostByReplicas => link.of(nodes()).hold(),
            Kind::MasterLostByBoth => link.of(monitors().chain(nodes())).hold(),
            Kind::MasterLostByOneMonitor => link.of([source_of_monitor(self.any_monitor())]).hold(),
            Kind::ReplicaSlow => link.of([source_of_node(self.replica())]).replies().limit(SLOW),
            _ => {
                for traffic in world.redis().iter().map(|redis| redis.link().all()) {
                    traffic.delay(LATE);
                    traffic.stall(STALL_EVERY, STALL);
                }
            }
        }
    }

    /// Cuts a node's host off, with those that it calls, too.
    fn cut_off(self, world: &World, node: usize) {
        let cut = |traffic: Traffic<'_>| if self.resets() { traffic.cut() } else { traffic.hold() };
        for (index, redis) in world.redis().iter().enumerate() {
            if index == node {
                cut(redis.link().all());
            } else {
                cut(redis.link().of([source_of_node(node)]));
            }
        }
    }

    /// Whether who is cut off hears of it.
    fn resets(self) -> bool {
        self.fault.pick % 4 >= 2
    }

    fn replica(self) -> usize {
        (self.roles.master + 1 + self.fault.pick % 2) % usize::from(NODES)
    }

    fn server(self) -> usize {
        self.fault.pick % 3
    }

    fn any_monitor(self) -> usize {
        self.fault.pick % NAMES.len()
    }

    fn other_monitor(self) -> usize {
        (self.roles.leader + 1 + self.fault.pick % 2) % NAMES.len()
    }
}

/// Waits until another master is published; that there is none in time is for others to say.
async fn await_successor(witness: &Witness, died: Instant) {
    while witness.changes(&(died..Instant::now())).is_empty() && died.elapsed() < SUCCESSOR {
        sleep(LOOK).await;
    }
}
