//! What is typed and what is printed, kept in `tests/transcripts`: a line `$ redis-failover …`, then standard output,
//! the lines of standard error after `!`, and the exit code. `UPDATE_EXPECT=1` writes down what is printed now.
//! No server runs here.

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Output, Stdio};

use common::{commands, program, words};

const PROMPT: &str = "$ redis-failover";

/// Starts what was typed, beside the journals that are kept.
fn start(typed: &str) -> Child {
    let mut program = program(&words(typed));
    program.current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests"));
    program.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    program.spawn().expect("the program starts")
}

fn transcript(typed: &str, output: &Output) -> String {
    let lines = |bytes: &[u8], before: &str| {
        let text = String::from_utf8_lossy(bytes).into_owned();
        text.lines().map(|line| format!("{before}{line}").trim_end().to_owned() + "\n").collect::<String>()
    };
    let code = output.status.code().expect("it ended by itself");
    let printed = lines(&output.stdout, "") + &lines(&output.stderr, "! ");
    format!("{PROMPT} {typed}\n{printed}[exit code {code}]\n")
}

/// Plays what is typed in the file of this name; all at once, for some wait for a server that is not there.
fn plays(name: &str) -> Vec<String> {
    let path: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/transcripts").join(name);
    let kept = fs::read_to_string(&path).expect("the transcript");
    let typed: Vec<_> =
        kept.lines().filter_map(|line| line.strip_prefix(PROMPT)).map(|it| it.trim().to_owned()).collect();
    assert!(!typed.is_empty(), "nothing is typed in {name}");
    let started: Vec<_> = typed.iter().map(|typed| start(typed)).collect();
    let outputs = started.into_iter().map(|child| child.wait_with_output().expect("it ends"));
    let played: Vec<_> =
        typed.iter().zip(outputs).map(|(typed, output)| transcript(typed, &output)).collect();
    let now = played.join("\n");
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        fs::write(&path, &now).expect("it is written");
        return typed;
    }
    let differs = now.lines().zip(kept.lines()).find(|(now, then)| now != then);
    assert!(now == kept, "{name}: UPDATE_EXPECT=1 writes it anew; the first difference: {differs:?}");
    typed
}

/// Asserts that each command is typed, with what comes after it.
fn assert_all_are_typed(typed: &[String], and: impl Fn(&str) -> bool) {
    for command in commands() {
        let is_typed = typed.iter().filter_map(|typed| typed.strip_prefix(&*command)).any(&and);
        assert!(is_typed, "it misses `{command}`");
    }
}

#[test]
fn an_option_that_no_command_has_is_told_with_the_nearest_that_it_has() {
    let typed = plays("unknown.txt");
    assert_all_are_typed(&typed, |rest| rest.starts_with(" --"));
}

#[test]
fn what_is_missing_is_told() {
    let mut typed = plays("missing.txt");
    // These need nothing.
    typed.extend(["config-keys".to_owned(), "man".to_owned()]);
    assert_all_are_typed(&typed, str::is_empty);
}

#[test]
fn what_fails_is_told_with_its_cause() {
    plays("failures.txt");
}

#[test]
fn what_needs_no_server_is_shown() {
    plays("shown.txt");
}
