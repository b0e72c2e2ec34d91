//! `redis-failover replay`: what a monitor decided and why, by stepping through its journal. It connects to nobody.

mod facts;
mod json;
mod text;

use std::fs::File;
use std::io::{self, BufReader, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;

use crate::failure::{Failure, Kind};
use crate::journal::{Moment, ReadError, Replay, Turn};
use crate::output;

/// What `replay` is asked.
#[derive(Args, Debug)]
pub(super) struct ReplayArgs {
    /// The journal, as `run --journal FILE` wrote it; what is older is in FILE.1.
    file: PathBuf,

    /// Show only what happened from this time on, written as this command shows it: 2026-01-31T13:05:00.250Z.
    #[arg(long, value_name = "TIME")]
    from: Option<Moment>,

    /// Show also what the monitor was told and what changed nothing.
    #[arg(long)]
    all: bool,

    /// Print one JSON object a line; what went wrong is the last.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &ReplayArgs) -> Result<ExitCode, Failure> {
    let failed = |why: String| Failure::new(Kind::Failed, format!("{}: {why}", args.file.display()));
    let file = File::open(&args.file).map_err(|error| failed(error.to_string()))?;
    let mut output = io::BufWriter::new(io::stdout().lock());
    let shown = show(args, BufReader::new(file), &mut output);
    // What comes before a mistake is shown, too.
    let flushed = output.flush();
    match shown.and_then(|differences| flushed.map(|()| differences).map_err(Stopped::Output)) {
        Ok(Some(0)) => Ok(ExitCode::SUCCESS),
        Ok(Some(differences)) => {
            Err(failed(format!("{differences} of the recorded decisions are not what this program decides"))
                .hint(
                    "another version of the program wrote the journal, or this is a defect: please report it",
                ))
        }
        Ok(None) => Err(failed("it is empty".to_owned())),
        // Whoever reads has seen enough.
        Err(Stopped::Output(error)) if error.kind() == ErrorKind::BrokenPipe => Ok(ExitCode::SUCCESS),
        Err(Stopped::Output(error)) => Err(output::failed(&error)),
        Err(Stopped::Journal(error)) => Err(failed(error.to_string()).hint(hint(&args.file))),
    }
}

fn hint(file: &Path) -> String {
    format!("a journal is what `redis-failover run --journal {}` writes", file.display())
}

/// Why it does not go on.
enum Stopped {
    /// Nobody takes what is shown.
    Output(io::Error),
    /// The journal can't be read on.
    Journal(ReadError),
}

/// Shows a journal, and yields how many decisions were other ones; `None` where it holds nothing.
fn show(
    args: &ReplayArgs,
    journal: BufReader<File>,
    output: &mut impl Write,
) -> Result<Option<usize>, Stopped> {
    let mut replay = Replay::new(journal);
    let mut begun = false;
    while let Some((time, now, turn)) = replay.next().map_err(Stopped::Journal)? {
        begun = true;
        if args.from.is_some_and(|from| time < from) {
            continue;
        }
        let shown = if args.json {
            json::turn(time, now, &turn, args.all).map(|value| format!("{value}\n"))
        } else {
            text::turn(time, now, &turn, args.all)
        };
        if let Some(shown) = shown {
            output.write_all(shown.as_bytes()).map_err(Stopped::Output)?;
        }
    }
    Ok(begun.then(|| replay.differences()))
}

/// Whether a turn is shown where not all of them are.
fn matters(turn: &Turn) -> bool {
    match turn {
        Turn::Begin(..) | Turn::Cut | Turn::Decided(_) => true,
        Turn::Told { failed, before, after, .. } => *failed || !facts::changes(before, after).is_empty(),
    }
}
