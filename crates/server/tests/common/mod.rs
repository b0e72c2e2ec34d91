//! The program as tests of its command line start it, and all its commands, by clap's own list.

use std::collections::BTreeSet;
use std::process::{Command, Output};

/// The program, with nothing of our environment.
pub(crate) fn program(arguments: &[&str]) -> Command {
    let mut program = Command::new(env!("CARGO_BIN_EXE_redis-failover"));
    program.env_clear().args(arguments);
    program
}

/// What comes of it; its standard input is no terminal.
pub(crate) fn redis_failover(arguments: &[&str]) -> Output {
    program(arguments).output().expect("the program runs")
}

/// The words of a command.
pub(crate) fn words(command: &str) -> Vec<&str> {
    command.split_whitespace().collect()
}

/// The help of a command.
pub(crate) fn help(command: &[&str]) -> String {
    let output = redis_failover(&[command, &["--help"]].concat());
    assert_eq!(output.status.code(), Some(0), "{command:?}");
    String::from_utf8(output.stdout).expect("text")
}

/// Each command that can be carried out.
pub(crate) fn commands() -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    collect(&[], &mut all);
    all
}

/// Adds those at and below `command`.
fn collect(command: &[&str], all: &mut BTreeSet<String>) {
    let help = help(command);
    let below = help
        .lines()
        .skip_while(|line| line.trim_end() != "Commands:")
        .skip(1)
        .take_while(|line| line.starts_with(' '))
        // Deeper lines are descriptions.
        .filter_map(|line| line.strip_prefix("  ").filter(|rest| !rest.starts_with(' ')))
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| *name != "help");
    let usage = help.lines().find(|line| line.starts_with("Usage:")).expect("a usage");
    if !usage.ends_with("<COMMAND>") {
        all.insert(command.join(" "));
    }
    for name in below {
        collect(&[command, &[name]].concat(), all);
    }
}
