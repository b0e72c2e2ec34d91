//! `ZooKeeper` as the monitors see it: sessions over connections that break, news that come late, replies that get
//! lost. What stands in it, and by which rules it changes, is `redis_failover_store::model`.

mod asking;
mod leaving;
mod messages;

use redis_failover_core::{
    Entry, Instant, Leadership, MonitorId, Outcome, Term, Topology, Version, Versioned,
};
use redis_failover_store::model::{CampaignId, Model, SessionId};
use redis_failover_store::{CommitError, Contact, Glance, GroupPath};

use crate::bugs::Bug;
use crate::queue::{MS, Micros};
use crate::wires::Host;
use crate::world::{Event, World};

pub(crate) use messages::{Down, Snapshot, Up};

/// The servers, as one.
#[derive(Clone, Debug)]
pub(crate) struct Ensemble {
    /// What stands there.
    pub(crate) model: Model,
    /// The group.
    pub(crate) group: GroupPath,
    /// Whether there is a quorum.
    pub(crate) up: bool,
    /// Each monitor's session as the servers know it.
    pub(crate) sessions: Vec<ServerSide>,
    /// The sessions of processes that have ended, and when they were heard of last.
    orphans: Vec<(SessionId, Micros)>,
    observer: SessionId,
    seen: i64,
    document: i64,
}

/// A monitor's session as the servers know it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ServerSide {
    /// The session.
    pub(crate) session: SessionId,
    /// The monitor's standing for the lead.
    pub(crate) campaign: CampaignId,
    /// The connection over which it is used; what comes over an older one is refused.
    pub(crate) connection: u32,
    /// When it was heard of last.
    touched: Micros,
    expired: bool,
    /// It was told that something is new, and has not asked yet.
    told: bool,
}

impl Ensemble {
    /// Servers in which nothing stands.
    pub(crate) fn new(group: GroupPath) -> Self {
        let mut model = Model::default();
        let observer = model.open();
        let (sessions, orphans) = Default::default();
        Self { model, group, up: true, sessions, orphans, observer, seen: 0, document: 0 }
    }

    /// A session for a process that has just begun.
    pub(crate) fn begin(&mut self, m: usize, id: &MonitorId, contact: &Contact, now: Micros) {
        let session = self.model.open();
        let campaign = self.model.campaign(session, &self.group, id, Some(contact));
        let begun =
            ServerSide { session, campaign, connection: 0, touched: now, expired: false, told: false };
        match self.sessions.get_mut(m) {
            Some(old) => {
                let old = std::mem::replace(old, begun);
                self.orphans.push((old.session, old.touched));
            }
            None => self.sessions.push(begun),
        }
    }

    /// The term of who holds the lock now.
    pub(crate) fn holder(&self) -> Option<Term> {
        self.model.term(&self.group)
    }

    /// The record that stands there.
    pub(crate) fn record(&mut self) -> Option<Versioned> {
        self.model.look(self.observer, &self.group)?.ok()
    }

    /// What is published.
    pub(crate) fn glance(&self) -> Glance {
        self.model.publication(&self.group)
    }

    /// The published document as it is written.
    pub(crate) fn document(&self) -> Option<&[u8]> {
        self.model.get(self.group.as_str()).map(|(bytes, _)| bytes)
    }
}

fn instant(now: Micros) -> Instant {
    Instant::from_millis(now / MS)
}

/// Messages.
impl World {
    /// A monitor sends something over its present connection, if that still leads anywhere.
    pub(crate) fn send_up(&mut self, m: usize, up: Up) {
        let zk = &self.monitors[m].zk;
        let (connection, life) = (zk.connection, self.monitors[m].life);
        if self.is_broken(m, connection) {
            return;
        }
        let at = self.in_order(m, 0);
        self.queue.at(at, Event::Up { m, life, connection, up });
    }

    fn send_down(&mut self, m: usize, connection: u32, late: Micros, down: Down) {
        if self.is_broken(m, connection) {
            return;
        }
        let life = self.monitors[m].life;
        let at = self.in_order(m, 1) + late;
        self.queue.at(at, Event::Down { m, life, connection, down });
    }

    /// A connection over which something was lost takes nothing any more. What lies in it already arrives.
    fn is_broken(&mut self, m: usize, connection: u32) -> bool {
        let (there, back) = (
            self.wires.way(Host::Monitor(m), Host::Ensemble),
            self.wires.way(Host::Ensemble, Host::Monitor(m)),
        );
        let zk = &mut self.monitors[m].zk;
        if there.cuts + back.cuts > 0 || !self.ensemble.up {
            zk.severed = zk.severed.max(connection);
        }
        connection <= zk.severed.max(zk.broken)
    }

    fn in_order(&mut self, m: usize, direction: usize) -> Micros {
        let slowed = self.wires.way(Host::Monitor(m), Host::Ensemble).slowed;
        let at = self.queue.now() + self.delay() + slowed;
        let busy = &mut self.monitors[m].zk.busy[direction];
        *busy = at.max(*busy + 1);
        *busy
    }

    /// Something arrives at the servers.
    pub(crate) fn up_arrives(&mut self, m: usize, connection: u32, up: Up) {
        if !self.ensemble.up || connection <= self.monitors[m].zk.broken {
            return;
        }
        let now = self.queue.now();
        let Ensemble { model, group, sessions, .. } = &mut self.ensemble;
        let side = &mut sessions[m];
        if matches!(up, Up::Hello) {
            side.connection = connection;
            if side.expired {
                side.expired = false;
                // A report is handed in on the spot, whoever is connected: a process that outslept its session takes
                // back what it said before as soon as it wakes, and has a new session only later.
                model.withdraw(side.session, group);
                model.reconnect(side.session);
            }
        } else if side.connection != connection || side.expired {
            // The session moved on, or is over: the servers carry nothing out for it.
            if let (Some(Bug::CommitsWithoutLock), Up::Commit(_, term, expected, record, entry)) =
                (self.bug, up)
            {
                self.commit(m, term, expected, (&record, entry.as_deref()));
                self.store_changed();
            }
            return;
        }
        side.touched = now;
        match up {
            Up::Ping(at) => self.send_down(m, connection, 0, Down::Pong(at)),
            Up::Hello | Up::Look => self.look(m, connection),
            Up::Publish(report) => {
                let Ensemble { model, group, sessions, .. } = &mut self.ensemble;
                model.publish(sessions[m].session, group, *report, instant(now));
                model.attend(sessions[m].session, instant(now));
            }
            Up::Commit(id, term, expected, record, entry) => {
                let outcome = self.commit(m, term, expected, (&record, entry.as_deref()));
                self.send_down(m, connection, 0, Down::Finished(id, outcome));
            }
            Up::Confirm(conn, term) => {
                let campaign = self.ensemble.sessions[m].campaign;
                let leads = self.ensemble.model.confirm(campaign, term).is_ok();
                self.send_down(m, connection, 0, Down::Confirmed(conn, leads));
            }
            Up::Depose(id, term) => {
                self.check_deposed(m, term);
                let Ensemble { model, group, .. } = &mut self.ensemble;
                model.depose(group, term);
                self.send_down(m, connection, 0, Down::Finished(id, Outcome::Deposed));
            }
            Up::Stand(stands) => self.monitor_stands(m, stands),
            Up::Leave => self.monitor_leaves(m, connection),
            Up::Bye => self.monitor_is_gone(m),
            Up::Answer(id, term, request, answer) => {
                let campaign = self.ensemble.sessions[m].campaign;
                let outcome = match self.ensemble.model.answer(campaign, term, request, &answer) {
                    Ok(()) => {
                        self.operator_is_answered(request, &answer);
                        Outcome::Answered
                    }
                    Err(CommitError::Conflict) => Outcome::Answered,
                    Err(_) => Outcome::NotAnswered,
                };
                self.send_down(m, connection, 0, Down::Finished(id, outcome));
            }
        }
        self.store_changed();
    }

    fn look(&mut self, m: usize, connection: u32) {
        let at = self.queue.now();
        let Ensemble { model, group, sessions, .. } = &mut self.ensemble;
        let side = &mut sessions[m];
        side.told = false;
        model.attend(side.session, instant(at));
        let snapshot = Snapshot {
            at,
            leadership: model.leadership(side.campaign),
            leader: model.leader(side.campaign).cloned(),
            record: model.look(side.session, group).and_then(Result::ok),
            reports: model.reports(group),
            requests: model.requests(group),
        };
        self.send_down(m, connection, 0, Down::Snapshot(Box::new(snapshot)));
    }

    fn commit(
        &mut self,
        m: usize,
        term: Term,
        expected: Version,
        (record, entry): (&Topology, Option<&Entry>),
    ) -> Outcome {
        let holder = self.ensemble.holder();
        let mut side = self.ensemble.sessions[m];
        let mut by = term;
        if self.bug == Some(Bug::CommitsWithoutLock) && holder != Some(term) {
            // As if the transaction did not check the lock: it is written in the holder's name.
            let leads = |it: &&ServerSide| holder.is_some_and(|term| self.leads(it.campaign, term));
            let Some(leader) = self.ensemble.sessions.iter().find(leads) else {
                return Outcome::NotCommitted;
            };
            (side, by) = (*leader, holder.unwrap_or(term));
        }
        let own = self.ensemble.sessions[m].campaign;
        let Ensemble { model, group, .. } = &mut self.ensemble;
        if side.campaign != own {
            model.look(side.session, group);
        }
        let before = model.transaction();
        let outcome = model.commit(side.campaign, by, expected, record, entry);
        let written = model.transaction() != before;
        if written {
            self.say(|| {
                format!("m{m} commits in term {term} of {holder:?}: {}", crate::check::brief(record))
            });
            self.checks.committed(m, term, holder);
        }
        match outcome {
            Ok(version) => Outcome::Committed(version),
            Err(CommitError::Unknown(_)) => Outcome::CommitUnknown,
            Err(_) => Outcome::NotCommitted,
        }
    }

    /// A leader tells more of the change that it published, if it can reach the servers. Nobody is told: no monitor
    /// watches the history.
    pub(crate) fn amend(&mut self, m: usize, term: Term, entry: &Entry) {
        let (side, connection) = (self.ensemble.sessions[m], self.monitors[m].zk.connection);
        if !side.expired && side.connection == connection && !self.is_broken(m, connection) {
            let _ = self.ensemble.model.amend(side.campaign, term, entry);
            self.ensemble.seen = self.ensemble.model.transaction();
        }
    }

    fn leads(&self, campaign: CampaignId, term: Term) -> bool {
        self.ensemble.model.leadership(campaign) == Leadership::Leading(term)
    }

    /// Tells everybody who is concerned that something was written.
    pub(crate) fn store_changed(&mut self) {
        let transaction = self.ensemble.model.transaction();
        if std::mem::replace(&mut self.ensemble.seen, transaction) == transaction {
            return;
        }
        self.check_record();
        for m in 0..self.monitors.len() {
            let side = &mut self.ensemble.sessions[m];
            if !std::mem::replace(&mut side.told, true) {
                let connection = side.connection;
                let late = self.rng.u64(0..=self.swarm.lag);
                self.send_down(m, connection, late, Down::Changed);
            }
        }
        let order =
            self.ensemble.model.get(self.ensemble.group.as_str()).map_or(0, |(_, stat)| stat.modified);
        if std::mem::replace(&mut self.ensemble.document, order) != order {
            self.tell_clients();
        }
    }

    /// Looks which sessions are over.
    pub(crate) fn expire_sessions(&mut self) {
        let (now, limit) = (self.queue.now(), self.swarm.session);
        if self.ensemble.up {
            for m in 0..self.monitors.len() {
                let side = self.ensemble.sessions[m];
                if !side.expired && now >= side.touched + limit {
                    self.expire(m);
                }
            }
            let over = |(_, touched): &(SessionId, Micros)| now >= touched + limit;
            let (gone, left) = std::mem::take(&mut self.ensemble.orphans).into_iter().partition(over);
            self.ensemble.orphans = left;
            for (session, _) in gone as Vec<_> {
                self.ensemble.model.close(session);
            }
            self.store_changed();
        }
        self.queue.after(limit / 20, Event::Expire);
    }

    /// Ends a monitor's session against its will.
    pub(crate) fn expire(&mut self, m: usize) {
        let side = &mut self.ensemble.sessions[m];
        (side.expired, side.told) = (true, false);
        let (session, connection) = (side.session, side.connection);
        self.ensemble.model.expire(session);
        self.say(|| format!("m{m}'s session expires"));
        self.send_down(m, connection, 0, Down::Expired);
        self.store_changed();
    }

    /// The servers lose their quorum, or have one again: then all sessions begin to count anew.
    pub(crate) fn switch_ensemble(&mut self, up: bool) {
        let now = self.queue.now();
        self.ensemble.up = up;
        self.note_ensemble(up);
        for side in &mut self.ensemble.sessions {
            (side.touched, side.told) = (now, false);
        }
        for (_, touched) in &mut self.ensemble.orphans {
            *touched = now;
        }
        for monitor in &mut self.monitors {
            monitor.zk.broken = monitor.zk.connection;
        }
    }
}
