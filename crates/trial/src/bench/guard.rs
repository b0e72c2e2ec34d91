//! `bench guard`: how often a master that comes back without its memory takes the data of its replicas with it.
//!
//! Redis's replicas follow whoever answers at their master's address. A supervisor that starts a killed master again
//! before anybody has noticed gives them an empty one, and they become empty, too. Here a master is killed and started
//! again, many times, with what it keeps, how fast it is back, and how it fills its replicas varied; counted is how
//! often what the replicas had confirmed was gone afterwards.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Args;
use redis_failover_lab::{Account, Reply};
use serde_json::{Value, json};
use tokio::time::sleep;

use super::group::{Group, Wiring};
use super::statistics::{Spread, spread};
use super::writer::{Route, Writer};
use crate::attempt::attempt;
use crate::failure::Failure;

/// How many keys there are when the master is killed; each replica has confirmed them.
const KEYS: u64 = 1_000;

/// How many of them a snapshot holds.
const SAVED: u64 = 500;

/// How long supervisors take to start a server again.
const DELAYS: [u64; 4] = [0, 50, 200, 1_000];

/// What the measurement is told.
#[derive(Args, Debug)]
pub(super) struct GuardArgs {
    /// How often the master is killed in each cell.
    #[arg(long, value_name = "NUMBER", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    runs: u32,

    /// Only the cells with all of these words, for example `none,0ms,disk`; can be given more than once.
    #[arg(long, value_name = "WORDS")]
    cell: Vec<String>,

    /// Write the figures to this file, each run too.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// What the master keeps over its restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Persistence {
    /// Nothing, or what its replicas' first copy left on its disk.
    None,
    /// A snapshot that is older than half of the keys.
    Rdb,
    /// All, in an append-only file, but under a new name.
    Aof,
}

/// How the master fills a replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sync {
    /// From a file that it writes first: Redis's default before 7.0.
    Disk,
    /// Through the connection, five seconds later, in which more replicas may come: Redis's default since.
    Diskless,
    /// Through the connection, at once.
    AtOnce,
}

/// One line of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Cell {
    persistence: Persistence,
    delay: u64,
    sync: Sync,
}

/// What one kill came to.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Run {
    /// Acknowledged writes that the final master does not hold.
    lost: usize,
    /// Whether all that the restarted master lacked is gone from all nodes.
    wiped: bool,
    /// From the kill to the first acknowledged write after it.
    writes_after: Duration,
}

/// Measures, and prints the table.
pub(super) async fn run(args: GuardArgs) -> Result<(), Failure> {
    let cells = chosen(&args.cell)?;
    println!("{} runs for each line; {KEYS} keys, three nodes, three monitors in this process\n", args.runs);
    println!("{HEAD}");
    let mut lines = Vec::new();
    for cell in cells {
        let mut runs = Vec::new();
        for number in 1..=args.runs {
            let run = cell.run().await;
            runs.push(run.map_err(|failure| failure.within(format_args!("{}, run {number}", cell.name())))?);
        }
        println!("{}", line(cell, &runs));
        lines.push(json(cell, &runs));
    }
    println!("{NOTES}");
    if let Some(file) = &args.json {
        let text = format!("{:#}\n", json!({ "keys": KEYS, "cells": lines }));
        fs::write(file, text)
            .map_err(|error| Failure::new(format!("cannot write {}: {error}", file.display())))?;
    }
    Ok(())
}

/// The cells that the command line asks for: all, if it asks for none.
fn chosen(wanted: &[String]) -> Result<Vec<Cell>, Failure> {
    let is_wanted =
        |cell: &Cell, words: &String| words.split(',').all(|word| cell.words().iter().any(|it| it == word));
    let all = all();
    let unknown = wanted.iter().find(|words| !all.iter().any(|cell| is_wanted(cell, words)));
    if let Some(unknown) = unknown {
        return Err(Failure::usage(format!("there is no cell `{unknown}`"))
            .hint("none, rdb or aof; 0ms, 50ms, 200ms or 1000ms; disk, diskless or at-once"));
    }
    Ok(all
        .into_iter()
        .filter(|cell| wanted.is_empty() || wanted.iter().any(|it| is_wanted(cell, it)))
        .collect())
}

fn all() -> Vec<Cell> {
    let mut cells = Vec::new();
    for persistence in [Persistence::None, Persistence::Rdb, Persistence::Aof] {
        for delay in DELAYS {
            for sync in [Sync::Disk, Sync::Diskless, Sync::AtOnce] {
                cells.push(Cell { persistence, delay, sync });
            }
        }
    }
    cells
}

impl Cell {
    fn words(self) -> [String; 3] {
        let persistence = match self.persistence {
            Persistence::None => "none",
            Persistence::Rdb => "rdb",
            Persistence::Aof => "aof",
        };
        let sync = match self.sync {
            Sync::Disk => "disk",
            Sync::Diskless => "diskless",
            Sync::AtOnce => "at-once",
        };
        [persistence.to_owned(), format!("{}ms", self.delay), sync.to_owned()]
    }

    fn name(self) -> String {
        self.words().join(",")
    }

    /// How many of the keys the master comes back without.
    fn forgotten(self) -> u64 {
        match self.persistence {
            Persistence::None => KEYS,
            Persistence::Rdb => KEYS - SAVED,
            Persistence::Aof => 0,
        }
    }

    fn options(self) -> [(&'static str, &'static str); 2] {
        let yes_or_no = |yes| if yes { "yes" } else { "no" };
        [
            ("appendonly", yes_or_no(self.persistence == Persistence::Aof)),
            ("repl-diskless-sync", yes_or_no(self.sync != Sync::Disk)),
        ]
    }

    /// Kills a master once, on servers of its own.
    async fn run(self) -> Result<Run, Failure> {
        let mut group = Group::with_monitors(&self.options(), Wiring::Direct).await?;
        let master = group.steady("before the kill").await?;
        if self.sync == Sync::Diskless {
            (0..3).try_for_each(|index| group.configure(index, SYNC_DELAY, "5"))?;
        }
        let mut before = Account::new("before");
        group.write(master, &mut before, 0..SAVED)?;
        if self.persistence == Persistence::Rdb {
            let saved = group.redis(master).command(&["SAVE"]).and_then(Reply::into_result);
            saved.map_err(Failure::new)?;
        }
        group.write(master, &mut before, SAVED..KEYS)?;

        let killed = Instant::now();
        attempt(|| group.redis(master).kill())?;
        let client = group.client().ok_or_else(|| Failure::new("our monitors have a client"))?.clone();
        let writer = Writer::start(Route::Library(client.connection()), "after");
        sleep(Duration::from_millis(self.delay)).await;
        attempt(|| group.redis(master).restart())?;
        writer.acknowledged_since(killed).await?;
        let published = client.topology().next().await;
        if let Some(successor) =
            published.master.as_ref().filter(|_| self.sync == Sync::Diskless && published.epoch.0 > 1)
        {
            // What was to be decided is decided: the way back need not take its time.
            let index = group.index(&successor.to_string())?;
            group.configure(index, SYNC_DELAY, "0")?;
        }
        let master = group.steady("after the restart").await?;
        writer.acknowledged_since(Instant::now()).await?;
        let after = writer.finish().await;
        let first = after.first().map_or(killed, |write| write.at);
        let lost = |account: &Account| account.lost(group.server(master)).map_err(Failure::new);
        let (lost_before, lost_after) = (lost(&before)?.len(), lost(&after)?.len());
        let forgotten = usize::try_from(self.forgotten()).map_err(Failure::new)?;
        Ok(Run {
            lost: lost_before + lost_after,
            wiped: forgotten > 0 && lost_before >= forgotten,
            writes_after: first - killed,
        })
    }
}

const SYNC_DELAY: &str = "repl-diskless-sync-delay";

const HEAD: &str = "keeps  back after  fills     runs   wiped   lost something   lost writes, median (most)   \
writes after, ms (quartiles)";

const NOTES: &str = "
keeps: what the master has on its disk when it is started again: nothing, a snapshot of half of the
keys, or an append-only file. fills: how it fills its replicas: from a file, through the connection after
5 s (Redis's default), or through it at once. wiped: all that the master came back without is gone from
all nodes. lost writes: of those that were acknowledged, before the kill by all replicas. writes after:
from the kill to the first acknowledged write, through the client library; the median and the quartiles.";

fn line(cell: Cell, runs: &[Run]) -> String {
    let [persistence, delay, sync] = cell.words();
    let (wiped, lost_some) =
        (runs.iter().filter(|run| run.wiped).count(), runs.iter().filter(|run| run.lost > 0).count());
    let (lost, most) = lost(runs);
    let Spread { lower, median, upper } = spread(&waits(runs));
    let count = runs.len();
    let writes = format!("{median:.0} ({lower:.0} – {upper:.0})");
    let lost = format!("{lost:.0} ({most})");
    format!(
        "{persistence:<6} {delay:>10}  {sync:<9} {count:>4} {wiped:>7} {lost_some:>16}   {lost:<27}   {writes}"
    )
}

/// How many writes were lost: the median, and the most.
fn lost(runs: &[Run]) -> (f64, usize) {
    let counts: Vec<_> = runs.iter().map(|run| u32::try_from(run.lost).map_or(f64::MAX, f64::from)).collect();
    (spread(&counts).median, runs.iter().map(|run| run.lost).max().unwrap_or(0))
}

fn waits(runs: &[Run]) -> Vec<f64> {
    runs.iter().map(|run| run.writes_after.as_secs_f64() * 1e3).collect()
}

fn json(cell: Cell, runs: &[Run]) -> Value {
    let [persistence, _, sync] = cell.words();
    let (median, most) = lost(runs);
    let Spread { lower, median: wait, upper } = spread(&waits(runs));
    let each: Vec<_> = runs
        .iter()
        .map(|run| {
            let writes_after = run.writes_after.as_secs_f64() * 1e3;
            json!({ "lost": run.lost, "wiped": run.wiped, "writes_after_ms": writes_after })
        })
        .collect();
    json!({
        "persistence": persistence,
        "restart_after_ms": cell.delay,
        "sync": sync,
        "wiped": runs.iter().filter(|run| run.wiped).count(),
        "lost": { "median": median, "most": most },
        "writes_after_ms": { "median": wait, "quartiles": [lower, upper] },
        "runs": each,
    })
}
