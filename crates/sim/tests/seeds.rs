//! What CI plays: the same seed twice, and every planted bug.

use redis_failover_sim::bugs::BUGS;
use redis_failover_sim::check::INVARIANTS;
use redis_failover_sim::{World, find, scripts};

/// The seeds that find the bugs that no script finds, to be tried first. After a change of the core or of the simulator
/// others may: `cargo run -p redis-failover-sim -- bugs` names them.
const KNOWN: [u64; 12] = [14, 19, 28, 31, 51, 57, 96, 101, 114, 165, 440, 542];

/// How many other seeds are tried for a planted bug.
const SEEDS: u64 = 500;

#[test]
fn the_same_seed_makes_the_same_world() {
    for seed in 0..20 {
        let once = World::new(seed, None, false).play();
        let mut traced = World::new(seed, None, true);
        assert_eq!(once, traced.play(), "seed {seed}");
        assert!(once.events > 1_000 && !traced.trace().is_empty(), "seed {seed} is a world");
    }
    let digests: std::collections::BTreeSet<_> =
        (0..20).map(|seed| World::new(seed, None, false).play().digest).collect();
    assert_eq!(digests.len(), 20, "other seeds are other worlds");
}

#[test]
fn scripts_break_nothing() {
    for script in scripts::all() {
        let outcome = World::scripted(&script, None, false).play();
        assert_eq!(outcome.violation, None, "{}", script.name);
        assert!(outcome.counts.acknowledged > 300, "{} has clients", script.name);
    }
}

#[test]
fn operators_switch_over_in_the_middle_of_faults_and_while_all_is_well() {
    let (mut done, mut refused, mut epochs, mut alone) = (0, 0, 0, 0);
    for seed in 0..30 {
        let counts = World::new(seed, None, false).play().counts.switchovers;
        (done, refused) = (done + counts.done, refused + counts.refused);
        (epochs, alone) = (epochs + counts.epochs, alone + counts.alone);
    }
    assert!(done > 10 && refused > 10, "{done} were done, {refused} refused");
    assert!(epochs > 10 && alone > 10, "{epochs} epochs, {alone} asked for while all was well");
}

#[test]
fn operators_give_orders_that_are_carried_out_and_that_are_refused() {
    let (mut done, mut refused, mut epochs) = (0, 0, 0);
    for seed in 0..60 {
        let counts = World::new(seed, None, false).play().counts.orders;
        (done, refused, epochs) = (done + counts.0, refused + counts.1, epochs + counts.2);
    }
    assert!(done > 100 && refused > 20 && epochs > 3, "{done} done, {refused} refused, {epochs} epochs");
}

#[test]
fn planted_bugs_are_found_for_their_own_reason() {
    assert!(BUGS.len() >= 16);
    let seeds = || KNOWN.into_iter().chain(0..SEEDS);
    let unfound: Vec<_> = BUGS.iter().filter(|bug| find(**bug, seeds()).is_none()).collect();
    assert!(unfound.is_empty(), "not in {SEEDS} seeds: {unfound:?}");
}

#[test]
fn every_bug_breaks_an_invariant_that_is_listed() {
    for bug in BUGS {
        assert!(INVARIANTS.iter().any(|it| it.name == bug.invariant()), "{bug:?}");
    }
}
