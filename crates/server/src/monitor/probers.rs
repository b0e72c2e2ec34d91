//! One prober for each node that is to be watched. It judges nothing.

use std::collections::BTreeMap;
use std::time::Duration;

use redis_failover_core::{MonitorId, NodeAddr};
use tokio::sync::{mpsc, watch};
use tokio_util::task::AbortOnDropHandle;

use super::clock::Clock;
use super::prober::{Pace, Probed, Prober};
use crate::names::Names;
use crate::observed::Showcase;
use crate::redis_link::Credentials;

/// What all probers of a group share.
#[derive(Debug)]
pub(super) struct Probing {
    /// Who this process is.
    pub(super) id: MonitorId,
    /// Who we are to Redis.
    pub(super) credentials: Credentials,
    /// How often INFO's slow sections are read.
    pub(super) slow_every: Duration,
    /// What the nodes are called, and what that means.
    pub(super) names: Names,
    /// The clock of what they tell.
    pub(super) clock: Clock,
    /// Where they tell what happens.
    pub(super) told: mpsc::UnboundedSender<Probed>,
    /// Where they show what they see.
    pub(super) shown: Showcase,
}

/// The probers of a group; dropping them ends them.
#[derive(Debug)]
pub(super) struct Probers {
    probing: Probing,
    pace: watch::Sender<Pace>,
    running: BTreeMap<NodeAddr, AbortOnDropHandle<()>>,
}

impl Probers {
    /// No prober yet; each will ask at this pace.
    pub(super) fn new(probing: Probing, pace: Pace) -> Self {
        Self { probing, pace: watch::Sender::new(pace), running: BTreeMap::new() }
    }

    /// Has them show what they see from now on there.
    pub(super) fn show(&mut self, shown: Showcase) {
        self.probing.shown = shown;
    }

    /// Has them ask at this pace.
    pub(super) fn pace(&self, pace: Pace) {
        self.pace.send_if_modified(|present| std::mem::replace(present, pace) != pace);
    }

    /// Whether exactly these nodes are watched.
    pub(super) fn watches(&self, nodes: &[NodeAddr]) -> bool {
        nodes.len() == self.running.len() && nodes.iter().all(|node| self.running.contains_key(node))
    }

    /// Watches exactly these nodes.
    pub(super) fn watch(&mut self, nodes: Vec<NodeAddr>) {
        self.running.retain(|node, _| nodes.contains(node));
        self.probing.shown.keep(&nodes);
        let Self { probing, pace, running } = self;
        for node in nodes {
            running.entry(node).or_insert_with_key(|node| {
                let prober = Prober {
                    node: node.clone(),
                    names: probing.names.clone(),
                    credentials: probing.credentials.clone(),
                    name: format!("redis-failover:{}:probe", probing.id),
                    pace: pace.subscribe(),
                    slow_every: probing.slow_every,
                    clock: probing.clock,
                    told: probing.told.clone(),
                    shown: probing.shown.clone(),
                    said: None,
                };
                AbortOnDropHandle::new(tokio::spawn(prober.run()))
            });
        }
    }

    /// Ends them all.
    pub(super) fn end(&mut self) {
        self.running.clear();
    }
}
