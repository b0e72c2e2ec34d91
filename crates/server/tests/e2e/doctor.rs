//! What the doctor finds on real servers, that what it says to do helps, and that it changes nothing itself.

use std::collections::BTreeMap;
use std::process::{Command, Output};
use std::time::Duration;

use redis_failover_lab::{Flavour, Redis, RedisBuilder, Reply, ZooKeeper, ensure_eq, eventually};
use serde_json::Value;

use crate::operator::assert_says;
use crate::world::{DEADLINE, Group, Servers};

/// What a run of the doctor found, by name.
struct Found {
    code: Option<i32>,
    findings: BTreeMap<String, Value>,
}

impl Found {
    fn severity(&self, name: &str) -> Option<&str> {
        self.findings.get(name)?["severity"].as_str()
    }

    /// The texts of a list of a finding.
    #[track_caller]
    fn texts(&self, name: &str, list: &str) -> Vec<String> {
        let finding = self.findings.get(name).unwrap_or_else(|| panic!("{name} in {:?}", self.findings));
        let texts = finding[list].as_array().into_iter().flatten().filter_map(Value::as_str);
        texts.map(str::to_owned).collect()
    }

    /// Asserts that it was found, so heavy, and that what was found has all `texts`.
    #[track_caller]
    fn assert(&self, name: &str, severity: &str, texts: &[&str]) {
        let found = self.texts(name, "found").join("\n");
        assert_eq!(self.severity(name), Some(severity), "{found}");
        for text in texts {
            assert!(found.contains(text), "{found}\nwithout `{text}`");
        }
    }

    /// The findings that are more than notes.
    fn bites(&self) -> Vec<&str> {
        let heavy = self.findings.iter().filter(|(_, finding)| finding["severity"] != "note");
        heavy.map(|(name, _)| name.as_str()).collect()
    }
}

/// Runs `redis-failover doctor` with these options, as the group's monitors call its nodes.
fn run(servers: &Servers, group: &Group, options: &[&str]) -> Output {
    let mut program = Command::new(env!("CARGO_BIN_EXE_redis-failover"));
    program.args(["doctor", "-z", &servers.zookeeper.connect_string(), "-p", &group.path]).args(options);
    group.as_its_monitors(&mut program);
    program.output().expect("the program runs")
}

/// The same, read.
#[track_caller]
fn doctor(servers: &Servers, group: &Group, options: &[&str]) -> Found {
    let quick: &[&str] = if options.contains(&"--sample") { &[] } else { &["--sample", "100ms"] };
    let output = run(servers, group, &[&["--json"], quick, options].concat());
    let error = String::from_utf8_lossy(&output.stderr);
    let read = serde_json::from_slice::<Value>(&output.stdout).unwrap_or_else(|_| panic!("{error}"));
    let findings = read["findings"].as_array().expect("a list").iter();
    let named = findings.map(|it| (it["name"].as_str().expect("a name").to_owned(), it.clone()));
    Found { code: output.status.code(), findings: named.collect() }
}

/// A server that nothing is wrong with.
fn sound() -> RedisBuilder {
    Redis::builder().option("save", "3600 1")
}

fn obey(redis: &Redis, words: &[&str]) {
    redis.command(words).and_then(Reply::into_result).expect("it obeys");
}

/// All settings of a server, and what it noted of users who were refused something.
fn settings(redis: &Redis) -> Reply {
    let settings = redis.command(&["CONFIG", "GET", "*"]).and_then(Reply::into_result).expect("settings");
    let refused = redis.command(&["ACL", "LOG"]).and_then(Reply::into_result).expect("a log");
    Reply::Array(vec![settings, refused])
}

#[test]
fn a_sound_group_has_notes_only_and_is_left_as_it_is() {
    let servers = Servers::ensemble();
    let mut group = Group::of("/redis/sound", (0..3).map(|_| sound().start()).collect());
    group.start_monitors(&servers);
    group.await_steady(&servers, 0);
    // The leader may still be writing its settings.
    eventually(DEADLINE, "it is fenced", || {
        let reply = group.redis[0].command(&["CONFIG", "GET", "min-replicas-to-write"])?;
        if format!("{reply:?}").contains("\"1\"") { Ok(()) } else { Err(format!("{reply:?}")) }
    });
    let before: Vec<_> = group.redis.iter().map(settings).collect();
    let found = doctor(&servers, &group, &[]);
    assert_eq!(found.bites(), [""; 0]);
    assert_eq!(found.code, Some(0));
    found.assert("loopback-addresses", "note", &[&group.redis[2].addr()]);
    found.assert("monitors-not-asked", "note", &["m1, m2, m3"]);
    found.assert("znodes-open", "note", &["/redis/sound"]);
    found.assert("busy-after-down", "note", &["5000 ms"]);
    assert_says(&run(&servers, &group, &[]), 0, &["found    0 errors, 0 warnings, 4 notes"]);
    let after: Vec<_> = group.redis.iter().map(settings).collect();
    assert_eq!(after, before);
    group.await_steady(&servers, 0);
    // ZooKeeper grants 0.4 to 40 s here.
    let long = doctor(&servers, &group, &["--session-timeout", "50s"]);
    long.assert("session-timeout-changed", "warning", &["50s", "40s"]);
    let short = doctor(&servers, &group, &["--session-timeout", "100ms"]);
    short.assert("session-timeout-changed", "warning", &["100ms", "400ms"]);
    assert_eq!((long.code, short.code), (Some(4), Some(4)));
}

/// What is said to do, done: each line that is a command of redis-cli, in a shell.
fn do_it(found: &Found, name: &str) {
    let lines = found.texts(name, "do");
    let commands: Vec<_> = lines.iter().filter(|line| line.starts_with("redis-cli")).collect();
    assert!(!commands.is_empty(), "{name}: {lines:?}");
    for line in commands {
        let output = Command::new("sh").args(["-c", line]).output().expect("a shell");
        let text = String::from_utf8_lossy(&output.stdout);
        assert_eq!(text.trim(), "OK", "{line}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn settings_that_will_bite_are_found_and_what_is_said_to_do_mends_them() {
    let servers = Servers::ensemble();
    let mut group = Group::of("/redis/settings", (0..3).map(|_| sound().start()).collect());
    group.flags = vec!["--fencing", "off"];
    group.start_monitors(&servers);
    group.await_steady(&servers, 0);
    let filler = "x".repeat(200_000);
    group.redis[0].set("filler", &filler).expect("it takes writes");
    let [master, one, two] = [0, 1, 2].map(|node| group.address(node));
    let wrongs: [(usize, &[&str], &str, &str, &str); 11] = [
        (0, &["repl-backlog-ttl", "3600"], "backlog-expires", "warning", &master),
        (0, &["min-replicas-to-write", "2"], "min-replicas-without-spare", "warning", "of 2"),
        (0, &["min-replicas-max-lag", "0"], "min-replicas-off", "warning", &master),
        (0, &["save", "", "appendonly", "no"], "no-persistence", "warning", &master),
        (1, &["replica-priority", "0"], "nobody-may-take-over", "error", &one),
        (2, &["replica-priority", "0"], "nobody-may-take-over", "error", &two),
        (1, &["replica-read-only", "no"], "replica-writable", "warning", &one),
        (1, &["maxmemory", "150kb"], "maxmemory-smaller", "error", &one),
        (2, &["replica-serve-stale-data", "no"], "stale-reads-refused", "note", &two),
        (2, &["timeout", "60"], "timeout-set", "note", "60 s"),
        (2, &["lua-time-limit", "5000"], "busy-after-down", "note", &two),
    ];
    for (node, words, ..) in &wrongs {
        obey(&group.redis[*node], &[&["CONFIG", "SET"], *words].concat());
    }
    // Nearly full, with room for who looks.
    let crowd: Vec<_> = (0..30).map(|_| group.redis[2].connect().expect("there is room")).collect();
    let connected = group.redis[2].info("clients").expect("it answers")["connected_clients"].clone();
    let limit = connected.parse::<usize>().expect("a number") + 3;
    obey(&group.redis[2], &["CONFIG", "SET", "maxclients", &limit.to_string()]);
    let found = doctor(&servers, &group, &[]);
    found.assert("clients-near-limit", "warning", &[&two, &format!("{limit} may be")]);
    for (_, _, name, severity, text) in &wrongs {
        found.assert(name, severity, &[text]);
    }
    found.assert("fencing-off", "note", &["off"]);
    assert_eq!(found.code, Some(4));
    drop(crowd);
    for (.., name, _, _) in &wrongs {
        do_it(&found, name);
    }
    obey(&group.redis[2], &["CONFIG", "SET", "maxclients", "10000"]);
    let mended = doctor(&servers, &group, &[]);
    let left: Vec<_> =
        wrongs.iter().map(|wrong| wrong.2).filter(|name| mended.findings.contains_key(*name)).collect();
    assert_eq!(left, [""; 0]);
    assert_eq!((mended.bites(), mended.code), (vec![], Some(0)));
}

#[test]
fn a_backlog_that_lasts_no_outage_is_found_while_the_master_is_written_to() {
    let servers = Servers::ensemble();
    let redis = || {
        sound().option("repl-backlog-size", "16kb").option("client-output-buffer-limit", "replica 1kb 0 0")
    };
    let mut group = Group::of("/redis/backlog", (0..3).map(|_| redis().start()).collect());
    group.start_monitors(&servers);
    group.await_steady(&servers, 0);
    assert!(!doctor(&servers, &group, &[]).findings.contains_key("backlog-too-small"), "nobody writes");
    let value = "x".repeat(1000);
    let (stop, stopped) = std::sync::mpsc::channel::<()>();
    let found = std::thread::scope(|scope| {
        let master = &group.redis[0];
        scope.spawn(move || {
            let mut connection = master.connect().expect("it answers");
            while stopped.try_recv().is_err_and(|error| error == std::sync::mpsc::TryRecvError::Empty) {
                connection.command(&["SET", "a", &value]).expect("it takes writes");
            }
        });
        let found = doctor(&servers, &group, &["--sample", "500ms"]);
        drop(stop);
        found
    });
    found.assert("backlog-too-small", "warning", &["16.0 KiB", "60 s need", &group.address(2)]);
    found.assert("output-buffer-small", "warning", &["1.0 KiB", &group.address(0)]);
    do_it(&found, "backlog-too-small");
    do_it(&found, "output-buffer-small");
}

#[test]
fn a_password_that_replicas_cannot_give_is_found() {
    let servers = Servers::ensemble();
    let redis = |_| sound().password("secret").start();
    let mut group = Group::of("/redis/password", (0..3).map(redis).collect());
    group.environment("REDIS_FAILOVER_REDIS_PASSWORD", "secret");
    group.start_monitors(&servers);
    group.await_steady(&servers, 0);
    assert_eq!(doctor(&servers, &group, &[]).bites(), [""; 0]);
    let [master, one, two] = [0, 1, 2].map(|node| group.address(node));
    obey(&group.redis[0], &["CONFIG", "SET", "masterauth", ""]);
    let found = doctor(&servers, &group, &[]);
    found.assert("masterauth-missing", "warning", &[&format!("{master} has no masterauth"), &one]);
    obey(&group.redis[1], &["CONFIG", "SET", "masterauth", ""]);
    obey(&group.redis[2], &["CONFIG", "SET", "masterauth", "hunter2"]);
    let found = doctor(&servers, &group, &[]);
    found.assert("masterauth-missing", "error", &[&format!("{one} has no masterauth"), &master]);
    found.assert("masterauth-wrong", "error", &[&format!("the masterauth of {two}"), &master]);
    let shown = run(&servers, &group, &[]);
    let text = String::from_utf8_lossy(&shown.stdout);
    assert!(!text.contains("secret") && !text.contains("hunter2"), "{text}");
    // Who is not let in can't look, and says so.
    group.environment("REDIS_FAILOVER_REDIS_PASSWORD", "wrong");
    let found = doctor(&servers, &group, &[]);
    found.assert("node-unreachable", "error", &[&master, &one, &two, "does not let us in"]);
}

/// Three servers of this version, on which user `ops` may do all but what these rules take away.
fn restricted(flavour: Flavour, path: &str, rules: &[&str]) -> Group {
    let redis: Vec<_> = (0..3).map(|_| sound().flavour(flavour).start()).collect();
    for redis in &redis {
        let user = ["ACL", "SETUSER", "ops", "on", ">ops", "~*", "&*", "+@all"];
        obey(redis, &[&user, rules].concat());
    }
    let mut group = Group::of(path, redis);
    group.environment("REDIS_FAILOVER_REDIS_USERNAME", "ops");
    group.environment("REDIS_FAILOVER_REDIS_PASSWORD", "ops");
    group
}

fn rights_that_are_missing_are_found_with_the_rule_that_gives_them(flavour: Flavour) {
    let servers = Servers::of(ZooKeeper::start(1));
    let mut group = restricted(flavour, "/redis/rights", &[]);
    group.start_monitors(&servers);
    group.await_steady(&servers, 0);
    assert_eq!(doctor(&servers, &group, &[]).bites(), ["zookeeper-single"]);
    for redis in &group.redis {
        obey(
            redis,
            &["ACL", "SETUSER", "ops", "-client", "+client|setname", "+client|id", "-config", "+config|get"],
        );
    }
    obey(&group.redis[1], &["ACL", "SETUSER", "ops", "-replicaof", "-exec"]);
    let [master, one] = [0, 1].map(|node| group.address(node));
    let refused = "client|kill, client|list, client|pause, client|unpause, config|rewrite, config|set";
    let found = doctor(&servers, &group, &[]);
    found.assert("rights-missing", "error", &[&format!("on {master} user ops may not run {refused}")]);
    let of_one = format!("on {one} user ops may not run {refused}, exec, replicaof");
    found.assert("rights-missing", "error", &[&of_one]);
    assert_eq!(found.code, Some(4));
    do_it(&found, "rights-missing");
    assert_eq!(doctor(&servers, &group, &[]).bites(), ["zookeeper-single"]);
    // Nothing of what was asked for was carried out.
    group.await_steady(&servers, 0);
    assert_eq!(group.status(&servers).expect("a status")["epoch"], 1);
    // What can't be read is said, and not taken for well.
    for redis in &group.redis {
        obey(redis, &["ACL", "SETUSER", "ops", "-config"]);
    }
    let found = doctor(&servers, &group, &[]);
    found.assert("not-checked", "note", &[&master, "its settings"]);
    found.assert("rights-missing", "warning", &["config|get"]);
}

/// Makes a test of it on each version.
macro_rules! on {
    ($($version:ident = $flavour:expr,)*) => {$(
        #[test]
        fn $version() {
            rights_that_are_missing_are_found_with_the_rule_that_gives_them($flavour);
        }
    )*};
}

on! {
    rights_that_are_missing_are_found_on_the_installed_redis = Flavour::Installed,
    rights_that_are_missing_are_found_on_redis_6_2 = Flavour::Redis62,
    rights_that_are_missing_are_found_on_valkey_9_1 = Flavour::Valkey91,
}

#[test]
fn a_command_that_was_taken_away_and_a_name_that_is_protected_are_found() {
    let servers = Servers::of(ZooKeeper::start(1));
    let renamed = sound().option("rename-command", "CONFIG \"\"").start();
    let mut group = Group::of("/redis/renamed", vec![sound().start(), renamed]);
    group.flags = vec!["--on-divergence", "save"];
    group.start_monitors(&servers);
    group.await_steady(&servers, 0);
    let found = doctor(&servers, &group, &[]);
    let two = group.address(1);
    let missing = format!("{two} does not know config|get, config|rewrite, config|set");
    found.assert("command-missing", "warning", &[&missing]);
    found.assert("not-checked", "note", &[&format!("{two}: its settings")]);
    found.assert("snapshot-name-protected", "warning", &[&group.address(0)]);
    assert!(!found.findings.contains_key("rights-missing"));
}

#[test]
fn too_few_monitors_and_nobody_who_leads_are_found() {
    let mut servers = Servers::of(ZooKeeper::start(2));
    let mut group = Group::of("/redis/few", vec![sound().start()]);
    group.start_monitor(&servers, "m1");
    group.await_steady(&servers, 0);
    let found = doctor(&servers, &group, &[]);
    found.assert("no-spare-monitor", "warning", &["one monitor"]);
    found.assert("single-node", "warning", &[&group.address(0)]);
    found.assert("zookeeper-even", "warning", &["2 ZooKeeper servers vote: 127.0.0.1, 127.0.0.1"]);
    group.start_monitor(&servers, "m2");
    let registered = |count: usize| {
        eventually(DEADLINE, "they are registered", || {
            let status = group.status(&servers)?;
            ensure_eq(status["monitors"].as_array().map(Vec::len), Some(count))
        });
    };
    registered(2);
    let found = doctor(&servers, &group, &[]);
    found.assert("no-spare-monitor", "warning", &["2 monitors are registered, and all 2 must agree"]);
    // One server of the two is told: whoever knows no other is lost with it.
    let all = servers.zookeeper.connect_string();
    let (first, _) = all.split_once(',').expect("two");
    let mut program = Command::new(env!("CARGO_BIN_EXE_redis-failover"));
    let output = program.args(["doctor", "-z", first, "-p", &group.path]).output().expect("it runs");
    assert_says(&output, 4, &["zookeeper-listed-partly", "-z names 1 of 2"]);
    group.monitors.clear();
    eventually(Duration::from_secs(30), "nobody is alive", || {
        let found = doctor(&servers, &group, &[]);
        let gone = found.findings.get("monitors-gone").map(|it| it["found"].to_string()).unwrap_or_default();
        if gone.contains("0 of 2") { Ok(()) } else { Err(gone) }
    });
    let found = doctor(&servers, &group, &[]);
    found.assert("no-leader", "error", &["no monitor leads"]);
    found.assert("monitors-gone", "error", &["m1, m2"]);
    servers.zookeeper.kill_all();
    assert_says(&run(&servers, &group, &[]), 3, &["hint:"]);
}

#[test]
fn a_quorum_that_is_no_majority_and_one_that_is_out_of_reach_are_found() {
    let servers = Servers::of(ZooKeeper::start(1));
    assert_says(&run(&servers, &Group::of("/redis/none", vec![]), &[]), 1, &["hint:", "/redis/none"]);
    for (quorum, monitors, name, severity) in
        [("1", 3, "quorum-too-small", "warning"), ("3", 1, "quorum-out-of-reach", "error")]
    {
        let mut group = Group::of(&format!("/redis/quorum-{quorum}"), vec![sound().start(), sound().start()]);
        group.flags = vec!["--quorum", quorum];
        for id in &["m1", "m2", "m3"][..monitors] {
            group.start_monitor(&servers, id);
        }
        let found = eventually(DEADLINE, "they are registered", || {
            let status = group.status(&servers)?;
            ensure_eq(status["monitors"].as_array().map(Vec::len), Some(monitors))?;
            Ok::<_, String>(doctor(&servers, &group, &[]))
        });
        found.assert(
            name,
            severity,
            &[&format!("the quorum is set to {quorum}"), &format!("{monitors} monitors")],
        );
    }
}

#[test]
fn versions_that_do_not_go_together_and_a_node_that_is_gone_are_found() {
    let servers = Servers::of(ZooKeeper::start(1));
    let redis = vec![sound().start(), sound().flavour(Flavour::Redis62).start(), sound().start()];
    let mut group = Group::of("/redis/versions", redis);
    group.start_monitors(&servers);
    let [master, old, gone] = [0, 1, 2].map(|node| group.address(node));
    let found = eventually(DEADLINE, "the older one is told to follow", || {
        let link = group.redis[1].info("replication")?;
        ensure_eq(link.get("master_link_status").map(String::as_str), Some("down"))?;
        group.status(&servers)?;
        let found = doctor(&servers, &group, &[]);
        // The third one is on its way to follow, too.
        let named =
            found.findings.get("not-following").is_some_and(|it| it["found"].to_string().contains(&old));
        if named { Ok(found) } else { Err(format!("{:?}", found.findings.get("not-following"))) }
    });
    found.assert("replica-older", "warning", &[&format!("{old} is Redis 6.2"), &master]);
    found.assert("versions-differ", "note", &["Redis 7.0", "Redis 6.2"]);
    found.assert("not-following", "error", &[&old]);
    group.redis[2].kill();
    let found = doctor(&servers, &group, &[]);
    found.assert("node-unreachable", "error", &[&format!("{gone}: connection refused")]);
}
