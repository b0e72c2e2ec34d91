//! The script on the model, with a driver for which everything arrives at once.
//!
//! It decides nothing that is the model's to decide: it carries requests, copies and entries, and cuts what the model
//! says is cut.

use std::collections::{BTreeMap, VecDeque};

use redis_failover_core::{Link, NodeAddr, ReplId, Role};
use redis_failover_sim::redis::{
    Entry, Kind, LinkId, Persistence, Refusal, Resync, Server, Upheaval, WriteId,
};

use crate::script::Verb;
use crate::view::{Resyncs, Seen};

struct Node {
    server: Server,
    alive: bool,
    hung: bool,
    resyncs: Resyncs,
    /// Writes that CLIENT PAUSE holds back.
    held: Vec<WriteId>,
}

struct Connection {
    replica: String,
    master: String,
    underway: VecDeque<Entry>,
}

/// Servers and what is between them.
pub(crate) struct Model {
    is_6_2: bool,
    nodes: BTreeMap<String, Node>,
    connections: BTreeMap<LinkId, Connection>,
    connected: LinkId,
    written: u32,
}

fn addr(name: &str) -> NodeAddr {
    NodeAddr::new(name, 6379)
}

impl Model {
    /// Servers will be started that feed their replicas on when they follow another, or cut them off.
    pub(crate) fn new(is_6_2: bool) -> Self {
        Self { is_6_2, nodes: BTreeMap::new(), connections: BTreeMap::new(), connected: 0, written: 0 }
    }

    /// Does it, and lets everything come to rest. Returns what a client is told, where it is more than yes.
    pub(crate) fn act(&mut self, name: &str, verb: &Verb) -> Vec<String> {
        let told = self.command(name, verb);
        self.settle();
        told
    }

    fn command(&mut self, name: &str, verb: &Verb) -> Vec<String> {
        match verb {
            Verb::Start { log } => self.start(name, *log),
            Verb::Write(count) => return self.write(name, *count),
            Verb::Wait(count) => return vec![self.wait(name, *count).to_string()],
            Verb::Unpause => return self.unpause(name),
            Verb::Follow(of) => {
                let upheaval = self.server(name).follow(of.as_deref().map(addr));
                self.heed(name, upheaval);
            }
            Verb::Lead => {
                let upheaval = self.server(name).follow_no_one();
                self.heed(name, upheaval);
            }
            Verb::Die => {
                // Counters are of one life.
                (self.node(name).alive, self.node(name).resyncs) = (false, Resyncs::default());
                self.cut(|connection| connection.master == name || connection.replica == name);
            }
            Verb::Return { empty } => {
                let node = self.node(name);
                if *empty {
                    node.server.restart_empty();
                } else {
                    node.server.restart();
                }
                node.alive = true;
            }
            Verb::Save => self.server(name).save(),
            Verb::Rewrite => self.server(name).rewrite(),
            Verb::Need(count) => {
                self.server(name).min_replicas_to_write = *count;
                self.server(name).count_good_replicas();
            }
            Verb::Pause => self.server(name).paused_until = u64::MAX,
            Verb::Hang => self.node(name).hung = true,
            Verb::Wake => self.node(name).hung = false,
        }
        Vec::new()
    }

    /// What the servers show that answer.
    pub(crate) fn look(&self) -> Vec<Seen> {
        let answering = self.nodes.iter().filter(|(_, node)| node.alive && !node.hung);
        answering.map(|(name, node)| seen(name, node)).collect()
    }

    /// All resynchronisations of all servers in their present lives.
    pub(crate) fn resyncs(&self) -> BTreeMap<String, Resyncs> {
        self.nodes.iter().map(|(name, node)| (name.clone(), node.resyncs)).collect()
    }

    fn node(&mut self, name: &str) -> &mut Node {
        self.nodes.get_mut(name).unwrap_or_else(|| panic!("`{name}` was not started"))
    }

    fn server(&mut self, name: &str) -> &mut Server {
        &mut self.node(name).server
    }

    fn start(&mut self, name: &str, log: bool) {
        let persistence = if log { Persistence::Log } else { Persistence::Snapshots };
        let mut server = Server::new(addr(name), persistence);
        server.is_6_2 = self.is_6_2;
        let node = Node { server, alive: true, hung: false, resyncs: Resyncs::default(), held: Vec::new() };
        self.nodes.insert(name.to_owned(), node);
    }

    fn write(&mut self, name: &str, count: u32) -> Vec<String> {
        let mut told = Vec::new();
        for _ in 0..count {
            self.written += 1;
            let id = WriteId(self.written);
            let node = self.node(name);
            if node.server.paused_until > node.server.now {
                node.held.push(id);
                told.push("held".to_owned());
            } else {
                told.extend(answer(node.server.write(id)));
            }
        }
        told
    }

    fn unpause(&mut self, name: &str) -> Vec<String> {
        let node = self.node(name);
        node.server.paused_until = 0;
        let held = std::mem::take(&mut node.held);
        let answers = held.into_iter().map(|id| node.server.write(id));
        answers.map(|it| answer(it).unwrap_or_else(|| "taken".to_owned())).collect()
    }

    fn wait(&mut self, name: &str, count: u32) -> u32 {
        self.settle();
        let offset = self.server(name).offset();
        if self.server(name).count_at(offset) < count {
            self.server(name).say(Kind::GetAck);
            self.settle();
        }
        self.server(name).count_at(offset)
    }

    fn heed(&mut self, name: &str, upheaval: Upheaval) {
        let Upheaval { master, replicas } = upheaval;
        self.cut(|it| master && it.replica == name || replicas && it.master == name);
    }

    fn cut(&mut self, which: impl Fn(&Connection) -> bool) {
        let cut: Vec<LinkId> =
            self.connections.iter().filter(|(_, it)| which(it)).map(|(link, _)| *link).collect();
        for link in cut {
            let Some(Connection { replica, master, .. }) = self.connections.remove(&link) else { continue };
            self.server(&master).detach(link);
            self.server(&replica).lose_master();
        }
    }

    fn settle(&mut self) {
        while self.connect_all() | self.deliver_all() {}
    }

    fn is_up(&self, name: &str) -> bool {
        self.nodes.get(name).is_some_and(|node| node.alive && !node.hung)
    }

    /// Lets who has lost its master call it. Returns whether anybody was let in.
    fn connect_all(&mut self) -> bool {
        let names: Vec<String> = self.nodes.keys().filter(|name| self.is_up(name)).cloned().collect();
        let mut any = false;
        for name in names {
            let connected = self.connections.values().any(|it| it.replica == name);
            let master = self.server(&name).master().map(|master| master.host().to_owned());
            if let Some(master) = master.filter(|master| !connected && self.is_up(master)) {
                any |= self.connect(&name, &master);
            }
        }
        any
    }

    fn connect(&mut self, replica: &str, master: &str) -> bool {
        self.connected += 1;
        let link = self.connected;
        let (replid, offset) = self.server(replica).wants();
        let asked = replid != ReplId("?".to_owned());
        let upheaval = match self.server(master).psync(link, addr(replica), Some(&replid), offset) {
            Resync::NoMasterLink => return false,
            Resync::Partial { replid, entries } => {
                self.node(master).resyncs.partial += 1;
                let upheaval = self.server(replica).continue_with(replid);
                for entry in entries {
                    self.server(replica).apply(entry);
                }
                upheaval
            }
            Resync::Full => {
                let resyncs = &mut self.node(master).resyncs;
                resyncs.full += 1;
                resyncs.refused += u64::from(asked);
                let copy = self.server(master).copy();
                self.server(replica).begin_copy();
                self.server(replica).replace_with(copy)
            }
        };
        self.heed(replica, upheaval);
        let connection =
            Connection { replica: replica.to_owned(), master: master.to_owned(), underway: VecDeque::new() };
        self.connections.insert(link, connection);
        let offset = self.server(replica).offset();
        self.server(master).acknowledge(link, offset);
        true
    }

    /// Sends what was added to the streams. Returns whether anything arrived.
    fn deliver_all(&mut self) -> bool {
        for (name, node) in &mut self.nodes {
            let stream = node.server.take_stream();
            for connection in self.connections.values_mut().filter(|it| it.master == *name) {
                connection.underway.extend(&stream);
            }
        }
        let mut any = false;
        for (link, Connection { replica, master, underway }) in &mut self.connections {
            if underway.is_empty() || self.nodes[replica].hung {
                continue;
            }
            let replica = self.nodes.get_mut(replica).expect("it is connected");
            for entry in underway.drain(..) {
                replica.server.apply(entry);
            }
            let offset = replica.server.offset();
            self.nodes.get_mut(master).expect("it is connected").server.acknowledge(*link, offset);
            any = true;
        }
        any
    }
}

fn answer(answer: Result<(), Refusal>) -> Option<String> {
    match answer.err()? {
        Refusal::ReadOnly => Some("READONLY".to_owned()),
        Refusal::NoReplicas => Some("NOREPLICAS".to_owned()),
    }
}

fn seen(name: &str, node: &Node) -> Seen {
    let server = &node.server;
    let history = server.history();
    let role = match server.role() {
        Role::Master { .. } => "master".to_owned(),
        Role::Replica { of, link, .. } => {
            let of = of.filter(|of| of.port() != 1).map_or("nobody".to_owned(), |of| of.host().to_owned());
            format!("replica of {of}, {}", if link == Link::Up { "up" } else { "down" })
        }
    };
    let mut replicas: Vec<String> = server.replicas.values().map(|it| it.node.host().to_owned()).collect();
    replicas.sort();
    Seen {
        name: name.to_owned(),
        role,
        replicas,
        keys: server.writes.len(),
        replid: history.replid.0,
        offset: history.offset,
        previous: history.previous.map(|(replid, end)| (replid.0, end)),
        resyncs: node.resyncs,
    }
}
