//! What a subscriber without a runtime hears when its master goes.

use std::thread;
use std::time::{Duration, Instant};

use redis_failover::blocking::Client;
use redis_failover::redis::{Commands, RedisResult};
use redis_failover::{Event, Outcome, outcome};
use redis_failover_lab::{Flavour, Redis, Reply, eventually};

use crate::world::{LONG, Nodes, Stage, ok, patient};

fn tell(node: &Redis, channel: &str, payload: &str) -> i64 {
    let Reply::Integer(heard) = ok(node, &["PUBLISH", channel, payload]) else { panic!("no number") };
    heard
}

/// An event in one word.
fn word(event: Option<Event>) -> String {
    match event {
        Some(Event::Message(message)) => {
            let payload: String = message.get_payload().expect("text");
            format!("{}={payload}", message.get_channel_name())
        }
        Some(Event::Missed { master }) => format!("missed {master}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_subscriber_follows_a_master_that_hangs_to_the_next_one() -> RedisResult<()> {
    follows_a_master_that_hangs_to_the_next_one(Flavour::Installed)
}

#[test]
fn a_subscriber_follows_a_master_that_hangs_to_the_next_one_on_redis_6_2() -> RedisResult<()> {
    follows_a_master_that_hangs_to_the_next_one(Flavour::Redis62)
}

#[test]
fn a_subscriber_follows_a_master_that_hangs_to_the_next_one_on_valkey_9_1() -> RedisResult<()> {
    follows_a_master_that_hangs_to_the_next_one(Flavour::Valkey91)
}

fn follows_a_master_that_hangs_to_the_next_one(flavour: Flavour) -> RedisResult<()> {
    let stage = Stage::on(flavour);
    let client = patient(&stage);
    let mut pubsub = client.pubsub();
    pubsub.subscribe(&["a", "b"])?;
    pubsub.psubscribe("p.*")?;
    // The same client's commands do not disturb it.
    let heard: i64 = client.connection().publish("a", "1")?;
    assert_eq!((heard, word(pubsub.next_within(LONG)?)), (1, "a=1".to_owned()));
    let begun = Instant::now();
    assert!(pubsub.next_within(Duration::from_millis(50))?.is_none());
    assert!(begun.elapsed() >= Duration::from_millis(50));
    pubsub.unsubscribe("b")?;
    stage.nodes[0].stop();
    ok(&stage.nodes[1], &["REPLICAOF", "NO", "ONE"]);
    stage.publish(2, 1);
    assert_eq!(word(pubsub.next()), format!("missed {}", stage.nodes[1].addr()));
    assert_eq!((tell(&stage.nodes[1], "b", "2"), tell(&stage.nodes[1], "p.x", "2")), (0, 1));
    assert_eq!(word(pubsub.next()), "p.x=2");
    pubsub.punsubscribe("p.*")?;
    assert_eq!(tell(&stage.nodes[1], "p.x", "3"), 0);
    stage.nodes[0].cont();
    Ok(())
}

#[test]
fn the_halves_work_on_threads_of_their_own_and_anywhere() -> RedisResult<()> {
    let nodes = Nodes::start(0);
    let client = nodes.client(Client::builder());
    let mut whole = client.pubsub();
    whole.ssubscribe("s")?;
    assert_eq!(ok(&nodes.master, &["SPUBLISH", "s", "0"]), Reply::Integer(1));
    whole.sunsubscribe("s")?;
    assert_eq!(word(whole.next_within(LONG)?), "s=0");
    let (sink, events) = whole.split();
    // The client lives on in them.
    drop(client);
    let hearing = thread::spawn(move || events.map(|event| word(Some(event))).take(3).collect::<Vec<_>>());
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(async { sink.subscribe("a") })?;
    sink.ssubscribe("s")?;
    sink.sunsubscribe("s")?;
    assert_eq!(ok(&nodes.master, &["SPUBLISH", "s", "1"]), Reply::Integer(0));
    for payload in ["1", "2", "3"] {
        assert_eq!(tell(&nodes.master, "a", payload), 1);
    }
    assert_eq!(hearing.join().expect("no panic"), ["a=1", "a=2", "a=3"]);
    eventually(LONG, "who hears no more is gone", || match tell(&nodes.master, "a", "4") {
        0 => Ok(()),
        heard => Err(heard.to_string()),
    });
    let error = sink.subscribe("b").expect_err("nobody hears it");
    assert_eq!(outcome(&error), Outcome::NotExecuted);
    Ok(())
}
