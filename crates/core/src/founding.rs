//! The first record of a group, made from nothing or from the predecessor's document. It commands no node.

use std::collections::{BTreeMap, BTreeSet};

use crate::names::{Epoch, MonitorId, NodeAddr};
use crate::plan::CLOSED;
use crate::policy::{Fencing, Policy};
use crate::position::{Lineage, Lineages};
use crate::start::{StartRefusal, name_master};
use crate::step::{Purpose, Step};
use crate::topology::{Member, Topology, Version};
use crate::view::{Evidence, Peers};

/// What a first record is made of.
pub(crate) struct Founding<'a> {
    pub(crate) me: &'a MonitorId,
    pub(crate) peers: &'a Peers,
    pub(crate) configured: &'a [NodeAddr],
    pub(crate) policy: &'a Policy,
    /// What the configured nodes said when they were looked at; empty before.
    pub(crate) said: &'a BTreeMap<NodeAddr, Evidence>,
}

impl Founding<'_> {
    /// The predecessor's document as a record of epoch 0: its master and its nodes, spelled as its clients know them.
    ///
    /// Configured nodes that it lacks are left out: they may be the same servers under another name.
    pub(crate) fn adopt(&self, expected: Version, master: &Member, replicas: &[Member]) -> Step {
        let mut members = vec![master.clone()];
        members.extend(replicas.iter().cloned());
        self.commit(expected, Epoch(0), master.addr.clone(), members)
    }

    /// The record with the master that the start rules name.
    pub(crate) fn found(&self, expected: Version) -> Result<Step, StartRefusal> {
        let master = name_master(self.configured, self.said)?;
        // A replica is published as `OK` when it was seen to follow, not before.
        let ok = |addr: &NodeAddr| *addr == master && self.said.contains_key(addr);
        let member = |addr: &NodeAddr| Member { addr: addr.clone(), ok: ok(addr) };
        let members = self.configured.iter().map(member).collect();
        Ok(self.commit(expected, Epoch(1), master, members))
    }

    /// The record of `epoch` with the master that an operator named, going on from `known` where a record is known.
    pub(crate) fn adopted(
        &self,
        epoch: Epoch,
        master: &NodeAddr,
        nodes: Vec<NodeAddr>,
        known: Option<&Topology>,
    ) -> Topology {
        let members = nodes.into_iter().map(|addr| Member { ok: addr == *master, addr }).collect();
        let mut record = self.record(epoch, master.clone(), members);
        if let Some(known) = known {
            record.policy = known.policy.clone();
            record.monitors.extend(known.monitors.iter().cloned());
            record.discovered.clone_from(&known.discovered);
            record.pause.clone_from(&known.pause);
            let own_number = self.said[master].min_replicas_to_write.filter(|number| *number != CLOSED);
            record.min_replicas_to_write = own_number.unwrap_or(known.min_replicas_to_write);
            record.lineages = record.lineages.current().map_or_else(Lineages::default, |now| {
                let history = &self.said[master].history;
                let parent = known.lineages.current().map(|lineage| lineage.replid.clone());
                let renamed = parent.as_ref() != Some(&now.replid);
                let start = if parent.is_some() { history.offset } else { 0 };
                let now = Lineage { start, parent, ..now.clone() };
                if renamed { known.lineages.with(now) } else { known.lineages.clone() }
            });
        }
        record
    }

    fn commit(&self, expected: Version, epoch: Epoch, master: NodeAddr, members: Vec<Member>) -> Step {
        let record = self.record(epoch, master, members);
        Step::Commit { expected, record: Box::new(record), purpose: Purpose::Found, entry: None }
    }

    fn record(&self, epoch: Epoch, master: NodeAddr, members: Vec<Member>) -> Topology {
        let said = self.said.get(&master).filter(|evidence| evidence.role.is_master());
        let lineage = |evidence: &Evidence| Lineage {
            replid: evidence.history.replid.clone(),
            epoch,
            start: 0,
            parent: None,
        };
        let mut monitors: BTreeSet<_> = self.peers.keys().cloned().collect();
        monitors.insert(self.me.clone());
        Topology {
            master_run: said.map(|evidence| evidence.run.clone()),
            members,
            lineages: Lineages::new(said.map(lineage).into_iter().collect()),
            monitors,
            min_replicas_to_write: said
                .and_then(|evidence| evidence.min_replicas_to_write)
                // A 1 is the fence's, from when the group had another record.
                .filter(|it| *it != CLOSED && (*it != 1 || self.policy.fencing() == Fencing::Off))
                .unwrap_or(0),
            ..Topology::new(epoch, master, self.policy.clone())
        }
    }
}
