//! `redis-failover failover`: an operator does not wait with a failover that is due.

use std::process::ExitCode;

use clap::Args;
use redis_failover_core::Request;

use super::asking::Asking;
use crate::failure::Failure;

/// What `failover` is told.
#[derive(Args, Debug)]
pub(super) struct FailoverArgs {
    #[command(flatten)]
    asking: Asking,
}

pub(super) fn run(args: &FailoverArgs) -> Result<ExitCode, Failure> {
    args.asking.ask(&Request::Failover)
}
