//! What a subscriber hears, and is told that it may have missed, when its master or its connection goes.
//!
//! How it follows the master is played on each version of the server, in `versions`.

mod versions;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use redis_failover::redis::{AsyncCommands, RedisResult};
use redis_failover::{Client, Event, Outcome, PubSub, outcome};
use redis_failover_lab::{Redis, Reply};
use tokio::time::timeout;

use crate::world::{LONG, Nodes, Stage, ok, patient, soon};

/// How many hear what is published there.
fn tell(node: &Redis, channel: &str, payload: &str) -> i64 {
    let Reply::Integer(heard) = ok(node, &["PUBLISH", channel, payload]) else { panic!("no number") };
    heard
}

/// An event in one word.
fn word(event: &Event) -> String {
    match event {
        Event::Message(message) => {
            let payload: String = message.get_payload().expect("text");
            format!("{}={payload}", message.get_channel_name())
        }
        Event::Missed { master } => format!("missed {master}"),
        Event::Refused { name, error } => format!("refused {name} {}", error.code().unwrap_or_default()),
        other => panic!("{other:?}"),
    }
}

async fn next(pubsub: &mut PubSub) -> String {
    let event = timeout(LONG, pubsub.next()).await.expect("something is heard");
    word(&event.expect("the client lives"))
}

/// Everything that is heard, to this event.
async fn up_to(pubsub: &mut PubSub, last: &str) -> Vec<String> {
    let mut heard = Vec::new();
    while heard.last().is_none_or(|word| word != last) {
        heard.push(next(pubsub).await);
    }
    heard
}

/// The subscribers' connections.
fn subscribers(node: &Redis) -> usize {
    let Reply::Bulk(list) = ok(node, &["CLIENT", "LIST", "TYPE", "pubsub"]) else { panic!("no list") };
    list.lines().count()
}

/// How many bytes the server keeps for its subscribers.
fn held_by_server(node: &Redis) -> u64 {
    let Reply::Bulk(list) = ok(node, &["CLIENT", "LIST", "TYPE", "pubsub"]) else { panic!("no list") };
    let held = list.split_whitespace().filter_map(|word| word.strip_prefix("omem="));
    held.map(|bytes| bytes.parse::<u64>().expect("a number")).sum()
}

fn kill_subscribers(node: &Redis) {
    ok(node, &["CLIENT", "KILL", "TYPE", "pubsub"]);
}

#[tokio::test]
async fn channels_and_patterns_are_heard_until_they_are_unsubscribed_from() -> RedisResult<()> {
    let nodes = Nodes::start(0);
    let client = nodes.client(Client::builder());
    let mut pubsub = client.pubsub();
    assert_eq!(subscribers(&nodes.master), 0);
    pubsub.subscribe(&["a", "b"]).await?;
    pubsub.psubscribe("p.*").await?;
    for (channel, heard) in [("a", 1), ("b", 1), ("p.x", 1), ("c", 0)] {
        assert_eq!(tell(&nodes.master, channel, "1"), heard, "{channel}");
    }
    pubsub.unsubscribe("a").await?;
    assert_eq!(tell(&nodes.master, "a", "2"), 0);
    pubsub.unsubscribe(&[""; 0]).await?;
    assert_eq!(tell(&nodes.master, "b", "2"), 0);
    tell(&nodes.master, "p.x", "end");
    assert_eq!(up_to(&mut pubsub, "p.x=end").await, ["a=1", "b=1", "p.x=1", "p.x=end"]);
    pubsub.punsubscribe("p.*").await?;
    assert_eq!(tell(&nodes.master, "p.x", "2"), 0);
    // The same connection takes new ones.
    pubsub.subscribe("a").await?;
    tell(&nodes.master, "a", "3");
    assert_eq!(next(&mut pubsub).await, "a=3");
    Ok(())
}

#[tokio::test]
async fn sharded_channels_are_heard() -> RedisResult<()> {
    let nodes = Nodes::start(0);
    let client = nodes.client(Client::builder());
    let mut pubsub = client.pubsub();
    pubsub.ssubscribe("s").await?;
    assert_eq!(ok(&nodes.master, &["SPUBLISH", "s", "1"]), Reply::Integer(1));
    assert_eq!(next(&mut pubsub).await, "s=1");
    pubsub.sunsubscribe("s").await?;
    assert_eq!(ok(&nodes.master, &["SPUBLISH", "s", "1"]), Reply::Integer(0));
    Ok(())
}

#[tokio::test]
async fn the_halves_work_apart_and_the_stream_is_what_keeps_the_connection() -> RedisResult<()> {
    let nodes = Nodes::start(0);
    let client = nodes.client(Client::builder());
    let (sink, mut stream) = client.pubsub().split();
    // The client lives on in them.
    drop(client);
    let hearing = tokio::spawn(async move {
        let first = stream.next().await.expect("the client lives");
        (word(&first), stream)
    });
    sink.subscribe("a").await?;
    tell(&nodes.master, "a", "1");
    let (first, mut stream) = hearing.await.expect("no panic");
    assert_eq!(first, "a=1");
    let another = sink.clone();
    drop(sink);
    tell(&nodes.master, "a", "2");
    assert_eq!(stream.next().await.as_ref().map(word), Some("a=2".to_owned()));
    drop(stream);
    soon("the connection is closed", async || match subscribers(&nodes.master) {
        0 => Ok(()),
        left => Err(left.to_string()),
    })
    .await;
    let begun = Instant::now();
    let error = another.subscribe("b").await.expect_err("nobody hears it");
    assert_eq!(outcome(&error), Outcome::NotExecuted);
    assert!(begun.elapsed() < Duration::from_secs(5), "it is told at once");
    Ok(())
}

#[tokio::test]
async fn a_subscription_that_is_refused_or_not_waited_for_is_none() -> RedisResult<()> {
    let nodes = Nodes::start(0);
    ok(&nodes.master, &["ACL", "SETUSER", "u", "on", ">p", "~*", "+@all", "resetchannels", "&a*"]);
    let client = nodes.client(Client::builder().username("u").password("p"));
    let mut pubsub = client.pubsub();
    let error = pubsub.subscribe(&["a1", "b1"]).await.expect_err("it may not hear b1");
    assert_eq!((error.code(), outcome(&error)), (Some("NOPERM"), Outcome::NotExecuted));
    assert_eq!(tell(&nodes.master, "a1", "1"), 0, "it is subscribed to none of them");
    pubsub.subscribe("a1").await?;

    // The server has the subscription, and its caller is gone when the confirmation comes.
    nodes.master.stop();
    let given_up = timeout(Duration::from_millis(50), pubsub.subscribe(&["a1", "a2"])).await;
    assert!(given_up.is_err());
    nodes.master.cont();
    soon("it is taken back", async || match tell(&nodes.master, "a2", "late") {
        0 => Ok(()),
        heard => Err(heard.to_string()),
    })
    .await;
    assert_eq!(tell(&nodes.master, "a1", "end"), 1, "what it had before is kept");
    let heard = up_to(&mut pubsub, "a1=end").await;
    assert!(heard[..heard.len() - 1].iter().all(|word| word == "a2=late"), "{heard:?}");
    Ok(())
}

#[tokio::test]
async fn what_no_master_confirms_in_time_is_not_remembered() -> RedisResult<()> {
    let stage = Stage::start();
    stage.open_epoch(2, 0);
    let client = stage.client(Client::builder().wait_limit(Duration::from_millis(200)));
    let mut pubsub = client.pubsub();
    let error = pubsub.subscribe("a").await.expect_err("there is no master");
    assert!(outcome(&error) == Outcome::NotExecuted && error.is_timeout(), "{error}");
    assert!(error.to_string().contains("is being replaced (epoch 2)"), "{error}");
    stage.publish(2, 0);
    client.ready(LONG).await?;
    pubsub.subscribe("b").await?;
    assert_eq!(tell(&stage.nodes[0], "a", "1"), 0);
    // One that does not answer is named.
    stage.nodes[0].stop();
    let error = pubsub.subscribe("c").await.expect_err("it hangs");
    assert!(error.to_string().contains(&stage.nodes[0].addr()), "{error}");
    stage.nodes[0].cont();
    Ok(())
}

#[tokio::test]
async fn connections_that_end_at_once_are_made_more_and_more_seldom() -> RedisResult<()> {
    let nodes = Nodes::start(0);
    let client = nodes.client(Client::builder());
    let mut pubsub = client.pubsub();
    pubsub.subscribe("a").await?;
    let connections = || {
        let stats = nodes.master.info("stats").expect("it answers");
        stats["total_connections_received"].parse::<u64>().expect("a number")
    };
    // The test's own calls are connections, too: one each.
    let (before, begun, mut calls) = (connections(), Instant::now(), 1);
    while begun.elapsed() < Duration::from_secs(1) {
        kill_subscribers(&nodes.master);
        calls += 1;
        tokio::task::yield_now().await;
    }
    let made = connections() - before - calls;
    assert!((1..20).contains(&made), "{made} in a second");
    // One that is made is made in the end.
    soon("it is back", async || match tell(&nodes.master, "a", "end") {
        1 => Ok(()),
        _ => Err("not yet".to_owned()),
    })
    .await;
    Ok(())
}

#[tokio::test]
async fn each_connection_that_is_cut_is_marked_once() -> RedisResult<()> {
    let nodes = Nodes::start(0);
    let client = nodes.client(Client::builder());
    let mut pubsub = client.pubsub();
    pubsub.subscribe(&["a", "b"]).await?;
    let missed = format!("missed {}", nodes.master.addr());
    for payload in ["1", "2", "end"] {
        kill_subscribers(&nodes.master);
        soon("it is back", async || match tell(&nodes.master, "b", payload) {
            1 => Ok(()),
            _ => Err("not yet".to_owned()),
        })
        .await;
        let word = format!("b={payload}");
        assert_eq!(up_to(&mut pubsub, &word).await, [missed.clone(), word]);
    }
    // Who listens to nothing has missed nothing.
    pubsub.unsubscribe(&["a", "b"]).await?;
    kill_subscribers(&nodes.master);
    pubsub.subscribe("c").await?;
    tell(&nodes.master, "c", "end");
    assert_eq!(next(&mut pubsub).await, "c=end");
    Ok(())
}

#[tokio::test]
async fn who_does_not_read_for_long_misses_nothing_that_the_server_keeps() -> RedisResult<()> {
    let nodes = Nodes::start(0);
    let client =
        nodes.client(Client::builder().pubsub_buffer(1).response_timeout(Some(Duration::from_millis(300))));
    let mut pubsub = client.pubsub();
    pubsub.subscribe("a").await?;
    for payload in ["1", "2", "3"] {
        tell(&nodes.master, "a", payload);
    }
    // Nobody reads for longer than a master may be silent.
    let nothing: Option<(String, String)> = client.connection().blpop("nothing", 1.2).await?;
    assert_eq!(nothing, None);
    tell(&nodes.master, "a", "end");
    assert_eq!(up_to(&mut pubsub, "a=end").await, ["a=1", "a=2", "a=3", "a=end"]);
    Ok(())
}

#[tokio::test]
async fn a_silent_master_is_asked_and_given_up_when_it_does_not_answer() -> RedisResult<()> {
    let nodes = Nodes::start(0);
    let limit = Duration::from_millis(600);
    let client = nodes.client(Client::builder().response_timeout(Some(limit)).wait_limit(limit * 3));
    let mut pubsub = client.pubsub();
    pubsub.subscribe("a").await?;
    // Nothing is heard for longer than that: it answers PING.
    assert!(timeout(limit * 3, pubsub.next()).await.is_err(), "nothing happened");
    nodes.master.stop();
    // Nobody else is published, and no connection ends: only the silence can tell.
    let error = pubsub.subscribe("b").await.expect_err("nobody answers for longer than that");
    assert!(error.is_timeout(), "{error}");
    nodes.master.cont();
    assert_eq!(next(&mut pubsub).await, format!("missed {}", nodes.master.addr()));
    tell(&nodes.master, "a", "end");
    assert_eq!(next(&mut pubsub).await, "a=end");
    Ok(())
}

#[tokio::test]
async fn what_may_not_be_heard_any_more_is_told_and_asked_for_again() -> RedisResult<()> {
    let nodes = Nodes::start(0);
    let master = &nodes.master;
    let may = |channels: &[&str]| {
        let words = [&["ACL", "SETUSER", "u", "on", ">p", "~*", "+@all", "resetchannels"], channels].concat();
        ok(master, &words)
    };
    may(&["&a", "&b"]);
    let client = nodes.client(Client::builder().username("u").password("p"));
    let mut pubsub = client.pubsub();
    pubsub.subscribe(&["a", "b"]).await?;
    // Redis ends the connection of who listens to what it may not hear any more.
    may(&["&b"]);
    assert_eq!(next(&mut pubsub).await, "refused a NOPERM");
    assert_eq!(next(&mut pubsub).await, format!("missed {}", master.addr()), "the other is heard again");
    assert_eq!((tell(master, "a", "unheard"), tell(master, "b", "1")), (0, 1));
    let heard = up_to(&mut pubsub, "b=1").await;
    assert!(heard[..heard.len() - 1].iter().all(|word| word == "refused a NOPERM"), "{heard:?}");
    // Where nothing is heard again, nothing is marked.
    assert_eq!(next(&mut pubsub).await, "refused a NOPERM");
    tell(master, "b", "2");
    let heard = up_to(&mut pubsub, "b=2").await;
    assert!(heard[..heard.len() - 1].iter().all(|word| word == "refused a NOPERM"), "{heard:?}");
    ok(master, &["ACL", "SETUSER", "u", "&a"]);
    let heard = up_to(&mut pubsub, &format!("missed {}", master.addr())).await;
    assert!(heard[..heard.len() - 1].iter().all(|word| word == "refused a NOPERM"), "{heard:?}");
    tell(master, "a", "end");
    assert_eq!(next(&mut pubsub).await, "a=end");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_reads_too_slowly_is_cut_off_by_the_server_and_told() -> RedisResult<()> {
    let nodes = Nodes::start(0);
    let master = &nodes.master;
    ok(master, &["CONFIG", "SET", "client-output-buffer-limit", "pubsub 4mb 0 0"]);
    let client = nodes.client(Client::builder().pubsub_buffer(2));
    let mut pubsub = client.pubsub();
    pubsub.subscribe("a").await?;
    for number in 0..10 {
        assert_eq!(tell(master, "a", &number.to_string()), 1);
    }
    // It is full, and nobody reads; a subscription is made all the same.
    pubsub.subscribe("b").await?;
    // The system buffers some, and the server the rest.
    let large = "x".repeat(1 << 16);
    let mut published = 10;
    while held_by_server(master) < 1 << 20 {
        assert_eq!(tell(master, "a", &large), 1);
        published += 1;
    }
    let nothing: Option<(String, String)> = client.connection().blpop("nothing", 1.0).await?;
    assert_eq!(nothing, None);
    assert!(held_by_server(master) >= 1 << 20, "the client reads what nobody wants to know yet");
    soon("it is cut off", async || {
        if subscribers(master) == 0 {
            return Ok(());
        }
        tell(master, "a", &large);
        published += 1;
        Err(format!("{published} were published"))
    })
    .await;
    let heard = up_to(&mut pubsub, &format!("missed {}", master.addr())).await;
    let (_, messages) = heard.split_last().expect("something was heard");
    let numbers: Vec<_> = (0..10).map(|number| format!("a={number}")).collect();
    assert_eq!(messages[..10], numbers, "what came before it was full is there, in order");
    assert!(messages.len() < published, "some of {published} is missing");
    assert_eq!(tell(master, "b", "end"), 1);
    assert_eq!(next(&mut pubsub).await, "b=end");
    Ok(())
}

/// Takes a message in: nothing is missing before it on its channel, nor since so much was published.
fn follows(next_on: &mut [(&str, Option<u64>)], known: u64, channel: &str, number: &str) {
    let number: u64 = number.parse().expect("a number");
    for (_, expected) in next_on.iter_mut().filter(|(it, _)| *it == channel) {
        match *expected {
            None => {
                assert!(known == 0 || number <= known + 1, "{channel} begins with {number} behind {known}");
            }
            Some(expected) => assert_eq!(number, expected, "one is missing on {channel}"),
        }
        *expected = Some(number + 1);
    }
}

/// All that is published from the moment on in which the marker is read is heard, on every channel.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_the_marker_nothing_is_missing() -> RedisResult<()> {
    let nodes = Nodes::start(0);
    // So many that the server reads what is asked for in several turns, and publishes in between.
    let channels: Vec<_> = (0..2_000).map(|number| format!("channel-{number:04}")).collect();
    let client = nodes.client(Client::builder());
    let mut pubsub = client.pubsub();
    pubsub.subscribe(&channels).await?;
    let mut con = client.connection();
    let done = Arc::new(AtomicBool::new(false));
    let (asked, first, last) = (Arc::clone(&done), channels[0].clone(), channels[1_999].clone());
    let mut publisher = nodes.master.connect().expect("it answers");
    // What is published is counted in the data first, as one who looks for what it missed would find it.
    let publishing = thread::spawn(move || {
        let mut number = 0;
        while !asked.load(Ordering::Acquire) {
            number += 1;
            publisher.command(&["SET", "published", &number.to_string()]).expect("it answers");
            for channel in [&first, &last] {
                publisher.command(&["PUBLISH", channel, &number.to_string()]).expect("it answers");
            }
        }
    });
    let (mut known, mut next_on) = (0, [(channels[0].as_str(), None), (channels[1_999].as_str(), None)]);
    for _ in 0..10 {
        // Some are heard, and more than that are published: without a marker none is missing.
        while next_on.iter().any(|(_, number)| number.is_none_or(|number| number < known + 20)) {
            let heard = next(&mut pubsub).await;
            let Some((channel, number)) = heard.split_once('=') else {
                panic!("{heard}, and nothing was cut")
            };
            follows(&mut next_on, known, channel, number);
        }
        kill_subscribers(&nodes.master);
        loop {
            let heard = next(&mut pubsub).await;
            let Some((channel, number)) = heard.split_once('=') else { break };
            follows(&mut next_on, known, channel, number);
        }
        known = con.get("published").await?;
        next_on = next_on.map(|(channel, _)| (channel, None));
    }
    done.store(true, Ordering::Release);
    publishing.join().expect("no panic");
    Ok(())
}

/// A caller gives up, and asks again before the server has answered.
#[tokio::test]
async fn who_asks_again_after_giving_up_hears() -> RedisResult<()> {
    let nodes = Nodes::start(0);
    let client = nodes.client(Client::builder());
    let mut pubsub = client.pubsub();
    pubsub.subscribe("x").await?;
    nodes.master.stop();
    let given_up = timeout(Duration::from_millis(50), pubsub.subscribe("a")).await;
    assert!(given_up.is_err());
    let again = tokio::spawn(async move {
        pubsub.subscribe("a").await?;
        // Behind whatever was taken back.
        pubsub.subscribe("y").await?;
        RedisResult::Ok(pubsub)
    });
    tokio::task::yield_now().await;
    nodes.master.cont();
    let _pubsub = again.await.expect("no panic")?;
    assert_eq!(tell(&nodes.master, "a", "1"), 1, "it was confirmed");
    Ok(())
}

/// Two callers, in this order: the second one's word is the last.
#[tokio::test]
async fn who_unsubscribes_while_it_is_subscribed_to_stays_unsubscribed() -> RedisResult<()> {
    let nodes = Nodes::start(0);
    let client = nodes.client(Client::builder());
    let (sink, mut stream) = client.pubsub().split();
    sink.subscribe("x").await?;
    let other = sink.clone();
    let (on, off) = tokio::join!(sink.subscribe("a"), other.unsubscribe("a"));
    on?;
    off?;
    assert_eq!(tell(&nodes.master, "a", "1"), 0);
    ok(&nodes.master, &["CLIENT", "KILL", "TYPE", "pubsub"]);
    let Some(Event::Missed { .. }) = timeout(LONG, stream.next()).await.expect("in time") else { panic!() };
    assert_eq!(tell(&nodes.master, "a", "1"), 0, "it is subscribed to again");
    Ok(())
}

/// One that was refused when it was made again, and that its caller then makes himself.
#[tokio::test]
async fn what_was_lost_is_marked_also_when_its_caller_makes_it_again() -> RedisResult<()> {
    let nodes = Nodes::start(0);
    let master = &nodes.master;
    ok(master, &["ACL", "SETUSER", "u", "on", ">p", "~*", "+@all", "resetchannels", "&a"]);
    let client = nodes.client(Client::builder().username("u").password("p"));
    let mut pubsub = client.pubsub();
    pubsub.subscribe("a").await?;
    ok(master, &["ACL", "SETUSER", "u", "resetchannels", "&b"]);
    // Some pauses, until they are long enough for what follows.
    for _ in 0..5 {
        let Some(Event::Refused { .. }) = timeout(LONG, pubsub.next()).await.expect("in time") else {
            panic!()
        };
    }
    ok(master, &["ACL", "SETUSER", "u", "&a"]);
    pubsub.subscribe("a").await?;
    assert_eq!(tell(master, "a", "1"), 1);
    let event = timeout(LONG, pubsub.next()).await.expect("in time");
    assert!(matches!(event, Some(Event::Missed { .. })), "{event:?}");
    Ok(())
}

#[tokio::test]
async fn who_rests_for_the_old_master_goes_to_the_new_one_at_once() -> RedisResult<()> {
    let stage = Stage::start();
    let client = patient(&stage);
    let mut pubsub = client.pubsub();
    pubsub.subscribe("a").await?;
    for round in 0..9 {
        kill_subscribers(&stage.nodes[0]);
        let back = async || if subscribers(&stage.nodes[0]) == 1 { Ok(()) } else { Err(round.to_string()) };
        soon("it is back", back).await;
    }
    stage.promote(1);
    let published = Instant::now();
    stage.publish(2, 1);
    let missed = format!("missed {}", stage.nodes[1].addr());
    up_to(&mut pubsub, &missed).await;
    let took = published.elapsed();
    assert!(took < Duration::from_millis(400), "the old one's rest is at least half a second: {took:?}");
    Ok(())
}
