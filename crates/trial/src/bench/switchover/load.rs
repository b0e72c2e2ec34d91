//! The processes that write, from the side of who measures: this very program, started again for each.
//!
//! It tells them when to begin and to end, and takes what they were told. They end with it, however it ends.

use std::env;
use std::process::Stdio;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;

use super::PROCESSES;
use super::sheet::Sheet;
use crate::bench::finder::Finder;
use crate::bench::group::Group;
use crate::failure::Failure;

/// What a process says when it has written once.
pub(super) const READY: &str = "ready";

/// How long a process may take to write for the first time, and to end.
const LIMIT: Duration = Duration::from_mins(1);

/// Until the first write: all have heard of it by then.
const AHEAD: Duration = Duration::from_millis(300);

/// The processes, ready to write.
#[derive(Debug)]
pub(super) struct Load {
    processes: Vec<Process>,
}

#[derive(Debug)]
struct Process {
    prefix: String,
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

/// A load that began.
#[derive(Debug)]
pub(super) struct Running {
    load: Load,
    /// When.
    pub begin: Instant,
}

impl Load {
    /// Starts them on the clients that the group is for; returns when each has written once.
    pub(super) async fn start(group: &Group) -> Result<Self, Failure> {
        let mut processes: Vec<_> =
            (0..PROCESSES).map(|index| Process::spawn(index, group)).collect::<Result<_, _>>()?;
        for process in &mut processes {
            process.await_ready().await?;
        }
        Ok(Self { processes })
    }

    /// Has them write so many times a second together, or as fast as they are answered.
    pub(super) async fn begin(mut self, rate: Option<f64>) -> Result<Running, Failure> {
        let count = f64::from(u32::try_from(self.processes.len()).map_err(Failure::new)?);
        let interval = rate.map_or(Duration::ZERO, |rate| Duration::from_secs_f64(count / rate));
        let (begin, clock) = (Instant::now() + AHEAD, SystemTime::now() + AHEAD);
        let clock = clock.duration_since(UNIX_EPOCH).map_err(Failure::new)?.as_micros();
        let order = format!("{clock} {}\n", interval.as_nanos());
        for process in &mut self.processes {
            process.input.write_all(order.as_bytes()).await.map_err(Failure::new)?;
        }
        Ok(Running { load: self, begin })
    }
}

impl Running {
    /// How long it has lasted at `at`, as sheets have it.
    pub(super) fn micros(&self, at: Instant) -> u64 {
        u64::try_from(at.saturating_duration_since(self.begin).as_micros()).unwrap_or(u64::MAX)
    }

    /// Has them finish what was due by now; yields what each was told, with what its keys begin with.
    pub(super) async fn finish(self) -> Result<Vec<(String, Sheet)>, Failure> {
        let (inputs, outputs): (Vec<_>, Vec<_>) = self
            .load
            .processes
            .into_iter()
            .map(|Process { prefix, child, input, output }| (input, (prefix, child, output)))
            .unzip();
        // All of them at once.
        drop(inputs);
        let mut sheets = Vec::new();
        for (prefix, mut child, mut output) in outputs {
            let ended = async {
                let mut text = String::new();
                output.read_to_string(&mut text).await.map_err(Failure::new)?;
                let status = child.wait().await.map_err(Failure::new)?;
                if !status.success() {
                    return Err(Failure::new(format!("a writing process ended with {status}")));
                }
                text.parse::<Sheet>().map_err(Failure::new)
            };
            let sheet =
                timeout(LIMIT, ended).await.map_err(|_| Failure::new("a writing process hangs"))??;
            sheets.push((prefix, sheet));
        }
        Ok(sheets)
    }
}

impl Process {
    fn spawn(index: usize, group: &Group) -> Result<Self, Failure> {
        let prefix = format!("writer-{index}");
        let program = env::current_exe().map_err(Failure::new)?;
        let mut command = Command::new(program);
        command.args(["bench", "on-schedule", "--prefix", &prefix]);
        match (group.zookeeper(), group.finder()) {
            (Some(zookeeper), _) => command.args(["--zookeeper", &zookeeper]),
            (None, Finder::Sentinels(sentinels)) => command.args(["--sentinels", &sentinels.join(",")]),
            (None, _) => return Err(Failure::new("another process can't find this group's master")),
        };
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().map_err(Failure::new)?;
        let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(Failure::new("a process without pipes"));
        };
        Ok(Self { prefix, child, input, output: BufReader::new(output) })
    }

    async fn await_ready(&mut self) -> Result<(), Failure> {
        let mut line = String::new();
        match timeout(LIMIT, self.output.read_line(&mut line)).await {
            Ok(Ok(_)) if line.trim_end() == READY => Ok(()),
            _ => Err(Failure::new("a writing process does not come to write")),
        }
    }
}
