//! Where the log goes: to standard error, by a thread of its own. Who has something to say never waits for who reads
//! it; what is too much meanwhile is dropped, and counted.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd as _;
use std::sync::{Arc, OnceLock, mpsc};
use std::thread;
use std::time::Duration;

use tracing_appender::non_blocking::{ErrorCounter, NonBlocking, NonBlockingBuilder, WorkerGuard};

/// How many lines wait for a reader who is slow.
const LINES: usize = 10_000;

/// How long the end of the process waits for what was logged to be written.
const LAST_LINES: Duration = Duration::from_secs(1);

/// Keeps up the log. Dropped, it waits until all is written, but no longer than somebody may take to read it.
pub(crate) struct Log(Option<WorkerGuard>);

impl Drop for Log {
    fn drop(&mut self) {
        let (done, over) = mpsc::channel();
        let guard = self.0.take();
        // Where nobody reads, the guard itself may wait for ever.
        thread::spawn(move || {
            drop(guard);
            let _ = done.send(());
        });
        let _ = over.recv_timeout(LAST_LINES);
    }
}

/// What log lines are written to.
///
/// # Errors
/// Where there is no standard error.
pub(crate) fn writer() -> io::Result<(NonBlocking, Log)> {
    let dropped = Arc::new(OnceLock::new());
    // Not by the library's handle, whose lock a panic takes.
    let file = File::from(io::stderr().as_fd().try_clone_to_owned()?);
    let standard_error = StandardError { file, dropped: Arc::clone(&dropped), told: 0 };
    let builder = NonBlockingBuilder::default().buffered_lines_limit(LINES).thread_name("log");
    let (writer, guard) = builder.finish(standard_error);
    dropped.get_or_init(|| writer.error_counter());
    Ok((writer, Log(Some(guard))))
}

/// Has panics go the way of all that is logged: written by who panics they would make it wait.
pub(crate) fn take_panics() {
    std::panic::set_hook(Box::new(|panicked| tracing::error!(event = "panic", "{panicked}")));
}

struct StandardError {
    file: File,
    /// How many lines there was no room for.
    dropped: Arc<OnceLock<ErrorCounter>>,
    told: usize,
}

impl Write for StandardError {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.file.write_all(line)?;
        let dropped = self.dropped.get().map_or(0, ErrorCounter::dropped_lines);
        let new = dropped.saturating_sub(self.told);
        if new > 0 {
            self.told = dropped;
            tracing::warn!(
                event = "log-cut",
                "{new} lines of this log were dropped: whoever reads it is too slow"
            );
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}
