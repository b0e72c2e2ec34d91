//! The example programs, on a real `ZooKeeper`.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use redis_failover_lab::{Process, ZooKeeper, eventually};
use redis_failover_store::ZooKeeper as Session;
use tempfile::TempDir;

use crate::world::{LONG, Nodes, example, ok, publish};

/// A published group, and an example that runs with it.
struct Run {
    nodes: Nodes,
    process: Process,
    _zookeeper: ZooKeeper,
    _directory: TempDir,
}

impl Run {
    fn start(name: &str, arguments: &[&str]) -> Self {
        let (zookeeper, nodes) = (ZooKeeper::start(1), Nodes::start(1));
        let servers = zookeeper.connect_string();
        let session =
            Session::connect(servers.parse().expect("servers"), Duration::from_secs(2)).expect("a thread");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(publish(&session, "/redis/cluster", &nodes));
        let directory = tempfile::tempdir().expect("a directory");
        let mut command = example(name);
        command.arg(format!("redis+zk://{servers}/redis/cluster")).args(arguments);
        let process = Process::spawn(name, command, &directory.path().join("log"));
        Self { nodes, process, _zookeeper: zookeeper, _directory: directory }
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.process.log()).expect("a log")
    }

    /// Waits until it has printed this.
    fn await_line(&self, line: &str) {
        let printed = || {
            let log = self.log();
            if log.contains(line) { Ok(()) } else { Err(log) }
        };
        eventually(LONG, line, printed);
    }

    fn succeeds(&mut self) -> String {
        let status = self.process.wait_exit(LONG * 6);
        assert!(status.success(), "{}", self.log());
        self.log()
    }
}

#[test]
fn quickstart_runs() {
    let text = Run::start("quickstart", &[]).succeeds();
    for line in ["epoch 1: master ", "this is visit 1", "a replica knows of ", "1 today, 1 in all"] {
        assert!(text.contains(line), "{text}");
    }
}

#[test]
fn transaction_loses_and_makes_no_money() {
    let text = Run::start("transaction", &[]).succeeds();
    assert!(text.contains("a has 0, b has 100"), "{text}");
}

#[test]
fn cache_makes_a_page_once() {
    let text = Run::start("cache", &[]).succeeds();
    let lines: Vec<_> = text.lines().collect();
    assert!(lines[0].starts_with("the page home after ") && !lines[0].contains("cache"), "{text}");
    // It is read from a replica within the millisecond in which it was kept: that one may have to make it again. Then
    // all have the first.
    let kept = |line: &&str| line.starts_with("the page home, from the cache, after ");
    assert!(lines[1..].iter().any(kept), "{text}");
}

#[test]
fn worker_does_each_job_and_ends_when_it_is_asked_to() {
    let mut run = Run::start("worker", &[]);
    run.await_line("waiting for jobs");
    ok(&run.nodes.master, &["RPUSH", "jobs", "one", "two"]);
    run.await_line("did two");
    eventually(LONG, "it waits for the next", || match run.nodes.master.info("clients")?["blocked_clients"]
        .as_str()
    {
        "1" => Ok(()),
        other => Err(other.to_owned()),
    });
    // Its shared connections and the one that blocks: it goes on.
    ok(&run.nodes.master, &["CLIENT", "KILL", "TYPE", "normal"]);
    run.await_line("a job may be lost: outcome unknown: ");
    ok(&run.nodes.master, &["RPUSH", "jobs", "three"]);
    run.await_line("did three");
    run.process.interrupt();
    assert!(run.succeeds().contains("no more jobs"));
}

/// The answer to a GET: everything that was sent.
fn get(address: &str, path: &str) -> Result<String, String> {
    let work = || {
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(LONG))?;
        write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    };
    work().map_err(|error: std::io::Error| error.to_string())
}

#[test]
fn web_serves_and_says_what_may_be_tried_again() {
    let mut run = Run::start("web", &["127.0.0.1:0"]);
    run.await_line("listening on ");
    let log = run.log();
    let address = log.lines().find_map(|line| line.strip_prefix("listening on ")).expect("an address");
    for visits in 1..=3 {
        let answer = get(address, "/visits/home").expect("it answers");
        assert!(
            answer.starts_with("HTTP/1.1 200") && answer.contains(&format!("visited {visits} times")),
            "{answer}"
        );
    }
    let answer = get(address, "/health").expect("it answers");
    assert!(answer.contains(&format!("master: {}", run.nodes.master.addr())), "{answer}");
    run.nodes.master.kill();
    eventually(LONG, "what was not executed may be tried again", || {
        let answer = get(address, "/visits/home")?;
        let again = answer.starts_with("HTTP/1.1 503") && answer.to_lowercase().contains("retry-after: 1");
        if again { Ok(()) } else { Err(answer) }
    });
}
