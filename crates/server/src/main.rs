//! The `redis-failover` program: parse, run, exit code.

mod app;
mod cli;
mod config;
mod failure;
mod info;
mod monitor;
mod redis_link;

use std::process::ExitCode;

use clap::Parser;
use tracing_subscriber::EnvFilter;

use cli::{Cli, LogFormat};
use failure::{Failure, Kind};

fn main() -> ExitCode {
    let cli = Cli::parse();
    match start_log(&cli).and_then(|()| cli.run()) {
        Ok(code) => code,
        Err(failure) => {
            eprintln!("{failure}");
            failure.exit_code()
        }
    }
}

fn start_log(cli: &Cli) -> Result<(), Failure> {
    let filter = EnvFilter::builder().parse(&cli.log).map_err(|error| {
        Failure::new(Kind::Usage, format!("--log `{}`: {error}", cli.log))
            .hint("use error, warn, info, debug or trace")
    })?;
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match cli.log_format {
        LogFormat::Text => log.with_target(false).with_ansi(false).init(),
        LogFormat::Json => log.json().flatten_event(true).init(),
    }
    Ok(())
}
