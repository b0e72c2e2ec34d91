//! The monitor's loop: it hands facts to the observer and the decider and starts what comes out.
//!
//! It decides nothing and never waits for anything but the next fact.

mod admin_links;
mod candidacy;
mod clock;
mod executor;
mod lead_watch;
mod onlooker;
mod orders;
mod prober;
mod probers;
mod redis_admin;
mod setup;
mod telling;
mod tidings;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use redis_failover_core::{
    ActionId, Ballots, Decider, Event, Leadership, MonitorId, NodeAddr, Observation, Observer, Outcome,
    Policy, Report, lags,
};
use redis_failover_store::{Campaign, SeenReport, Sight, Store};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant as Moment, sleep_until};

use crate::journal::Recorded;
use crate::names::Names;
use crate::observed::Showcase;
use admin_links::{AdminLinks, Keepers};
use candidacy::Candidacy;
use clock::Clock;
use executor::Executor;
pub(crate) use onlooker::Onlooker;
use orders::Leaving;
pub(crate) use orders::Order;
use prober::{Pace, Probed};
use probers::{Probers, Probing};
pub(crate) use setup::Seed;
pub use setup::Setup;
use telling::{Telling, Told};
use tidings::Tidings;

/// One monitor of one group: it watches the nodes, votes, and leads or stands by.
pub struct Monitor<S: Store> {
    setup: Setup,
    /// The policy in force: the record's, once there is one.
    policy: Policy,
    store: S,
    clock: Clock,
    decider: Recorded,
    observer: Observer,
    tidings: Tidings,
    executor: Executor<S::Campaign>,
    keepers: Keepers<S::Campaign>,
    leadership: Leadership,
    /// The watch over who leads, if another does.
    lead: lead_watch::Watch,
    campaign: Arc<S::Campaign>,
    names: Names,
    probers: Probers,
    finished: mpsc::UnboundedSender<(ActionId, Outcome)>,
    orders: mpsc::UnboundedSender<Order>,
    leaving: Option<Leaving>,
    /// What the own report says.
    published: Option<Told>,
    telling: Telling,
    running: Option<JoinHandle<()>>,
    /// When the record was last asked for anew.
    reread_at: Option<Instant>,
    candidacy: Candidacy,
}

/// What a monitor's parts send it; made with the monitor, to be given to [`Monitor::run`].
pub struct Inbox {
    told: mpsc::UnboundedReceiver<Probed>,
    tried: mpsc::UnboundedReceiver<lead_watch::Tried>,
    finished: mpsc::UnboundedReceiver<(ActionId, Outcome)>,
    orders: mpsc::UnboundedReceiver<Order>,
}

impl<S: Store> Monitor<S> {
    /// A monitor that stands for the lead from now on, and its inbox.
    ///
    /// To be called inside a tokio runtime. Nothing is asked of Redis before [`Monitor::run`].
    pub fn new(setup: Setup, store: S) -> (Self, Inbox) {
        Self::with(setup, store, Names::default())
    }

    fn with(setup: Setup, store: S, names: Names) -> (Self, Inbox) {
        let clock = Clock::start();
        let now = clock.now();
        let (told, told_inbox) = mpsc::unbounded_channel();
        let (tried, tried_inbox) = mpsc::unbounded_channel();
        let (finished, finished_inbox) = mpsc::unbounded_channel();
        let (orders, orders_inbox) = mpsc::unbounded_channel();
        let campaign = Arc::new(store.campaign(&setup.id, setup.contact.as_ref()));
        let id = setup.id.to_string();
        let links =
            AdminLinks::new(campaign.clone(), names.clone(), setup.credentials.clone(), (&setup.znode, &id));
        let pace = Pace { interval: setup.policy.probe_interval(), patience: setup.policy.down_after() };
        let probing = Probing {
            id: setup.id.clone(),
            credentials: setup.credentials.clone(),
            slow_every: setup.slow_every,
            names: names.clone(),
            clock,
            told,
            shown: Showcase::default(),
        };
        let decider = Decider::new(setup.id.clone(), setup.nodes.clone(), setup.policy.clone(), now);
        let monitor = Self {
            clock,
            decider: Recorded::new(decider, &setup.group, setup.journal.clone()),
            observer: Observer::new(&setup.policy, setup.nodes.clone(), now),
            tidings: Tidings::new(&setup.group),
            executor: Executor::new(campaign.clone(), names.clone(), links.clone()),
            keepers: Keepers::of(links),
            lead: lead_watch::Watch::new(names.clone(), setup.credentials.source_address, clock, tried),
            names,
            campaign,
            leadership: Leadership::Following,
            probers: Probers::new(probing, pace),
            finished,
            orders,
            leaving: None,
            published: None,
            telling: Telling::default(),
            running: None,
            reread_at: None,
            candidacy: Candidacy::new(setup.take_over),
            policy: setup.policy.clone(),
            setup,
            store,
        };
        monitor.stand();
        let inbox =
            Inbox { told: told_inbox, tried: tried_inbox, finished: finished_inbox, orders: orders_inbox };
        (monitor, inbox)
    }

    /// Has it show what it sees there.
    pub(crate) fn show(&mut self, shown: Showcase) {
        self.probers.show(shown);
    }

    /// Where a running monitor is given orders.
    pub(crate) fn orders(&self) -> mpsc::UnboundedSender<Order> {
        self.orders.clone()
    }

    /// Runs until `shutdown` completes, or it has left the group; then gives up the lead and takes its votes back.
    ///
    /// Dropping the future gives the lead up too, but only when the action under way has ended; the votes then stand
    /// for as long as the store's session.
    pub async fn run(mut self, mut inbox: Inbox, shutdown: impl Future<Output = ()>) {
        let mut record = self.store.record();
        let mut reports = self.store.reports();
        let mut requests = self.store.requests();
        let mut predecessors = self.store.predecessors();
        let mut leadership = self.campaign.leadership();
        let mut leader = self.campaign.leader();
        let mut shutdown = std::pin::pin!(shutdown);
        self.watch_nodes();
        loop {
            let wake = self.wake();
            tokio::select! {
                () = &mut shutdown => break,
                sight = record.next() => self.record(sight),
                seen = reports.next() => self.reports(&seen),
                asked = requests.next() => self.requests(&asked),
                found = predecessors.next() => self.predecessors(found.as_deref()),
                leads = leadership.next() => self.lead(leads),
                leader = leader.next() => self.lead.follow(leader, &self.policy),
                Some(probed) = inbox.told.recv() => self.probed(probed, &mut inbox.told),
                Some(tried) = inbox.tried.recv() => self.lead.tried(tried),
                Some((id, outcome)) = inbox.finished.recv() => self.finished(id, outcome),
                Some(order) = inbox.orders.recv() => self.order(order),
                () = sleep_until(wake) => {}
            }
            self.follow_record();
            self.tick();
            if self.lead.is_news() {
                self.decide(Event::LeaderWatched(self.lead.said()));
            }
            if self.is_gone() {
                break;
            }
            self.may_stand_aside();
            self.act();
        }
        self.tell_parting();
        self.probers.end();
        self.running.iter().for_each(JoinHandle::abort);
        self.store.withdraw();
        self.campaign.resign().await;
        self.decider.close().await;
    }

    /// An action of a term that is over, or in doubt, goes no further.
    fn lead(&mut self, leadership: Leadership) {
        if let Some(running) = self.running.take() {
            running.abort();
        }
        self.leadership = leadership;
        self.keepers.keep(leadership, self.members());
        self.decide(Event::Leadership(leadership));
        self.reread();
    }

    /// The nodes that may have to be commanded. Not those that are only looked at: they may be members by another name.
    fn members(&self) -> Vec<NodeAddr> {
        let members = self.decider.record().map(|record| record.nodes().cloned().collect());
        members.unwrap_or_else(|| self.setup.nodes.clone())
    }

    /// Has the record read again; what was read before no longer counts.
    fn reread(&mut self) {
        self.reread_at = Some(Instant::now());
        self.store.reread();
    }

    fn wake(&self) -> Moment {
        let others = [self.decider.poll_timeout(), self.lead.poll_timeout(), self.telling.poll_timeout()];
        let next = others.into_iter().flatten().fold(self.observer.poll_timeout(), Ord::min);
        let ends = [
            self.leaving.as_ref().map(|leaving| leaving.until),
            self.candidacy.aside.poll_timeout().map(|at| self.clock.moment(at)),
        ];
        ends.into_iter().flatten().fold(self.clock.moment(next), Ord::min)
    }

    fn decide(&mut self, event: Event) {
        self.decider.handle(self.clock.now(), event);
    }

    fn record(&mut self, sight: Sight) {
        let Some(read) = sight.read else { return };
        if sight.at < self.reread_at {
            // Another is on its way that was read since it was asked for.
            return;
        }
        self.tidings.readable(read.as_ref().err().map(AsRef::as_ref));
        self.candidacy.readable = read.is_ok();
        self.stand();
        self.tell_wall_clock();
        self.decide(read.map_or(Event::TopologyUnreadable, Event::TopologyRead));
        if self.decider.must_read() {
            self.reread();
        }
    }

    /// Watches the record's nodes by the record's policy, also when the record is this monitor's own commit.
    fn follow_record(&mut self) {
        let Some(record) = self.decider.record() else { return };
        self.tidings.compare(record, &self.setup.nodes, &self.setup.policy);
        // A replica that was found is watched before it is a member.
        self.keepers.keep(self.leadership, record.nodes().cloned().collect());
        let nodes = self.decider.nodes();
        if !self.probers.watches(&nodes) || record.policy != self.policy {
            self.watch_by(record.policy.clone());
        }
    }

    fn watch_by(&mut self, policy: Policy) {
        self.policy = policy;
        self.lead.watch_by(&self.policy);
        self.observer.reconfigure(&self.policy, self.decider.nodes(), self.clock.now());
        self.watch_nodes();
    }

    fn reports(&mut self, seen: &BTreeMap<MonitorId, SeenReport>) {
        let others = seen.iter().filter(|(id, _)| **id != self.setup.id);
        let peer = |seen: &SeenReport| seen.report.peer(self.clock.at(seen.seen_at.into()));
        let peers = others.map(|(id, seen)| (id.clone(), peer(seen))).collect();
        self.decide(Event::ReportsRead(peers));
    }

    /// Takes in all that the probers have told so far: one look at the whole is enough.
    fn probed(&mut self, first: Probed, more: &mut mpsc::UnboundedReceiver<Probed>) {
        // What was asked before a stall counts no more, and the ticking finds the stall.
        self.tick();
        let mut next = Some(first);
        while let Some(Probed { node, asked, at, probe }) = next {
            self.observer.probed(asked, at, &node, probe);
            next = more.try_recv().ok();
        }
        self.observed();
    }

    fn finished(&mut self, id: ActionId, outcome: Outcome) {
        self.tidings.outcome(&outcome);
        let unwritten = [Outcome::NotCommitted, Outcome::CommitRefused, Outcome::CommitUnknown];
        let reread = unwritten.contains(&outcome);
        if outcome == Outcome::CommitRefused {
            self.refused();
        }
        self.decide(Event::Finished(id, outcome));
        if reread {
            self.reread();
        }
    }

    /// Passes time in the observer, when it is due.
    fn tick(&mut self) {
        let now = self.clock.now();
        if now < self.observer.poll_timeout() {
            return;
        }
        if self.observer.tick(now) {
            tracing::warn!(event = "stalled", group = %self.setup.group, "this monitor stood still: it looks again");
        }
        self.observed();
    }

    /// Shows what is observed to the decider, to the other monitors, and to the probers.
    fn observed(&mut self) {
        let ballots = self.observer.ballots();
        self.tidings.votes(&ballots);
        let (sightings, troubles) = (self.observer.sightings(), self.observer.troubles());
        let leads = matches!(self.leadership, Leadership::Leading(_));
        let master = self.decider.record().filter(|_| leads).map(|record| &record.master);
        let lags = master.map(|master| lags(master, &sightings, &ballots));
        self.telling.lag(lags.unwrap_or_default(), self.clock.now());
        self.report(&ballots);
        self.decide(Event::Observed(Observation { ballots, sightings, troubles }));
        self.probers.pace(Pace::of(&self.observer, &self.policy, self.clock.now()));
    }

    /// Publishes the votes and what else there is to tell, where any of it is new.
    fn report(&mut self, ballots: &Ballots) {
        let lead = self.lead.said();
        let told = self.telling.told(ballots, lead, self.decider.remembers());
        if self.leaving.is_some() || self.published.as_ref() == Some(&told) {
            return;
        }
        let (id, now) = (self.setup.id.clone(), self.clock.now());
        self.store.publish(Report {
            address: self.setup.contact.as_ref().map(|contact| contact.address.clone()),
            lead: lead.map(|it| (it.term, it.ballot.vote, now.since(it.ballot.since))),
            remembers: told.remembers,
            waits: told.waits.clone(),
            attends: told.attends.clone(),
            lags: told.lags.clone(),
            version: Some(env!("CARGO_PKG_VERSION").to_owned()),
            sentinel: self.setup.sentinel.clone(),
            clock: Some(orders::unix_millis()),
            ..Report::of(id, ballots, now)
        });
        self.published = Some(told);
    }

    /// Starts the next action, if there is one, and says what is new.
    fn act(&mut self) {
        let now = self.clock.now();
        let action = self.decider.poll_action(now);
        let status = self.decider.status(now);
        self.tidings.status(&status);
        self.telling.waits = status.stuck.map(|ranking| ranking.waits()).unwrap_or_default();
        self.telling.attend(status.attends, now);
        self.report(&self.observer.ballots());
        if let Some(record) = self.decider.record() {
            self.tidings.record(record);
        }
        let Some(action) = action else { return };
        self.tidings.step(&action.step);
        let (executor, finished) = (self.executor.clone(), self.finished.clone());
        let running = tokio::spawn(async move {
            let id = action.id;
            let outcome = executor.carry_out(action).await;
            // The monitor may have ended meanwhile.
            let _ = finished.send((id, outcome));
        });
        self.running = Some(running);
    }

    /// Keeps one prober for each node.
    fn watch_nodes(&mut self) {
        self.names.watch(self.members());
        self.keepers.keep(self.leadership, self.members());
        self.probers.watch(self.decider.nodes());
    }
}

#[cfg(test)]
mod tests;
