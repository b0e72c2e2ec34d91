//! `redis-failover resync`: an operator gives up what a node alone holds, and that is held back for it.

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use redis_failover_core::{NodeAddr, Request};

use super::ask::ask;
use crate::config::{StoreArgs, parse_node, parse_time};
use crate::failure::Failure;

/// What `resync` is told.
#[derive(Args, Debug)]
pub(super) struct ResyncArgs {
    #[command(flatten)]
    store: StoreArgs,

    /// The node, as `status` shows it: it is held because what it alone holds is not saved. Copy that first.
    #[arg(value_name = "NODE", value_parser = parse_node)]
    node: NodeAddr,

    /// How long to wait for the leader's answer.
    #[arg(long, value_name = "TIME", default_value = "15s", value_parser = parse_time)]
    timeout: Duration,
}

pub(super) fn run(args: ResyncArgs) -> Result<ExitCode, Failure> {
    ask(&args.store, &Request::Resync { node: args.node }, args.timeout)
}
