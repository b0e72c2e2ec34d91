//! `redis-failover completions`: what a shell needs to complete our commands and options. It writes no file.

use std::process::ExitCode;

use clap::{Args, CommandFactory as _};
use clap_complete::Shell;

use super::Cli;
use crate::failure::{Failure, Kind};
use crate::output::print;

/// What `completions` is asked.
#[derive(Args, Debug)]
pub(super) struct CompletionsArgs {
    /// For which shell.
    #[arg(value_name = "SHELL")]
    shell: Shell,
}

pub(super) fn run(args: &CompletionsArgs) -> Result<ExitCode, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "redis-failover", &mut script);
    let script = String::from_utf8(script).map_err(|error| Failure::new(Kind::Failed, error))?;
    print(if args.shell == Shell::Bash { repaired(&script) } else { script })?;
    Ok(ExitCode::SUCCESS)
}

/// The script for bash, in which `clap_complete` spells a program's name with a hyphen in two ways, so that nothing
/// below a command is completed (clap issue 6421).
fn repaired(script: &str) -> String {
    script.replace("redis__subcmd__failover", "redis__failover")
}
