//! Which messages the difference of two looks makes.

use redis_failover_core::{Change, Epoch, Intent, Member, Policy, Reason, ReplId, RunId, Topology, Verdict};

use super::super::view::Sentinel;
use super::*;
use crate::observed::Seen;

fn node(name: &str) -> NodeAddr {
    NodeAddr::new(name, 6379)
}

/// A group of three with which nothing is wrong; `a` leads.
fn sound() -> View {
    let record = Topology {
        master_run: Some(RunId("r1".into())),
        members: ["a", "b", "c"].map(|name| Member { addr: node(name), ok: true }).into(),
        monitors: ["m1", "m2", "m3"].map(|id| id.parse().expect("an id")).into(),
        fenced: true,
        ..Topology::new(Epoch(7), node("a"), Policy::default())
    };
    let sentinel =
        |id: &str| (id.to_owned(), Sentinel { address: NodeAddr::new(id, 26379), heard: Instant::now() });
    let sentinels = ["s1", "s2"].map(sentinel).into();
    View { name: "g".into(), record, sentinels, alive: 3, verdict: Verdict::Up }
}

fn failing_over(view: &mut View, reason: Reason, to: &str) {
    let intent = Intent { node: node(to), run: RunId("r2".into()), replid: ReplId("i".into()), offset: 1 };
    view.record.epoch = Epoch(view.record.epoch.0 + 1);
    view.record.phase = Phase::FailingOver(Change { reason, votes: BTreeMap::new(), intent, opening: None });
    view.record.members[0].ok = false;
}

fn led_by(view: &mut View, master: &str) {
    view.record.phase = Phase::Steady;
    view.record.master = node(master);
    view.record.master_run = Some(RunId("r2".into()));
}

/// One who was told of a sound group, and what he hears of each change after that.
struct Told {
    teller: Teller,
    view: View,
    observed: Observed,
}

impl Told {
    fn of_a_sound_group() -> Self {
        let mut told = Self { teller: Teller::new("s1".into()), view: sound(), observed: Observed::new() };
        assert_eq!(
            told.after(|_| {}),
            [
                "+monitor master g a 6379 quorum 2",
                "+slave slave b:6379 b 6379 @ g a 6379",
                "+slave slave c:6379 c 6379 @ g a 6379",
                "+sentinel sentinel s2 s2 26379 @ g a 6379"
            ]
        );
        assert_eq!(told.after(|_| {}), [""; 0], "nothing changed");
        told
    }

    fn after(&mut self, change: impl FnOnce(&mut View)) -> Vec<String> {
        change(&mut self.view);
        self.look(false)
    }

    fn look(&mut self, cut_off: bool) -> Vec<String> {
        let messages = self.teller.look(Some(self.view.clone()), &self.observed, cut_off);
        messages.into_iter().map(|it| format!("{} {}", it.channel, it.payload)).collect()
    }
}

#[test]
fn a_failover_is_told_step_by_step() {
    let mut told = Told::of_a_sound_group();
    let down = told.after(|view| view.verdict = Verdict::Down(Reason::Refused));
    assert_eq!(down, ["+sdown master g a 6379", "+odown master g a 6379 #quorum 2/2"]);
    assert_eq!(
        told.after(|view| failing_over(view, Reason::Refused, "c")),
        [
            "+new-epoch 8",
            "+try-failover master g a 6379",
            "+elected-leader master g a 6379",
            "+failover-state-select-slave master g a 6379",
            "+selected-slave slave c:6379 c 6379 @ g a 6379",
            "+failover-state-send-slaveof-noone slave c:6379 c 6379 @ g a 6379",
            "+failover-state-wait-promotion slave c:6379 c 6379 @ g a 6379",
        ]
    );
    let published = told.after(|view| {
        led_by(view, "c");
        view.verdict = Verdict::Up;
    });
    assert_eq!(
        published,
        [
            "+promoted-slave slave c:6379 c 6379 @ g a 6379",
            "+failover-state-reconf-slaves master g a 6379",
            "+failover-end master g a 6379",
            "+switch-master g a 6379 c 6379",
            "+slave slave a:6379 a 6379 @ g c 6379",
            "+slave slave b:6379 b 6379 @ g c 6379",
            "+sdown slave a:6379 a 6379 @ g c 6379",
        ]
    );
    // Who follows is told once it was seen.
    let role = |of: &str, link| Role::Replica { of: Some(node(of)), link, received: 1 };
    for (seen, told_so) in
        [(role("a", Link::Up), false), (role("c", Link::Syncing), false), (role("c", Link::Up), true)]
    {
        told.observed.insert(node("b"), Seen { role: Some((seen, Instant::now())), ..Seen::default() });
        let (done, too) = ("+slave-reconf-done", "+replica-reconf-done");
        let whom = "slave b:6379 b 6379 @ g c 6379";
        let wanted = if told_so { vec![format!("{done} {whom}"), format!("{too} {whom}")] } else { vec![] };
        assert_eq!(told.look(false), wanted);
    }
    assert_eq!(told.look(false), [""; 0]);
    let back = told.after(|view| view.record.members[0].ok = true);
    assert_eq!(back, ["-sdown slave a:6379 a 6379 @ g c 6379"]);
}

#[test]
fn a_failover_that_is_seen_at_once_tells_first_that_the_master_is_down() {
    let heard = Told::of_a_sound_group().after(|view| failing_over(view, Reason::Silent, "b"));
    let down = ["+sdown master g a 6379", "+odown master g a 6379 #quorum 2/2", "+new-epoch 8"];
    assert_eq!(heard[..3], down);
}

#[test]
fn a_change_that_was_over_before_it_was_seen_is_told_whole() {
    let mut told = Told::of_a_sound_group();
    let heard = told.after(|view| {
        view.record.epoch = Epoch(9);
        led_by(view, "b");
    });
    let word = |message: &String| message.split(' ').next().unwrap_or_default().to_owned();
    let words: Vec<_> = heard.iter().map(word).collect();
    assert_eq!(words[..2], ["+new-epoch", "+try-failover"]);
    assert_eq!(heard.iter().filter(|it| *it == "+switch-master g a 6379 b 6379").count(), 1);
    let place = |wanted: &str| words.iter().position(|word| word == wanted).expect("it is told");
    assert!(place("+selected-slave") < place("+promoted-slave"));
    assert!(place("+promoted-slave") < place("+switch-master"));
}

#[test]
fn a_switchover_tells_nobody_that_the_master_is_down_and_one_that_is_given_up_switches_nothing() {
    for reason in [Reason::Demoted, Reason::Restarted, Reason::Ordered, Reason::Other] {
        let begun = Told::of_a_sound_group().after(|view| failing_over(view, reason, "b"));
        assert!(begun.len() == 7 && begun.iter().all(|it| !it.contains("down")), "{begun:?}");
    }
    let mut told = Told::of_a_sound_group();
    let begun = told.after(|view| failing_over(view, Reason::Switchover, "b"));
    assert!(begun.len() == 7 && begun.iter().all(|it| !it.contains("down")), "{begun:?}");
    let back = told.after(|view| {
        view.record.epoch = Epoch(9);
        view.record.phase = Phase::Steady;
        view.record.members[0].ok = true;
    });
    assert_eq!(back, ["+new-epoch 9", "-failover-abort-slave-timeout master g a 6379"]);
}

#[test]
fn what_else_changes_is_told_in_sentinel_s_words() {
    let mut told = Told::of_a_sound_group();
    let lost = told.after(|view| view.record.members[1].ok = false);
    assert_eq!(lost, ["+sdown slave b:6379 b 6379 @ g a 6379"]);
    let found = told.after(|view| view.record.members.push(Member { addr: node("d"), ok: true }));
    assert_eq!(found, ["+slave slave d:6379 d 6379 @ g a 6379"]);
    let restarted = told.after(|view| view.record.master_run = Some(RunId("r3".into())));
    assert_eq!(restarted, ["+reboot master g a 6379"]);
    let set = told.after(|view| view.record.policy = view.record.policy.clone().with_parallel_syncs(3));
    assert_eq!(set, ["+set master g a 6379 parallel-syncs 3"]);
    let gone = told.after(|view| drop(view.sentinels.remove("s2")));
    assert_eq!(gone, ["+sdown sentinel s2 s2 26379 @ g a 6379"]);
    let sentinel = Sentinel { address: NodeAddr::new("s2", 26379), heard: Instant::now() };
    let back = told.after(|view| drop(view.sentinels.insert("s2".into(), sentinel)));
    assert_eq!(back, ["-sdown sentinel s2 s2 26379 @ g a 6379"]);
    let own = told.after(|view| drop(view.sentinels.remove("s1")));
    assert_eq!(own, [""; 0], "of itself a Sentinel tells nothing");
    let moved = told.after(|view| {
        let address = NodeAddr::new("t2", 26379);
        view.sentinels.insert("s2".into(), Sentinel { address, heard: Instant::now() });
    });
    assert_eq!(moved, ["+sentinel-address-switch sentinel s2 t2 26379 @ g a 6379"]);
}
