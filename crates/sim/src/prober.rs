//! How a monitor asks the nodes, each over one connection that is always open, as `server/src/monitor/prober.rs` does.

use std::time::Duration;

use redis_failover_core::{Instant, Probe};

use crate::wires::{Ask, ConnId, End, Owner, Payload, Say};
use crate::world::World;

/// One node's prober.
#[derive(Clone, Debug, Default)]
pub(crate) struct Probing {
    conn: Option<ConnId>,
    /// Whether this connection has answered once.
    served: bool,
    state: State,
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// Until its next turn.
    Resting(Instant),
    /// A connection attempt since then.
    Opening(Instant),
    /// A question since then.
    Asking(Instant),
}

impl Default for State {
    fn default() -> Self {
        Self::Resting(Instant::from_millis(0))
    }
}

impl Probing {
    /// When something is due.
    pub(crate) fn due(&self, patience: Duration) -> Instant {
        match self.state {
            State::Resting(at) => at,
            State::Opening(since) => since + patience,
            State::Asking(since) => since + patience * 2,
        }
    }

    /// A new pace means: ask now.
    pub(crate) fn at_once(&mut self, now: Instant) {
        if let State::Resting(at) = &mut self.state {
            *at = now.min(*at);
        }
    }
}

impl World {
    /// Asks whom it is time to ask.
    pub(crate) fn probe_due(&mut self, m: usize, now: Instant) {
        let patience = self.policy.down_after();
        for n in 0..self.nodes.len() {
            let probing = &self.monitors[m].probes[n];
            if probing.due(patience) > now {
                continue;
            }
            let conn = probing.conn;
            match (probing.state, conn) {
                (State::Resting(_), Some(conn)) => self.ask(m, n, conn, now),
                (State::Resting(_), None) => self.connect(m, n, now),
                (State::Opening(_), _) => {
                    self.drop_probe(m, n);
                    let pace = self.monitors[m].pace;
                    self.monitors[m].probes[n].state = State::Resting(now + pace);
                }
                (State::Asking(_), _) => {
                    self.drop_probe(m, n);
                    self.connect(m, n, now);
                }
            }
        }
    }

    fn drop_probe(&mut self, m: usize, n: usize) {
        if let Some(conn) = self.monitors[m].probes[n].conn.take() {
            self.close(conn, End::Caller);
        }
    }

    fn connect(&mut self, m: usize, n: usize, now: Instant) {
        self.tell(m, n, now, Probe::Sent);
        let conn = self.open(Owner::Probe(m, n), n);
        self.monitors[m].probes[n] = Probing { conn: Some(conn), served: false, state: State::Opening(now) };
    }

    fn ask(&mut self, m: usize, n: usize, conn: ConnId, now: Instant) {
        self.tell(m, n, now, Probe::Sent);
        self.monitors[m].probes[n].state = State::Asking(now);
        self.send(conn, End::Caller, Payload::Ask(Ask::Probe));
    }

    fn tell(&mut self, m: usize, n: usize, asked: Instant, probe: Probe) {
        let node = self.nodes[n].server.addr.clone();
        let real = self.queue.now();
        let monitor = &mut self.monitors[m];
        let now = monitor.local(real);
        if matches!(probe, Probe::Lost | Probe::Refused | Probe::Unusable) {
            monitor.bad[n] = Some(real);
        }
        monitor.observed |= !matches!(probe, Probe::Sent);
        monitor.observer.probed(asked, now, &node, probe);
    }

    /// Something arrives on a prober's connection.
    pub(crate) fn probe_receives(&mut self, m: usize, n: usize, conn: ConnId, payload: Payload) {
        let monitor = &self.monitors[m];
        let now = monitor.local(self.queue.now());
        let pace = monitor.pace;
        let probing = &monitor.probes[n];
        if probing.conn != Some(conn) {
            return;
        }
        match (payload, probing.state) {
            (Payload::Accepted, State::Opening(_)) => self.ask(m, n, conn, now),
            (Payload::Refused, State::Opening(asked)) => {
                self.drop_probe(m, n);
                self.tell(m, n, asked, Probe::Refused);
                self.monitors[m].probes[n].state = State::Resting(now + pace);
            }
            (Payload::Say(say), State::Asking(asked)) => {
                let probe = match say {
                    Say::Seen(mut sighting) => {
                        sighting.asked = asked;
                        Probe::Answered(*sighting)
                    }
                    _ => Probe::Unusable,
                };
                self.tell(m, n, asked, probe);
                let probing = &mut self.monitors[m].probes[n];
                (probing.served, probing.state) = (true, State::Resting(now + pace));
            }
            (Payload::Fin, state) => {
                let served = probing.served;
                self.drop_probe(m, n);
                self.tell(m, n, now, Probe::Lost);
                let again = if served { now } else { now + pace };
                self.monitors[m].probes[n].state = State::Resting(again);
                if matches!(state, State::Opening(_)) {
                    self.monitors[m].probes[n].state = State::Resting(now + pace);
                }
            }
            _ => {}
        }
        self.turn(m);
    }
}
