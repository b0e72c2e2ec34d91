//! `redis-failover run`: a monitor until it is told to stop.

use std::process::ExitCode;

use crate::app;
use crate::config::{RunArgs, Source};
use crate::failure::Failure;

pub(super) fn run(args: RunArgs) -> Result<ExitCode, Failure> {
    let (config, file) = match args.source()? {
        Source::Flags(config) => (*config, None),
        Source::File(file) => (file.read()?, Some(file)),
    };
    super::runtime()?.block_on(app::run(config, file))?;
    Ok(ExitCode::SUCCESS)
}
