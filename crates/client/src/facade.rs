//! The counted figures for whoever collects those of the whole program, through the crate [`metrics`]: once a second
//! what was added since. So clients of one group add up, and a command pays nothing for it.

use std::sync::Arc;
use std::time::Duration;

use metrics::{Label, counter, gauge, histogram};

use crate::client::Inner;
use crate::metrics::{Metrics, NodeMetrics};

/// How often they are handed over.
const PERIOD: Duration = Duration::from_secs(1);

/// Hands the figures over until it is dropped.
pub(crate) async fn report(inner: Arc<Inner>) {
    describe();
    let mut reporter = Reporter { group: vec![group(&inner.group)], told: Metrics::default(), inner };
    let mut period = tokio::time::interval(PERIOD);
    loop {
        period.tick().await;
        reporter.tell(reporter.inner.metrics());
    }
}

/// The time that something has waited for a node.
pub(crate) fn waited(name: &str, time: Duration) {
    histogram!("redis_failover_client_wait_seconds", vec![group(name)]).record(time);
}

/// A time without a master to write to, when it is over.
pub(crate) fn gap(name: &str, time: Duration) {
    histogram!("redis_failover_client_without_master_seconds", vec![group(name)]).record(time);
}

fn group(name: &str) -> Label {
    Label::new("group", name.to_owned())
}

struct Reporter {
    group: Vec<Label>,
    /// What was handed over before.
    told: Metrics,
    inner: Arc<Inner>,
}

impl Reporter {
    fn tell(&mut self, now: Metrics) {
        let (told, group) = (&self.told, &self.group);
        let add = |name: &'static str, now: u64, told: u64| {
            counter!(name, group.clone()).increment(now.saturating_sub(told));
        };
        move_gauge("redis_failover_client_waiting", group.clone(), number(now.waiting), number(told.waiting));
        add("redis_failover_client_repeats_total", now.repeats, told.repeats);
        add("redis_failover_client_not_executed_total", now.not_executed, told.not_executed);
        add("redis_failover_client_unknown_total", now.unknown, told.unknown);
        add("redis_failover_client_master_changes_total", now.changes, told.changes);
        let gone = told.nodes.keys().filter(|addr| !now.nodes.contains_key(addr));
        for addr in now.nodes.keys().chain(gone) {
            let mut labels = group.clone();
            labels.push(Label::new("node", addr.to_string()));
            tell_node(labels, now.nodes.get(addr), told.nodes.get(addr));
        }
        self.told = now;
    }
}

impl Drop for Reporter {
    fn drop(&mut self) {
        // What was counted since the last time counts. How it stands must not stay in the sums of those that live.
        let mut ended = Metrics { waiting: 0, ..self.inner.metrics() };
        ended.nodes.values_mut().for_each(|node| node.connected = false);
        self.tell(ended);
    }
}

/// A node that left, or came back, counts anew.
fn tell_node(labels: Vec<Label>, now: Option<&NodeMetrics>, told: Option<&NodeMetrics>) {
    let none = NodeMetrics::default();
    let (now, told) = (now.unwrap_or(&none), told.unwrap_or(&none));
    let added = |now: u64, told: u64| if now < told { now } else { now - told };
    let connected = |node: &NodeMetrics| if node.connected { 1.0 } else { 0.0 };
    counter!("redis_failover_client_commands_total", labels.clone())
        .increment(added(now.commands, told.commands));
    counter!("redis_failover_client_connects_total", labels.clone())
        .increment(added(now.connects, told.connects));
    move_gauge("redis_failover_client_connected", labels, connected(now), connected(told));
}

/// Moves a gauge that several clients may share.
fn move_gauge(name: &'static str, labels: Vec<Label>, now: f64, told: f64) {
    let gauge = gauge!(name, labels);
    if now >= told { gauge.increment(now - told) } else { gauge.decrement(told - now) }
}

fn number(count: usize) -> f64 {
    u32::try_from(count).map_or(f64::INFINITY, f64::from)
}

fn describe() {
    use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};
    describe_gauge!("redis_failover_client_waiting", "Commands that wait for a node now.");
    describe_counter!("redis_failover_client_repeats_total", "Commands that were sent again.");
    describe_counter!(
        "redis_failover_client_not_executed_total",
        "Commands that failed and were not executed."
    );
    describe_counter!("redis_failover_client_unknown_total", "Commands that failed with unknown outcome.");
    describe_counter!("redis_failover_client_master_changes_total", "Masters published after the first.");
    describe_counter!("redis_failover_client_commands_total", "Commands that were sent to a node.");
    describe_counter!("redis_failover_client_connects_total", "Connections that were made to a node.");
    describe_gauge!("redis_failover_client_connected", "Clients that are connected to a node.");
    describe_histogram!(
        "redis_failover_client_wait_seconds",
        Unit::Seconds,
        "How long commands waited for a node."
    );
    describe_histogram!(
        "redis_failover_client_without_master_seconds",
        Unit::Seconds,
        "How long there was no master to write to."
    );
}
