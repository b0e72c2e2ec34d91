//! `cargo xtask`: everything that CI does and a contributor needs, in Rust, so that no shell script has to be
//! trusted.
//!
//! | command | what |
//! |---|---|
//! | `ci` | CI, word for word; writes nothing but build output |
//! | `fix` | its writing twin |
//! | `tidy` | the rules of this repository that no compiler checks |
//! | `test` | all tests, and the servers they need |
//! | `servers` | the servers of other versions that the tests run on |
//! | `clients` | the Redis clients of other languages that the tests run |
//! | `docs` | what is generated: the command line reference, core's table of Redis commands |
//! | `demo` | a group of real Redis servers that loses its master, and our programs at work |
//! | `bench` | measurements: `bench client`, `guard`, `loss`, `sentinel-clients`, `switchover` |
//! | `soak` | faults from a seed on real servers, held against what is promised |
//!
//! It never depends on our own crates: what checks them must build when they do not. It never calls `sudo`,
//! and it never ends a process that it did not start.

mod cache;
mod ci;
mod clients;
mod command;
mod docs;
mod packages;
mod programs;
mod servers;
mod test;
mod tidy;
mod trial;

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};

use programs::Build;

/// The tasks of this repository.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Check everything as CI does, writing nothing
    Ci {
        /// Leave out the tests, which `cargo xtask test` runs
        #[arg(long)]
        except_tests: bool,
    },
    /// Repair what a machine can: lints, format, generated documents
    Fix,
    /// Check the rules that no compiler checks
    Tidy,
    /// Run all tests; as root on Debian, install the servers they need first
    Test {
        /// Run only the tests in network namespaces, which takes root; as root they are part of all tests
        #[arg(long)]
        netns: bool,
        /// Arguments for the runner: cargo-nextest where it is installed, otherwise `cargo test`
        #[arg(last = true)]
        runner: Vec<String>,
    },
    /// Fetch the Redis and Valkey servers of other versions that the tests run on, where they are not in the cache yet
    Servers,
    /// Fetch the Redis clients of other languages that the tests run, where they are not in the cache yet
    Clients,
    /// Write what is generated: documents, and the table of Redis commands from a running server
    Docs {
        /// Compare instead of writing, and fail where something is stale
        #[arg(long)]
        check: bool,
    },
    /// Build the release and show a failover on real Redis servers
    #[command(disable_help_flag = true)]
    Demo {
        /// Arguments for `redis-failover-trial demo`; `--help` shows them
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Build the release and measure it: `bench client`, `guard`, `loss`, `sentinel-clients`, `switchover`
    #[command(disable_help_flag = true)]
    Bench {
        /// What to measure, then arguments for it; `--help` shows them
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Build the release and do one fault after the other to it, drawn from a seed: `soak --minutes 30 --seed 7`
    #[command(disable_help_flag = true)]
    Soak {
        /// Do it to what the tests are built of, and build no release; to be said first
        #[arg(long)]
        tested: bool,
        /// Arguments for `redis-failover-trial soak`; `--help` shows them
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
}

fn main() -> ExitCode {
    match run(&Arguments::parse().task) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(task: &Task) -> Result<()> {
    let caller = std::env::current_dir().context("the current directory is gone")?;
    // Asked for now and not when compiled: checkouts that share a target directory may share this very binary.
    let here = std::env::var_os("CARGO_MANIFEST_DIR").context("start it with `cargo xtask`")?;
    let root = Path::new(&here).join("..");
    std::env::set_current_dir(&root).with_context(|| format!("cannot enter {}", root.display()))?;
    match task {
        Task::Ci { except_tests } => ci::check(*except_tests),
        Task::Fix => ci::fix(),
        Task::Tidy => tidy::run(),
        Task::Test { netns: true, runner } => test::run_in_namespaces(runner),
        Task::Test { netns: false, runner } => test::run(runner),
        Task::Servers => servers::fetch(),
        Task::Clients => clients::fetch(),
        Task::Docs { check } => docs::run(*check),
        Task::Demo { arguments } => trial::run(Build::Release, "demo", arguments, &caller),
        Task::Bench { arguments } => trial::run(Build::Release, "bench", arguments, &caller),
        Task::Soak { tested, arguments } => {
            let build = if *tested { Build::Tested } else { Build::Release };
            trial::run(build, "soak", arguments, &caller)
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn the_runner_gets_all_that_follows_the_dashes() {
        let words = ["cargo xtask", "test", "--", "--nocapture", "--", "name"];
        let Task::Test { netns: false, runner } = Arguments::parse_from(words).task else {
            panic!("another task")
        };
        assert_eq!(runner, ["--nocapture", "--", "name"]);
        let words = ["cargo xtask", "test", "--netns", "--", "name"];
        let Task::Test { netns: true, runner } = Arguments::parse_from(words).task else {
            panic!("another task")
        };
        assert_eq!(runner, ["name"]);
    }

    #[test]
    fn the_trial_gets_all_that_follows_its_name() {
        let words = ["cargo xtask", "demo", "--seconds", "9", "--help", "-h", "--check", "--", "x"];
        let Task::Demo { arguments } = Arguments::parse_from(words).task else { panic!("another task") };
        assert_eq!(arguments, words[2..]);
        let words = ["cargo xtask", "bench", "client", "--zookeeper", "-v"];
        let Task::Bench { arguments } = Arguments::parse_from(words).task else { panic!("another task") };
        assert_eq!(arguments, words[2..]);
        let words = ["cargo xtask", "soak", "--minutes", "5", "--seed", "7"];
        let Task::Soak { tested: false, arguments } = Arguments::parse_from(words).task else {
            panic!("another task")
        };
        assert_eq!(arguments, words[2..]);
        let words = ["cargo xtask", "soak", "--tested", "--minutes", "5", "--seed", "7"];
        let Task::Soak { tested: true, arguments } = Arguments::parse_from(words).task else {
            panic!("another task")
        };
        assert_eq!(arguments, words[3..]);
        let words = ["cargo xtask", "demo"];
        let Task::Demo { arguments } = Arguments::parse_from(words).task else { panic!("another task") };
        assert!(arguments.is_empty());
    }
}
