//! The model of a Redis server and real servers play the same scripts, and must look alike after every line.
//!
//! Compared are each server's role, master, link, replicas and keys, its history and the one before it, its offset, how
//! many resynchronisations it granted, whole and partial, and what clients are told. Names of histories and offsets are
//! compared as `view` says: which are the same, and which is greater. The model does as each version does; where
//! another number of resynchronisations comes of that, the script says so.
//!
//! Never compared is how long anything takes: the model's driver here knows no delay.

mod model;
mod real;
mod script;
mod view;

use std::collections::BTreeMap;
use std::time::Duration;

use redis_failover_lab::{Flavour, eventually};

use model::Model;
use real::Real;
use view::{Memory, Resyncs};

/// A replica without a link tries again once a second.
const DEADLINE: Duration = Duration::from_secs(15);

/// Makes a test of each script, on each version.
macro_rules! scripts {
    ($($name:ident)*) => {
        scripts!(@on installed, Flavour::Installed, $($name)*);
        scripts!(@on redis_6_2, Flavour::Redis62, $($name)*);
        scripts!(@on valkey_9_1, Flavour::Valkey91, $($name)*);
    };
    (@on $version:ident, $flavour:expr, $($name:ident)*) => {
        mod $version {
            use redis_failover_lab::Flavour;
            $(
                #[test]
                fn $name() {
                    super::play($flavour, include_str!(concat!("scripts/", stringify!($name), ".txt")));
                }
            )*
        }
    };
}

scripts! {
    a_first_replica_renames_the_history
    a_promotion
    an_old_master_returns
    a_frozen_server
    a_fresh_server_that_was_frozen
    a_server_that_nobody_follows
    promoted_twice
    a_master_restarts
    a_master_returns_empty
    a_replica_restarts
    restarts_with_a_log
    a_chain
    a_short_backlog
    writes_that_are_refused_or_held
    a_replica_that_hangs
}

/// Plays a script on the model and on real servers of this version.
fn play(flavour: Flavour, script: &str) {
    let is_6_2 = flavour == Flavour::Redis62;
    let (mut model, mut real) = (Model::new(is_6_2), Real::new(flavour));
    let (mut of_model, mut of_real) = (Memory::default(), Memory::default());
    for line in script::parse(script) {
        let before = model.resyncs();
        let (mut told, mut really_told) = (Vec::new(), Vec::new());
        for (name, verb) in &line.commands {
            told.extend(model.act(name, verb));
            really_told.extend(real.act(name, verb));
        }
        assert_eq!(told.join(", "), really_told.join(", "), "what clients are told at `{}`", line.text);
        told.extend(granted(&before, &model.resyncs()));
        assert_eq!(told.join(", "), line.outcome(flavour), "the outcome of `{}`", line.text);
        let wanted = of_model.describe(&model.look());
        of_real = eventually(DEADLINE, &format!("they agree after `{}`", line.text), || {
            agree(&wanted, &real, &of_real)
        });
    }
    // What happens late shows in the counters, once everybody's replication has been looked after again.
    let end = real.uptime().expect("one is up") + 2;
    eventually(DEADLINE, "two seconds have passed", || {
        let uptime = real.uptime()?;
        if uptime >= end { Ok(()) } else { Err(format!("it is up {uptime} s")) }
    });
    agree(&of_model.describe(&model.look()), &real, &of_real).expect("they still agree");
}

/// Whether the servers look as they should. Returns what was seen, in mind.
fn agree(wanted: &str, real: &Real, memory: &Memory) -> Result<Memory, String> {
    let mut memory = memory.clone();
    let seen = memory.describe(&real.look()?);
    if seen == wanted { Ok(memory) } else { Err(format!("model:\n{wanted}server:\n{seen}")) }
}

/// The resynchronisations since then, of all servers together.
fn granted(before: &BTreeMap<String, Resyncs>, after: &BTreeMap<String, Resyncs>) -> Vec<String> {
    let mut sums = [("full", 0), ("partial", 0), ("refused", 0)];
    for (name, now) in after {
        let then = before.get(name).copied().unwrap_or_default();
        for ((_, sum), (now, then)) in sums.iter_mut().zip(now.counts().into_iter().zip(then.counts())) {
            *sum += now.saturating_sub(then);
        }
    }
    sums.into_iter().filter(|(_, count)| *count > 0).map(|(kind, count)| format!("{count} {kind}")).collect()
}

#[test]
fn names_and_offsets_are_compared_by_order_and_equality() {
    let seen = |replid: &str, offset, previous: Option<(&str, u64)>| view::Seen {
        name: "a".to_owned(),
        role: "master".to_owned(),
        replicas: Vec::new(),
        keys: 0,
        replid: replid.to_owned(),
        offset,
        previous: previous.map(|(replid, end)| (replid.to_owned(), end)),
        resyncs: Resyncs::default(),
    };
    let told = |all: [view::Seen; 2]| Memory::default().describe(&all);
    let pair = told([seen("x", 7, None), seen("x", 9, None)]);
    assert_eq!(pair, told([seen("y", 40, None), seen("y", 80, None)]));
    assert_ne!(pair, told([seen("y", 40, None), seen("z", 80, None)]), "the names are two");
    assert_ne!(pair, told([seen("y", 40, None), seen("y", 40, None)]), "the offsets are the same");
    assert_ne!(pair, told([seen("y", 80, None), seen("y", 40, None)]), "the order is another");
    let parted = told([seen("x", 7, None), seen("y", 9, Some(("x", 8)))]);
    assert_ne!(parted, told([seen("x", 7, None), seen("y", 9, Some(("x", 9)))]), "it parted elsewhere");
    assert_ne!(parted, told([seen("x", 7, None), seen("y", 9, None)]), "it has no past");
    assert!(parted.contains("at B1 after A0"), "{parted}");
}
