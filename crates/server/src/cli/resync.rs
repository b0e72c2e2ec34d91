//! `redis-failover resync`: an operator gives up what a node alone holds, and that is held back for it.

use std::process::ExitCode;

use clap::Args;
use redis_failover_core::{NodeAddr, Request};

use super::asking::Asking;
use super::confirm::Confirmation;
use crate::config::parse_node;
use crate::failure::Failure;

/// What `resync` is told.
#[derive(Args, Debug)]
pub(super) struct ResyncArgs {
    #[command(flatten)]
    asking: Asking,

    /// The node, as `status` shows it: it is held because what it alone holds is not saved. Copy that first.
    #[arg(value_name = "NODE", value_parser = parse_node)]
    node: NodeAddr,

    #[command(flatten)]
    confirmation: Confirmation,
}

pub(super) fn run(args: ResyncArgs) -> Result<ExitCode, Failure> {
    let what = format!("what {} alone holds would be given up, and is lost where it is not saved", args.node);
    args.confirmation.ask(&what, "Give it up?")?;
    args.asking.ask(&Request::Resync { node: args.node })
}
