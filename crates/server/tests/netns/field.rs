//! Hosts for all parts of a group: ZooKeeper on one, a monitor or a Redis server on each of six, and the application
//! on another, where the test itself is.

use std::time::Duration;

use redis_failover_lab::{Host, Network, Redis, ZooKeeper};

use crate::world::{Group, Servers};

/// Where each monitor answers on its own host.
pub(crate) const LISTEN: &str = "127.0.0.1:7000";

/// How monitors are told where ZooKeeper is.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Spelling {
    /// By addresses like 10.77.1.2.
    V4,
    /// By addresses like fd77:1::2.
    V6,
    /// By the host's name.
    Name,
}

/// The hosts.
pub(crate) struct Field {
    pub(crate) zookeeper: Host,
    pub(crate) nodes: [Host; 3],
    pub(crate) application: Host,
    monitors: [Host; 3],
}

impl Field {
    pub(crate) fn new() -> Self {
        let mut network = Network::new();
        Self {
            zookeeper: network.host("zookeeper"),
            nodes: ["n0", "n1", "n2"].map(|name| network.host(name)),
            application: network.host("application"),
            monitors: ["m1", "m2", "m3"].map(|name| network.host(name)),
        }
    }

    /// The host of a monitor.
    pub(crate) fn monitor(&self, id: &str) -> &Host {
        let index = ["m1", "m2", "m3"].iter().position(|it| *it == id);
        &self.monitors[index.expect("one of the three")]
    }

    /// Plays `test` on the application's host with a steady group whose master is node 0.
    pub(crate) fn play(&self, path: &str, spelling: Spelling, test: impl FnOnce(Servers, Group) + Send) {
        self.application.run(|| {
            let mut servers = Servers::of(self.zookeeper.run(|| {
                let host = &self.zookeeper;
                let address =
                    if spelling == Spelling::V6 { host.address_v6().into() } else { host.address().into() };
                ZooKeeper::builder().address(address).start(3)
            }));
            if spelling == Spelling::Name {
                let addresses = servers.zookeeper.connect_string();
                servers.spelled = Some(addresses.replace(&self.zookeeper.address().to_string(), "zookeeper"));
            }
            let redis = self.nodes.iter().map(|host| {
                host.run(|| {
                    let fast = Redis::builder().option("repl-diskless-sync-delay", "0");
                    fast.address(host.address().into()).start()
                })
            });
            let mut group = Group::of(path, redis.collect());
            group.flags = vec!["--listen", LISTEN];
            for id in ["m1", "m2", "m3"] {
                self.monitor(id).run(|| group.start_monitor(&servers, id));
            }
            group.await_steady(&servers, 0);
            test(servers, group);
        });
    }
}

/// Longer than a session and than `down_after`.
pub(crate) const LONG: Duration = Duration::from_secs(5);
