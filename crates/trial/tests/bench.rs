//! The measurements as they are started, each as short as can be: that they measure, and what they write.

use std::fs;
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

fn bench(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_redis-failover-trial"));
    command.arg("bench").args(arguments).output().expect("the program starts")
}

/// What `bench` with these arguments writes as JSON and prints.
fn figures(arguments: &[&str]) -> (Value, String) {
    let directory = TempDir::new().expect("a directory");
    let file = directory.path().join("figures.json");
    let name = file.to_str().expect("a temporary name is text");
    let output = bench(&[arguments, &["--runs", "1", "--json", name]].concat());
    let text =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}\n{text}", output.status);
    let written = fs::read(&file).expect("the figures are written");
    (serde_json::from_slice(&written).expect("they are JSON"), text)
}

#[test]
fn pipelines_are_measured_beside_redis_rs_with_a_runtime_and_without() {
    let (figures, text) = figures(&["client", "--part", "pipelines"]);
    let cells = figures["cells"].as_array().unwrap();
    let count = |api: &str| cells.iter().filter(|cell| cell["api"] == api).count();
    assert_eq!((count("tokio"), count("blocking"), cells.len()), (4, 2, 6), "{figures:#}");
    for cell in cells {
        for side in ["redis_failover_ops_per_second", "redis_rs_ops_per_second"] {
            assert_eq!(cell[side]["runs"].as_array().unwrap().len(), 6, "the fewest that give an interval");
            assert!(cell[side]["median"].as_f64().unwrap() > 0.0, "{figures:#}");
        }
    }
    assert!(text.contains("from threads without a runtime") && text.contains("100 SET"), "{text}");
}

#[test]
fn who_reads_what_it_wrote_is_measured_and_never_misses_it() {
    let (figures, text) = figures(&["client", "--part", "own-writes"]);
    let lines = figures["own_writes"].as_array().unwrap();
    assert_eq!(
        lines.iter().map(|line| line["tasks"].as_u64().unwrap()).collect::<Vec<_>>(),
        [1, 16, 128],
        "{text}"
    );
    for line in lines {
        assert!(line["redis_failover_ops_per_second"]["median"].as_f64().unwrap() > 0.0, "{text}");
    }
}

#[test]
fn idle_clients_are_weighed() {
    let (figures, text) = figures(&["client", "--part", "footprint"]);
    let descriptors = |name: &str| {
        let lines = figures["footprint"].as_array().unwrap();
        let line = lines.iter().find(|line| line["client"] == name).expect(name);
        assert!(line["resident_kib"]["median"].as_f64().unwrap() > 0.0, "{text}");
        line["descriptors"]["median"].as_f64().unwrap()
    };
    // One for each node, and not a fraction more.
    for (name, nodes) in [("redis-failover, 1 node", 1.0), ("redis-failover, 3 nodes", 3.0)] {
        assert!((descriptors(name) - nodes).abs() < 0.01, "{text}");
    }
    assert!((descriptors("redis-rs, multiplexed") - 1.0).abs() < 0.01, "{text}");
}

#[test]
fn many_clients_follow_one_change() {
    let (figures, text) = figures(&["client", "--part", "following", "--clients", "20"]);
    let line = &figures["following"][0];
    let at = |name: &str| line[name]["median"].as_f64().unwrap();
    assert_eq!(line["clients"], 20, "{text}");
    assert!(
        0.0 < at("first_ms") && at("first_ms") <= at("middle_ms") && at("middle_ms") <= at("last_ms"),
        "{text}"
    );
}

#[test]
fn the_guard_is_measured_in_the_cells_that_are_asked_for() {
    let (figures, text) = figures(&["guard", "--cell", "none,50ms,disk", "--cell", "aof,0ms,at-once"]);
    let cells = figures["cells"].as_array().unwrap();
    assert_eq!(cells.len(), 2, "{figures:#}");
    for cell in cells {
        assert_eq!(cell["lost"]["most"], 0.0, "{figures:#}");
        assert_eq!(cell["wiped"], 0);
        assert!(cell["writes_after_ms"]["median"].as_f64().unwrap() > 0.0);
    }
    assert!(text.contains("none") && text.contains("wiped:"), "{text}");
}

#[test]
fn a_cell_that_there_is_not_is_a_usage_error_that_names_those_that_are() {
    let output = bench(&["guard", "--cell", "none,3ms"]);
    assert_eq!(output.status.code(), Some(2));
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(told.contains("there is no cell `none,3ms`") && told.contains("at-once"), "{told}");
}

#[test]
fn sentinel_loses_what_we_keep() {
    let (figures, text) = figures(&["loss", "--vs", "sentinel,sentinel-max-lag", "--fault", "wipe"]);
    let lines = figures["lines"].as_array().unwrap();
    let wiped = lines.iter().map(|line| (line["who_watches"].as_str().unwrap(), line["wiped"].as_u64()));
    let expected =
        [("redis-failover", Some(0)), ("Redis Sentinel", Some(1)), ("Sentinel, max-lag 10", Some(1))];
    assert_eq!(wiped.collect::<Vec<_>>(), expected, "{text}");
}

#[test]
fn a_master_that_hangs_is_measured_without_anybody_beside() {
    let (figures, text) = figures(&["loss", "--fault", "hang"]);
    let lines = figures["lines"].as_array().unwrap();
    assert_eq!(lines.len(), 1, "{text}");
    assert_eq!(lines[0]["wiped"], 0, "{text}");
    assert!(
        lines[0]["no_writes_ms"]["median"].as_f64().unwrap() >= 900.0,
        "down-after is waited for: {text}"
    );
    assert!(lines[0]["two_masters_ms"]["median"].as_f64().unwrap() < 1_000.0, "{text}");
}

#[test]
fn a_master_that_is_cut_off_is_measured_with_a_client_on_its_side() {
    let (figures, text) = figures(&["loss", "--fault", "cut"]);
    let line = &figures["lines"][0];
    assert_eq!((&line["fault"], &line["wiped"]), (&Value::from("cut"), &Value::from(0)), "{text}");
    assert!(
        line["lost"]["median"].as_f64().unwrap() > 0.0,
        "nothing that client was told reached us: {text}"
    );
    assert!(line["no_writes_ms"]["median"].as_f64().unwrap() >= 900.0, "down-after is waited for: {text}");
}

/// What a switchover came to for one side: how many were done, and the most that callers noticed.
fn switched(figures: &Value, index: usize) -> (&str, u64, [f64; 3]) {
    let line = &figures["lines"][index];
    let noticed = ["errors", "lost", "twice"].map(|name| line[name]["most"].as_f64().expect(name));
    let (name, done) = (line["who_switches_over"].as_str(), line["done"].as_u64());
    (name.expect("a side"), done.expect("a number"), noticed)
}

#[test]
fn a_switchover_is_measured_beside_redis_sentinel_which_loses_writes() {
    let (figures, text) = figures(&["switchover", "--vs", "redis-sentinel", "--rate", "500"]);
    assert_eq!(switched(&figures, 0), ("redis-failover", 1, [0.0; 3]), "{text}");
    let (name, done, [_, lost, _]) = switched(&figures, 1);
    assert_eq!((name, done), ("Redis Sentinel", 1), "{text}");
    assert!(lost > 0.0, "the old master takes writes until it is told: {text}");
    let ours = &figures["lines"][0];
    let at = |name: &str| ours[name]["median"].as_f64().unwrap();
    assert!(at("writes") > 500.0 * 4.0, "two seconds before and two after: {text}");
    assert!(0.0 < at("pause_ms") && at("pause_ms") <= at("worst_write_ms") + 20.0, "{text}");
    assert_eq!(ours["explained"][0]["reason"], "switchover", "{figures:#}");
}

#[test]
fn a_switchover_is_measured_beside_valkeys_coordinated_one() {
    let (figures, text) = figures(&["switchover", "--vs", "valkey-coordinated", "--rate", "500"]);
    assert_eq!(switched(&figures, 0), ("redis-failover", 1, [0.0; 3]), "{text}");
    let (name, done, [_, _, twice]) = switched(&figures, 1);
    assert_eq!((name, done), ("Valkey, COORDINATED", 1), "{text}");
    assert!(twice < 1.0, "{text}");
}
