//! Monitors over TLS: to Redis, whose certificates go wrong, and to ZooKeeper, where what they make is theirs.

use std::path::Path;
use std::process::Command;

use redis_failover::Tls;
use redis_failover_lab::{Authority, Issued, Redis, Reply, ZooKeeper, ensure_eq, eventually};

use crate::operator::{assert_says, operator};
use crate::replies::{await_peace, await_votes};
use crate::world::{DEADLINE, Group, Servers};
use crate::writer::{LOST_AT_MOST, Writer, assert_sound};

/// Three servers that speak nothing but TLS and want certificates, and who calls them so.
fn group(path: &str, authority: &Authority) -> Group {
    let issued = authority.issue(&["127.0.0.1"]);
    let start =
        |_| Redis::builder().option("repl-diskless-sync-delay", "0").tls(authority, &issued, true).start();
    let mut group = Group::of(path, (0..3).map(start).collect());
    let ours = authority.issue(&["monitor"]);
    say(&mut group, "REDIS", authority, &ours);
    group.tls = Some(Tls::new().roots_file(authority.roots()).identity_files(ours.certificate, ours.key));
    group
}

fn say(group: &mut Group, whom: &str, authority: &Authority, ours: &Issued) {
    let text = |path: &Path| path.display().to_string();
    group.environment(&format!("REDIS_FAILOVER_{whom}_TLS_CA_FILE"), &text(&authority.roots()));
    group.environment(&format!("REDIS_FAILOVER_{whom}_TLS_CERT_FILE"), &text(&ours.certificate));
    group.environment(&format!("REDIS_FAILOVER_{whom}_TLS_KEY_FILE"), &text(&ours.key));
}

#[test]
fn a_group_that_speaks_tls_fails_over() {
    let servers = Servers::start();
    let authority = Authority::new();
    let mut group = group("/redis/tls", &authority);
    group.start_monitors(&servers);
    group.await_steady(&servers, 0);
    let writer = Writer::start(&servers, &group, "tls");
    group.redis[0].kill();
    let master = group.await_successor(&servers, 0);
    writer.write_more();
    group.redis[0].restart();
    group.await_steady(&servers, master);
    writer.write_more();
    assert_sound(&writer.finish(&group.redis[master]), LOST_AT_MOST, 1);
}

/// Has the server show another certificate from now on, and ends its clients' connections.
fn show(redis: &Redis, issued: &Issued) {
    let mut operator = redis.connect().expect("it answers");
    let (certificate, key) = (issued.certificate.display().to_string(), issued.key.display().to_string());
    let set = ["CONFIG", "SET", "tls-cert-file", &certificate, "tls-key-file", &key];
    for words in [set.as_slice(), &["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]] {
        operator.command(words).and_then(Reply::into_result).expect("it obeys");
    }
}

#[test]
fn a_master_whose_certificate_cannot_be_verified_is_not_taken_for_dead() {
    let servers = Servers::start();
    let authority = Authority::new();
    let mut group = group("/redis/untrusted", &authority);
    group.start_monitors(&servers);
    group.await_steady(&servers, 0);
    let stranger = Authority::new();
    show(&group.redis[0], &stranger.issue(&["127.0.0.1"]));
    await_votes(&servers, &group, "unknown");
    await_peace(&servers, &group);
    assert_eq!(group.logged("signed by nobody whom we trust"), 3, "each monitor says it once");
    show(&group.redis[0], &authority.issue(&["127.0.0.1"]));
    await_votes(&servers, &group, "up");
    group.await_steady(&servers, 0);
    // One that dies is missed all the same, whatever it showed before.
    show(&group.redis[0], &authority.issue(&["elsewhere.example.com"]));
    await_votes(&servers, &group, "unknown");
    group.redis[0].kill();
    group.await_successor(&servers, 0);
    assert!(group.logged("not valid for name") > 0, "the name was wrong");
}

#[test]
fn who_has_no_certificate_that_the_servers_take_takes_none_for_dead() {
    let servers = Servers::start();
    let authority = Authority::new();
    let mut group = group("/redis/unknown", &authority);
    group.start_monitors(&servers);
    group.await_steady(&servers, 0);
    let stranger = Authority::new();
    let ours = stranger.issue(&["monitor"]);
    say(&mut group, "REDIS", &authority, &ours);
    for id in ["m1", "m2", "m3"] {
        group.monitors.remove(id);
        group.start_monitor(&servers, id);
    }
    await_votes(&servers, &group, "unknown");
    await_peace(&servers, &group);
    assert!(group.logged("does not take our certificate") > 0);
    // A new one is found by itself.
    authority.issue_into(&ours, &["monitor"]);
    await_votes(&servers, &group, "up");
    group.await_steady(&servers, 0);
}

#[test]
fn zookeeper_is_called_over_tls_and_what_monitors_make_there_is_theirs() {
    let authority = Authority::new();
    let issued = authority.issue(&["127.0.0.1"]);
    let mut servers = Servers::of(ZooKeeper::builder().tls(&authority, &issued, true).start(1));
    let secure = servers.zookeeper.secure_connect_string();
    servers.spelled = Some(secure.clone());
    let mut group = Group::fresh("/redis/owned");
    // Before there were credentials: what is made so stays open, and that is said.
    say(&mut group, "ZOOKEEPER", &authority, &issued);
    group.path = "/redis/open".to_owned();
    group.start_monitor(&servers, "m1");
    group.await_steady(&servers, 0);
    group.monitors.clear();
    group.environment("REDIS_FAILOVER_ZOOKEEPER_USER", "monitors");
    group.environment("REDIS_FAILOVER_ZOOKEEPER_PASSWORD", "secret");
    group.start_monitor(&servers, "m1");
    eventually(DEADLINE, "it is said", || match group.logged("everybody may change this znode") {
        0 => Err("not yet"),
        _ => Ok(()),
    });
    group.await_steady(&servers, 0);
    group.monitors.clear();

    // Another group, which has them from the beginning.
    group.path = "/redis/owned".to_owned();
    group.start_monitors(&servers);
    group.await_steady(&servers, 0);
    let theirs = ["m2", "m3"].map(|id| group.logged_by(id, "everybody may change this znode"));
    assert_eq!(theirs, [0, 0], "all of it is theirs");
    // Without any of it, at the port without TLS: who only reads may, and nobody else.
    let node = group.redis[1].addr();
    assert_says(&operator(&servers, &group, &["status"]), 0, &["steady"]);
    let unauthorized = operator(&servers, &group, &["resync", &node, "--yes", "--json"]);
    let says = ["not authorized", r#"{"done":false,"kind":"failed""#, "nothing was done", "--zookeeper-user"];
    assert_says(&unauthorized, 1, &says);
    // With all of it a request is left, and answered.
    let tls = |command: &[&str]| {
        let mut program = Command::new(env!("CARGO_BIN_EXE_redis-failover"));
        program.args(command).args(["-z", &secure, "-p", &group.path]).arg("--zookeeper-tls-ca-file");
        program.arg(authority.roots()).arg("--zookeeper-tls-cert-file").arg(&issued.certificate);
        program.arg("--zookeeper-tls-key-file").arg(&issued.key).args(["--zookeeper-user", "monitors"]);
        program.env("REDIS_FAILOVER_ZOOKEEPER_PASSWORD", "secret").output().expect("it runs")
    };
    assert_says(&tls(&["status"]), 0, &["steady"]);
    assert_says(&tls(&["history"]), 0, &["founded"]);
    assert_says(&tls(&["resync", &node, "--yes"]), 1, &["refused"]);
    // Who does not trust it is told so.
    let stranger = Authority::new();
    let mut untrusting = Command::new(env!("CARGO_BIN_EXE_redis-failover"));
    untrusting
        .args(["status", "-z", &secure, "-p", &group.path, "--zookeeper-tls-ca-file"])
        .arg(stranger.roots());
    assert_says(&untrusting.output().expect("it runs"), 3, &["signed by nobody whom we trust", &secure]);
    // Another password is another user.
    group.environment("REDIS_FAILOVER_ZOOKEEPER_PASSWORD", "other");
    group.start_monitor(&servers, "m9");
    eventually(DEADLINE, "it is told", || match group.logged_by("m9", "not authorized") {
        0 => Err("not yet"),
        _ => Ok(()),
    });
    group.await_steady(&servers, 0);
}

#[test]
fn a_monitor_that_may_not_write_the_record_leaves_the_lead_to_one_that_may() {
    let servers = Servers::start();
    let mut group = Group::start(&servers, "/redis/half_owned");
    let theirs = ("monitors", "secret");
    for znode in [group.path.clone(), format!("{}/state", group.path)] {
        servers.own(theirs, &znode);
    }
    let without = group.leader(&servers);
    group.environment("REDIS_FAILOVER_ZOOKEEPER_USER", theirs.0);
    group.environment("REDIS_FAILOVER_ZOOKEEPER_PASSWORD", theirs.1);
    group.start_monitor(&servers, "m9");
    eventually(DEADLINE, "m9 votes", || ensure_eq(group.votes(&servers, 0)?.contains_key("m9"), true));
    group.redis[2].kill();
    eventually(DEADLINE, "the lead comes to who may write", || {
        let status = group.status(&servers)?;
        ensure_eq(status["nodes"][2]["ok"].as_bool(), Some(false))?;
        ensure_eq(status["leader"]["id"].as_str() == Some("m9"), true)
    });
    assert!(group.logged_by(&without, "stands-aside") > 0);
    assert_eq!(group.logged_by("m9", "stands-aside"), 0);
}
