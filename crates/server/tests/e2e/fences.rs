//! A master that is cut off closes by itself, and one that loses its replicas is let go on.

use std::time::{Duration, Instant};

use redis_failover_lab::{Redis, Reply, ensure_eq, eventually};

use crate::network::{begin, replicas};
use crate::world::{DEADLINE, Group, Servers, hold_for};
use crate::writer::{Writer, assert_sound};

/// How long a cut-off master may take writes: replicas that have said nothing for more than two whole seconds count no
/// more, Redis counts once a second, and a busy machine is a little late.
const CLOSED_AFTER: Duration = Duration::from_millis(4_500);

pub(crate) fn number(redis: &Redis) -> Result<String, String> {
    match redis.command(&["CONFIG", "GET", "min-replicas-to-write"])?.into_result()? {
        Reply::Array(pair) => Ok(format!("{:?}", pair.get(1))),
        other => Err(format!("{other:?}")),
    }
}

pub(crate) fn await_number(group: &Group, node: usize, wanted: &str) {
    eventually(DEADLINE, &format!("node {node} carries {wanted}"), || {
        ensure_eq(number(&group.redis[node])?, format!("Some(Bulk({wanted:?}))"))
    });
}

#[test]
fn a_master_cut_off_from_everyone_takes_no_write_after_some_seconds() {
    let servers = Servers::start();
    let (group, writer) = begin(&servers, "/redis/fenced");
    await_number(&group, 0, "1");
    // A client on its side, which hears of nothing.
    let mut stranger = group.redis[0].connect().expect("it lives");
    group.redis[0].link().all().hold();
    let cut = Instant::now();
    let mut write = || stranger.command(&["SET", "stray", "yes"]);
    let closed = eventually(DEADLINE, "it takes no write any more", || match write()? {
        Reply::Error(text) if text.contains("NOREPLICAS") => Ok(cut.elapsed()),
        other => Err(format!("{other:?}")),
    });
    println!("closed after {closed:?}");
    assert!(closed < CLOSED_AFTER, "{closed:?}");
    let master = group.await_successor(&servers, 0);
    await_number(&group, master, "1");
    hold_for(Duration::from_secs(1), "it stays closed", || match write()? {
        Reply::Error(text) if text.contains("NOREPLICAS") => Ok(()),
        other => Err(format!("{other:?}")),
    });
    writer.write_more();
    group.redis[0].link().all().release();
    group.await_steady(&servers, master);
    await_number(&group, 0, "0");
    assert_sound(&writer.finish(&group.redis[master]), 1, 2);
}

/// Of two nodes, too: who has lost its only replica is let go on by the leader, and fenced again when that is back.
#[test]
fn a_master_that_loses_its_last_replica_is_let_go_on() {
    let servers = Servers::start();
    let redis = (0..2).map(|_| Redis::builder().option("repl-diskless-sync-delay", "0").start());
    let mut group = Group::of("/redis/two", redis.collect());
    group.start_monitors(&servers);
    group.await_steady(&servers, 0);
    let writer = Writer::start(&servers, &group, "two");
    for _ in 0..3 {
        await_number(&group, 0, "1");
        group.redis[1].kill();
        await_number(&group, 0, "0");
        writer.write_more();
        group.redis[1].restart();
        group.await_steady(&servers, 0);
    }
    await_number(&group, 0, "1");
    assert_eq!(group.status(&servers).expect("a status")["epoch"], 1);
    let balance = writer.finish(&group.redis[0]);
    assert!(balance.lost == 0 && balance.unknown == 0, "{balance:?}");
    assert!(balance.gap < Duration::from_secs(2), "{balance:?}");
}

/// Replication fails and nothing else: the master goes on, and its replicas do not lead when it dies.
#[test]
fn who_was_left_behind_does_not_lead_and_is_good_again_once_it_is_in_step() {
    let servers = Servers::start();
    let (mut group, writer) = begin(&servers, "/redis/left");
    await_number(&group, 0, "1");
    replicas(&group).hold();
    await_number(&group, 0, "0");
    writer.write_more();
    writer.pause();
    let last = writer.acknowledged();
    group.redis[0].kill();
    eventually(DEADLINE, "the group waits for its master", || {
        let waits = group.logged("the master went on without it");
        if waits > 0 { Ok(()) } else { Err("it does not say so") }
    });
    hold_for(Duration::from_secs(2), "nobody else leads", || {
        ensure_eq(group.status(&servers)?["epoch"].as_u64(), Some(1))
    });
    assert!(last > 2_000, "{last} writes, which only it has");
    replicas(&group).release();
    // It comes back with nothing: who was left behind is the best there is now.
    group.redis[0].restart();
    let master = eventually(DEADLINE, "somebody leads", || {
        let status = group.status(&servers)?;
        let leads = |node: &usize| status["master"] == group.address(*node).as_str();
        let master = (1..3).find(leads).filter(|_| status["phase"] == "steady");
        master.ok_or_else(|| status.to_string())
    });
    group.await_steady(&servers, master);
    await_number(&group, master, "1");
    writer.resume();
    writer.write_more();
    let balance = writer.finish(&group.redis[master]);
    println!("of {last} writes {} are lost with the only node that had them", balance.lost);
    assert!(balance.lost <= last, "{balance:?}");
}

#[test]
fn an_operators_own_number_is_kept() {
    let servers = Servers::start();
    let redis = (0..3).map(|_| {
        Redis::builder()
            .option("repl-diskless-sync-delay", "0")
            .option("min-replicas-to-write", "2")
            .option("min-replicas-max-lag", "7")
            .start()
    });
    let mut group = Group::of("/redis/own", redis.collect());
    group.start_monitors(&servers);
    group.await_steady(&servers, 0);
    group.redis[2].kill();
    hold_for(Duration::from_secs(2), "its own number stands", || {
        ensure_eq(number(&group.redis[0])?, "Some(Bulk(\"2\"))".to_owned())
    });
    group.redis[2].restart();
    group.await_steady(&servers, 0);
    group.redis[0].kill();
    let master = group.await_successor(&servers, 0);
    group.redis[0].restart();
    group.await_steady(&servers, master);
    await_number(&group, master, "2");
}

#[test]
fn without_the_fence_the_number_is_left_alone() {
    let servers = Servers::start();
    let mut group = Group::fresh("/redis/unfenced");
    group.flags = vec!["--fencing", "off"];
    group.start_monitors(&servers);
    group.await_steady(&servers, 0);
    hold_for(Duration::from_secs(2), "no number is set", || {
        ensure_eq(number(&group.redis[0])?, "Some(Bulk(\"0\"))".to_owned())
    });
}
