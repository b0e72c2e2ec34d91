//! Nodes that do not follow the master: frozen, counted and kept where that is asked for, and then told whom to follow.
//! It judges no candidate.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Planner, TELL_AGAIN};
use crate::divergence::{Divergence, Keeping};
use crate::names::{NodeAddr, RunId};
use crate::policy::{Fencing, OnDivergence};
use crate::step::{Purpose, Step};
use crate::time::Instant;
use crate::topology::Topology;
use crate::view::{Evidence, Link, Role, Sighting, Vote};

/// How long a node that was told to follow may take until its full copy begins: for so long it counts as being filled.
const SYNC_BEGINS: Duration = Duration::from_secs(5);

/// A snapshot that a node was asked for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Save {
    /// The life of the node's process whose data it is.
    pub run: RunId,
    /// What was begun, and when; `None` before that, and where it failed.
    pub begun: Option<Begun>,
    /// When to visit the node again; `None` where it is of no use in this life.
    pub next: Option<Instant>,
    /// What came of it: where it is, or why it is nowhere.
    pub came: Option<Result<String, String>>,
}

/// A snapshot that was begun.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Begun {
    /// When.
    pub at: Instant,
    /// The file's path on the node's host.
    pub file: String,
    /// Why that is the server's own file and not the one that was asked for, if it is.
    pub unnamed: Option<String>,
}

/// What is to be done about one node.
enum Standing {
    /// Nothing: it follows, or nothing is known of it.
    Well,
    /// Nothing before this time.
    Rests(Instant),
    /// It has to be frozen and read.
    Unread,
    /// What it holds beyond is not recorded as it is.
    Uncounted(Divergence),
    /// It is to be saved, under this name.
    Unsaved(RunId, String),
    /// It may be told to follow.
    Ready(Filling),
}

/// What a node that is told to follow takes of its host's turn to be filled.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Filling {
    /// Nothing: it goes on where it stands.
    Partial,
    /// It follows already and is told so again: a full copy is under way, or about to begin, and waits for nobody.
    Begun,
    /// It begins a full copy, once it may.
    Full,
}

impl Filling {
    /// Of a node that goes on where it stands, or not.
    fn of(continues: bool) -> Self {
        if continues { Self::Partial } else { Self::Full }
    }
}

/// What is to be done about all of them, and when to look again.
#[derive(Default)]
struct Astray {
    unread: Vec<NodeAddr>,
    uncounted: Option<(NodeAddr, Divergence)>,
    unsaved: Vec<(NodeAddr, RunId, String)>,
    ready: Vec<(NodeAddr, Filling)>,
    again: Option<Instant>,
}

impl Astray {
    fn wait(&mut self, until: Instant) {
        self.again = Some(self.again.map_or(until, |other| other.min(until)));
    }
}

impl Planner<'_> {
    /// The next step for nodes that do not follow the master, and when to look at them again.
    ///
    /// Nothing is given up before it is counted, and counted is what stands in the record.
    pub(super) fn gather(&self) -> (Option<Step>, Option<Instant>) {
        let record = self.facts.record;
        if record.lineages.current().is_none() {
            // Without the master's own history nothing can be counted; it is recorded when the master is seen.
            return (None, None);
        }
        let mut astray = Astray::default();
        for node in record.nodes().filter(|node| **node != record.master) {
            match self.standing(node) {
                Standing::Well => {}
                Standing::Rests(until) => astray.wait(until),
                Standing::Unread => astray.unread.push(node.clone()),
                Standing::Uncounted(divergence) => {
                    astray.uncounted.get_or_insert_with(|| (node.clone(), divergence));
                }
                Standing::Unsaved(run, file) => astray.unsaved.push((node.clone(), run, file)),
                Standing::Ready(fills) => astray.ready.push((node.clone(), fills)),
            }
        }
        if !astray.unread.is_empty() {
            return (Some(Step::Demote { nodes: astray.unread }), None);
        }
        if let Some((node, divergence)) = astray.uncounted {
            return (Some(self.count(node, divergence)), None);
        }
        let nodes = self.admitted(&mut astray);
        if !nodes.is_empty() {
            let min_replicas_to_write = record.min_replicas_to_write;
            let master = record.master.clone();
            let fences = record.policy.fencing() != Fencing::Off;
            let closes = nodes.iter().find(|node| self.closes(node)).cloned();
            return (Some(Step::Follow { nodes, master, min_replicas_to_write, fences, closes }), None);
        }
        (self.save(&mut astray), astray.again)
    }

    fn standing(&self, node: &NodeAddr) -> Standing {
        let record = self.facts.record;
        let told = self.progress.told.get(node).copied();
        let demoted = self.progress.demoted.get(node).copied();
        let seen = self.facts.fresh(node, told.max(demoted));
        // Another life, or one that was made a master or sent to another by hand, is not what was frozen.
        let stands = |said: &&Evidence| {
            let differs = |it: &Sighting| it.run != said.run || !self.is_frozen(&it.role);
            // That it was started anew may have been seen before the epoch was published.
            let lives_anew =
                |it: &Sighting| it.run != said.run && demoted.is_some_and(|demoted| it.asked > demoted);
            !seen.is_some_and(differs)
                && !self.facts.sightings.get(node).is_some_and(lives_anew)
                && !self.was_made_a_master(node, said)
        };
        let frozen = self.progress.evidence.get(node).filter(stands);
        let run = frozen.map(|it| &it.run).or(seen.map(|it| &it.run));
        // The master under another name must not be made its own replica.
        let other = run.is_some() && run != record.master_run.as_ref();
        let follows = seen.filter(|it| self.follows_master(it));
        if let Some(seen) = follows.filter(|_| other && frozen.is_none() && self.closes(node)) {
            return match told.map(|told| told + TELL_AGAIN).filter(|until| *until > self.facts.now) {
                Some(until) => Standing::Rests(until),
                // Somebody else has sent it there, and it is not filled yet: a freeze that it finds in its sockets
                // ends that, and then it would be told to follow uncounted.
                None if self.may_hold_its_own(node, seen) => Standing::Unread,
                // It follows already: it is told so again, and its clients are cut off.
                None => Standing::Ready(self.filling_already(node, seen)),
            };
        }
        let wrong = other && (frozen.is_some() || seen.is_some_and(|it| !self.follows_master(it)));
        if !wrong {
            return Standing::Well;
        }
        if let Some(until) = told.map(|told| told + TELL_AGAIN).filter(|until| *until > self.facts.now) {
            return Standing::Rests(until);
        }
        match (frozen, seen) {
            (Some(said), _) => self.standing_of_frozen(node, said),
            (None, Some(seen)) if self.needs_no_reading(seen) => {
                Standing::Ready(Filling::of(record.lineages.continues(&seen.history)))
            }
            (None, _) => Standing::Unread,
        }
    }

    /// Whether the node was seen as a master by another name than it had when it was frozen, which it took at that
    /// point or later.
    ///
    /// Also where that was seen before the epoch was published, or while others were still awaited: then no time tells
    /// that it is newer than what the node said, and its name does.
    fn was_made_a_master(&self, node: &NodeAddr, said: &Evidence) -> bool {
        let left = |seen: &Sighting| match &seen.history.previous {
            Some((replid, from)) => *replid == said.history.replid && *from > said.history.offset,
            None => false,
        };
        let seen = self.facts.sightings.get(node).filter(|it| it.run == said.run && it.role.is_master());
        seen.is_some_and(left)
    }

    /// Whether the node's clients are those of a master that gave up its role, and have to be cut off.
    fn closes(&self, node: &NodeAddr) -> bool {
        let unclosed = self.facts.record.unclosed.get(node);
        unclosed.is_some_and(|run| {
            // Another life of its process has none of them.
            let lives = self.facts.sightings.get(node).is_none_or(|it| it.run == *run);
            lives && self.progress.closed.get(node) != Some(run)
        })
    }

    fn standing_of_frozen(&self, node: &NodeAddr, said: &Evidence) -> Standing {
        let record = self.facts.record;
        let Some(divergence) = self.divergence(node, said) else {
            return Standing::Ready(Filling::of(record.lineages.continues(&said.history)));
        };
        if record.diverged.get(node) != Some(&divergence) {
            return Standing::Uncounted(divergence);
        }
        match divergence.keeping {
            Keeping::Discarded | Keeping::Saved { .. } => Standing::Ready(Filling::Full),
            Keeping::Due { file } | Keeping::Held { file, .. } => Standing::Unsaved(divergence.run, file),
        }
    }

    /// What the node holds beyond, and what became of it so far.
    fn divergence(&self, node: &NodeAddr, said: &Evidence) -> Option<Divergence> {
        let record = self.facts.record;
        let policy = record.policy.on_divergence();
        let mut divergence = Divergence::of(node, said, &record.lineages, policy)?;
        let recorded = record.diverged.get(node).filter(|it| it.is_same_data(&divergence));
        let Some(recorded) = recorded else { return Some(divergence) };
        if !recorded.keeping.holds() {
            divergence.keeping = recorded.keeping.clone();
        } else if policy == OnDivergence::Save {
            let came = self.progress.saves.get(node).filter(|save| save.run == said.run);
            divergence.keeping = match (came.and_then(|save| save.came.clone()), recorded.keeping.clone()) {
                (Some(Ok(file)), _) => Keeping::Saved { file },
                (Some(Err(why)), Keeping::Due { file } | Keeping::Held { file, .. }) => {
                    Keeping::Held { file, why }
                }
                (_, keeping) => keeping,
            };
        }
        Some(divergence)
    }

    /// Whether what was seen of a node in passing is enough to send it to the master: it takes in nothing, now or in a
    /// moment, and holds nothing that the master does not.
    fn needs_no_reading(&self, seen: &Sighting) -> bool {
        let lineages = &self.facts.record.lineages;
        let behind = self.is_behind(seen);
        match seen.role {
            Role::Master { .. } => false,
            Role::Replica { of: Some(ref of), link: Link::Down { .. }, .. } => behind && !self.may_feed(of),
            Role::Replica { of: None, link: Link::Down { .. }, .. } => behind,
            // What it receives now may be anything but the master's own history.
            Role::Replica { .. } => {
                lineages.current().is_some_and(|current| current.replid == seen.history.replid)
            }
        }
    }

    /// Whether what it says of its history leaves no room for anything that the master does not hold.
    fn is_behind(&self, seen: &Sighting) -> bool {
        let lineages = &self.facts.record.lineages;
        // What it wrote under a name of its own may be more than its offset says.
        let ours = lineages.names(&seen.history.replid);
        ours && lineages.beyond(&seen.history).is_some_and(|(_, bytes)| bytes == 0)
    }

    /// Whether one that follows the master still has what it held before, and that may be more than the master has and
    /// than was recorded of it.
    fn may_hold_its_own(&self, node: &NodeAddr, seen: &Sighting) -> bool {
        let record = self.facts.record;
        let receives = matches!(seen.role, Role::Replica { link: Link::Up, .. });
        let beyond = record.lineages.beyond(&seen.history).map(|(left, bytes)| (left, Some(bytes)));
        // A copy that it takes in since that was recorded is not to begin anew for this.
        let told = record.diverged.get(node).filter(|it| it.run == seen.run && !it.keeping.holds());
        let counted = told.is_some_and(|it| (it.left, it.bytes) == beyond.unwrap_or_default());
        !receives && !counted && !self.is_behind(seen)
    }

    /// Whether it follows none of the members, and takes in nothing.
    fn is_frozen(&self, role: &Role) -> bool {
        let is_member = |of: &NodeAddr| self.facts.record.nodes().any(|member| member == of);
        match role {
            Role::Replica { of, link: Link::Down { .. }, .. } => !of.as_ref().is_some_and(is_member),
            Role::Replica { .. } | Role::Master { .. } => false,
        }
    }

    /// Whether a replica of `node` may be filled by it at any moment: it is another member than the master, and lives.
    fn may_feed(&self, node: &NodeAddr) -> bool {
        let other =
            *node != self.facts.record.master && self.facts.record.nodes().any(|member| member == node);
        let vote = self.facts.electorate.own.get(node).map(|ballot| ballot.vote);
        other && vote == Some(Vote::Up)
    }

    /// One node at a time: each is told in the history in the transaction that counts it.
    fn count(&self, node: NodeAddr, divergence: Divergence) -> Step {
        let mut counted: Topology = self.facts.record.clone();
        counted.diverged.insert(node, divergence);
        self.commit(counted, Purpose::Count)
    }

    /// Those that may be told to follow now: of those that will be filled with a full copy, each host has as many at a
    /// time as the policy allows.
    fn admitted(&self, astray: &mut Astray) -> Vec<NodeAddr> {
        let mut filling: BTreeMap<String, u32> = BTreeMap::new();
        let ready = std::mem::take(&mut astray.ready);
        for node in self.facts.record.nodes().filter(|node| !ready.iter().any(|(other, _)| other == *node)) {
            if let Some(until) = self.is_filled_until(node) {
                *filling.entry(node.host().to_owned()).or_default() += 1;
                astray.wait(until);
            }
        }
        for (node, _) in ready.iter().filter(|(_, fills)| *fills == Filling::Begun) {
            *filling.entry(node.host().to_owned()).or_default() += 1;
        }
        let mut admitted = Vec::new();
        for (node, fills) in ready {
            let begun = filling.entry(node.host().to_owned()).or_default();
            if fills == Filling::Full && *begun >= self.facts.record.policy.parallel_syncs() {
                continue;
            }
            *begun += u32::from(fills == Filling::Full);
            admitted.push(node);
        }
        admitted
    }

    /// What a node takes that follows already and is told so again: a leader before this one may have told it, or it
    /// follows by its own configuration, so what this one has told it says nothing.
    fn filling_already(&self, node: &NodeAddr, seen: &Sighting) -> Filling {
        let goes_on = match seen.role {
            Role::Replica { link: Link::Up, .. } => true,
            Role::Replica { link: Link::Syncing, .. } => false,
            Role::Replica { .. } | Role::Master { .. } => {
                self.is_filled_until(node).is_none() && self.facts.record.lineages.continues(&seen.history)
            }
        };
        if goes_on { Filling::Partial } else { Filling::Begun }
    }

    /// Whether the node is being filled with a full copy of the master's data, or was told to follow and may be: then
    /// until when that counts, unless it is seen otherwise before.
    fn is_filled_until(&self, node: &NodeAddr) -> Option<Instant> {
        let told = self.progress.told.get(node).copied();
        let begins = told.map(|told| told + SYNC_BEGINS).filter(|until| *until > self.facts.now);
        let seen = self.facts.sightings.get(node).filter(|it| told.is_none_or(|told| it.asked > told));
        match seen.map(|it| &it.role) {
            Some(Role::Replica { of, link: Link::Syncing, .. })
                if of.as_ref() == Some(&self.facts.record.master) =>
            {
                Some(self.facts.now + SYNC_BEGINS)
            }
            Some(Role::Replica { link: Link::Up, .. }) => None,
            _ => begins,
        }
    }

    /// The visit to a node whose snapshot is to be begun or looked after.
    fn save(&self, astray: &mut Astray) -> Option<Step> {
        for (node, run, file) in std::mem::take(&mut astray.unsaved) {
            let save = self.progress.saves.get(&node).filter(|save| save.run == run);
            match save.map(|save| save.next) {
                Some(None) => {}
                Some(Some(next)) if next > self.facts.now => astray.wait(next),
                _ => {
                    let begun = save.is_some_and(|save| save.begun.is_some());
                    return Some(Step::Save { node, run, file, begun });
                }
            }
        }
        None
    }

    /// By address, or, where another spelling of it is in use, by the history it receives.
    fn follows_master(&self, sighting: &Sighting) -> bool {
        let record = self.facts.record;
        match &sighting.role {
            Role::Master { .. } => false,
            Role::Replica { of, .. } if of.as_ref() == Some(&record.master) => true,
            // Behind another member it has the same history, and is lost with that one.
            Role::Replica { of: Some(of), .. } if record.nodes().any(|member| member == of) => false,
            Role::Replica { link, .. } => {
                let current = record.lineages.current().map(|lineage| &lineage.replid);
                *link == Link::Up && current == Some(&sighting.history.replid)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnosis::Facts;
    use crate::names::{Epoch, ReplId};
    use crate::plan::Progress;
    use crate::policy::Policy;
    use crate::position::{History, Lineage, Lineages};
    use crate::topology::{Member, Version};
    use crate::verdict::Electorate;
    use crate::view::{Ballot, Ballots, Peers};

    const NOW: Instant = Instant::from_millis(50_000);

    fn node(name: &str) -> NodeAddr {
        name.parse().expect("an address")
    }

    /// The master is m:1 with history q since 100 of p; the others are on two hosts.
    fn record(policy: Policy) -> Topology {
        let lineage = |replid: &str, epoch, start, parent: Option<&str>| Lineage {
            replid: ReplId(replid.into()),
            epoch: Epoch(epoch),
            start,
            parent: parent.map(|it| ReplId(it.into())),
        };
        Topology {
            master_run: Some(RunId("m:1".into())),
            members: ["m:1", "h:1", "h:2", "h:3", "g:1"].map(|it| Member { addr: node(it), ok: true }).into(),
            lineages: Lineages::new(vec![lineage("p", 1, 0, None), lineage("q", 2, 100, Some("p"))]),
            ..Topology::new(Epoch(2), node("m:1"), policy)
        }
    }

    fn history(replid: &str, offset: u64) -> History {
        History { replid: ReplId(replid.into()), offset, previous: None }
    }

    fn frozen(name: &str, replid: &str, offset: u64) -> (NodeAddr, Evidence) {
        let evidence = Evidence {
            run: RunId(name.into()),
            role: Role::Replica { of: None, link: Link::Down { seconds: 0 }, received: offset },
            history: history(replid, offset),
            priority: 100,
            uncounted: false,
            keys: 0,
            saved: None,
            min_replicas_to_write: Some(0),
            version: None,
            appends: None,
        };
        (node(name), evidence)
    }

    fn seen(name: &str, role: Role, held: History) -> (NodeAddr, Sighting) {
        let (asked, run) = (NOW.before(Duration::from_millis(5)), RunId(name.into()));
        let (guarded, good_replicas, feeds) = (false, 0, Vec::new());
        (node(name), Sighting { asked, run, role, history: held, guarded, good_replicas, feeds })
    }

    fn replica(of: &str, link: Link) -> Role {
        Role::Replica { of: Some(node(of)), link, received: 0 }
    }

    fn gather(
        policy: Policy,
        progress: &Progress,
        seen: &[(NodeAddr, Sighting)],
    ) -> (String, Option<Instant>) {
        gather_since(Instant::from_millis(0), policy, progress, seen)
    }

    /// What is done where the epoch was published at `record_since`.
    fn gather_since(
        record_since: Instant,
        policy: Policy,
        progress: &Progress,
        seen: &[(NodeAddr, Sighting)],
    ) -> (String, Option<Instant>) {
        gather_of(&record(policy), record_since, progress, seen)
    }

    fn gather_of(
        record: &Topology,
        record_since: Instant,
        progress: &Progress,
        seen: &[(NodeAddr, Sighting)],
    ) -> (String, Option<Instant>) {
        let me = "m1".parse().expect("an id");
        let up = Ballot { vote: Vote::Up, since: NOW.before(Duration::from_secs(1)) };
        let own: Ballots = seen.iter().map(|(node, _)| (node.clone(), up)).collect();
        let peers = Peers::new();
        let electorate = Electorate {
            me: &me,
            own: &own,
            peers: &peers,
            registered: &record.monitors,
            policy: &record.policy,
        };
        let facts = Facts {
            now: NOW,
            record,
            record_since,
            electorate,
            sightings: &seen.iter().cloned().collect(),
            doubt: None,
            followed: &BTreeMap::new(),
            postponed_until: None,
            ceded: false,
            paused: false,
            ordered: false,
            frozen: None,
        };
        let planner = Planner { facts: &facts, version: Version::default(), progress };
        let (step, again) = planner.gather();
        (step.map_or_else(|| "nothing".to_owned(), |step| step.to_string()), again)
    }

    #[test]
    fn each_host_has_so_many_full_copies_begun_at_a_time_and_partial_ones_are_never_held_back() {
        let evidence =
            [frozen("h:1", "x", 5), frozen("h:2", "x", 5), frozen("h:3", "p", 100), frozen("g:1", "x", 5)];
        let progress = Progress { evidence: evidence.into(), ..Progress::default() };
        let (step, _) = gather(Policy::default(), &progress, &[]);
        assert_eq!(step, "follow m:1: h:1 h:3 g:1");
        let (step, _) = gather(Policy::default().with_parallel_syncs(2), &progress, &[]);
        assert_eq!(step, "follow m:1: h:1 h:2 h:3 g:1");
    }

    #[test]
    fn who_is_being_filled_or_was_just_told_to_follow_takes_its_hosts_turn() {
        let waiting = || Progress { evidence: [frozen("h:2", "x", 5)].into(), ..Progress::default() };
        let filled = |link| [seen("h:1", replica("m:1", link), history("x", 5))];
        let first = |progress: &Progress, link| gather(Policy::default(), progress, &filled(link));
        assert_eq!(first(&waiting(), Link::Syncing).0, "nothing");
        assert_eq!(first(&waiting(), Link::Up).0, "follow m:1: h:2");
        assert_eq!(first(&waiting(), Link::Down { seconds: 1 }).0, "follow m:1: h:2", "it takes no copy");
        let mut told = waiting();
        let since = NOW.before(Duration::from_secs(2));
        told.told.insert(node("h:1"), since);
        let begins = Some(since + SYNC_BEGINS);
        assert_eq!(first(&told, Link::Down { seconds: 1 }), ("nothing".to_owned(), begins), "it may yet");
        assert_eq!(first(&told, Link::Up).0, "follow m:1: h:2");
        told.told.insert(node("h:1"), NOW.before(SYNC_BEGINS));
        assert_eq!(first(&told, Link::Down { seconds: 1 }).0, "follow m:1: h:2", "it does not come to it");
    }

    #[test]
    fn who_is_told_again_for_its_clients_sake_waits_for_nobody_and_takes_its_hosts_turn() {
        let told = |name: &str, link, held: &str, progress: &Progress| {
            let (node, sighting) = seen(name, replica("m:1", link), history(held, 100));
            let mut record = record(Policy::default());
            record.unclosed.insert(node.clone(), RunId(name.into()));
            // That leader counted what it holds beyond, too.
            let divergence =
                Divergence { run: RunId(name.into()), left: None, bytes: None, keeping: Keeping::Discarded };
            record.diverged.extend((held == "x").then(|| (node.clone(), divergence)));
            gather_of(&record, Instant::from_millis(0), progress, &[(node, sighting)]).0
        };
        let waiting = || Progress { evidence: [frozen("h:2", "x", 5)].into(), ..Progress::default() };
        // A leader before this one told it, and this one knows of that only what it sees.
        let down = Link::Down { seconds: 0 };
        for (link, held) in [(Link::Syncing, "x"), (Link::Syncing, "p"), (down, "x")] {
            let both = [told("h:1", link, held, &waiting()), told("h:3", link, held, &waiting())];
            assert_eq!(
                both.map(|it| it.replace(", cutting off the clients of", ";")),
                ["follow m:1: h:1; h:1", "follow m:1: h:3; h:3"]
            );
        }
        let closes = "cutting off the clients of h:1";
        assert_eq!(told("h:1", Link::Up, "q", &waiting()), format!("follow m:1: h:1 h:2, {closes}"));
        assert_eq!(told("h:1", down, "p", &waiting()), format!("follow m:1: h:1 h:2, {closes}"));
        let mut told_before = waiting();
        told_before.told.insert(node("h:1"), NOW.before(TELL_AGAIN));
        assert_eq!(told("h:1", down, "p", &told_before), format!("follow m:1: h:1, {closes}"), "it may yet");
    }

    #[test]
    fn who_needs_no_full_copy_is_told_at_once_and_everybody_else_is_read_first() {
        let told = |role, held| gather(Policy::default(), &Progress::default(), &[seen("h:1", role, held)]).0;
        let down = || replica("g:1", Link::Down { seconds: 3 });
        assert_eq!(told(down(), history("p", 100)), "follow m:1: h:1");
        assert_eq!(told(down(), history("p", 101)), "demote h:1");
        assert_eq!(told(down(), history("x", 1)), "demote h:1");
        assert_eq!(told(replica("g:1", Link::Up), history("q", 120)), "follow m:1: h:1", "behind another");
        assert_eq!(told(replica("g:1", Link::Up), history("p", 90)), "demote h:1", "who feeds it may go on");
        assert_eq!(told(Role::Master { replicas: 0 }, history("p", 90)), "demote h:1", "it may take writes");
    }

    #[test]
    fn who_follows_another_that_lives_is_read_first_for_that_one_may_fill_it_at_any_moment() {
        let told = |of: &str| {
            let down = seen("h:1", replica(of, Link::Down { seconds: 3 }), history("p", 100));
            let alive = seen("h:2", replica("m:1", Link::Up), history("q", 120));
            gather(Policy::default(), &Progress::default(), &[down, alive]).0
        };
        assert_eq!(told("h:2"), "demote h:1");
        assert_eq!(told("g:1"), "follow m:1: h:1", "nothing is heard of that one");
        assert_eq!(told("127.0.0.1:1"), "follow m:1: h:1", "it was frozen");
    }

    #[test]
    fn what_was_frozen_in_another_life_or_is_frozen_no_more_is_read_again() {
        let progress = Progress { evidence: [frozen("h:1", "p", 100)].into(), ..Progress::default() };
        let told = |run: &str, role| {
            let (node, sighting) = seen("h:1", role, history("p", 100));
            let sighting = Sighting { run: RunId(run.into()), ..sighting };
            gather(Policy::default(), &progress, &[(node, sighting)]).0
        };
        assert_eq!(
            told("h:1", Role::Replica { of: None, link: Link::Down { seconds: 0 }, received: 0 }),
            "follow m:1: h:1"
        );
        assert_eq!(told("h:1", Role::Master { replicas: 0 }), "demote h:1");
        assert_eq!(told("another", Role::Master { replicas: 0 }), "demote h:1");
        assert_eq!(told("h:1", replica("g:1", Link::Syncing)), "demote h:1", "it is filled");
        assert_eq!(told("h:1", replica("x:1", Link::Up)), "demote h:1", "it takes in something else");
        assert_eq!(told("h:1", replica("127.0.0.1:1", Link::Down { seconds: 9 })), "follow m:1: h:1");
    }

    #[test]
    fn what_was_seen_in_another_life_before_the_publication_is_not_what_was_frozen() {
        let told = |demoted: u64| {
            let mut progress = Progress { evidence: [frozen("h:1", "p", 100)].into(), ..Progress::default() };
            progress.demoted.insert(node("h:1"), NOW.before(Duration::from_millis(demoted)));
            let down = Role::Replica { of: None, link: Link::Down { seconds: 0 }, received: 0 };
            let (node, sighting) = seen("h:1", down, history("p", 100));
            let sighting = Sighting { run: RunId("another".into()), ..sighting };
            let published = NOW.before(Duration::from_millis(1));
            gather_since(published, Policy::default(), &progress, &[(node, sighting)]).0
        };
        assert_eq!(told(9), "nothing", "it was started anew since, and is looked at again");
        assert_eq!(told(2), "follow m:1: h:1", "that was the life before");
    }

    #[test]
    fn who_was_seen_to_have_led_since_it_was_frozen_is_so_though_the_freeze_ended_later() {
        let mut progress = Progress { evidence: [frozen("h:1", "p", 100)].into(), ..Progress::default() };
        progress.demoted.insert(node("h:1"), NOW.before(Duration::from_millis(2)));
        let told = |replid: &str, previous: Option<(&str, u64)>| {
            let previous = previous.map(|(replid, from)| (ReplId(replid.into()), from));
            let held = History { previous, ..history(replid, 120) };
            gather(Policy::default(), &progress, &[seen("h:1", Role::Master { replicas: 0 }, held)]).0
        };
        assert_eq!(told("x", Some(("p", 101))), "nothing", "it went on from there, and is looked at again");
        assert_eq!(told("x", Some(("p", 100))), "follow m:1: h:1", "it came there later");
        assert_eq!(told("p", Some(("o", 1))), "follow m:1: h:1", "it led until it was frozen");
    }
}
