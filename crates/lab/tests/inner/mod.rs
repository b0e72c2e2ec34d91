//! Tests that run other tests in processes of their own, to have them come to grief.

use std::fs;
use std::path::Path;
use std::process::Command;

use redis_failover_lab::Process;

const INNER: &str = "REDIS_FAILOVER_LAB_INNER";

/// Whether this test process was started by another test, to come to grief.
pub(crate) fn is_inner() -> bool {
    std::env::var_os(INNER).is_some()
}

/// Runs one test of the calling file in a process of its own.
pub(crate) fn inner_test(name: &str, directory: &Path) -> Process {
    let mut command = Command::new(std::env::current_exe().expect("Linux knows"));
    // What a killed test cannot delete goes with the outer test's directory.
    command.args(["--exact", name, "--nocapture"]).env(INNER, "1").env("TMPDIR", directory);
    Process::spawn(name, command, &directory.join("log"))
}

/// The process ids in lines like `pid=1234`.
pub(crate) fn pids(log: &Path) -> Vec<u32> {
    let text = fs::read_to_string(log).expect("a log exists from the start");
    text.lines().filter_map(|line| line.strip_prefix("pid=")?.parse().ok()).collect()
}

/// The first of them.
pub(crate) fn first_pid(log: &Path) -> Result<u32, &'static str> {
    pids(log).first().copied().ok_or("not yet printed")
}
