//! The blocking clients of one test's nodes.

#[path = "../common/stage.rs"]
#[allow(dead_code, reason = "the asynchronous client's tests need more of it")]
mod stage;

use redis_failover::blocking::{Client, Connection};
use redis_failover::{Builder, ReadFrom};
use redis_failover_lab::Redis;

pub(crate) use stage::{LONG, Nodes, Stage, calls, end_saving, example, ok, publish, saving};

impl Nodes {
    /// A client of these nodes, with these settings.
    pub(crate) fn client(&self, builder: Builder) -> Client {
        let replicas = self.replicas.iter().map(Redis::addr);
        builder.build_blocking_fixed(&self.master.addr(), replicas).expect("addresses")
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
        builder.build_blocking_on(&group).expect("good settings")
    }
}

/// A client of this that reads from the master and never gives up on a reply by itself.
pub(crate) fn patient(stage: &Stage) -> Client {
    stage.client(Client::builder().read_from(ReadFrom::Master).response_timeout(None))
}
