//! `cargo xtask ci`, a list of steps, and `cargo xtask fix`, its writing twin.
//!
//! `ci` never writes to the repository (`--locked` keeps even `Cargo.lock` as it is) and never compiles a
//! tool.

use std::process::Command;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};

use crate::command::{self, cargo};
use crate::programs::{Build, built};
use crate::{docs, test, tidy};

/// Checks everything; the first failure ends it with the command that reproduces it.
pub(crate) fn check(except_tests: bool) -> Result<()> {
    steps(except_tests, command::succeeds(&mut cargo("deny --version"))).into_iter().try_for_each(Step::run)
}

/// Repairs what a machine can. Lints come first, for their repairs may need formatting.
pub(crate) fn fix() -> Result<()> {
    let lints = "clippy --fix --allow-dirty --allow-staged --allow-no-vcs --workspace --all-targets";
    command::run(&mut cargo(lints))?;
    command::run(&mut cargo("fmt --all"))?;
    docs::run(false)
}

struct Step {
    name: &'static str,
    work: Work,
}

enum Work {
    /// Another program.
    Program(Command),
    /// A task of ours, and how to call it.
    Task(&'static str, fn() -> Result<()>),
    /// Nothing, and why.
    Skipped(&'static str),
}

fn steps(except_tests: bool, has_deny: bool) -> Vec<Step> {
    let mut doc = cargo("doc --workspace --all-features --no-deps --locked");
    doc.env("RUSTDOCFLAGS", "-D warnings");
    let deny = if has_deny {
        Work::Program(cargo("deny --locked check"))
    } else {
        Work::Skipped("cargo-deny is not installed (`cargo install --locked cargo-deny`)")
    };
    let steps = [
        ("format", Work::Program(cargo("fmt --all --check"))),
        // With the features of `doc`, whose dependencies are the same then.
        (
            "clippy",
            Work::Program(cargo("clippy --workspace --all-features --all-targets --locked -- -D warnings")),
        ),
        // Those of the client's features that are not in what is built by default, alone.
        ("blocking", Work::Program(cargo(&clippy_of_client("--no-default-features --features blocking")))),
        ("tls", Work::Program(cargo(&clippy_of_client("--no-default-features --features blocking,tls")))),
        ("doc", Work::Program(doc)),
        ("tidy", Work::Task("cargo xtask tidy", tidy::run)),
        ("docs", Work::Task("cargo xtask docs --check", || docs::run(true))),
        ("deny", deny),
        ("simulate", Work::Task(SIMULATE, simulate)),
        ("soak", Work::Program(cargo(&format!("xtask soak --tested --minutes 1 --seed {}", today())))),
        ("test", Work::Task("cargo xtask test", || test::run(&[]))),
    ];
    let wanted = |step: &Step| !(except_tests && step.name == "test");
    steps.into_iter().map(|(name, work)| Step { name, work }).filter(wanted).collect()
}

/// What comes to the same as the step `simulate`.
const SIMULATE: &str = "cargo run --bin redis-failover-sim -- --seeds 1000 --seconds 20";

/// Has the simulator play the first seeds. It is the one that the tests build, and not built once more for this.
fn simulate() -> Result<()> {
    let words = SIMULATE.split_once(" -- ").map_or("", |(_, words)| words);
    command::run(Command::new(built(Build::Tested, "redis-failover-sim")?).args(words.split(' ')))
}

fn clippy_of_client(features: &str) -> String {
    format!("clippy -p redis-failover {features} --all-targets --locked -- -D warnings")
}

/// The number of the day: each day other faults come, and who sees them fail can play them again.
fn today() -> u64 {
    const SECONDS: u64 = 24 * 60 * 60;
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs() / SECONDS)
}

impl Step {
    fn run(self) -> Result<()> {
        let Self { name, work } = self;
        let started = Instant::now();
        let (typed, outcome) = match work {
            Work::Skipped(why) => {
                println!("==> {name}: did not run, {why}");
                return Ok(());
            }
            Work::Program(mut command) => {
                let typed = command::typed(&command);
                println!("==> {name}: {typed}");
                (typed, command::run(&mut command))
            }
            Work::Task(typed, task) => {
                println!("==> {name}: {typed}");
                (typed.to_owned(), task())
            }
        };
        println!("    {name} took {:.1} s", started.elapsed().as_secs_f64());
        outcome.with_context(|| format!("{name} failed, to be reproduced with `{typed}`"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(steps: &[Step]) -> Vec<&str> {
        steps.iter().map(|step| step.name).collect()
    }

    #[test]
    fn tests_come_last_or_not_at_all() {
        let all = steps(false, true);
        let without = steps(true, true);
        assert_eq!(
            names(&all),
            [
                "format", "clippy", "blocking", "tls", "doc", "tidy", "docs", "deny", "simulate", "soak",
                "test"
            ]
        );
        assert_eq!(names(&without), names(&all[..10]));
    }

    #[test]
    fn what_failed_in_a_soak_can_be_played_again() {
        let soak = steps(true, true).into_iter().find(|step| step.name == "soak").unwrap();
        let Work::Program(command) = soak.work else { panic!("another kind of work") };
        let typed = command::typed(&command);
        let seed = typed.strip_prefix("cargo xtask soak --tested --minutes 1 --seed ").unwrap();
        assert!(seed.parse::<u64>().unwrap() > 20_000, "the days since 1970: {seed}");
    }

    #[test]
    fn a_missing_tool_is_said_and_is_no_failure() {
        let deny = steps(true, false).into_iter().find(|step| step.name == "deny").unwrap();
        assert!(matches!(deny.work, Work::Skipped(why) if why.contains("cargo-deny")));
        assert!(deny.run().is_ok());
    }

    #[test]
    fn a_failure_says_how_to_reproduce_it() {
        let failing = Step { name: "lint", work: Work::Program(Command::new("false")) };
        let error = failing.run().unwrap_err();
        assert_eq!(error.to_string(), "lint failed, to be reproduced with `false`");
        let failing = Step { name: "own", work: Work::Task("cargo xtask own", || anyhow::bail!("no")) };
        assert!(format!("{:#}", failing.run().unwrap_err()).contains("cargo xtask own`: no"));
    }
}
