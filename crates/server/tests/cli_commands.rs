//! Every command, by clap's own list: a new one stands in the table here, or a test fails. No server runs here.

use std::collections::BTreeSet;
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;

/// How a command answers with `--json`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Json {
    /// What it shows or what came of it, and each failure.
    Told,
    /// It has no `--json`: it runs until it is stopped, and `--log-format json` is that.
    Log,
}

/// Nobody listens there: refused at once.
const NOWHERE: [&str; 4] = ["-z", "127.0.0.1:1", "-p", "/a"];

/// Each command, what else it must be told, and how it answers with `--json`.
const COMMANDS: [(&str, &[&str], Json); 26] = [
    ("run", &[], Json::Log),
    ("status", &NOWHERE, Json::Told),
    ("doctor", &NOWHERE, Json::Told),
    ("history", &NOWHERE, Json::Told),
    ("explain", &["2", "-z", "127.0.0.1:1", "-p", "/a"], Json::Told),
    ("adopt", &["--master", "a:1", "--yes", "-z", "127.0.0.1:1", "-p", "/a"], Json::Told),
    ("switchover", &NOWHERE, Json::Told),
    ("failover", &NOWHERE, Json::Told),
    ("pause", &["--reason", "x", "-z", "127.0.0.1:1", "-p", "/a"], Json::Told),
    ("resume", &NOWHERE, Json::Told),
    ("resync", &["a:1", "-z", "127.0.0.1:1", "-p", "/a"], Json::Told),
    ("node list", &NOWHERE, Json::Told),
    ("node add", &["a:1", "-z", "127.0.0.1:1", "-p", "/a"], Json::Told),
    ("node remove", &["a:1", "--yes", "-z", "127.0.0.1:1", "-p", "/a"], Json::Told),
    ("node drain", &["a:1", "-z", "127.0.0.1:1", "-p", "/a"], Json::Told),
    ("node no-promote", &["a:1", "-z", "127.0.0.1:1", "-p", "/a"], Json::Told),
    ("node priority", &["a:1", "5", "-z", "127.0.0.1:1", "-p", "/a"], Json::Told),
    ("node zone", &["a:1", "eu", "-z", "127.0.0.1:1", "-p", "/a"], Json::Told),
    ("monitor", &[], Json::Log),
    ("monitor list", &NOWHERE, Json::Told),
    ("monitor forget", &["m1", "-z", "127.0.0.1:1", "-p", "/a"], Json::Told),
    ("replay", &["/nowhere/journal"], Json::Told),
    ("check-config", &["-r", "a:1,a:1", "-z", "127.0.0.1:1", "-p", "/a"], Json::Told),
    ("config show", &NOWHERE, Json::Told),
    ("config set", &["quorum=2", "-z", "127.0.0.1:1", "-p", "/a"], Json::Told),
    ("config-keys", &[], Json::Told),
];

fn redis_failover(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_redis-failover"));
    command.env_clear().args(arguments).output().expect("the program runs")
}

fn words(command: &str) -> Vec<&str> {
    command.split(' ').collect()
}

fn help(command: &[&str]) -> String {
    let output = redis_failover(&[command, &["--help"]].concat());
    assert_eq!(output.status.code(), Some(0), "{command:?}");
    String::from_utf8(output.stdout).expect("text")
}

/// The commands of which `help` is the help: each whose usage takes no other command.
fn commands_of(command: &[&str], all: &mut BTreeSet<String>) {
    let help = help(command);
    let below: Vec<&str> = help
        .lines()
        .skip_while(|line| line.trim_end() != "Commands:")
        .skip(1)
        .take_while(|line| line.starts_with(' '))
        .filter_map(|line| line.strip_prefix("  ").filter(|rest| !rest.starts_with(' ')))
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| *name != "help")
        .collect();
    let usage = help.lines().find(|line| line.starts_with("Usage:")).expect("a usage");
    if !command.is_empty() && !usage.ends_with("<COMMAND>") {
        all.insert(command.join(" "));
    }
    for name in below {
        commands_of(&[command, &[name]].concat(), all);
    }
}

#[test]
fn every_command_stands_in_the_table() {
    let mut all = BTreeSet::new();
    commands_of(&[], &mut all);
    let table: BTreeSet<_> = COMMANDS.iter().map(|(command, ..)| (*command).to_owned()).collect();
    assert_eq!(all, table);
}

#[test]
fn every_command_takes_json_but_those_that_run_until_they_are_stopped() {
    for (command, _, json) in COMMANDS {
        let help = help(&words(command));
        assert_eq!(help.contains("\n      --json\n"), json == Json::Told, "{command}: {help}");
    }
}

/// Carries out all at once, for each of them waits for a server that is not there.
fn all_at_once(commands: &[Vec<&str>]) -> Vec<Output> {
    let start = |arguments: &Vec<&str>| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_redis-failover"));
        let command = command.env_clear().args(arguments).stdin(Stdio::null());
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program starts")
    };
    let started: Vec<Child> = commands.iter().map(start).collect();
    started.into_iter().map(|child| child.wait_with_output().expect("it ends")).collect()
}

#[test]
fn each_failure_says_cause_and_hint_and_with_json_is_one_object_of_the_same_keys() {
    let fails =
        |(command, _, json): &&(&str, &[&str], Json)| *json == Json::Told && *command != "config-keys";
    let failing: Vec<_> = COMMANDS.iter().filter(fails).collect();
    let plain: Vec<_> =
        failing.iter().map(|(command, more, _)| [&words(command)[..], more].concat()).collect();
    let json = plain.iter().map(|arguments| [&arguments[..], &["--json"]].concat());
    let outputs = all_at_once(&plain.iter().cloned().chain(json).collect::<Vec<_>>());
    let (plain, json) = outputs.split_at(failing.len());
    for ((command, ..), (plain, json)) in failing.iter().zip(plain.iter().zip(json)) {
        let (kind, code, cause) = match *command {
            "check-config" => ("usage", 2, "names a:1 twice"),
            "replay" => ("failed", 1, "/nowhere/journal"),
            _ => ("unreachable", 3, "ZooKeeper at 127.0.0.1:1"),
        };
        let error = String::from_utf8_lossy(&plain.stderr);
        assert!(error.starts_with("error: ") && error.contains(cause), "{command}: {error}");
        assert_eq!(error.contains("\nhint: "), *command != "replay", "{command}: {error}");
        assert_eq!((plain.status.code(), json.status.code()), (Some(code), Some(code)), "{command}");
        assert!(plain.stdout.is_empty(), "{command}");

        let text = String::from_utf8_lossy(&json.stdout);
        assert_eq!(text.lines().count(), 1, "{command}: {text}");
        let told: Value = serde_json::from_str(&text).expect("JSON");
        let keys: Vec<_> = told.as_object().expect("an object").keys().map(String::as_str).collect();
        assert_eq!(keys, ["done", "kind", "error", "hint"], "{command}");
        assert_eq!((&told["done"], &told["kind"]), (&false.into(), &kind.into()), "{command}: {told}");
        let of_json = |key: &str| told[key].as_str().map(str::to_owned);
        let said = [
            of_json("error").map(|it| format!("error: {it}")),
            of_json("hint").map(|it| format!("hint: {it}")),
        ];
        let said: Vec<_> = said.into_iter().flatten().collect();
        assert_eq!(error.trim_end(), said.join("\n"), "{command}: in words it is the same");
    }
}

#[test]
fn what_can_be_shown_without_a_server_is_json_too() {
    let shown = |arguments: &[&str]| {
        let output = redis_failover(arguments);
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice::<Value>(&output.stdout).expect("JSON")
    };
    let config =
        shown(&["check-config", "-z", "h:1", "-p", "/a", "-r", "a:1,b:1", "--quorum", "2", "--json"]);
    let group = &config["groups"][0];
    assert_eq!((&group["path"], &group["redishosts"][1]), (&"/a".into(), &"b:1".into()), "{config}");
    assert_eq!(
        (&group["policy"]["quorum"], &group["redis_password"]),
        (&2.into(), &false.into()),
        "{config}"
    );
    let keys = shown(&["config-keys", "--json"]);
    let quorum = keys.as_array().expect("an array").iter().find(|key| key["key"] == "quorum");
    let quorum = quorum.expect("it is a key");
    assert_eq!(quorum["stands_in"], serde_json::json!(["group", "defaults"]));
}

#[test]
fn what_is_wrong_with_an_option_that_clap_does_not_know_is_json_too() {
    let wrong = redis_failover(&["config-keys", "--json", "--log", "a=b"]);
    let told: Value = serde_json::from_slice(&wrong.stdout).expect("JSON");
    assert_eq!((wrong.status.code(), &told["kind"]), (Some(2), &"usage".into()), "{told}");
}

#[test]
fn an_output_that_nobody_reads_is_well_and_one_that_is_full_is_an_error() {
    let to = |output: std::process::Stdio| {
        let mut program = Command::new(env!("CARGO_BIN_EXE_redis-failover"));
        program.arg("config-keys").stdout(output).output().expect("the program runs")
    };
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let unread = to(writer.into());
    assert_eq!((unread.status.code(), unread.stderr.len()), (Some(0), 0));
    let full = to(std::fs::File::options().write(true).open("/dev/full").expect("Linux has it").into());
    let error = String::from_utf8_lossy(&full.stderr);
    assert_eq!((full.status.code(), error.contains("No space left")), (Some(1), true), "{error}");
}
