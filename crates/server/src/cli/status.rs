//! `redis-failover status`: who is who, from the record and the monitors' reports. It needs no monitor to answer.

mod json;
mod page;
mod pausing;
mod state;
#[cfg(test)]
pub(super) mod tests;
mod trouble;
mod view;
mod watch;

use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use clap::Args;
use redis_failover_store::{Snapshot, StoreError, ZooKeeperGroup};

use crate::cli::layout::Paint;
use crate::cli::place::Place;
use crate::config::StoreArgs;
use crate::failure::{Failure, Kind};
use crate::output::{print, print_line};
pub(super) use page::{about, colour, votes};
pub(super) use pausing::line as pause_line;
pub(super) use state::State;
pub(super) use view::{Absence, NodeView, View};

/// What `status` is asked.
#[derive(Args, Debug)]
#[command(after_help = "What each state means, and what to do: docs/reference/status.md.")]
pub(super) struct StatusArgs {
    #[command(flatten)]
    store: StoreArgs,

    /// Print one JSON object; with --watch one for each look, a line each.
    #[arg(long)]
    json: bool,

    /// Look again every so many seconds, until Ctrl-C; on a terminal in place.
    #[arg(
        long,
        value_name = "SECONDS",
        num_args = 0..=1,
        default_missing_value = "2",
        value_parser = clap::value_parser!(u64).range(1..=86400)
    )]
    watch: Option<u64>,
}

impl StatusArgs {
    /// Whether it looks again and again.
    pub(super) fn watches(&self) -> bool {
        self.watch.is_some()
    }

    fn place(&self) -> Place {
        Place::new(&self.store.zkhosts, &self.store.path)
    }
}

/// How long an answer may take.
const LIMIT: Duration = Duration::from_secs(5);

/// What a look has shown.
pub(super) type Seen = Result<View, Absence>;

pub(super) fn run(args: &StatusArgs) -> Result<ExitCode, Failure> {
    if let Some(seconds) = args.watch {
        return super::runtime()?.block_on(watch::run(args, seconds));
    }
    let snapshot = super::runtime()?.block_on(snapshot(&args.store))?;
    let view = View::of(&args.place(), &snapshot, SystemTime::now());
    let view = view.map_err(Absence::into_failure)?;
    if args.json {
        print_line(json::group(&view))?;
    } else {
        print(page::group(&view, Paint::of_standard_output()))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// One look at the group.
pub(super) async fn snapshot(store: &StoreArgs) -> Result<Snapshot, Failure> {
    let zookeeper = super::connect(store, LIMIT)?;
    let snapshot = zookeeper.group(&store.path).snapshot(LIMIT).await;
    zookeeper.close().await;
    snapshot.map_err(unreachable)
}

/// One look over a session that stands.
pub(super) async fn look(group: &ZooKeeperGroup, place: &Place) -> Seen {
    let snapshot = group.snapshot(LIMIT).await.map_err(|error| Absence::no_zookeeper(unreachable(error)))?;
    View::of(place, &snapshot, SystemTime::now())
}

fn unreachable(error: StoreError) -> Failure {
    Failure::new(Kind::StoreUnreachable, error).hint("are the servers right (-z), and do they run?")
}
