//! A publisher of numbered messages, and a subscriber that was there before the first. They judge nothing.

use std::sync::Arc;

use redis::RedisResult;
use redis_failover::{Connection, Event, Outcome, PubSub, outcome};
use tokio::sync::watch;
use tokio::time::sleep;

use super::{PACE, PAUSE, Shared, lock};

/// The channel.
pub(super) const CHANNEL: &str = "soak:news";

/// Publishes one message after the other; the same again only if the library says that it was not executed.
pub(super) async fn publish(mut connection: Connection, shared: Arc<Shared>, stop: watch::Receiver<bool>) {
    while !*stop.borrow() {
        let number = lock(&shared.messages).next();
        let published: RedisResult<u64> =
            redis::cmd("PUBLISH").arg(CHANNEL).arg(number).query_async(&mut connection).await;
        match published.map_err(|error| (outcome(&error), error)) {
            Ok(_) => lock(&shared.messages).enter(true),
            Err((Outcome::Unknown, _)) => lock(&shared.messages).enter(false),
            Err((outcome, error)) => {
                shared.not_done(outcome, &error);
                sleep(PAUSE).await;
            }
        }
        sleep(2 * PACE).await;
    }
}

/// Hears all that is published for as long as it is let.
pub(super) async fn hear(mut subscriber: PubSub, shared: Arc<Shared>) {
    while let Some(event) = subscriber.next().await {
        let mut messages = lock(&shared.messages);
        match event {
            Event::Message(message) => match message.get_payload() {
                Ok(number) => messages.hear(number),
                Err(error) => messages.complain(format!("a message was heard that is no number: {error}")),
            },
            Event::Missed { .. } => messages.mark(),
            other => messages.complain(format!("the subscriber was told {other:?}")),
        }
    }
    lock(&shared.messages).complain("what is heard has ended before its client".to_owned());
}
