//! What clients' writes and replication do at a server: how data comes from one to the next.

use redis_failover_core::ReplId;

use super::{NodeTimer, Waiting};
use crate::nodes::Process;
use crate::queue::{MS, Micros, S};
use crate::redis::{Copy, Entry, Kind, Resync, WriteId};
use crate::wires::{Ask, ConnId, End, Owner, Payload, Say};
use crate::world::{Event, World};

/// Clients.
impl World {
    /// Closes a connection, a replica's link or another.
    pub(super) fn hang_up(&mut self, n: usize, conn: ConnId) {
        self.close(conn, End::Server);
        let node = &mut self.nodes[n];
        node.server.detach(conn);
        node.streams.remove(&conn);
        node.waits.retain(|wait| wait.conn != conn);
        node.paused.retain(|(paused, _)| *paused != conn);
    }

    pub(super) fn client_writes(&mut self, n: usize, conn: ConnId, id: WriteId) {
        let node = &mut self.nodes[n];
        if node.server.is_master() && node.server.paused_until > node.server.now {
            node.paused.push((conn, id));
            return;
        }
        let outcome = node.server.write(id);
        if outcome.is_ok() {
            self.checks.executed(id, n, &self.nodes[n].server, self.queue.now());
            self.check_taken(n, id);
        }
        self.reply(conn, if outcome.is_ok() { Say::Done } else { Say::Refused });
    }

    pub(super) fn client_waits(&mut self, n: usize, conn: ConnId, replicas: u32) {
        let server = &mut self.nodes[n].server;
        let offset = server.offset();
        server.say(Kind::GetAck);
        let until = self.queue.now() + 300 * MS;
        self.nodes[n].waits.push(Waiting { conn, replicas, offset, until });
    }

    pub(super) fn settle_waits(&mut self, n: usize) {
        let (server, now) = (&self.nodes[n].server, self.queue.now());
        let ripe = |wait: &Waiting| server.count_at(wait.offset) >= wait.replicas || now >= wait.until;
        let ripe: Vec<_> = self.nodes[n].waits.iter().copied().filter(|wait| ripe(wait)).collect();
        for wait in ripe {
            self.nodes[n].waits.retain(|it| it.conn != wait.conn);
            let count = self.nodes[n].server.count_at(wait.offset);
            self.reply(wait.conn, Say::Waited(count));
        }
    }

    /// CLIENT KILL of all clients.
    pub(super) fn kill_clients(&mut self, n: usize) {
        let clients = self.wires.all(|conn| conn.node == n && matches!(conn.owner, Owner::Client(_)));
        for conn in clients {
            self.close(conn, End::Server);
            self.nodes[n].waits.retain(|wait| wait.conn != conn);
            self.nodes[n].paused.retain(|(paused, _)| *paused != conn);
        }
    }

    /// CLIENT UNPAUSE: what waited is looked at again.
    pub(crate) fn resume_clients(&mut self, n: usize) {
        self.nodes[n].server.paused_until = 0;
        for (conn, id) in std::mem::take(&mut self.nodes[n].paused) {
            self.client_writes(n, conn, id);
        }
    }

    /// CLIENT PAUSE … WRITE.
    pub(crate) fn pause_clients(&mut self, n: usize, lasts: Micros) {
        let now = self.queue.now();
        let node = &mut self.nodes[n];
        node.server.paused_until = (now + lasts) / MS;
        let life = node.life;
        self.queue.after(lasts + MS, Event::Node { n, life, timer: NodeTimer::Unpause });
    }
}

/// Replication, as the one who is followed.
impl World {
    pub(super) fn replica_asks(&mut self, n: usize, conn: ConnId, replid: &ReplId, offset: u64) {
        let Some(Owner::Replica(replica)) = self.wires.get(conn).map(|it| it.owner) else { return };
        let addr = self.nodes[replica].server.addr.clone();
        let resync = self.nodes[n].server.psync(conn, addr, Some(replid), offset);
        match resync {
            Resync::NoMasterLink => self.reply(conn, Say::NoMasterLink),
            Resync::Partial { replid, entries } => {
                self.reply(conn, Say::Continue(replid));
                self.reply(conn, Say::Stream(entries));
                self.nodes[n].streams.insert(conn);
            }
            Resync::Full => {
                self.reply(conn, Say::FullResync);
                let life = self.nodes[n].life;
                self.queue.after(self.swarm.copying.0, Event::Node { n, life, timer: NodeTimer::Fork(conn) });
            }
        }
    }

    pub(super) fn fork(&mut self, n: usize, conn: ConnId) {
        if self.nodes[n].server.replicas.contains_key(&conn) {
            let copy = self.nodes[n].server.copy();
            self.reply(conn, Say::Copy(Box::new(copy)));
            self.nodes[n].streams.insert(conn);
        }
    }
}

/// How long a replica waits for a word of its master (`repl-timeout`). Redis's default is 60 s: shorter here, that what
/// it ends may be over before the world must be well.
const SILENCE: Micros = 20 * S;

/// Replication, as the one who follows.
impl World {
    /// Closes a link over which nothing came for too long.
    pub(super) fn give_up_silence(&mut self, n: usize) {
        let now = self.queue.now();
        let upstream = self.nodes[n].upstream.as_ref();
        if upstream.is_some_and(|it| it.loading.is_none() && now > it.heard + SILENCE) {
            self.lose_upstream(n);
        }
    }

    /// Something arrives on a server's link to its master.
    pub(crate) fn replica_receives(&mut self, n: usize, conn: ConnId, payload: Payload) {
        let node = &mut self.nodes[n];
        node.server.now = self.queue.now() / MS;
        if node.process == Process::Stopped {
            node.socket.push((conn, payload));
            return;
        }
        let Some(upstream) = node.upstream.as_mut().filter(|it| it.conn == conn) else { return };
        upstream.heard = self.queue.now();
        match payload {
            Payload::Accepted => {
                upstream.opened = true;
                let (replid, offset) = node.server.wants();
                self.send(conn, End::Caller, Payload::Ask(Ask::Psync { replid, offset }));
            }
            Payload::Refused | Payload::Fin => {
                let again = upstream.opened;
                self.lose_upstream(n);
                if again {
                    // As Redis does: at once, and after a refusal once a second.
                    self.after_command(n);
                }
            }
            Payload::Say(say) => self.replica_hears(n, conn, say),
            Payload::Syn | Payload::Ask(_) => {}
        }
    }

    pub(super) fn lose_upstream(&mut self, n: usize) {
        if let Some(upstream) = self.nodes[n].upstream.take() {
            self.close(upstream.conn, End::Caller);
        }
        self.nodes[n].server.lose_master();
    }

    pub(super) fn replica_hears(&mut self, n: usize, conn: ConnId, say: Say) {
        match say {
            Say::NoMasterLink | Say::Loading => self.lose_upstream(n),
            Say::Continue(replid) => {
                self.checks.filled(n, None);
                let upheaval = self.nodes[n].server.continue_with(replid);
                self.upheave(n, upheaval);
            }
            Say::FullResync => {
                self.checks.filled(n, Some(self.queue.now()));
                self.nodes[n].server.begin_copy();
            }
            Say::Copy(copy) => {
                let (now, takes) = (self.queue.now(), self.swarm.copying.1);
                let node = &mut self.nodes[n];
                let life = node.life;
                node.loading_until = now + takes;
                if let Some(upstream) = &mut node.upstream {
                    upstream.loading = Some(Vec::new());
                }
                self.queue.after(takes, Event::Node { n, life, timer: NodeTimer::Loaded(conn, copy) });
            }
            Say::Stream(entries) => {
                let upstream = self.nodes[n].upstream.as_mut();
                match upstream.and_then(|upstream| upstream.loading.as_mut()) {
                    Some(later) => later.extend(entries),
                    None => self.replica_applies(n, conn, &entries),
                }
            }
            _ => {}
        }
    }

    pub(super) fn replica_applies(&mut self, n: usize, conn: ConnId, entries: &[Entry]) {
        for entry in entries {
            self.nodes[n].server.apply(*entry);
            if entry.kind == Kind::GetAck {
                self.acknowledge(n, conn);
            }
        }
        if entries.is_empty() {
            self.acknowledge(n, conn);
        }
        self.after_command(n);
    }

    pub(super) fn acknowledge(&mut self, n: usize, conn: ConnId) {
        let offset = self.nodes[n].server.offset();
        self.send(conn, End::Caller, Payload::Ask(Ask::Ack(offset)));
    }

    pub(super) fn loaded(&mut self, n: usize, conn: ConnId, copy: Copy) {
        let node = &mut self.nodes[n];
        let Some(upstream) = node.upstream.as_mut().filter(|upstream| upstream.conn == conn) else { return };
        let later = upstream.loading.take().unwrap_or_default();
        let before = node.server.writes.clone();
        let upheaval = node.server.replace_with(copy);
        self.checks.filled(n, None);
        self.note_replaced(n, &before);
        self.upheave(n, upheaval);
        self.say(|| format!("node {n} has a whole copy"));
        self.replica_applies(n, conn, &later);
        self.acknowledge(n, conn);
    }
}
