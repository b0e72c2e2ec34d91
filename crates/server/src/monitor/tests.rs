//! A monitor in this process, for what no program can be given from outside: a resolver that hangs.

use redis_failover_core::Publication;
use redis_failover_lab::Redis;
use redis_failover_store::{Embedded, Feed, Glance, Store};
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::*;
use crate::redis_link::Credentials;

/// Longer than anything here takes, even on a busy machine.
const LONG: Duration = Duration::from_secs(20);

async fn until(published: &mut Feed<Glance>, what: &str, wanted: impl Fn(&Publication) -> bool) {
    let seen = async {
        loop {
            match published.next().await.read {
                Some(Ok(Some(publication))) if wanted(&publication) => return,
                _ => {}
            }
        }
    };
    assert!(timeout(LONG, seen).await.is_ok(), "not within {LONG:?}: {what}");
}

#[tokio::test]
async fn a_resolver_that_hangs_holds_up_neither_the_other_nodes_nor_a_failover() {
    let mut master = Redis::start();
    let replica = Redis::builder().replica_of(&master).start();
    let node = |text: String| text.parse::<NodeAddr>().expect("an address");
    let [first, second] = [master.addr(), replica.addr()].map(node);
    let store = Embedded::new();
    let group = store.session().group(&"/g".parse().expect("a path"));
    let setup = Setup {
        group: "g".to_owned(),
        id: "m1".parse().expect("an id"),
        address: None,
        nodes: vec![first.clone(), second.clone(), node("hangs.example:6379".to_owned())],
        policy: Policy::default(),
        credentials: Credentials::default(),
        slow_every: Duration::from_secs(30),
        take_over: false,
        journal: None,
    };
    let (monitor, inbox) = Monitor::with(setup, group.clone(), Names::new(|_| std::future::pending()));
    let (stop, stopped) = oneshot::channel::<()>();
    let running = tokio::spawn(monitor.run(inbox, async { drop(stopped.await) }));
    let mut published = group.published();
    until(&mut published, "both that answer are OK, the third is not", |publication| {
        let ok = |wanted: &NodeAddr| publication.replicas.iter().any(|it| it.addr == *wanted && it.ok);
        publication.master.addr == first
            && publication.master.ok
            && ok(&second)
            && publication.replicas.iter().filter(|it| it.ok).count() == 1
    })
    .await;
    master.kill();
    until(&mut published, "the replica leads", |it| it.steady && it.master.addr == second).await;
    drop(stop);
    assert!(timeout(LONG, running).await.is_ok_and(|ended| ended.is_ok()), "it ends though the lookup hangs");
}
