//! Who may not take over while the group is well, as far as the record tells. It asks nobody: of a node's own
//! `replica-priority`, and of what it holds, the record says nothing.

use std::fmt;

use redis_failover_core::{NodeAddr, Topology};

use super::place::Place;

/// Why a node may not take over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bar {
    /// An operator has taken it out of service.
    Drained,
    /// An operator has said that it never leads.
    Never,
    /// Nobody listed it.
    OnlyWatched,
    /// The master went on without it.
    LeftBehind,
}

impl Bar {
    /// What keeps `node` from taking over.
    pub(super) fn of(record: &Topology, node: &NodeAddr) -> Option<Self> {
        let ordered = record.orders.get(node).and_then(|orders| orders.priority);
        let bars = [
            (record.is_drained(node), Self::Drained),
            (ordered == Some(0), Self::Never),
            (record.only_watches(node), Self::OnlyWatched),
            (record.left.contains(node), Self::LeftBehind),
        ];
        bars.into_iter().find(|(applies, _)| *applies).map(|(_, bar)| bar)
    }

    /// What lets `node` take over again: a command as it is typed, or a sentence.
    pub(super) fn lifted(self, place: &Place, node: &NodeAddr) -> String {
        let node = node.to_string();
        match self {
            Self::Drained => place.command("node drain --undo", &[&node]),
            Self::Never => place.command("node no-promote --undo", &[&node]),
            Self::OnlyWatched => place.command("node add", &[&node]),
            Self::LeftBehind => format!("look at {node}: it may take over as soon as it follows again"),
        }
    }
}

impl fmt::Display for Bar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Drained => "is drained",
            Self::Never => "is never to lead",
            Self::OnlyWatched => "is only watched",
            Self::LeftBehind => "was left behind",
        })
    }
}

/// The nodes but the master.
pub(super) fn others(record: &Topology) -> impl Iterator<Item = &NodeAddr> {
    record.nodes().filter(|node| **node != record.master)
}

/// What keeps each node but the master from taking over, where that holds for all of them; else nothing.
pub(super) fn of_all(record: &Topology) -> Vec<(&NodeAddr, Bar)> {
    let bars: Option<Vec<_>> = others(record).map(|node| Some((node, Bar::of(record, node)?))).collect();
    bars.unwrap_or_default()
}

/// All of that as words.
pub(super) fn told(bars: &[(&NodeAddr, Bar)]) -> String {
    bars.iter().map(|(node, bar)| format!("{node} {bar}")).collect::<Vec<_>>().join(", ")
}
