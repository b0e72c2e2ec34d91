//! What the monitors' journals say of a failover, and that they are there when a test has failed.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread;

use crate::journals::{Journals, kept};
use crate::world::{DEADLINE, Group, Servers};

/// What `redis-failover replay` shows of a journal in which every decision is as it was.
fn replay(file: &Path) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_redis-failover"));
    let output = command.arg("replay").arg(file).output().expect("the program runs");
    let text = String::from_utf8(output.stdout).expect("text");
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!((output.status.code(), error.as_ref()), (Some(0), ""), "{}:\n{text}", file.display());
    text
}

#[test]
fn every_monitors_journal_of_a_failover_replays_without_a_difference() {
    let servers = Servers::start();
    let mut group = Group::start(&servers, "/redis/journal");
    group.await_caught_up(0);
    let leader = group.leader(&servers);
    group.redis[0].kill();
    let master = group.await_successor(&servers, 0);
    group.await_steady(&servers, master);
    let steps = group.steps_of(&leader).len();
    for monitor in group.monitors.values_mut() {
        monitor.terminate();
        assert!(monitor.wait_exit(DEADLINE).success());
    }
    for id in ["m1", "m2", "m3"] {
        let text = replay(&group.journals.file(id));
        assert!(text.contains(&format!("monitor {id} of journal starts")), "{text}");
        assert_eq!(
            text.contains("=> commit epoch 2: open\n"),
            id == leader,
            "{id}, led by {leader}:\n{text}"
        );
    }
    let text = replay(&group.journals.file(&leader));
    assert!(text.matches("Z => ").count() >= steps, "all of the {steps} steps in the log:\n{text}");
    let opened = text.split("=> commit epoch 2: open\n").nth(1).expect("the epoch");
    let grounds = opened.split("\n20").next().expect("what it was based on");
    let dead = group.address(0);
    assert!(
        grounds.contains(&format!("candidate {}: taken: it stands at ", group.address(master))),
        "{grounds}"
    );
    assert!(grounds.contains(&format!("candidate {dead}: dropped: did not answer")), "{grounds}");
    let other = group.address(3 - master);
    assert!(grounds.contains(&format!("candidate {other}: not taken: it stands at ")), "{grounds}");
    assert!(grounds.contains("diagnosis: the master is lost (refused)"), "{grounds}");
    assert!(grounds.matches(" on the master: refused since ").count() >= 2, "{grounds}");
    println!("{text}");
}

#[test]
fn a_test_that_fails_keeps_its_journals() {
    let failing = thread::Builder::new().name("journal::one_that_fails".to_owned()).spawn(|| {
        let journals = Journals::new("/redis/fails");
        fs::write(journals.file("m1"), "what was decided").expect("it is written");
        let directory = kept();
        let fails = std::panic::catch_unwind(std::panic::AssertUnwindSafe(move || {
            let _journals = journals;
            panic!("as a test that fails");
        }));
        assert!(fails.is_err());
        directory
    });
    let directory = failing.expect("a thread").join().expect("it caught the panic");
    assert!(directory.ends_with("journals/journal-one_that_fails"), "{}", directory.display());
    let kept = fs::read_to_string(directory.join("redis-fails-m1.journal"));
    fs::remove_dir_all(&directory).expect("it was kept");
    assert_eq!(kept.expect("it was kept"), "what was decided");
    drop(Journals::new("/redis/succeeds"));
    assert!(!self::kept().exists(), "one that does not fail leaves nothing");
}
