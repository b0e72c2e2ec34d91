//! Hosts, the ways between them, and connections. Bytes on a connection keep their order and are never lost while both
//! ends live: a way that is cut holds them, and lets them go when it is mended.

use std::collections::BTreeMap;

use redis_failover_core::{Evidence, NodeAddr, ReplId, Role, RunId, Saving, Sighting, Term};

use crate::queue::Micros;
use crate::redis::{Copy, Entry, WriteId};
use crate::world::{Event, World};

/// A machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Host {
    /// One with a Redis server.
    Node(usize),
    /// One with a monitor.
    Monitor(usize),
    /// One with a client.
    Client(usize),
    /// ZooKeeper.
    Ensemble,
}

/// A connection's number.
pub(crate) type ConnId = u64;

/// Which end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// Who opened it.
    Caller,
    /// The Redis server.
    Server,
}

/// For what a connection was opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Owner {
    /// A monitor's probes.
    Probe(usize, usize),
    /// A leader's commands, in which term.
    Admin(usize, Term),
    /// A client's commands.
    Client(usize),
    /// A replica's link to its master.
    Replica(usize),
}

/// One connection.
#[derive(Clone, Debug)]
pub(crate) struct Conn {
    /// Whose.
    pub(crate) owner: Owner,
    /// The server.
    pub(crate) node: usize,
    /// The life of the server's process that accepted it.
    pub(crate) accepted_by: Option<RunId>,
    /// It has a name in the server's list.
    pub(crate) named: bool,
    /// Until when each direction is busy: order is kept.
    busy: [Micros; 2],
    held: [Vec<Payload>; 2],
    closed: [bool; 2],
}

/// What is sent over a connection.
#[derive(Clone, Debug)]
pub(crate) enum Payload {
    /// Open.
    Syn,
    /// Opened.
    Accepted,
    /// Nobody listens.
    Refused,
    /// Closed, by whichever end.
    Fin,
    /// To the server.
    Ask(Ask),
    /// From the server.
    Say(Say),
}

/// What a Redis server is asked.
#[derive(Clone, Debug)]
pub(crate) enum Ask {
    /// PING and INFO.
    Probe,
    /// Bear a name, and say who else bears one.
    List,
    /// Close these connections.
    End(Vec<ConnId>),
    /// What it is before it is commanded.
    LookBefore,
    /// Follow the refusing address and be read, in one transaction; a master loses its clients, if that is asked for.
    Freeze { cut: bool },
    /// Hold writes for so long.
    HoldWrites(Micros),
    /// Hold them no longer.
    ResumeWrites,
    /// Give up the role of a master and be read; the clients stay, and what waited is refused.
    Cede,
    /// Close all clients' connections.
    KillClients,
    /// Be read.
    Read,
    /// Become a master, closed or not.
    Promote { closed: bool, cut: bool },
    /// In which life are you?
    WhichRun,
    /// Take writes from so many good replicas on.
    Open { number: u32, first: bool },
    /// Take writes only while so many replicas follow.
    Fence(u32),
    /// Follow; a master loses its clients.
    Follow { master: NodeAddr, cut: bool, number: Option<u32> },
    /// Write what you hold into a file, or say how far that is.
    Save { run: RunId, begun: bool },
    /// Write your role into your file.
    Persist,
    /// A client's write.
    Write(WriteId),
    /// How many replicas have what this connection wrote last?
    Wait { replicas: u32 },
    /// Who are you?
    Identity,
    /// A client's read.
    Get,
    /// A replica asks for what it lacks.
    Psync { replid: ReplId, offset: u64 },
    /// A replica says how far it is.
    Ack(u64),
}

/// What a Redis server answers.
#[derive(Clone, Debug)]
pub(crate) enum Say {
    /// To a probe.
    Seen(Box<Sighting>),
    /// The other connections over which it is commanded.
    Listed(Vec<ConnId>),
    /// It loads its data.
    Loading,
    /// What it was before.
    Before { role: Role, min_replicas: u32 },
    /// What it was and what it holds.
    Evidence { was: Role, now: Box<Evidence> },
    /// Its life.
    Run(RunId),
    /// How far its file is; `None` where it is no longer the one that was meant.
    Saving(Option<Saving>),
    /// Done.
    Done,
    /// Not executed: it is a replica, or has too few of them.
    Refused,
    /// So many.
    Waited(u32),
    /// Who it is.
    Identity { run: RunId, role: Role },
    /// Go on under this name.
    Continue(ReplId),
    /// A copy follows.
    FullResync,
    /// Its own link is down.
    NoMasterLink,
    /// The copy.
    Copy(Box<Copy>),
    /// The stream.
    Stream(Vec<Entry>),
}

/// One direction between two hosts.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Way {
    /// By how many faults it is cut.
    pub(crate) cuts: u32,
    /// By how many it is slow, and how slow.
    pub(crate) slowed: Micros,
}

/// All connections and ways.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wires {
    conns: BTreeMap<ConnId, Conn>,
    last: ConnId,
    ways: BTreeMap<(Host, Host), Way>,
}

impl Wires {
    /// A connection that is not forgotten yet.
    pub(crate) fn get(&self, conn: ConnId) -> Option<&Conn> {
        self.conns.get(&conn)
    }

    /// Those for which `which` holds.
    pub(crate) fn all(&self, which: impl Fn(&Conn) -> bool) -> Vec<ConnId> {
        self.conns.iter().filter(|(_, conn)| which(conn)).map(|(id, _)| *id).collect()
    }

    /// The way from one host to another.
    pub(crate) fn way(&self, from: Host, to: Host) -> Way {
        self.ways.get(&(from, to)).copied().unwrap_or_default()
    }

    /// The same, to be changed.
    pub(crate) fn way_mut(&mut self, from: Host, to: Host) -> &mut Way {
        self.ways.entry((from, to)).or_default()
    }
}

impl Conn {
    /// The host of one end.
    pub(crate) fn host(&self, end: End) -> Host {
        match (end, self.owner) {
            (End::Server, _) => Host::Node(self.node),
            (End::Caller, Owner::Probe(monitor, _) | Owner::Admin(monitor, _)) => Host::Monitor(monitor),
            (End::Caller, Owner::Client(client)) => Host::Client(client),
            (End::Caller, Owner::Replica(node)) => Host::Node(node),
        }
    }

    /// Whether this end was closed by its own process.
    pub(crate) fn is_closed(&self, end: End) -> bool {
        self.closed[end as usize]
    }
}

impl End {
    /// The other one.
    pub(crate) fn other(self) -> Self {
        match self {
            Self::Caller => Self::Server,
            Self::Server => Self::Caller,
        }
    }
}

/// Connections.
impl World {
    /// Opens a connection to a server.
    pub(crate) fn open(&mut self, owner: Owner, node: usize) -> ConnId {
        self.wires.last += 1;
        let id = self.wires.last;
        let (busy, held, closed) = Default::default();
        self.wires
            .conns
            .insert(id, Conn { owner, node, accepted_by: None, named: false, busy, held, closed });
        self.send(id, End::Caller, Payload::Syn);
        id
    }

    /// Notes who accepted it.
    pub(crate) fn accept(&mut self, conn: ConnId, run: RunId) {
        if let Some(conn) = self.wires.conns.get_mut(&conn) {
            conn.accepted_by = Some(run);
        }
    }

    /// Has the server list it by its name, and yields the others of its kind that stand there.
    pub(crate) fn list(&mut self, conn: ConnId) -> Vec<ConnId> {
        let Some(own) = self.wires.conns.get_mut(&conn) else { return Vec::new() };
        own.named = true;
        let (node, run) = (own.node, own.accepted_by.clone());
        let mut others = self
            .wires
            .all(|it| it.node == node && it.named && it.accepted_by == run && !it.is_closed(End::Server));
        others.retain(|it| *it != conn);
        others
    }

    /// Has the server close them.
    pub(crate) fn end(&mut self, conns: &[ConnId]) -> Say {
        for conn in conns {
            self.close(*conn, End::Server);
        }
        Say::Done
    }

    /// Sends from one end. It arrives after all that was sent before, or when the way is mended.
    pub(crate) fn send(&mut self, id: ConnId, from: End, payload: Payload) {
        let Some(conn) = self.wires.conns.get(&id) else { return };
        if conn.closed[from as usize] {
            return;
        }
        let (a, b) = (conn.host(from), conn.host(from.other()));
        let way = self.wires.way(a, b);
        let delay = self.delay() + way.slowed;
        let now = self.queue.now();
        let Some(conn) = self.wires.conns.get_mut(&id) else { return };
        let held = &mut conn.held[from as usize];
        if way.cuts > 0 || !held.is_empty() {
            held.push(payload);
            return;
        }
        let at = (now + delay).max(conn.busy[from as usize] + 1);
        conn.busy[from as usize] = at;
        self.queue.at(at, Event::Arrive { conn: id, to: from.other(), payload });
    }

    /// Closes one end: what was sent before still arrives.
    pub(crate) fn close(&mut self, id: ConnId, end: End) {
        self.send(id, end, Payload::Fin);
        if let Some(conn) = self.wires.conns.get_mut(&id) {
            conn.closed[end as usize] = true;
            if conn.closed == [true; 2] && conn.held.iter().all(Vec::is_empty) {
                self.wires.conns.remove(&id);
            }
        }
    }

    /// A host has vanished: its ends say nothing any more.
    pub(crate) fn silence(&mut self, host: Host) {
        for conn in self.wires.conns.values_mut() {
            for end in [End::Caller, End::Server] {
                if conn.host(end) == host {
                    conn.closed[end as usize] = true;
                    conn.held[end as usize].clear();
                }
            }
        }
    }

    /// A way is open again: what it held goes on.
    pub(crate) fn mend(&mut self, from: Host, to: Host) {
        if self.wires.way(from, to).cuts > 0 {
            return;
        }
        for id in self.wires.all(|conn| {
            [End::Caller, End::Server].iter().any(|end| {
                conn.host(*end) == from
                    && conn.host(end.other()) == to
                    && !conn.held[*end as usize].is_empty()
            })
        }) {
            let delay = self.delay();
            let Some(conn) = self.wires.conns.get_mut(&id) else { continue };
            let end = if conn.host(End::Caller) == from { End::Caller } else { End::Server };
            let mut at = (self.queue.now() + delay).max(conn.busy[end as usize] + 1);
            for payload in std::mem::take(&mut conn.held[end as usize]) {
                self.queue.at(at, Event::Arrive { conn: id, to: end.other(), payload });
                at += 1;
            }
            conn.busy[end as usize] = at;
        }
    }
}
