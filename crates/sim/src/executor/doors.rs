//! The connections over which a leader commands nodes, as `server/src/monitor/admin_links.rs` keeps them: one a node,
//! listed by the node, confirmed by the store, and then the only one of its kind.

use std::collections::VecDeque;

use redis_failover_core::{Leadership, Term};

use crate::bugs::Bug;
use crate::ensemble::Up;
use crate::queue::{MS, Micros, S};
use crate::wires::{Ask, ConnId, End, Owner, Payload, Say};
use crate::world::{Event, World};

/// The rest of a keeper that could not open one.
const REST: Micros = 200 * MS;

/// How long it waits to be let in.
const GREET: Micros = 30 * S;

/// A connection to one node.
#[derive(Clone, Debug)]
pub(crate) struct Door {
    /// The connection.
    pub(crate) conn: ConnId,
    /// The term in which it was opened.
    pub(crate) term: Term,
    /// It may be used.
    pub(crate) ready: bool,
    /// The visit that opened it and waits; `None` for the keeper.
    by: Option<u64>,
    since: Micros,
    others: Vec<ConnId>,
    /// Whose answers come next.
    pub(super) asked: VecDeque<u64>,
}

/// Opening and closing.
impl World {
    /// The connection by which the visit enters the node: the one that stands, or a new one, for which a keeper's
    /// attempt is given up.
    pub(super) fn enter(&mut self, m: usize, n: usize, term: Term, visit: u64) -> ConnId {
        match self.monitors[m].doors.get(&n) {
            Some(door) if door.ready && door.term == term => door.conn,
            _ => {
                self.close_door(m, n);
                self.open_door(m, n, term, Some(visit))
            }
        }
    }

    fn open_door(&mut self, m: usize, n: usize, term: Term, by: Option<u64>) -> ConnId {
        let conn = self.open(Owner::Admin(m, term), n);
        let (since, others, asked) = (self.queue.now(), Vec::new(), VecDeque::new());
        let door = Door { conn, term, ready: false, by, since, others, asked };
        self.monitors[m].doors.insert(n, door);
        conn
    }

    pub(super) fn close_door(&mut self, m: usize, n: usize) {
        if let Some(door) = self.monitors[m].doors.remove(&n) {
            self.monitors[m].held.retain(|_, held| held.conn != door.conn);
            self.close(door.conn, End::Caller);
        }
    }

    /// A visit that is over does not wait at a door any more.
    pub(super) fn leave(&mut self, m: usize, n: usize, visit: u64) {
        let waits = |door: &Door| !door.ready && door.by == Some(visit);
        if self.monitors[m].doors.get(&n).is_some_and(waits) {
            self.close_door(m, n);
        }
    }

    /// The lead changed: what was opened in another term is closed.
    pub(crate) fn keep_doors(&mut self, m: usize) {
        let monitor = &self.monitors[m];
        let term = match monitor.leadership {
            Leadership::Leading(term) => Some(term),
            // The same term may go on.
            Leadership::Suspended => monitor.led.map(|(term, _)| term),
            Leadership::Following => None,
        };
        let other = |(n, door): (&usize, &Door)| (Some(door.term) != term).then_some(*n);
        for n in monitor.doors.iter().filter_map(other).collect::<Vec<_>>() {
            self.close_door(m, n);
        }
        let Leadership::Leading(term) = self.monitors[m].leadership else { return };
        let life = self.monitors[m].life;
        self.queue.after(0, Event::Keep { m, life, term });
    }

    /// A keeper's turn: opens what is not open, for as long as the term lasts.
    pub(crate) fn keep_warm(&mut self, m: usize, term: Term) {
        if self.monitors[m].led.is_none_or(|(led, _)| led != term) {
            return;
        }
        let now = self.queue.now();
        if self.monitors[m].leadership == Leadership::Leading(term) {
            for n in 0..self.nodes.len() {
                let stuck = |door: &Door| !door.ready && door.by.is_none() && now >= door.since + GREET;
                if self.monitors[m].doors.get(&n).is_some_and(stuck) {
                    self.close_door(m, n);
                }
                if !self.monitors[m].doors.contains_key(&n) {
                    self.open_door(m, n, term, None);
                }
            }
        }
        let life = self.monitors[m].life;
        self.queue.after(REST, Event::Keep { m, life, term });
    }

    fn door_of(&mut self, m: usize, conn: ConnId) -> Option<(usize, &mut Door)> {
        let mut doors = self.monitors[m].doors.iter_mut();
        doors.find(|(_, door)| door.conn == conn).map(|(n, door)| (*n, door))
    }
}

/// What arrives.
impl World {
    /// Something arrives on a connection by which nodes are commanded.
    pub(crate) fn admin_receives(&mut self, m: usize, conn: ConnId, payload: Payload) {
        let skips = self.bug == Some(Bug::SkipsFence);
        let Some((n, door)) = self.door_of(m, conn) else {
            if matches!(payload, Payload::Fin) {
                self.close(conn, End::Caller);
            }
            return;
        };
        match payload {
            Payload::Say(say) if door.ready => {
                let whose = door.asked.pop_front();
                self.visit_receives(m, whose, conn, Payload::Say(say));
            }
            Payload::Accepted if skips => self.door_is_ready(m, n, conn),
            Payload::Accepted => self.send(conn, End::Caller, Payload::Ask(Ask::List)),
            Payload::Say(Say::Listed(others)) => {
                door.others = others;
                let term = door.term;
                self.send_up(m, Up::Confirm(conn, term));
            }
            Payload::Say(Say::Done) => self.door_is_ready(m, n, conn),
            _ => self.door_is_shut(m, n, conn),
        }
        self.turn(m);
    }

    /// The store says whether this monitor leads in the term of that connection.
    pub(crate) fn door_is_confirmed(&mut self, m: usize, conn: ConnId, leads: bool) {
        let Some((n, door)) = self.door_of(m, conn) else { return };
        let others = std::mem::take(&mut door.others);
        match (leads, others.is_empty()) {
            (false, _) => self.door_is_shut(m, n, conn),
            (true, true) => self.door_is_ready(m, n, conn),
            (true, false) => self.send(conn, End::Caller, Payload::Ask(Ask::End(others))),
        }
    }

    fn door_is_ready(&mut self, m: usize, n: usize, conn: ConnId) {
        let Some(door) = self.monitors[m].doors.get_mut(&n) else { return };
        door.ready = true;
        if let Some(visit) = door.by {
            self.visit_receives(m, Some(visit), conn, Payload::Accepted);
        }
    }

    fn door_is_shut(&mut self, m: usize, n: usize, conn: ConnId) {
        let by = self.monitors[m].doors.get(&n).and_then(|door| door.by);
        self.close_door(m, n);
        let visits = self.monitors[m].visits.iter();
        let whose = visits.filter(|(_, visit)| visit.conn == conn).map(|(id, _)| *id).next().or(by);
        self.visit_receives(m, whose, conn, Payload::Fin);
    }

    /// What waits for the store to confirm the lead is given up with the session.
    pub(crate) fn shut_unconfirmed(&mut self, m: usize) {
        let unready = |(n, door): (&usize, &Door)| (!door.ready).then_some((*n, door.conn));
        for (n, conn) in self.monitors[m].doors.iter().filter_map(unready).collect::<Vec<_>>() {
            self.door_is_shut(m, n, conn);
        }
    }
}
