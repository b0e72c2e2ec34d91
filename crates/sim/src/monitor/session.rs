//! A monitor's session with `ZooKeeper`: its pings and its doubts, and what it makes of what it is told.

use redis_failover_core::{Event as Fact, Instant, Leadership, Outcome, Peers};

use crate::bugs::Bug;
use crate::ensemble::{Down, Snapshot, Up};
use crate::executor::Running;
use crate::queue::{MS, Micros};
use crate::world::World;

/// A session as its user knows it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Session {
    /// Which connection it uses.
    pub(crate) connection: u32,
    /// The last one that leads nowhere.
    pub(crate) broken: u32,
    /// The newest one that takes nothing any more: what is sent over it is lost, what was sent before is not.
    pub(crate) severed: u32,
    pub(super) connected: bool,
    /// The lead was in doubt, and its user has not been told: he is told only the latest.
    unseen: bool,
    heard: u64,
    /// When it asked what was answered last: what lies in a socket when it wakes is no proof that it is alive.
    pub(super) alive: u64,
    hello_at: u64,
    ping_at: u64,
    pub(crate) busy: [Micros; 2],
}

impl Session {
    /// The session of a process in this life.
    pub(super) fn new(life: u32) -> Self {
        Self { connection: life * 10_000, ..Self::default() }
    }

    /// Whether it has a connection over which it is answered.
    pub(crate) fn is_in_touch(&self) -> bool {
        self.connected && self.connection > self.broken.max(self.severed)
    }
}

/// Its session.
impl World {
    pub(super) fn session_due(&self, m: usize) -> u64 {
        let zk = &self.monitors[m].zk;
        let limit = self.swarm.session / MS * 2 / 5;
        if zk.connected { zk.ping_at.min(zk.heard + limit + 1) } else { zk.ping_at }
    }

    pub(super) fn keep_session(&mut self, m: usize, now: Instant) {
        let limit = self.swarm.session / MS * 2 / 5;
        let now = now.as_millis();
        if self.monitors[m].zk.connected && now > self.monitors[m].zk.heard + limit {
            self.lose_session(m);
        }
        let zk = &mut self.monitors[m].zk;
        if now < zk.ping_at {
            return;
        }
        if zk.connected {
            zk.ping_at = now + self.swarm.session / MS / 5;
            self.send_up(m, Up::Ping(now));
        } else {
            zk.ping_at = now + 200;
            zk.connection += 1;
            zk.hello_at = now;
            self.send_up(m, Up::Hello);
        }
    }

    /// The connection leads nowhere: whoever led may no longer, and what was asked has no answer.
    pub(crate) fn lose_session(&mut self, m: usize) {
        self.checks.disturbed();
        let monitor = &mut self.monitors[m];
        let now = monitor.local(self.queue.now()).as_millis();
        (monitor.zk.connected, monitor.zk.ping_at) = (false, now);
        monitor.zk.broken = monitor.zk.connection;
        monitor.reported = None;
        self.shut_unconfirmed(m);
        self.may_never_hear_who_stays(m);
        if self.monitors[m].running.as_ref().is_some_and(Running::deposes) {
            self.finish(m, Outcome::NotDeposed);
        }
        let monitor = &self.monitors[m];
        let asked_store = monitor.running.as_ref().is_some_and(Running::waits_for_store);
        // Whether it hears of the commit or of the doubt first is chance.
        if asked_store && (self.bug == Some(Bug::InheritsEvidence) || self.rng.bool()) {
            self.finish(m, Outcome::CommitUnknown);
        }
        let monitor = &self.monitors[m];
        if matches!(monitor.leadership, Leadership::Leading(_)) {
            if self.rng.u8(0..4) == 0 {
                self.monitors[m].zk.unseen = true;
            } else {
                self.lead(m, Leadership::Suspended);
            }
        }
    }

    pub(super) fn lead(&mut self, m: usize, leadership: Leadership) {
        let ignored = self.bug == Some(Bug::IgnoresLease) && leadership == Leadership::Suspended;
        let unseen = std::mem::take(&mut self.monitors[m].zk.unseen);
        if (self.monitors[m].leadership == leadership && !unseen) || ignored {
            return;
        }
        self.monitors[m].leadership = leadership;
        if let Leadership::Leading(term) = leadership
            && self.monitors[m].led.is_none_or(|(led, _)| led != term)
        {
            self.monitors[m].led = Some((term, self.queue.now()));
        }
        self.checks.led_anew();
        self.abort(m);
        self.keep_doors(m);
        self.say(|| format!("m{m} is {leadership:?}"));
        self.decide(m, Fact::Leadership(leadership));
        self.reread(m);
    }

    /// Something arrives from the servers.
    pub(crate) fn down_arrives(&mut self, m: usize, connection: u32, down: Down) {
        let real = self.queue.now();
        let monitor = &mut self.monitors[m];
        if connection != monitor.zk.connection || connection <= monitor.zk.broken {
            return;
        }
        let now = monitor.local(real).as_millis();
        monitor.zk.heard = now;
        match down {
            Down::Pong(at) => self.monitors[m].zk.alive = self.monitors[m].zk.alive.max(at),
            Down::Changed => {
                self.send_up(m, Up::Look);
                self.look_who_stays(m);
            }
            Down::Expired => {
                self.lose_session(m);
                self.lead(m, Leadership::Following);
            }
            Down::Snapshot(snapshot) => {
                if !std::mem::replace(&mut self.monitors[m].zk.connected, true) {
                    self.monitors[m].observed = true;
                    let zk = &mut self.monitors[m].zk;
                    zk.alive = zk.alive.max(zk.hello_at);
                    let stands = !self.monitors[m].aside.is_aside();
                    self.send_up(m, Up::Stand(stands));
                    self.look_who_stays(m);
                }
                self.take_in(m, *snapshot);
            }
            Down::Confirmed(conn, leads) => self.door_is_confirmed(m, conn, leads),
            Down::Standing(standing) => self.hear_who_stays(m, standing),
            Down::Finished(id, outcome) => {
                if self.monitors[m].running.as_ref().is_some_and(|running| running.id == id) {
                    self.finish(m, outcome);
                }
            }
        }
        self.turn(m);
    }

    pub(super) fn take_in(&mut self, m: usize, snapshot: Snapshot) {
        let Snapshot { at, leadership, leader, record, reports, requests } = snapshot;
        // Who stands aside does not look who leads, and does not lead, whatever it had asked before.
        let stands = !self.monitors[m].aside.is_aside();
        self.lead(m, if stands { leadership } else { Leadership::Following });
        self.watch_leader(m, leader.filter(|_| stands));
        let monitor = &mut self.monitors[m];
        let now = monitor.local(self.queue.now());
        let mut peers = Peers::new();
        monitor.writings.retain(|id, _| reports.contains_key(id));
        for (id, (report, order)) in reports.into_iter().filter(|(id, _)| *id != monitor.id) {
            let writing = monitor.writings.entry(id.clone()).or_insert((order, now));
            if writing.0 != order {
                *writing = (order, now);
            }
            peers.insert(id, report.peer(writing.1));
        }
        if peers != monitor.peers {
            monitor.peers.clone_from(&peers);
            self.decide(m, Fact::ReportsRead(peers));
        }
        self.decide(m, Fact::RequestsRead(requests));
        if let Some(record) = record.filter(|_| at >= self.monitors[m].reread_at) {
            self.decide(m, Fact::TopologyRead(record));
            if self.monitors[m].decider.must_read() {
                self.reread(m);
            }
        }
    }
}
