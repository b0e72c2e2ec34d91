//! A master and its replicas of one test, all its own. No client is known here.

use std::net::Ipv4Addr;
use std::process::Command;
use std::time::Duration;

use redis_failover_core::{Epoch, Leadership, Member, Policy, RunId, Topology};
use redis_failover_lab::{Flavour, Redis, RedisBuilder, Reply, Traffic, ensure_eq, eventually};
use redis_failover_store::{Campaign, Embedded, EmbeddedSession, Store, ZooKeeper};

/// Longer than anything here takes, even on a busy machine.
pub(crate) const LONG: Duration = Duration::from_secs(20);

/// A master and replicas that hold what it holds.
pub(crate) struct Nodes {
    pub(crate) master: Redis,
    pub(crate) replicas: Vec<Redis>,
}

impl Nodes {
    /// A master and `count` replicas, synced.
    pub(crate) fn start(count: usize) -> Self {
        Self::start_as(count, || Redis::builder().option("repl-diskless-sync-delay", "0"))
    }

    /// The same of servers that are built so.
    pub(crate) fn start_as(count: usize, build: impl Fn() -> RedisBuilder) -> Self {
        let start = || build().start();
        let master = start();
        let replicas: Vec<_> = (0..count).map(|_| start()).collect();
        for replica in &replicas {
            follow(replica, &master);
        }
        let nodes = Self { master, replicas };
        nodes.await_synced();
        nodes
    }

    /// Waits until the replicas hold all that the master holds.
    pub(crate) fn await_synced(&self) {
        let count = self.replicas.len();
        eventually(LONG, "the replicas are synced", || reaches(&self.master, count));
    }
}

/// Makes `replica` follow `master`.
pub(crate) fn follow(replica: &Redis, master: &Redis) {
    ok(replica, &["REPLICAOF", "127.0.0.1", &master.port().to_string()]);
}

/// A server that [`end_saving`] can be done to.
pub(crate) fn saving() -> RedisBuilder {
    Redis::builder().option("save", "3600 1").option("enable-protected-configs", "yes")
}

/// Has `node` refuse writes because it can't save any more.
pub(crate) fn end_saving(node: &Redis) {
    let gone = tempfile::tempdir().expect("a directory");
    ok(node, &["CONFIG", "SET", "dir", &gone.path().to_string_lossy()]);
    drop(gone);
    ok(node, &["BGSAVE"]);
    eventually(LONG, "it refuses writes", || match node.set("refused", "1") {
        Err(why) if why.contains("MISCONF") => Ok(()),
        other => Err(format!("{other:?}")),
    });
}

/// The reply, which must be no error.
pub(crate) fn ok(node: &Redis, words: &[&str]) -> Reply {
    node.command(words).and_then(Reply::into_result).expect("it obeys")
}

/// Writes to `master` and waits for `count` replicas to confirm it.
pub(crate) fn reaches(master: &Redis, count: usize) -> Result<(), String> {
    let mut connection = master.connect()?;
    connection.command(&["SET", "reaches", "all"])?.into_result()?;
    let confirmed = connection.command(&["WAIT", &count.to_string(), "500"])?.into_result()?;
    ensure_eq(confirmed, Reply::Integer(i64::try_from(count).map_err(|error| error.to_string())?)).map(drop)
}

/// How often `node` has carried out `command`.
pub(crate) fn calls(node: &Redis, command: &str) -> u64 {
    let stats = node.info("commandstats").expect("it answers");
    let Some(line) = stats.get(&format!("cmdstat_{command}")) else { return 0 };
    let calls = line.strip_prefix("calls=").and_then(|rest| rest.split(',').next());
    calls.and_then(|calls| calls.parse().ok()).expect("a number of calls")
}

/// A group of nodes whose document the test writes itself, in the place of the monitors.
pub(crate) struct Stage {
    pub(crate) nodes: Vec<Redis>,
    pub(crate) session: EmbeddedSession,
    embedded: Embedded,
}

/// From where a node of [`Stage::linked`] calls its master.
fn source(node: usize) -> Ipv4Addr {
    Ipv4Addr::new(127, 0, 1, u8::try_from(node).expect("few nodes") + 1)
}

/// The path of the only group.
pub(crate) const PATH: &str = "/redis/cluster";

impl Stage {
    /// Three nodes; the first leads and the others follow it, as is published in epoch 1.
    pub(crate) fn start() -> Self {
        Self::on(Flavour::Installed)
    }

    /// The same on servers of this version.
    pub(crate) fn on(flavour: Flavour) -> Self {
        let build = || Redis::builder().flavour(flavour).option("repl-diskless-sync-delay", "0");
        Self::of(Nodes::start_as(2, build))
    }

    /// The same behind links, each with a source address for its own calls, [`source`]; a master speaks once a second.
    pub(crate) fn linked() -> Self {
        let start = |node| {
            let builder = Redis::builder().option("repl-diskless-sync-delay", "0");
            builder.option("repl-ping-replica-period", "1").linked(source(node)).start()
        };
        let (master, replicas) = (start(0), vec![start(1), start(2)]);
        for replica in &replicas {
            follow(replica, &master);
        }
        let stage = Self::of(Nodes { master, replicas });
        stage.await_synced();
        stage
    }

    /// The same of these nodes.
    pub(crate) fn of(Nodes { master, replicas }: Nodes) -> Self {
        let nodes = [master].into_iter().chain(replicas).collect();
        let embedded = Embedded::new();
        let stage = Self { nodes, session: embedded.session(), embedded };
        stage.publish(1, 0);
        stage
    }

    /// What the master sends to this replica.
    pub(crate) fn replication(&self, master: usize, replica: usize) -> Traffic<'_> {
        self.nodes[master].link().of([source(replica)]).replies()
    }

    /// Waits until the replicas of node 0 hold all that it holds.
    pub(crate) fn await_synced(&self) {
        eventually(LONG, "the replicas are synced", || reaches(&self.nodes[0], self.nodes.len() - 1));
    }

    /// Publishes `master` in `epoch`.
    pub(crate) fn publish(&self, epoch: u64, master: usize) {
        self.put(&self.document(epoch, master, "steady", &run(&self.nodes[master])));
    }

    /// Publishes that the master `old` is being replaced, in `epoch`.
    pub(crate) fn open_epoch(&self, epoch: u64, old: usize) {
        self.put(&self.document(epoch, old, "failing_over", "whatever"));
    }

    /// The document with these values.
    pub(crate) fn document(&self, epoch: u64, master: usize, phase: &str, run: &str) -> String {
        let replicas = self.nodes.iter().enumerate().filter(|(index, _)| *index != master);
        let slaves: Vec<_> = replicas
            .enumerate()
            .map(|(number, (_, node))| format!(r#""{number}":["{}","OK"]"#, node.addr()))
            .collect();
        format!(
            r#"{{"master":["{}","{}"],"slaves":{{{}}},"format":1,"epoch":{epoch},"phase":"{phase}","run":"{run}"}}"#,
            self.nodes[master].addr(),
            if phase == "steady" { "OK" } else { "KO" },
            slaves.join(",")
        )
    }

    /// Writes the document.
    pub(crate) fn put(&self, document: &str) {
        self.embedded.meddle(|model| model.put(PATH, document.as_bytes()));
    }

    /// Deletes the document.
    pub(crate) fn delete(&self) {
        self.embedded.meddle(|model| model.delete(PATH));
    }

    /// Makes `new` the master, and the others follow it, as the monitors would; nothing is published.
    pub(crate) fn promote(&self, new: usize) {
        ok(&self.nodes[new], &["REPLICAOF", "NO", "ONE"]);
        for (index, node) in self.nodes.iter().enumerate() {
            if index != new && node.role().is_ok() {
                follow(node, &self.nodes[new]);
            }
        }
    }

    /// How many connections of clients `node` has.
    pub(crate) fn connections(&self, node: usize) -> usize {
        let Reply::Bulk(list) = ok(&self.nodes[node], &["CLIENT", "LIST", "TYPE", "normal"]) else {
            panic!("no list")
        };
        // The one that asks is among them.
        list.lines().filter(|line| !line.contains("cmd=client|list")).count()
    }
}

/// The life of a node's process.
pub(crate) fn run(node: &Redis) -> String {
    node.info("server").expect("it answers")["run_id"].clone()
}

/// Publishes `nodes` at `path`, as a monitor that leads does.
pub(crate) async fn publish(session: &ZooKeeper, path: &str, nodes: &Nodes) {
    let group = session.group(&path.parse().expect("a path"));
    let campaign = group.campaign(&"m1".parse().expect("an id"), None);
    let (mut leadership, mut record) = (campaign.leadership(), group.record());
    let term = loop {
        if let Leadership::Leading(term) = leadership.next().await {
            break term;
        }
    };
    let version = loop {
        match record.next().await.read {
            Some(Ok(read)) if read.version.document >= 0 => break read.version,
            _ => {}
        }
    };
    let addr = |node: &Redis| node.addr().parse().expect("an address");
    let member = |node: &Redis| Member { addr: addr(node), ok: true };
    let topology = Topology {
        master_run: Some(RunId(run(&nodes.master))),
        members: std::iter::once(&nodes.master).chain(&nodes.replicas).map(member).collect(),
        monitors: ["m1".parse().expect("an id")].into(),
        ..Topology::new(Epoch(1), addr(&nodes.master), Policy::default())
    };
    campaign.commit(term, version, &topology, None).await.expect("it leads");
}

/// The example program of this name, which is built wherever all tests are. Cargo is not asked to run it: for one
/// package it chooses other features of what all depend on, and builds half of it again.
pub(crate) fn example(name: &str) -> Command {
    let test = std::env::current_exe().expect("the path of this test");
    let program = test.ancestors().nth(2).expect("it is in target/PROFILE/deps").join("examples").join(name);
    assert!(program.exists(), "{} is missing: cargo build -p redis-failover --examples", program.display());
    Command::new(program)
}
