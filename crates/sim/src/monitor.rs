//! A monitor's process: the real observer and the real decider, and around them what the driver does
//! (`server/src/monitor`): it probes, reports, asks the store, and begins what the decider wants. Its clock has a
//! rate of its own, and it may stand still.

mod lead;
mod leaving;
mod session;

use std::collections::BTreeMap;
use std::time::Duration;

use redis_failover_core::{
    Aside, Ballots, Decider, Epoch, Event as Fact, Instant, LeadBallot, Leadership, MonitorId, NodeAddr,
    Observation, Observer, Outcome, Peers, Report, RunId, Term, Verdict,
};

use crate::bugs::{Bug, Remembered};
use crate::check::is_failing;
use crate::ensemble::Up;
use crate::executor::{Door, Held, Running, Visit};
use crate::prober::Probing;
use crate::queue::{MS, Micros};
use crate::world::{Event, World};

pub(crate) use lead::contact;
use session::Session;

/// How fast nodes are asked while something is in doubt, and in its first moments.
const PACES: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(2));

/// One monitor.
#[derive(Clone, Debug)]
pub(crate) struct Monitor {
    /// Its name.
    pub(crate) id: MonitorId,
    /// Whether its process lives.
    pub(crate) alive: bool,
    /// Counts its lives.
    pub(crate) life: u32,
    /// Since when this life lasts.
    pub(crate) began: Micros,
    /// Since when it has not stood still.
    pub(crate) awake_since: Micros,
    /// Until when it stands still.
    pub(crate) stopped_until: Option<Micros>,
    /// What came meanwhile.
    pub(crate) later: Vec<Event>,
    rate: i64,
    base: u64,
    /// From probes to votes.
    pub(crate) observer: Observer,
    /// The decisions.
    pub(crate) decider: Decider,
    /// How it asks the nodes.
    pub(crate) probes: Vec<Probing>,
    pub(crate) pace: Duration,
    wake_at: Micros,
    pub(crate) running: Option<Running>,
    /// The `min-replicas-to-write` that is being set, of whom, and since when.
    pub(crate) fencing: Option<(NodeAddr, RunId, u32, Micros)>,
    pub(crate) visits: BTreeMap<u64, Visit>,
    pub(crate) last_visit: u64,
    pub(crate) held: BTreeMap<usize, Held>,
    pub(crate) doors: BTreeMap<usize, Door>,
    /// The verdicts on which it last chose.
    pub(crate) judged: BTreeMap<NodeAddr, Verdict>,
    /// When each node last said what it held, frozen.
    pub(crate) frozen_at: BTreeMap<usize, Micros>,
    /// When it had looked last at each node that it sent to the master, or froze for that.
    pub(crate) looked_at: BTreeMap<usize, Micros>,
    /// Its session.
    pub(crate) zk: Session,
    /// Whether it leads, as far as it knows.
    pub(crate) leadership: Leadership,
    reread_at: Micros,
    reported: Option<(Ballots, Option<LeadBallot>, Option<Epoch>)>,
    /// The watch over who leads.
    pub(crate) lead: lead::Lead,
    /// Until when it leaves the lead to others, because they can do more.
    pub(crate) aside: Aside,
    /// It is about to leave its group.
    pub(crate) leaving: Option<leaving::Leaving>,
    /// It has left: its process runs, without this group.
    pub(crate) has_left: bool,
    writings: BTreeMap<MonitorId, (i64, Instant)>,
    peers: Peers,
    /// For planted bugs.
    pub(crate) planted: Planted,
    pub(crate) observed: bool,
    /// The last term in which it led, and since when.
    pub(crate) led: Option<(Term, Micros)>,
    /// When a node was last out of its reach in truth, and when it last voted so and was right.
    pub(crate) bad: Vec<Option<Micros>>,
    /// See `bad`.
    pub(crate) failing: Vec<Option<Micros>>,
}

/// What a monitor with a planted bug remembers.
#[derive(Clone, Debug, Default)]
pub(crate) struct Planted {
    /// What is written is not what its decider wanted.
    pub(crate) distorted: bool,
    /// Of a switchover.
    pub(crate) switching: Remembered,
    /// It was told once that it leads.
    pub(crate) led: bool,
    /// The master was told to go on alone, and that is not recorded.
    pub(crate) lowered: bool,
    /// Whoever was heard of once.
    pub(crate) peers: Peers,
}

impl Monitor {
    pub(crate) fn new(id: MonitorId, world: &World, m: usize, life: u32) -> Self {
        let nodes: Vec<_> = world.nodes.iter().map(|node| node.server.addr.clone()).collect();
        let (rate, base) = (world.swarm.rates[m], 1_000_000 + 77_777 * m as u64);
        let policy = &match world.bug {
            Some(Bug::FillsAllAtOnce) => world.policy.clone().with_parallel_syncs(u32::MAX),
            _ => world.policy.clone(),
        };
        let now = local(rate, base, world.queue.now());
        Self {
            alive: true,
            life,
            began: world.queue.now(),
            awake_since: world.queue.now(),
            stopped_until: None,
            later: Vec::new(),
            rate,
            base,
            observer: Observer::new(policy, nodes.clone(), now),
            decider: Decider::new(id.clone(), nodes.clone(), policy.clone(), now),
            id,
            probes: vec![Probing::default(); nodes.len()],
            pace: policy.probe_interval(),
            wake_at: 0,
            running: None,
            fencing: None,
            visits: BTreeMap::new(),
            last_visit: u64::from(life) * 1_000_000,
            held: BTreeMap::new(),
            doors: BTreeMap::new(),
            judged: BTreeMap::new(),
            frozen_at: BTreeMap::new(),
            looked_at: BTreeMap::new(),
            zk: Session::new(life),
            leadership: Leadership::Following,
            reread_at: 0,
            reported: None,
            lead: lead::Lead::default(),
            aside: Aside::default(),
            leaving: None,
            has_left: false,
            writings: BTreeMap::new(),
            peers: Peers::new(),
            planted: Planted::default(),
            observed: false,
            led: None,
            bad: vec![None; nodes.len()],
            failing: vec![None; nodes.len()],
        }
    }

    /// What its clock shows.
    pub(crate) fn local(&self, now: Micros) -> Instant {
        local(self.rate, self.base, now)
    }

    /// When its clock will show that.
    pub(crate) fn real(&self, at: Instant) -> Micros {
        let elapsed = i128::from(at.as_millis().saturating_sub(self.base)) * i128::from(MS);
        let rate = 1_000_000 + i128::from(self.rate);
        Micros::try_from((elapsed * 1_000_000 + rate - 1) / rate).unwrap_or(Micros::MAX)
    }

    /// Whether another monitor is alive, as far as it knows.
    pub(crate) fn knows(&self, id: &MonitorId) -> bool {
        self.peers.contains_key(id)
    }

    /// Whether it may command anybody now, as far as it knows.
    pub(crate) fn holds(&self, term: Term, now: Instant, session: Micros) -> bool {
        let limit = session / MS * 55 / 100;
        let alive = Instant::from_millis(self.zk.alive);
        self.leadership == Leadership::Leading(term)
            && self.zk.connected
            && now.since(alive) <= Duration::from_millis(limit)
    }
}

fn local(rate: i64, base: u64, now: Micros) -> Instant {
    let elapsed = i128::from(now) * (1_000_000 + i128::from(rate)) / 1_000_000 / i128::from(MS);
    Instant::from_millis(base + u64::try_from(elapsed).unwrap_or(0))
}

/// Its life.
impl World {
    /// Starts a monitor's process.
    pub(crate) fn start_monitor(&mut self, m: usize) {
        let life = self.monitors.get(m).map_or(1, |old| old.life + 1);
        let id: MonitorId = format!("m{m}").parse().unwrap_or_else(|_| unreachable!("a short word"));
        let now = self.queue.now();
        let mut monitor = Monitor::new(id.clone(), self, m, life);
        self.ensemble.begin(m, &id, &contact(m, life), now);
        if m < self.monitors.len() {
            monitor.zk.busy = self.monitors[m].zk.busy;
            // The report of its earlier life stands, and counts, until that life's session ends.
            monitor.failing.clone_from(&self.monitors[m].failing);
            monitor.lead.gone.clone_from(&self.monitors[m].lead.gone);
            self.monitors[m] = monitor;
        } else {
            self.monitors.push(monitor);
        }
        self.say(|| format!("m{m} starts"));
        self.turn(m);
    }

    /// Ends it: its connections are closed by its kernel.
    pub(crate) fn kill_monitor(&mut self, m: usize) {
        let monitor = &mut self.monitors[m];
        (monitor.alive, monitor.stopped_until) = (false, None);
        monitor.life += 1;
        monitor.later.clear();
        for conn in
            self.wires.all(|conn| conn.host(crate::wires::End::Caller) == crate::wires::Host::Monitor(m))
        {
            self.close(conn, crate::wires::End::Caller);
        }
    }

    /// Stops it for a time; what comes meanwhile waits.
    pub(crate) fn stop_monitor(&mut self, m: usize, lasts: Micros) {
        let until = self.queue.now() + lasts;
        let monitor = &mut self.monitors[m];
        if monitor.alive && monitor.stopped_until.is_none() {
            monitor.stopped_until = Some(until);
            self.checks.disturbed();
            let life = monitor.life;
            self.queue.at(until, Event::Continue { m, life });
            self.say(|| format!("m{m} stands still for {} ms", lasts / MS));
        }
    }

    /// It goes on with what came meanwhile.
    pub(crate) fn continue_monitor(&mut self, m: usize) {
        (self.monitors[m].stopped_until, self.monitors[m].awake_since) = (None, self.queue.now());
        self.checks.disturbed();
        // What runs out first, a timer or what waits in a socket, is chance.
        if self.rng.bool() {
            self.turn(m);
        }
        for event in std::mem::take(&mut self.monitors[m].later) {
            self.handle(event);
        }
        self.turn(m);
    }

    /// One turn of its loop.
    pub(crate) fn turn(&mut self, m: usize) {
        let now = self.monitors[m].local(self.queue.now());
        if !self.monitors[m].alive || self.monitors[m].stopped_until.is_some() {
            return;
        }
        self.keep_session(m, now);
        self.probe_due(m, now);
        self.visits_due(m, now);
        self.lead_due(m, now);
        if now >= self.monitors[m].observer.poll_timeout() {
            self.tick(m, now);
        }
        if std::mem::take(&mut self.monitors[m].observed) {
            self.show_observed(m, now);
        }
        if self.is_gone(m, now) {
            return self.go(m);
        }
        self.may_stand_aside(m, now);
        self.act(m, now);
        self.sleep(m);
    }

    fn tick(&mut self, m: usize, now: Instant) {
        let monitor = &mut self.monitors[m];
        if self.bug == Some(Bug::TrustsStaleView) {
            // As if it did not notice that it stood still.
            while monitor.observer.poll_timeout() < now {
                let due = monitor.observer.poll_timeout();
                monitor.observer.tick(due);
            }
        }
        monitor.observer.tick(now);
        monitor.observed = true;
    }

    fn show_observed(&mut self, m: usize, now: Instant) {
        let real = self.queue.now();
        let monitor = &mut self.monitors[m];
        let ballots = monitor.observer.ballots();
        let votes: Vec<_> = ballots.values().map(|ballot| is_failing(ballot.vote)).collect();
        let (sightings, troubles) = (monitor.observer.sightings(), monitor.observer.troubles());
        let pace = match monitor.observer.in_doubt(now) {
            true if monitor.observer.is_alarmed(now) => PACES.1,
            true => PACES.0,
            false => self.policy.probe_interval(),
        };
        let pace = pace.min(self.policy.probe_interval());
        if std::mem::replace(&mut monitor.pace, pace) != pace {
            monitor.probes.iter_mut().for_each(|probing| probing.at_once(now));
        }
        self.note_failing(m, &votes, real);
        self.report(m, &ballots, now);
        self.decide(m, Fact::Observed(Observation { ballots, sightings, troubles }));
        self.probe_due(m, now);
    }

    fn report(&mut self, m: usize, ballots: &Ballots, now: Instant) {
        let monitor = &mut self.monitors[m];
        let said = monitor.lead.said();
        let remembers = monitor.decider.remembers();
        let is_told =
            monitor.reported.as_ref().is_some_and(|it| (&it.0, it.1, it.2) == (ballots, said, remembers));
        if !monitor.zk.connected || monitor.leaving.is_some() || is_told {
            return;
        }
        let lead = said.map(|it| (it.term, it.ballot.vote, now.since(it.ballot.since)));
        let report = Report { remembers, lead, ..Report::of(monitor.id.clone(), ballots, now) };
        monitor.reported = Some((ballots.clone(), said, remembers));
        self.send_up(m, Up::Publish(Box::new(report)));
    }

    /// Tells the decider something.
    pub(crate) fn decide(&mut self, m: usize, fact: Fact) {
        let fact = self.distort(m, fact);
        let monitor = &mut self.monitors[m];
        let now = monitor.local(self.queue.now());
        monitor.decider.handle(now, fact);
    }

    /// Begins what the decider wants.
    fn act(&mut self, m: usize, now: Instant) {
        self.meddle_planted(m);
        if let Some(action) = self.monitors[m].decider.poll_action(now) {
            let step = action.step.to_string();
            self.say(|| format!("m{m}> {step}"));
            self.begin(m, action);
        }
    }

    pub(crate) fn finish(&mut self, m: usize, outcome: Outcome) {
        let Some(running) = self.monitors[m].running.take() else { return };
        let distorted = std::mem::take(&mut self.monitors[m].planted.distorted);
        // What was written is not what the decider wanted: let it look.
        let outcome = if distorted { Outcome::CommitUnknown } else { outcome };
        let fencing = self.monitors[m].fencing.take();
        if let (Some((node, run, number, since)), Outcome::Done(done)) = (fencing, &outcome)
            && done.contains(&node)
        {
            self.note_fenced(&node, run, number, since);
        }
        let reread = matches!(outcome, Outcome::NotCommitted | Outcome::CommitUnknown);
        self.decide(m, Fact::Finished(running.id, outcome));
        if reread {
            self.reread(m);
        }
    }

    fn reread(&mut self, m: usize) {
        self.monitors[m].reread_at = self.queue.now();
        self.send_up(m, Up::Look);
    }

    /// Plans its next turn.
    fn sleep(&mut self, m: usize) {
        let now = self.queue.now();
        let monitor = &self.monitors[m];
        let mut next = monitor.observer.poll_timeout();
        let timers = monitor.decider.poll_timeout().into_iter();
        let probes = monitor.probes.iter().map(|probing| probing.due(self.policy.down_after()));
        let visits = monitor.visits.values().map(|visit| visit.deadline);
        let running = monitor.running.iter().filter_map(|running| running.deadline);
        let session = Instant::from_millis(self.session_due(m));
        let lead = monitor.lead.due(self.policy.down_after()).into_iter();
        let over = monitor.local(now);
        let leaves = monitor.leaving.iter().map(|leaving| leaving.until).filter(|until| *until > over);
        for at in timers.chain(lead).chain(leaves).chain(probes).chain(visits).chain(running).chain([session])
        {
            next = next.min(at);
        }
        let at = monitor.real(next).max(now + 1);
        let monitor = &mut self.monitors[m];
        if monitor.wake_at <= now || at < monitor.wake_at {
            monitor.wake_at = at;
            let life = monitor.life;
            self.queue.at(at, Event::Turn { m, life });
        }
    }
}
