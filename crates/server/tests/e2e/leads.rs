//! Monitors that watch who leads. Their sessions last longer than anything here may take: whoever waits for one fails.

use std::collections::BTreeMap;
use std::time::Duration;

use redis_failover_lab::{ensure_eq, eventually, free_port};
use serde_json::Value;

use crate::trap::{Relay, Trap};
use crate::world::{DEADLINE, Group, Servers, hold_for};
use crate::writer::{Writer, assert_sound};

/// More than [`DEADLINE`].
const ENDLESS: Duration = Duration::from_secs(40);

/// Three monitors that can be asked whether they live.
fn listening(servers: &Servers, path: &str) -> Group {
    let mut group = Group::fresh(path);
    group.session = ENDLESS;
    group.flags = vec!["--listen", "127.0.0.1:0"];
    group.start_monitors(servers);
    group.await_steady(servers, 0);
    await_watched(&group, servers);
    group
}

/// Waits until both other monitors have reached the leader in its term, and returns that.
fn await_watched(group: &Group, servers: &Servers) -> String {
    eventually(DEADLINE, "the others reach who leads", || {
        let status = group.status(servers)?;
        let leader = status["leader"]["id"].as_str().ok_or("nobody leads")?;
        for id in ["m1", "m2", "m3"].into_iter().filter(|id| *id != leader) {
            let report = servers.get(&format!("{}/monitors/{id}", group.path));
            let report: Value = serde_json::from_str(&report).map_err(|error| error.to_string())?;
            ensure_eq(&report["lead"]["term"], &status["leader"]["term"])?;
            ensure_eq(report["lead"]["vote"].as_str(), Some("up"))?;
        }
        Ok::<_, String>(leader.to_owned())
    })
}

#[test]
fn leader_and_master_killed_together_do_not_wait_for_the_session() {
    let servers = Servers::start();
    let mut group = listening(&servers, "/redis/killed");
    let writer = Writer::start(&servers, &group, "killed");
    writer.pause();
    group.await_caught_up(0);
    let leader = group.leader(&servers);
    group.monitors.get_mut(&leader).expect("the leader is one of them").kill();
    group.redis[0].kill();
    writer.resume();
    let master = group.await_successor(&servers, 0);
    writer.write_more();
    group.redis[0].restart();
    group.await_steady(&servers, master);
    assert_sound(&writer.finish(&group.redis[master]), 1, 0);
    assert_eq!(group.status(&servers).expect("a status")["epoch"], 2);
}

#[test]
fn leader_and_master_stopped_together_do_not_wait_either_and_waking_changes_nothing() {
    let servers = Servers::start();
    let mut group = listening(&servers, "/redis/stopped");
    let writer = Writer::start(&servers, &group, "stopped");
    writer.pause();
    group.await_caught_up(0);
    let leader = group.leader(&servers);
    group.monitors[&leader].stop();
    group.redis[0].process().stop();
    writer.resume();
    let master = group.await_successor(&servers, 0);
    writer.write_more();
    group.monitors[&leader].cont();
    group.redis[0].process().cont();
    group.await_steady(&servers, master);
    hold_for(Duration::from_secs(1), "who wakes changes nothing", || {
        let status = group.status(&servers)?;
        ensure_eq(status["epoch"].as_u64(), Some(2))?;
        ensure_eq(status["master"].as_str(), Some(&*group.address(master))).map(drop)
    });
    assert_sound(&writer.finish(&group.redis[master]), 1, 0);
}

#[test]
fn a_leader_that_only_its_peers_do_not_reach_is_replaced_and_follows() {
    let servers = Servers::start();
    let mut group = Group::fresh("/redis/unreached");
    group.session = ENDLESS;
    let mut ways = BTreeMap::new();
    for id in ["m1", "m2", "m3"] {
        let listen = format!("127.0.0.1:{}", free_port());
        let way = Relay::start(listen.clone(), &Trap::default());
        group.flags = vec!["--listen", listen.leak(), "--announce", way.address().leak()];
        group.start_monitor(&servers, id);
        ways.insert(id.to_owned(), way);
    }
    group.await_steady(&servers, 0);
    let writer = Writer::start(&servers, &group, "unreached");
    let first = await_watched(&group, &servers);
    ways.remove(&first).expect("the leader is one of them").cut();
    let second = group.await_another_leader(&servers, &first);
    // It stands behind the others now, and watches whoever leads like anybody.
    assert_eq!(group.logged_by(&first, "event=\"leader-removed\""), 0);
    writer.write_more();
    group.await_steady(&servers, 0);
    assert_eq!(group.status(&servers).expect("a status")["epoch"], 1);
    await_watched(&group, &servers);
    group.monitors.get_mut(&second).expect("the leader is one of them").kill();
    group.await_another_leader(&servers, &second);
    writer.write_more();
    assert_sound(&writer.finish(&group.redis[0]), 0, 0);
}

#[test]
fn a_leader_that_is_started_again_waits_for_no_session_of_its_own() {
    let servers = Servers::start();
    let mut group = Group::fresh("/redis/again");
    group.session = ENDLESS;
    for id in ["m1", "m2", "m3"] {
        let listen = format!("127.0.0.1:{}", free_port());
        group.flags = vec!["--listen", listen.leak()];
        group.start_monitor(&servers, id);
    }
    group.await_steady(&servers, 0);
    let first = await_watched(&group, &servers);
    let status = group.status(&servers).expect("a status");
    let address = status["leader"]["address"].as_str().expect("it can be asked").to_owned();
    group.monitors.get_mut(&first).expect("the leader is one of them").kill();
    // In its place and under its name, before the others may have found its port closed.
    group.flags = vec!["--listen", address.leak()];
    group.start_monitor(&servers, &first);
    let before = &status["leader"]["term"];
    eventually(DEADLINE, "somebody leads in a later term", || {
        let status = group.status(&servers)?;
        if &status["leader"]["term"] == before { Err(status.to_string()) } else { Ok(()) }
    });
    let master = 0;
    group.redis[master].kill();
    group.await_successor(&servers, master);
}
