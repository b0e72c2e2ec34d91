//! `cargo xtask test`: the servers, the runner, and a look at what it left behind.
//!
//! Deadlines live in the tests, not here. Nothing is built beforehand: cargo builds the binary that the
//! end-to-end tests of its package start. After a suite that passed it prints nothing, so that the runner's
//! summary stays last.

mod leftovers;
mod netns;

use std::time::Duration;

use anyhow::{Result, bail};

use crate::command::{self, cargo};
use crate::packages::{self, IPROUTE, JAVA, KAZOO, Need, REDIS, STRACE, ZOOKEEPER};
use crate::programs::WHOLE;
use crate::{clients, servers};

/// How long a server may take to notice that its test is gone.
const GRACE: Duration = Duration::from_secs(3);

/// What every suite starts.
static SERVERS: [&Need; 5] = [&REDIS, &ZOOKEEPER, &JAVA, &KAZOO, &STRACE];

/// Runs all tests, or with arguments what these make of it. Those in network namespaces are among them where such
/// can be made, and stand first: the last summary is of the many.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    if !arguments.is_empty() {
        packages::ensure(&SERVERS)?;
        return watched(|| run_tests(arguments));
    }
    if !netns::possible() {
        println!(
            "the tests in network namespaces are left out: as root, `cargo xtask test --netns` runs them"
        );
        packages::ensure(&SERVERS)?;
        return watched(run_all);
    }
    packages::ensure(&[SERVERS.as_slice(), &[&IPROUTE]].concat())?;
    watched(|| {
        let in_namespaces = run_tests(&netns::tests());
        // The others are of use also when these fail.
        run_all().and(in_namespaces)
    })
}

/// Runs the tests that need network namespaces, which takes root.
pub(crate) fn run_in_namespaces(arguments: &[String]) -> Result<()> {
    if !netns::possible() {
        bail!("network namespaces cannot be made here: run it as root, in a container with CAP_SYS_ADMIN");
    }
    packages::ensure(&[SERVERS.as_slice(), &[&IPROUTE]].concat())?;
    watched(|| run_tests(&[netns::tests().as_slice(), arguments].concat()))
}

/// Runs `tests`, and fails as well where it leaves processes behind.
fn watched(tests: impl FnOnce() -> Result<()>) -> Result<()> {
    servers::fetch()?;
    clients::fetch()?;
    let before = leftovers::processes();
    if before.is_empty() {
        println!("leftover processes are not looked for: there is no /proc here");
    }
    let outcome = tests();
    let left = leftovers::wait(&before, GRACE);
    for process in &left {
        eprintln!("left behind: {process}");
    }
    match (outcome, left.len()) {
        (outcome, 0) => outcome,
        (Ok(()), left) => bail!("the tests passed, but processes are left behind: {left}"),
        (Err(error), left) => {
            Err(error.context(format!("the tests failed, and processes are left behind: {left}")))
        }
    }
}

/// Everything, with all that the client can do, and then the client with each of its APIs alone: one must not be
/// missed where only the other is there.
fn run_all() -> Result<()> {
    let whole = words(WHOLE);
    if command::succeeds(&mut cargo("nextest --version")) {
        // nextest does not run the examples in the documentation.
        command::run(cargo("test --locked --doc --quiet").args(&whole))?;
    }
    // The others are of use also when one fails.
    ALONE.iter().fold(run_tests(&whole), |outcome, alone| outcome.and(run_tests(&words(alone))))
}

/// The client's APIs, each without the other.
const ALONE: [&str; 2] = [
    "-p redis-failover --no-default-features --features tokio",
    "-p redis-failover --no-default-features --features blocking",
];

fn words(arguments: &str) -> Vec<String> {
    arguments.split(' ').map(str::to_owned).collect()
}

fn run_tests(arguments: &[String]) -> Result<()> {
    if command::succeeds(&mut cargo("nextest --version")) {
        return command::run(cargo("nextest run --locked").args(arguments));
    }
    command::run(cargo("test --locked --no-fail-fast").args(for_cargo_test(arguments)))
}

/// `cargo test` knows no test groups: two at a time in all, because each may start a world of servers.
fn for_cargo_test(arguments: &[String]) -> Vec<String> {
    let mut arguments = arguments.to_vec();
    if !arguments.iter().any(|argument| argument.starts_with("--test-threads")) {
        if !arguments.iter().any(|argument| argument == "--") {
            arguments.push("--".into());
        }
        arguments.push("--test-threads=2".into());
    }
    arguments
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rewritten(arguments: &[&str]) -> String {
        for_cargo_test(&arguments.iter().map(ToString::to_string).collect::<Vec<_>>()).join(" ")
    }

    #[test]
    fn cargo_test_runs_two_at_a_time_unless_told_otherwise() {
        assert_eq!(rewritten(&[]), "-- --test-threads=2");
        assert_eq!(rewritten(&["-p", "x"]), "-p x -- --test-threads=2");
        assert_eq!(rewritten(&["x", "--", "--nocapture"]), "x -- --nocapture --test-threads=2");
        assert_eq!(rewritten(&["--", "--test-threads=1"]), "-- --test-threads=1");
    }
}
