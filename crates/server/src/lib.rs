//! The program `redis-failover`, and the monitor for a process that brings its own store.
//!
//! [`main`] is the whole program: it parses, runs and answers with the exit code. [`Monitor`] is one monitor over any
//! [`Store`](redis_failover_store::Store): it reads no command line and no environment, installs no log and catches
//! no signal; all of that is handed in.

mod app;
mod cli;
mod config;
mod descriptors;
mod failure;
mod info;
mod journal;
mod log;
mod monitor;
mod names;
mod observed;
mod output;
mod redis_link;
mod resp;
mod sentinel;
mod sentinel_conf;

use std::process::ExitCode;

use clap::{CommandFactory as _, FromArgMatches as _};
use tracing_subscriber::EnvFilter;

use cli::{Cli, LogFormat};
use failure::{Failure, Kind};
use log::Log;

pub use journal::JournalFile;
pub use monitor::{Inbox, Monitor, Setup};
pub use redis_link::Credentials;

/// The program: carries out what this process's command line says, and returns its exit code.
///
/// It exits by itself where the command line is wrong or asks for help, unless a program reads what it is told.
pub fn main() -> ExitCode {
    let parsed = Cli::command().try_get_matches().and_then(|matches| {
        let cli = Cli::from_arg_matches(&matches).map_err(|error| error.format(&mut Cli::command()))?;
        Ok((cli, matches))
    });
    let (cli, matches) = match parsed {
        Ok(parsed) => parsed,
        // Nothing is known of the options here but their words.
        Err(error) if error.use_stderr() && said_json() => return Failure::from(&error).tell(true),
        Err(error) => error.exit(),
    };
    let log = start_log(&cli);
    let outcome = log.as_ref().map_err(Failure::clone).and_then(|_| cli.run());
    // Whatever was logged comes before how it ended.
    drop(log);
    match outcome {
        Ok(code) => code,
        Err(failure) => failure.tell(cli::wants_json(&matches)),
    }
}

/// Whether `--json` stands in the command line, wherever that may be.
fn said_json() -> bool {
    std::env::args_os().skip(1).take_while(|word| word != "--").any(|word| word == "--json")
}

/// Begins the log, which is kept up until what this yields is dropped; nothing, where there is none.
fn start_log(cli: &Cli) -> Result<Option<Log>, Failure> {
    let filter = EnvFilter::builder().parse(&cli.log).map_err(|error| {
        Failure::new(Kind::Usage, format!("--log `{}`: {error}", cli.log))
            .hint("use error, warn, info, debug or trace")
    })?;
    if cli.draws() {
        return Ok(None);
    }
    let (writers, kept) = log::writers().map_err(|error| {
        Failure::new(Kind::Failed, format!("nothing can be logged to standard error: {error}"))
    })?;
    let log = tracing_subscriber::fmt().with_env_filter(log::filter(filter)).with_writer(writers);
    match cli.log_format {
        LogFormat::Text => log.with_target(false).with_ansi(false).init(),
        LogFormat::Json => log.json().flatten_event(true).init(),
    }
    log::take_panics();
    Ok(Some(kept))
}
