//! Networks that fail for some and not for others, and change no master. Each test shows first that the doubt was
//! there, and then that time enough has passed for a mistake.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use redis_failover_lab::{Traffic, ensure_eq, eventually};

use crate::world::{DEADLINE, Group, Servers, source_of_monitor, source_of_node};
use crate::writer::{Balance, Writer};

/// Longer than any monitor waits before it acts upon what it sees.
const LONGER_THAN_PATIENCE: Duration = Duration::from_secs(3);

/// A group behind links with a writer, as it should be.
pub(crate) fn begin(servers: &Servers, path: &str) -> (Group, Writer) {
    let mut group = Group::linked(path);
    group.start_monitors(servers);
    group.await_steady(servers, 0);
    let writer = Writer::start(servers, &group, path);
    (group, writer)
}

pub(crate) const MONITORS: [&str; 3] = ["m1", "m2", "m3"];

/// What these monitors and node 0 say to each other.
pub(crate) fn monitors<'a>(group: &'a Group, ids: &[&str]) -> Traffic<'a> {
    group.redis[0].link().of(ids.iter().map(|id| source_of_monitor(id)))
}

/// What both replicas of node 0 and it say to each other.
pub(crate) fn replicas(group: &Group) -> Traffic<'_> {
    group.redis[0].link().of([1, 2].map(source_of_node))
}

/// What node 0 says to monitors and replicas and they to it: all but the clients.
pub(crate) fn monitors_and_replicas(group: &Group) -> Traffic<'_> {
    let nodes = [1, 2].map(source_of_node);
    group.redis[0].link().of(MONITORS.iter().map(|id| source_of_monitor(id)).chain(nodes))
}

/// Waits until `blind` say `vote` of node `index`, and the other monitors that they reach it.
pub(crate) fn await_votes(servers: &Servers, group: &Group, index: usize, blind: &[&str], vote: &str) {
    let wanted = |id: &&str| ((*id).to_owned(), if blind.contains(id) { vote } else { "up" }.to_owned());
    let wanted = MONITORS.iter().map(wanted).collect();
    eventually(DEADLINE, &format!("{blind:?} vote {vote}"), || {
        ensure_eq(&group.votes(servers, index)?, &wanted).map(drop)
    });
}

/// Asserts that node 0 stays the master of epoch 1, published as OK, for longer than any monitor waits.
fn assert_left_alone(servers: &Servers, group: &Group) {
    let begun = Instant::now();
    eventually(DEADLINE, "longer than patience passes", || {
        let status = group.status(servers)?;
        let is = (status["epoch"].as_u64(), status["master"].as_str(), status["phase"].as_str());
        assert_eq!(is, (Some(1), Some(group.redis[0].addr().as_str()), Some("steady")));
        assert_eq!(status["nodes"][0]["ok"], true, "{status}");
        if begun.elapsed() > LONGER_THAN_PATIENCE { Ok(()) } else { Err("not yet".to_owned()) }
    });
}

/// Ends the writer: it must not have noticed anything.
fn assert_unnoticed(writer: Writer, group: &Group) {
    writer.write_more();
    let Balance { lost, unknown, gap, .. } = writer.finish(&group.redis[0]);
    assert_eq!((lost, unknown), (0, 0));
    assert!(gap < Duration::from_millis(1_500), "{gap:?}");
}

/// Whether the leader has said that it leaves the master alone, more often than `before`.
fn await_witness(group: &Group, before: usize) -> usize {
    eventually(DEADLINE, "a witness speaks", || {
        let said = group.logged("still hears it: left alone");
        if said > before { Ok(said) } else { Err("not yet") }
    })
}

#[test]
fn one_blind_monitor_replaces_nobody_not_even_the_leader() {
    let servers = Servers::start();
    let (group, writer) = begin(&servers, "/redis/one-blind");
    let leader = group.leader(&servers);
    let other = MONITORS.into_iter().find(|id| *id != leader).expect("there are three");
    for blind in [leader.as_str(), other] {
        monitors(&group, &[blind]).hold();
        await_votes(&servers, &group, 0, &[blind], "silent");
        assert_left_alone(&servers, &group);
        monitors(&group, &[blind]).release();
        await_votes(&servers, &group, 0, &[], "");
    }
    assert_unnoticed(writer, &group);
}

#[test]
fn a_leader_that_alone_loses_the_master_with_its_replicas_leaves_the_lead_and_the_master_goes_on() {
    let servers = Servers::start();
    let mut group = Group::linked("/redis/leader-blind");
    group.start_monitors(&servers);
    group.await_steady(&servers, 0);
    let leader = group.leader(&servers);
    eventually(DEADLINE, "the master is fenced", || {
        ensure_eq(group.redis[0].info("replication")?.contains_key("min_slaves_good_slaves"), true)
    });
    monitors(&group, &[&leader]).hold();
    replicas(&group).hold();
    eventually(DEADLINE, "the master is closed", || match group.redis[0].set("lost", "its replicas") {
        Err(error) if error.contains("NOREPLICAS") => Ok(()),
        other => Err(format!("{other:?}")),
    });
    group.await_another_leader(&servers, &leader);
    eventually(DEADLINE, "the master goes on", || group.redis[0].set("let", "go on"));
    assert_eq!(group.logged_by(&leader, "event=\"out-of-touch\""), 1);
    assert_left_alone(&servers, &group);
    monitors(&group, &[&leader]).release();
    replicas(&group).release();
    group.await_steady(&servers, 0);
}

#[test]
fn blind_monitors_leave_a_master_alone_that_a_replica_still_hears() {
    let servers = Servers::start();
    let (group, writer) = begin(&servers, "/redis/blind");
    let leader = group.leader(&servers);
    let others: Vec<_> = MONITORS.into_iter().filter(|id| *id != leader).collect();
    let mut said = 0;
    for blind in [&others[..], &MONITORS[..]] {
        monitors(&group, blind).hold();
        await_votes(&servers, &group, 0, blind, "silent");
        said = await_witness(&group, said);
        assert_left_alone(&servers, &group);
        monitors(&group, blind).release();
        await_votes(&servers, &group, 0, &[], "");
    }
    assert_unnoticed(writer, &group);
}

#[test]
fn blind_monitors_leave_an_idle_master_alone() {
    let servers = Servers::start();
    let mut group = Group::linked("/redis/idle");
    group.start_monitors(&servers);
    group.await_steady(&servers, 0);
    monitors(&group, &MONITORS).hold();
    let held = Instant::now();
    eventually(DEADLINE, "the monitors have asked again", || {
        if held.elapsed() > Duration::from_millis(500) { Ok(()) } else { Err("not yet") }
    });
    // From here on its replicas hear a ping a second.
    group.redis[0].set("the last", "write").expect("it takes writes");
    await_votes(&servers, &group, 0, &MONITORS, "silent");
    await_witness(&group, 0);
    for _ in 0..2 {
        assert_left_alone(&servers, &group);
    }
}

#[test]
fn refused_monitors_leave_a_master_alone_that_a_replica_still_hears() {
    let servers = Servers::start();
    let (group, writer) = begin(&servers, "/redis/refused");
    group.redis[0].link().close();
    monitors(&group, &MONITORS).hang_up();
    await_votes(&servers, &group, 0, &MONITORS, "refused");
    await_witness(&group, 0);
    assert_left_alone(&servers, &group);
    group.redis[0].link().open();
    group.await_steady(&servers, 0);
    assert_unnoticed(writer, &group);
}

#[test]
fn a_master_that_is_heard_and_does_not_hear_is_left_alone() {
    let servers = Servers::start();
    let (group, writer) = begin(&servers, "/redis/deaf");
    // What its replicas acknowledge does not arrive either.
    monitors_and_replicas(&group).requests().hold();
    await_votes(&servers, &group, 0, &MONITORS, "silent");
    await_witness(&group, 0);
    assert_left_alone(&servers, &group);
    monitors_and_replicas(&group).release();
    group.await_steady(&servers, 0);
    writer.write_more();
    // It hears of no replica, and nobody can let it go on: it takes no write meanwhile, and has all that it took.
    let Balance { lost, unknown, .. } = writer.finish(&group.redis[0]);
    assert_eq!((lost, unknown), (0, 0));
}

/// Waits until the document calls both replicas this.
fn await_replicas_published(servers: &Servers, group: &Group, ok: bool) {
    eventually(DEADLINE, &format!("the replicas are published, ok: {ok}"), || {
        let status = group.status(servers)?;
        let replicas = [1, 2].map(|index| status["nodes"][index]["ok"].as_bool());
        ensure_eq(replicas, [Some(ok); 2])
    });
}

#[test]
fn replicas_cut_off_from_their_master_are_published_as_ko_until_they_are_back() {
    let servers = Servers::start();
    let (group, writer) = begin(&servers, "/redis/alone");
    let cut = Instant::now();
    replicas(&group).cut();
    await_replicas_published(&servers, &group, false);
    assert!(cut.elapsed() > Duration::from_secs(4), "a short interruption is none: {:?}", cut.elapsed());
    await_votes(&servers, &group, 0, &[], "");
    assert_left_alone(&servers, &group);
    replicas(&group).heal();
    group.await_steady(&servers, 0);
    assert_unnoticed(writer, &group);
}

#[test]
fn replicas_cut_off_from_the_monitors_are_published_as_ko_until_they_are_back() {
    let servers = Servers::start();
    let (group, writer) = begin(&servers, "/redis/unseen");
    let sources: [Ipv4Addr; 3] = MONITORS.map(source_of_monitor);
    for replica in &group.redis[1..] {
        replica.link().of(sources).hold();
    }
    await_votes(&servers, &group, 1, &MONITORS, "silent");
    await_replicas_published(&servers, &group, false);
    assert_left_alone(&servers, &group);
    for replica in &group.redis[1..] {
        replica.link().of(sources).heal();
    }
    group.await_steady(&servers, 0);
    assert_unnoticed(writer, &group);
}

#[test]
fn a_slow_link_that_stalls_is_no_silence() {
    let servers = Servers::start();
    let mut group = Group::linked("/redis/slow");
    group.flags = vec!["--down-after", "500ms"];
    group.start_monitors(&servers);
    group.await_steady(&servers, 0);
    let writer = Writer::start(&servers, &group, "slow");
    let sources = MONITORS.map(source_of_monitor).into_iter().chain((0..3).map(source_of_node));
    for redis in &group.redis {
        let traffic = redis.link().of(sources.clone());
        traffic.delay(Duration::from_millis(50));
        traffic.stall(Duration::from_secs(1), Duration::from_millis(300));
    }
    // Some stalls on every connection, and probes that fall into each part of them.
    for _ in 0..2 {
        assert_left_alone(&servers, &group);
    }
    assert_eq!(group.logged("+sdown"), 0, "nobody took it for silent");
    // Under the same conditions a master that really hangs is replaced.
    group.redis[0].stop();
    let master = group.await_successor(&servers, 0);
    writer.write_more();
    group.redis[0].cont();
    group.await_steady(&servers, master);
    let balance = writer.finish(&group.redis[master]);
    assert!(balance.unknown <= 1, "{balance:?}");
}
