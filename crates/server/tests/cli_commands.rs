//! Every command, by clap's own list: a new one stands in the table here, or a test fails. No server runs here.

mod common;

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, ExitStatus, Output, Stdio};
use std::time::Duration;

use nix::pty::{OpenptyResult, openpty};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use redis_failover_lab::eventually;
use serde_json::Value;

use common::{commands, help, program, redis_failover, words};

/// How long a signal may take.
const DEADLINE: Duration = Duration::from_secs(20);

/// How a command answers with `--json`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Json {
    /// What it shows or what came of it, and each failure.
    Told,
    /// It has no `--json`: it runs until it is stopped, and `--log-format json` is that.
    Log,
    /// It has none: what it prints is for a shell, or for man.
    Script,
    /// It has none: `status --json` is that.
    Screen,
}

/// Whether a command asks before it does something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asks {
    /// It shows something, or what it does harms nobody and is undone as easily.
    Nothing,
    /// At once.
    First,
    /// When it has looked what would be done; `e2e`, or `cli_import`, plays that it asks.
    AfterALook,
}

/// Nobody listens there: refused at once.
const NOWHERE: [&str; 4] = ["-z", "127.0.0.1:1", "-p", "/a"];

/// A command, what else it must be told, how it answers with `--json`, and whether it asks.
type Row = (&'static str, &'static [&'static str], Json, Asks);

const COMMANDS: [Row; 30] = [
    ("run", &[], Json::Log, Asks::Nothing),
    ("status", &[], Json::Told, Asks::Nothing),
    ("top", &[], Json::Screen, Asks::Nothing),
    ("doctor", &[], Json::Told, Asks::Nothing),
    ("history", &[], Json::Told, Asks::Nothing),
    ("explain", &["2"], Json::Told, Asks::Nothing),
    ("adopt", &["--master", "a:1"], Json::Told, Asks::AfterALook),
    ("switchover", &[], Json::Told, Asks::AfterALook),
    ("failover", &[], Json::Told, Asks::First),
    ("pause", &["--reason", "x"], Json::Told, Asks::Nothing),
    ("resume", &[], Json::Told, Asks::Nothing),
    ("resync", &["a:1"], Json::Told, Asks::First),
    ("node list", &[], Json::Told, Asks::Nothing),
    ("node add", &["a:1"], Json::Told, Asks::Nothing),
    ("node remove", &["a:1"], Json::Told, Asks::First),
    ("node drain", &["a:1"], Json::Told, Asks::AfterALook),
    ("node no-promote", &["a:1"], Json::Told, Asks::AfterALook),
    ("node priority", &["a:1", "5"], Json::Told, Asks::AfterALook),
    ("node zone", &["a:1", "eu"], Json::Told, Asks::Nothing),
    ("monitor", &[], Json::Log, Asks::Nothing),
    ("monitor list", &[], Json::Told, Asks::Nothing),
    ("monitor forget", &["m1"], Json::Told, Asks::First),
    ("replay", &["/nowhere/journal"], Json::Told, Asks::Nothing),
    ("check-config", &["-r", "a:1,a:1"], Json::Told, Asks::Nothing),
    ("import-sentinel", &["/nowhere/sentinel.conf"], Json::Told, Asks::AfterALook),
    ("config show", &[], Json::Told, Asks::Nothing),
    ("config set", &["quorum=2"], Json::Told, Asks::AfterALook),
    ("config-keys", &[], Json::Told, Asks::Nothing),
    ("completions", &["bash"], Json::Script, Asks::Nothing),
    ("man", &[], Json::Script, Asks::Nothing),
];

/// Those that read no group.
const LOCAL: [&str; 3] = ["replay", "import-sentinel", "config-keys"];

/// What is typed to have a command of the table carried out, with `more` at the end.
fn typed<'a>(command: &'a str, told: &[&'a str], more: &[&'a str]) -> Vec<&'a str> {
    let group: &[&str] = if LOCAL.contains(&command) { &[] } else { &NOWHERE };
    [&words(command)[..], told, group, more].concat()
}

#[test]
fn every_command_stands_in_the_table() {
    let table: BTreeSet<_> = COMMANDS.iter().map(|(command, ..)| (*command).to_owned()).collect();
    assert_eq!(commands(), table);
}

#[test]
fn every_command_takes_json_but_those_whose_output_is_no_answer() {
    for (command, _, json, _) in COMMANDS {
        let help = help(&words(command));
        assert_eq!(help.contains("\n      --json\n"), json == Json::Told, "{command}: {help}");
    }
}

/// Carries out all at once, for each of them waits for a server that is not there.
fn all_at_once(commands: &[Vec<&str>]) -> Vec<Output> {
    let start = |arguments: &Vec<&str>| {
        let mut command = program(arguments);
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts")
    };
    let started: Vec<Child> = commands.iter().map(start).collect();
    started.into_iter().map(|child| child.wait_with_output().expect("it ends")).collect()
}

#[test]
fn each_failure_says_cause_and_hint_and_with_json_is_one_object_of_the_same_keys() {
    let fails = |(command, _, json, _): &&Row| *json == Json::Told && *command != "config-keys";
    let failing: Vec<_> = COMMANDS.iter().filter(fails).collect();
    let yes = |asks: Asks| if asks == Asks::Nothing { &[][..] } else { &["--yes"] };
    let plain: Vec<_> =
        failing.iter().map(|(command, told, _, asks)| typed(command, told, yes(*asks))).collect();
    let json = plain.iter().map(|arguments| [&arguments[..], &["--json"]].concat());
    let outputs = all_at_once(&plain.iter().cloned().chain(json).collect::<Vec<_>>());
    let (plain, json) = outputs.split_at(failing.len());
    for ((command, ..), (plain, json)) in failing.iter().zip(plain.iter().zip(json)) {
        let (kind, code, cause) = match *command {
            "check-config" => ("usage", 2, "names a:1 twice"),
            "replay" => ("failed", 1, "/nowhere/journal"),
            "import-sentinel" => ("failed", 1, "/nowhere/sentinel.conf"),
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
fn where_nobody_can_be_asked_harm_is_done_only_with_yes() {
    for (command, told, _, asks) in COMMANDS {
        let takes_yes = help(&words(command)).contains("\n      --yes\n");
        assert_eq!(takes_yes, asks != Asks::Nothing, "{command}: whoever asks takes --yes");
        if asks == Asks::First {
            let output = redis_failover(&typed(command, told, &["--json"]));
            let told: Value = serde_json::from_slice(&output.stdout).expect("JSON");
            assert_eq!((output.status.code(), &told["kind"]), (Some(1), &"not_confirmed".into()), "{told}");
            assert!(told["error"].as_str().is_some_and(|it| it.starts_with("nothing was done: ")), "{told}");
            assert!(told["hint"].as_str().is_some_and(|it| it.contains("--yes")), "{told}");
        }
    }
}

/// A command at a terminal, at which the answer was typed already.
struct AtTerminal {
    child: Child,
    terminal: File,
}

impl AtTerminal {
    fn start((command, told, ..): &Row, answer: &str) -> Self {
        let OpenptyResult { master, slave } = openpty(None, None).expect("a terminal");
        let mut terminal = File::from(master);
        terminal.write_all(answer.as_bytes()).expect("it is typed");
        let mut program = program(&typed(command, told, &[]));
        program.stdin(slave.try_clone().expect("a handle")).stderr(slave).stdout(Stdio::null());
        Self { child: program.spawn().expect("the program starts"), terminal }
    }

    /// The exit code, and what stands on the terminal.
    fn end(mut self) -> (Option<i32>, String) {
        let code = self.child.wait().expect("it ends").code();
        let mut shown = Vec::new();
        // When nobody holds the other end any more, that is an error (EIO), and all was read.
        let _ = self.terminal.read_to_end(&mut shown);
        (code, String::from_utf8_lossy(&shown).into_owned())
    }
}

#[test]
fn at_a_terminal_harm_is_done_only_after_a_yes() {
    let asking: Vec<_> = COMMANDS.iter().filter(|(.., asks)| *asks == Asks::First).collect();
    assert!(!asking.is_empty());
    let all = |answer| asking.iter().map(|row| AtTerminal::start(row, answer)).collect::<Vec<_>>();
    // All at once: with a yes each waits for a server that is not there.
    let (yes, no, empty, end) = (all("Yes\n"), all("no\n"), all("\n"), all("\u{4}"));
    for at in yes {
        let (code, shown) = at.end();
        assert!(shown.contains("? [y/N] "), "{shown}");
        assert_eq!((code, shown.contains("ZooKeeper")), (Some(3), true), "it went on: {shown}");
    }
    for at in no.into_iter().chain(empty).chain(end) {
        let (code, shown) = at.end();
        assert!(
            shown.contains("? [y/N] ") && shown.contains("nothing was done: the answer was no"),
            "{shown}"
        );
        assert_eq!(code, Some(1), "{shown}");
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
fn a_command_line_that_is_not_understood_is_told_in_json_where_that_is_wanted() {
    let told = |arguments: &[&str]| {
        let wrong = redis_failover(arguments);
        let (out, error) = (String::from_utf8_lossy(&wrong.stdout), String::from_utf8_lossy(&wrong.stderr));
        assert_eq!(wrong.status.code(), Some(2), "{arguments:?}: {out}{error}");
        let told: Value = serde_json::from_str(&out).unwrap_or_else(|cause| panic!("{cause}: {out}"));
        assert_eq!((&told["done"], &told["kind"]), (&false.into(), &"usage".into()), "{told}");
        let text = |key: &str| told[key].as_str().unwrap_or_default().to_owned();
        assert_eq!(error, format!("error: {}\nhint: {}\n", text("error"), text("hint")));
        (text("error"), text("hint"))
    };
    let (error, hint) = told(&["status", "--json", "-z", "localhost:2181"]);
    assert_eq!(error, "the following required arguments were not provided: --path <PATH>");
    assert!(hint.starts_with("Usage: redis-failover status "), "{hint}");
    let (error, hint) = told(&["switchover", "-z", "h:1", "-p", "/a", "--timeot", "1s", "--json"]);
    assert_eq!(error, "unexpected argument '--timeot' found");
    assert!(hint.contains("'--timeout'"), "{hint}");
    let (error, _) = told(&["explain", "--json", "two", "-z", "h:1", "-p", "/a"]);
    assert!(error.contains("'two'") && error.contains("<EPOCH>"), "{error}");
    // What comes after `--` is no option, and help is no error.
    let plain = redis_failover(&["explain", "-z", "h:1", "-p", "/a", "--", "--json"]);
    assert_eq!((plain.status.code(), plain.stdout.as_slice()), (Some(2), b"".as_slice()));
    assert_eq!(redis_failover(&["status", "--json", "--help"]).status.code(), Some(0));
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
        program(&["config-keys"]).stdout(output).output().expect("the program runs")
    };
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let unread = to(writer.into());
    assert_eq!((unread.status.code(), unread.stderr.len()), (Some(0), 0));
    let full = to(std::fs::File::options().write(true).open("/dev/full").expect("Linux has it").into());
    let error = String::from_utf8_lossy(&full.stderr);
    assert_eq!((full.status.code(), error.contains("No space left")), (Some(1), true), "{error}");
}

/// A command that would not end by itself. Dropping it ends it.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended, and cannot fail in a way that we could repair.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts the command, waits until it calls its silent ZooKeeper, sends the signal, and waits until it has ended.
fn ended_by(signal: Signal, command: &[&str]) -> ExitStatus {
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    silent.set_nonblocking(true).expect("it can be asked");
    let address = silent.local_addr().expect("it has one").to_string();
    let mut program = program(&[command, &["-z", &address, "-p", "/a"]].concat());
    let mut running = Running(program.stderr(Stdio::null()).spawn().expect("the program starts"));
    let _call = eventually(DEADLINE, "it calls ZooKeeper", || silent.accept());
    let pid = i32::try_from(running.0.id()).expect("a process id");
    kill(Pid::from_raw(pid), signal).expect("it runs");
    eventually(DEADLINE, "it has ended", || running.0.try_wait().expect("it is ours").ok_or("it runs"))
}

#[test]
fn a_monitor_ends_well_when_it_is_told_to_and_any_other_command_is_ended_by_the_signal() {
    let run = ["run", "-r", "a:1"];
    for (signal, command, ended) in [
        (Signal::SIGTERM, &run[..], Ok(0)),
        (Signal::SIGINT, &run[..], Ok(0)),
        // Without a file that could be read again.
        (Signal::SIGHUP, &run[..], Err(1)),
        (Signal::SIGINT, &["history"][..], Err(2)),
        (Signal::SIGTERM, &["resume"][..], Err(15)),
    ] {
        let status = ended_by(signal, command);
        assert_eq!(status.code().ok_or(status.signal()), ended.map_err(Some), "{signal} {command:?}");
    }
}

#[test]
fn each_exit_code_is_documented_and_seen() {
    let help = help(&[]);
    let told = help.lines().skip_while(|line| *line != "Exit codes:").skip(1);
    let told: Vec<_> = told.map_while(|line| line.strip_prefix("  ")?.split_whitespace().next()).collect();
    // What ends by a signal is above; 4 takes servers: `e2e` (doctor) sees it.
    assert_eq!(told, ["0", "1", "2", "3", "4", "128+N"]);
    for (code, command) in [
        (0, &["config-keys"][..]),
        (1, &["replay", "/nowhere/journal"]),
        (2, &["history"]),
        (3, &["history", "-z", "127.0.0.1:1", "-p", "/a"]),
    ] {
        assert_eq!(redis_failover(command).status.code(), Some(code), "{command:?}");
    }
}
