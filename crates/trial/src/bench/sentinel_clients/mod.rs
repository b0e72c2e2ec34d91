//! `bench sentinel-clients`: what clients of Redis Sentinel, in several languages, meet at our endpoint, beside the
//! same with Redis Sentinel if asked.
//!
//! All clients run at once on each group, unchanged on both sides. The group switches over by `SENTINEL FAILOVER`,
//! then its master is killed. Each run has servers of its own. It never tells a client anything but the sentinels'
//! addresses and the group's name.

mod driver;
mod figures;
mod log;
mod play;
mod process;

use std::fs;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use serde_json::json;
use tempfile::TempDir;

use crate::failure::Failure;
use process::Program;

pub(super) use driver::{DriverArgs, drive};

/// What the measurement is told.
#[derive(Args, Debug)]
pub(super) struct SentinelClientsArgs {
    /// Beside what; without it our endpoint alone is measured.
    #[arg(long, value_enum)]
    vs: Option<Other>,

    /// How often each side plays all changes.
    #[arg(long, value_name = "NUMBER", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    runs: u32,

    /// Only these clients, several separated by commas.
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    client: Vec<String>,

    /// One more client, which says what the others say; see `process.rs`.
    #[arg(long, value_name = "NAME=COMMAND", value_parser = Program::parse)]
    also: Vec<Program>,

    /// Keep what the clients say, and the journals and logs of our monitors, in this directory.
    #[arg(long, value_name = "DIRECTORY")]
    journals: Option<PathBuf>,

    /// Write the figures to this file, each run too.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// What to compare with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Other {
    /// Redis Sentinel: three, a quorum of two, `down-after-milliseconds` as our own, else as it comes.
    Sentinel,
}

/// Who answers the clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Ours,
    Sentinel,
}

/// What happens to the master.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    Switchover,
    Kill,
}

/// Measures, and prints the table.
pub(super) async fn run(args: SentinelClientsArgs) -> Result<(), Failure> {
    let programs = args.programs()?;
    let mut sides: Vec<_> = args.sides().into_iter().map(|side| (side, Vec::new())).collect();
    let temporary = TempDir::new().map_err(Failure::new)?;
    let kept = args.journals.as_deref().unwrap_or(temporary.path());
    for number in 1..=args.runs {
        for (side, seen) in &mut sides {
            let folder = kept.join(format!("{number}-{}", side.word()));
            fs::create_dir_all(&folder).map_err(Failure::new)?;
            let mut run = play::play(*side, &programs, &folder).await;
            if let (Side::Sentinel, Err(failure)) = (*side, &run) {
                // What a client does with another's answers is no finding about ours, and some wait for ever at times.
                eprintln!("{failure}\n{number}: {} is played once more", side.name());
                run = play::play(*side, &programs, &folder).await;
            }
            let run = run.map_err(|failure| failure.within(format_args!("{}, run {number}", side.name())))?;
            eprintln!("{number}: {} is done", side.name());
            seen.extend(run);
        }
        // Each round begins with another side.
        sides.rotate_left(1);
    }
    sides.sort_by_key(|(side, _)| args.sides().iter().position(|it| it == side));
    println!("{}", figures::table(&sides, args.runs));
    if let Some(file) = &args.json {
        let text = format!("{:#}\n", json!({ "runs": args.runs, "lines": figures::json(&sides) }));
        fs::write(file, text)
            .map_err(|error| Failure::new(format!("cannot write {}: {error}", file.display())))?;
    }
    figures::as_promised(sides.iter().filter(|(side, _)| *side == Side::Ours).flat_map(|(_, seen)| seen))
}

impl SentinelClientsArgs {
    fn sides(&self) -> Vec<Side> {
        std::iter::once(Side::Ours).chain(self.vs.map(|Other::Sentinel| Side::Sentinel)).collect()
    }

    /// Those that are asked for.
    fn programs(&self) -> Result<Vec<Program>, Failure> {
        let mut programs = Program::known()?;
        if let Some(unknown) = self.client.iter().find(|name| programs.iter().all(|it| it.name != **name)) {
            let names: Vec<_> = programs.iter().map(|it| it.name.as_str()).collect();
            return Err(Failure::usage(format!("there is no client `{unknown}`")).hint(names.join(", ")));
        }
        programs.retain(|it| self.client.is_empty() || self.client.contains(&it.name));
        programs.extend(self.also.iter().cloned());
        Ok(programs)
    }
}

impl Change {
    const ALL: [Self; 2] = [Self::Switchover, Self::Kill];

    fn name(self) -> &'static str {
        match self {
            Self::Switchover => "switchover",
            Self::Kill => "kill",
        }
    }
}

impl Side {
    fn name(self) -> &'static str {
        match self {
            Self::Ours => "redis-failover",
            Self::Sentinel => "Redis Sentinel",
        }
    }

    /// The same as part of a file's name.
    fn word(self) -> &'static str {
        match self {
            Self::Ours => "redis-failover",
            Self::Sentinel => "sentinel",
        }
    }
}
