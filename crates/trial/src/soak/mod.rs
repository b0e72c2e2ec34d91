//! `soak`: one fault after the other on a group under load, drawn from a seed, and whether what is promised holds.
//!
//! The program as it is shipped, three monitors; three `ZooKeeper` servers; three Redis servers behind links; writers,
//! readers and other users of the client library, which know of no fault; and a prober that tries a write on every
//! node. After each fault the group must become well, and all writes are read back. All is its own and is ended with
//! it.

mod harm;
mod jobs;
mod kinds;
mod ledger;
mod messages;
mod plan;
mod play;
mod pool;
mod report;
mod traffic;
mod uses;
mod witness;
mod world;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use std::{env, fs};

use clap::Args;
use serde_json::json;

use crate::attempt::attempt;
use crate::failure::Failure;
use crate::interrupt::Interrupt;
use kinds::Kind;
use plan::Plan;
use report::Report;
use world::World;

/// What the soak is told.
#[derive(Args, Debug)]
pub(crate) struct SoakArgs {
    /// For how long there are faults; the last one is played to its end. Parts of a minute can be given.
    #[arg(long, value_name = "NUMBER", default_value = "1", value_parser = minutes)]
    minutes: Duration,

    /// What the faults are drawn from [default: the number of the day]
    #[arg(long, value_name = "NUMBER")]
    seed: Option<u64>,

    /// Only these kinds of faults, separated by commas.
    #[arg(long, value_name = "KINDS", value_enum, value_delimiter = ',')]
    only: Vec<Kind>,

    /// How many soaks, one after the other, with this seed and those that follow it.
    #[arg(long, value_name = "NUMBER", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    runs: u32,

    /// Write what came of it to this file.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// Runs it.
///
/// # Errors
/// When it could not be played, was interrupted, or something promised did not hold.
pub(crate) async fn run(args: SoakArgs) -> Result<(), Failure> {
    // Made before anything is played: a place that can't be written to is told at once.
    let unwritable = |file: &Path, error| Failure::new(format!("cannot write {}: {error}", file.display()));
    let mut json = match &args.json {
        Some(file) => Some(fs::File::create(file).map_err(|error| unwritable(file, error))?),
        None => None,
    };
    let mut interrupt = Interrupt::new()?;
    let first = args.seed.map_or_else(today, Ok)?;
    let mut reports = Vec::new();
    for seed in (0..u64::from(args.runs)).map(|run| first.wrapping_add(run)) {
        let report = interrupt.or(soak(seed, &args.only, args.minutes)).await?;
        println!("{}\n", report.text());
        if !report.worth_a_look().is_empty() {
            println!("Its journals and logs are in {}.\n", folder(seed)?.display());
        }
        reports.push(report);
    }
    if let (Some(json), Some(file)) = (&mut json, &args.json) {
        let text = format!("{:#}\n", json!({ "runs": reports.iter().map(Report::json).collect::<Vec<_>>() }));
        json.write_all(text.as_bytes()).map_err(|error| unwritable(file, error))?;
    }
    match reports.iter().find(|report| !report.wrongs().is_empty()) {
        None => Ok(()),
        Some(Report { seed, .. }) => Err(not_as_promised(*seed)?),
    }
}

/// One soak, from the first server to the last that is ended.
async fn soak(seed: u64, only: &[Kind], time: Duration) -> Result<Report, Failure> {
    let folder = folder(seed)?;
    fresh(&folder).map_err(|error| Failure::new(format!("cannot write {}: {error}", folder.display())))?;
    eprintln!("soak, seed {seed}, with journals and logs in {}", folder.display());
    let mut world = World::start(seed, &folder)?;
    let played = play::play(&mut world, Plan::new(seed, only), time).await;
    // Also where all seems well: who is left is only known when all is ended.
    attempt(|| world.keep_logs())?;
    let (pids, left) = world.end();
    let kept = |failure: Failure| {
        let hint = format!("journals and logs are in {}", folder.display());
        failure.within(format_args!("seed {seed}")).hint(hint)
    };
    let report = Report { seed, outcome: played.map_err(kept)?, pids, left };
    if report.wrongs().is_empty() && report.worth_a_look().is_empty() {
        fs::remove_dir_all(&folder).map_err(Failure::new)?;
    }
    Ok(report)
}

fn not_as_promised(seed: u64) -> Result<Failure, Failure> {
    let folder = folder(seed)?;
    let folder = folder.display();
    Ok(Failure::new(format!("seed {seed}: this is not what docs/guarantees.md promises")).hint(format!(
        "journals and logs are in {folder}: redis-failover replay {folder}/one.journal\nplay it again: \
         cargo xtask soak --seed {seed}"
    )))
}

/// Where the journals and logs of a seed are written: beside what was built, where git does not look.
fn folder(seed: u64) -> Result<PathBuf, Failure> {
    let this = env::current_exe().map_err(|error| Failure::new(format!("where is this program? {error}")))?;
    let target = this.ancestors().nth(2).ok_or_else(|| Failure::new("this program is in no directory"))?;
    Ok(target.join("soak").join(seed.to_string()))
}

/// Makes a directory anew.
fn fresh(folder: &Path) -> std::io::Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder)?;
    }
    fs::create_dir_all(folder)
}

/// The number of the day: another seed each day, which the report names.
fn today() -> Result<u64, Failure> {
    let time = SystemTime::now().duration_since(UNIX_EPOCH).map_err(Failure::new)?;
    Ok(time.as_secs() / (24 * 60 * 60))
}

fn minutes(text: &str) -> Result<Duration, String> {
    let minutes: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    let time = Duration::try_from_secs_f64(minutes * 60.0).map_err(|error| error.to_string())?;
    let allowed = Duration::from_secs(1)..=Duration::from_hours(24);
    if allowed.contains(&time) { Ok(time) } else { Err("from a second to a day".to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn minutes_may_be_parts_of_one() {
        assert_eq!(minutes("0.25"), Ok(Duration::from_secs(15)));
        assert_eq!(minutes("30"), Ok(Duration::from_mins(30)));
        for wrong in ["0", "-1", "1441", "NaN", "inf", "soon"] {
            assert!(minutes(wrong).is_err(), "{wrong}");
        }
    }
}
