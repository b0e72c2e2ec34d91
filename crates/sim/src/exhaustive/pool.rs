//! Keeps each part of the states that wait to be looked into once: such a state is then a handful of numbers.

use std::collections::BTreeMap;
use std::hash::Hash;
use std::sync::Arc;

use redis_failover_core::Versioned;

use super::group::{Group, MONITORS, Monitor, NODES, Node, Rest};
use super::seen::fingerprint;

/// A state, as numbers of parts.
#[derive(Clone, Debug)]
pub(super) struct Packed {
    monitors: [u32; MONITORS],
    nodes: [u32; NODES],
    record: u32,
    rest: Rest,
}

/// The fingerprints of a state's parts.
#[derive(Clone, Debug, Hash)]
pub(super) struct Sketch {
    monitors: [u128; MONITORS],
    nodes: [u128; NODES],
    record: u128,
    rest: Rest,
}

/// All parts of one kind.
#[derive(Debug)]
struct Pool<T> {
    parts: Vec<Option<Part<T>>>,
    numbers: BTreeMap<u128, u32>,
    free: Vec<u32>,
    /// How many there ever were.
    made: usize,
}

#[derive(Debug)]
struct Part<T> {
    value: Arc<T>,
    fingerprint: u128,
    /// How many states have it.
    uses: u32,
}

impl<T: Hash> Pool<T> {
    fn new() -> Self {
        Self { parts: Vec::new(), numbers: BTreeMap::new(), free: Vec::new(), made: 0 }
    }

    fn get(&self, number: u32) -> &Arc<T> {
        // Cannot fail: a part is kept for as long as a state has it.
        self.parts[number as usize].as_ref().map_or_else(|| unreachable!("a part"), |part| &part.value)
    }

    /// The fingerprint of a part that was the `before`-th.
    fn fingerprint(&self, part: &Arc<T>, before: Option<u32>) -> u128 {
        let before = before.and_then(|before| self.parts[before as usize].as_ref());
        let same = before.filter(|before| Arc::ptr_eq(&before.value, part));
        same.map_or_else(|| fingerprint(&**part), |before| before.fingerprint)
    }

    /// Keeps a part for one state more.
    fn keep(&mut self, part: &Arc<T>, fingerprint: u128) -> u32 {
        if let Some(number) = self.numbers.get(&fingerprint) {
            if let Some(part) = &mut self.parts[*number as usize] {
                part.uses += 1;
            }
            return *number;
        }
        self.made += 1;
        let number = self.free.pop().unwrap_or_else(|| {
            self.parts.push(None);
            u32::try_from(self.parts.len() - 1).unwrap_or(u32::MAX)
        });
        self.parts[number as usize] = Some(Part { value: part.clone(), fingerprint, uses: 1 });
        self.numbers.insert(fingerprint, number);
        number
    }

    /// One state less has it.
    fn release(&mut self, number: u32) {
        let slot = &mut self.parts[number as usize];
        let Some(part) = slot else { return };
        part.uses -= 1;
        if part.uses == 0 {
            self.numbers.remove(&part.fingerprint);
            *slot = None;
            self.free.push(number);
        }
    }
}

/// All parts.
#[derive(Debug)]
pub(super) struct Pools {
    monitors: Pool<Monitor>,
    nodes: Pool<Node>,
    records: Pool<Versioned>,
}

impl Pools {
    /// None yet.
    pub(super) fn new() -> Self {
        Self { monitors: Pool::new(), nodes: Pool::new(), records: Pool::new() }
    }

    /// How many monitors, nodes and records there were.
    pub(super) fn made(&self) -> [usize; 3] {
        [self.monitors.made, self.nodes.made, self.records.made]
    }

    /// The state in full.
    pub(super) fn unpack(&self, packed: &Packed) -> Group {
        Group {
            monitors: packed.monitors.map(|number| self.monitors.get(number).clone()),
            nodes: packed.nodes.map(|number| self.nodes.get(number).clone()),
            record: self.records.get(packed.record).clone(),
            rest: packed.rest.clone(),
        }
    }

    /// What tells the state from all others; `before` is the one that it came from, and is still kept.
    pub(super) fn sketch(&self, group: &Group, before: Option<&Packed>) -> Sketch {
        let monitor = |it: usize| {
            self.monitors.fingerprint(&group.monitors[it], before.map(|before| before.monitors[it]))
        };
        let node =
            |it: usize| self.nodes.fingerprint(&group.nodes[it], before.map(|before| before.nodes[it]));
        Sketch {
            monitors: std::array::from_fn(monitor),
            nodes: std::array::from_fn(node),
            record: self.records.fingerprint(&group.record, before.map(|before| before.record)),
            rest: group.rest.clone(),
        }
    }

    /// Keeps the state.
    pub(super) fn keep(&mut self, group: &Group, sketch: Sketch) -> Packed {
        let monitor = |it: usize| self.monitors.keep(&group.monitors[it], sketch.monitors[it]);
        let monitors = std::array::from_fn(monitor);
        let node = |it: usize| self.nodes.keep(&group.nodes[it], sketch.nodes[it]);
        let nodes = std::array::from_fn(node);
        let record = self.records.keep(&group.record, sketch.record);
        Packed { monitors, nodes, record, rest: sketch.rest }
    }

    /// Keeps the state no longer.
    pub(super) fn release(&mut self, packed: &Packed) {
        packed.monitors.iter().for_each(|number| self.monitors.release(*number));
        packed.nodes.iter().for_each(|number| self.nodes.release(*number));
        self.records.release(packed.record);
    }
}
