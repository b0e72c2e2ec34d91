//! `redis-failover monitor`: what there is to do about a group's monitors. Without a command it is `run`, by the name
//! that the predecessor's users know.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use redis_failover_core::{MonitorId, Request};

use super::asking::Asking;
use super::confirm::Confirmation;
use super::{monitors, run};
use crate::config::RunArgs;
use crate::failure::{Failure, Kind};

/// What `monitor` is told.
#[derive(Args, Debug)]
#[command(subcommand_negates_reqs = true)]
pub(super) struct MonitorArgs {
    #[command(subcommand)]
    command: Option<MonitorCommand>,

    #[command(flatten)]
    run: Option<RunArgs>,
}

#[derive(Debug, Subcommand)]
enum MonitorCommand {
    /// Show the monitors that are registered or alive: who leads, since when each is there, what it says of the nodes.
    List(monitors::ListArgs),
    /// Strike out a monitor that will not come back: it counts towards the quorum until then.
    Forget(ForgetArgs),
}

#[derive(Args, Debug)]
struct ForgetArgs {
    #[command(flatten)]
    asking: Asking,

    /// The monitor's id, as `status` shows it; it must not be alive.
    #[arg(value_name = "ID")]
    monitor: MonitorId,

    #[command(flatten)]
    confirmation: Confirmation,
}

pub(super) fn run(args: MonitorArgs) -> Result<ExitCode, Failure> {
    match (args.command, args.run) {
        (Some(MonitorCommand::Forget(args)), _) => forget(args),
        (Some(MonitorCommand::List(list)), _) => monitors::run(&list),
        (None, Some(args)) => run::run(args),
        (None, None) => {
            Err(Failure::new(Kind::Usage, "nothing to watch").hint("see redis-failover monitor --help"))
        }
    }
}

fn forget(args: ForgetArgs) -> Result<ExitCode, Failure> {
    let (monitor, group) = (&args.monitor, &args.asking.store.path);
    let what =
        format!("{monitor} would count no more among the monitors of {group}, of whom a quorum must agree");
    args.confirmation.ask(&what, "Forget it?")?;
    args.asking.ask(&Request::Forget { monitor: args.monitor })
}
