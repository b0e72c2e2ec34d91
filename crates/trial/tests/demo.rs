//! The demo as it is started, without a terminal: what it survives, what it counts, and that it leaves nothing.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use redis_failover_lab::{Process, eventually, is_alive};
use serde_json::Value;
use tempfile::TempDir;

/// The demo with all its temporary files in `directory`.
fn demo(directory: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_redis-failover-trial"));
    command.arg("demo").env("TMPDIR", directory).stdin(Stdio::null());
    command
}

fn assert_empty(directory: &Path) {
    let left: Vec<_> =
        fs::read_dir(directory).expect("a directory").map(|entry| entry.expect("an entry").path()).collect();
    assert!(left.is_empty(), "left behind: {left:?}");
}

#[test]
fn both_faults_are_survived_and_nothing_is_left() {
    let (temporary, out) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let file = out.path().join("figures.json");
    let output = demo(temporary.path()).arg("--json").arg(&file).output().unwrap();
    let text =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}\n{text}", output.status);
    assert!(!text.contains('\x1b'), "without a terminal nothing is drawn");
    assert!(text.contains("the master is killed (kill -9)") && text.contains("docs/guarantees.md"), "{text}");

    let figures: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    assert_eq!(figures["as_promised"], true, "{figures:#}");
    let faults = figures["faults"].as_array().unwrap();
    assert_eq!(faults.len(), 2);
    for fault in faults {
        for side in ["acknowledged_before", "acknowledged_after"] {
            assert!(fault[side].as_u64().unwrap() >= 1_000, "{figures:#}");
        }
    }
    assert!(
        faults[1]["gap_ms"].as_u64().unwrap() >= 900,
        "a master that hangs is given its time: {figures:#}"
    );
    let pids = figures["pids"].as_array().unwrap();
    assert_eq!(pids.len(), 4, "three servers, one of them twice");
    assert!(pids.iter().all(|pid| !is_alive(pid.as_u64().unwrap().try_into().unwrap())));
    assert_empty(temporary.path());
}

#[test]
fn an_interrupted_demo_leaves_nothing() {
    let (temporary, out) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let log = out.path().join("log");
    let mut running = Process::spawn("demo", demo(temporary.path()), &log);
    eventually(Duration::from_secs(20), "the writer writes", || {
        let text = fs::read_to_string(&log).map_err(|error| error.to_string())?;
        if text.contains("writes go to") { Ok(()) } else { Err(text) }
    });
    running.terminate();
    let status = running.wait_exit(Duration::from_secs(20));
    assert_eq!(status.code(), Some(130), "{}", fs::read_to_string(&log).unwrap());
    assert_empty(temporary.path());
}

#[test]
fn a_missing_server_is_one_clean_line() {
    let directory = TempDir::new().unwrap();
    let output = demo(directory.path()).env("PATH", directory.path()).output().unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(told, "error: `redis-server` is not on the PATH: install the Debian package `redis-server`\n");
}

#[test]
fn a_program_that_is_not_built_is_named_with_how_to_build_it() {
    let directory = TempDir::new().unwrap();
    let alone = directory.path().join("redis-failover-trial");
    fs::copy(env!("CARGO_BIN_EXE_redis-failover-trial"), &alone).unwrap();
    let output = Command::new(alone).args(["demo", "--zookeeper"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(told.contains("redis-failover is not there\nhint: build it: cargo build"), "{told}");
}

#[test]
fn what_cannot_be_watched_is_not_kept() {
    let directory = TempDir::new().unwrap();
    let output = demo(directory.path()).arg("--keep").output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(told.contains("--keep is of use only with --zookeeper"), "{told}");
}
