//! Where the log goes: to standard error, by a thread of its own. Who has something to say never waits for who reads
//! it; what is too much meanwhile is dropped, and counted.

use std::io::{self, Write};
use std::sync::{Arc, OnceLock};

use tracing_appender::non_blocking::{ErrorCounter, NonBlocking, NonBlockingBuilder, WorkerGuard};

/// How many lines wait for a reader who is slow.
const LINES: usize = 10_000;

/// What log lines are written to. What still waits is written when the guard is dropped, unless nobody reads it.
pub(crate) fn writer() -> (NonBlocking, WorkerGuard) {
    let dropped = Arc::new(OnceLock::new());
    let standard_error = StandardError { dropped: Arc::clone(&dropped), told: 0 };
    let builder = NonBlockingBuilder::default().buffered_lines_limit(LINES).thread_name("log");
    let (writer, guard) = builder.finish(standard_error);
    dropped.get_or_init(|| writer.error_counter());
    (writer, guard)
}

struct StandardError {
    /// How many lines there was no room for.
    dropped: Arc<OnceLock<ErrorCounter>>,
    told: usize,
}

impl Write for StandardError {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        io::stderr().write_all(line)?;
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
        io::stderr().flush()
    }
}
