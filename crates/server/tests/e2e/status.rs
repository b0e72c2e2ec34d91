//! `status --watch` beside a group to which things happen: what it shows, that nothing ends it, and how it ends.

use std::fs;
use std::process::Command;
use std::time::Duration;

use redis_failover_lab::{Process, eventually};
use serde_json::Value;

use crate::recovery::{recovers, states_in};
use crate::world::{DEADLINE, Group, Servers, source_of_node};

/// Starts `status --watch 1` with these options.
fn watch(servers: &Servers, group: &Group, name: &str, options: &[&str]) -> Process {
    let mut command = Command::new(env!("CARGO_BIN_EXE_redis-failover"));
    command.args(["status", "--watch", "1", "-z", &servers.zookeeper.connect_string(), "-p", &group.path]);
    command.args(options);
    Process::spawn(name, command, &servers.file(&format!("{name}.log")))
}

/// What was printed.
fn printed(watch: &Process) -> String {
    fs::read_to_string(watch.log()).unwrap_or_default()
}

/// The looks so far, one object a line.
fn looks(watch: &Process) -> Vec<Value> {
    let text = printed(watch);
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    whole
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect()
}

/// Waits until the newest look names all `states`, and yields it.
#[track_caller]
fn await_states(watch: &Process, states: &[&str]) -> Value {
    eventually(DEADLINE, &format!("it shows {states:?}"), || {
        let look = looks(watch).pop().ok_or("nothing yet")?;
        let named = look["states"].as_array().into_iter().flatten();
        let named: Vec<_> = named.filter_map(Value::as_str).collect();
        if states.iter().all(|state| named.contains(state)) { Ok(look) } else { Err(look.to_string()) }
    })
}

#[test]
fn a_replica_that_gets_nothing_lags_by_what_is_written() {
    let servers = Servers::start();
    let mut group = Group::linked("/redis/lag");
    group.start_monitors(&servers);
    group.await_steady(&servers, 0);
    let lags = || -> Result<Vec<Option<u64>>, String> {
        let status = group.status(&servers)?;
        let nodes = status["nodes"].as_array().cloned().unwrap_or_default();
        Ok(nodes.iter().map(|node| node["lag"].as_u64()).collect())
    };
    let written = 100_000;
    eventually(DEADLINE, "both follow closely", || match lags()?.as_slice() {
        [None, Some(second), Some(third)] if second.max(third) < &1_000 => Ok(()),
        other => Err(format!("{other:?}")),
    });
    let stream = group.redis[0].link().of([source_of_node(1)]).replies();
    stream.hold();
    group.redis[0].set("big", &"x".repeat(written)).expect("it takes writes");
    eventually(DEADLINE, "one is behind", || match lags()?.as_slice() {
        [None, Some(second), Some(third)] if *second >= written as u64 && *third < 1_000 => Ok(()),
        other => Err(format!("{other:?}")),
    });
    stream.release();
    eventually(DEADLINE, "it has made up for it", || match lags()?.as_slice() {
        [None, Some(second), Some(_)] if *second < 1_000 => Ok(()),
        other => Err(format!("{other:?}")),
    });
}

#[test]
fn who_watches_sees_what_happens_to_a_group_and_to_zookeeper_and_goes_on_until_interrupted() {
    let mut servers = Servers::ensemble();
    let mut group = Group::start(&servers, "/redis/watched");
    let mut json = watch(&servers, &group, "json", &["--json"]);
    let mut pages = watch(&servers, &group, "pages", &[]);
    eventually(DEADLINE, "all is well", || {
        let look = looks(&json).pop().ok_or("nothing yet")?;
        let well = look["troubles"] == Value::Array(vec![]) && look["time"].is_string();
        if well && printed(&pages).contains("trouble  none\n\nat       ") {
            Ok(())
        } else {
            Err(look.to_string())
        }
    });
    let stopped = servers.take_zookeeper_away();
    let newest =
        |_: &Servers| looks(&json).pop().map(|look| states_in(&look)).ok_or("nothing yet".to_owned());
    recovers(newest, &mut servers, &["no-zookeeper"], |servers| {
        assert_eq!(await_states(&json, &["no-zookeeper"])["group"], "/redis/watched");
        eventually(DEADLINE, "the pages say so, too", || {
            let text = printed(&pages);
            if text.contains("trouble  no-zookeeper\n") { Ok(()) } else { Err(text) }
        });
        servers.bring_zookeeper_back(stopped);
    });
    for monitor in group.monitors.values_mut() {
        monitor.terminate();
        monitor.wait_exit(DEADLINE);
    }
    let look = await_states(&json, &["no-leader", "no-quorum"]);
    assert_eq!(look["monitors"][0]["is"], "gone", "{look}");
    eventually(DEADLINE, "the pages say what to do", || {
        let text = printed(&pages);
        if text.contains("  do     start monitors") { Ok(()) } else { Err(text) }
    });
    for watching in [&mut json, &mut pages] {
        watching.interrupt();
        let status = watching.wait_exit(Duration::from_secs(10));
        assert!(status.success(), "{status}");
    }
}
