//! A prober: it tries a write on every node all the time, and says how long two of them took it.
//!
//! It calls each node from the node's own host, past any link. The write is a DEL of a key that there never is: Redis
//! lets it in or refuses it like any other (READONLY, NOREPLICAS, LOADING), and it changes nothing, so that what is
//! measured does not depend on the measuring. It knows of no fault and of no master.

use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

use crate::plain;

/// From one try to the next, on each node.
const PACE: Duration = Duration::from_millis(20);

/// Between two tries that were let in no further apart, others would have been, too; a node that stood still for
/// longer took nothing meanwhile.
const BRIDGE: Duration = Duration::from_millis(100);

/// No writer uses it.
const KEY: &str = "a key that there never is";

/// The running prober. Dropping it ends it.
#[derive(Debug)]
pub(crate) struct Prober {
    lines: Vec<Arc<Mutex<Line>>>,
    _tasks: JoinSet<()>,
}

/// When one node took writes: spans in order.
#[derive(Clone, Debug, Default)]
struct Line {
    spans: Vec<Range<Instant>>,
    /// Whether the last try was let in.
    open: bool,
}

impl Prober {
    /// Starts it on the nodes at these addresses.
    pub(crate) fn start(addresses: Vec<String>) -> Self {
        let mut tasks = JoinSet::new();
        let probe = |address| {
            let line = Arc::new(Mutex::new(Line::default()));
            tasks.spawn(probe(address, Arc::clone(&line)));
            line
        };
        Self { lines: addresses.into_iter().map(probe).collect(), _tasks: tasks }
    }

    /// For how long two nodes or more took writes at the same time, in this time.
    pub(crate) fn two_took_writes(&self, window: &Range<Instant>) -> Duration {
        let clip = |span: &Range<Instant>| span.start.max(window.start)..span.end.min(window.end);
        let spans = self.lines.iter().map(|line| lock(line).spans.iter().map(clip).collect());
        together(&spans.collect::<Vec<_>>())
    }
}

async fn probe(address: String, line: Arc<Mutex<Line>>) {
    let mut ticks = interval(PACE);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut connection = None;
    loop {
        ticks.tick().await;
        if connection.is_none() {
            // A node that stands still answers when it wakes: its connection is waited on, as a client's would be.
            connection = plain::connect(&address, None).await;
        }
        let Some(open) = &mut connection else {
            lock(&line).enter(false, Instant::now());
            continue;
        };
        let answer = redis::cmd("DEL").arg(KEY).query_async::<()>(open).await;
        lock(&line).enter(answer.is_ok(), Instant::now());
        // Who names an error lives.
        if answer.is_err_and(|error| error.code().is_none()) {
            connection = None;
        }
    }
}

impl Line {
    fn enter(&mut self, let_in: bool, at: Instant) {
        if let_in {
            match self.spans.last_mut() {
                Some(span) if self.open && at - span.end <= BRIDGE => span.end = at,
                _ => self.spans.push(at..at),
            }
        }
        self.open = let_in;
    }
}

/// For how long two lines or more were in one of their spans.
fn together(lines: &[Vec<Range<Instant>>]) -> Duration {
    // A moment has no length, and would end before it begins.
    let spans = lines.iter().flatten().filter(|span| !span.is_empty());
    let mut turns: Vec<_> = spans.flat_map(|span| [(span.start, true), (span.end, false)]).collect();
    turns.sort_unstable();
    let mut total = Duration::ZERO;
    let (mut open, mut since) = (0_usize, None);
    for (at, begins) in turns {
        if let Some(since) = since.filter(|_| open >= 2) {
            total += at - since;
        }
        open = if begins { open + 1 } else { open.saturating_sub(1) };
        since = Some(at);
    }
    total
}

/// A line is whole between any two statements.
fn lock(line: &Mutex<Line>) -> std::sync::MutexGuard<'_, Line> {
    line.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: fn(u64) -> Duration = Duration::from_millis;

    fn line(start: Instant, tries: &[(u64, bool)]) -> Line {
        let mut line = Line::default();
        for (at, let_in) in tries {
            line.enter(*let_in, start + MS(*at));
        }
        line
    }

    #[test]
    fn a_span_lasts_from_one_try_that_was_let_in_to_the_next() {
        let start = Instant::now();
        let at = |millis| start + MS(millis);
        let refused_between = line(start, &[(0, true), (20, true), (40, false), (60, true), (80, true)]);
        assert_eq!(refused_between.spans, [at(0)..at(20), at(60)..at(80)]);
        let stood_still = line(start, &[(0, true), (20, true), (500, true), (520, true)]);
        assert_eq!(stood_still.spans, [at(0)..at(20), at(500)..at(520)], "nobody knows of 480 ms");
    }

    #[test]
    fn only_what_two_took_together_counts() {
        let start = Instant::now();
        let at = |millis| start + MS(millis);
        let (one, two) = (vec![at(0)..at(100), at(200)..at(300)], vec![at(90)..at(210), at(250)..at(260)]);
        assert_eq!(together(&[one.clone(), two.clone(), vec![]]), MS(10 + 10 + 10));
        assert_eq!(together(&[one.clone(), vec![at(100)..at(200)]]), Duration::ZERO, "one after the other");
        assert_eq!(together(&[one, two, vec![at(0)..at(400)]]), MS(300), "three are not more than two");
        assert_eq!(
            together(&[vec![at(5)..at(5)], vec![at(0)..at(9)]]),
            Duration::ZERO,
            "a moment is no time"
        );
    }
}
