//! What CI enumerates, and that planted bugs are found.

use redis_failover_core::{Purpose, Step};

use super::group::address;
use super::*;

/// Nothing befalls the group any more but that these memories come back.
fn rules(back: &[Memory]) -> Rules {
    Rules {
        writes: 1,
        faults: 0,
        only: Fault::value_variants().to_vec(),
        back: back.to_vec(),
        quorum: 1,
        fencing: false,
        deposing: false,
        order: Order::Breadth,
        planted: None,
    }
}

/// The group when the client's write is on all nodes and has not been looked at, and node a has died.
fn just_dead(rules: &Rules) -> Group {
    let mut group = founded(rules).after(rules, Move::Follow).after(rules, Move::Write);
    while let Some(step) = group.moves(rules).into_iter().find(|step| matches!(step, Move::Receive(_))) {
        group = group.after(rules, step);
    }
    assert!((0..group::NODES).all(|node| group.writes(node) == 0b11), "{group:?}");
    group.rest.faults += 1;
    group.after(rules, Move::Die(0))
}

/// The same when m1 is about to do this.
fn about_to(rules: &Rules, is_it: impl Fn(&Step) -> bool) -> Group {
    let mut group = just_dead(rules);
    let begins = |group: &Group| group.monitors[0].running.as_ref().is_some_and(|it| is_it(&it.action.step));
    while !begins(&group) {
        group = group.undisturbed(rules).expect("m1 comes to it");
    }
    group
}

fn freezes(step: &Step) -> bool {
    matches!(step, Step::Freeze { .. })
}

fn promotes(step: &Step) -> bool {
    matches!(step, Step::Promote { .. })
}

fn publishes(step: &Step) -> bool {
    matches!(step, Step::Commit { purpose: Purpose::Publish, .. })
}

/// What is found in so many states.
fn found(rules: &Rules, begin: Group, states: usize) -> FoundOut {
    enumerate(rules, begin, |counts| counts.states >= states)
}

/// Plants a bug: it is found, this way, in at most so many states and in so many moves, and without it nothing is.
#[track_caller]
fn is_found(planted: Planted, rules: &Rules, begin: &Group, states: usize, expected: &Broken, moves: usize) {
    let with = Rules { planted: Some(planted), ..rules.clone() };
    let trail = found(&with, begin.clone(), states).trail.expect("the bug is found");
    assert_eq!((&trail.broken, trail.lines.len()), (expected, moves), "{:#?}", trail.lines);
    let clean = found(rules, begin.clone(), states);
    assert!(clean.trail.is_none(), "{:#?}", clean.trail);
    assert!(clean.complete || clean.counts.states >= states, "{:?}", clean.counts);
}

#[test]
fn a_freeze_that_freezes_nobody_is_found() {
    let rules = rules(&[Memory::Saved]);
    is_found(Planted::NoFreeze, &rules, &about_to(&rules, freezes), 1_500, &Broken::IntendedMoved, 6);
}

#[test]
fn a_promotion_that_is_not_bound_to_the_run_is_found() {
    let rules = Rules { faults: 1, ..rules(&[Memory::Saved]) };
    let begin = about_to(&rules, promotes);
    is_found(Planted::UnboundPromotion, &rules, &begin, 500, &Broken::PromotedAnotherLife, 3);
}

#[test]
fn an_open_promotion_is_found() {
    let rules = rules(&[]);
    let begin = about_to(&rules, freezes);
    is_found(Planted::OpenPromotion, &rules, &begin, 500, &Broken::TakesWritesUnpublished, 6);
}

#[test]
fn a_commit_without_the_lock_is_found() {
    let rules = Rules { faults: 1, ..rules(&[]) };
    let begin = about_to(&rules, freezes);
    is_found(Planted::UnfencedCommit, &rules, &begin, 1_000, &Broken::CommittedWithoutTheLock, 5);
}

#[test]
fn a_publication_of_what_was_not_read_is_found() {
    let rules = Rules { faults: 1, ..rules(&[]) };
    let begin = about_to(&rules, promotes);
    is_found(Planted::UnreadPublication, &rules, &begin, 500, &Broken::PublishedUnpromoted, 4);
}

#[test]
fn evidence_from_a_probe_is_found() {
    let rules = rules(&[]);
    let begin = just_dead(&rules).after(&rules, Move::Restart(0, Memory::Nothing));
    is_found(Planted::StaleEvidence, &rules, &begin, 2_000, &Broken::IntendedMoved, 6);
}

#[test]
fn a_monitor_that_begins_without_asking_for_its_lead_is_found() {
    let rules = Rules { faults: 1, ..rules(&[]) };
    let begin = about_to(&rules, publishes);
    is_found(Planted::UnaskedLead, &rules, &begin, 500, &Broken::BegunWithoutTheLead, 3);
}

#[test]
fn a_lock_that_is_removed_without_a_quorum_is_found() {
    let rules = Rules { faults: 1, quorum: 2, deposing: true, ..rules(&[]) };
    is_found(Planted::DeposesAlone, &rules, &founded(&rules), 2_000, &Broken::DeposedAlone, 2);
}

#[test]
fn a_deposed_leader_is_not_heard_where_the_next_one_was() {
    let rules = Rules { faults: 1, deposing: true, ..rules(&[]) };
    let mut group = about_to(&rules, freezes).after(&rules, Move::Doubt(1));
    let of_m2 = |step: &Move| {
        let sees = matches!(step, Move::Look(1, _) | Move::LookAll(1) | Move::Read(1) | Move::Hear(1));
        sees || matches!(step, Move::Visit(1, _) | Move::Finish(1) | Move::Lead(1))
    };
    let freezing =
        |group: &Group| group.monitors[1].running.as_ref().is_some_and(|it| freezes(&it.action.step));
    while !freezing(&group) {
        let step = group.moves(&rules).into_iter().find(of_m2).expect("m2 comes to it");
        group = group.after(&rules, step);
    }
    assert!(group.is_deposed(0), "{group:?}");
    let group = group.after(&rules, Move::Visit(1, 1));
    let heard = |node: usize| {
        let after = group.after(&rules, Move::Visit(0, node));
        after.monitors[0].running.as_ref().is_some_and(|it| it.said[node].is_some())
    };
    assert_eq!((heard(1), heard(2)), (false, true), "c has not seen m2 yet");
}

/// The lock of a leader that died stands until the other removes it.
#[test]
fn a_leader_that_died_is_deposed() {
    let rules = Rules { faults: 1, deposing: true, ..rules(&[]) };
    let dead = founded(&rules).after(&rules, Move::Kill(0));
    assert_eq!(dead.rest.lock.map(|(leader, _)| leader), Some(0));
    let mut group = dead;
    while let Some(next) = group.undisturbed(&rules) {
        group = next;
    }
    assert_eq!(group.rest.lock.map(|(leader, _)| leader), Some(1));
}

/// The group when all is well, the master is fenced, and one replica has died; the other may.
fn last_replica(rules: &Rules) -> Group {
    let mut group = founded(rules).after(rules, Move::Die(2));
    while let Some(next) = group.undisturbed(rules) {
        group = next;
    }
    assert_eq!(group.nodes[0].server.min_replicas_to_write, 1, "{group:?}");
    group
}

#[test]
fn a_master_that_is_not_let_go_on_alone_is_found() {
    let rules = Rules { faults: 2, fencing: true, ..rules(&[]) };
    let begin = last_replica(&rules);
    let expected = Broken::Amiss(Amiss::NotLetGo);
    is_found(Planted::UntoldLettingGo, &rules, &begin, 1_000, &expected, 26);
}

/// What `redis_admin::freeze` does today: a master that is back after the freeze was begun, and answers it, is promoted
/// open. When that is mended this stands for a planted bug like the others.
#[test]
fn a_node_that_only_answers_the_freeze_is_promoted_open() {
    let rules = rules(&[Memory::Saved]);
    let begin = about_to(&rules, freezes).after(&rules, Move::Restart(0, Memory::Saved));
    is_found(Planted::UnaskedNumber, &rules, &begin, 2_000, &Broken::TakesWritesUnpublished, 8);
}

/// A master is back with an older snapshot, and both replicas have begun to ask it for a copy when they are frozen:
/// they hold all that it lacks, and one of them leads. That was not so once: the enumeration found it.
#[test]
fn a_master_that_is_back_with_less_does_not_win_over_replicas_that_have_all() {
    let rules = rules(&[]);
    let begin = just_dead(&rules).after(&rules, Move::Restart(0, Memory::Older));
    let out = found(&rules, begin, 20_000);
    assert!(out.trail.is_none(), "{:#?}", out.trail);
    assert!(out.counts.states >= 20_000, "{:?}", out.counts);
}

/// All of this is complete: whatever else happens first.
#[test]
fn one_fault_without_a_return_is_survived_whatever_happens_first() {
    let kinds = [(1, 1, false), (1, 2, false), (2, 1, false), (1, 1, true), (1, 2, true), (2, 1, true)];
    let deposing = kinds.into_iter().map(|kind| (kind, true));
    for ((quorum, writes, fencing), deposing) in kinds.into_iter().map(|kind| (kind, false)).chain(deposing) {
        let rules = Rules { faults: 1, quorum, writes, fencing, deposing, ..rules(&[]) };
        let all = enumerate(&rules, founded(&rules), |_| false);
        assert!(all.trail.is_none(), "{:#?}", all.trail);
        assert!(all.complete && all.counts.ends > 10 && all.counts.states > 1_000, "{:?}", all.counts);
    }
}

/// As much of the whole as takes a few seconds.
#[test]
fn nothing_is_broken_near_the_beginning() {
    let all = Memory::value_variants();
    for (faults, order, fencing) in [
        (1, Order::Breadth, false),
        (2, Order::Depth, false),
        (1, Order::Breadth, true),
        (2, Order::Depth, true),
    ] {
        let rules = Rules { faults, fencing, order, ..rules(all) };
        let out = found(&rules, founded(&rules), 10_000);
        assert!(out.trail.is_none(), "{:#?}", out.trail);
        assert!(out.counts.states >= 10_000, "{:?}", out.counts);
    }
}

#[test]
fn a_trail_says_what_happened_in_words() {
    let rules = Rules { planted: Some(Planted::OpenPromotion), ..rules(&[]) };
    let trail = found(&rules, about_to(&rules, promotes), 100).trail.expect("the bug is found");
    let last = trail.lines.last().expect("a move");
    assert!(last.ends_with("m1's action is carried out at b (promote b:6379)"), "{last}");
    assert_eq!(address(1).to_string(), "b:6379");
}

/// Nobody writes, and nothing befalls anybody.
fn nothing() -> Options {
    let (only, back, order) = (Vec::new(), Vec::new(), Order::Breadth);
    let (writes, faults, quorum, minutes) = (0, 0, 1, 1);
    let (no_return, fencing, deposing) = (false, false, false);
    Options { writes, faults, only, back, no_return, quorum, fencing, deposing, order, states: None, minutes }
}

#[test]
fn nodes_come_back_unless_that_is_left_out() {
    let ends = |no_return| {
        let faults = 1;
        run(&Options { faults, only: vec![Fault::Die], no_return, states: Some(2_000), ..nothing() }).complete
    };
    assert!(ends(true) && !ends(false), "what is back makes many more states");
}

#[test]
fn what_was_enumerated_is_told_to_people_and_programs() {
    let options = Options { writes: 1, ..nothing() };
    let summary = run(&options);
    assert!(summary.complete && summary.broken.is_none(), "{summary}");
    let text = summary.to_string();
    assert!(text.contains("states, ") && text.ends_with("no promise was broken"), "{text}");
    let json = summary.json();
    assert_eq!((&json["states"], &json["complete"]), (&summary.counts.states.into(), &true.into()), "{json}");

    let broken = Some((Broken::Amiss(Amiss::NoLeader), vec!["a move".to_owned()]));
    let text = Summary { broken, ..summary }.to_string();
    assert!(text.ends_with("BROKEN: at the end nobody leads, after 1 moves:\na move"), "{text}");
}
