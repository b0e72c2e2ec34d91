//! `redis-failover adopt`: an operator says which node is the master where the monitors cannot know it.

use std::process::ExitCode;

use clap::Args;
use redis_failover_core::{NodeAddr, Request};

use super::asking::Asking;
use crate::config::parse_node;
use crate::failure::{Failure, Kind};

/// What `adopt` is told.
#[derive(Args, Debug)]
pub(super) struct AdoptArgs {
    #[command(flatten)]
    asking: Asking,

    /// The node that is the right master, spelled as in the group's list: a master already, or, in a group in which
    /// nobody may take over, any that answers.
    #[arg(long, value_name = "NODE", value_parser = parse_node)]
    master: NodeAddr,

    /// Do it: every other node becomes its replica and loses what this one does not hold.
    #[arg(long)]
    yes: bool,
}

pub(super) fn run(args: AdoptArgs) -> Result<ExitCode, Failure> {
    if !args.yes {
        let message = format!(
            "nothing was done: {} would be published as the master of {}, and every other node would become its \
             replica and lose what {} does not hold",
            args.master, args.asking.store.path, args.master
        );
        return Err(
            Failure::new(Kind::NotConfirmed, message).hint("compare what the nodes hold, then add --yes")
        );
    }
    args.asking.ask(&Request::Adopt { master: args.master })
}
