//! What the history tells of a failover, against what happened.

use redis_failover_lab::eventually;
use serde_json::Value;

use crate::operator::{assert_says, operator};
use crate::world::{DEADLINE, Group, Servers};
use crate::writer::{LOST_AT_MOST, Writer, assert_sound};

/// The history as `redis-failover history --json` prints it.
pub(crate) fn history(servers: &Servers, group: &Group) -> Vec<Value> {
    let output = operator(servers, group, &["history", "--json"]);
    let text = String::from_utf8_lossy(&output.stdout);
    let read = serde_json::from_str(&text);
    read.unwrap_or_else(|error| panic!("{error}: {text}{}", String::from_utf8_lossy(&output.stderr)))
}

/// Asserts that each epoch up to the present one has one entry, the last of them of the present master.
pub(crate) fn assert_each_epoch_told_once(servers: &Servers, group: &Group) {
    let status = group.status(servers).expect("a status");
    let mut history = history(servers, group);
    history.retain(|entry| entry["kind"] == "change");
    let epochs: Vec<_> = history.iter().map(|entry| entry["epoch"].as_u64().expect("an epoch")).collect();
    let last = status["epoch"].as_u64().expect("an epoch");
    assert_eq!(epochs, (1..=last).collect::<Vec<_>>(), "{history:?}");
    let latest = history.last().expect("one at least");
    assert_eq!((&latest["new"], &latest["ended"]), (&status["master"], &"published".into()), "{latest}");
    let mut between = history.iter().take(history.len() - 1).skip(1);
    assert!(between.all(|entry| entry["ended"] == "given up"), "{history:?}");
}

#[test]
fn a_failover_is_told_as_it_was() {
    let servers = Servers::start();
    let mut group = Group::start(&servers, "/redis/history");
    let writer = Writer::start(&servers, &group, "history");
    let (old, leader) = (group.address(0), group.leader(&servers));
    group.redis[0].kill();
    let master = group.await_successor(&servers, 0);
    writer.write_more();
    let (new, other) = (group.address(master), group.address(3 - master));
    let entry = eventually(DEADLINE, "it is told that the other one follows", || {
        let entry = history(&servers, &group).pop().unwrap_or_default();
        if entry["following_ms"][&other].is_u64() { Ok(entry) } else { Err(entry.to_string()) }
    });
    assert_each_epoch_told_once(&servers, &group);
    let word = |key: &str| entry[key].as_str().unwrap_or_default().to_owned();
    assert_eq!((entry["epoch"].as_u64(), word("reason").as_str()), (Some(2), "refused"), "{entry}");
    assert_eq!((word("old"), word("new"), word("leader")), (old.clone(), new.clone(), leader), "{entry}");
    let votes = entry["votes"].as_object().expect("votes");
    assert_eq!(votes.keys().collect::<Vec<_>>(), ["m1", "m2", "m3"], "{entry}");
    assert!(votes.values().filter(|vote| vote["vote"] == "refused").count() >= 2, "{entry}");
    let offset = |node: &str| entry["candidates"][node]["holds"]["offset"].as_u64();
    assert!(offset(&new) >= offset(&other) && offset(&other).is_some(), "{entry}");
    assert_eq!((entry["candidates"][&old]["why"].as_str(), offset(&old)), (Some("did not answer"), None));
    let times = ["lost", "frozen", "chosen", "opened", "promoted", "published", "writable"];
    let times =
        times.map(|step| entry["times_ms"][step].as_u64().unwrap_or_else(|| panic!("{step}: {entry}")));
    assert!(times.is_sorted() && times[6] < 10_000, "{entry}");

    // A writer that waits for each reply loses one or two; some hundred bytes, and what the probes do not see.
    let lost = entry["lost"]["bytes"].as_u64().expect("an estimate");
    assert!(lost < 1_000, "{entry}");
    assert!(entry["lost"]["span_ms"].as_u64().is_some_and(|span| span < 3_000), "{entry}");
    assert_eq!(entry["seen"]["frozen"], false, "{entry}");

    let page = operator(&servers, &group, &["explain", "2"]);
    let parts = ["a quorum found its port closed", "did not answer", "taken", "it took writes", &old, &other];
    assert_says(&page, 0, &parts);
    let listed = operator(&servers, &group, &["history", "--limit", "1"]);
    assert_says(&listed, 0, &[&format!("{old} -> {new}"), "refused", "about"]);
    assert!(!String::from_utf8_lossy(&listed.stdout).contains("founded"), "only the last");
    assert_says(&operator(&servers, &group, &["explain", "9"]), 1, &["nothing of epoch 9", "is epoch 2"]);
    let page = operator(&servers, &group, &["explain", "1", "--json"]);
    let founded: Value = serde_json::from_slice(&page.stdout).expect("an object");
    assert_eq!((founded["reason"].as_str(), founded["new"].as_str()), (Some("founded"), Some(old.as_str())));
    assert_sound(&writer.finish(&group.redis[master]), 1, LOST_AT_MOST);
}
