//! How a subscriber follows the master, with a marker where it may have missed something, on each version of a
//! server.

use std::time::{Duration, Instant};

use redis_failover::redis::RedisResult;
use redis_failover_lab::Flavour;
use tokio::time::timeout;

use super::{kill_subscribers, next, subscribers, tell, up_to, word};
use crate::world::{LONG, Stage, follow, ok, patient, run, soon};

/// Makes a test of each function, on this version.
macro_rules! on {
    ($version:ident, $flavour:expr) => {
        mod $version {
            use redis_failover::redis::RedisResult;
            use redis_failover_lab::Flavour;

            #[tokio::test]
            async fn a_change_of_master_is_marked_once_and_nothing_else_is() -> RedisResult<()> {
                super::a_change_of_master_is_marked_once_and_nothing_else_is($flavour).await
            }

            #[tokio::test]
            async fn a_master_that_was_killed_or_hangs_is_left_when_another_is_published() -> RedisResult<()>
            {
                super::a_master_that_was_killed_or_hangs_is_left_when_another_is_published($flavour).await
            }

            #[tokio::test]
            async fn a_subscription_in_flight_is_made_on_the_next_master() -> RedisResult<()> {
                super::a_subscription_in_flight_is_made_on_the_next_master($flavour).await
            }

            #[tokio::test]
            async fn a_master_that_was_restarted_is_listened_to_when_it_is_confirmed() -> RedisResult<()> {
                super::a_master_that_was_restarted_is_listened_to_when_it_is_confirmed($flavour).await
            }

            #[tokio::test]
            async fn a_master_that_is_none_any_more_is_not_listened_to_again() -> RedisResult<()> {
                super::a_master_that_is_none_any_more_is_not_listened_to_again($flavour).await
            }
        }
    };
}

on!(installed, Flavour::Installed);
on!(redis_6_2, Flavour::Redis62);
on!(valkey_9_1, Flavour::Valkey91);

async fn a_change_of_master_is_marked_once_and_nothing_else_is(flavour: Flavour) -> RedisResult<()> {
    let stage = Stage::on(flavour);
    let client = patient(&stage);
    let mut pubsub = client.pubsub();
    pubsub.subscribe(&["a", "b"]).await?;
    pubsub.psubscribe("p.*").await?;
    tell(&stage.nodes[0], "a", "1");
    stage.open_epoch(2, 0);
    soon("it is known", async || client.current_master().map_or(Ok(()), |it| Err(it.to_string()))).await;
    // While there is no master, the old one may still be the one.
    assert_eq!(tell(&stage.nodes[0], "a", "2"), 1);
    stage.publish(2, 0);
    client.ready(LONG).await?;
    assert_eq!(tell(&stage.nodes[0], "a", "3"), 1);
    assert_eq!(up_to(&mut pubsub, "a=3").await, ["a=1", "a=2", "a=3"]);

    stage.promote(1);
    stage.publish(3, 1);
    let missed = format!("missed {}", stage.nodes[1].addr());
    assert_eq!(next(&mut pubsub).await, missed);
    assert_eq!(subscribers(&stage.nodes[0]), 0, "the old one's connection is closed");
    for (channel, payload) in [("a", "4"), ("b", "4"), ("p.x", "4"), ("a", "end")] {
        assert_eq!(tell(&stage.nodes[1], channel, payload), 1);
    }
    assert_eq!(up_to(&mut pubsub, "a=end").await, ["a=4", "b=4", "p.x=4", "a=end"]);
    Ok(())
}

async fn a_master_that_was_killed_or_hangs_is_left_when_another_is_published(
    flavour: Flavour,
) -> RedisResult<()> {
    let mut stage = Stage::on(flavour);
    let client = patient(&stage);
    let mut pubsub = client.pubsub();
    pubsub.subscribe("a").await?;
    tell(&stage.nodes[0], "a", "1");
    assert_eq!(next(&mut pubsub).await, "a=1");
    stage.nodes[0].kill();
    ok(&stage.nodes[1], &["REPLICAOF", "NO", "ONE"]);
    follow(&stage.nodes[2], &stage.nodes[1]);
    // Nobody is listened to who was not published.
    assert_eq!(tell(&stage.nodes[1], "a", "unheard"), 0);
    stage.publish(2, 1);
    assert_eq!(next(&mut pubsub).await, format!("missed {}", stage.nodes[1].addr()));
    tell(&stage.nodes[1], "a", "2");
    assert_eq!(next(&mut pubsub).await, "a=2");

    stage.nodes[1].stop();
    ok(&stage.nodes[2], &["REPLICAOF", "NO", "ONE"]);
    let published = Instant::now();
    stage.put(&stage.document(3, 2, "steady", &run(&stage.nodes[2])));
    assert_eq!(next(&mut pubsub).await, format!("missed {}", stage.nodes[2].addr()));
    assert!(published.elapsed() < Duration::from_secs(2), "{:?}", published.elapsed());
    tell(&stage.nodes[2], "a", "end");
    assert_eq!(next(&mut pubsub).await, "a=end");
    stage.nodes[1].cont();
    Ok(())
}

async fn a_subscription_in_flight_is_made_on_the_next_master(flavour: Flavour) -> RedisResult<()> {
    let stage = Stage::on(flavour);
    let client = patient(&stage);
    let (sink, mut stream) = client.pubsub().split();
    sink.subscribe("a").await?;
    stage.nodes[0].stop();
    let in_flight = sink.clone();
    let subscribing = tokio::spawn(async move { in_flight.subscribe("b").await });
    let unsubscribing = tokio::spawn(async move { sink.unsubscribe("a").await });
    tokio::task::yield_now().await;
    ok(&stage.nodes[1], &["REPLICAOF", "NO", "ONE"]);
    stage.publish(2, 1);
    subscribing.await.expect("no panic")?;
    unsubscribing.await.expect("no panic")?;
    assert_eq!((tell(&stage.nodes[1], "a", "1"), tell(&stage.nodes[1], "b", "end")), (0, 1));
    let first = timeout(LONG, stream.next()).await.expect("something is heard");
    // It was heard on no earlier connection, so nothing of it was missed.
    assert_eq!(first.as_ref().map(word), Some("b=end".to_owned()));
    stage.nodes[0].cont();
    Ok(())
}

async fn a_master_that_was_restarted_is_listened_to_when_it_is_confirmed(
    flavour: Flavour,
) -> RedisResult<()> {
    let mut stage = Stage::on(flavour);
    let client = patient(&stage);
    let mut pubsub = client.pubsub();
    pubsub.subscribe("a").await?;
    stage.nodes[0].restart();
    let refused = async || client.ready(Duration::ZERO).await.err().map(drop).ok_or(String::new());
    soon("the restart is known", refused).await;
    assert_eq!(tell(&stage.nodes[0], "a", "unheard"), 0);
    stage.publish(1, 0);
    assert_eq!(next(&mut pubsub).await, format!("missed {}", stage.nodes[0].addr()));
    tell(&stage.nodes[0], "a", "end");
    assert_eq!(next(&mut pubsub).await, "a=end");
    Ok(())
}

async fn a_master_that_is_none_any_more_is_not_listened_to_again(flavour: Flavour) -> RedisResult<()> {
    let stage = Stage::on(flavour);
    let client = patient(&stage);
    let mut pubsub = client.pubsub();
    pubsub.subscribe("a").await?;
    // Demoted, and nothing is published yet.
    stage.promote(1);
    kill_subscribers(&stage.nodes[0]);
    soon("it said so", async || client.ready(Duration::ZERO).await.err().map(drop).ok_or(String::new()))
        .await;
    stage.publish(2, 1);
    assert_eq!(next(&mut pubsub).await, format!("missed {}", stage.nodes[1].addr()));
    Ok(())
}
