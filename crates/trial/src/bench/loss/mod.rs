//! `bench loss`: what faults of the master cost in acknowledged writes, beside Redis Sentinel if asked.
//!
//! The same servers, the same faults and the same clients on all sides; the clients differ only in whom they ask for
//! the master. The sides take turns in who begins. It never repairs what a fault did: that is for those who watch.

mod figures;
mod play;

use std::fs;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use serde_json::json;

use crate::failure::Failure;

/// How many keys both replicas have confirmed before the fault.
const KEYS: u64 = 1_000;

/// What the measurement is told.
#[derive(Args, Debug)]
pub(super) struct LossArgs {
    /// Beside what, several separated by commas; without it ours alone is measured.
    #[arg(long, value_enum, value_delimiter = ',')]
    vs: Vec<Other>,

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
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Other {
    /// Redis Sentinel: three, a quorum of two, `down-after-milliseconds` as our own, else as it comes.
    Sentinel,
    /// The same over servers with `min-replicas-to-write 1` and `min-replicas-max-lag 10`.
    SentinelMaxLag,
}

/// What happens to the master.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Fault {
    /// It is killed, and started again empty at its place.
    Wipe,
    /// It stands still until another leads, and wakes with a client that never looked away.
    Hang,
    /// Its host loses all others for ten seconds, with a client on it that goes on writing.
    Cut,
}

/// Who watches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Ours,
    Theirs(Other),
}

/// Measures, and prints the table.
pub(super) async fn run(args: LossArgs) -> Result<(), Failure> {
    let sides: Vec<_> =
        std::iter::once(Side::Ours).chain(args.vs.iter().copied().map(Side::Theirs)).collect();
    println!(
        "{} runs for each line; {KEYS} keys that both replicas have, and a client that writes on\n",
        args.runs
    );
    println!("{}", figures::HEAD);
    let mut lines = Vec::new();
    for fault in [Fault::Wipe, Fault::Hang, Fault::Cut] {
        if args.fault.is_some_and(|wanted| wanted != fault) {
            continue;
        }
        let mut figures: Vec<_> = sides.iter().map(|side| (*side, Vec::new())).collect();
        for number in 1..=args.runs {
            for (side, runs) in &mut figures {
                let run = play::play(fault, *side).await;
                runs.push(run.map_err(|failure| {
                    failure.within(format_args!("{}, {}, run {number}", fault.name(), side.name()))
                })?);
            }
            // Each round begins with another side.
            figures.rotate_left(1);
        }
        figures.sort_by_key(|(side, _)| sides.iter().position(|it| it == side));
        for (side, runs) in figures {
            println!("{}", figures::line(fault, side, &runs));
            lines.push(figures::json(fault, side, &runs));
        }
    }
    println!("{}", figures::NOTES);
    if let Some(file) = &args.json {
        let text = format!("{:#}\n", json!({ "keys": KEYS, "lines": lines }));
        fs::write(file, text)
            .map_err(|error| Failure::new(format!("cannot write {}: {error}", file.display())))?;
    }
    Ok(())
}

impl Fault {
    fn name(self) -> &'static str {
        match self {
            Self::Wipe => "wipe",
            Self::Hang => "hang",
            Self::Cut => "cut",
        }
    }
}

impl Side {
    fn name(self) -> &'static str {
        match self {
            Self::Ours => "redis-failover",
            Self::Theirs(Other::Sentinel) => "Redis Sentinel",
            Self::Theirs(Other::SentinelMaxLag) => "Sentinel, max-lag 10",
        }
    }
}
