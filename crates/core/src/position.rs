//! Which of two nodes holds more of the group's history. It compares what nodes say; it never asks them.

use crate::names::{Epoch, ReplId};

/// What a node says of its data: Redis's `master_replid`, offset, `master_replid2`, `second_repl_offset`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct History {
    /// The history that the node goes on with.
    pub replid: ReplId,
    /// Bytes of it that the node has applied (`master_repl_offset`), which is where a promotion goes on.
    pub offset: u64,
    /// The history that it came from, and the first offset that no longer belongs to that one.
    pub previous: Option<(ReplId, u64)>,
}

/// One recorded history: the writes of one published master.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Lineage {
    /// Its name on the nodes.
    pub replid: ReplId,
    /// The epoch in which it was published.
    pub epoch: Epoch,
    /// The offset at which it left its parent.
    pub start: u64,
    /// The history that it continues; `None` for the group's first, or after an unrecorded past.
    pub parent: Option<ReplId>,
}

/// How far a node has come: first in which lineage, then how far in it. Greater holds more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Position {
    lineage: usize,
    offset: u64,
}

impl Position {
    /// Bytes of its lineage that the node has.
    pub fn offset(self) -> u64 {
        self.offset
    }

    /// Which of the group's lineages, counted from 0.
    pub fn lineage(self) -> usize {
        self.lineage
    }

    /// Bytes by which this position is ahead of `other`; `None` if another lineage lies between.
    pub fn ahead_of(self, other: Self) -> Option<u64> {
        (self.lineage == other.lineage).then(|| self.offset.saturating_sub(other.offset))
    }
}

/// The lineages of a group, oldest first; the last is the published master's.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Lineages(Vec<Lineage>);

/// How many lineages are kept: a node that was away for longer is synced in full anyway.
const KEPT: usize = 64;

impl Lineages {
    /// The lineages in the order in which they were published.
    pub fn new(lineages: Vec<Lineage>) -> Self {
        let excess = lineages.len().saturating_sub(KEPT);
        Self(lineages.into_iter().skip(excess).collect())
    }

    /// All of them, oldest first.
    pub fn as_slice(&self) -> &[Lineage] {
        &self.0
    }

    /// The published master's, if one was recorded.
    pub fn current(&self) -> Option<&Lineage> {
        self.0.last()
    }

    /// These lineages with a newer one.
    #[must_use]
    pub fn with(&self, lineage: Lineage) -> Self {
        let older = self.0.iter().filter(|known| known.replid != lineage.replid).cloned();
        let mut all: Vec<_> = older.collect();
        all.push(lineage);
        Self::new(all)
    }

    /// Whether a history of this name is recorded.
    pub(crate) fn names(&self, replid: &ReplId) -> bool {
        self.index_of(replid).is_some()
    }

    /// Where a node with this history stands, or `None` if the group never recorded such a history.
    ///
    /// A node below its lineage's start counts in the parent: a replica is told the new name before it gets
    /// the data. An unrecorded name is judged by the one before it, up to where the two part.
    pub fn locate(&self, history: &History) -> Option<Position> {
        if let Some(lineage) = self.index_of(&history.replid) {
            return Some(self.descend(lineage, history.offset));
        }
        let (previous, parted_at) = history.previous.as_ref()?;
        let lineage = self.index_of(previous)?;
        Some(self.descend(lineage, history.offset.min(parted_at.saturating_sub(1))))
    }

    /// How many bytes a node with this history went on beyond the point where the published master's left it: 0 where
    /// it holds nothing that the master does not. With the epoch whose history that was, where it is recorded.
    ///
    /// `None` where it cannot be told: they have no name in common.
    pub fn beyond(&self, history: &History) -> Option<(Option<Epoch>, u64)> {
        let (name, shared) = match (self.shared_until(&history.replid), history.previous.as_ref()) {
            (Some(until), _) => (&history.replid, until),
            // What it wrote under a name of its own is all its own.
            (None, Some((previous, parted_at))) => {
                (previous, self.shared_until(previous)?.min(parted_at.saturating_sub(1)))
            }
            (None, None) => return None,
        };
        let left = self.index_of(name).map(|lineage| self.0[lineage].epoch);
        Some((left, history.offset.saturating_sub(shared)))
    }

    /// Whether the published master can be expected to go on with a node of this history where that stands, instead of
    /// filling it with a full copy.
    pub fn continues(&self, history: &History) -> bool {
        self.current().is_some_and(|current| {
            let before = current.parent.as_ref() == Some(&history.replid);
            current.replid == history.replid || (before && history.offset <= current.start)
        })
    }

    /// Up to which offset the published master's history is the one of this name; `None` where it comes from another.
    fn shared_until(&self, name: &ReplId) -> Option<u64> {
        let mut lineage = self.current()?;
        let mut until = u64::MAX;
        // As many names as there are lineages, and one more: a damaged record does not loop.
        for _ in &self.0 {
            if lineage.replid == *name {
                return Some(until);
            }
            // One that began below where its parent did goes on with the one before that.
            until = until.min(lineage.start);
            let parent = lineage.parent.as_ref()?;
            match self.index_of(parent) {
                Some(parent) => lineage = &self.0[parent],
                // A group that was taken over knows where its first history came from by name alone.
                None => return (parent == name).then_some(until),
            }
        }
        None
    }

    fn index_of(&self, replid: &ReplId) -> Option<usize> {
        self.0.iter().position(|known| known.replid == *replid)
    }

    fn descend(&self, mut lineage: usize, offset: u64) -> Position {
        while offset < self.0[lineage].start {
            match self.0[lineage].parent.as_ref().and_then(|parent| self.index_of(parent)) {
                // A parent is always older; the comparison keeps a damaged record from looping.
                Some(parent) if parent < lineage => lineage = parent,
                _ => break,
            }
        }
        Position { lineage, offset }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lineages() -> Lineages {
        Lineages::new(vec![
            Lineage { replid: ReplId("a".into()), epoch: Epoch(1), start: 0, parent: None },
            Lineage {
                replid: ReplId("b".into()),
                epoch: Epoch(2),
                start: 100,
                parent: Some(ReplId("a".into())),
            },
        ])
    }

    fn at(replid: &str, offset: u64, previous: Option<(&str, u64)>) -> Option<Position> {
        let previous = previous.map(|(replid, end)| (ReplId(replid.into()), end));
        lineages().locate(&History { replid: ReplId(replid.into()), offset, previous })
    }

    #[test]
    fn a_later_lineage_beats_any_offset_of_an_older_one() {
        assert!(at("b", 100, None) > at("a", 1_000_000, None));
        assert!(at("b", 101, None) > at("b", 100, None));
    }

    #[test]
    fn below_its_start_a_node_counts_in_the_parent() {
        assert_eq!(at("b", 99, None), at("a", 99, None));
        assert!(at("b", 99, None) < at("a", 100, None));
    }

    #[test]
    fn an_unrecorded_name_is_judged_by_the_one_before_and_only_as_far() {
        assert_eq!(at("x", 500, Some(("b", 151))), at("b", 150, None));
        assert_eq!(at("x", 120, Some(("b", 151))), at("b", 120, None));
        assert_eq!(at("x", 120, Some(("y", 1))), None);
        assert_eq!(at("x", 120, None), None);
    }

    /// a, left at 100 by b, left at 90 (below its start) by c; and z, from which nothing descends.
    fn descent() -> Lineages {
        let lineage = |replid: &str, epoch, start, parent: Option<&str>| Lineage {
            replid: ReplId(replid.into()),
            epoch: Epoch(epoch),
            start,
            parent: parent.map(|it| ReplId(it.into())),
        };
        Lineages::new(vec![
            lineage("z", 1, 0, None),
            lineage("a", 2, 0, Some("y")),
            lineage("b", 3, 100, Some("a")),
            lineage("c", 4, 90, Some("b")),
        ])
    }

    fn beyond(replid: &str, offset: u64, previous: Option<(&str, u64)>) -> Option<(u64, u64)> {
        let previous = previous.map(|(replid, end)| (ReplId(replid.into()), end));
        let history = History { replid: ReplId(replid.into()), offset, previous };
        descent().beyond(&history).map(|(left, bytes)| (left.map_or(0, |it| it.0), bytes))
    }

    #[test]
    fn what_is_beyond_counts_from_where_the_history_was_left() {
        assert_eq!(beyond("c", 500, None), Some((4, 0)), "the present history is never beyond itself");
        assert_eq!(beyond("b", 90, None), Some((3, 0)));
        assert_eq!(beyond("b", 97, None), Some((3, 7)));
        assert_eq!(beyond("a", 97, None), Some((2, 7)), "c left a, too, though it came from b");
        assert_eq!(beyond("a", 5, None), Some((2, 0)));
        assert_eq!(beyond("y", 91, None), Some((0, 91)), "it is known by name alone, and left at once");
    }

    #[test]
    fn what_was_written_under_a_name_of_its_own_is_all_beyond() {
        assert_eq!(beyond("x", 120, Some(("c", 101))), Some((4, 20)), "promoted by hand");
        assert_eq!(beyond("x", 120, Some(("a", 101))), Some((2, 30)));
        assert_eq!(beyond("x", 80, Some(("a", 81))), Some((2, 0)), "restarted with its snapshot");
    }

    #[test]
    fn where_nothing_is_shared_nothing_can_be_counted() {
        assert_eq!(beyond("z", 5, None), None);
        assert_eq!(beyond("x", 5, None), None);
        assert_eq!(beyond("x", 5, Some(("w", 3))), None);
        assert_eq!(
            Lineages::default().beyond(&History { replid: ReplId("a".into()), offset: 1, previous: None }),
            None
        );
    }

    #[test]
    fn the_master_goes_on_with_its_own_history_and_with_its_parent_up_to_where_it_left() {
        let continues = |replid: &str, offset| {
            descent().continues(&History { replid: ReplId(replid.into()), offset, previous: None })
        };
        assert!(continues("c", 500) && continues("c", 5) && continues("b", 90));
        assert!(!continues("b", 91) && !continues("a", 5) && !continues("x", 0));
    }

    #[test]
    fn only_the_newest_are_kept() {
        let many = (0..100).map(|n| Lineage {
            replid: ReplId(n.to_string()),
            epoch: Epoch(n),
            start: 0,
            parent: None,
        });
        let kept = Lineages::new(many.collect());
        assert_eq!(kept.as_slice().len(), KEPT);
        assert_eq!(kept.current().map(|lineage| lineage.epoch), Some(Epoch(99)));
    }

    #[test]
    fn a_lineage_whose_parent_is_itself_does_not_loop() {
        let own = Lineage {
            replid: ReplId("a".into()),
            epoch: Epoch(1),
            start: 10,
            parent: Some(ReplId("a".into())),
        };
        let history = History { replid: ReplId("a".into()), offset: 5, previous: None };
        assert_eq!(Lineages::new(vec![own]).locate(&history).map(Position::offset), Some(5));
    }
}
