//! The command line, by what it prints and how it exits. No server runs here.

use std::process::{Command, Output};

fn redis_failover(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_redis-failover"));
    command.env_clear().args(arguments).output().expect("the program runs")
}

/// Asserts the exit code and that standard error has all `texts`.
fn assert_fails(arguments: &[&str], code: i32, texts: &[&str]) {
    let output = redis_failover(arguments);
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {error}");
    assert!(output.stdout.is_empty(), "{arguments:?}");
    for text in texts {
        assert!(error.contains(text), "{arguments:?} says:\n{error}\nwithout `{text}`");
    }
}

const RIGHT: [&str; 6] = ["-z", "localhost:2181", "-p", "/redis/cluster", "-r", "a:6379,b:6379"];

fn with<'a>(command: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [&[command], &RIGHT[..], more].concat()
}

#[test]
fn missing_options_are_named() {
    assert_fails(&["run"], 2, &["--zkhosts <HOSTS>", "--path <PATH>", "--redishosts <NODES>"]);
    assert_fails(&["status", "-z", "localhost:2181"], 2, &["--path <PATH>"]);
    assert_fails(&["config", "set", "-z", "localhost:2181", "-p", "/a"], 2, &["<KEY=VALUE>"]);
    assert_fails(&["pause", "-z", "localhost:2181", "-p", "/a"], 2, &["--reason <TEXT>"]);
    assert_fails(&["explain", "-z", "localhost:2181", "-p", "/a"], 2, &["<EPOCH>"]);
    assert_fails(&[], 2, &["Usage: redis-failover"]);
}

#[test]
fn a_wrong_option_names_the_nearest_right_one() {
    assert_fails(&with("run", &["--redishost", "a:1"]), 2, &["'--redishosts'"]);
    assert_fails(&with("run", &["--down-afer", "1s"]), 2, &["'--down-after'"]);
    assert_fails(&["statsu", "-p", "/a"], 2, &["'status'"]);
    assert_fails(&with("run", &["--log-format", "jsn"]), 2, &["'json'"]);
}

#[test]
fn a_wrong_value_names_option_value_and_what_would_be_right() {
    assert_fails(&["run", "-z", "h:1", "-p", "redis/cluster", "-r", "a:1"], 2, &["--path", "/redis/cluster"]);
    assert_fails(&["run", "-z", "h:x", "-p", "/a", "-r", "a:1"], 2, &["--zkhosts", "h:x"]);
    assert_fails(&["run", "-z", "h:1", "-p", "/a", "-r", "a:1,b"], 2, &["--redishosts", "`b`", "HOST:PORT"]);
    assert_fails(&["status", "-z", "h:1", "-p", "/a", "--watch", "0"], 2, &["--watch", "1..=86400"]);
    assert_fails(&["explain", "two", "-z", "h:1", "-p", "/a"], 2, &["<EPOCH>", "two"]);
    let config = ["config", "set", "-z", "h:1", "-p", "/a"];
    assert_fails(&[&config[..], &["down_after=soon"]].concat(), 2, &["down_after=soon", "500ms or 1s"]);
    assert_fails(&[&config[..], &["quorun=1"]].concat(), 2, &["`quorun`", "did you mean `quorum`?"]);
    let pause = ["pause", "-z", "h:1", "-p", "/a", "--reason"];
    assert_fails(&[&pause[..], &["x", "--for", "1w"]].concat(), 2, &["--for", "500ms or 1s"]);
    assert_fails(&[&pause[..], &["x", "--for", "0s"]].concat(), 2, &["--for", "no time is none"]);
    assert_fails(&[&pause[..], &[" "]].concat(), 2, &["--reason", "in some words"]);
    assert_fails(&[&pause[..], &["two\nlines"]].concat(), 2, &["--reason", "one line"]);
    assert_fails(&with("run", &["-s", "soon"]), 2, &["--sleeptime", "soon"]);
    assert_fails(&with("run", &["-s", "0"]), 2, &["--sleeptime", "1..=86400"]);
    assert_fails(&with("run", &["--down-after", "5"]), 2, &["--down-after", "500ms or 1s"]);
    assert_fails(
        &with("run", &["--journal", "j", "--journal-limit", "16"]),
        2,
        &["--journal-limit", "16MiB"],
    );
    assert_fails(&with("run", &["--journal-limit", "1MiB"]), 2, &["--journal <FILE>"]);
    assert_fails(&with("run", &["--id", "a/b"]), 2, &["--id", "`a/b`"]);
    assert_fails(&with("run", &["--quorum", "0"]), 2, &["--quorum"]);
    assert_fails(&with("run", &["--source-address", "eth0"]), 2, &["--source-address", "eth0"]);
    assert_fails(&with("run", &["--session-timeout", "10ms"]), 2, &["--session-timeout", "tickTime"]);
}

#[test]
fn values_that_do_not_fit_together_are_refused_before_anything_is_opened() {
    let twice = ["check-config", "-z", "h:1", "-p", "/a", "-r", "a:1,b:1,a:1"];
    assert_fails(&twice, 2, &["--redishosts names a:1 twice"]);
    let fast = with("check-config", &["--down-after", "100ms", "--probe-interval", "80ms"]);
    assert_fails(&fast, 2, &["probe-interval 80ms", "down-after 100ms"]);
    assert_fails(&with("check-config", &["--redis-username", "u"]), 2, &["--redis-password-file"]);
    let missing = with("check-config", &["--redis-password-file", "/nowhere"]);
    assert_fails(&missing, 1, &["--redis-password-file /nowhere", "No such file"]);
}

#[test]
fn check_config_shows_what_is_meant_and_no_secret() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), "hunter2\n").expect("it is written");
    let path = file.path().to_string_lossy().into_owned();
    let output = redis_failover(&with(
        "check-config",
        &["--id", "m1", "--source-address", "10.0.0.7", "--redis-password-file", &path],
    ));
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{text}");
    for part in
        ["cluster at /redis/cluster", "a:6379, b:6379", "m1", "with a password", "from 10.0.0.7", "every 30s"]
    {
        assert!(text.contains(part), "{text}\nwithout `{part}`");
    }
    assert!(!text.contains("hunter2"));
}

#[test]
fn a_single_monitor_has_a_state_file_and_no_zookeeper() {
    let alone = |more: &'static [&str]| {
        [&["check-config", "--embedded", "--state-file", "/s/state", "-r", "a:1"], more].concat()
    };
    let output = redis_failover(&alone(&[]));
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{text}");
    for part in [
        "mymaster at /mymaster",
        "/s/state, without ZooKeeper",
        "monitor id       single",
        "quorum           1",
    ] {
        assert!(text.contains(part), "{text}\nwithout `{part}`");
    }
    let other = redis_failover(&alone(&["-p", "/redis/cluster", "--id", "m1", "--quorum", "1"]));
    let text = String::from_utf8_lossy(&other.stdout);
    assert!(text.contains("cluster at /redis/cluster") && text.contains("monitor id       m1"), "{text}");
    let json = redis_failover(&alone(&["--json"]));
    let shown: serde_json::Value = serde_json::from_slice(&json.stdout).expect("JSON");
    let group = &shown["groups"][0];
    assert_eq!((&group["state_file"], &group["zkhosts"]), (&"/s/state".into(), &serde_json::Value::Null));

    let needs = ["--embedded needs --state-file", "would forget the epoch"];
    assert_fails(&["run", "--embedded", "-r", "a:1"], 2, &needs);
    assert_fails(&with("run", &["--state-file", "f"]), 2, &["--state-file means nothing without --embedded"]);
    assert_fails(&["run", "--embeded", "-r", "a:1"], 2, &["'--embedded'"]);
    assert_fails(&alone(&["--state-fil", "f"]), 2, &["'--state-file'"]);
    for (more, option) in [
        (&["-z", "h:1"][..], "--zkhosts"),
        (&["--session-timeout", "6s"], "--session-timeout"),
        (&["--take-over"], "--take-over"),
        (&["--zookeeper-user", "u"], "--zookeeper-user"),
        (&["--zookeeper-tls"], "--zookeeper-tls"),
    ] {
        let arguments = [&alone(&[])[..], more].concat();
        assert_fails(
            &arguments,
            2,
            &[&format!("{option} contradicts --embedded"), "leave one of the two out"],
        );
    }
    assert_fails(&alone(&["--quorum", "2"]), 2, &["--quorum 2 contradicts --embedded", "need ZooKeeper"]);
    assert_fails(&["status", "--embedded", "-p", "/a"], 2, &["--embedded"]);
}

#[test]
fn a_state_file_that_cannot_be_used_is_named_and_left_as_it_is() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), "my notes").expect("it is written");
    let path = file.path().to_string_lossy().into_owned();
    let run = |path: &str| {
        let command = ["run", "--embedded", "-r", "127.0.0.1:1", "--state-file", path].map(str::to_owned);
        command.to_vec()
    };
    let fails = |path: &str, texts: &[&str]| {
        let arguments = run(path);
        let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
        assert_fails(&arguments, 1, texts);
    };
    fails(&path, &[&path, "no state file", "name another file"]);
    assert_eq!(std::fs::read_to_string(file.path()).expect("it is there"), "my notes");
    fails("/nowhere/state", &["/nowhere/state", "its directory must be there"]);
}

#[test]
fn a_monitor_does_not_begin_with_a_source_address_that_its_host_has_not() {
    // Of documentation: no host has it.
    let foreign = with("run", &["--source-address", "192.0.2.1"]);
    assert_fails(&foreign, 1, &["--source-address 192.0.2.1", "hint: it must be an address of this host"]);
}

#[test]
fn top_without_a_terminal_says_what_to_use_instead() {
    assert_fails(&["top", "-z", "h:1", "-p", "/a", "/b"], 1, &["needs a terminal", "status --watch"]);
    assert_fails(&["top", "-z", "h:1"], 2, &["--path <PATH>"]);
    assert_fails(&["top", "--config", "f", "-z", "h:1"], 2, &["--config", "--zkhosts"]);
    assert_fails(&["top", "--config", "/nowhere"], 1, &["/nowhere"]);
}

#[test]
fn the_predecessors_names_work() {
    let long =
        ["check-config", "--zkhosts", "h:1", "--path", "/a", "--redishosts", "a:1", "--sleeptime", "5"];
    assert_eq!(redis_failover(&long).status.code(), Some(0));
    let alias = redis_failover(&["monitor", "--help"]);
    assert!(String::from_utf8_lossy(&alias.stdout).contains("--redishosts"));
}
