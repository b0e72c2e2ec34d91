//! A monitor in this process, for what no program can be given from outside, and for what needs only one.

use std::time::Duration;

use redis_failover_core::{Epoch, Fencing, Publication};
use redis_failover_lab::{Flavour, Redis, ensure_eq, eventually};
use redis_failover_store::{Embedded, Feed, Glance, Store};
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::*;
use crate::redis_link::Credentials;

/// Longer than anything here takes, even on a busy machine.
const LONG: Duration = Duration::from_secs(20);

async fn until(
    published: &mut Feed<Glance>,
    what: &str,
    wanted: impl Fn(&Publication) -> bool,
) -> Publication {
    let seen = async {
        loop {
            match published.next().await.read {
                Some(Ok(Some(publication))) if wanted(&publication) => return publication,
                _ => {}
            }
        }
    };
    timeout(LONG, seen).await.unwrap_or_else(|_| panic!("not within {LONG:?}: {what}"))
}

fn node(text: &str) -> NodeAddr {
    text.parse().expect("an address")
}

fn setup(nodes: Vec<NodeAddr>) -> Setup {
    Setup {
        group: "g".to_owned(),
        znode: "/g".to_owned(),
        id: "m1".parse().expect("an id"),
        sentinel: None,
        contact: None,
        nodes,
        policy: Policy::default(),
        credentials: Credentials::default(),
        slow_every: Duration::from_secs(30),
        take_over: false,
        journal: None,
    }
}

#[tokio::test]
async fn a_resolver_that_hangs_holds_up_neither_the_other_nodes_nor_a_failover() {
    let mut master = Redis::start();
    let replica = Redis::builder().replica_of(&master).start();
    let [first, second] = [master.addr(), replica.addr()].map(|addr| node(&addr));
    let store = Embedded::new();
    let group = store.session().group(&"/g".parse().expect("a path"));
    let setup = setup(vec![first.clone(), second.clone(), node("hangs.example:6379")]);
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

/// Redis 6.2 forgets then whom it followed, and says 1 in `slave_repl_offset`; the others remember.
#[tokio::test]
async fn a_replica_that_was_promised_a_copy_and_did_not_get_it_is_promoted_at_the_first_attempt() {
    for flavour in [Flavour::Installed, Flavour::Redis62, Flavour::Valkey91] {
        let redis = || Redis::builder().flavour(flavour).option("repl-diskless-sync", "no");
        // A tenth of a second for each key that it copies.
        let master = redis().option("rdb-key-save-delay", "100000").start();
        let replica = redis().replica_of(&master).start();
        let [first, second] = [master.addr(), replica.addr()].map(|addr| node(&addr));
        let group = Embedded::new().session().group(&"/g".parse().expect("a path"));
        // With a fence the leader may find time to let the master go on alone before that dies; then nobody leads.
        let policy = Policy::default().with_fencing(Fencing::Off);
        let setup = Setup { policy, ..setup(vec![first.clone(), second.clone()]) };
        let (monitor, inbox) = Monitor::with(setup, group.clone(), Names::default());
        let (stop, stopped) = oneshot::channel::<()>();
        let running = tokio::spawn(monitor.run(inbox, async { drop(stopped.await) }));
        let mut published = group.published();
        let before =
            until(&mut published, "both are OK", |it| it.master.ok && it.replicas.iter().all(|it| it.ok))
                .await;
        let broken =
            tokio::task::spawn_blocking(move || break_off_a_copy(master, &replica).map(|()| replica));
        let replica = broken.await.expect("it did not panic").expect("both answer");
        let after =
            until(&mut published, "the replica leads", |it| it.steady && it.master.addr == second).await;
        assert_eq!((before.epoch, after.epoch), (Epoch(1), Epoch(2)), "{flavour:?}");
        assert_eq!(replica.get("key:0"), Ok(Some("value".to_owned())), "{flavour:?}");
        drop(stop);
        running.await.expect("it did not panic");
    }
}

/// Kills the master while its replica waits for a whole copy.
fn break_off_a_copy(mut master: Redis, replica: &Redis) -> Result<(), String> {
    for number in 0..20 {
        master.set(&format!("key:{number}"), "value")?;
    }
    eventually(LONG, "the replica has all", || ensure_eq(replica.get("key:19")?, Some("value".to_owned())));
    // The master has another history now, of which the replica can be told nothing.
    master.command(&["DEBUG", "CHANGE-REPL-ID"])?.into_result()?;
    replica.command(&["CLIENT", "KILL", "TYPE", "master"])?.into_result()?;
    eventually(LONG, "the replica waits for a copy", || {
        ensure_eq(replica.info("replication")?["master_sync_in_progress"].as_str(), "1").map(drop)
    });
    master.kill();
    Ok(())
}
