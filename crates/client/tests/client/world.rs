//! The clients of one test's nodes.

#[path = "../common/stage.rs"]
mod stage;

use std::time::Instant;

use redis_failover::redis::{AsyncCommands, Value};
use redis_failover::{Builder, Client, Connection, ReadFrom};
use redis_failover_lab::Redis;

pub(crate) use stage::{LONG, Nodes, Stage, calls, end_saving, example, follow, ok, publish, run, saving};

impl Nodes {
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

impl Stage {
    /// A client of the group.
    pub(crate) fn client(&self, builder: Builder) -> Client {
        let group = self.session.group(&stage::PATH.parse().expect("a path"));
        builder.build_on(&group).expect("good settings")
    }

    /// Reads until both replicas have been read from.
    pub(crate) async fn await_read(&self, con: &mut Connection) {
        soon("both replicas are read", async || {
            let _: Value = con.get("a").await.map_err(|error| error.to_string())?;
            if (1..3).all(|node| calls(&self.nodes[node], "get") > 0) {
                Ok(())
            } else {
                Err("not yet".to_owned())
            }
        })
        .await;
    }
}

/// A client of this that reads from the master and never gives up on a reply by itself.
pub(crate) fn patient(stage: &Stage) -> Client {
    stage.client(Client::builder().read_from(ReadFrom::Master).response_timeout(None))
}

/// Waits until `probe` succeeds, without blocking the runtime.
pub(crate) async fn soon<T>(what: &str, mut probe: impl AsyncFnMut() -> Result<T, String>) -> T {
    let begun = Instant::now();
    loop {
        match probe().await {
            Ok(found) => return found,
            Err(why) if begun.elapsed() > LONG => panic!("not within {LONG:?}: {what}: {why}"),
            Err(_) => tokio::task::yield_now().await,
        }
    }
}
