//! Whoever interrupts a long run is told what was played until then.
#![expect(clippy::disallowed_methods, reason = "it runs the program, and waits for it")]

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::iter;
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// How long a word, or the end, is waited for.
const LIMIT: Duration = Duration::from_mins(1);

/// More seeds than anybody plays.
const SEEDS: &str = "1000000000";

#[test]
fn an_interrupt_ends_a_run_with_the_report_of_what_was_played() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("figures.json");
    let mut child = Command::new(env!("CARGO_BIN_EXE_redis-failover-sim"))
        .args(["--seeds", SEEDS, "--bug", "tells-nothing", "--json"])
        .arg(&file)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let pid = Pid::from_raw(child.id().try_into().expect("a pid"));
    let words = BufReader::new(child.stderr.take().expect("a pipe"));
    let (tell, told) = mpsc::channel();
    let reader = thread::spawn(move || {
        words.lines().map_while(Result::ok).for_each(|line| tell.send(line).expect("somebody listens"));
    });
    let found = |line: &String| line.ends_with(" broke something") && !line.ends_with(" 0 broke something");
    let line = iter::from_fn(|| told.recv_timeout(LIMIT).ok()).find(found).expect("it says what it found");
    assert!(line.contains(&format!("of {SEEDS} seeds played in")), "{line}");

    for _ in 0..2 {
        // As `timeout` does: the program, and then its group.
        kill(pid, Signal::SIGINT).expect("it runs");
    }
    let ended = thread::spawn(move || child.wait_with_output());
    let last = iter::from_fn(|| Some(told.recv_timeout(LIMIT))).find_map(Result::err);
    assert_eq!(last, Some(RecvTimeoutError::Disconnected), "it ends");
    reader.join().expect("it read all");
    let output = ended.join().expect("it waited").expect("the program ended");
    assert_eq!(output.status.code(), Some(1), "something broke");
    let text = String::from_utf8(output.stdout).expect("text");
    let seeds: u64 = text.split(' ').next().and_then(|word| word.parse().ok()).expect("how many were played");
    assert!(seeds > 0 && text.contains("breaks each-change-is-told-once"), "{text}");
    let figures: serde_json::Value =
        serde_json::from_slice(&fs::read(file).expect("the file")).expect("JSON");
    assert_eq!(figures["seeds"], seeds);
}
