//! `bench switchover`: what callers notice when another node is made the master of a group that serves them, beside
//! Redis Sentinel and Valkey's coordinated failover if asked.
//!
//! The load is open: each write has its time, whatever became of those before it, and how long it took is counted from
//! that time. Two processes write, so that what they tell does not depend on what measures. Each side has servers of
//! its own, which stay for all runs, and the sides take turns in who begins. It never kills anything: all are well.

mod figures;
mod load;
mod play;
mod schedule;
mod seeker;
mod sheet;

use std::fs;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use redis_failover_lab::Flavour;
use serde_json::json;
use tempfile::TempDir;

use super::group::{Group, Wiring};
use crate::failure::Failure;
use figures::Run;

pub(super) use schedule::{ScheduleArgs, write_on_schedule};

/// How many processes write.
const PROCESSES: usize = 2;

/// How many tasks write in each.
const TASKS: u64 = 128;

/// Of what the slowest side sustains, how much all are given.
const SHARE: f64 = 0.6;

/// How many writes a second there should be at least.
const ENOUGH: f64 = 10_000.0;

/// At this load the backlog as it comes holds some tenths of a second, and who was away longer needs a full copy.
const OPTIONS: [(&str, &str); 1] = [("repl-backlog-size", "64mb")];

/// What the measurement is told.
#[derive(Args, Debug)]
pub(super) struct SwitchoverArgs {
    /// Beside what, several separated by commas; without it ours alone is measured.
    #[arg(long, value_enum, value_delimiter = ',')]
    vs: Vec<Other>,

    /// How often each side switches over.
    #[arg(long, value_name = "NUMBER", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    runs: u32,

    /// So many writes a second, instead of 60 % of what was found that the slowest side sustains.
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    rate: Option<u32>,

    /// On how many `ZooKeeper` servers our monitors agree.
    #[arg(long, value_name = "SERVERS", default_value = "1", value_parser = ["1", "3"])]
    zookeeper: String,

    /// Keep the journals and logs of our monitors in this directory.
    #[arg(long, value_name = "DIRECTORY")]
    journals: Option<PathBuf>,

    /// Write the figures to this file, each run too.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// What to compare with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Other {
    /// Both of the following.
    Sentinel,
    /// Redis Sentinel's `SENTINEL FAILOVER`: three, a quorum of two, else as it comes.
    RedisSentinel,
    /// The same of Valkey 9.1, with COORDINATED.
    ValkeyCoordinated,
}

/// Who switches over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Ours,
    RedisSentinel,
    ValkeyCoordinated,
}

/// A side with its servers and what it came to.
struct Contender {
    side: Side,
    group: Group,
    runs: Vec<Run>,
}

/// Measures, and prints the table.
pub(super) async fn run(args: SwitchoverArgs) -> Result<(), Failure> {
    let temporary = TempDir::new().map_err(Failure::new)?;
    let folder = args.journals.as_deref().unwrap_or(temporary.path());
    fs::create_dir_all(folder).map_err(Failure::new)?;
    let sides = args.sides();
    let mut contenders = Vec::new();
    for side in &sides {
        contenders.push(Contender { side: *side, group: args.start(*side, folder).await?, runs: Vec::new() });
    }
    let rate = args.rate(&contenders).await?;
    println!(
        "{} switchovers for each line; {PROCESSES} processes of {TASKS} tasks, together {rate:.0} writes/s, each at \
         its time\n",
        args.runs
    );
    for number in 1..=args.runs {
        for Contender { side, group, runs } in &mut contenders {
            let run = play::play(*side, group, rate).await;
            let run =
                run.map_err(|failure| failure.within(format_args!("{}, switchover {number}", side.name())))?;
            eprintln!("{number}: {}", figures::told(*side, &run));
            runs.push(run);
        }
        // Each round begins with another side.
        contenders.rotate_left(1);
    }
    contenders.sort_by_key(|it| sides.iter().position(|side| *side == it.side));
    println!("{}", figures::HEAD);
    for Contender { side, runs, .. } in &contenders {
        println!("{}", figures::line(*side, runs));
    }
    println!("{}", figures::NOTES);
    let lines: Vec<_> = contenders.iter().map(|it| figures::json(it.side, &it.runs)).collect();
    if let Some(file) = &args.json {
        let load = json!({ "processes": PROCESSES, "tasks": TASKS, "writes_per_second": rate });
        let text = format!("{:#}\n", json!({ "load": load, "lines": lines }));
        fs::write(file, text)
            .map_err(|error| Failure::new(format!("cannot write {}: {error}", file.display())))?;
    }
    figures::kept(contenders.iter().filter(|it| it.side == Side::Ours).flat_map(|it| &it.runs))
}

impl SwitchoverArgs {
    fn sides(&self) -> Vec<Side> {
        let with = |others: [Other; 2]| self.vs.iter().any(|other| others.contains(other));
        let mut sides = vec![Side::Ours];
        sides.extend(with([Other::Sentinel, Other::RedisSentinel]).then_some(Side::RedisSentinel));
        sides.extend(with([Other::Sentinel, Other::ValkeyCoordinated]).then_some(Side::ValkeyCoordinated));
        sides
    }

    async fn start(&self, side: Side, folder: &Path) -> Result<Group, Failure> {
        let sentinels = |flavour| Group::with_sentinels_of(flavour, &OPTIONS, Wiring::Direct);
        match side {
            Side::Ours => {
                let servers = if self.zookeeper == "3" { 3 } else { 1 };
                Group::with_shipped_monitors(&OPTIONS, servers, folder).await
            }
            Side::RedisSentinel => sentinels(Flavour::Installed).await,
            Side::ValkeyCoordinated => sentinels(Flavour::Valkey91).await,
        }
    }

    /// How many writes a second all sides are given.
    async fn rate(&self, contenders: &[Contender]) -> Result<f64, Failure> {
        if let Some(rate) = self.rate {
            return Ok(rate.into());
        }
        let mut least = f64::INFINITY;
        for Contender { side, group, .. } in contenders {
            let sustained = play::calibrate(group).await.map_err(|failure| failure.within(side.name()))?;
            println!("{} sustains {sustained:.0} writes/s", side.name());
            least = least.min(sustained);
        }
        let rate = least * SHARE;
        if rate < ENOUGH {
            println!(
                "this machine, with what else it does, does not reach the {ENOUGH:.0} writes/s that there should be"
            );
        }
        Ok(rate)
    }
}

impl Side {
    fn name(self) -> &'static str {
        match self {
            Self::Ours => "redis-failover",
            Self::RedisSentinel => "Redis Sentinel",
            Self::ValkeyCoordinated => "Valkey, COORDINATED",
        }
    }
}
