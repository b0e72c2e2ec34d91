//! Clients of Redis Sentinel, as they come from their registries, on our endpoint and on Redis Sentinel: that all of
//! them get on, and that ours lost nothing.
//!
//! The runner shows what this prints, also when it passes: how long each client stood still on either side.

use std::fs;
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

/// All of them, as they call themselves.
const CLIENTS: [&str; 5] = ["redis-rs", "redis-py", "ioredis", "node-redis", "redis-rb"];

#[test]
fn clients_of_sentinel_get_on_unchanged_through_a_switchover_and_a_kill() {
    let directory = TempDir::new().expect("a directory");
    let file = directory.path().join("figures.json");
    let mut command = Command::new(env!("CARGO_BIN_EXE_redis-failover-trial"));
    command.args(["bench", "sentinel-clients", "--vs", "sentinel", "--runs", "1", "--json"]).arg(&file);
    let output = command.output().expect("the program starts");
    let text =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}\n{text}", output.status);
    println!("{text}");
    let written = fs::read(&file).expect("the figures are written");
    let figures: Value = serde_json::from_slice(&written).expect("they are JSON");
    let lines = figures["lines"].as_array().expect("lines");
    assert_eq!(lines.len(), CLIENTS.len() * 2 * 2, "each client, change and side: {text}");
    // A master that is killed refuses connections: our monitors need not wait for the second that Sentinel waits.
    for (side, change, at_least) in [
        ("redis-failover", "switchover", 0.0),
        ("redis-failover", "kill", 0.0),
        ("Redis Sentinel", "switchover", 0.0),
        ("Redis Sentinel", "kill", 900.0),
    ] {
        for client in CLIENTS {
            let is_it = |line: &&Value| {
                let title = line["client"].as_str().expect("a title");
                line["who_answers"] == side && line["change"] == change && title.starts_with(client)
            };
            let line = lines.iter().find(is_it).unwrap_or_else(|| panic!("no {client}: {text}"));
            let most = |name: &str| line[name]["most"].as_f64().expect(name);
            assert!(most("no_writes_ms") > at_least, "{client} met no {change}: {text}");
            assert!(most("lost_after") < 1.0, "{client} lost what {side}'s new master had confirmed: {text}");
            assert!(
                most("reads_of_replicas") + most("reads_of_master") > 4.0,
                "{client} does not read: {text}"
            );
            if (side, change) == ("redis-failover", "switchover") {
                assert!(most("lost") < 1.0, "{client} lost writes in a switchover: {text}");
            }
        }
    }
}
