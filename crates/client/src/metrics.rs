//! What a client counts, and the snapshot of it. Counting never waits, and decides nothing.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use redis_failover_core::NodeAddr;

use crate::client::Inner;

/// What a client has done since it was made, and how it stands: one moment's figures. See [`crate::Client::metrics`].
///
/// Counts only grow. A client of another group counts for itself; clones are one client.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Metrics {
    /// How many commands and pipelines wait for a node now. They are those that `queue_limit` limits.
    pub waiting: usize,
    /// How many have had to wait for a node.
    pub waits: u64,
    /// How long all of them together have waited. Those that still do are not in it.
    pub waited: Duration,
    /// How often something was sent again because a node had refused it, or because it may be executed twice.
    pub repeats: u64,
    /// How many ended with an error that is [`crate::Outcome::NotExecuted`]. Refusals of single commands of a pipeline
    /// and Redis's answers to commands (`WRONGTYPE`, `NOPERM`) are not counted.
    pub not_executed: u64,
    /// How many ended with an error that is [`crate::Outcome::Unknown`].
    pub unknown: u64,
    /// How many masters were published after the first.
    pub changes: u64,
    /// How long there was no master to write to, the present time without one included; from when there first was one.
    pub without_master: Duration,
    /// The nodes of the group, by their addresses.
    pub nodes: BTreeMap<NodeAddr, NodeMetrics>,
}

/// What a client has done with one node, since the node belongs to the group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct NodeMetrics {
    /// Whether there is a connection to it on which it has said what it is.
    pub connected: bool,
    /// How many such connections there have been.
    pub connects: u64,
    /// How many commands and pipelines were sent to it, each attempt counted.
    pub commands: u64,
}

/// What is counted while a client lives.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) repeats: AtomicU64,
    pub(crate) not_executed: AtomicU64,
    pub(crate) unknown: AtomicU64,
    pub(crate) changes: AtomicU64,
    waits: AtomicU64,
    waited: AtomicU64,
    gaps: Mutex<Gaps>,
    nodes: Mutex<BTreeMap<NodeAddr, Arc<NodeCounters>>>,
}

/// The times without a master.
#[derive(Debug, Default)]
struct Gaps {
    ended: Duration,
    /// Since when there is none.
    since: Option<Instant>,
    /// Whether there ever was one.
    served: bool,
}

/// What is counted of one node.
#[derive(Debug, Default)]
pub(crate) struct NodeCounters {
    pub(crate) connected: AtomicBool,
    pub(crate) connects: AtomicU64,
    pub(crate) commands: AtomicU64,
}

/// Adds one.
pub(crate) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

impl Counters {
    /// The counters of a node; the same for as long as it is not forgotten.
    pub(crate) fn node(&self, addr: &NodeAddr) -> Arc<NodeCounters> {
        Arc::clone(whole(&self.nodes).entry(addr.clone()).or_default())
    }

    /// Forgets the nodes that are not in the group any more.
    pub(crate) fn keep_nodes(&self, belongs: impl Fn(&NodeAddr) -> bool) {
        whole(&self.nodes).retain(|addr, _| belongs(addr));
    }

    /// Something has waited so long for a node.
    pub(crate) fn waited(&self, time: Duration) {
        count(&self.waits);
        let time_in_nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.waited.fetch_add(time_in_nanos, Ordering::Relaxed);
    }

    /// Whether there is a master to write to from now on. Yields the length of a time without one that ends so.
    pub(crate) fn serves(&self, served: bool, now: Instant) -> Option<Duration> {
        let mut gaps = whole(&self.gaps);
        if !served {
            if gaps.served {
                gaps.since.get_or_insert(now);
            }
            return None;
        }
        gaps.served = true;
        let gap = now.saturating_duration_since(gaps.since.take()?);
        gaps.ended += gap;
        Some(gap)
    }

    /// The figures now.
    pub(crate) fn snapshot(&self, waiting: usize, now: Instant) -> Metrics {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let gaps = whole(&self.gaps);
        let present = gaps.since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since));
        let node = |counters: &NodeCounters| NodeMetrics {
            connected: counters.connected.load(Ordering::Relaxed),
            connects: read(&counters.connects),
            commands: read(&counters.commands),
        };
        Metrics {
            waiting,
            waits: read(&self.waits),
            waited: Duration::from_nanos(read(&self.waited)),
            repeats: read(&self.repeats),
            not_executed: read(&self.not_executed),
            unknown: read(&self.unknown),
            changes: read(&self.changes),
            without_master: gaps.ended + present,
            nodes: whole(&self.nodes).iter().map(|(addr, it)| (addr.clone(), node(it))).collect(),
        }
    }
}

impl Inner {
    /// Something has waited so long for a node.
    pub(crate) fn waited(&self, time: Duration) {
        self.counters.waited(time);
        #[cfg(feature = "metrics")]
        crate::facade::waited(&self.group, time);
    }

    /// Whether there is a master to write to from now on.
    pub(crate) fn serves(&self, served: bool) {
        if let Some(gap) = self.counters.serves(served, Instant::now()) {
            tracing::info!(?gap, "there is a master to write to again");
            #[cfg(feature = "metrics")]
            crate::facade::gap(&self.group, gap);
        }
    }

    /// The figures now.
    pub(crate) fn metrics(&self) -> Metrics {
        self.counters.snapshot(self.queue.length(), Instant::now())
    }
}

/// Nothing here is ever half done.
fn whole<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_without_a_master_counts_from_the_first_one_on() {
        let counters = Counters::default();
        let begin = Instant::now();
        let at = |seconds| begin + Duration::from_secs(seconds);
        let without = |seconds| counters.snapshot(0, at(seconds)).without_master.as_secs();
        assert_eq!(counters.serves(false, at(0)), None);
        assert_eq!(counters.serves(true, at(5)), None);
        assert_eq!(without(6), 0);
        assert_eq!(counters.serves(false, at(10)), None);
        assert_eq!(counters.serves(false, at(12)), None);
        assert_eq!(without(13), 3, "the present time counts");
        assert_eq!(counters.serves(true, at(14)), Some(Duration::from_secs(4)));
        assert_eq!(without(20), 4);
        counters.serves(false, at(20));
        assert_eq!(without(21), 5);
    }

    #[test]
    fn a_node_keeps_its_counters_until_it_leaves() {
        let counters = Counters::default();
        let (a, b): (NodeAddr, NodeAddr) = ("a:1".parse().unwrap(), "b:2".parse().unwrap());
        count(&counters.node(&a).commands);
        count(&counters.node(&a).commands);
        count(&counters.node(&b).connects);
        let snapshot = counters.snapshot(3, Instant::now());
        assert_eq!((snapshot.waiting, snapshot.nodes[&a].commands, snapshot.nodes[&b].connects), (3, 2, 1));
        counters.keep_nodes(|addr| *addr == b);
        assert_eq!(counters.snapshot(0, Instant::now()).nodes.into_keys().collect::<Vec<_>>(), [b]);
    }
}
