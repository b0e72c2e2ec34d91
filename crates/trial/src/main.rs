//! `redis-failover-trial`: what a person runs before trusting redis-failover.
//!
//! `demo` shows a master die twice and what becomes of the writes; `bench` measures; `soak` breaks one thing after the
//! other and holds the group to what is promised. All start servers of their own on free ports of 127.0.0.1 and end
//! them again. None ever touches a server that was already running.

mod attempt;
mod bench;
mod demo;
mod failure;
mod interrupt;
mod monitors;
mod plain;
mod probe;
mod servers;
mod shipped;
mod soak;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use bench::BenchArgs;
use demo::DemoArgs;
use failure::Failure;
use soak::SoakArgs;

/// See redis-failover work, or measure it, on servers that are started for it and ended after it.
#[derive(Debug, Parser)]
#[command(
    name = "redis-failover-trial",
    version,
    after_help = "Exit codes: 0 done and as promised, 1 failed or not as promised, 2 usage, 130 interrupted."
)]
struct Arguments {
    #[command(subcommand)]
    trial: Trial,
}

#[derive(Debug, Subcommand)]
enum Trial {
    /// Kill and freeze the master of a small group under load, and count what became of the writes.
    Demo(DemoArgs),
    /// Measure.
    Bench(BenchArgs),
    /// Do one fault after the other to a group under load, and compare what came of it with what is promised.
    Soak(SoakArgs),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    attempt::silence();
    match run(arguments.trial) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("{failure}");
            failure.exit_code()
        }
    }
}

fn run(trial: Trial) -> Result<(), Failure> {
    // Two threads everywhere: what is measured on them can be compared between machines.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.map_err(|error| Failure::new(format!("no runtime: {error}")))?;
    match trial {
        Trial::Demo(args) => runtime.block_on(demo::run(args)),
        Trial::Bench(args) => runtime.block_on(bench::run(args)),
        Trial::Soak(args) => runtime.block_on(soak::run(args)),
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
}
