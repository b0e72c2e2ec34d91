//! The thread that writes a journal. It alone waits for the disk, and whatever goes wrong there ends with it.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::mpsc::{self, error::TryRecvError};
use tokio::sync::oneshot;

use super::JournalFile;
use super::format::{Codec, Entry};
use super::output::Output;

/// How long after a failure the file is tried again.
const AGAIN: Duration = Duration::from_secs(10);

/// What writes the entries that are handed in.
pub(super) struct Writer {
    group: String,
    place: JournalFile,
    entries: mpsc::Receiver<Entry>,
    /// Set to ask for a head: only with one another file, or the same after a failure, can be begun.
    wanted: Arc<AtomicBool>,
    codec: Codec,
    /// Whether a head was asked for and has not come yet.
    asked: bool,
    /// The file, while it can be written.
    output: Option<Output>,
    /// How many entries could not be written.
    lost: u64,
    /// How long after a failure the file is tried again.
    pub(super) again: Duration,
    /// What went wrong, and when the file is to be tried again.
    failure: Option<(String, Instant)>,
    /// Tells the monitor that all is written; dropped with the writer.
    _end: oneshot::Sender<()>,
}

impl Writer {
    pub(super) fn new(
        group: String,
        place: JournalFile,
        entries: mpsc::Receiver<Entry>,
        wanted: Arc<AtomicBool>,
        end: oneshot::Sender<()>,
    ) -> Self {
        Self {
            group,
            place,
            entries,
            wanted,
            codec: Codec::default(),
            asked: true,
            output: None,
            lost: 0,
            again: AGAIN,
            failure: None,
            _end: end,
        }
    }

    /// Where it writes.
    pub(super) fn path(&self) -> &Path {
        &self.place.path
    }

    /// Writes until nobody can hand in anything any more.
    pub(super) fn run(mut self) {
        while let Some(entry) = self.next() {
            self.take(entry);
        }
        self.flush();
    }

    /// The next entry. While there is none the file has all that there was.
    fn next(&mut self) -> Option<Entry> {
        match self.entries.try_recv() {
            Ok(entry) => Some(entry),
            Err(TryRecvError::Disconnected) => None,
            Err(TryRecvError::Empty) => {
                self.flush();
                self.entries.blocking_recv()
            }
        }
    }

    fn flush(&mut self) {
        if let Some(Err(error)) = self.output.as_mut().map(Output::flush) {
            self.fail(&error);
        }
    }

    fn take(&mut self, entry: Entry) {
        let begins = matches!(entry, Entry::Begin(_));
        if begins {
            self.asked = false;
        }
        let mut outcome = self.write(entry);
        if begins && self.failure.is_some() {
            // Only what the disk has taken proves that it takes something again.
            outcome = outcome.and_then(|()| self.output.as_mut().map_or(Ok(()), Output::flush));
        }
        if let Err(error) = outcome {
            self.fail(&error);
        } else if begins && self.failure.take().is_some() {
            tracing::info!(event = "journal", group = %self.group, "the journal is written again");
        }
        let full = self.output.as_ref().is_some_and(|output| output.is_full(&self.place));
        let again = self.failure.as_ref().is_some_and(|(_, again)| Instant::now() >= *again);
        if (full || again) && !self.asked {
            self.asked = true;
            self.wanted.store(true, Ordering::Relaxed);
        }
    }

    fn write(&mut self, mut entry: Entry) -> io::Result<()> {
        if let Entry::Begin(head) = &mut entry {
            // Counted again if it can't be written either.
            self.lost += std::mem::take(&mut head.missing);
            self.begin()?;
            head.missing = self.lost;
        }
        let begins = matches!(entry, Entry::Begin(_));
        match (&mut self.output, self.codec.encode(entry)) {
            (Some(output), Some(line)) => output.write(&line)?,
            _ => self.lost += 1,
        }
        if begins {
            self.lost = 0;
        }
        Ok(())
    }

    /// Finds the file that a head is to be written into.
    fn begin(&mut self) -> io::Result<()> {
        if let Some(mut full) = self.output.take_if(|output| output.is_full(&self.place)) {
            full.flush()?;
        }
        if self.output.is_none() {
            self.output = Some(Output::open(&self.place)?);
        }
        Ok(())
    }

    /// Closes the file, and says why, unless that was the last that was said of it.
    fn fail(&mut self, error: &io::Error) {
        if let Some(output) = self.output.take() {
            output.abandon();
        }
        self.lost += 1;
        let why = error.to_string();
        if self.failure.as_ref().is_none_or(|(said, _)| *said != why) {
            tracing::error!(
                event = "journal", group = %self.group,
                "the journal {} can't be written: {why}; the monitor goes on without it, and tries it again",
                self.path().display()
            );
        }
        self.failure = Some((why, Instant::now() + self.again));
    }
}
