//! The soak as it is started, as short as can be: what it plays, that it can fail, and that it leaves nothing.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use redis_failover_lab::{Process, eventually, is_alive};
use serde_json::Value;
use tempfile::TempDir;

/// How long a soak may take to start its servers.
const STARTED: Duration = Duration::from_mins(1);

/// A soak of this seed with all its temporary files in `directory`.
fn soak(seed: &str, directory: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_redis-failover-trial"));
    command.args(["soak", "--seed", seed]).env("TMPDIR", directory).stdin(Stdio::null());
    command
}

/// Where the journals and logs of a seed are while it is played.
fn kept(seed: &str) -> PathBuf {
    let program = Path::new(env!("CARGO_BIN_EXE_redis-failover-trial"));
    program.ancestors().nth(2).expect("it is in the target directory").join("soak").join(seed)
}

/// Waits until the log has this text.
fn await_text(log: &Path, wanted: &str) {
    eventually(STARTED, &format!("it says {wanted}"), || {
        let text = fs::read_to_string(log).map_err(|error| error.to_string())?;
        if text.contains(wanted) { Ok(()) } else { Err(text) }
    });
}

fn assert_empty(directory: &Path) {
    let left: Vec<_> =
        fs::read_dir(directory).expect("a directory").map(|entry| entry.expect("an entry").path()).collect();
    assert!(left.is_empty(), "left behind: {left:?}");
}

#[test]
fn a_short_soak_finds_what_is_promised_and_leaves_nothing() {
    const SEED: &str = "900001";
    let (temporary, out) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let file = out.path().join("soak.json");
    let mut command = soak(SEED, temporary.path());
    let output = command.args(["--minutes", "0.1", "--json"]).arg(&file).output().unwrap();
    let (page, told) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{}\n{page}\n{told}", output.status);
    assert!(page.starts_with("soak, seed 900001: "), "{page}");
    assert!(page.contains("All that docs/guarantees.md promises of these faults held."), "{page}");

    let figures: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    let run = &figures["runs"][0];
    assert_eq!((&run["seed"], &run["as_promised"]), (&Value::from(900_001), &Value::from(true)), "{run:#}");
    assert!(run["took_ms"].as_u64().unwrap() >= 6_000, "{run:#}");
    assert!(run["acknowledged"].as_u64().unwrap() >= 500, "{run:#}");
    assert_eq!(run["executed_twice"], 0);
    let uses = run["uses"].as_array().unwrap();
    assert_eq!(uses.len(), 7, "{run:#}");
    for one in uses {
        assert!(
            page.contains(one["use"].as_str().unwrap()) && one["confirmed"].as_u64() >= Some(50),
            "{run:#}"
        );
    }
    let pool = |figure: &str| run["pool"][figure].as_u64().unwrap();
    assert!(pool("given") >= 50 && pool("longest_wait_ms") <= 1_000, "{run:#}");
    assert!(pool("made") > 2, "what was left in a session was thrown away: {run:#}");
    let faults = run["faults"].as_array().unwrap();
    assert!(!faults.is_empty() && faults.iter().all(|fault| page.contains(fault["fault"].as_str().unwrap())));
    let pids = run["pids"].as_array().unwrap();
    assert!(pids.len() >= 9, "three monitors, three servers of each kind: {run:#}");
    assert!(pids.iter().all(|pid| !is_alive(pid.as_u64().unwrap().try_into().unwrap())));
    assert_empty(temporary.path());
    assert!(!kept(SEED).exists(), "nobody needs the logs of what went well");
}

#[test]
fn a_monitor_that_panics_fails_a_soak_which_keeps_its_journals() {
    const SEED: &str = "900002";
    let (temporary, out) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let log = out.path().join("log");
    let mut command = soak(SEED, temporary.path());
    command.args(["--minutes", "0.05", "--only", "replica-slow"]);
    let mut running = Process::spawn("soak", command, &log);
    await_text(&log, "soak, seed 900002, with journals and logs in ");
    // None panics by itself, so its log says it.
    let of_monitor = kept(SEED).join("two.log");
    eventually(STARTED, "monitor two says something", || {
        fs::read_to_string(&of_monitor).ok().filter(|text| !text.is_empty()).ok_or("nothing yet")
    });
    let mut text = File::options().append(true).open(&of_monitor).unwrap();
    text.write_all(b"thread 'main' panicked at nowhere\n").unwrap();
    let status = running.wait_exit(STARTED);
    let told = fs::read_to_string(&log).unwrap();
    assert_eq!(status.code(), Some(1), "{told}");
    assert!(
        told.contains("This is not what docs/guarantees.md promises:\n  monitor two has panicked"),
        "{told}"
    );
    assert!(told.contains("play it again: cargo xtask soak --seed 900002"), "{told}");
    for name in ["one.journal", "two.log", "zookeeper-0.log"] {
        assert!(kept(SEED).join(name).is_file(), "{name} is kept");
    }
    assert_empty(temporary.path());
    fs::remove_dir_all(kept(SEED)).unwrap();
}

#[test]
fn an_interrupted_soak_leaves_no_server() {
    const SEED: &str = "900003";
    let (temporary, out) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let log = out.path().join("log");
    let mut running = Process::spawn("soak", soak(SEED, temporary.path()), &log);
    await_text(&log, "lost");
    running.terminate();
    let status = running.wait_exit(Duration::from_secs(20));
    assert_eq!(status.code(), Some(130), "{}", fs::read_to_string(&log).unwrap());
    assert_empty(temporary.path());
    fs::remove_dir_all(kept(SEED)).unwrap();
}

#[test]
fn no_time_at_all_is_a_usage_error() {
    let directory = TempDir::new().unwrap();
    let output = soak("900004", directory.path()).args(["--minutes", "0"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8(output.stderr).unwrap().contains("from a second to a day"));
    assert!(!kept("900004").exists(), "nothing was begun");
}
