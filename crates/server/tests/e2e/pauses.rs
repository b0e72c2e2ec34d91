//! What is not done while an operator has paused a group, and how that ends.

use std::time::{Duration, Instant};

use redis_failover_lab::eventually;

use crate::operator::{assert_says, operator};
use crate::recovery::{in_status, recovers};
use crate::world::{DEADLINE, Group, Servers};

fn json(output: &std::process::Output) -> serde_json::Value {
    serde_json::from_slice(&output.stdout).expect("it prints JSON")
}

#[test]
fn while_a_group_is_paused_a_lost_master_is_told_and_kept_until_somebody_resumes() {
    let servers = Servers::start();
    let mut group = Group::start(&servers, "/redis/paused");
    let pause = ["pause", "--reason", "new switches"];
    assert_says(&operator(&servers, &group, &pause), 0, &["done: paused until resumed: new switches"]);
    let status = operator(&servers, &group, &["status"]);
    assert_says(
        &status,
        0,
        &[
            "paused   by ",
            "until somebody resumes: new switches",
            "trouble  paused\n",
            "redis-failover resume -z",
        ],
    );
    group.redis[0].kill();
    eventually(DEADLINE, "what is withheld is recorded", || {
        let status = group.status(&servers)?;
        let told = status["pause"]["withheld"] == "refused" && status["nodes"][0]["ok"] == false;
        if told { Ok(()) } else { Err(status.to_string()) }
    });
    assert_eq!(group.status(&servers).expect("a status")["epoch"], 1);
    assert_says(
        &operator(&servers, &group, &["status"]),
        0,
        &["would be replaced now, but the group is paused"],
    );
    let told = format!("{} was refused and not replaced, paused by ", group.redis[0].addr());
    assert_says(&operator(&servers, &group, &["history"]), 0, &[&told, "new switches"]);
    assert!(group.logged("+would-failover") > 0);
    let refused = operator(&servers, &group, &["failover", "--yes"]);
    assert_says(&refused, 1, &["refused: paused by ", "redis-failover resume"]);
    recovers(in_status(&servers), &mut group, &["withheld"], |group| {
        let resumed = operator(&servers, group, &["resume", "--json"]);
        assert_eq!(json(&resumed), serde_json::json!({ "done": true, "text": "resumed" }));
    });
    group.await_successor(&servers, 0);
    let again = operator(&servers, &group, &["resume", "--json"]);
    assert_says(&again, 1, &["the group is not paused"]);
    let refused = json(&again);
    assert_eq!((&refused["done"], &refused["kind"]), (&false.into(), &"refused".into()), "{refused}");
    assert!(
        refused["error"].as_str().is_some_and(|it| it.starts_with("the group is not paused")),
        "{refused}"
    );
}

#[test]
fn a_pause_with_an_end_is_over_by_itself_though_all_monitors_were_restarted_in_it() {
    let servers = Servers::start();
    let mut group = Group::start(&servers, "/redis/brief");
    let begun = Instant::now();
    assert_says(
        &operator(&servers, &group, &["pause", "--for", "12s", "--reason", "new switches"]),
        0,
        &["done"],
    );
    for monitor in group.monitors.values_mut() {
        monitor.terminate();
    }
    group.start_monitors(&servers);
    group.await_steady(&servers, 0);
    group.redis[0].kill();
    let epoch = || group.status(&servers).map(|status| status["epoch"].clone());
    eventually(DEADLINE, "what is withheld is recorded", || {
        let status = group.status(&servers)?;
        let told = status["pause"]["withheld"] == "refused";
        if told { Ok(()) } else { Err(status.to_string()) }
    });
    assert_eq!(epoch(), Ok(1.into()));
    group.await_successor(&servers, 0);
    let lasted = begun.elapsed();
    assert!(lasted >= Duration::from_secs(12), "{lasted:?}");
    assert_eq!(group.status(&servers).expect("a status")["pause"], serde_json::Value::Null);
}
