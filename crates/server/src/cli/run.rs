//! `redis-failover run`: a monitor until it is told to stop.

use std::process::ExitCode;

use crate::app;
use crate::config::RunArgs;
use crate::failure::Failure;

pub(super) fn run(args: RunArgs) -> Result<ExitCode, Failure> {
    let config = args.check()?;
    super::runtime()?.block_on(app::run(config))?;
    Ok(ExitCode::SUCCESS)
}
