//! What a node that came back holds beyond the point where its history was left, and what becomes of that. It counts
//! and names; it commands nobody, and nothing is discarded by it.

use std::fmt;

use crate::names::{Epoch, NodeAddr, RunId};
use crate::policy::OnDivergence;
use crate::position::Lineages;
use crate::view::Evidence;

/// What a node holds that the published master does not.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Divergence {
    /// The life of the node's process in which that was read.
    pub run: RunId,
    /// The epoch whose history it went on with when the group had left it; `None` where its history is not recorded.
    pub left: Option<Epoch>,
    /// How many bytes it holds beyond that point: writes, and what a master says by itself (pings, keys that expired).
    /// `None` where its history is not recorded, or its offset stood still as it wrote: nobody knows what of its keys
    /// the group has.
    pub bytes: Option<u64>,
    /// What becomes of them.
    pub keeping: Keeping,
}

/// What becomes of what a node holds beyond.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Keeping {
    /// The node is filled with a copy of the master's data, and they are gone with that.
    Discarded,
    /// They are to be saved under this name on the node, which follows nobody until that is done.
    Due {
        /// The file's name, without its directory.
        file: String,
    },
    /// They are saved on the node, in this file.
    Saved {
        /// Its path on the node's host.
        file: String,
    },
    /// They could not be saved, for this reason: the node follows nobody until they are, or an operator gives them up.
    Held {
        /// The name under which they were to be saved.
        file: String,
        /// Why not: a clause for people.
        why: String,
    },
}

impl Keeping {
    /// Whether the node has to stay as it is.
    pub fn holds(&self) -> bool {
        matches!(self, Self::Due { .. } | Self::Held { .. })
    }
}

impl Divergence {
    /// What `node`, which said this when it was frozen, holds beyond the published master; `None` where it is nothing.
    pub(crate) fn of(
        node: &NodeAddr,
        said: &Evidence,
        lineages: &Lineages,
        on_divergence: OnDivergence,
    ) -> Option<Self> {
        // Of a replica's own name is what it wrote as a master; under a recorded one it only took in.
        let wrote = said.role.is_master() || !lineages.names(&said.history.replid);
        let (left, bytes) = match lineages.beyond(&said.history) {
            Some((_, 0)) if said.uncounted && wrote && said.keys > 0 => (None, None),
            Some((_, 0)) => return None,
            Some((left, bytes)) => (left, Some(bytes)),
            // A node that holds nothing loses nothing.
            None if said.keys == 0 => return None,
            None => (None, None),
        };
        let keeping = match on_divergence {
            OnDivergence::Discard => Keeping::Discarded,
            OnDivergence::Save => Keeping::Due { file: file(node, said, left) },
        };
        Some(Self { run: said.run.clone(), left, bytes, keeping })
    }

    /// Whether both tell of the same data.
    pub(crate) fn is_same_data(&self, other: &Self) -> bool {
        (&self.run, self.left, self.bytes) == (&other.run, other.left, other.bytes)
    }
}

/// A name that no other divergence of any node of the host has.
fn file(node: &NodeAddr, said: &Evidence, left: Option<Epoch>) -> String {
    let epoch = left.map(|epoch| format!("epoch{epoch}-")).unwrap_or_default();
    let run: String = said.run.0.chars().filter(char::is_ascii_alphanumeric).take(8).collect();
    format!("redis-failover-diverged-{epoch}{}-{run}-{}.rdb", node.port(), said.history.offset)
}

impl fmt::Display for Divergence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.bytes, self.left) {
            (Some(bytes), Some(left)) => {
                write!(f, "{bytes} bytes beyond where the history of epoch {left} was left")?;
            }
            (Some(bytes), None) => write!(f, "{bytes} bytes beyond where the first history was left")?,
            (None, _) => f.write_str("keys of a history that is not in the record")?,
        }
        match &self.keeping {
            Keeping::Discarded => f.write_str(", discarded"),
            Keeping::Due { file } => write!(f, ", to be saved as {file}"),
            Keeping::Saved { file } => write!(f, ", saved as {file}"),
            Keeping::Held { why, .. } => write!(f, ", not saved: {why}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::ReplId;
    use crate::position::{History, Lineage};
    use crate::view::{Link, Role};

    fn said(replid: &str, offset: u64, keys: u64) -> Evidence {
        Evidence {
            run: RunId("0123456789abcdef".into()),
            role: Role::Master { replicas: 0 },
            history: History { replid: ReplId(replid.into()), offset, previous: None },
            priority: 100,
            uncounted: false,
            keys,
            saved: None,
            min_replicas_to_write: Some(0),
            version: None,
            appends: None,
        }
    }

    fn of(said: &Evidence, on_divergence: OnDivergence) -> Option<Divergence> {
        let lineage = |replid: &str, epoch, start, parent: Option<&str>| Lineage {
            replid: ReplId(replid.into()),
            epoch: Epoch(epoch),
            start,
            parent: parent.map(|it| ReplId(it.into())),
        };
        let lineages = Lineages::new(vec![lineage("a", 1, 0, None), lineage("b", 2, 100, Some("a"))]);
        Divergence::of(&NodeAddr::new("h", 6380), said, &lineages, on_divergence)
    }

    #[test]
    fn who_holds_nothing_beyond_has_not_diverged() {
        assert_eq!(of(&said("a", 100, 5), OnDivergence::Save), None);
        assert_eq!(of(&said("x", 0, 0), OnDivergence::Save), None, "it holds nothing at all");
    }

    #[test]
    fn whose_offset_stood_still_may_hold_anything_beyond_if_it_was_a_master() {
        let by_itself = |role, replid: &str, previous: Option<&str>| {
            let previous = previous.map(|it| (ReplId(it.into()), 101));
            let history = History { replid: ReplId(replid.into()), offset: 100, previous };
            of(&Evidence { role, history, uncounted: true, ..said(replid, 100, 5) }, OnDivergence::Discard)
        };
        let master = || Role::Master { replicas: 0 };
        let replica = || Role::Replica { of: None, link: Link::Down { seconds: 0 }, received: 100 };
        let held = by_itself(master(), "x", Some("a")).expect("it was made a master by hand");
        assert_eq!((held.left, held.bytes), (None, None));
        assert!(by_itself(replica(), "x", Some("a")).is_some(), "and frozen since");
        assert!(by_itself(master(), "b", None).is_some(), "nobody followed it while it led");
        assert_eq!(by_itself(replica(), "a", None), None, "it was only started anew");
        let counted =
            History { replid: ReplId("x".into()), offset: 100, previous: Some((ReplId("a".into()), 101)) };
        assert_eq!(of(&Evidence { history: counted, ..said("x", 100, 5) }, OnDivergence::Discard), None);
    }

    #[test]
    fn it_is_counted_and_kept_as_the_policy_says() {
        let discarded = of(&said("a", 107, 5), OnDivergence::Discard).expect("it went on for 7 bytes");
        assert_eq!((discarded.left, discarded.bytes), (Some(Epoch(1)), Some(7)));
        assert_eq!(discarded.keeping, Keeping::Discarded);
        let due = of(&said("a", 107, 5), OnDivergence::Save).expect("the same");
        let file = "redis-failover-diverged-epoch1-6380-01234567-107.rdb".to_owned();
        assert_eq!(due.keeping, Keeping::Due { file });
        assert!(due.keeping.holds() && !discarded.keeping.holds());
        let unknown = of(&said("x", 9, 1), OnDivergence::Save).expect("nobody knows what it holds");
        assert_eq!((unknown.left, unknown.bytes), (None, None));
        assert!(
            matches!(unknown.keeping, Keeping::Due { file } if file == "redis-failover-diverged-6380-01234567-9.rdb")
        );
    }
}
