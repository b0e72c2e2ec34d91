//! Applications: writers that remember what was acknowledged, some of which wait for a replica; readers; and one that
//! never looks away from the first master. They follow the document by the core's rules, as the Rust client does.

use redis_failover_core::follower::{Follower, Identity, Manner};
use redis_failover_core::{Link, NodeAddr, Role};
use redis_failover_store::Glance;

use crate::bugs::Bug;
use crate::queue::{MS, Micros, S};
use crate::redis::WriteId;
use crate::wires::{Ask, ConnId, End, Host, Owner, Payload, Say};
use crate::world::{Event, World};

/// What a client does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Writes.
    Writer,
    /// Writes, and waits until a replica has it.
    Durable,
    /// Reads from replicas.
    Reader,
    /// Writes to the first master, whatever is published.
    Stubborn,
}

/// One client, with one command at a time.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    /// What it does.
    pub(crate) kind: Kind,
    follower: Follower,
    first: NodeAddr,
    conn: Option<(ConnId, usize)>,
    said: Option<Identity>,
    state: State,
    /// A write that was certainly not executed, or whose fate a client with a planted bug does not care about.
    again: Option<WriteId>,
    next: Micros,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Idle,
    /// It waits for a connection and its server's name since then.
    Connecting(Micros),
    /// It has sent this write then.
    Writing(WriteId, Micros),
    /// It waits for a replica.
    Waiting(WriteId, Micros),
    Reading(Micros),
}

/// How long a reply may take.
const PATIENCE: Micros = 2 * S;

impl Client {
    /// Whether a write is under way.
    pub(crate) fn is_writing(&self) -> bool {
        matches!(self.state, State::Writing(..) | State::Waiting(..))
    }
}

impl World {
    pub(crate) fn start_clients(&mut self) {
        let (writers, durable) = self.swarm.writers;
        let kinds = (0..writers).map(|n| if n < durable { Kind::Durable } else { Kind::Writer });
        let readers = (0..self.swarm.readers).map(|_| Kind::Reader);
        let stubborn = self.swarm.stubborn.then_some(Kind::Stubborn);
        for kind in kinds.chain(readers).chain(stubborn).collect::<Vec<_>>() {
            let c = self.clients.len();
            let first = self.nodes[0].server.addr.clone();
            let (follower, said) = (Follower::default(), None);
            let state = State::Idle;
            self.clients.push(Client {
                kind,
                follower,
                first,
                conn: None,
                said,
                state,
                again: None,
                next: S,
            });
            let at = S + self.rng.u64(0..self.swarm.write_every);
            self.queue.at(at, Event::Client { c });
        }
    }

    /// News for the clients, over ways that may be cut.
    pub(crate) fn tell_clients(&mut self) {
        let glance = self.ensemble.glance();
        if self.glances.last() != Some(&glance) {
            self.glances.push(glance.clone());
        }
        for c in 0..self.clients.len() {
            if self.wires.way(Host::Ensemble, Host::Client(c)).cuts == 0 && self.ensemble.up {
                let late = self.rng.u64(0..=self.swarm.lag);
                self.queue.after(late, Event::Document { c, glance: Box::new(glance.clone()) });
                if self.rng.u8(0..8) == 0 {
                    // Another server, which lags, shows something older.
                    let old = self.glances[self.rng.usize(0..self.glances.len())].clone();
                    self.queue.after(late + MS, Event::Document { c, glance: Box::new(old) });
                }
            }
        }
    }

    /// A client reads a document.
    pub(crate) fn client_reads(&mut self, c: usize, glance: Glance) {
        let Some(Ok(Some(publication))) = glance.read else { return };
        let client = &mut self.clients[c];
        let before = client.follower.believed().map(|it| (it.epoch, it.master.addr.clone(), it.run.clone()));
        if self.bug == Some(Bug::ClientTrustsOlder) {
            client.follower = Follower::default();
        }
        let _refused_if_older = client.follower.read(glance.created, glance.order, publication);
        let after = client.follower.believed().map(|it| (it.epoch, it.master.addr.clone(), it.run.clone()));
        if before.as_ref().map(|it| it.0) > after.as_ref().map(|it| it.0) {
            self.violate("client-epoch-grows", &format!("client {c} goes from {before:?} to {after:?}"));
            return;
        }
        let moved = before.map(|it| (it.1, it.2)) != after.map(|it| (it.1, it.2));
        if moved && !matches!(self.clients[c].kind, Kind::Stubborn | Kind::Reader) {
            self.client_drops(c);
        }
    }

    /// Its connection is gone: what it had sent and not heard of is unknown.
    fn client_drops(&mut self, c: usize) {
        let client = &mut self.clients[c];
        let (conn, state) = (client.conn.take(), std::mem::replace(&mut client.state, State::Idle));
        client.said = None;
        if let State::Writing(id, _) = state {
            self.checks.counts.unknown += 1;
            if self.bug == Some(Bug::ClientRepeats) {
                self.clients[c].again = Some(id);
            }
        }
        if let Some((conn, _)) = conn {
            self.close(conn, End::Caller);
        }
    }

    /// Its turn.
    pub(crate) fn client_turn(&mut self, c: usize) {
        let now = self.queue.now();
        let every = self.swarm.write_every;
        let rest = if self.is_hostile() { every } else { every.max(100 * MS) };
        let turn = self.rng.u64(rest / 2..rest * 3 / 2).max(MS);
        self.queue.after(turn, Event::Client { c });
        let client = &self.clients[c];
        match client.state {
            State::Connecting(since)
            | State::Writing(_, since)
            | State::Waiting(_, since)
            | State::Reading(since) => {
                if now > since + PATIENCE {
                    self.client_drops(c);
                }
            }
            State::Idle if now >= client.next && !self.quiet => self.client_acts(c),
            State::Idle => {}
        }
    }

    fn client_acts(&mut self, c: usize) {
        let now = self.queue.now();
        let client = &self.clients[c];
        let target = match client.kind {
            Kind::Stubborn => Some(client.first.clone()),
            Kind::Reader => {
                let replicas =
                    client.follower.believed().map(|it| it.replicas.as_slice()).unwrap_or_default();
                let ok: Vec<_> = replicas.iter().filter(|replica| replica.ok).collect();
                if ok.is_empty() { None } else { Some(ok[self.rng.usize(0..ok.len())].addr.clone()) }
            }
            Kind::Writer | Kind::Durable => client.follower.master().cloned(),
        };
        let Some(n) = target.and_then(|target| self.node_of(&target)) else { return };
        match self.clients[c].conn {
            Some((conn, at)) if at == n => self.client_sends(c, conn),
            _ => {
                self.client_drops(c);
                let conn = self.open(Owner::Client(c), n);
                let client = &mut self.clients[c];
                (client.conn, client.state) = (Some((conn, n)), State::Connecting(now));
            }
        }
    }

    fn client_sends(&mut self, c: usize, conn: ConnId) {
        let now = self.queue.now();
        let client = &mut self.clients[c];
        let Some(said) = client.said.clone() else { return };
        let node = client.conn.map(|(_, n)| self.nodes[n].server.addr.clone());
        match client.kind {
            Kind::Reader => {
                if node.is_some_and(|node| client.follower.may_read(&node, &said)) {
                    client.state = State::Reading(now);
                    self.send(conn, End::Caller, Payload::Ask(Ask::Get));
                } else {
                    self.client_drops(c);
                }
            }
            Kind::Writer | Kind::Durable if client.follower.may_write(&said).is_err() => self.client_drops(c),
            Kind::Writer | Kind::Durable | Kind::Stubborn => {
                let id = client.again.take().unwrap_or_else(|| {
                    self.last_write += 1;
                    WriteId(self.last_write)
                });
                self.clients[c].state = State::Writing(id, now);
                self.send(conn, End::Caller, Payload::Ask(Ask::Write(id)));
            }
        }
    }

    /// Something arrives on its connection.
    pub(crate) fn client_receives(&mut self, c: usize, conn: ConnId, payload: Payload) {
        let now = self.queue.now();
        if self.clients[c].conn.is_none_or(|(it, _)| it != conn) {
            return;
        }
        let client = &mut self.clients[c];
        match (payload, client.state) {
            (Payload::Accepted, _) => self.send(conn, End::Caller, Payload::Ask(Ask::Identity)),
            (Payload::Say(Say::Identity { run, role }), State::Connecting(_)) => {
                let manner = match role {
                    Role::Master { .. } => Manner::Master,
                    Role::Replica { link: Link::Syncing, .. } => Manner::Filling,
                    Role::Replica { .. } => Manner::Replica,
                };
                let asked = client.follower.order();
                client.said = Some(Identity { run: Some(run), role: Some(manner), asked });
                client.state = State::Idle;
                self.client_acts(c);
            }
            (Payload::Say(Say::Done), State::Writing(id, _)) => {
                client.state = State::Idle;
                let kind = client.kind;
                self.client_is_answered(id, kind);
                if kind == Kind::Durable {
                    self.clients[c].state = State::Waiting(id, now);
                    self.send(conn, End::Caller, Payload::Ask(Ask::Wait { replicas: 1 }));
                }
            }
            (Payload::Say(Say::Refused | Say::Loading), State::Writing(id, _)) => {
                client.again = Some(id);
                client.state = State::Idle;
                self.client_drops(c);
            }
            (Payload::Say(Say::Waited(count)), State::Waiting(id, _)) => {
                client.state = State::Idle;
                if count >= 1 {
                    self.checks.confirmed(id);
                }
            }
            (Payload::Say(Say::Done), State::Reading(_)) => {
                client.state = State::Idle;
                self.checks.counts.reads += 1;
            }
            (Payload::Fin | Payload::Refused | Payload::Say(_), _) => self.client_drops(c),
            (Payload::Syn | Payload::Ask(_), _) => {}
        }
    }

    fn client_is_answered(&mut self, id: WriteId, kind: Kind) {
        let calm = !self.is_hostile() && self.active == 0;
        if calm && kind != Kind::Stubborn {
            self.checks.acked_since_calm += 1;
        }
        self.acknowledged(id);
    }
}
