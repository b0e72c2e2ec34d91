//! What passes between the nodes. It knows nothing of monitors.

use std::collections::VecDeque;
use std::sync::Arc;

use super::group::{Group, NODES, Node, Wire, address, index};
use super::moves::Memory;
use crate::redis::{LinkId, Persistence, Resync, Upheaval, Writes};

impl Group {
    /// One node, to be changed.
    pub(super) fn node(&mut self, node: usize) -> &mut Node {
        Arc::make_mut(&mut self.nodes[node])
    }

    /// The replica asks its master to go on.
    pub(super) fn connect(&mut self, node: usize) {
        let Some(from) = self.nodes[node].server.master().and_then(index) else { return };
        let (replid, offset) = self.nodes[node].server.wants();
        let answer = self.node(from).server.psync(link(node), address(node), Some(&replid), offset);
        let wire = match answer {
            Resync::NoMasterLink => return,
            Resync::Partial { replid, entries } => {
                let upheaval = self.node(node).server.continue_with(replid);
                self.node(from).server.acknowledge(link(node), offset);
                self.shake(node, upheaval);
                Wire { from, copy: None, entries: entries.into() }
            }
            Resync::Full => {
                self.node(node).server.begin_copy();
                let copy = self.nodes[from].server.copy();
                self.notice_race(node, from, &copy.writes, false);
                Wire { from, copy: Some(copy), entries: VecDeque::new() }
            }
        };
        self.node(node).inbound = Some(wire);
    }

    /// The replica takes in the next of what was sent.
    pub(super) fn receive(&mut self, node: usize) {
        let it = self.node(node);
        let Some(wire) = &mut it.inbound else { return };
        let from = wire.from;
        if let Some(copy) = wire.copy.take() {
            self.notice_race(node, from, &copy.writes, true);
            let upheaval = self.node(node).server.replace_with(copy);
            self.shake(node, upheaval);
        } else if let Some(entry) = wire.entries.pop_front() {
            it.server.apply(entry);
            self.pass_on(node);
        }
        let offset = self.nodes[node].server.offset();
        self.node(from).server.acknowledge(link(node), offset);
    }

    /// A replica that holds what another lacks is filled by that one, which answers at the recorded master's address in
    /// another life, before anybody froze them.
    fn notice_race(&mut self, node: usize, from: usize, writes: &Writes, lost: bool) {
        let Some(record) = self.topology() else { return };
        let restarted = record.master == address(from)
            && record.master_run.as_ref().is_some_and(|run| *run != self.nodes[from].server.run());
        if restarted && self.nodes[node].server.writes.without(writes).next().is_some() {
            self.rest.past.race_begun = true;
            self.rest.past.race_lost |= lost;
        }
    }

    /// What was added to a node's stream goes to its replicas.
    pub(super) fn pass_on(&mut self, node: usize) {
        let entries = self.node(node).server.take_stream();
        for replica in (0..NODES).filter(|_| !entries.is_empty()) {
            if self.nodes[replica].inbound.as_ref().is_some_and(|wire| wire.from == node)
                && let Some(wire) = &mut self.node(replica).inbound
            {
                wire.entries.extend(&entries);
            }
        }
    }

    /// Closes the connections that a command closes.
    pub(super) fn shake(&mut self, node: usize, upheaval: Upheaval) {
        if upheaval.master {
            self.cut(node);
        }
        if upheaval.replicas {
            self.cut_replicas(node);
        }
    }

    fn cut_replicas(&mut self, node: usize) {
        for replica in 0..NODES {
            if self.nodes[replica].inbound.as_ref().is_some_and(|wire| wire.from == node) {
                self.cut(replica);
            }
        }
    }

    /// Closes the connection of a replica to its master; what was under way is lost.
    fn cut(&mut self, node: usize) {
        self.rest.stalled[node] = false;
        let Some(wire) = self.node(node).inbound.take() else { return };
        self.node(wire.from).server.detach(link(node));
        self.node(node).server.lose_master();
    }

    /// The node's process dies: its connections close with it.
    pub(super) fn die(&mut self, node: usize) {
        self.cut(node);
        self.cut_replicas(node);
        self.node(node).alive = false;
    }

    /// The node is started again.
    pub(super) fn restart(&mut self, node: usize, memory: Memory) {
        let it = self.node(node);
        match memory {
            Memory::Log => it.server.persistence = Persistence::Log,
            Memory::Saved => it.server.save(),
            Memory::Older => {}
            Memory::Nothing => it.server.snapshot = None,
        }
        it.server.restart();
        it.server.persistence = Persistence::Snapshots;
        it.alive = true;
    }

    /// Whether every node that lives holds all that was acknowledged, and nothing is under way.
    pub(super) fn is_caught_up(&self) -> bool {
        let acknowledged = self.rest.client.acknowledged;
        let holds = |node: usize| !self.nodes[node].alive || acknowledged & !self.writes(node) == 0;
        (0..NODES).all(holds)
    }
}

/// A replica has one connection to a master at a time: it is called by the replica.
fn link(node: usize) -> LinkId {
    node as LinkId
}
