//! What subscribers are told: Sentinel's messages, from how a group differs from how it last was. What is true is read
//! from the record, so that a message is sent when it is so for everybody, and never before.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use redis_failover_core::{Link, NodeAddr, Phase, Role};
use tokio::sync::Mutex;
use tokio::time::{MissedTickBehavior, interval};

use super::group::Group;
use super::view::{Master, View};
use super::{Endpoint, lock, words};
use crate::observed::Observed;

/// A message and its channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Message {
    pub(super) channel: &'static str,
    pub(super) payload: String,
}

/// Since when things are as they are, as far as this process saw it.
#[derive(Clone, Debug, Default)]
pub(super) struct Since {
    /// The nodes that a quorum finds down, or that are published as not OK.
    pub(super) down: BTreeMap<NodeAddr, Instant>,
    /// The session with ZooKeeper is lost.
    pub(super) cut_off: Option<Instant>,
}

/// How often is looked though nothing is heard: a vote may come to count by time alone.
const LOOK: Duration = Duration::from_secs(1);

/// Follows a group until nobody answers for it any more, and sends the messages about it.
pub(super) async fn tell(group: Arc<Group>, teller: Arc<Mutex<Teller>>, endpoint: Arc<Endpoint>) {
    let mut ended = group.ended();
    // Another may be about to end that followed the group before it was changed.
    let mut teller = teller.lock().await;
    let (mut record, mut reports) = (group.record.clone(), group.reports.clone());
    let (mut observed, mut session) = (group.observed.clone(), group.session.clone());
    let mut looks = interval(LOOK);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let reconnected = async {
            match &mut session {
                Some(session) => drop(session.next().await),
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            _ = ended.wait_for(|ended| *ended) => return,
            _ = record.next() => {}
            _ = reports.next() => {}
            () = reconnected => {}
            // Only for as long as somebody is awaited.
            Ok(()) = observed.changed(), if !teller.awaited.is_empty() => {}
            _ = looks.tick() => {}
        }
        let seen = observed.borrow_and_update().clone();
        let messages = teller.look(View::of(&group), &seen, group.is_cut_off());
        group.since.send_replace(teller.since.clone());
        for message in endpoint.tilt().into_iter().chain(messages) {
            // Nobody may listen.
            let _ = endpoint.messages.send(Arc::new(message));
        }
    }
}

impl Endpoint {
    /// That the session with ZooKeeper of some group is lost, or those of all are there again, where that is news.
    fn tilt(&self) -> Option<Message> {
        let cut_off = self.groups().iter().any(|group| group.since.borrow().cut_off.is_some());
        let mut told = lock(&self.tilted);
        if *told == cut_off {
            return None;
        }
        *told = cut_off;
        let (channel, word) = if cut_off { ("+tilt", "entered") } else { ("-tilt", "exited") };
        Some(Message { channel, payload: format!("#tilt mode {word}") })
    }
}

/// What subscribers were told last.
pub(super) struct Teller {
    me: String,
    told: Option<View>,
    since: Since,
    /// The replicas that are still to be seen following a new master.
    awaited: BTreeSet<NodeAddr>,
    /// All Sentinels that were ever seen.
    known: BTreeSet<String>,
}

impl Teller {
    pub(super) fn new(me: String) -> Self {
        let (since, awaited, known) = (Since::default(), BTreeSet::new(), BTreeSet::new());
        Self { me, told: None, since, awaited, known }
    }

    /// The messages that the difference makes.
    pub(super) fn look(&mut self, now: Option<View>, observed: &Observed, cut_off: bool) -> Vec<Message> {
        let mut tale = Tale::default();
        self.since.cut_off = cut_off.then(|| self.since.cut_off.unwrap_or_else(Instant::now));
        let Some(now) = now else { return tale.0 };
        let master = words::master(&now.name, &now.record.master);
        let before = self.told.take();
        match &before {
            None => tale.add("+monitor", &format!("{master} quorum {}", now.record.quorum())),
            Some(before) => {
                settings(&mut tale, before, &now, &master);
                if now.master() == Master::Replaced {
                    self.master(&mut tale, &now);
                }
                begun(&mut tale, before, &now);
                self.switched(&mut tale, before, &now);
            }
        }
        self.nodes(&mut tale, before.as_ref(), &now);
        self.sentinels(&mut tale, before.as_ref(), &now);
        self.followers(&mut tale, &now, observed);
        self.told = Some(now);
        tale.0
    }

    /// A master that was published, and the end of the change that made it.
    fn switched(&mut self, tale: &mut Tale, before: &View, now: &View) {
        let (old, new) = (&before.record.master, &now.record.master);
        if old == new {
            let restarted = before.record.master_run.is_some()
                && now.record.master_run.is_some()
                && before.record.master_run != now.record.master_run;
            let master = words::master(&now.name, new);
            if restarted && matches!(now.record.phase, Phase::Steady) {
                tale.add("+reboot", &master);
            }
            if before.promoted().is_some() && now.promoted().is_none() {
                tale.add("-failover-abort-slave-timeout", &master);
            }
            return;
        }
        let former = words::master(&now.name, old);
        tale.add("+promoted-slave", &words::replica(new, &now.name, old));
        tale.add("+failover-state-reconf-slaves", &former);
        tale.add("+failover-end", &former);
        let (from, to) = ((old.host(), old.port()), (new.host(), new.port()));
        tale.add("+switch-master", &format!("{} {} {} {} {}", now.name, from.0, from.1, to.0, to.1));
        self.awaited = now.replicas().filter(|member| member.ok).map(|member| member.addr.clone()).collect();
        for member in now.replicas() {
            tale.add("+slave", &words::replica(&member.addr, &now.name, new));
        }
        // What they are told down as they are no more: a master is a replica now, and a replica a master.
        self.since.down.retain(|node, _| node != old && node != new);
    }

    /// Who is down and who is back.
    fn nodes(&mut self, tale: &mut Tale, before: Option<&View>, now: &View) {
        let (name, master) = (&now.name, &now.record.master);
        let known =
            |addr: &NodeAddr| before.is_some_and(|before| before.record.nodes().any(|node| node == addr));
        for member in now.replicas().filter(|member| !known(&member.addr)) {
            tale.add("+slave", &words::replica(&member.addr, name, master));
        }
        self.master(tale, now);
        for member in now.replicas() {
            match (self.since.down.contains_key(&member.addr), member.ok) {
                (false, false) => tale.add("+sdown", &words::replica(&member.addr, name, master)),
                (true, true) => tale.add("-sdown", &words::replica(&member.addr, name, master)),
                _ => {}
            }
        }
        let down: BTreeSet<_> =
            now.replicas().filter(|member| !member.ok).map(|member| member.addr.clone()).collect();
        self.since.down.retain(|node, _| node == master || down.contains(node));
        for node in down {
            self.since.down.entry(node).or_insert_with(Instant::now);
        }
    }

    /// Whether the master is down or back.
    fn master(&mut self, tale: &mut Tale, now: &View) {
        let master = &now.record.master;
        let whom = words::master(&now.name, master);
        let down = matches!(now.master(), Master::Down | Master::Replaced);
        if down && !self.since.down.contains_key(master) {
            tale.add("+sdown", &whom);
            tale.add("+odown", &format!("{whom} #quorum {0}/{0}", now.record.quorum()));
            self.since.down.insert(master.clone(), Instant::now());
        }
        if !down && self.since.down.remove(master).is_some() {
            tale.add("-sdown", &whom);
            tale.add("-odown", &whom);
        }
    }

    /// Which other monitors answer as Sentinels.
    fn sentinels(&mut self, tale: &mut Tale, before: Option<&View>, now: &View) {
        let none = BTreeMap::new();
        let before = before.map_or(&none, |before| &before.sentinels);
        let told = |id: &str, sentinel: &super::view::Sentinel| {
            words::sentinel(id, &sentinel.address, &now.name, &now.record.master)
        };
        for (id, sentinel) in now.sentinels.iter().filter(|(id, _)| **id != self.me) {
            match before.get(id) {
                Some(before) if before.address == sentinel.address => {}
                Some(_) => tale.add("+sentinel-address-switch", &told(id, sentinel)),
                None if self.known.contains(id) => tale.add("-sdown", &told(id, sentinel)),
                None => tale.add("+sentinel", &told(id, sentinel)),
            }
            self.known.insert(id.clone());
        }
        for (id, sentinel) in before.iter().filter(|(id, _)| **id != self.me) {
            if !now.sentinels.contains_key(id) {
                tale.add("+sdown", &told(id, sentinel));
            }
        }
    }

    /// The replicas that were seen to follow the new master.
    fn followers(&mut self, tale: &mut Tale, now: &View, observed: &Observed) {
        let master = &now.record.master;
        let follows = |node: &NodeAddr| {
            let role = observed.get(node).and_then(|seen| seen.role.as_ref());
            let Some((Role::Replica { of: Some(of), link: Link::Up, .. }, _)) = role else { return false };
            of == master
        };
        let members: BTreeSet<_> = now.replicas().map(|member| &member.addr).collect();
        self.awaited.retain(|node| members.contains(node));
        let (done, awaited) = std::mem::take(&mut self.awaited).into_iter().partition(|node| follows(node));
        self.awaited = awaited;
        let done: BTreeSet<NodeAddr> = done;
        for node in done {
            let whom = words::replica(&node, &now.name, master);
            tale.add("+slave-reconf-done", &whom);
            // go-redis listens to this word.
            tale.add("+replica-reconf-done", &whom);
        }
    }
}

/// What is told, in its order.
#[derive(Default)]
struct Tale(Vec<Message>);

impl Tale {
    fn add(&mut self, channel: &'static str, payload: &str) {
        self.0.push(Message { channel, payload: payload.to_owned() });
    }
}

/// What an operator changed of the settings that Sentinel has, too.
fn settings(tale: &mut Tale, before: &View, now: &View, master: &str) {
    let settings = |view: &View| {
        let policy = &view.record.policy;
        [
            ("quorum", view.record.quorum().to_string()),
            (super::instance::DOWN_AFTER, policy.down_after().as_millis().to_string()),
            ("parallel-syncs", policy.parallel_syncs().to_string()),
        ]
    };
    for ((name, before), (_, now)) in settings(before).into_iter().zip(settings(now)) {
        if before != now {
            tale.add("+set", &format!("{master} {name} {now}"));
        }
    }
}

/// A change of master that was begun, or begun again with another choice. One that was over before it was seen was
/// begun, too: all of it may have happened between two looks.
fn begun(tale: &mut Tale, before: &View, now: &View) {
    if before.record.epoch == now.record.epoch {
        return;
    }
    tale.add("+new-epoch", &now.record.epoch.to_string());
    let (old, new) = (&before.record.master, &now.record.master);
    let Some(chosen) = now.promoted().or((old != new).then_some(new)) else { return };
    let master = words::master(&now.name, old);
    let replica = words::replica(chosen, &now.name, old);
    for step in ["+try-failover", "+elected-leader", "+failover-state-select-slave"] {
        tale.add(step, &master);
    }
    for step in ["+selected-slave", "+failover-state-send-slaveof-noone", "+failover-state-wait-promotion"] {
        tale.add(step, &replica);
    }
}

#[cfg(test)]
mod tests;
