//! `redis-failover adopt`: an operator says which node is the master where the monitors cannot know it.

use std::process::ExitCode;

use clap::Args;
use redis_failover_core::{NodeAddr, Request};

use super::asking::Asking;
use super::confirm::Confirmation;
use crate::config::parse_node;
use crate::failure::Failure;

/// What `adopt` is told.
#[derive(Args, Debug)]
pub(super) struct AdoptArgs {
    #[command(flatten)]
    asking: Asking,

    /// The node that is the right master, spelled as in the group's list: a master already, or, in a group in which
    /// nobody may take over, any that answers.
    #[arg(long, value_name = "NODE", value_parser = parse_node)]
    master: NodeAddr,

    #[command(flatten)]
    confirmation: Confirmation,
}

pub(super) fn run(args: AdoptArgs) -> Result<ExitCode, Failure> {
    let (master, group) = (&args.master, &args.asking.store.path);
    let what = format!(
        "{master} would be published as the master of {group}, and every other node would become its replica and \
         lose what {master} does not hold: compare first what they hold"
    );
    args.confirmation.ask(&what, "Is it the right one?")?;
    args.asking.ask(&Request::Adopt { master: args.master })
}
