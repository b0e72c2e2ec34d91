//! What changed between two looks at the nodes: nearly all of a journal is this. It loses nothing.

use std::collections::BTreeMap;

use redis_failover_core::{Ballot, Instant, NodeAddr, Observation, Role, Sighting};
use serde::{Deserialize, Serialize};

use super::format::since;

/// By what one observation differs from the one before: for each node that differs the present value, or none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Change {
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    ballots: BTreeMap<NodeAddr, Option<Ballot>>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    sightings: BTreeMap<NodeAddr, Option<Seen>>,
    /// Since when there is trouble: how many milliseconds before now.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    troubles: BTreeMap<NodeAddr, Option<i64>>,
}

/// A sighting.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
enum Seen {
    /// As the one before, but asked so many milliseconds before now, and by how much its offset and what it received
    /// grew.
    Later(i64, i64, i64),
    /// Another.
    Whole(Box<Sighting>),
}

impl Change {
    /// What makes `new`, seen `now`, of `old`.
    pub(super) fn between(old: &Observation, new: &Observation, now: Instant) -> Self {
        Self {
            ballots: changed(&old.ballots, &new.ballots, |_, ballot| *ballot),
            sightings: changed(&old.sightings, &new.sightings, |old, new| Seen::of(old, new, now)),
            troubles: changed(&old.troubles, &new.troubles, |_, trouble| since(now, *trouble)),
        }
    }

    /// Makes of the old observation the new one.
    pub(super) fn apply(self, seen: &mut Observation, now: Instant) {
        for (node, ballot) in self.ballots {
            set(&mut seen.ballots, node, ballot);
        }
        for (node, sighting) in self.sightings {
            let sighting = sighting.and_then(|it| it.sighting(seen.sightings.get(&node), now));
            set(&mut seen.sightings, node, sighting);
        }
        for (node, ago) in self.troubles {
            set(&mut seen.troubles, node, ago.map(|ago| before(now, ago)));
        }
    }
}

impl Seen {
    fn of(old: Option<&Sighting>, new: &Sighting, now: Instant) -> Self {
        let grown = |old: &Sighting| {
            let offset = new.history.offset.wrapping_sub(old.history.offset).cast_signed();
            let received = received(new).wrapping_sub(received(old)).cast_signed();
            let later = Self::Later(since(now, new.asked), offset, received);
            // Not guessed: where more than this is different, this is not it.
            (later.clone().sighting(Some(old), now).as_ref() == Some(new)).then_some(later)
        };
        old.and_then(grown).unwrap_or_else(|| Self::Whole(Box::new(new.clone())))
    }

    /// The sighting; `None` where it is said to be like one before and there is none.
    fn sighting(self, old: Option<&Sighting>, now: Instant) -> Option<Sighting> {
        let (ago, grown, more) = match self {
            Self::Whole(sighting) => return Some(*sighting),
            Self::Later(ago, grown, more) => (ago, grown, more),
        };
        let mut sighting = old?.clone();
        sighting.asked = before(now, ago);
        sighting.history.offset = sighting.history.offset.wrapping_add_signed(grown);
        if let Role::Replica { received, .. } = &mut sighting.role {
            *received = received.wrapping_add_signed(more);
        }
        Some(sighting)
    }
}

fn received(sighting: &Sighting) -> u64 {
    match sighting.role {
        Role::Master { .. } => 0,
        Role::Replica { received, .. } => received,
    }
}

fn before(now: Instant, ago: i64) -> Instant {
    Instant::from_millis(now.as_millis().wrapping_sub(ago.cast_unsigned()))
}

fn changed<V: PartialEq, W>(
    old: &BTreeMap<NodeAddr, V>,
    new: &BTreeMap<NodeAddr, V>,
    write: impl Fn(Option<&V>, &V) -> W,
) -> BTreeMap<NodeAddr, Option<W>> {
    let gone = old.keys().filter(|node| !new.contains_key(*node)).map(|node| (node.clone(), None));
    let present = new.iter().filter(|(node, value)| old.get(*node) != Some(*value));
    gone.chain(present.map(|(node, value)| (node.clone(), Some(write(old.get(node), value))))).collect()
}

fn set<V>(values: &mut BTreeMap<NodeAddr, V>, node: NodeAddr, value: Option<V>) {
    match value {
        Some(value) => drop(values.insert(node, value)),
        None => drop(values.remove(&node)),
    }
}
