//! A master and its replicas of one test, all its own.

use std::time::Duration;

use redis_failover::{Builder, Client, Connection, ReadFrom};
use redis_failover_lab::{Redis, Reply, ensure_eq, eventually};

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
        let start = || Redis::builder().option("repl-diskless-sync-delay", "0").start();
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

    /// A client of these nodes, with these settings.
    pub(crate) fn client(&self, builder: Builder) -> Client {
        let replicas = self.replicas.iter().map(Redis::addr);
        builder.build_fixed(&self.master.addr(), replicas).expect("addresses")
    }

    /// A connection that reads from the master.
    pub(crate) fn master_only(&self) -> Connection {
        self.client(Client::builder().read_from(ReadFrom::Master)).connection()
    }
}

/// Makes `replica` follow `master`.
pub(crate) fn follow(replica: &Redis, master: &Redis) {
    ok(replica, &["REPLICAOF", "127.0.0.1", &master.port().to_string()]);
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
