//! `bench loss`: what two faults cost in acknowledged writes, beside Redis Sentinel if asked.
//!
//! The same servers, the same faults and the same clients on both sides; the clients differ only in whom they ask for
//! the master. The sides take turns in who begins.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};
use redis_failover_lab::Account;
use serde_json::{Value, json};
use tokio::time::sleep;

use super::finder::Finder;
use super::group::Group;
use super::statistics::{Spread, spread};
use super::writer::{Route, Writer};
use crate::attempt::attempt;
use crate::failure::Failure;

/// How many keys both replicas have confirmed before the fault.
const KEYS: u64 = 1_000;

/// How long a supervisor waits before it starts a server again; systemd's default.
const SUPERVISOR: Duration = Duration::from_millis(100);

/// How long the clients that follow the master wait for a reply.
const PATIENCE: Duration = Duration::from_millis(500);

/// How long the new master takes writes before the old one wakes.
const HANG_ON: Duration = Duration::from_secs(1);

/// How long a change of master may take.
const LIMIT: Duration = Duration::from_secs(30);

/// How often it is looked at who leads.
const LOOK: Duration = Duration::from_millis(10);

/// What the measurement is told.
#[derive(Args, Debug)]
pub(super) struct LossArgs {
    /// Beside what; without it ours alone is measured.
    #[arg(long, value_enum)]
    vs: Option<Other>,

    /// How often each fault is played on each side.
    #[arg(long, value_name = "NUMBER", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    runs: u32,

    /// Only this fault.
    #[arg(long, value_enum)]
    fault: Option<Fault>,

    /// Write the figures to this file, each run too.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// What to compare with.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Other {
    /// Redis Sentinel: three, a quorum of two, `down-after-milliseconds` as our own, else as it comes.
    Sentinel,
}

/// What happens to the master.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Fault {
    /// It is killed, and started again empty at its place.
    Wipe,
    /// It stands still until another leads, and wakes with a client that never looked away.
    Hang,
}

/// Who watches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Ours,
    Sentinel,
}

/// What one fault cost.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Run {
    /// Whether the keys that all replicas had confirmed are gone from all nodes.
    wiped: bool,
    /// Acknowledged writes that the final master does not hold.
    lost: usize,
    /// From the waking of the old master to the last write that it acknowledged.
    two_masters: Option<Duration>,
    /// The longest time in which the client that follows got no write acknowledged.
    gap: Duration,
}

/// Measures, and prints the table.
pub(super) async fn run(args: LossArgs) -> Result<(), Failure> {
    let sides = match args.vs {
        Some(Other::Sentinel) => vec![Side::Ours, Side::Sentinel],
        None => vec![Side::Ours],
    };
    println!(
        "{} runs for each line; {KEYS} keys that both replicas have, and a client that writes on\n",
        args.runs
    );
    println!("{HEAD}");
    let mut lines = Vec::new();
    for fault in
        [Fault::Wipe, Fault::Hang].into_iter().filter(|it| args.fault.is_none_or(|wanted| wanted == *it))
    {
        let mut figures: Vec<_> = sides.iter().map(|side| (*side, Vec::new())).collect();
        for number in 1..=args.runs {
            for (side, runs) in &mut figures {
                let run = play(fault, *side).await;
                runs.push(run.map_err(|failure| {
                    failure.within(format_args!("{}, {}, run {number}", fault.name(), side.name()))
                })?);
            }
            // Each pair begins with the other side.
            figures.reverse();
        }
        figures.sort_by_key(|(side, _)| *side == Side::Sentinel);
        for (side, runs) in figures {
            println!("{}", line(fault, side, &runs));
            lines.push(json(fault, side, &runs));
        }
    }
    println!("{NOTES}");
    if let Some(file) = &args.json {
        let text = format!("{:#}\n", json!({ "keys": KEYS, "lines": lines }));
        fs::write(file, text)
            .map_err(|error| Failure::new(format!("cannot write {}: {error}", file.display())))?;
    }
    Ok(())
}

async fn play(fault: Fault, side: Side) -> Result<Run, Failure> {
    let mut group = match side {
        Side::Ours => Group::with_monitors(&OPTIONS).await?,
        Side::Sentinel => Group::with_sentinels(&OPTIONS).await?,
    };
    let old = group.steady("before the fault").await?;
    let mut loaded = Account::new("loaded");
    group.write(old, &mut loaded, 0..KEYS)?;
    let follower = Writer::start(Route::plain(group.finder(), Some(PATIENCE)), "follower");
    follower.acknowledged_since(Instant::now()).await?;
    let (stayed, two_masters) = match fault {
        Fault::Wipe => {
            attempt(|| group.redis(old).kill())?;
            sleep(SUPERVISOR).await;
            attempt(|| group.redis(old).restart())?;
            (None, None)
        }
        Fault::Hang => {
            let (stayed, woken) = hang(&mut group, old, &follower).await?;
            let last = stayed.last().filter(|write| write.at > woken);
            let time = last.map_or(Duration::ZERO, |write| write.at - woken);
            (Some(stayed), Some(time))
        }
    };
    let master = group.steady("after the fault").await?;
    follower.acknowledged_since(Instant::now()).await?;
    let written = follower.finish().await;
    let lost =
        |account: &Account| account.lost(group.server(master)).map(|lost| lost.len()).map_err(Failure::new);
    let of_loaded = lost(&loaded)?;
    let of_stayed = stayed.as_ref().map_or(Ok(0), lost)?;
    Ok(Run {
        wiped: of_loaded == loaded.acknowledged(),
        lost: of_loaded + lost(&written)? + of_stayed,
        two_masters,
        gap: written.longest_gap(),
    })
}

/// Stops server `old`, lets another take over, wakes it, and waits until it follows; returns what a client was told
/// that stayed with it all along, and when it woke.
async fn hang(group: &mut Group, old: usize, follower: &Writer) -> Result<(Account, Instant), Failure> {
    let finder = group.finder();
    let address = group.server(old).addr();
    let stayer = Writer::start(Route::plain(Finder::Fixed(address.clone()), None), "stayer");
    stayer.acknowledged_since(Instant::now()).await?;
    attempt(|| group.server(old).stop())?;
    let stopped = Instant::now();
    while finder.master().await.is_none_or(|master| master == address) {
        if stopped.elapsed() > LIMIT {
            return Err(Failure::new(format!("nobody takes over in {} s", LIMIT.as_secs())));
        }
        sleep(LOOK).await;
    }
    follower.acknowledged_since(Instant::now()).await?;
    sleep(HANG_ON).await;
    let woken = Instant::now();
    attempt(|| group.server(old).cont())?;
    group.steady("after the old master woke").await?;
    Ok((stayer.finish().await, woken))
}

/// A copy goes through a file, as was the default before Redis 7.0; the lab keeps nothing over a restart.
const OPTIONS: [(&str, &str); 1] = [("repl-diskless-sync", "no")];

const HEAD: &str = "fault  who watches      runs   wiped   lost writes, median (quartiles; most)   \
two masters for, ms (quartiles)   no writes for, ms (quartiles)";

const NOTES: &str = "
wipe: the master is killed and started again 100 ms later, empty. hang: it stands still until another
leads, and wakes 1 s later with a client that never looked away and goes on writing to it. wiped: the keys
that both replicas had are gone from all nodes. lost writes: acknowledged, and not on the final master.
two masters for: from the waking to the last write that the old master took. no writes for: the longest
time without an acknowledged write of the client that follows the master, and waits 500 ms for a reply.";

impl Fault {
    fn name(self) -> &'static str {
        match self {
            Self::Wipe => "wipe",
            Self::Hang => "hang",
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
}

/// The spread of one figure of all runs that have it, and the most.
struct Figures {
    spread: Spread,
    most: f64,
    each: Vec<f64>,
}

impl Figures {
    fn of(runs: &[Run], figure: impl Fn(&Run) -> Option<f64>) -> Option<Self> {
        let each: Vec<_> = runs.iter().filter_map(figure).collect();
        let most = each.iter().copied().reduce(f64::max)?;
        Some(Self { spread: spread(&each), most, each })
    }

    fn lost(runs: &[Run]) -> Option<Self> {
        Self::of(runs, |run| u32::try_from(run.lost).ok().map(f64::from))
    }

    fn two_masters(runs: &[Run]) -> Option<Self> {
        Self::of(runs, |run| run.two_masters.map(millis))
    }

    fn gap(runs: &[Run]) -> Option<Self> {
        Self::of(runs, |run| Some(millis(run.gap)))
    }

    fn json(&self) -> Value {
        let Spread { lower, median, upper } = self.spread;
        json!({ "median": median, "quartiles": [lower, upper], "most": self.most, "runs": self.each })
    }
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn line(fault: Fault, side: Side, runs: &[Run]) -> String {
    let (fault, side, count) = (fault.name(), side.name(), runs.len());
    let wiped = runs.iter().filter(|run| run.wiped).count();
    let time = |figures: Option<Figures>| {
        figures.map_or_else(
            || "–".to_owned(),
            |Figures { spread: Spread { lower, median, upper }, .. }| {
                format!("{median:.0} ({lower:.0} – {upper:.0})")
            },
        )
    };
    let lost = Figures::lost(runs).map_or_else(String::new, |figures| {
        let Spread { lower, median, upper } = figures.spread;
        format!("{median:.0} ({lower:.0} – {upper:.0}; {:.0})", figures.most)
    });
    let (two_masters, gap) = (time(Figures::two_masters(runs)), time(Figures::gap(runs)));
    format!("{fault:<6} {side:<16} {count:>4} {wiped:>7}   {lost:<38}   {two_masters:<31}   {gap}")
}

fn json(fault: Fault, side: Side, runs: &[Run]) -> Value {
    let figures = |figures: Option<Figures>| figures.map(|figures| figures.json());
    json!({
        "fault": fault.name(),
        "who_watches": side.name(),
        "runs": runs.len(),
        "wiped": runs.iter().filter(|run| run.wiped).count(),
        "lost": figures(Figures::lost(runs)),
        "two_masters_ms": figures(Figures::two_masters(runs)),
        "no_writes_ms": figures(Figures::gap(runs)),
    })
}
