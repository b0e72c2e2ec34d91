//! `cargo xtask`: everything that CI does and a contributor needs, in Rust, so that no shell script has to be
//! trusted.
//!
//! | command | what |
//! |---|---|
//! | `ci` | CI, word for word; writes nothing but build output |
//! | `fix` | its writing twin |
//! | `tidy` | the rules of this repository that no compiler checks |
//! | `test` | all tests, and the servers they need |
//! | `docs` | the documents that are generated |
//!
//! It never depends on our own crates: what checks them must build when they do not. It never calls `sudo`,
//! and it never ends a process that it did not start.

mod ci;
mod command;
mod docs;
mod packages;
mod test;
mod tidy;

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};

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
        /// Arguments for the runner: cargo-nextest where it is installed, otherwise `cargo test`
        #[arg(last = true)]
        runner: Vec<String>,
    },
    /// Write the generated documents
    Docs {
        /// Compare instead of writing, and fail where a document is stale
        #[arg(long)]
        check: bool,
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
    // Asked for now and not when compiled: checkouts that share a target directory may share this very binary.
    let here = std::env::var_os("CARGO_MANIFEST_DIR").context("start it with `cargo xtask`")?;
    let root = Path::new(&here).join("..");
    std::env::set_current_dir(&root).with_context(|| format!("cannot enter {}", root.display()))?;
    match task {
        Task::Ci { except_tests } => ci::check(*except_tests),
        Task::Fix => ci::fix(),
        Task::Tidy => tidy::run(),
        Task::Test { runner } => test::run(runner),
        Task::Docs { check } => docs::run(*check),
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
        let Task::Test { runner } = Arguments::parse_from(words).task else { panic!("another task") };
        assert_eq!(runner, ["--nocapture", "--", "name"]);
    }
}
