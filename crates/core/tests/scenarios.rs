//! Decisions as text: each file in `scenarios/` is a script, what must hold, and the trace of what was decided.
//!
//! The `expect` lines are typed by hand and always checked. What stands below the line of dashes is the trace;
//! `UPDATE_EXPECT=1 cargo test -p redis-failover-core` rewrites that part and nothing else. The world is a small model
//! of Redis, ZooKeeper and the monitors' drivers; only the observers and deciders are the real ones.

mod scenario;

use std::fs;
use std::path::Path;

use redis_failover_core::Decider;

const RULE: &str = "----";

#[test]
fn scenarios_hold() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios");
    let entries = fs::read_dir(&directory).expect("the directory of scenarios");
    let mut files: Vec<_> = entries.map(|entry| entry.expect("a directory entry").path()).collect();
    files.sort();
    assert!(files.len() >= 20, "scenarios are missing: found {}", files.len());
    let failures: Vec<_> = files.iter().filter_map(|file| check(file).err()).collect();
    assert!(failures.is_empty(), "{} of {} failed:\n{}", failures.len(), files.len(), failures.join("\n"));
}

fn check(file: &Path) -> Result<(), String> {
    let name = file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let text = fs::read_to_string(file).map_err(|error| format!("{name}: {error}"))?;
    let (script, recorded) = text.split_once(&format!("\n{RULE}\n")).unwrap_or((&text, ""));
    let expectations = script.lines().filter(|line| line.starts_with("expect ")).count();
    if expectations == 0 {
        return Err(format!("{name}: it expects nothing"));
    }
    let trace = scenario::play(script).map_err(|error| format!("{name}: {error}"))?;
    if trace == recorded {
        return Ok(());
    }
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        let updated = format!("{}\n{RULE}\n{trace}", script.trim_end());
        return fs::write(file, updated).map_err(|error| format!("{name}: {error}"));
    }
    let differs = trace.lines().zip(recorded.lines()).find(|(now, then)| now != then);
    Err(format!("{name}: the trace changed (UPDATE_EXPECT=1 rewrites it); first difference: {differs:?}"))
}
