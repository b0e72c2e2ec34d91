//! What a server does when it is commanded, by a leader or by whoever has a connection for that. It asks nobody whether
//! it should.

use redis_failover_core::plan::CLOSED;

use crate::queue::{Micros, S};
use crate::wires::{Ask, ConnId, Owner, Say};
use crate::world::World;

impl World {
    /// An administrative command.
    pub(super) fn obey(&mut self, n: usize, conn: ConnId, ask: Ask) -> Say {
        let mut was = self.nodes[n].server.role();
        let by = self.wires.get(conn).map(|it| it.owner);
        self.say(|| format!("node {n} <- {by:?} {ask:?}"));
        if let Some(Owner::Admin(m, term)) = by {
            self.check_fence(n, m, term);
            if let Ask::Follow { master, .. } = &ask {
                self.check_counted(n, m, master);
            }
        }
        self.check_told_to_open(n, &ask);
        self.checks.obeyed(n, &ask, self.queue.now());
        self.note_opened(n, &ask);
        match ask {
            Ask::Freeze { cut } => {
                let upheaval = self.nodes[n].server.follow(None);
                self.upheave(n, upheaval);
                if cut {
                    self.kill_clients(n);
                }
            }
            Ask::KillClients => self.kill_clients(n),
            Ask::HoldWrites(_) | Ask::ResumeWrites if self.operators.no_pauses => return Say::Refused,
            Ask::HoldWrites(lasts) => self.hold_writes(n, lasts),
            Ask::ResumeWrites => self.resume_clients(n),
            Ask::Cede => self.cede(n),
            Ask::Promote { closed, cut } => {
                if cut {
                    self.kill_clients(n);
                }
                if closed {
                    self.nodes[n].server.min_replicas_to_write = CLOSED;
                }
                let upheaval = self.nodes[n].server.follow_no_one();
                self.upheave(n, upheaval);
                was = self.nodes[n].server.role();
                self.checks.promoted(n, &self.nodes[n].server);
                self.check_cut_off(n);
            }
            Ask::Open { number, first } => {
                let node = &mut self.nodes[n];
                if node.server.min_replicas_to_write == CLOSED {
                    node.server.min_replicas_to_write = number;
                }
                if first {
                    node.ping = S;
                }
            }
            Ask::Fence(number) => self.nodes[n].server.fence(number),
            Ask::Follow { master, cut, number } => {
                let upheaval = self.nodes[n].server.follow(Some(master));
                self.upheave(n, upheaval);
                if cut {
                    self.kill_clients(n);
                }
                let server = &mut self.nodes[n].server;
                if let Some(number) = number {
                    server.min_replicas_to_write = number;
                }
            }
            Ask::Persist => self.nodes[n].server.rewrite(),
            Ask::Save { run, begun } => return Say::Saving(self.saves(n, run, begun)),
            _ => {}
        }
        Say::Evidence { now: Box::new(self.nodes[n].server.evidence(was.clone())), was }
    }

    fn hold_writes(&mut self, n: usize, lasts: Micros) {
        self.pause_clients(n, lasts);
        self.note_held(n);
    }

    fn cede(&mut self, n: usize) {
        self.note_ceded(n);
        let upheaval = self.nodes[n].server.follow(None);
        self.upheave(n, upheaval);
        self.resume_clients(n);
    }
}
