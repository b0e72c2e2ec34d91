//! Reads a journal line by line, and says where it breaks off. It steps nothing.

use std::collections::VecDeque;
use std::io::{self, BufRead, Read as _};

use super::format::{BadLine, Codec, Entry, OPENING};

/// No line is longer: whoever is given something else than a journal must not fill the memory with it.
const LONGEST: u64 = 64 << 20;

/// A journal that is read.
pub(super) struct Reader<R> {
    lines: R,
    codec: Codec,
    /// The number of the line that was read last.
    number: u64,
    /// What is read next, before the lines.
    ahead: VecDeque<Read>,
}

/// What a reading yields.
#[derive(Debug)]
pub(super) enum Read {
    /// This.
    Entry(Entry),
    /// A line that is cut off, as after a crash: the last one, or one before a head.
    Cut,
    /// The end.
    End,
}

/// Why a journal can't be read on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadError {
    /// The system can't read it.
    #[error("line {line}: {error}")]
    Io {
        /// The line.
        line: u64,
        /// What the system says.
        error: io::Error,
    },
    /// A line is not what it should be.
    #[error("line {line}: {why}")]
    Line {
        /// The line.
        line: u64,
        /// Why.
        why: String,
    },
}

impl<R: BufRead> Reader<R> {
    pub(super) fn new(lines: R) -> Self {
        Self { lines, codec: Codec::default(), number: 0, ahead: VecDeque::new() }
    }

    /// The next entry, and what it stands for where there is none.
    pub(super) fn next(&mut self) -> Result<Read, ReadError> {
        match self.ahead.pop_front() {
            Some(ahead) => Ok(ahead),
            None => self.read(),
        }
    }

    /// The action that stands here, if one does. Otherwise nothing is passed over.
    pub(super) fn action(&mut self) -> Result<Recorded, ReadError> {
        match self.next()? {
            Read::Entry(Entry::Action(action)) => Ok(Recorded::Action(action)),
            other => {
                let known = matches!(other, Read::Entry(Entry::Call(_)));
                self.ahead.push_front(other);
                Ok(if known { Recorded::Nothing } else { Recorded::Unknown })
            }
        }
    }

    fn read(&mut self) -> Result<Read, ReadError> {
        let Some(line) = self.line()? else { return Ok(Read::End) };
        let number = self.number;
        let ended = line.ends_with(b"\n");
        let bad = match self.codec.decode(line.strip_suffix(b"\n").unwrap_or(&line)) {
            Ok(entry) if ended => return Ok(Read::Entry(entry)),
            // Whole, but for its end: nobody knows that.
            Ok(_) => None,
            Err(bad) => Some(bad),
        };
        let other_format = matches!(bad, Some(BadLine::OtherFormat { .. }));
        let first = number == 1;
        let begun = line.starts_with(OPENING.as_bytes());
        if !other_format && !ended && !first {
            return Ok(Read::Cut);
        }
        if !other_format
            && !first
            && let Some(next) = self.line()?
        {
            let next = self.codec.decode(next.strip_suffix(b"\n").unwrap_or(&next));
            if let Ok(entry @ Entry::Begin(_)) = next {
                self.ahead.push_back(Read::Entry(entry));
                return Ok(Read::Cut);
            }
        }
        let why = match bad {
            Some(bad) if other_format || !first => bad.to_string(),
            _ if begun && !ended => "the first line is cut off: nothing can be read".to_owned(),
            Some(bad) => format!("this is no journal of a monitor: {bad}"),
            None => "this is no journal of a monitor".to_owned(),
        };
        Err(ReadError::Line { line: number, why })
    }

    /// The next line with its end, if it has one; `None` at the end of the file.
    fn line(&mut self) -> Result<Option<Vec<u8>>, ReadError> {
        self.number += 1;
        let mut line = Vec::new();
        let read = self.lines.by_ref().take(LONGEST).read_until(b'\n', &mut line);
        read.map_err(|error| ReadError::Io { line: self.number, error })?;
        Ok((!line.is_empty()).then_some(line))
    }
}

/// What the journal says that a poll yielded.
#[derive(Debug)]
pub(super) enum Recorded {
    /// This action.
    Action(Box<redis_failover_core::Action>),
    /// None: the next call stands there.
    Nothing,
    /// That is not known: the journal breaks off here.
    Unknown,
}
