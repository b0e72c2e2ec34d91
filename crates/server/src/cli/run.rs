//! `redis-failover run`: a monitor until it is told to stop.

use std::process::ExitCode;

use crate::app;
use crate::config::{RunArgs, Source};
use crate::failure::Failure;

pub(super) fn run(args: RunArgs) -> Result<ExitCode, Failure> {
    let (config, file) = match args.source()? {
        Source::Flags(config) => (*config, None),
        Source::File(file) => (file.read()?, Some(*file)),
    };
    let runtime = super::runtime()?;
    let outcome = runtime.block_on(app::run(config, file));
    // A resolver that hangs must not keep the program from ending.
    runtime.shutdown_background();
    outcome.map(|()| ExitCode::SUCCESS)
}
