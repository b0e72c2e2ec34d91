//! The lines of a journal, each one JSON object with one key that says what it is. It opens no file.
//!
//! A line's time is written as the milliseconds since the line before, and of what a monitor sees only what changed. A
//! line `begin` has all of it anew, so that what follows one can be read alone.

use redis_failover_core::{Action, Decider, Event, Instant, MonitorId, NodeAddr, Observation, Policy};
use serde::{Deserialize, Serialize};

use super::change::Change;
use super::{Call, Moment};

/// The format that is written, and the only one that is read: what a decider keeps is part of it.
pub(super) const FORMAT: u32 = 8;

/// How the first line of every journal begins, whatever its format; the number of the format follows.
pub(super) const OPENING: &str = "{\"begin\":{\"journal\":";

/// From where the lines that follow can be read.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Head {
    /// The format.
    pub(super) journal: u32,
    /// The version of the program that wrote it.
    pub(crate) program: String,
    /// Whether the monitor was started here; otherwise it goes on.
    pub(crate) started: bool,
    /// How many entries before this one could not be written.
    pub(crate) missing: u64,
    /// The group.
    pub(crate) group: String,
    /// The monitor.
    pub(crate) monitor: MonitorId,
    /// The wall clock, for people.
    pub(crate) time: Moment,
    /// The monitor's own clock at that time.
    pub(crate) now: Instant,
    /// The decider before the next call.
    pub(super) decider: Decider,
}

/// A line as it stands in the file.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum Line {
    Begin(Box<Head>),
    Observed(i64, Change),
    Event(i64, Event),
    Poll(i64),
    Seed(i64, Vec<NodeAddr>, Policy),
    Action(Box<Action>),
}

/// The opening of a head of any format.
#[derive(Deserialize)]
struct AnyHead {
    begin: AnyFormat,
}

#[derive(Deserialize)]
struct AnyFormat {
    journal: u32,
    program: String,
}

/// What a line says.
#[derive(Clone, Debug)]
pub(super) enum Entry {
    /// What can be read from here on.
    Begin(Box<Head>),
    /// The decider is called.
    Call(Call),
    /// What the poll before yielded.
    Action(Box<Action>),
}

/// Why a line can't be read.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum BadLine {
    /// Another version of the program wrote it.
    #[error(
        "its format is {format}, written by redis-failover {program}; this version reads format {FORMAT}"
    )]
    OtherFormat { format: u32, program: String },
    /// It is no line of a journal.
    #[error("it is no line of a journal: {0}")]
    Garbage(String),
    /// There was no line before it that begins a journal.
    #[error("it does not begin a journal")]
    NoHead,
}

/// Turns entries into lines and back. Both ends step through the same context.
#[derive(Clone, Debug, Default)]
pub(super) struct Codec {
    /// The time and the sight of the line before; `None` before the first head.
    before: Option<(Instant, Observation)>,
}

impl Codec {
    /// The line of an entry, with its end; `None` where there was no head yet.
    pub(super) fn encode(&mut self, entry: Entry) -> Option<Vec<u8>> {
        let line = match entry {
            Entry::Begin(head) => {
                self.before = Some((head.now, head.decider.observation().clone()));
                Line::Begin(head)
            }
            Entry::Action(action) => Line::Action(action),
            Entry::Call(call) => {
                let (before, seen) = self.before.as_mut()?;
                let now = call.now();
                let later = since(now, *before);
                *before = now;
                match call {
                    Call::Handle(_, Event::Observed(observation)) => {
                        let change = Change::between(seen, &observation, now);
                        *seen = observation;
                        Line::Observed(later, change)
                    }
                    Call::Handle(_, event) => Line::Event(later, event),
                    Call::Poll(_) => Line::Poll(later),
                    Call::Seed(_, nodes, policy) => Line::Seed(later, nodes, policy),
                }
            }
        };
        let mut bytes = serde_json::to_vec(&line).expect("all keys are texts or numbers");
        bytes.push(b'\n');
        Some(bytes)
    }

    /// The entry of a line.
    pub(super) fn decode(&mut self, line: &[u8]) -> Result<Entry, BadLine> {
        let garbage = |error: serde_json::Error| BadLine::Garbage(error.to_string());
        if line.starts_with(OPENING.as_bytes()) {
            let AnyHead { begin } = serde_json::from_slice(line).map_err(garbage)?;
            if begin.journal != FORMAT {
                return Err(BadLine::OtherFormat { format: begin.journal, program: begin.program });
            }
        }
        let line = serde_json::from_slice(line).map_err(garbage)?;
        if let Line::Begin(head) = line {
            self.before = Some((head.now, head.decider.observation().clone()));
            return Ok(Entry::Begin(head));
        }
        let (before, seen) = self.before.as_mut().ok_or(BadLine::NoHead)?;
        let mut at = |later: i64| {
            *before = Instant::from_millis(before.as_millis().wrapping_add_signed(later));
            *before
        };
        Ok(match line {
            Line::Begin(head) => Entry::Begin(head),
            Line::Action(action) => Entry::Action(action),
            Line::Observed(later, change) => {
                let now = at(later);
                change.apply(seen, now);
                Entry::Call(Call::Handle(now, Event::Observed(seen.clone())))
            }
            Line::Event(later, event) => Entry::Call(Call::Handle(at(later), event)),
            Line::Poll(later) => Entry::Call(Call::Poll(at(later))),
            Line::Seed(later, nodes, policy) => Entry::Call(Call::Seed(at(later), nodes, policy)),
        })
    }
}

/// How many milliseconds `now` is after `before`; less than 0 if it is earlier.
pub(super) fn since(now: Instant, before: Instant) -> i64 {
    now.as_millis().wrapping_sub(before.as_millis()).cast_signed()
}
