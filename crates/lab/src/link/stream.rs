//! The bytes of one connection in one direction: taken from one socket, kept for as long as they must be, given to the
//! other. It never blocks, and knows nothing of who speaks.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::time::{Duration, Instant};

use super::rules::Treatment;

/// As much as a pair of sockets may keep; a sender whose bytes are not taken then waits.
const CAPACITY: usize = 4 << 20;

/// Bytes that are taken, and given, at once.
const PART: usize = 64 << 10;

/// How finely a limited stream is divided: so many parts in a second.
const PARTS_PER_SECOND: u32 = 50;

/// How a stream ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// Its sender has said all that it had to say.
    Closed,
    /// Its sender is gone.
    Reset,
}

/// What a stream waits for before it can go on delivering.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wait {
    /// Bytes, or an order.
    Input,
    /// That time passes.
    Until(Instant),
    /// That the receiver takes what it was given before.
    Receiver,
}

/// One direction of a connection.
#[derive(Debug, Default)]
pub(super) struct Stream {
    parts: VecDeque<(Instant, Vec<u8>)>,
    waiting: usize,
    end: Option<(Instant, End)>,
    /// Its end was delivered, or there is nobody any more to deliver to.
    over: Option<End>,
    /// Before this time a limited stream gives nothing.
    rests_until: Option<Instant>,
}

impl Stream {
    /// Bytes that were taken and not given.
    pub(super) fn waiting(&self) -> usize {
        self.waiting
    }

    /// Whether more should be taken.
    pub(super) fn wants_input(&self) -> bool {
        self.end.is_none() && self.over.is_none() && self.waiting < CAPACITY
    }

    /// How it ended, once that was delivered.
    pub(super) fn over(&self) -> Option<End> {
        self.over
    }

    /// Takes what there is, and returns whether the end was found.
    pub(super) fn fill(&mut self, source: &mut impl Read, now: Instant) -> bool {
        while self.wants_input() {
            let mut part = vec![0; PART];
            match source.read(&mut part) {
                Ok(0) => self.end = Some((now, End::Closed)),
                Ok(length) => {
                    part.truncate(length);
                    self.waiting += length;
                    self.parts.push_back((now, part));
                    continue;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return false,
                Err(_) => self.end = Some((now, End::Reset)),
            }
            return true;
        }
        false
    }

    /// Gives what is due, and returns what more waits for. `shut` tells the receiver that nothing follows.
    pub(super) fn drain<W: Write>(
        &mut self,
        target: &mut W,
        shut: impl Fn(&W) -> io::Result<()>,
        treatment: &Treatment,
        now: Instant,
    ) -> Wait {
        while self.over.is_none() {
            let Some((arrived, part)) = self.parts.front_mut() else {
                return self.deliver_end(target, shut, treatment, now);
            };
            let rested = treatment.bytes_per_second.and(self.rests_until);
            match treatment.due(*arrived, now).map(|due| rested.map_or(due, |rested| due.max(rested))) {
                None => return Wait::Input,
                Some(due) if due > now => return Wait::Until(due),
                Some(_) => {}
            }
            let most = treatment.bytes_per_second.map_or(PART, a_part_of);
            match target.write(&part[..part.len().min(most)]) {
                Ok(given) => {
                    part.drain(..given);
                    if part.is_empty() {
                        self.parts.pop_front();
                    }
                    self.waiting -= given;
                    self.rests_until = treatment.bytes_per_second.map(|rate| now + time_for(given, rate));
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Wait::Receiver,
                Err(_) => self.give_up(),
            }
        }
        Wait::Input
    }

    /// The end is under way like any other packet, and nothing was sent after it.
    fn deliver_end<W>(
        &mut self,
        target: &W,
        shut: impl Fn(&W) -> io::Result<()>,
        treatment: &Treatment,
        now: Instant,
    ) -> Wait {
        let Some((arrived, end)) = self.end else { return Wait::Input };
        match treatment.due(arrived, now) {
            None => Wait::Input,
            Some(due) if due > now => Wait::Until(due),
            Some(_) => {
                // A receiver that is gone needs not be told.
                let _ = shut(target);
                self.over = Some(end);
                Wait::Input
            }
        }
    }

    /// Nobody takes the rest.
    fn give_up(&mut self) {
        self.parts.clear();
        self.waiting = 0;
        self.over = Some(End::Closed);
    }
}

fn a_part_of(bytes_per_second: u32) -> usize {
    usize::try_from(bytes_per_second / PARTS_PER_SECOND).unwrap_or(PART).clamp(1, PART)
}

fn time_for(bytes: usize, bytes_per_second: u32) -> Duration {
    let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
    Duration::from_secs(1).saturating_mul(bytes) / bytes_per_second.max(1)
}
