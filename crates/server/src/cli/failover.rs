//! `redis-failover failover`: an operator does not wait with a failover that is due, says who takes over, or has a
//! master replaced that nobody finds lost.

use std::process::ExitCode;

use clap::Args;
use redis_failover_core::{Answer, Failover, Found, NodeAddr, Request};

use super::ask::has_leader;
use super::asking::Asking;
use super::confirm::Confirmation;
use super::outcome::Outcome;
use crate::config::parse_node;
use crate::failure::{Failure, Kind};

/// What `failover` is told.
#[derive(Args, Debug)]
pub(super) struct FailoverArgs {
    #[command(flatten)]
    asking: Asking,

    /// Who takes over; without it the node that holds most. One that may not lead, or holds less than another, takes
    /// over only with --accept-loss.
    #[arg(long, value_name = "NODE", value_parser = parse_node)]
    to: Option<NodeAddr>,

    /// Have the master replaced also where no quorum finds it lost or nobody may take over. What it took that the next
    /// one has not is lost.
    #[arg(long)]
    accept_loss: bool,

    /// Only say who would take over, and what that would cost.
    #[arg(long)]
    dry_run: bool,

    #[command(flatten)]
    confirmation: Confirmation,
}

pub(super) fn run(args: &FailoverArgs) -> Result<ExitCode, Failure> {
    let FailoverArgs { asking, to, accept_loss, dry_run, confirmation } = args;
    let looks = to.is_some() || *accept_loss || *dry_run;
    if !looks {
        let group = &asking.store.path;
        let what = format!("the lost master of {group} would be replaced now, without what only it holds");
        confirmation.ask(&what, "Fail over?")?;
    }
    let snapshot = super::runtime()?.block_on(super::status::snapshot(&asking.store))?;
    has_leader(&asking.store, &snapshot)?;
    let epoch = match snapshot.record.map(|read| read.found) {
        Ok(Found::Record(record)) => Some(record.epoch),
        // The leader says why there is none. Without an epoch it could be done twice.
        Ok(Found::Nothing | Found::Predecessor { .. }) | Err(_) if !looks => None,
        _ => return Err(Failure::new(Kind::Failed, "the group has no record that can be read")),
    };
    let wanted = Failover { to: to.clone(), epoch, accept_loss: *accept_loss, dry_run: true };
    if !looks {
        return asking.ask(&Request::Failover(Failover { dry_run: false, ..wanted }));
    }
    let cost = match asking.answer(&Request::Failover(wanted.clone()))? {
        Answer::Done(cost) => cost,
        refused @ Answer::Refused(_) => return Outcome::of(refused)?.show(asking.json),
    };
    if *dry_run {
        return Outcome::looked_at(cost).show(asking.json);
    }
    confirmation.tell_and_ask(&cost, "Fail over?")?;
    // What was confirmed is done, whoever would be chosen by now.
    let named = cost.split(' ').next().and_then(|node| node.parse().ok());
    asking.ask(&Request::Failover(Failover { to: to.clone().or(named), dry_run: false, ..wanted }))
}
