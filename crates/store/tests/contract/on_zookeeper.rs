//! The cases' store on a real `ZooKeeper`: a server for each test.

use std::time::Duration;

use redis_failover_lab as lab;
use redis_failover_store::model::Stat;
use redis_failover_store::{Connection, ZooKeeper, ZooKeeperGroup};
use zookeeper_client::{Acls, Client, CreateMode, Error};

use super::subject::{Shows, Subject};
use super::world::{LONG, path};

/// A server, and a session without the store, to look at its back and to harm it.
pub(crate) struct OnZooKeeper {
    pub(crate) server: lab::ZooKeeper,
    raw: Client,
}

/// A session of the store.
pub(crate) fn connect(servers: &str, timeout: Duration) -> ZooKeeper {
    ZooKeeper::connect(servers.parse().unwrap(), timeout).unwrap()
}

impl OnZooKeeper {
    /// The last transaction and the number of packets that the server has seen.
    pub(crate) fn figures(&self) -> (i64, u64) {
        let answer = self.server.four_letter(0, "srvr").unwrap();
        let line = |name: &str| answer.lines().find_map(|line| line.strip_prefix(name)).unwrap().trim();
        let transaction = i64::from_str_radix(line("Zxid: 0x"), 16).unwrap();
        (transaction, line("Received:").parse().unwrap())
    }

    /// The ACLs of `znode` and of all below it, as people write them.
    pub(crate) async fn acls(&self, znode: &str) -> Vec<(String, String)> {
        let mut found = Vec::new();
        for path in self.branch(znode).await {
            let (acls, _) = self.raw.get_acl(&path).await.unwrap();
            let acl = |acl: &zookeeper_client::Acl| {
                let who = acl.id().split(':').next().unwrap_or_default();
                format!("{}:{who}:{}", acl.scheme(), acl.permission())
            };
            found.push((path, acls.iter().map(acl).collect::<Vec<_>>().join(",")));
        }
        found
    }

    /// The same on this server.
    pub(crate) async fn on(server: lab::ZooKeeper) -> Self {
        let servers = server.connect_string();
        let raw = Client::connector().with_session_timeout(LONG).connect(&servers).await.unwrap();
        Self { server, raw }
    }

    /// The paths of `znode` and of all below it, the deepest of each branch first.
    async fn branch(&self, znode: &str) -> Vec<String> {
        let mut found = vec![znode.to_owned()];
        let mut next = 0;
        while let Some(path) = found.get(next).cloned() {
            found.extend(self.children(&path).await.into_iter().map(|name| format!("{path}/{name}")));
            next += 1;
        }
        found.reverse();
        found
    }
}

impl Subject for OnZooKeeper {
    type Session = ZooKeeper;
    type Group = ZooKeeperGroup;

    async fn start() -> Self {
        Self::on(lab::ZooKeeper::start(1)).await
    }

    fn open(&self, timeout: Duration) -> ZooKeeper {
        connect(&self.server.connect_string(), timeout)
    }

    async fn close(&self, session: &ZooKeeper) {
        session.close().await;
    }

    fn group(&self, session: &ZooKeeper, group: &str) -> ZooKeeperGroup {
        session.group(&path(group))
    }

    fn cut(&mut self, _: &ZooKeeper) {
        self.server.server(0).stop();
    }

    async fn expire(&mut self, session: &ZooKeeper) {
        let given_up = |state: &Connection| matches!(state, Connection::Connecting { .. }).then_some(());
        session.state().until("given up", given_up).await;
    }

    fn mend(&mut self, _: &ZooKeeper) {
        self.server.server(0).cont();
    }

    async fn put(&self, znode: &str, data: &str) {
        let options = CreateMode::Persistent.with_acls(Acls::anyone_all());
        self.raw.mkdir(znode, &options).await.unwrap();
        self.raw.set_data(znode, data.as_bytes(), None).await.unwrap();
    }

    async fn delete(&self, znode: &str) {
        let mut writer = self.raw.new_multi_writer();
        for path in self.branch(znode).await {
            writer.add_delete(&path, None).unwrap();
        }
        writer.commit().await.unwrap();
    }

    async fn get(&self, znode: &str) -> Option<(String, Stat)> {
        let (data, stat) = match self.raw.get_data(znode).await {
            Err(Error::NoNode) => return None,
            read => read.unwrap(),
        };
        let owner = (stat.ephemeral_owner != 0).then_some(stat.ephemeral_owner);
        let stat = Stat { created: stat.czxid, modified: stat.mzxid, version: stat.version, owner };
        Some((String::from_utf8(data).unwrap(), stat))
    }

    async fn children(&self, znode: &str) -> Vec<String> {
        self.raw.list_children(znode).await.unwrap()
    }

    fn transaction(&self) -> i64 {
        self.figures().0
    }
}
