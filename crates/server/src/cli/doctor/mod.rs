//! `redis-failover doctor`: what will bite. It asks ZooKeeper and the nodes, changes nothing, and says what it found.

mod collect;
mod facts;
mod finding;
mod judge;
mod node;
mod page;
mod rights;
#[cfg(test)]
mod tests;

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;

use crate::config::{RedisArgs, StoreArgs, parse_time};
use crate::failure::Failure;
use crate::output::{print, print_line};
use finding::Severity;

/// What `doctor` is asked.
#[derive(Args, Debug)]
#[command(
    after_help = "Exit codes: 0 no error and no warning was found, 4 some were; 1, 2 and 3 as with any command: it \
                        could not look."
)]
pub(super) struct DoctorArgs {
    #[command(flatten)]
    store: StoreArgs,

    #[command(flatten)]
    redis: RedisArgs,

    /// The session time-out that the monitors ask for (`run --session-timeout`).
    #[arg(long, value_name = "TIME", default_value = "6s", value_parser = parse_time)]
    session_timeout: Duration,

    /// How long a replica may be away and still go on without a full copy.
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = parse_time)]
    outage: Duration,

    /// For how long the master's writes are counted, 5s at most.
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = parse_sample)]
    sample: Duration,

    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// The exit code where an error or a warning was found.
pub(super) const FOUND: u8 = 4;

fn parse_sample(text: &str) -> Result<Duration, String> {
    parse_time(text).and_then(|time| match time {
        time if time <= Duration::from_secs(5) => Ok(time),
        _ => Err(format!("`{text}` is too long: use 5s at most")),
    })
}

pub(super) fn run(args: &DoctorArgs) -> Result<ExitCode, Failure> {
    let facts = super::runtime()?.block_on(collect::facts(args))?;
    let findings = judge::judge(&facts);
    if args.json {
        print_line(page::as_json(&facts, &findings))?;
    } else {
        print(page::as_text(&facts, &findings))?;
    }
    let bites = findings.iter().any(|finding| finding.severity != Severity::Note);
    Ok(if bites { ExitCode::from(FOUND) } else { ExitCode::SUCCESS })
}
