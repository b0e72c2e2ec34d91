//! `redis-failover pause` and `redis-failover resume`: an operator wants no change of master for a while.

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use redis_failover_core::Request;

use super::asking::{Asking, who};
use crate::config::parse_time;
use crate::failure::Failure;

/// What `pause` is told.
#[derive(Args, Debug)]
pub(super) struct PauseArgs {
    #[command(flatten)]
    asking: Asking,

    /// For how long, `2h` for example; it ends by itself then. Without it until `resume`.
    #[arg(long = "for", value_name = "TIME", value_parser = parse_some_time)]
    lasts: Option<Duration>,

    /// Why: whoever finds a master that is not replaced reads it.
    #[arg(long, value_name = "TEXT", value_parser = parse_reason)]
    reason: String,
}

/// What `resume` is told.
#[derive(Args, Debug)]
pub(super) struct ResumeArgs {
    #[command(flatten)]
    asking: Asking,
}

pub(super) fn run(args: PauseArgs) -> Result<ExitCode, Failure> {
    args.asking.ask(&Request::Pause { by: who(), reason: args.reason, lasts: args.lasts })
}

pub(super) fn resume(args: &ResumeArgs) -> Result<ExitCode, Failure> {
    args.asking.ask(&Request::Resume)
}

fn parse_some_time(text: &str) -> Result<Duration, String> {
    let time = parse_time(text)?;
    if time.is_zero() { Err("a pause of no time is none".to_owned()) } else { Ok(time) }
}

/// The longest reason: it stands in the record, which all monitors read.
const LONGEST: usize = 200;

fn parse_reason(text: &str) -> Result<String, String> {
    let text = text.trim();
    if text.is_empty() {
        return Err("say why, in some words".to_owned());
    }
    if text.chars().count() > LONGEST || text.chars().any(char::is_control) {
        return Err(format!("one line of at most {LONGEST} characters"));
    }
    Ok(text.to_owned())
}
