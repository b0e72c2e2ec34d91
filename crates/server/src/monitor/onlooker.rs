//! Looks at the nodes of a group that this process does not monitor, so that it can say how they answer. It votes on
//! nothing and tells nobody but those who ask this process.

use std::time::Duration;

use redis_failover_core::{Found, MonitorId, Policy, Versioned};
use redis_failover_store::{Feed, Sight};
use tokio::sync::mpsc;

use super::clock::Clock;
use super::prober::{Pace, Probed};
use super::probers::{Probers, Probing};
use crate::names::Names;
use crate::observed::Showcase;
use crate::redis_link::Credentials;

/// One group's onlooker.
pub(crate) struct Onlooker {
    /// Who this process is.
    pub(crate) id: MonitorId,
    /// Who we are to Redis.
    pub(crate) credentials: Credentials,
    /// How often INFO's slow sections are read.
    pub(crate) slow_every: Duration,
    /// Where what is seen is shown.
    pub(crate) shown: Showcase,
}

impl Onlooker {
    /// Looks until it is dropped.
    pub(crate) async fn look(self, mut record: Feed<Sight>) {
        let (told, mut inbox) = mpsc::unbounded_channel();
        let Self { id, credentials, slow_every, shown } = self;
        let (names, clock) = (Names::default(), Clock::start());
        let probing = Probing { id, credentials, slow_every, names: names.clone(), clock, told, shown };
        let mut probers = Probers::new(probing, pace(&Policy::default()));
        loop {
            let sight = tokio::select! {
                sight = record.next() => sight,
                // What happened stands in the showcase already.
                Some(Probed { .. }) = inbox.recv() => continue,
            };
            let Some(Ok(Versioned { found: Found::Record(record), .. })) = sight.read else { continue };
            let nodes: Vec<_> = record.nodes().cloned().collect();
            names.watch(nodes.clone());
            probers.pace(pace(&record.policy));
            probers.watch(nodes);
        }
    }
}

/// How fast a group is asked by who decides nothing: as its policy says.
fn pace(policy: &Policy) -> Pace {
    Pace { interval: policy.probe_interval(), patience: policy.down_after() }
}
