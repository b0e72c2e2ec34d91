//! `redis-failover config-keys`: every key of a configuration file. It reads none.

use std::process::ExitCode;

use clap::Args;

use crate::config::{keys, reference};
use crate::failure::Failure;
use crate::output::{print, print_line};

/// What `config-keys` is asked.
#[derive(Args, Debug)]
pub(super) struct KeysArgs {
    /// Print one JSON array.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &KeysArgs) -> Result<ExitCode, Failure> {
    if args.json { print_line(keys()) } else { print(reference()) }?;
    Ok(ExitCode::SUCCESS)
}
