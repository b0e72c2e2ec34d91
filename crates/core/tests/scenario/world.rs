//! The group, its monitors and the store, moved on one millisecond at a time.

mod history;
mod lead;
mod script;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use redis_failover_core::{
    Action, ActionId, Attends, Ballots, Entry, Epoch, Event, Fencing, Found, Instant, LeadBallot, Leadership,
    MonitorId, NodeAddr, Observation, Observer, Outcome, Peers, Phase, Policy, Probe, Ranking, Report,
    Request, RequestId, Requests, RunId, Saving, Step, Term, Topology, Version, Versioned, Waits,
};

use super::Decider;
use super::redis::{Command, Door, Servers, State, addr};

/// How long a dead leader's lock stands.
const SESSION: u64 = 2_000;

/// The script's world.
#[derive(Default)]
pub(super) struct World {
    now: u64,
    servers: Servers,
    nodes: Vec<String>,
    monitors: BTreeMap<String, Monitor>,
    reporting: Vec<String>,
    leader: Option<String>,
    free_at: Option<u64>,
    term: i64,
    /// How long a dead leader's lock stands; [`SESSION`] where the script does not say.
    session: Option<u64>,
    /// Whether the monitors can be asked whether they live.
    listens: bool,
    /// Whether it is said how far the leader is with each request.
    tells_attends: bool,
    /// Whose lock it is, its owner dead or alive.
    lock: Option<String>,
    record: Option<Versioned>,
    /// A copy of the record that may be brought back later.
    saved: Option<Versioned>,
    policy: Policy,
    requests: Requests,
    asked: i64,
    order: i64,
    /// The accident that waits for the leader's next step of this kind.
    accident: Option<(String, Accident)>,
    late: Vec<(u64, String, Command)>,
    /// The epochs that the history tells.
    told: BTreeSet<Epoch>,
    pub(super) trace: String,
}

#[derive(Clone, PartialEq, Eq)]
enum Accident {
    /// The leader dies and nothing was sent.
    Before,
    /// It was carried out; the leader dies before it hears of it.
    After,
    /// The leader dies; the commands arrive 60 ms later.
    Late,
    /// The leader lives; the connections break and nothing was carried out.
    Lost,
    /// The candidate restarts just before.
    Restart,
    /// The candidate dies just before.
    Kill,
    /// It was carried out; then these nodes die.
    Kills(Vec<String>),
}

struct Monitor {
    alive: bool,
    /// How often its lock was removed: it stands in the queue behind those who lost theirs less often.
    deposed: u32,
    port: lead::Port,
    lead: lead::Lead,
    observer: Observer,
    decider: Decider,
    next_probe: BTreeMap<String, u64>,
    in_doubt: bool,
    /// Something happened since the decider was asked last.
    stirred: bool,
    connected: BTreeSet<String>,
    running: Option<(u64, ActionId, Outcome)>,
    published: Option<Report>,
    /// Whether it is told to leave the group for good, and whether it has taken its report back since.
    leaves: Option<bool>,
    voted: Option<(Ballots, Option<LeadBallot>, Option<Epoch>)>,
    told: Option<String>,
    waited: Waits,
    attended: Attends,
}

impl World {
    /// Nothing yet. Masters are not fenced, so that one whose replicas lag takes writes; `policy fencing replicas` for
    /// the fence's own scenarios.
    pub(super) fn new() -> Self {
        Self { policy: Policy::default().with_fencing(Fencing::Off), ..Self::default() }
    }

    fn instant(&self) -> Instant {
        Instant::from_millis(1_000_000 + self.now)
    }

    fn say(&mut self, line: &str) {
        writeln!(self.trace, "{:>6} {line}", self.now).expect("a string takes everything");
    }

    fn add_monitors(&mut self, names: &[&str]) {
        for name in names {
            let monitor = self.monitor(name);
            self.monitors.insert((*name).to_owned(), monitor);
        }
        self.elect();
    }

    fn monitor(&self, name: &str) -> Monitor {
        let id: MonitorId = name.parse().expect("a monitor's name");
        let nodes: Vec<_> = self.nodes.iter().map(|node| addr(node)).collect();
        let policy = &self.policy;
        let mut decider = Decider::new(id, nodes.clone(), policy.clone(), self.instant());
        decider.handle(self.instant(), Event::WallClock(self.now));
        if let Some(record) = &self.record {
            decider.handle(self.instant(), Event::TopologyRead(record.clone()));
        }
        Monitor {
            alive: true,
            deposed: 0,
            port: lead::Port::Open,
            lead: lead::Lead::default(),
            observer: Observer::new(policy, nodes, self.instant()),
            decider,
            next_probe: self.nodes.iter().map(|node| (node.clone(), self.now + 1)).collect(),
            in_doubt: false,
            stirred: true,
            connected: BTreeSet::new(),
            running: None,
            published: None,
            leaves: None,
            voted: None,
            told: None,
            waited: Waits::new(),
            attended: Attends::new(),
        }
    }

    fn kill_leader(&mut self) {
        if let Some(name) = self.leader.clone() {
            self.kill_monitor(&name).expect("the leader is a monitor");
        }
    }

    fn kill_monitor(&mut self, name: &str) -> Result<(), String> {
        let monitor = self.monitors.get_mut(name).ok_or("no such monitor")?;
        monitor.alive = false;
        monitor.running = None;
        self.lose_leader(name);
        Ok(())
    }

    /// If it leads, nobody does from now on, and its lock stands for a while.
    fn lose_leader(&mut self, name: &str) {
        if self.leader.as_deref() == Some(name) {
            self.leader = None;
            self.free_at = Some(self.now + self.session.unwrap_or(SESSION));
        }
    }

    fn restart_monitors(&mut self) {
        let names: Vec<_> = self.monitors.keys().cloned().collect();
        for name in names {
            let fresh = self.monitor(&name);
            self.monitors.insert(name, fresh);
        }
        self.leader = None;
        self.free_at = Some(self.now + SESSION);
    }

    /// Another process of the same name that remembers nothing; if the old one led, its lock stands for a while.
    fn restart_monitor(&mut self, name: &str) {
        let fresh = self.monitor(name);
        self.monitors.insert(name.to_owned(), fresh);
        self.lose_leader(name);
    }

    fn elect(&mut self) {
        let alive = self.monitors.iter().filter(|(_, it)| it.alive);
        let Some(name) = alive.min_by_key(|(_, it)| it.deposed).map(|(name, _)| name.clone()) else {
            return;
        };
        self.term += 1;
        self.say(&format!("+leader {name}"));
        let (now, term) = (self.instant(), Term(self.term));
        let decider = &mut self.monitors.get_mut(&name).expect("it was just found").decider;
        decider.handle(now, Event::Leadership(Leadership::Leading(term)));
        let nothing = Versioned { version: Version::default(), found: Found::Nothing };
        decider.handle(now, Event::TopologyRead(self.record.clone().unwrap_or(nothing)));
        decider.handle(now, Event::RequestsRead(self.requests.clone()));
        self.lock = Some(name.clone());
        self.leader = Some(name);
        self.free_at = None;
    }

    fn step(&mut self) {
        self.now += 1;
        if self.free_at.is_some_and(|at| self.now >= at) {
            self.elect();
        }
        let (due, later) = std::mem::take(&mut self.late).into_iter().partition(|(at, ..)| *at <= self.now);
        self.late = later;
        for (_, name, command) in due as Vec<(u64, String, Command)> {
            self.say(&format!("late arrival at {name}: {command:?}"));
            self.command(&name, &command);
        }
        for line in self.servers.replicate() {
            self.say(&line);
        }
        let names: Vec<_> = self.monitors.keys().filter(|name| self.monitors[*name].alive).cloned().collect();
        for name in &names {
            self.observe(name);
            self.watch_lead(name);
        }
        self.exchange_reports(&names);
        for name in &names {
            self.act(name);
            self.part(name);
            self.may_stand_aside(name);
        }
    }

    /// Watches whom the decider wants to be watched.
    fn watch(&mut self, name: &str) {
        let now = self.instant();
        let monitor = self.monitors.get_mut(name).expect("a monitor");
        let nodes = monitor.decider.nodes();
        let names: BTreeSet<_> = nodes.iter().map(|node| node.host().to_owned()).collect();
        if monitor.next_probe.keys().eq(&names) {
            return;
        }
        monitor.next_probe.retain(|node, _| names.contains(node));
        for node in names {
            monitor.next_probe.entry(node).or_insert(self.now + 1);
        }
        monitor.observer.reconfigure(&self.policy, nodes, now);
    }

    /// Asks the leader for something.
    fn ask(&mut self, request: Request) {
        self.asked += 1;
        self.requests.insert(RequestId(self.asked), request);
        self.tell_requests();
    }

    fn tell_requests(&mut self) {
        let now = self.instant();
        for monitor in self.monitors.values_mut() {
            monitor.decider.handle(now, Event::RequestsRead(self.requests.clone()));
            monitor.stirred = true;
        }
    }

    /// Brings an old record back, or none; every monitor reads it, and once more when it asks to.
    fn replace_record(&mut self, record: Option<Versioned>) {
        let nothing = Versioned { version: Version::default(), found: Found::Nothing };
        let read = record.clone().unwrap_or(nothing);
        self.record = record;
        let now = self.instant();
        for monitor in self.monitors.values_mut() {
            monitor.decider.handle(now, Event::TopologyRead(read.clone()));
            if monitor.decider.must_read() {
                monitor.decider.handle(now, Event::TopologyRead(read.clone()));
            }
            monitor.stirred = true;
        }
    }

    fn observe(&mut self, name: &str) {
        let now = self.instant();
        let monitor = self.monitors.get_mut(name).expect("a monitor");
        let mut seen = false;
        let in_doubt = monitor.observer.in_doubt(now);
        let pace = if in_doubt { 20 } else { 200 };
        let look_now = in_doubt && !std::mem::replace(&mut monitor.in_doubt, in_doubt);
        for (node, next) in &mut monitor.next_probe {
            let redis = &self.servers.0[node];
            let unseen = redis.door == Door::Unreachable || redis.unseen_by.contains(name);
            let state = if unseen { State::Dead } else { redis.state };
            let address = addr(node);
            let mut tell = |probe| {
                seen = true;
                monitor.observer.probed(now, now, &address, probe);
            };
            let closed = state == State::Dead && monitor.connected.remove(node);
            if closed {
                tell(Probe::Lost);
            }
            *next = (*next).min(self.now + pace);
            if *next > self.now && !closed && !look_now {
                continue;
            }
            *next = self.now + pace;
            tell(Probe::Sent);
            match state {
                State::Dead => tell(Probe::Refused),
                State::Hung => {}
                State::Loading => tell(Probe::Unusable),
                State::Running if redis.door == Door::Denied => tell(Probe::Denied),
                State::Running => tell(Probe::Answered(self.servers.sighting(node, now))),
            }
            if state != State::Dead {
                monitor.connected.insert(node.clone());
            }
        }
        if now >= monitor.observer.poll_timeout() {
            monitor.observer.tick(now);
            seen = true;
        }
        if seen {
            let observation = Observation {
                ballots: monitor.observer.ballots(),
                sightings: monitor.observer.sightings(),
                troubles: monitor.observer.troubles(),
            };
            monitor.decider.handle(now, Event::Observed(observation));
            monitor.stirred = true;
        }
    }

    /// A dead monitor's report stands as long as its session: here it goes at once, which is the harder case.
    fn exchange_reports(&mut self, names: &[String]) {
        let now = self.instant();
        let reporting: Vec<_> = names.iter().filter(|name| self.monitors[*name].leaves.is_none()).collect();
        let mut changed = !self.reporting.iter().eq(reporting.iter().copied());
        self.reporting = reporting.into_iter().cloned().collect();
        for name in &self.reporting {
            let monitor = self.monitors.get_mut(name).expect("a monitor");
            let ballots = monitor.observer.ballots();
            let (remembers, said) = (monitor.decider.remembers(), monitor.lead.said());
            if monitor.voted.as_ref() != Some(&(ballots.clone(), said, remembers)) {
                let id = name.parse().expect("a monitor's name");
                let lead = said.map(|it| (it.term, it.ballot.vote, now.since(it.ballot.since)));
                monitor.published = Some(Report { remembers, lead, ..Report::of(id, &ballots, now) });
                monitor.voted = Some((ballots, said, remembers));
                changed = true;
            }
        }
        for name in names.iter().filter(|_| changed) {
            let others = self.reporting.iter().filter(|other| *other != name);
            let reports = others.filter_map(|other| self.monitors[other].published.as_ref());
            let peers: Peers = reports.map(|it| (it.monitor.clone(), it.peer(now))).collect();
            let monitor = self.monitors.get_mut(name).expect("a monitor");
            monitor.decider.handle(now, Event::ReportsRead(peers));
            monitor.stirred = true;
        }
    }

    /// A monitor that leaves has taken its report back, looks who is left, and is gone when nothing is left to do.
    fn part(&mut self, name: &str) {
        let now = self.instant();
        let others = self.reporting.iter().filter(|other| *other != name);
        let others: BTreeSet<_> = others.map(|other| other.parse().expect("a monitor's name")).collect();
        let monitor = self.monitors.get_mut(name).expect("a monitor");
        let Some(looked) = &mut monitor.leaves else { return };
        if !std::mem::replace(looked, true) {
            monitor.decider.handle(now, Event::Leaving(others));
            monitor.stirred = true;
        }
        if monitor.decider.has_parted(now) {
            monitor.alive = false;
            self.say(&format!("{name} is gone"));
            if self.leader.take_if(|leader| leader == name).is_some() {
                self.elect();
            }
        }
    }

    fn act(&mut self, name: &str) {
        let now = self.instant();
        let monitor = self.monitors.get_mut(name).expect("a monitor");
        if let Some((_, id, outcome)) = monitor.running.take_if(|(at, ..)| *at <= self.now) {
            monitor.decider.handle(now, Event::Finished(id, outcome));
            monitor.stirred = true;
        }
        let due = monitor.decider.poll_timeout().is_some_and(|at| now >= at);
        if !std::mem::take(&mut monitor.stirred) && !due {
            return;
        }
        let action = monitor.decider.poll_action(now);
        let status = monitor.decider.status(now);
        let said = status.loss.map(|it| it.to_string());
        let said =
            said.or(status.postponed_until.map(|_| "two failovers came shortly before: waiting".to_owned()));
        let said = said.or(status.diagnosis.map(|it| it.to_string()));
        let said = said.or(status.refusal.map(|it| it.to_string()));
        if self.leader.as_deref() == Some(name) && said.is_some() && said != monitor.told {
            monitor.told.clone_from(&said);
            self.say(&format!("{name}: {}", said.unwrap_or_default()));
        }
        let waits = status.stuck.as_ref().map(Ranking::waits).unwrap_or_default();
        if waits
            != std::mem::replace(&mut self.monitors.get_mut(name).expect("a monitor").waited, waits.clone())
        {
            self.tell_waits(name, &waits);
        }
        self.tell_attends(name, status.attends);
        self.watch(name);
        if let Some(action) = action {
            self.begin(name, &action);
        }
    }

    fn begin(&mut self, name: &str, action: &Action) {
        self.say(&format!("{name}> {}", action.step));
        let kind = action.step.to_string();
        let mut accident = None;
        if let Some((_, it)) = self.accident.take_if(|(step, _)| kind.contains(&step.replace('_', " "))) {
            accident = Some(it);
        }
        if let (Some(Accident::Restart | Accident::Kill), Step::Promote { intent, .. }) =
            (&accident, &action.step)
        {
            let node = intent.node.host().to_owned();
            let redis = self.servers.get(&node).expect("the candidate is a node");
            if accident == Some(Accident::Kill) {
                redis.state = State::Dead;
            } else {
                redis.restart(&node, false);
            }
        }
        let outcome = match accident {
            Some(Accident::Before) => None,
            Some(Accident::Lost) => Some(match &action.step {
                Step::Promote { .. } => Outcome::Promoted(None),
                Step::Cede { .. } => Outcome::Read(BTreeMap::new()),
                _ => Outcome::Done(BTreeSet::new()),
            }),
            Some(Accident::Kills(names)) => {
                let outcome = self.carry_out(&action.step);
                for name in names {
                    self.servers.get(&name).expect("a node").state = State::Dead;
                }
                Some(outcome)
            }
            Some(Accident::Late) => {
                self.send_late(&action.step);
                None
            }
            _ if action.step == Step::Depose => Some(self.depose(action.term)),
            _ => Some(self.carry_out(&action.step)).filter(|_| accident != Some(Accident::After)),
        };
        let Some(outcome) = outcome else {
            self.say("-leader dies");
            return self.kill_leader();
        };
        let monitor = self.monitors.get_mut(name).expect("a monitor");
        monitor.running = Some((self.now + 2, action.id, outcome));
    }

    fn send_late(&mut self, step: &Step) {
        if let Step::Promote { intent, .. } = step {
            let run = intent.run.0.parse().expect("a run of this model");
            self.late.push((
                self.now + 60 + SESSION,
                intent.node.host().to_owned(),
                Command::Promote { run },
            ));
        }
    }

    /// Sends a command; a hung server finds it when it wakes, a dead one never.
    fn command(&mut self, name: &str, command: &Command) -> bool {
        let redis = self.servers.get(name).expect("commands go to nodes");
        match redis.state {
            _ if redis.door != Door::Open => return false,
            State::Running => redis.carry_out(name, command),
            State::Hung => redis.queued.push(command.clone()),
            State::Dead | State::Loading => {}
        }
        redis.state == State::Running
    }

    fn carry_out(&mut self, step: &Step) -> Outcome {
        match step {
            Step::Commit { expected, record, entry, .. } => {
                let before = self.record.as_ref().map(|read| read.found.clone());
                let outcome = self.commit(*expected, record);
                if let Outcome::Committed(_) = &outcome {
                    self.write_history(before, record, entry.as_deref());
                }
                outcome
            }
            Step::Amend { entry } => {
                let Entry::Change(account) = &**entry else { panic!("{entry:?}") };
                if let Some(line) = history::times(account) {
                    self.say(&format!("  | {line}"));
                }
                Outcome::Amended
            }
            Step::HoldWrites { node, .. } => {
                let held = self.command(node.host(), &Command::Hold(true));
                Outcome::Done(held.then(|| node.clone()).into_iter().collect())
            }
            Step::ResumeWrites { node } => {
                let heard = self.command(node.host(), &Command::Hold(false));
                Outcome::Done(heard.then(|| node.clone()).into_iter().collect())
            }
            Step::Cede { node, run } => {
                let same = self.servers.0[node.host()].run_id() == *run;
                let run = run.0.parse().expect("a run of this model");
                let said = self.read(std::slice::from_ref(node), Some(&Command::Cede { run }));
                Outcome::Read(said.into_iter().filter(|_| same).collect())
            }
            Step::Freeze { nodes, .. } | Step::Demote { nodes } => {
                Outcome::Read(self.read(nodes, Some(&Command::Freeze)))
            }
            Step::Save { node, run, file, begun } => {
                Outcome::Saving(self.save(node.host(), run, file, *begun))
            }
            Step::Look { nodes } => Outcome::Read(self.read(nodes, None)),
            Step::Promote { intent, .. } => {
                let name = intent.node.host();
                let run = intent.run.0.parse().expect("a run of this model");
                let same = self.servers.0[name].run == run;
                let answered = self.command(name, &Command::Promote { run }) && same;
                Outcome::Promoted(answered.then(|| Box::new(self.servers.evidence(name))))
            }
            Step::Open { node, min_replicas_to_write, .. } => {
                let answered = self.command(node.host(), &Command::Open(*min_replicas_to_write));
                Outcome::Done(answered.then(|| node.clone()).into_iter().collect())
            }
            Step::Fence { node, number, .. } => {
                let answered = self.command(node.host(), &Command::Fence(*number));
                Outcome::Done(answered.then(|| node.clone()).into_iter().collect())
            }
            Step::Follow { nodes, master, min_replicas_to_write, .. } => {
                let command = Command::Follow(master.host().to_owned(), *min_replicas_to_write);
                let done = nodes.iter().filter(|node| self.command(node.host(), &command));
                Outcome::Done(done.cloned().collect())
            }
            Step::Persist { nodes } => Outcome::Done(nodes.iter().cloned().collect()),
            Step::Depose => Outcome::NotDeposed,
            Step::Answer { request, .. } => match self.requests.remove(request) {
                Some(_) => {
                    self.tell_requests();
                    Outcome::Answered
                }
                None => Outcome::NotAnswered,
            },
        }
    }

    /// A visit to a node that is to save what it holds.
    fn save(&mut self, name: &str, run: &RunId, file: &str, begun: bool) -> Option<Saving> {
        let redis = self.servers.get(name).expect("a node is visited");
        if redis.state != State::Running || redis.door != Door::Open || redis.run_id() != *run {
            return None;
        }
        let saving = redis.save(file, begun);
        self.say(&format!("{name}: {saving:?}"));
        Some(saving)
    }

    fn read(
        &mut self,
        nodes: &[NodeAddr],
        command: Option<&Command>,
    ) -> BTreeMap<NodeAddr, redis_failover_core::Evidence> {
        let mut said = BTreeMap::new();
        for node in nodes {
            let before = self.servers.evidence(node.host());
            let answers = match command {
                Some(command) => self.command(node.host(), command),
                None => self.servers.0[node.host()].state == State::Running,
            };
            if answers {
                said.insert(node.clone(), before);
            }
        }
        said
    }

    /// Each epoch that ends is told once, and in a published one it is the published master that is told of. Each node
    /// that came back is told as it is recorded.
    fn write_history(&mut self, before: Option<Found>, record: &Topology, entry: Option<&Entry>) {
        let before = before.and_then(|found| match found {
            Found::Record(before) => Some(before),
            Found::Nothing | Found::Predecessor { .. } => None,
        });
        let known = before.as_ref().map(|before| before.diverged.clone()).unwrap_or_default();
        let mut returned = record.diverged.iter().filter(|(node, it)| known.get(*node) != Some(*it));
        let (counted, more) = (returned.next(), returned.next());
        let returns = entry.and_then(|entry| match entry {
            Entry::Return(told) => Some((&told.node, &told.divergence)),
            Entry::Change(_) | Entry::Withheld(_) => None,
        });
        assert_eq!((returns, None), (counted, more), "at {record:?}");
        let was = before.map(|before| (before.epoch, before.phase));
        let (epoch, steady) = (record.epoch, record.phase == Phase::Steady);
        let published = steady && was != Some((epoch, Phase::Steady));
        let ended = was.filter(|(before, phase)| *before < epoch && *phase != Phase::Steady);
        let wanted = published.then_some(epoch).or(ended.map(|(before, _)| before));
        let changed = entry.and_then(|entry| match entry {
            Entry::Change(account) => Some(account),
            Entry::Return(_) | Entry::Withheld(_) => None,
        });
        assert_eq!(changed.map(|account| account.epoch), wanted, "at {record:?}");
        if let Some(account) = changed {
            assert!(self.told.insert(account.epoch), "epoch {} is told twice", account.epoch);
            assert!(!published || account.new == record.master, "{account:?}");
        }
        for line in entry.map(history::lines).unwrap_or_default() {
            self.say(&format!("  | {line}"));
        }
    }

    fn commit(&mut self, expected: Version, record: &Topology) -> Outcome {
        let version = self.record.as_ref().map(|it| it.version).unwrap_or_default();
        if version != expected {
            return Outcome::NotCommitted;
        }
        self.order += 1;
        let number = i32::try_from(self.order).expect("a short scenario");
        let version = Version { order: self.order, document: number, state: Some(number) };
        let phase = if record.phase == Phase::Steady { "steady" } else { "failing over" };
        self.say(&format!("record: epoch {}, {phase}, master {}", record.epoch, record.master));
        let read = Versioned { version, found: Found::Record(Box::new(record.clone())) };
        self.record = Some(read.clone());
        let now = self.instant();
        for (name, monitor) in &mut self.monitors {
            if self.leader.as_deref() != Some(name) {
                monitor.decider.handle(now, Event::TopologyRead(read.clone()));
            }
        }
        Outcome::Committed(version)
    }
}
