//! The command line's many seeds: played side by side, with a word on how far that is, until all are played, the time
//! is over, or somebody has seen enough. It judges nothing: what is found is in the outcomes.
#![expect(clippy::disallowed_methods, clippy::disallowed_types, reason = "the worlds inside read no clock")]

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, IsTerminal, Write as _};
use std::ops::Range;
use std::process;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use redis_failover_sim::bugs::Bug;
use redis_failover_sim::{Outcome, World};
use tokio::runtime;
use tokio::signal::unix::{SignalKind, signal};

/// How soon it is said for the first time how far the playing is.
const FIRST_WORD: Duration = Duration::from_secs(1);

/// How often it is said on a terminal, where each word replaces the one before.
const ON_A_TERMINAL: Duration = Duration::from_millis(500);

/// How often it is said elsewhere.
const IN_A_LOG: Duration = Duration::from_secs(10);

/// An interrupt that comes so soon after the first is the same one: `timeout` tells the program and its group.
const THE_SAME: Duration = Duration::from_millis(500);

/// The exit code of who was interrupted twice: a shell's for SIGINT.
const INTERRUPTED: i32 = 130;

/// Plays these seeds with that bug, for so long at most, and yields what came of each that was played to its end.
///
/// The first SIGINT begins no further seed; the second ends the process.
///
/// # Errors
/// When the signal can't be waited for.
pub(crate) fn play(
    seeds: Range<u64>,
    limit: Option<Duration>,
    bug: Option<Bug>,
) -> io::Result<BTreeMap<u64, Outcome>> {
    let begun = Instant::now();
    let stop = stops_at_an_interrupt()?;
    let next = AtomicU64::new(seeds.start);
    let goes_on = || !stop.load(Ordering::Relaxed) && limit.is_none_or(|limit| begun.elapsed() < limit);
    let (tell, told) = mpsc::channel();
    let play = |tell: &mpsc::Sender<Outcome>| {
        while goes_on() {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds.end || tell.send(World::new(seed, bug, false).play()).is_err() {
                return;
            }
        }
    };
    let mut progress = Progress::new(seeds.end - seeds.start, begun);
    thread::scope(|scope| {
        for _ in 0..threads() {
            let (tell, play) = (tell.clone(), &play);
            scope.spawn(move || play(&tell));
        }
        // Only those who play are waited for.
        drop(tell);
        progress.follow(&told);
    });
    Ok(progress.outcomes)
}

/// How many seeds are played side by side.
pub(crate) fn threads() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

/// What the first SIGINT sets.
fn stops_at_an_interrupt() -> io::Result<Arc<AtomicBool>> {
    let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
    let mut interrupts = runtime.block_on(async { signal(SignalKind::interrupt()) })?;
    let stop = Arc::new(AtomicBool::new(false));
    let stops = Arc::clone(&stop);
    thread::spawn(move || {
        runtime.block_on(async {
            interrupts.recv().await;
            stops.store(true, Ordering::Relaxed);
            let first = Instant::now();
            while first.elapsed() < THE_SAME {
                interrupts.recv().await;
            }
            process::exit(INTERRUPTED);
        });
    });
    Ok(stop)
}

/// What was played so far.
struct Progress {
    of: u64,
    begun: Instant,
    terminal: bool,
    outcomes: BTreeMap<u64, Outcome>,
    broken: u64,
}

impl Progress {
    fn new(of: u64, begun: Instant) -> Self {
        let terminal = io::stderr().is_terminal();
        Self { of, begun, terminal, outcomes: BTreeMap::new(), broken: 0 }
    }

    /// Takes in what is played until nobody plays any more, and says now and then how far that is.
    fn follow(&mut self, told: &mpsc::Receiver<Outcome>) {
        let mut due = self.begun + FIRST_WORD;
        loop {
            match told.recv_timeout(due.saturating_duration_since(Instant::now())) {
                Ok(outcome) => {
                    self.broken += u64::from(outcome.violation.is_some());
                    self.outcomes.insert(outcome.seed, outcome);
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            let now = Instant::now();
            if now >= due {
                self.say(format_args!("{self}"));
                due = now + if self.terminal { ON_A_TERMINAL } else { IN_A_LOG };
            }
        }
        if self.terminal {
            self.say(format_args!(""));
        }
    }

    /// Nobody may read it: then nothing is said.
    fn say(&self, what: fmt::Arguments<'_>) {
        // Back to the line's beginning, and clear it.
        let (before, after) = if self.terminal { ("\r\x1b[K", "") } else { ("", "\n") };
        drop(write!(io::stderr(), "{before}{what}{after}"));
    }
}

impl fmt::Display for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (played, seconds) = (self.outcomes.len(), self.begun.elapsed().as_secs());
        write!(f, "{played} of {} seeds played in {seconds} s, {} broke something", self.of, self.broken)
    }
}
