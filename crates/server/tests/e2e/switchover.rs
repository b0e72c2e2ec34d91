//! Switching over while clients write: nobody is told of an error, and nothing is lost.

use std::process::{Command, Output};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use redis_failover_lab::{Flavour, Redis, eventually};

use crate::history::assert_each_epoch_told_once;
use crate::operator::{assert_says, operator, program};
use crate::starts::restricted;
use crate::steps::group_behind;
use crate::trap::Trap;
use crate::world::{DEADLINE, Group, Servers, source_of_node};
use crate::writer::Writer;

#[test]
fn another_node_takes_over_and_back_unnoticed_on_the_installed_version() {
    another_node_takes_over_and_back_unnoticed(Flavour::Installed);
}

#[test]
fn another_node_takes_over_and_back_unnoticed_on_redis_6_2() {
    another_node_takes_over_and_back_unnoticed(Flavour::Redis62);
}

#[test]
fn another_node_takes_over_and_back_unnoticed_on_valkey_9_1() {
    another_node_takes_over_and_back_unnoticed(Flavour::Valkey91);
}

fn another_node_takes_over_and_back_unnoticed(flavour: Flavour) {
    let servers = Servers::start();
    let redis = || Redis::builder().flavour(flavour).option("repl-diskless-sync-delay", "0").start();
    let mut group = Group::of("/redis/switchover", (0..3).map(|_| redis()).collect());
    group.start_monitors(&servers);
    group.await_steady(&servers, 0);
    let copies = full_copies(&group);
    let writer = Writer::start(&servers, &group, "s");
    let (first, second) = (group.redis[0].addr(), group.redis[1].addr());
    let there = operator(&servers, &group, &["switchover", "--to", &second, "--yes"]);
    assert_says(&there, 0, &["done", &second]);
    writer.write_more();
    group.await_steady(&servers, 1);
    let back = operator(&servers, &group, &["switchover", "--to", &first, "--yes", "--json"]);
    assert_says(&back, 0, &[r#"{"done":true,"text":""#]);
    writer.write_more();
    group.await_steady(&servers, 0);
    assert_says(&operator(&servers, &group, &["explain", "2"]), 0, &["(switchover)", "0 bytes"]);
    assert_eq!(full_copies(&group), copies, "all went on from where they were");
    let balance = writer.finish(&group.redis[0]);
    assert_eq!((balance.lost, balance.unknown), (0, 0), "{balance:?}");
}

/// How many full copies all nodes together have given.
fn full_copies(group: &Group) -> u64 {
    let given = |redis: &Redis| redis.info("stats").ok()?.get("sync_full")?.parse::<u64>().ok();
    group.redis.iter().map(|redis| given(redis).expect("it answers")).sum()
}

#[test]
fn what_cannot_be_done_is_said_and_nothing_is_changed() {
    let servers = Servers::start();
    let group = Group::start(&servers, "/redis/prospects");
    let first = group.redis[0].addr();
    group.redis[1].command(&["CONFIG", "SET", "replica-priority", "0"]).expect("it obeys");
    let switchover = |more: &[&str]| operator(&servers, &group, &[&["switchover"], more].concat());
    let (second, third) = (group.redis[1].addr(), group.redis[2].addr());
    let would = format!("{third} would take over");
    assert_says(
        &switchover(&["--dry-run"]),
        0,
        &[&would, "its link is up", "never to lead (priority 0)", "priority 100"],
    );
    assert_says(&switchover(&[]), 1, &["nothing was done", "--yes"]);
    assert_says(&switchover(&["--json"]), 1, &[r#"{"done":false,"kind":"not_confirmed""#, &would]);
    assert_says(&switchover(&["--yes", "--to", &first]), 1, &["refused", "already"]);
    let refused = switchover(&["--yes", "--to", &first, "--json"]);
    assert_says(&refused, 1, &[r#"{"done":false,"kind":"refused","error":"#, "already"]);
    assert_says(&switchover(&["--yes", "--to", &second]), 1, &["refused", "never to lead (priority 0)"]);
    assert_says(&switchover(&["--yes", "--to", "10.9.9.9:1"]), 1, &["no node of the group", &second, &third]);
    let passed = "2026-01-31T13:05:00.000Z";
    assert_says(&switchover(&["--yes", "--at", passed]), 2, &[&format!("--at {passed} has passed")]);
    let status = group.status(&servers).expect("a status");
    assert_eq!((&status["epoch"], &status["phase"]), (&1.into(), &"steady".into()), "{status}");
    let soon = utc_in("2 seconds");
    let (begun, waits) = (Instant::now(), format!("waiting until {}", soon.trim_end_matches('Z')));
    let done = format!("done: {third} is the master of epoch 2");
    assert_says(&switchover(&["--yes", "--at", &soon]), 0, &[&would, &waits, &done]);
    assert!(begun.elapsed() > Duration::from_millis(900), "it did not wait: {:?}", begun.elapsed());
    // Nobody reads how far it is.
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let back = program(&servers, &group, &["switchover", "--to", &first, "--yes"]).stderr(writer).output();
    assert_says(&back.expect("the program runs"), 0, &[&format!("done: {first} is the master of epoch 3")]);
}

#[test]
fn who_waits_for_a_switchover_sees_how_far_it_is() {
    let servers = Servers::start();
    let mut group = Group::linked("/redis/progress");
    group.start_monitors(&servers);
    group.await_steady(&servers, 0);
    let (leader, target) = (group.leader(&servers), group.address(1));
    let stream = group.redis[0].link().of([source_of_node(1)]).replies();
    stream.limit(2_000_000);
    for key in ["1", "2", "3"] {
        group.redis[0].set(key, &"x".repeat(2_000_000)).expect("it takes writes");
    }
    let switchover =
        operator(&servers, &group, &["switchover", "--to", &target, "--yes", "--timeout", "30s"]);
    stream.heal();
    let near = format!("{leader}: {target} is to come near: less than ");
    assert_says(&switchover, 0, &[&near, "epoch 2: ", &format!("done: {target} is the master of epoch 2")]);
}

/// What goes wrong while a command of a switchover is held up on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Harm {
    /// The node that is to take over dies; the command arrives.
    TargetDies,
    /// The old master dies; the command arrives where it can.
    MasterDies,
    /// The leader dies, and the command with it.
    LeaderDies,
    /// The leader dies, and the command arrives.
    LeaderDiesLate,
    /// The connection breaks.
    LinkBreaks,
}

/// A step's name, and words that only its command has.
type Step = (&'static str, &'static str);

const HOLD: Step = ("hold", "CLIENT\r\n$5\r\nPAUSE\r\n");
const CEDE: Step = ("cede", "CLIENT\r\n$7\r\nUNPAUSE\r\n");
const OPEN_EPOCH: Step = ("open-epoch", r#""epoch":2,"phase":"failing_over""#);
const PROMOTE: Step = ("promote", "REPLICAOF\r\n$2\r\nNO\r\n");
const PUBLISH: Step = ("publish", r#""epoch":2,"phase":"steady""#);

/// In which step what goes wrong, and who leads in which epoch then; `None` where it is one of the others.
///
/// Whatever goes wrong before the promotion, the old master serves where it lives, or the next leader begins anew.
const HARMS: [(Step, Harm, Option<usize>, u64); 17] = [
    (HOLD, Harm::TargetDies, Some(0), 1),
    (HOLD, Harm::LeaderDies, Some(1), 2),
    (HOLD, Harm::LeaderDiesLate, Some(1), 2),
    (HOLD, Harm::LinkBreaks, Some(1), 2),
    (CEDE, Harm::TargetDies, Some(0), 2),
    (CEDE, Harm::MasterDies, None, 2),
    (CEDE, Harm::LeaderDies, Some(1), 2),
    (CEDE, Harm::LeaderDiesLate, Some(0), 2),
    (CEDE, Harm::LinkBreaks, Some(0), 1),
    (OPEN_EPOCH, Harm::TargetDies, Some(0), 3),
    (OPEN_EPOCH, Harm::MasterDies, Some(1), 2),
    (OPEN_EPOCH, Harm::LeaderDies, Some(0), 2),
    (OPEN_EPOCH, Harm::LeaderDiesLate, Some(0), 3),
    (PROMOTE, Harm::LinkBreaks, Some(0), 3),
    (PROMOTE, Harm::LeaderDiesLate, Some(1), 2),
    (PUBLISH, Harm::LeaderDies, Some(1), 2),
    (PUBLISH, Harm::MasterDies, Some(1), 2),
];

#[test]
fn whatever_goes_wrong_in_a_switchover_somebody_serves_and_nothing_is_lost() {
    let servers = Servers::start();
    // Two at a time: a monitor that gets no time may lose the lead before its turn has come.
    for harms in HARMS.chunks(2) {
        std::thread::scope(|scope| {
            for (step, harm, master, epoch) in harms {
                scope.spawn(|| goes_wrong(&servers, *step, *harm, (*master, *epoch)));
            }
        });
    }
}

fn goes_wrong(servers: &Servers, (step, words): Step, harm: Harm, (master, epoch): (Option<usize>, u64)) {
    let what = format!("{step}-{harm:?}");
    let trap = Trap::default();
    let mut group = group_behind(servers, &format!("/redis/{what}"), &trap);
    let writer = Writer::start(servers, &group, step);
    let command = asked_to_switch(servers, &group, &trap, words);
    match harm {
        Harm::TargetDies => group.redis[1].kill(),
        Harm::MasterDies => group.redis[0].kill(),
        Harm::LeaderDies | Harm::LeaderDiesLate => group.monitors.get_mut("m1").expect("it leads").kill(),
        Harm::LinkBreaks => {}
    }
    if matches!(harm, Harm::LeaderDies | Harm::LinkBreaks) {
        trap.lose();
    } else {
        trap.release();
    }
    let output = command.join().expect("it ends");
    writer.write_more();
    for (node, died) in [(0, Harm::MasterDies), (1, Harm::TargetDies)] {
        if harm == died {
            group.redis[node].restart();
        }
    }
    if matches!(harm, Harm::LeaderDies | Harm::LeaderDiesLate) {
        group.start_monitor(servers, "m1");
    }
    let status = group.status(servers).expect("a status");
    let leads = (0..3).find(|node| status["master"] == group.address(*node)).expect("one of them leads");
    group.await_steady(servers, leads);
    assert_each_epoch_told_once(servers, &group);
    let balance = writer.finish(&group.redis[leads]);
    assert_eq!(balance.lost, 0, "{what}: {balance:?}");
    assert!(balance.gap < Duration::from_secs(8), "{what}: {balance:?}");
    let right = master.map_or(leads != 0, |master| leads == master);
    assert!(right && status["epoch"] == epoch, "{what}: {status}");
    // One of the others may be the wanted one by chance.
    let done = output.status.success();
    assert_eq!(done, master == Some(1), "{what}: {}", String::from_utf8_lossy(&output.stderr));
}

/// The command that asks for a switchover to the second node, once the words of a step are held up.
fn asked_to_switch(servers: &Servers, group: &Group, trap: &Trap, words: &str) -> JoinHandle<Output> {
    let mut command = program(servers, group, &["switchover", "--to", &group.address(1), "--yes"]);
    trap.arm(words);
    let command = std::thread::spawn(move || command.output().expect("the program runs"));
    trap.caught();
    command
}

/// The leader does not know then whether it leads, and whatever it had in hand is over.
#[test]
fn zookeeper_is_lost_in_a_switchover_and_somebody_serves_when_it_is_back() {
    let mut servers = Servers::ensemble();
    for (step, words) in [CEDE, PROMOTE] {
        let trap = Trap::default();
        let group = group_behind(&servers, &format!("/redis/{step}-without"), &trap);
        let writer = Writer::start(&servers, &group, step);
        let command = asked_to_switch(&servers, &group, &trap, words);
        let stopped = servers.take_zookeeper_away();
        trap.release();
        eventually(DEADLINE, "the leader doubts that it leads", || {
            if group.logged_by("m1", "in doubt") > 0 { Ok(()) } else { Err("not yet") }
        });
        servers.bring_zookeeper_back(stopped);
        writer.write_more();
        command.join().expect("it ends");
        let status = group.status(&servers).expect("a status");
        let leads = (0..3).find(|node| status["master"] == group.address(*node)).expect("one of them leads");
        group.await_steady(&servers, leads);
        let balance = writer.finish(&group.redis[leads]);
        assert_eq!(balance.lost, 0, "{step}: {balance:?}");
    }
}

#[test]
fn where_commands_are_renamed_it_goes_on_and_says_so() {
    let servers = Servers::start();
    for (command, hint) in [("CONFIG", "config|set"), ("CLIENT", "client|pause")] {
        let rename = format!("{command} hidden");
        let redis = || {
            let redis = Redis::builder().option("rename-command", &rename);
            redis.option("repl-diskless-sync-delay", "0").start()
        };
        let mut group = Group::of(&format!("/redis/no-{command}"), (0..3).map(|_| redis()).collect());
        group.start_monitors(&servers);
        group.await_steady(&servers, 0);
        let writer = Writer::start(&servers, &group, command);
        let second = group.address(1);
        let there = operator(&servers, &group, &["switchover", "--to", &second, "--yes"]);
        assert_says(&there, 0, &["done"]);
        writer.write_more();
        group.await_steady(&servers, 1);
        assert!(group.logged(hint) > 0, "{command}: nothing is said");
        let balance = writer.finish(&group.redis[1]);
        assert_eq!(balance.lost, 0, "{command}: {balance:?}");
    }
}

#[test]
fn where_clients_may_not_be_paused_or_killed_it_goes_on_and_says_so() {
    let servers = Servers::start();
    for (name, forbidden, hint) in [
        ("pause", "-client|pause", "let the ACL user run client|pause"),
        ("kill", "-client|kill", "client|kill"),
        ("config", "-config|set", "config|set"),
    ] {
        let mut group = restricted(&format!("/redis/no-{name}"), forbidden);
        group.start_monitors(&servers);
        group.await_steady(&servers, 0);
        let writer = Writer::start(&servers, &group, name);
        let second = group.address(1);
        let there = operator(&servers, &group, &["switchover", "--to", &second, "--yes"]);
        assert_says(&there, 0, &["done"]);
        writer.write_more();
        group.await_steady(&servers, 1);
        assert!(group.logged(hint) > 0, "{name}: nothing is said");
        let balance = writer.finish(&group.redis[1]);
        assert_eq!(balance.lost, 0, "{name}: {balance:?}");
    }
}

/// What a command is asked by a person, it is until it asks the leader: Ctrl-C before ends it, and nothing was done.
#[test]
fn ctrl_c_at_the_question_or_before_the_time_has_come_ends_it_and_nothing_is_done() {
    let servers = Servers::start();
    let group = Group::start(&servers, "/redis/interrupted");
    let (target, zookeeper) = (group.address(1), servers.zookeeper.connect_string());
    let later = utc_in("60 seconds");
    for (index, (command, waits)) in [
        (["switchover", "--to", &target].as_slice(), "Switch over? [y/N]"),
        (&["switchover", "--at", &later, "--yes"], "waiting until"),
        (&["failover", "--to", &target, "--accept-loss"], "Fail over? [y/N]"),
    ]
    .into_iter()
    .enumerate()
    {
        let screen = servers.file(&format!("screen{index}"));
        let command = [command, &["-z", &zookeeper, "-p", &group.path]].concat();
        let mut terminal = servers.on_a_terminal(&screen.to_string_lossy(), &command);
        eventually(DEADLINE, "it waits", || {
            let shown = std::fs::read_to_string(&screen).unwrap_or_default();
            if shown.contains(waits) { Ok(()) } else { Err(shown) }
        });
        terminal.interrupt();
        assert!(terminal.wait_exit(DEADLINE).success());
        let ended = std::fs::read_to_string(terminal.log()).expect("how it ended");
        assert!(ended.starts_with("ended with -2, "), "{command:?}: {ended}");
    }
    let status = group.status(&servers).expect("a status");
    assert_eq!((&status["epoch"], &status["phase"]), (&1.into(), &"steady".into()), "{status}");
}

/// A time from now, as `--at` takes it.
fn utc_in(time: &str) -> String {
    let date = Command::new("date").args(["-u", "-d", time, "+%FT%TZ"]).output().expect("there is date");
    String::from_utf8(date.stdout).expect("text").trim().to_owned()
}
