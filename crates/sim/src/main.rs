//! The simulator's command line: one seed, many seeds, or the planted bugs. Only it reads a clock or starts a thread:
//! to know how long the playing took, and to play seeds side by side.
#![expect(clippy::disallowed_methods, clippy::disallowed_types, reason = "the worlds inside read no clock")]

mod many;

use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use clap::{Parser, Subcommand};
use redis_failover_sim::World;
use redis_failover_sim::bugs::{BUGS, Bug};
use redis_failover_sim::exhaustive;
use redis_failover_sim::report::{self, Found, Total};
use redis_failover_sim::scripts::Script;

/// Plays worlds of monitors, Redis servers, ZooKeeper and clients, and looks whether anything breaks
#[derive(Debug, Parser)]
#[command(version)]
struct Args {
    #[command(subcommand)]
    command: Option<Command>,
    /// Play this seed alone
    #[arg(long, value_name = "NUMBER", conflicts_with_all = ["seeds", "seconds", "from"])]
    seed: Option<u64>,
    /// Print what happens, line by line
    #[arg(long)]
    trace: bool,
    /// How many seeds to play
    #[arg(long, visible_alias = "runs", value_name = "NUMBER", default_value_t = 1_000)]
    seeds: u64,
    /// Stop after so many seconds
    #[arg(long, value_name = "NUMBER")]
    seconds: Option<u64>,
    /// The first seed
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    from: u64,
    /// Play this script instead of seeds
    #[arg(long, value_name = "NAME", value_parser = script, conflicts_with_all = ["seed", "seeds", "seconds", "from"])]
    script: Option<Script>,
    /// Plant this bug
    #[arg(long, value_name = "BUG", value_parser = bug)]
    bug: Option<Bug>,
    /// Write the figures to this file
    #[arg(long, value_name = "FILE", global = true)]
    json: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Plant each bug in turn, and say in which seed it was found and by what
    Bugs {
        /// How many seeds to try for each
        #[arg(long, visible_alias = "runs", value_name = "NUMBER", default_value_t = 2_000)]
        seeds: u64,
    },
    /// Go through all orders in which things can happen to a small group
    Enumerate(exhaustive::Options),
}

fn bug(word: &str) -> Result<Bug, String> {
    let all: Vec<_> = BUGS.iter().map(|bug| bug.word()).collect();
    let found = BUGS.iter().find(|bug| bug.word() == word);
    found.copied().ok_or_else(|| format!("no such bug; these are: {}", all.join(", ")))
}

fn script(name: &str) -> Result<Script, String> {
    let all = redis_failover_sim::scripts::all();
    let names: Vec<_> = all.iter().map(|script| script.name).collect();
    let error = format!("no such script; these are: {}", names.join(", "));
    all.into_iter().find(|script| script.name == name).ok_or(error)
}

fn main() -> ExitCode {
    run(&Args::parse()).unwrap_or_else(|error| {
        eprintln!("error: {error}");
        ExitCode::FAILURE
    })
}

fn run(args: &Args) -> Result<ExitCode, Box<dyn Error>> {
    let (text, json, well) = match (&args.command, &args.script, args.seed) {
        (Some(Command::Bugs { seeds }), _, _) => bugs(*seeds),
        (Some(Command::Enumerate(options)), _, _) => {
            let summary = exhaustive::run(options);
            (summary.to_string(), summary.json(), summary.broken.is_none())
        }
        (None, Some(script), _) => one(World::scripted(script, args.bug, args.trace)),
        (None, None, Some(seed)) => one(World::new(seed, args.bug, args.trace)),
        (None, None, None) => many(args)?,
    };
    println!("{text}");
    if let Some(file) = &args.json {
        fs::write(file, format!("{json:#}\n")).map_err(|error| format!("{}: {error}", file.display()))?;
    }
    Ok(if well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn one(mut world: World) -> (String, serde_json::Value, bool) {
    let outcome = world.play();
    let text = format!("{}{}", world.trace(), report::one(&outcome));
    (text, report::json(&outcome), outcome.violation.is_none())
}

fn many(args: &Args) -> std::io::Result<(String, serde_json::Value, bool)> {
    let begun = Instant::now();
    let limit = args.seconds.map(Duration::from_secs);
    let outcomes = many::play(args.from..args.from + args.seeds, limit, args.bug)?;
    let total = Total::of(outcomes.values(), begun.elapsed());
    Ok((total.table(), total.json(), total.violations.is_empty()))
}

fn bugs(seeds: u64) -> (String, serde_json::Value, bool) {
    let next = AtomicU64::new(0);
    let found = Mutex::new(BTreeMap::<Bug, Option<Found>>::new());
    side_by_side(|| {
        while let Some(bug) =
            BUGS.get(usize::try_from(next.fetch_add(1, Ordering::Relaxed)).unwrap_or(usize::MAX))
        {
            let seed = redis_failover_sim::find(*bug, 0..seeds);
            found.lock().unwrap_or_else(PoisonError::into_inner).insert(*bug, seed);
        }
    });
    let found = found.into_inner().unwrap_or_else(PoisonError::into_inner);
    let well = found.values().all(Option::is_some);
    (report::bugs(&found), report::bugs_json(&found), well)
}

fn side_by_side(play: impl Fn() + Sync) {
    thread::scope(|scope| {
        for _ in 0..many::threads() {
            scope.spawn(&play);
        }
    });
}
