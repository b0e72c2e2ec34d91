//! The published document, read as the predecessor's client read it, in every phase.

use std::fs;

use redis_failover_lab::{Redis, ensure_eq, eventually};
use serde_json::Value;

use crate::world::{DEADLINE, Group, Servers, python};

/// The documents that the predecessor's reader has seen, oldest first.
fn seen(report: &std::path::Path) -> Vec<Value> {
    let text = fs::read_to_string(report).unwrap_or_default();
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

#[test]
fn the_predecessors_client_reads_the_document_in_every_phase() {
    let servers = Servers::start();
    let redis = (0..3).map(|_| Redis::builder().option("repl-diskless-sync-delay", "0").start());
    let mut group = Group::of("/redis/cluster", redis.collect());
    let report = servers.file("seen");
    let path = report.to_string_lossy().into_owned();
    let mut reader = servers.python("predecessor", "predecessor.py", &[&group.path, &path]);
    group.start_monitors(&servers);
    group.await_steady(&servers, 0);
    group.redis[0].kill();
    let master = group.await_successor(&servers, 0);
    group.redis[0].restart();
    group.await_steady(&servers, master);
    let (old, new) = (group.redis[0].addr(), group.redis[master].addr());
    eventually(DEADLINE, "the reader has seen the last document", || {
        let last = seen(&report).pop().unwrap_or_default();
        ensure_eq(last["master"].as_str(), Some(new.as_str()))?;
        ensure_eq(last["healthy"].as_array().map(Vec::len), Some(2))
    });
    reader.terminate();
    assert!(reader.wait_exit(DEADLINE).success(), "a document ended the predecessor's following");
    let seen = seen(&report);
    let stages: Vec<_> = seen.iter().map(|it| (it["master"].as_str(), it["status"].as_str())).collect();
    assert!(stages.contains(&(Some(old.as_str()), Some("OK"))), "{stages:?}");
    assert_eq!(stages.last(), Some(&(Some(new.as_str()), Some("OK"))), "{stages:?}");
    let epochs: Vec<_> = seen.iter().filter_map(epoch).collect();
    assert!(epochs.is_sorted() && epochs.last() == Some(&2), "{epochs:?}");
}

fn epoch(seen: &Value) -> Option<u64> {
    let raw: Value = serde_json::from_str(seen["raw"].as_str()?).ok()?;
    raw["epoch"].as_u64()
}

#[test]
fn the_predecessors_client_reads_the_recorded_samples_of_every_phase() {
    let samples = concat!(env!("CARGO_MANIFEST_DIR"), "/../store/tests/wire/v1");
    let files: Vec<_> = fs::read_dir(samples)
        .expect("the samples")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.to_string_lossy().ends_with(".document.json"))
        .collect();
    for phase in ["steady", "failing_over"] {
        assert!(files.iter().any(|file| file.ends_with(format!("{phase}.document.json"))), "{files:?}");
    }
    let output = python("predecessor.py").arg("--files").args(&files).output().expect("python runs");
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{error}");
    let read = String::from_utf8_lossy(&output.stdout);
    assert_eq!(read.lines().count(), files.len());
    let changing: Vec<_> = read.lines().filter(|line| line.contains("failing_over")).collect();
    assert!(
        !changing.is_empty() && changing.iter().all(|line| line.contains("\"status\": \"KO\"")),
        "{read}"
    );
}

#[test]
fn the_predecessors_document_is_adopted_and_its_master_replaced() {
    let servers = Servers::start();
    let fast = || Redis::builder().option("repl-diskless-sync-delay", "0");
    let master = fast().start();
    let redis = vec![fast().replica_of(&master).start(), master];
    let mut group = Group::of("/redis/adopted", redis);
    let (old, new) = (group.redis[1].addr(), group.redis[0].addr());
    let document = format!(r#"{{"master":["{old}","OK"],"slaves":{{"0":["{new}","OK"]}},"owner":"ops"}}"#);
    let mut publish = python("predecessor.py");
    publish.args(["--publish", &servers.zookeeper.connect_string(), &group.path, &document]);
    assert!(publish.status().expect("python runs").success());
    // The document's spelling counts, also for a monitor that was given another.
    let port = group.redis[0].port();
    group.also(format!("localhost:{port}"));
    group.start_monitors(&servers);
    group.await_steady(&servers, 1);
    assert_eq!(group.status(&servers).expect("a status")["epoch"], 0);
    group.redis[1].kill();
    let successor = group.await_successor(&servers, 1);
    assert_eq!(successor, 0);
    assert_eq!(group.status(&servers).expect("a status")["epoch"], 1);
    let report = servers.file("seen");
    let path = report.to_string_lossy().into_owned();
    let _reader = servers.python("predecessor", "predecessor.py", &[&group.path, &path]);
    eventually(DEADLINE, "a foreign key of the document is still there", || {
        let last = seen(&report).pop().ok_or("nothing seen")?;
        let raw = last["raw"].as_str().unwrap_or_default().to_owned();
        if raw.contains(r#""owner":"ops""#) { Ok(()) } else { Err(raw) }
    });
}

#[test]
fn a_foreign_text_at_the_path_is_refused_and_stays_as_it_is() {
    let servers = Servers::start();
    let mut group = Group::of("/redis/foreign", vec![Redis::start()]);
    let mut publish = python("predecessor.py");
    publish.args(["--publish", &servers.zookeeper.connect_string(), &group.path, "not ours"]);
    assert!(publish.status().expect("python runs").success());
    group.start_monitor(&servers, "m1");
    let monitor = group.monitors.get_mut("m1").expect("it was just started");
    assert_eq!(monitor.wait_exit(DEADLINE).code(), Some(1));
    assert!(group.logged("/redis/foreign") > 0 && group.logged("not ours") > 0);
    let error = group.status(&servers).expect_err("it is no document");
    assert!(error.contains("not ours"), "{error}");
    assert_eq!(group.redis[0].role().expect("it answers"), "master");
}
