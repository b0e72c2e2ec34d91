//! `redis-failover failover`: an operator does not wait with a failover that is due.

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use redis_failover_core::Request;

use super::ask::ask;
use crate::config::{StoreArgs, parse_time};
use crate::failure::Failure;

/// What `failover` is told.
#[derive(Args, Debug)]
pub(super) struct FailoverArgs {
    #[command(flatten)]
    store: StoreArgs,

    /// How long to wait for the new master.
    #[arg(long, value_name = "TIME", default_value = "15s", value_parser = parse_time)]
    timeout: Duration,
}

pub(super) fn run(args: &FailoverArgs) -> Result<ExitCode, Failure> {
    ask(&args.store, &Request::Failover, args.timeout)
}
