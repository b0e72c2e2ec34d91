//! Processes that cannot outlive the test that started them.
//!
//! Beside each process stands a *guard*: a shell that waits for the end of a pipe whose other end the test holds. When
//! the test ends without having cleaned up (`SIGKILL`, Ctrl-C, a test runner that kills the test's process group), the
//! kernel closes the pipe and the guard kills its own process group: itself, the process, and the process's children.
//! The guard comes first and the process is born into its group, so there is no moment without protection, and no
//! process id that could have been given to somebody else.
//!
//! `PR_SET_PDEATHSIG` would be the other way; it takes `unsafe`, and fires when the starting *thread* ends.
//!
//! This never signals a process that it did not start, and cannot hold one that leaves its process group.

use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;
use std::{env, thread};

use nix::sys::signal::{self, Signal};
use nix::unistd::Pid;

use crate::eventually;

/// How many lines of a log a failing test shows.
const TAIL: usize = 60;

/// A process that ends with the test at the latest.
///
/// Dropping it kills it and its children; if the test is failing, the end of its log goes to stderr.
#[derive(Debug)]
pub struct Process {
    name: String,
    log: PathBuf,
    child: Child,
    guard: Child,
    /// Set once the process has been waited for: from then on its id may be somebody else's.
    status: Option<ExitStatus>,
}

impl Process {
    /// Starts `command` under guard, with its output appended to the file `log` and nothing to read.
    ///
    /// `name` is for people: it heads the end of the log when a test fails.
    ///
    /// # Panics
    ///
    /// When the log cannot be opened or the program cannot be started.
    pub fn spawn(name: &str, mut command: Command, log: &Path) -> Self {
        let output = File::options().create(true).append(true).open(log);
        let output = output.unwrap_or_else(|error| panic!("cannot write {}: {error}", log.display()));
        let copy = output.try_clone().expect("an open file has a second handle to give");
        let mut guard = spawn_guard();
        command.stdin(Stdio::null()).stdout(output).stderr(copy);
        let child = command.process_group(pid(&guard).as_raw()).spawn().unwrap_or_else(|error| {
            disband(&mut guard);
            panic!("cannot start {name} ({}): {error}", command.get_program().display())
        });
        Self { name: name.to_owned(), log: log.to_owned(), child, guard, status: None }
    }

    /// The process id, also after the end.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The file that holds what the process has printed.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// Whether the process has not ended; one that is stopped counts as running.
    pub fn is_running(&mut self) -> bool {
        self.try_wait().is_none()
    }

    /// For how long all its threads together have kept a processor busy.
    ///
    /// # Panics
    ///
    /// When it has ended.
    pub fn busy(&self) -> Duration {
        busy(&format!("/proc/{}", self.pid())).expect("the process has not ended")
    }

    /// Kills the process and its children with `SIGKILL`, and returns when it is gone.
    ///
    /// # Panics
    ///
    /// Never: all that it asks of the kernel is about its own children.
    pub fn kill(&mut self) {
        if self.status.is_none() {
            disband(&mut self.guard);
            self.status = Some(self.child.wait().expect("our child, not yet waited for"));
        }
    }

    /// Freezes the process (`SIGSTOP`), and returns when it stands still.
    ///
    /// # Panics
    ///
    /// When the process does not stop within a few seconds.
    pub fn stop(&self) {
        self.signal(Signal::SIGSTOP);
        eventually(Duration::from_secs(5), &format!("{} stops", self.name), || match state(self.pid()) {
            Some(state) if !"TtZ".contains(state) => Err(format!("its state is {state}")),
            _ => Ok(()),
        });
    }

    /// Lets a frozen process go on (`SIGCONT`).
    pub fn cont(&self) {
        self.signal(Signal::SIGCONT);
    }

    /// Asks the process to end (`SIGTERM`); see [`Process::wait_exit`].
    pub fn terminate(&self) {
        self.signal(Signal::SIGTERM);
    }

    /// Asks the process to end as Ctrl-C does (`SIGINT`); see [`Process::wait_exit`].
    pub fn interrupt(&self) {
        self.signal(Signal::SIGINT);
    }

    /// Asks the process to read its configuration again (`SIGHUP`).
    pub fn hang_up(&self) {
        self.signal(Signal::SIGHUP);
    }

    /// Waits for the process to end by itself, and says how it did.
    ///
    /// # Panics
    ///
    /// When it has not ended within `deadline`.
    #[track_caller]
    pub fn wait_exit(&mut self, deadline: Duration) -> ExitStatus {
        let what = format!("{} ends", self.name);
        eventually(deadline, &what, || self.try_wait().ok_or("it is still running"))
    }

    fn try_wait(&mut self) -> Option<ExitStatus> {
        if self.status.is_none() {
            self.status = self.child.try_wait().expect("our child, not yet waited for");
            if self.status.is_some() {
                // Its children go with it.
                disband(&mut self.guard);
            }
        }
        self.status
    }

    /// Sends a signal to the process alone: a guard that is stopped could not do its work.
    fn signal(&self, signal: Signal) {
        if self.status.is_none() {
            signal::kill(pid(&self.child), signal).expect("our child, not yet waited for");
        }
    }

    fn print_log_tail(&self) {
        // Of a pipe nobody knows when it would say something.
        if !self.log.is_file() {
            return;
        }
        let text = fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().collect();
        let tail = lines[lines.len().saturating_sub(TAIL)..].join("\n");
        eprintln!("---- log of {} (process {}):\n{tail}\n---- end of log", self.name, self.pid());
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
        if thread::panicking() {
            self.print_log_tail();
        }
    }
}

/// Whether a process of this id exists and has not ended; a zombie has.
pub fn is_alive(pid: u32) -> bool {
    state(pid).is_some_and(|state| !"ZX".contains(state))
}

/// The state letter of `/proc/PID/stat`, as ps(1) shows it.
fn state(pid: u32) -> Option<char> {
    stat(&format!("/proc/{pid}"))?.chars().next()
}

/// For how long the threads of this very process that bear `name` have kept a processor busy.
///
/// # Panics
///
/// When none of them lives.
pub fn busy_threads(name: &str) -> Duration {
    let threads = fs::read_dir("/proc/self/task").expect("every process has threads").flatten();
    let is_named = |folder: &String| {
        fs::read_to_string(format!("{folder}/comm")).is_ok_and(|comm| comm.trim_end() == name)
    };
    let times = threads.map(|it| it.path().to_string_lossy().into_owned()).filter(is_named);
    let times: Vec<_> = times.filter_map(|folder| busy(&folder)).collect();
    assert!(!times.is_empty(), "no thread is named {name}");
    times.into_iter().sum()
}

/// How long the process or thread of this folder in `/proc` was busy, in user and system mode.
fn busy(folder: &str) -> Option<Duration> {
    // proc_pid_stat(5) counts from 1: the times are the fields 14 and 15, in ticks of 10 ms, and the first here is
    // field 3.
    let stat = stat(folder)?;
    let ticks = stat.split_whitespace().skip(14 - 3).take(2).map(str::parse::<u64>);
    Some(Duration::from_millis(ticks.map(|ticks| ticks.expect("a number")).sum::<u64>() * 10))
}

/// What the `stat` in a folder of `/proc` says after the name.
fn stat(folder: &str) -> Option<String> {
    let stat = fs::read_to_string(format!("{folder}/stat")).ok()?;
    // The name is in parentheses and may itself contain some.
    Some(stat.rsplit_once(") ")?.1.to_owned())
}

/// Starts the leader of a new process group that kills the group when this process is gone.
fn spawn_guard() -> Child {
    // `trap`: when the test dies, the group is orphaned, and the kernel sends SIGHUP to an orphaned group with a
    // stopped process in it. The guard must outlive that, because a Redis does.
    Command::new("/bin/sh")
        .args(["-c", "trap '' HUP; read -r line; kill -KILL 0"])
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("every system has /bin/sh")
}

/// Kills a guard and its group.
fn disband(guard: &mut Child) {
    signal::killpg(pid(guard), Signal::SIGKILL).expect("a group exists while its leader is not waited for");
    guard.wait().expect("our child, not yet waited for");
}

fn pid(child: &Child) -> Pid {
    Pid::from_raw(i32::try_from(child.id()).expect("process ids of Linux fit in 22 bits"))
}

/// Returns where `program` is, for a message that helps when it is not.
pub(crate) fn find_program(program: &str, package: &str) -> PathBuf {
    let path = env::var_os("PATH").unwrap_or_default();
    let found = env::split_paths(&path).map(|directory| directory.join(program)).find(|file| file.is_file());
    found.unwrap_or_else(|| panic!("`{program}` is not on the PATH: install the Debian package `{package}`"))
}
