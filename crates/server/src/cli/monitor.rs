//! `redis-failover monitor`: what there is to do about a group's monitors. Without a command it is `run`, by the name
//! that the predecessor's users know.

use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Subcommand};
use redis_failover_core::{MonitorId, Request};

use super::ask::ask;
use super::{monitors, run};
use crate::config::{RunArgs, StoreArgs, parse_time};
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
    store: StoreArgs,

    /// The monitor's id, as `status` shows it; it must not be alive.
    #[arg(value_name = "ID")]
    monitor: MonitorId,

    /// How long to wait for the leader's answer.
    #[arg(long, value_name = "TIME", default_value = "15s", value_parser = parse_time)]
    timeout: Duration,
}

pub(super) fn run(args: MonitorArgs) -> Result<ExitCode, Failure> {
    match (args.command, args.run) {
        (Some(MonitorCommand::Forget(forget)), _) => {
            ask(&forget.store, &Request::Forget { monitor: forget.monitor }, forget.timeout)
        }
        (Some(MonitorCommand::List(list)), _) => monitors::run(&list),
        (None, Some(args)) => run::run(args),
        (None, None) => {
            Err(Failure::new(Kind::Usage, "nothing to watch").hint("see redis-failover monitor --help"))
        }
    }
}
