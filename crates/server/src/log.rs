//! Where the log goes: to standard error, by a thread of its own. Who has something to say never waits for who reads
//! it; what is too much meanwhile is dropped, and counted. A panic is never left out, and waits a moment.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, mpsc};
use std::thread;
use std::time::Duration;

use tracing::Metadata;
use tracing_appender::non_blocking::{ErrorCounter, NonBlocking, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::writer::EitherWriter;

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

/// How long who panics waits for it to be written. The process may be gone right after.
const PANIC_WAITS: Duration = Duration::from_millis(100);

/// What panics are logged as, whatever else is left out of the log.
const PANIC: &str = "panic";

/// What log lines are written to.
///
/// # Errors
/// Where there is no standard error.
pub(crate) fn writers() -> io::Result<(Writers, Log)> {
    let dropped = Arc::new(OnceLock::new());
    // Not by the library's handle, whose lock a panic takes.
    let file = Arc::new(Mutex::new(File::from(io::stderr().as_fd().try_clone_to_owned()?)));
    let standard_error = StandardError { file: Arc::clone(&file), dropped: Arc::clone(&dropped), told: 0 };
    let builder = NonBlockingBuilder::default().buffered_lines_limit(LINES).thread_name("log");
    let (queue, guard) = builder.finish(standard_error);
    dropped.get_or_init(|| queue.error_counter());
    Ok((Writers { queue, file, busy: Arc::default() }, Log(Some(guard))))
}

/// What is to be logged: what was `wanted`, and every panic.
pub(crate) fn filter(wanted: EnvFilter) -> EnvFilter {
    wanted.add_directive(format!("{PANIC}=error").parse().expect("a target and a level"))
}

/// Has panics logged; where `RUST_BACKTRACE` asks for it, with where they came from.
pub(crate) fn take_panics() {
    std::panic::set_hook(Box::new(|panicked| {
        let backtrace = Backtrace::capture();
        let backtrace = (backtrace.status() == BacktraceStatus::Captured).then_some(backtrace);
        tracing::error!(
            target: PANIC,
            event = "panic",
            backtrace = backtrace.map(tracing::field::display),
            "{panicked}"
        );
    }));
}

/// Where lines go: all into the queue, but for panics.
pub(crate) struct Writers {
    queue: NonBlocking,
    file: Arc<Mutex<File>>,
    /// Whether somebody is writing for who panicked.
    busy: Arc<AtomicBool>,
}

impl MakeWriter<'_> for Writers {
    type Writer = EitherWriter<NonBlocking, Urgent>;

    fn make_writer(&self) -> Self::Writer {
        EitherWriter::A(self.queue.clone())
    }

    fn make_writer_for(&self, meta: &Metadata<'_>) -> Self::Writer {
        if meta.target() == PANIC {
            let (file, busy) = (Arc::clone(&self.file), Arc::clone(&self.busy));
            return EitherWriter::B(Urgent { file, queue: self.queue.clone(), busy });
        }
        self.make_writer()
    }
}

/// For what must be written before the process may end, and must not wait long for who reads it.
pub(crate) struct Urgent {
    file: Arc<Mutex<File>>,
    queue: NonBlocking,
    busy: Arc<AtomicBool>,
}

impl Write for Urgent {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        // Where nobody reads, one thread waits for ever, and not one for each panic.
        if self.busy.swap(true, Ordering::AcqRel) {
            return self.queue.write(line);
        }
        let (file, busy, text) = (Arc::clone(&self.file), Arc::clone(&self.busy), line.to_vec());
        let (done, over) = mpsc::channel();
        let write = move || {
            let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
            let _ = file.write_all(&text);
            busy.store(false, Ordering::Release);
            let _ = done.send(());
        };
        if thread::Builder::new().spawn(write).is_err() {
            self.busy.store(false, Ordering::Release);
            return self.queue.write(line);
        }
        let _ = over.recv_timeout(PANIC_WAITS);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct StandardError {
    file: Arc<Mutex<File>>,
    /// How many lines there was no room for.
    dropped: Arc<OnceLock<ErrorCounter>>,
    told: usize,
}

impl Write for StandardError {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.file.lock().unwrap_or_else(PoisonError::into_inner).write_all(line)?;
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
        // A file is written as it is told.
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::os::fd::OwnedFd;
    use std::os::unix::net::UnixStream;
    use std::process::Command;

    use clap::Parser as _;

    use super::*;

    /// Says to this test that it is to panic.
    const PANICS: &str = "REDIS_FAILOVER_TEST_PANICS";

    #[test]
    fn a_panic_is_said_whatever_the_log_leaves_out_and_though_the_process_ends() {
        if std::env::var_os(PANICS).is_some() {
            let words = "redis-failover --log off status -z h:1 -p /a".split(' ');
            let _log = crate::start_log(&crate::Cli::parse_from(words)).unwrap();
            tracing::error!("something else");
            let _ = thread::spawn(|| panic!("as a test")).join();
            std::process::abort();
        }
        let said = |backtrace: &str| {
            let mut child = Command::new(std::env::current_exe().unwrap());
            child.args(["--nocapture", "--exact"]).arg(thread::current().name().unwrap());
            child.env(PANICS, "").env_remove("RUST_LIB_BACKTRACE").env("RUST_BACKTRACE", backtrace);
            String::from_utf8(child.output().unwrap().stderr).unwrap()
        };
        let (short, long) = (said("0"), said("1"));
        assert!(short.contains("event=\"panic\"") && short.contains("as a test"), "{short}");
        assert!(!short.contains("backtrace") && !short.contains("something else"), "{short}");
        assert!(long.contains("as a test") && long.contains("backtrace="), "{long}");
        assert!(long.contains("a_panic_is_said_whatever"), "{long}");
    }

    #[test]
    fn what_nobody_reads_is_not_waited_for_long_and_is_written_when_somebody_does() {
        let (mut ours, mut theirs) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        while ours.write(&[b'.'; 4_096]).is_ok() {}
        ours.set_nonblocking(false).unwrap();
        let file = Arc::new(Mutex::new(File::from(OwnedFd::from(ours))));
        let (queue, _guard) = NonBlockingBuilder::default().finish(io::sink());
        let begun = std::time::Instant::now();
        let busy = Arc::new(AtomicBool::new(false));
        Urgent { file, queue, busy: Arc::clone(&busy) }.write_all(b"it panicked").unwrap();
        assert!(busy.load(Ordering::Acquire), "the next one goes into the queue");
        let waited = begun.elapsed();
        assert!(waited >= PANIC_WAITS && waited < 50 * PANIC_WAITS, "{waited:?}");
        let mut read = String::new();
        theirs.read_to_string(&mut read).unwrap();
        assert_eq!(read.trim_start_matches('.'), "it panicked");
    }
}
