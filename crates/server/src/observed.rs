//! What this process itself last saw of a group's nodes, for those who are asked about it. Nothing is decided by it.

use std::collections::BTreeMap;
use std::time::Instant;

use redis_failover_core::{NodeAddr, Role};
use tokio::sync::watch;

use crate::info::Info;

/// What was seen of each node.
pub(crate) type Observed = BTreeMap<NodeAddr, Seen>;

/// What was last seen of one node.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    /// Whether the connection to it broke, or none can be made, and no other one stands.
    pub(crate) lost: bool,
    /// Since when a question waits for its answer.
    pub(crate) waiting: Option<Instant>,
    /// When it last answered anything.
    pub(crate) answered: Option<Instant>,
    /// When it last gave an answer that a client could use.
    pub(crate) served: Option<Instant>,
    /// What it last told in INFO, and when: its section `replication`, and `server` where that was asked for lately.
    pub(crate) info: Option<(Info, Instant)>,
    /// What it last said it is, with its master in the group's spelling, and since when it has said master or replica.
    pub(crate) role: Option<(Role, Instant)>,
}

/// Where a prober shows what it sees.
#[derive(Clone, Debug, Default)]
pub(crate) struct Showcase(watch::Sender<Observed>);

impl Showcase {
    /// For those who look.
    pub(crate) fn look(&self) -> watch::Receiver<Observed> {
        self.0.subscribe()
    }

    /// The connection to the node was lost, or one stands or is refused for who we are: then it is not lost.
    pub(crate) fn lost(&self, node: &NodeAddr, lost: bool) {
        self.change(node, |seen| seen.lost = lost);
    }

    /// A question was sent to the node.
    pub(crate) fn asks(&self, node: &NodeAddr) {
        self.change(node, |seen| {
            seen.waiting.get_or_insert_with(Instant::now);
        });
    }

    /// It answered; `serves` where a client could use the answer.
    pub(crate) fn answered(&self, node: &NodeAddr, serves: bool) {
        let now = Instant::now();
        self.change(node, |seen| {
            seen.waiting = None;
            seen.answered = Some(now);
            seen.served = if serves { Some(now) } else { seen.served };
        });
    }

    /// It told of itself.
    pub(crate) fn told(&self, node: &NodeAddr, info: Info, role: Option<Role>) {
        let now = Instant::now();
        self.change(node, |seen| {
            seen.info = Some((info, now));
            let Some(role) = role else { return };
            let before = seen.role.as_ref().filter(|(before, _)| before.is_master() == role.is_master());
            let since = before.map_or(now, |(_, since)| *since);
            seen.role = Some((role, since));
        });
    }

    /// Only these nodes are watched from now on.
    pub(crate) fn keep(&self, nodes: &[NodeAddr]) {
        self.0.send_if_modified(|observed| {
            let before = observed.len();
            observed.retain(|node, _| nodes.contains(node));
            observed.len() != before
        });
    }

    fn change(&self, node: &NodeAddr, change: impl FnOnce(&mut Seen)) {
        self.0.send_modify(|observed| change(observed.entry(node.clone()).or_default()));
    }
}
