//! How long things are waited for, and how long nothing is done in between.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use redis::{RedisError, RedisResult};
use redis_failover_core::NodeAddr;
use tokio::time::Instant;

use crate::client::Shared;
use crate::closing::closed;
use crate::outcome::{Outcome, failure};

/// When a command gives up.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadline {
    pub(crate) at: Instant,
    pub(crate) limit: Duration,
}

impl Deadline {
    pub(crate) fn after(limit: Duration) -> Self {
        let now = Instant::now();
        Self { at: now.checked_add(limit).unwrap_or(now + FAR), limit }
    }

    pub(crate) fn is_over(self) -> bool {
        Instant::now() >= self.at
    }

    /// Gives up when it is time.
    pub(crate) fn check(self, why: &str) -> RedisResult<()> {
        if !self.is_over() {
            return Ok(());
        }
        let what = format!("no node could take it within {:?}: {why}", self.limit);
        Err(failure(Outcome::NotExecuted, io::ErrorKind::TimedOut, what))
    }
}

impl Shared {
    /// Of a command that found no node within `waited`.
    pub(crate) fn not_in_time(&self, waited: Duration) -> RedisError {
        if self.inner.gate.closed.is_cancelled() {
            return closed();
        }
        if self.has_ended() {
            let what = "the runtime in which this client was used first has ended, and the client with it";
            return failure(Outcome::NotExecuted, io::ErrorKind::NotConnected, what);
        }
        let (master, why) = {
            let routes = self.inner.routes.borrow();
            (routes.master.as_ref().map(|link| link.node.clone()), Arc::clone(&routes.why))
        };
        let why = match master {
            Some(master) => {
                format!("the master {master} refused it, or could not be connected to, until now")
            }
            None if why.is_empty() => self.source().map_or_else(String::new, |source| source.trouble()),
            None => why.to_string(),
        };
        failure(
            Outcome::NotExecuted,
            io::ErrorKind::TimedOut,
            format!("no node could take it within {waited:?}: {why}"),
        )
    }
}

/// A deadline that nobody lives to see.
const FAR: Duration = Duration::from_hours(24 * 365 * 30);

/// The longest rest before what was refused is sent again.
pub(crate) const LONGEST_REST: Duration = Duration::from_millis(100);

/// Rests before what was refused is sent again, each longer than the one before. How often the last master refused it
/// says nothing of the next one, which is about to be opened: it is in less than the first rest.
#[derive(Debug, Default)]
pub(crate) struct Rests {
    under_way: Option<(NodeAddr, ExponentialBackoff)>,
}

impl Rests {
    /// How long to rest now that this node refused it.
    pub(crate) fn after(&mut self, node: &NodeAddr) -> Duration {
        self.under_way.take_if(|(before, _)| before != node);
        let first = || (node.clone(), growing(Duration::from_millis(2), LONGEST_REST));
        self.under_way.get_or_insert_with(first).1.next().unwrap_or(LONGEST_REST)
    }
}

/// Pauses from the shortest to the longest, each twice the one before, and some chance in each; without an end.
pub(crate) fn growing(shortest: Duration, longest: Duration) -> ExponentialBackoff {
    ExponentialBuilder::default()
        .with_min_delay(shortest)
        .with_max_delay(longest)
        .with_jitter()
        .without_max_times()
        .build()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_refuses_for_the_first_time_is_asked_again_soon() {
        let soon = Duration::from_millis(2)..Duration::from_millis(5);
        let [old, new] = ["a:1", "b:2"].map(|node| node.parse::<NodeAddr>().expect("an address"));
        let mut rests = Rests::default();
        assert!(soon.contains(&rests.after(&old)));
        assert!((0..4).map(|_| rests.after(&old)).all(|rest| rest >= Duration::from_millis(4)), "it grows");
        assert!(soon.contains(&rests.after(&new)), "another master begins anew");
        assert!(rests.after(&new) >= Duration::from_millis(4));
    }
}
