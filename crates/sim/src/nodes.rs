//! Redis servers as processes on hosts: what arrives over their connections, what they answer, and how their data comes
//! from one to the next. What a server *is* stands in `redis`.

mod commands;
mod replication;
mod snapshot;

use std::collections::BTreeSet;

use redis_failover_core::{Instant, NodeAddr, RunId};

use crate::queue::{MS, Micros, S};
use crate::redis::{Copy, Entry, Kind, Server, Upheaval, WriteId};
use crate::wires::{Ask, ConnId, End, Host, Owner, Payload, Say};
use crate::world::{Event, World};

/// Whether a process runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Process {
    /// It does.
    Running,
    /// It stands still; the kernel goes on accepting for it.
    Stopped,
    /// It has ended.
    Dead,
}

/// One server's process.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    /// The server.
    pub(crate) server: Server,
    /// Whether it runs.
    pub(crate) process: Process,
    /// Whether its host has power.
    pub(crate) host_up: bool,
    /// Counts its lives, for timers.
    pub(crate) life: u32,
    /// Until when it loads its data.
    pub(crate) loading_until: Micros,
    /// Until when it writes a file that a leader asked for, and in which life.
    saving: Option<(RunId, Micros)>,
    socket: Vec<(ConnId, Payload)>,
    upstream: Option<Upstream>,
    /// The links that are sent the stream.
    streams: BTreeSet<ConnId>,
    paused: Vec<(ConnId, WriteId)>,
    waits: Vec<Waiting>,
    ping: Micros,
    pinged: Micros,
}

#[derive(Clone, Debug)]
struct Upstream {
    conn: ConnId,
    /// It has served.
    opened: bool,
    /// When it was heard of last, or was opened.
    heard: Micros,
    /// A copy is being loaded; what came after it.
    loading: Option<Vec<Entry>>,
}

#[derive(Clone, Copy, Debug)]
struct Waiting {
    conn: ConnId,
    replicas: u32,
    offset: u64,
    until: Micros,
}

/// What comes to a server by itself.
#[derive(Clone, Debug)]
pub(crate) enum NodeTimer {
    /// Once a second.
    Cron,
    /// The copy for this link is to be made.
    Fork(ConnId),
    /// The copy from this link is loaded.
    Loaded(ConnId, Box<Copy>),
    /// The pause of clients is over.
    Unpause,
    /// The data is loaded.
    Ready,
}

impl Node {
    /// A server that was started for the first time.
    pub(crate) fn new(server: Server, ping: Micros) -> Self {
        Self {
            server,
            process: Process::Running,
            host_up: true,
            life: 1,
            loading_until: 0,
            saving: None,
            socket: Vec::new(),
            upstream: None,
            streams: BTreeSet::new(),
            paused: Vec::new(),
            waits: Vec::new(),
            ping,
            pinged: 0,
        }
    }

    /// Whether it runs and has its data.
    pub(crate) fn serves(&self, now: Micros) -> bool {
        self.process == Process::Running && now >= self.loading_until
    }
}

/// Processes.
impl World {
    /// Ends the process; with its host, nobody is told.
    pub(crate) fn kill_node(&mut self, n: usize, with_host: bool) {
        let ends = |world: &Self, end: End| world.wires.all(move |conn| conn.host(end) == Host::Node(n));
        if with_host {
            self.silence(Host::Node(n));
            self.nodes[n].host_up = false;
        } else if self.nodes[n].process != Process::Dead {
            for conn in ends(self, End::Server) {
                self.close(conn, End::Server);
            }
            for conn in ends(self, End::Caller) {
                self.close(conn, End::Caller);
            }
        }
        self.note_lost(n);
        let node = &mut self.nodes[n];
        (node.process, node.upstream) = (Process::Dead, None);
        node.life += 1;
        (node.socket, node.streams, node.paused, node.waits) = Default::default();
    }

    /// Starts the next life of the process.
    pub(crate) fn start_node(&mut self, n: usize, empty: bool) {
        let now = self.queue.now();
        let slow = self.rng.u8(0..4) == 0;
        let before = self.nodes[n].server.writes.clone();
        let node = &mut self.nodes[n];
        (node.process, node.host_up) = (Process::Running, true);
        node.life += 1;
        node.server.now = now / MS;
        node.ping = self.swarm.ping;
        if empty {
            node.server.restart_empty();
        } else {
            node.server.restart();
        }
        node.loading_until = if slow && !node.server.writes.is_empty() { now + 1_500 * MS } else { now };
        let ready = node.loading_until;
        let life = node.life;
        self.queue.at(ready, Event::Node { n, life, timer: NodeTimer::Ready });
        self.queue.after(S, Event::Node { n, life, timer: NodeTimer::Cron });
        self.note_restart(n, &before);
        let (run, role) = (self.nodes[n].server.run(), self.nodes[n].server.is_master());
        self.say(|| format!("node {n} starts: {run:?}, master {role}"));
    }

    /// Lets it go on; it finds in its sockets what came meanwhile.
    pub(crate) fn wake_node(&mut self, n: usize) {
        if self.nodes[n].process != Process::Stopped {
            return;
        }
        self.nodes[n].process = Process::Running;
        self.checks.woke(n, self.queue.now());
        for (conn, payload) in std::mem::take(&mut self.nodes[n].socket) {
            match self.wires.get(conn).map(|conn| conn.node) {
                Some(server) if server == n => self.node_receives(n, conn, payload),
                _ => self.replica_receives(n, conn, payload),
            }
        }
        self.node_cron(n);
    }

    /// Something arrives at a server.
    pub(crate) fn node_receives(&mut self, n: usize, conn: ConnId, payload: Payload) {
        let node = &mut self.nodes[n];
        node.server.now = self.queue.now() / MS;
        if !node.host_up {
            // Nobody answers: it is sent again until somebody does.
            return self.queue.after(200 * MS, Event::Arrive { conn, to: End::Server, payload });
        }
        let run = node.server.run();
        match (node.process, payload) {
            (Process::Dead, Payload::Syn) => self.reset(conn, Payload::Refused),
            (Process::Dead, Payload::Fin) => {}
            (Process::Dead, _) => self.reset(conn, Payload::Fin),
            (_, Payload::Syn) => {
                self.accept(conn, run);
                self.send(conn, End::Server, Payload::Accepted);
            }
            (_, payload) if self.wires.get(conn).is_some_and(|it| it.accepted_by.as_ref() != Some(&run)) => {
                if !matches!(payload, Payload::Fin) {
                    self.reset(conn, Payload::Fin);
                }
            }
            (Process::Stopped, payload) => self.nodes[n].socket.push((conn, payload)),
            (Process::Running, Payload::Fin) => self.hang_up(n, conn),
            (Process::Running, Payload::Ask(ask)) => {
                if self.wires.get(conn).is_some_and(|it| !it.is_closed(End::Server)) {
                    self.answer(n, conn, ask);
                    self.after_command(n);
                }
            }
            (Process::Running, Payload::Accepted | Payload::Refused | Payload::Say(_)) => {}
        }
    }

    fn answer(&mut self, n: usize, conn: ConnId, ask: Ask) {
        let now = self.queue.now();
        let loading = now < self.nodes[n].loading_until;
        if loading && !matches!(ask, Ask::LookBefore | Ask::WhichRun | Ask::Ack(_) | Ask::List | Ask::End(_))
        {
            return self.reply(conn, Say::Loading);
        }
        if let Some(Owner::Admin(_, term)) = self.wires.get(conn).map(|it| it.owner)
            && matches!(ask, Ask::LookBefore | Ask::Read | Ask::WhichRun)
        {
            self.note_leader(n, term);
        }
        let server = &mut self.nodes[n].server;
        let say = match ask {
            Ask::Probe => Say::Seen(Box::new(server.sighting(Instant::from_millis(0)))),
            Ask::LookBefore => {
                Say::Before { role: server.role(), min_replicas: server.min_replicas_to_write }
            }
            Ask::Read => {
                let was = server.role();
                Say::Evidence { now: Box::new(server.evidence(was.clone())), was }
            }
            Ask::WhichRun => Say::Run(server.run()),
            Ask::Identity => Say::Identity { run: server.run(), role: server.role() },
            Ask::Get => Say::Done,
            Ask::List => Say::Listed(self.list(conn)),
            Ask::End(others) => self.end(&others),
            Ask::Write(id) => return self.client_writes(n, conn, id),
            Ask::Wait { replicas } => return self.client_waits(n, conn, replicas),
            Ask::Psync { replid, offset } => return self.replica_asks(n, conn, &replid, offset),
            Ask::Ack(offset) => {
                server.acknowledge(conn, offset);
                return;
            }
            command => self.obey(n, conn, command),
        };
        self.reply(conn, say);
    }

    fn reply(&mut self, conn: ConnId, say: Say) {
        self.send(conn, End::Server, Payload::Say(say));
    }

    /// Closes the connections that a change of role closes.
    pub(crate) fn upheave(&mut self, n: usize, upheaval: Upheaval) {
        if upheaval.master
            && let Some(upstream) = self.nodes[n].upstream.take()
        {
            self.close(upstream.conn, End::Caller);
        }
        if upheaval.replicas {
            let links: Vec<_> = self.nodes[n].server.replicas.keys().copied().collect();
            for link in links {
                self.hang_up(n, link);
            }
        }
        if !self.nodes[n].server.is_master() {
            for wait in std::mem::take(&mut self.nodes[n].waits) {
                self.reply(wait.conn, Say::Refused);
            }
        }
    }

    /// Sends on what a command has added, and connects to whom it named.
    pub(crate) fn after_command(&mut self, n: usize) {
        let entries = self.nodes[n].server.take_stream();
        if !entries.is_empty() {
            for link in self.nodes[n].streams.clone() {
                self.reply(link, Say::Stream(entries.clone()));
            }
        }
        self.settle_waits(n);
        let node = &self.nodes[n];
        if !node.serves(self.queue.now()) || node.upstream.is_some() {
            return;
        }
        let Some(master) = node.server.master().and_then(|master| self.node_of(master)).filter(|it| *it != n)
        else {
            return;
        };
        let conn = self.open(Owner::Replica(n), master);
        self.nodes[n].upstream =
            Some(Upstream { conn, opened: false, heard: self.queue.now(), loading: None });
    }
}

/// Timers.
impl World {
    /// A timer of the server's present life has run out.
    pub(crate) fn node_timer(&mut self, n: usize, timer: NodeTimer) {
        self.nodes[n].server.now = self.queue.now() / MS;
        match timer {
            NodeTimer::Cron => {
                self.node_cron(n);
                let life = self.nodes[n].life;
                self.queue.after(S, Event::Node { n, life, timer: NodeTimer::Cron });
            }
            _ if self.nodes[n].process == Process::Stopped => {
                // It looks again when it goes on.
                let life = self.nodes[n].life;
                self.queue.after(20 * MS, Event::Node { n, life, timer });
            }
            NodeTimer::Fork(conn) => self.fork(n, conn),
            NodeTimer::Loaded(conn, copy) => self.loaded(n, conn, *copy),
            NodeTimer::Unpause => {
                // Where another pause has begun meanwhile they go on waiting.
                for (conn, id) in std::mem::take(&mut self.nodes[n].paused) {
                    self.client_writes(n, conn, id);
                }
            }
            NodeTimer::Ready => {}
        }
        self.after_command(n);
    }

    fn node_cron(&mut self, n: usize) {
        let now = self.queue.now();
        let node = &mut self.nodes[n];
        if node.process != Process::Running {
            return;
        }
        node.server.now = now / MS;
        node.server.count_good_replicas();
        if now >= node.pinged + node.ping {
            node.pinged = now;
            node.server.say(Kind::Ping);
        }
        self.give_up_silence(n);
        let node = &self.nodes[n];
        let streaming = node.server.link() == redis_failover_core::Link::Up;
        if let Some(conn) = node.upstream.as_ref().map(|it| it.conn).filter(|_| streaming) {
            self.acknowledge(n, conn);
        }
        self.check_let_go(n);
        self.after_command(n);
    }

    /// Which node has this address.
    pub(crate) fn node_of(&self, addr: &NodeAddr) -> Option<usize> {
        self.nodes.iter().position(|node| node.server.addr == *addr)
    }
}
