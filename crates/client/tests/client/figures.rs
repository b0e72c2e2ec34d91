//! What a client counts, and what it tells those who trace.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use redis_failover::redis::{AsyncCommands, RedisResult, Value, cmd, pipe};
use redis_failover::{Client, Outcome, outcome};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Subscriber, instrument::WithSubscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

use crate::world::{LONG, Nodes, Stage, calls, ok, patient, soon};

#[tokio::test]
async fn what_happens_is_counted() -> RedisResult<()> {
    let stage = Stage::start();
    let client = patient(&stage);
    assert_eq!(client.metrics(), redis_failover::Metrics::default(), "nothing before it is used");
    client.ready(LONG).await?;
    let node = |index: usize| {
        let addr = stage.nodes[index].addr().parse().expect("an address");
        client.metrics().nodes.remove(&addr).expect("it belongs to the group")
    };
    let mut con = client.connection();
    let before = node(0);
    assert!(before.connected && before.connects == 1, "{before:?}");
    let _: () = con.set("a", 1).await?;
    let _: () = pipe().set("a", 1).get("a").query_async(&mut con).await?;
    let _: Option<(String, i64)> = con.blpop("none", 0.001).await?;
    assert_eq!(node(0).commands - before.commands, 3, "a pipeline is one, and so is one that blocks");
    let quiet = client.metrics();
    assert_eq!((quiet.unknown, quiet.not_executed, quiet.repeats, quiet.changes), (0, 0, 0, 0));
    assert_eq!(quiet.without_master, Duration::ZERO);

    stage.nodes[0].stop();
    let mut writer = client.connection();
    let writing = tokio::spawn(async move { writer.set::<_, _, ()>("b", 1).await });
    soon("it is sent", async || {
        if node(0).commands - before.commands == 4 { Ok(()) } else { Err("not yet".to_owned()) }
    })
    .await;
    stage.open_epoch(2, 0);
    soon("there is no master", async || client.current_master().map_or(Ok(()), |it| Err(it.to_string())))
        .await;
    let mut waiter = client.connection();
    let delayed = tokio::spawn(async move { waiter.set::<_, _, ()>("c", 1).await });
    soon("it waits", async || match client.metrics().waiting {
        1 => Ok(()),
        other => Err(other.to_string()),
    })
    .await;
    ok(&stage.nodes[1], &["REPLICAOF", "NO", "ONE"]);
    stage.publish(2, 1);
    delayed.await.expect("no panic")?;
    let error = writing.await.expect("no panic").expect_err("nobody answered it");
    assert_eq!(outcome(&error), Outcome::Unknown);
    let after = client.metrics();
    assert_eq!((after.waiting, after.waits, after.changes, after.unknown), (0, 1, 1, 1), "{after:?}");
    assert!(after.without_master > Duration::ZERO && after.waited > Duration::ZERO, "{after:?}");
    let later = client.metrics();
    assert_eq!(after.without_master, later.without_master, "it is over");
    Ok(())
}

#[tokio::test]
async fn what_is_refused_and_sent_again_is_counted() -> RedisResult<()> {
    let stage = Stage::start();
    let client = patient(&stage);
    let mut con = client.connection();
    let _: () = con.set("a", 1).await?;
    ok(&stage.nodes[0], &["CONFIG", "SET", "min-replicas-to-write", "9"]);
    let mut writer = client.connection();
    let writing = tokio::spawn(async move { writer.set::<_, _, ()>("b", 1).await });
    soon("it is sent again and again", async || match client.metrics().repeats {
        0..3 => Err("not yet".to_owned()),
        _ => Ok(()),
    })
    .await;
    ok(&stage.nodes[0], &["CONFIG", "SET", "min-replicas-to-write", "0"]);
    writing.await.expect("no panic")?;
    let impatient = stage.client(Client::builder().queue_limit(0));
    let error = impatient.connection().set::<_, _, ()>("a", 1).await.expect_err("nothing may wait");
    assert_eq!(outcome(&error), Outcome::NotExecuted);
    assert_eq!(impatient.metrics().not_executed, 1);
    Ok(())
}

/// Spans as text: `NAME{field=value …}`, and what is recorded later.
#[derive(Clone, Default)]
struct Seen(Arc<Mutex<Vec<String>>>);

struct Text(String);

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        use std::fmt::Write;
        let _ = write!(self.0, " {field}={value:?}");
    }
}

impl Seen {
    fn push(&self, text: String) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(text);
    }

    /// How many begin with `start` and contain all of `parts`.
    fn count(&self, start: &str, parts: &[&str]) -> usize {
        let seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let fits = |text: &&String| text.starts_with(start) && parts.iter().all(|part| text.contains(part));
        seen.iter().filter(fits).count()
    }
}

impl<S: Subscriber> Layer<S> for Seen {
    fn on_new_span(&self, attributes: &Attributes<'_>, _: &Id, _: Context<'_, S>) {
        if attributes.metadata().target() == "redis_failover::command" {
            let mut text = Text(attributes.metadata().name().to_owned());
            attributes.record(&mut text);
            self.push(text.0);
        }
    }

    fn on_record(&self, _: &Id, record: &Record<'_>, _: Context<'_, S>) {
        let mut text = Text("recorded".to_owned());
        record.record(&mut text);
        self.push(text.0);
    }
}

#[tokio::test]
async fn a_command_is_seen_with_its_waits_and_attempts_and_without_its_words() -> RedisResult<()> {
    let stage = Stage::start();
    let seen = Seen::default();
    let work = async {
        let client = stage.client(Client::builder().read_from(redis_failover::ReadFrom::Master));
        let mut con = client.connection();
        let _: () = con.set("a-key", "a-value").await?;
        let _: Option<(String, i64)> = con.blpop("a-list", 0.001).await?;
        let _: () = pipe().set("a-key", 1).get("a-key").query_async(&mut con).await?;
        let impatient = stage.client(Client::builder().queue_limit(0));
        impatient.connection().set::<_, _, ()>("a-key", "a-value").await.expect_err("nothing may wait");
        RedisResult::Ok(())
    };
    work.with_subscriber(tracing_subscriber::registry().with(seen.clone())).await?;
    let port = format!("server.port={}", stage.nodes[0].port());
    assert_eq!(seen.count("command", &["db.operation.name=\"SET\"", "otel.kind=\"client\""]), 2);
    assert_eq!(seen.count("command", &["db.operation.name=\"BLPOP\""]), 1);
    assert_eq!(seen.count("command", &["db.operation.name=\"PIPELINE\"", "db.operation.batch.size=2"]), 1);
    assert_eq!(seen.count("wait", &[]), 1, "the first command waits for the connection");
    assert_eq!(seen.count("attempt", &["server.address=\"127.0.0.1\"", &port]), 3);
    assert_eq!(seen.count("recorded", &["outcome=not executed"]), 1);
    assert_eq!(seen.count("", &["a-"]), 0, "neither keys nor values");
    Ok(())
}

/// How many commands this client has sent to the only node of its kind.
fn sent(client: &Client, node: &redis_failover_lab::Redis) -> u64 {
    client.metrics().nodes[&node.addr().parse().expect("an address")].commands
}

#[tokio::test]
async fn each_page_of_a_scan_is_counted_and_seen() -> RedisResult<()> {
    let nodes = Nodes::start(0);
    for key in 0..100 {
        ok(&nodes.master, &["SET", &key.to_string(), "1"]);
    }
    let client = nodes.client(Client::builder().read_from(redis_failover::ReadFrom::Master));
    client.ready(LONG).await?;
    let (seen, before) = (Seen::default(), sent(&client, &nodes.master));
    let scan = async {
        let (mut con, mut cursor, mut pages) = (client.connection(), 0_u64, 0);
        loop {
            let page = cmd("SCAN").arg(cursor).query_async::<(u64, Vec<String>)>(&mut con).await?;
            (cursor, pages) = (page.0, pages + 1);
            if cursor == 0 {
                return RedisResult::Ok(pages);
            }
        }
    };
    let pages = scan.with_subscriber(tracing_subscriber::registry().with(seen.clone())).await?;
    assert!(pages > 2, "{pages}");
    assert_eq!(sent(&client, &nodes.master) - before, pages);
    assert_eq!(seen.count("attempt", &[]) as u64, pages);
    Ok(())
}

#[tokio::test]
async fn a_page_that_is_asked_for_again_is_counted_as_that() -> RedisResult<()> {
    let nodes = Nodes::start(1);
    for key in 0..100 {
        ok(&nodes.master, &["SET", &key.to_string(), "1"]);
    }
    nodes.await_synced();
    let limit = Duration::from_millis(200);
    let client = nodes.client(Client::builder().response_timeout(Some(limit)).connect_timeout(LONG));
    let mut con = client.connection();
    let replica = &nodes.replicas[0];
    soon("the replica is read", async || {
        let _: Value = con.get("a").await.map_err(|error| error.to_string())?;
        if calls(replica, "get") > 0 { Ok(()) } else { Err("not yet".to_owned()) }
    })
    .await;
    let (cursor, _): (u64, Vec<String>) = cmd("SCAN").arg(0).query_async(&mut con).await?;
    let before = sent(&client, replica);
    replica.stop();
    let page = tokio::spawn(async move { cmd("SCAN").arg(cursor).exec_async(&mut con).await });
    soon(
        "it is sent",
        async || {
            if sent(&client, replica) > before { Ok(()) } else { Err("not yet".to_owned()) }
        },
    )
    .await;
    let late = tokio::time::timeout(limit * 2, std::future::pending::<()>());
    late.await.expect_err("it has no reply in time");
    replica.cont();
    page.await.expect("no panic")?;
    assert_eq!((sent(&client, replica) - before, client.metrics().repeats), (2, 1));
    Ok(())
}

#[tokio::test]
async fn what_blocks_and_is_refused_is_counted_when_it_is_sent_again() -> RedisResult<()> {
    let nodes = Nodes::start(0);
    let client = nodes.client(Client::builder());
    let mut con = client.connection();
    ok(&nodes.master, &["RPUSH", "list", "7"]);
    ok(&nodes.master, &["CONFIG", "SET", "min-replicas-to-write", "9"]);
    let popping = tokio::spawn(async move { con.blpop::<_, (String, i64)>("list", 0.0).await });
    soon("it is sent again and again", async || match client.metrics().repeats {
        0..3 => Err("not yet".to_owned()),
        _ => Ok(()),
    })
    .await;
    ok(&nodes.master, &["CONFIG", "SET", "min-replicas-to-write", "0"]);
    assert_eq!(popping.await.expect("no panic")?.1, 7);
    Ok(())
}

#[tokio::test]
async fn what_a_closed_client_does_not_begin_is_counted() {
    let nodes = Nodes::start(0);
    let client = nodes.client(Client::builder());
    let mut con = client.connection();
    client.close(LONG).await;
    con.set::<_, _, ()>("a", 1).await.expect_err("it is closed");
    pipe().set("a", 1).exec_async(&mut con).await.expect_err("it is closed");
    assert_eq!(client.metrics().not_executed, 2);
}
