//! One seed's world: servers, monitors, `ZooKeeper`, clients, the ways between them, and what is to happen when. One
//! thread, one clock, one source of chance: the same seed always makes the same world.

use std::fmt::Write as _;
use std::time::Duration;

use fastrand::Rng;
use redis_failover_core::{NodeAddr, Policy, Term};
use redis_failover_store::Glance;

use crate::bugs::Bug;
use crate::check::Checks;
use crate::clients::Client;
use crate::departures::Departures;
use crate::ensemble::{Down, Ensemble, Up};
use crate::faults::Fault;
use crate::monitor::Monitor;
use crate::nodes::{Node, NodeTimer};
use crate::operators::{Act, Operators};
use crate::orders::Orders;
use crate::queue::{MS, Micros, Queue, S};
use crate::redis::Server;
use crate::scripts::{Script, Step};
use crate::swarm::Swarm;
use crate::wires::{Ask, ConnId, End, Owner, Payload, Wires};

/// What happens.
#[derive(Clone, Debug)]
pub(crate) enum Event {
    /// Something arrives at an end of a connection.
    Arrive { conn: ConnId, to: End, payload: Payload },
    /// A server's timer.
    Node { n: usize, life: u32, timer: NodeTimer },
    /// A monitor's turn.
    Turn { m: usize, life: u32 },
    /// A leader keeps its connections to the nodes open.
    Keep { m: usize, life: u32, term: Term },
    /// A monitor goes on.
    Continue { m: usize, life: u32 },
    /// A monitor that stood still between look and command sends it.
    Late { conn: ConnId, whose: u64, ask: Ask },
    /// From a monitor to `ZooKeeper`.
    Up { m: usize, life: u32, connection: u32, up: Up },
    /// From `ZooKeeper` to a monitor.
    Down { m: usize, life: u32, connection: u32, down: Down },
    /// A monitor asks another whether it lives.
    Greet { to: usize, from: usize, life: u32, number: u64 },
    /// It is answered, in which life, or nobody listens.
    Greeted { m: usize, life: u32, number: u64, answer: Option<u32> },
    /// The group is taken out of a monitor's file, or put back in.
    Listed { m: usize, listed: bool },
    /// A monitor is told to leave.
    Leave { m: usize, life: u32 },
    /// An operator does something.
    Operator(Act),
    /// Sessions may be over.
    Expire,
    /// A client's turn.
    Client { c: usize },
    /// A client reads a document.
    Document { c: usize, glance: Box<Glance> },
    /// The next fault.
    Strike,
    /// A script's next step.
    Step(Step),
    /// A monitor that stood still before it sent something to `ZooKeeper` sends it.
    LateUp { m: usize, life: u32, up: Up },
    /// The end of one.
    Heal(Fault),
    /// The faults are over: is all well?
    Calm,
}

/// A seed's world.
#[derive(Clone, Debug)]
pub struct World {
    pub(crate) seed: u64,
    pub(crate) swarm: Swarm,
    pub(crate) policy: Policy,
    pub(crate) bug: Option<Bug>,
    pub(crate) rng: Rng,
    pub(crate) queue: Queue<Event>,
    pub(crate) wires: Wires,
    pub(crate) nodes: Vec<Node>,
    pub(crate) monitors: Vec<Monitor>,
    pub(crate) ensemble: Ensemble,
    pub(crate) clients: Vec<Client>,
    pub(crate) glances: Vec<Glance>,
    pub(crate) checks: Checks,
    pub(crate) departures: Departures,
    pub(crate) operators: Operators,
    pub(crate) orders: Orders,
    pub(crate) hostile_until: Micros,
    pub(crate) ends_at: Micros,
    pub(crate) active: u32,
    pub(crate) quiet: bool,
    pub(crate) last_write: u32,
    events: u64,
    digest: u64,
    trace: Option<String>,
}

/// How a seed ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The seed.
    pub seed: u64,
    /// The same for the same seed and program.
    pub digest: u64,
    /// How much time passed in the world.
    pub lasted: Micros,
    /// How many events.
    pub events: u64,
    /// What broke first.
    pub violation: Option<crate::check::Violation>,
    /// What happened, in numbers.
    pub counts: crate::check::Counts,
}

/// How long after the faults all must be well.
const CALM: Micros = 60 * S;

impl World {
    /// The world of a seed, before anything has happened.
    pub fn new(seed: u64, bug: Option<Bug>, traced: bool) -> Self {
        let mut rng = Rng::with_seed(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5eed);
        let swarm = Swarm::draw(&mut rng);
        let departures = Departures::draw(seed, &swarm);
        let operators = Operators::draw(seed, &swarm);
        let orders = Orders::draw(seed, &swarm);
        Self { orders, ..Self::with(seed, (swarm, departures, operators), rng, bug, traced) }
    }

    /// A script's world.
    pub fn scripted(script: &Script, bug: Option<Bug>, traced: bool) -> Self {
        let departures = Departures::none(script.swarm.monitors, script.all_leave);
        let drawn = (script.swarm.clone(), departures, Operators::none());
        let mut world = Self::with(0, drawn, Rng::with_seed(0), bug, traced);
        for (at, step) in &script.steps {
            world.queue.at(*at, Event::Step(*step));
        }
        world
    }

    fn with(
        seed: u64,
        (swarm, departures, operators): (Swarm, Departures, Operators),
        rng: Rng,
        bug: Option<Bug>,
        traced: bool,
    ) -> Self {
        let ms = |time: Micros| Duration::from_millis(time / MS);
        let policy = Policy::new(None, ms(swarm.down_after), ms(swarm.probe_interval))
            .unwrap_or_default()
            .with_third_failover_waiting(ms(swarm.third_failover_waits))
            .with_on_divergence(swarm.on_divergence);
        let server = |(n, disk): (usize, _)| {
            let host = n.min(swarm.hosts - 1);
            let port = u16::try_from(6379 + n - host).unwrap_or(u16::MAX);
            let mut server = Server::new(NodeAddr::new(format!("n{host}"), port), disk);
            server.priority = swarm.priorities[n];
            server.is_6_2 = operators.old_servers;
            Node::new(server, swarm.ping)
        };
        let nodes: Vec<_> = swarm.disks.iter().copied().enumerate().map(server).collect();
        let group = "/redis/sim".parse().unwrap_or_else(|_| unreachable!("a path"));
        let hostile_until = 5 * S + swarm.hostile;
        Self {
            seed,
            policy,
            bug,
            queue: Queue::default(),
            wires: Wires::default(),
            checks: Checks::new(nodes.len()),
            nodes,
            monitors: Vec::new(),
            ensemble: Ensemble::new(group),
            clients: Vec::new(),
            glances: Vec::new(),
            departures,
            operators,
            orders: Orders::default(),
            hostile_until,
            ends_at: hostile_until + CALM + swarm.third_failover_waits * 3,
            active: 0,
            quiet: false,
            last_write: 0,
            events: 0,
            digest: seed,
            trace: traced.then(String::new),
            swarm,
            rng,
        }
    }

    /// Plays it to its end, or to the first violation.
    pub fn play(&mut self) -> Outcome {
        let swarm = format!("{:?}", self.swarm);
        self.say(|| swarm);
        for n in 0..self.nodes.len() {
            let life = self.nodes[n].life;
            let first = self.rng.u64(0..S);
            self.queue.at(first, Event::Node { n, life, timer: NodeTimer::Cron });
            if n > 0 {
                let master = self.nodes[0].server.addr.clone();
                self.nodes[n].server.follow(Some(master));
                self.nodes[n].server.rewrite();
                self.after_command(n);
            }
        }
        for m in 0..self.swarm.monitors {
            self.start_monitor(m);
        }
        self.start_clients();
        self.queue.at(self.swarm.session / 20, Event::Expire);
        if !self.swarm.faults.is_empty() {
            self.queue.at(5 * S, Event::Strike);
        }
        self.queue.at(self.hostile_until, Event::Calm);
        self.plan_departures();
        self.plan_operators();
        self.plan_orders();
        while self.checks.violation.is_none() && !self.checks.is_well {
            let Some(event) = self.queue.next(self.ends_at) else {
                self.not_well();
                break;
            };
            self.events += 1;
            self.handle(event);
        }
        self.finish_counts();
        Outcome {
            seed: self.seed,
            digest: self.digest,
            lasted: self.queue.now(),
            events: self.events,
            violation: self.checks.violation.clone(),
            counts: self.checks.counts.clone(),
        }
    }

    /// What was written down, where that was asked for.
    pub fn trace(&self) -> &str {
        self.trace.as_deref().unwrap_or_default()
    }

    /// Whether faults still happen.
    pub(crate) fn is_hostile(&self) -> bool {
        self.queue.now() < self.hostile_until
    }

    /// Whether a monitor that this event is for stands still, or is gone.
    fn is_for_nobody(&mut self, event: &Event) -> bool {
        let (m, life) = match *event {
            Event::Turn { m, life }
            | Event::Keep { m, life, .. }
            | Event::Down { m, life, .. }
            | Event::Greeted { m, life, .. }
            | Event::Leave { m, life }
            | Event::LateUp { m, life, .. } => (m, Some(life)),
            Event::Arrive { conn, to: End::Caller, .. } => {
                match self.wires.get(conn).map(|conn| conn.owner) {
                    Some(Owner::Probe(m, _) | Owner::Admin(m, _)) => (m, None),
                    _ => return false,
                }
            }
            Event::Late { conn, .. } => match self.wires.get(conn).map(|conn| conn.owner) {
                Some(Owner::Probe(m, _) | Owner::Admin(m, _)) => (m, None),
                _ => return true,
            },
            _ => return false,
        };
        let monitor = &mut self.monitors[m];
        if !monitor.alive || life.is_some_and(|life| life != monitor.life) {
            return true;
        }
        if monitor.stopped_until.is_some() {
            if !matches!(event, Event::Turn { .. }) {
                monitor.later.push(event.clone());
            }
            return true;
        }
        false
    }

    /// One event happens.
    pub(crate) fn handle(&mut self, event: Event) {
        if self.is_for_nobody(&event) {
            return;
        }
        match event {
            Event::Arrive { conn, to: End::Server, payload } => {
                if let Some(n) = self.wires.get(conn).map(|conn| conn.node) {
                    self.node_receives(n, conn, payload);
                }
            }
            Event::Arrive { conn, to: End::Caller, payload } => self.caller_receives(conn, payload),
            Event::Node { n, life, timer } => {
                if self.nodes[n].life == life {
                    self.node_timer(n, timer);
                }
            }
            Event::Turn { m, .. } => self.turn(m),
            Event::Keep { m, term, .. } => self.keep_warm(m, term),
            Event::Continue { m, life } => {
                if self.monitors[m].life == life {
                    self.continue_monitor(m);
                }
            }
            Event::Late { conn, whose, ask } => self.sends_late(conn, whose, ask),
            Event::Up { m, life, connection, up } => {
                if self.monitors[m].life == life {
                    self.up_arrives(m, connection, up);
                }
            }
            Event::Down { m, connection, down, .. } => self.down_arrives(m, connection, down),
            Event::Greet { to, from, life, number } => self.greeted(to, (from, life, number)),
            Event::Greeted { m, number, answer, .. } => self.leader_answers(m, number, answer),
            Event::Listed { m, listed } => self.list_group(m, listed),
            Event::Leave { m, .. } => self.leave_group(m),
            Event::Operator(act) => self.operate(act),
            Event::Expire => self.expire_sessions(),
            Event::Client { c } => self.client_turn(c),
            Event::Document { c, glance } => self.client_reads(c, *glance),
            Event::Strike => self.strike(),
            Event::Step(step) => self.carry_out(step),
            Event::LateUp { m, up, .. } => self.send_up(m, up),
            Event::Heal(fault) => self.heal(fault),
            Event::Calm => self.calm(),
        }
    }

    fn caller_receives(&mut self, conn: ConnId, payload: Payload) {
        let Some(it) = self.wires.get(conn).filter(|it| !it.is_closed(End::Caller)) else { return };
        match it.owner {
            Owner::Probe(m, n) => self.probe_receives(m, n, conn, payload),
            Owner::Admin(m, _) => self.admin_receives(m, conn, payload),
            Owner::Client(c) => self.client_receives(c, conn, payload),
            Owner::Replica(n) => self.replica_receives(n, conn, payload),
        }
    }

    /// How long a message takes: mostly little.
    pub(crate) fn delay(&mut self) -> Micros {
        let (least, most) = self.swarm.delay;
        let luck = self.rng.u64(0..1_000);
        least + (most - least) * luck * luck / 1_000_000 * luck / 1_000
    }

    /// Writes a line down: into the digest, and into the trace where one is kept.
    pub(crate) fn say(&mut self, line: impl FnOnce() -> String) {
        let line = line();
        let now = self.queue.now();
        for byte in line.bytes().chain(now.to_le_bytes()) {
            self.digest = (self.digest ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        if let Some(trace) = &mut self.trace {
            // A string takes everything.
            let _ = writeln!(trace, "{:>8}.{:03} {line}", now / MS, now % MS);
        }
    }
}
