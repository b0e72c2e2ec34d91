//! What an operator is asked and answers, whom the monitors find by themselves, and what they set right.

use std::process::{Command, Output};
use std::time::{Duration, Instant};

use redis_failover_lab::{Redis, Reply, ensure_eq, eventually};

use serde_json::Value;

use crate::recovery::{in_status, recovers};
use crate::world::{DEADLINE, Group, Servers};

/// Carries out `redis-failover COMMAND -z … -p …`.
pub(crate) fn operator(servers: &Servers, group: &Group, command: &[&str]) -> Output {
    program(servers, group, command).output().expect("the program runs")
}

/// The same, not yet begun.
pub(crate) fn program(servers: &Servers, group: &Group, command: &[&str]) -> Command {
    let mut program = Command::new(env!("CARGO_BIN_EXE_redis-failover"));
    program.args(command).args(["-z", &servers.zookeeper.connect_string(), "-p", &group.path]);
    program
}

/// Asserts the exit code and that what is printed has all `texts`.
pub(crate) fn assert_says(output: &Output, code: i32, texts: &[&str]) {
    let (out, error) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{out}{error}");
    for text in texts {
        assert!(out.contains(text) || error.contains(text), "{out}{error}\nwithout `{text}`");
    }
}

fn fast() -> Redis {
    Redis::builder().option("repl-diskless-sync-delay", "0").start()
}

#[test]
fn an_operator_names_the_master_where_two_could_be() {
    let servers = Servers::start();
    let redis: Vec<_> = (0..3).map(|_| fast()).collect();
    redis[0].set("a", "1").expect("it takes writes");
    redis[1].set("b", "1").expect("it takes writes");
    let mut group = Group::of("/redis/adopt", redis);
    let (first, second) = (group.redis[0].addr(), group.redis[1].addr());
    let adopt = ["adopt", "--master", &second, "--yes"];
    assert_says(&operator(&servers, &group, &adopt), 1, &["no monitor leads"]);
    group.start_monitors(&servers);
    eventually(DEADLINE, "a monitor refuses to choose", || {
        if group.logged("several masters hold data") > 0 { Ok(()) } else { Err("not yet") }
    });
    let hesitant = operator(&servers, &group, &["adopt", "--master", &second]);
    assert_says(&hesitant, 1, &["nothing was done", "--yes"]);
    let stranger = ["adopt", "--master", "10.9.9.9:1", "--yes"];
    assert_says(&operator(&servers, &group, &stranger), 1, &["no node of the group", &first]);
    let misspelled = second.replace("127.0.0.1", "127.0.0.2");
    let meant = format!("did you mean `{second}`?");
    assert_says(&operator(&servers, &group, &["adopt", "--master", &misspelled]), 1, &[&meant]);
    let looked = operator(&servers, &group, &["adopt", "--master", &second, "--dry-run"]);
    let would = format!("{second} would be the master ({first}: up (all 3); ");
    assert_says(&looked, 0, &[&would, "compare first"]);
    assert_says(&operator(&servers, &group, &adopt), 0, &["done"]);
    group.await_steady(&servers, 1);
    assert_eq!(group.redis[0].get("b").expect("it answers").as_deref(), Some("1"));
    assert_says(&operator(&servers, &group, &adopt), 0, &["already"]);
    let other = ["adopt", "--master", &first, "--yes"];
    assert_says(&operator(&servers, &group, &other), 1, &["the group has a record", &second]);
}

#[test]
fn a_dead_monitor_counts_until_it_is_forgotten_and_a_living_one_is_not_forgotten() {
    let servers = Servers::start();
    let mut group = Group::start(&servers, "/redis/forget");
    let leader = group.leader(&servers);
    let others: Vec<_> = group.monitors.keys().filter(|id| **id != leader).cloned().collect();
    for id in &others {
        group.monitors.get_mut(id).expect("it is one of them").terminate();
    }
    eventually(DEADLINE, "their reports are gone", || {
        let status = group.status(&servers)?;
        let told = status["troubles"].to_string().contains("1 monitors are alive and 2 must agree");
        if told { Ok(()) } else { Err(status.to_string()) }
    });
    let forget = |group: &Group, id: &str| operator(&servers, group, &["monitor", "forget", id, "--yes"]);
    let list = || operator(&servers, &group, &["monitor", "list", "--json"]);
    let listed: serde_json::Value = serde_json::from_slice(&list().stdout).expect("it prints JSON");
    for monitor in listed.as_array().expect("an array") {
        let leads = monitor["id"] == leader;
        assert_eq!(monitor["is"], if leads { "leader" } else { "gone" }, "{listed}");
        assert_eq!((&monitor["alive"], &monitor["registered"]), (&leads.into(), &true.into()), "{listed}");
        let version = leads.then_some(env!("CARGO_PKG_VERSION"));
        assert_eq!(monitor["version"].as_str(), version, "{listed}");
        assert_eq!(monitor["since"].is_string(), leads, "{listed}");
        assert_eq!(monitor["votes"][group.redis[0].addr()].as_str(), leads.then_some("up"), "{listed}");
    }
    assert_eq!(listed.as_array().map(Vec::len), Some(3), "{listed}");
    assert_says(&operator(&servers, &group, &["monitor", "list"]), 0, &["leader", "gone", " up"]);
    assert_says(&forget(&group, &leader), 1, &["is alive"]);
    assert_says(&forget(&group, "nobody"), 1, &["no monitor nobody is registered", &leader]);
    recovers(in_status(&servers), &mut group, &["gone", "no-quorum"], |group| {
        for id in &others {
            assert_says(&forget(group, id), 0, &["done"]);
        }
    });
    let registered = group.status(&servers).expect("a status")["monitors"].clone();
    assert_eq!(registered.as_array().map(Vec::len), Some(1), "{registered}");
    // One of one is a quorum.
    group.redis[0].kill();
    group.await_successor(&servers, 0);
}

#[test]
fn who_asks_is_told_at_which_step_the_leader_is_and_what_is_unclear_when_it_gave_no_answer_in_time() {
    let servers = Servers::start();
    let mut group = Group::start(&servers, "/redis/steps");
    let leader = group.leader(&servers);
    let others: Vec<_> = group.monitors.keys().filter(|id| **id != leader).cloned().collect();
    for id in others {
        group.monitors.get_mut(&id).expect("it is one of them").kill();
    }
    group.redis[0].kill();
    eventually(DEADLINE, "the leader finds the master gone, and nobody else says anything", || {
        let votes = group.votes(&servers, 0)?;
        ensure_eq(votes, [(leader.clone(), "refused".to_owned())].into()).map(drop)
    });
    // A quorum would have to agree that it is lost, and there is none.
    let waits = format!("{leader}: waits: ");
    let switchover = operator(&servers, &group, &["switchover", "--yes", "--timeout", "2s"]);
    assert_says(&switchover, 1, &[&waits, "error: refused: "]);
    let (screen, zookeeper) = (servers.file("screen"), servers.zookeeper.connect_string());
    let long = ["switchover", "--yes", "--timeout", "10m", "-z", &zookeeper, "-p", &group.path];
    let mut terminal = servers.on_a_terminal(&screen.to_string_lossy(), &long);
    let on_screen = || std::fs::read_to_string(&screen).unwrap_or_default();
    let shows = |text: &str| if on_screen().contains(text) { Ok(()) } else { Err(on_screen()) };
    eventually(DEADLINE, "it waits", || shows(&waits));
    let next = ["pause", "--reason", "test", "--timeout", "2s", "--json"];
    let timed_out = operator(&servers, &group, &next);
    let heard =
        format!("no answer within 2s; when last heard of: {leader}: comes after: switchover of epoch 1");
    assert_says(&timed_out, 1, &[&format!("error: {heard}"), "may have been carried out"]);
    let json: Value = serde_json::from_slice(&timed_out.stdout).expect("one object");
    assert_eq!((&json["done"], &json["kind"]), (&Value::Null, &"unclear".into()), "{json}");
    assert!(json["error"].as_str().is_some_and(|error| error.starts_with(&heard)), "{json}");
    // Ctrl-C ends the waiting, and takes the request back.
    assert_eq!(servers.children("/redis/steps/requests").len(), 1);
    terminal.interrupt();
    assert!(terminal.wait_exit(DEADLINE).success());
    assert_eq!(servers.children("/redis/steps/requests"), Vec::<String>::new());
    shows("error: no answer before it was interrupted; when last heard of: ").expect("it says so");
    shows("hint: nothing was done: ").expect("it was still looking");
    let ended = std::fs::read_to_string(terminal.log()).expect("how it ended");
    assert!(ended.starts_with("ended with 1, "), "{ended}");
    // A leader that stands still says nothing at all; its lock stands for a while.
    group.monitors[&leader].stop();
    let pause = ["pause", "--reason", "test", "--timeout", "300ms", "--json"];
    let silent = operator(&servers, &group, &pause);
    group.monitors[&leader].cont();
    let says = [r#"{"done":null,"kind":"unclear""#, "no answer within 300ms; ", &leader];
    assert_says(&silent, 1, &says);
}

#[test]
fn a_replica_that_nobody_listed_is_found_published_and_takes_over() {
    let servers = Servers::start();
    let mut group = Group::of("/redis/found", vec![fast(), fast()]);
    group.start_monitors(&servers);
    group.await_steady(&servers, 0);
    let late = Redis::builder().option("repl-diskless-sync-delay", "0").replica_of(&group.redis[0]).start();
    group.redis.push(late);
    group.await_steady(&servers, 0);
    assert!(group.logged("was found through the master") > 0);
    group.redis[1].kill();
    eventually(DEADLINE, "the other replica is KO", || {
        let status = group.status(&servers)?;
        ensure_eq(status["nodes"][1]["ok"].as_bool(), Some(false))
    });
    group.redis[0].set("kept", "yes").expect("it takes writes");
    eventually(DEADLINE, "the found one has it", || {
        ensure_eq(group.redis[2].get("kept")?, Some("yes".to_owned())).map(drop)
    });
    group.redis[0].kill();
    assert_eq!(group.await_successor(&servers, 0), 2);
    recovers(in_status(&servers), &mut group, &["discovered"], |group| {
        assert_says(&operator(&servers, group, &["node", "add", &group.address(2)]), 0, &["done"]);
    });
}

#[test]
fn a_replica_that_is_only_watched_is_published_and_never_takes_over() {
    let servers = Servers::start();
    let mut group = Group::of("/redis/watched", vec![fast(), fast()]);
    group.flags = vec!["--discover", "watch"];
    group.start_monitors(&servers);
    group.await_steady(&servers, 0);
    // By its priority it would be the first.
    let preferred = Redis::builder().option("repl-diskless-sync-delay", "0").option("replica-priority", "1");
    group.redis.push(preferred.replica_of(&group.redis[0]).start());
    group.await_steady(&servers, 0);
    group.redis[0].kill();
    assert_eq!(group.await_successor(&servers, 0), 1);
    group.await_steady(&servers, 1);
    group.redis[1].kill();
    recovers(in_status(&servers), &mut group, &["only-watched", "nobody-may-take-over"], |group| {
        assert_says(
            &operator(&servers, group, &["config", "set", "discover=promote", "--yes"]),
            0,
            &["done"],
        );
        assert_eq!(group.await_successor(&servers, 1), 2);
        // Both were masters before it, and may lack what it takes until they are back in step.
        group.redis[..2].iter_mut().for_each(Redis::restart);
    });
}

#[test]
fn drift_is_set_right() {
    let servers = Servers::start();
    let group = Group::start(&servers, "/redis/drift");
    let elsewhere = fast();
    let port = elsewhere.port().to_string();
    let drifts: [&[&str]; 3] = [
        // A second master, a replica of a stranger, and one that was frozen and forgotten.
        &["REPLICAOF", "NO", "ONE"],
        &["REPLICAOF", "127.0.0.1", &port],
        &["REPLICAOF", "127.0.0.1", "1"],
    ];
    for drift in drifts {
        group.redis[1].command(drift).and_then(Reply::into_result).expect("it obeys");
        group.await_steady(&servers, 0);
    }
    assert_eq!(group.status(&servers).expect("a status")["epoch"], 1);
}

#[test]
fn the_third_failover_within_ten_minutes_waits_and_says_so() {
    const WAIT: Duration = Duration::from_secs(5);
    let servers = Servers::start();
    let mut group = Group::of("/redis/flapping", (0..3).map(|_| fast()).collect());
    group.flags = vec!["--third-failover-waits", "5s"];
    group.start_monitors(&servers);
    group.await_steady(&servers, 0);
    let mut master = 0;
    for _ in 0..2 {
        group.redis[master].kill();
        let next = group.await_successor(&servers, master);
        assert_eq!(group.logged("+flapping"), 0);
        group.redis[master].restart();
        group.await_steady(&servers, next);
        master = next;
    }
    let begun = Instant::now();
    group.redis[master].kill();
    let last = group.await_successor(&servers, master);
    assert!(begun.elapsed() >= WAIT, "it was hurried: {:?}", begun.elapsed());
    assert_eq!(group.logged("+flapping"), 1, "the leader says it once");
    group.await_steady(&servers, last);
}

#[test]
fn an_operator_does_not_wait_with_the_third_failover() {
    let servers = Servers::start();
    let mut group = Group::of("/redis/hurried", (0..3).map(|_| fast()).collect());
    group.flags = vec!["--third-failover-waits", "10m"];
    let unheard = operator(&servers, &group, &["failover", "--yes", "--json"]);
    assert_says(&unheard, 1, &["error: no monitor leads", r#"{"done":false,"kind":"no_leader""#]);
    group.start_monitors(&servers);
    group.await_steady(&servers, 0);
    let refusal = format!("refused: {} serves as the master of epoch 1", group.redis[0].addr());
    assert_says(&operator(&servers, &group, &["failover", "--yes"]), 1, &[&refusal]);
    let mut master = 0;
    for _ in 0..2 {
        group.redis[master].kill();
        let next = group.await_successor(&servers, master);
        group.redis[master].restart();
        group.await_steady(&servers, next);
        master = next;
    }
    group.redis[master].kill();
    eventually(DEADLINE, "the third one waits", || match group.logged("+flapping") {
        0 => Err("not yet"),
        _ => Ok(()),
    });
    let done = operator(&servers, &group, &["failover", "--yes"]);
    let next = group.await_successor(&servers, master);
    assert_says(&done, 0, &[&format!("done: {} is the master of epoch 4", group.redis[next].addr())]);
}

#[test]
fn beside_a_living_monitor_of_the_predecessor_nobody_leads_unless_told_to() {
    let servers = Servers::start();
    let predecessor = servers.predecessor_in_the_lead();
    let mut group = Group::of("/redis/beside", vec![fast(), fast()]);
    group.start_monitors(&servers);
    eventually(DEADLINE, "all three name it", || {
        let named = group.logged("/ZktoolsLocks/redis_monitor_lock/lock");
        if named >= 3 { Ok(()) } else { Err(format!("{named} do")) }
    });
    let error = group.status(&servers).expect_err("nothing may be published");
    assert!(error.contains("--take-over"), "{error}");
    let mut other = Group::of("/redis/other", vec![fast()]);
    other.flags = vec!["--take-over"];
    other.start_monitor(&servers, "m1");
    other.await_steady(&servers, 0);
    assert!(group.status(&servers).is_err(), "the others still wait");
    predecessor.terminate();
    group.await_steady(&servers, 0);
}

#[test]
fn a_policy_is_shown_and_changed_for_all_monitors_at_once_and_refused_where_it_would_cost_the_master() {
    let servers = Servers::start();
    let mut group = Group::start(&servers, "/redis/policy");
    let set = |group: &Group, more: &[&str]| operator(&servers, group, &[&["config", "set"], more].concat());
    let shown = operator(&servers, &group, &["config", "show"]);
    assert_says(&shown, 0, &["down_after = \"1s\"", "# quorum = the majority: 2 of 3 registered monitors"]);
    assert_says(
        &set(&group, &["down_afer=2s"]),
        2,
        &["there is no key `down_afer`", "did you mean `down_after`?"],
    );
    let diff = ["- down_after = \"1s\"", "+ down_after = \"2s\""];
    assert_says(&set(&group, &["down_after=2s", "--dry-run"]), 0, &[diff[0], diff[1], "nothing was changed"]);
    assert_says(&set(&group, &["down_after=2s"]), 1, &[diff[0], diff[1], "nothing was done", "--yes"]);
    let unconfirmed = set(&group, &["down_after=2s", "--json"]);
    assert_says(&unconfirmed, 1, &[r#"{"done":false,"kind":"not_confirmed""#, "(is \\\"1s\\\")"]);
    let value = |key: &str| {
        let shown = operator(&servers, &group, &["config", "show", "--json"]);
        serde_json::from_slice::<serde_json::Value>(&shown.stdout).expect("it prints JSON")[key].clone()
    };
    assert_eq!(value("down_after"), "1s");
    assert_says(
        &set(&group, &["down_after=2s", "parallel_syncs=2", "--yes"]),
        0,
        &["done: down_after is 2s (was 1s)"],
    );
    assert_eq!((value("down_after"), value("parallel_syncs")), ("2s".into(), 2.into()));
    eventually(DEADLINE, "each monitor follows it", || match group.logged("key=\"down_after\"") {
        3 => Ok(()),
        some => Err(format!("{some} do")),
    });
    assert_says(&set(&group, &["down_after=2s", "--yes"]), 0, &["the group has this policy already"]);
    assert_says(
        &set(&group, &["quorum=4", "--yes"]),
        1,
        &["refused: 4 monitors would have to agree", "only 3"],
    );
    let changed = set(&group, &["fencing=off", "--yes", "--json"]);
    let changed: serde_json::Value = serde_json::from_slice(&changed.stdout).expect("it prints JSON");
    assert_eq!(changed["changes"]["fencing"], serde_json::json!({ "before": "replicas", "after": "off" }));
    eventually(DEADLINE, "the master is fenced no more", || {
        let number =
            group.redis[0].command(&["CONFIG", "GET", "min-replicas-to-write"]).and_then(Reply::into_result);
        let number = number.map(|reply| format!("{reply:?}"));
        if number.as_ref().is_ok_and(|it| it.contains("\"0\"")) { Ok(()) } else { Err(format!("{number:?}")) }
    });
    // It is the policy of now that a failover goes by.
    group.redis[0].kill();
    group.await_successor(&servers, 0);
}
