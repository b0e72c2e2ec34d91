//! The writer of unique keys, a process of its own, and what it remembers.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use redis_failover_lab::{Process, Redis, Reply, eventually};

use crate::world::{DEADLINE, Group, Servers};

/// How many writes must have been acknowledged on each side of a fault.
const ENOUGH: usize = 1_000;

/// A running writer.
pub(crate) struct Writer {
    process: Process,
    report: PathBuf,
    prefix: String,
}

/// What a writer remembers of one key.
#[derive(Clone, Copy, Debug)]
struct Written {
    number: u64,
    acknowledged: bool,
    /// By the machine's monotonic clock, in seconds.
    at: f64,
}

/// What came of a writer's keys.
#[derive(Debug)]
pub(crate) struct Account {
    /// The keys whose write was acknowledged.
    pub(crate) acknowledged: usize,
    /// Those of them that the final master does not hold.
    pub(crate) lost: usize,
    /// The keys whose outcome the writer does not know.
    pub(crate) unknown: usize,
    /// The longest time without an acknowledged write.
    pub(crate) gap: Duration,
}

impl Writer {
    /// A writer to `group` that has begun to write.
    pub(crate) fn start(servers: &Servers, group: &Group, prefix: &str) -> Self {
        let report = servers.file(&format!("{prefix}.report"));
        let path = report.to_string_lossy().into_owned();
        let name = format!("writer {prefix}");
        let process = servers.python(&name, "writer.py", &[&group.path, prefix, &path]);
        let writer = Self { process, report, prefix: prefix.to_owned() };
        writer.write_more();
        writer
    }

    /// Waits until enough more writes were acknowledged.
    pub(crate) fn write_more(&self) {
        let wanted = self.acknowledged() + ENOUGH;
        eventually(DEADLINE, "the writer writes", || {
            let acknowledged = self.acknowledged();
            if acknowledged >= wanted { Ok(()) } else { Err(format!("{acknowledged} of {wanted}")) }
        });
    }

    /// Holds the writer still.
    pub(crate) fn pause(&self) {
        self.process.stop();
    }

    /// Lets it go on.
    pub(crate) fn resume(&self) {
        self.process.cont();
    }

    fn written(&self) -> Vec<Written> {
        let text = fs::read_to_string(&self.report).unwrap_or_default();
        // The last line may be half written.
        let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
        whole.lines().filter_map(parse).collect()
    }

    fn acknowledged(&self) -> usize {
        self.written().iter().filter(|it| it.acknowledged).count()
    }

    /// Ends the writer and reads every acknowledged key back from `master`.
    pub(crate) fn finish(mut self, master: &Redis) -> Account {
        self.process.terminate();
        assert!(self.process.wait_exit(DEADLINE).success(), "the writer failed");
        let written = self.written();
        let mut connection = master.connect().expect("the final master answers");
        let acknowledged: Vec<_> = written.iter().filter(|it| it.acknowledged).collect();
        let mut lost = 0;
        for part in acknowledged.chunks(500) {
            let keys: Vec<_> = part.iter().map(|it| format!("{}:{}", self.prefix, it.number)).collect();
            let mut words = vec!["MGET"];
            words.extend(keys.iter().map(String::as_str));
            let Ok(Reply::Array(values)) = connection.command(&words) else { panic!("MGET failed") };
            let held = |(it, value): (&&Written, &Reply)| *value == Reply::Bulk(it.number.to_string());
            lost += part.iter().zip(&values).filter(|pair| !held((pair.0, pair.1))).count();
        }
        let gaps = acknowledged.windows(2).map(|pair| pair[1].at - pair[0].at);
        let account = Account {
            acknowledged: acknowledged.len(),
            lost,
            unknown: written.len() - acknowledged.len(),
            gap: Duration::from_secs_f64(gaps.fold(0.0, f64::max)),
        };
        println!("{}: {account:?}", self.prefix);
        account
    }
}

fn parse(line: &str) -> Option<Written> {
    let mut words = line.split(' ');
    let acknowledged = match words.next()? {
        "a" => true,
        "u" => false,
        _ => return None,
    };
    Some(Written { number: words.next()?.parse().ok()?, acknowledged, at: words.next()?.parse().ok()? })
}
