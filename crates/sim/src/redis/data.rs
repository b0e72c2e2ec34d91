//! What a server holds, and what of it a copy or a disk does. It never asks who else holds it.

use redis_failover_core::ReplId;

/// One client's write of one key, by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WriteId(pub u32);

/// Which writes a server holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Writes(Vec<u64>);

impl Writes {
    /// Takes one in.
    pub fn insert(&mut self, WriteId(id): WriteId) {
        let word = (id / 64) as usize;
        if word >= self.0.len() {
            self.0.resize(word + 1, 0);
        }
        self.0[word] |= 1 << (id % 64);
    }

    /// Whether it is there.
    pub fn contains(&self, WriteId(id): WriteId) -> bool {
        self.0.get((id / 64) as usize).is_some_and(|word| word & (1 << (id % 64)) != 0)
    }

    /// Drops all that are not in `other`.
    pub fn keep(&mut self, other: &Self) {
        for (word, bits) in self.0.iter_mut().enumerate() {
            *bits &= other.0.get(word).copied().unwrap_or(0);
        }
    }

    /// How many.
    pub fn len(&self) -> u64 {
        self.0.iter().map(|word| u64::from(word.count_ones())).sum()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(|word| *word == 0)
    }

    /// Those that are here and not in `other`.
    pub fn without<'a>(&'a self, other: &'a Self) -> impl Iterator<Item = WriteId> + 'a {
        (0..).zip(&self.0).flat_map(move |(word, bits)| {
            let missing = bits & !other.0.get(word as usize).copied().unwrap_or(0);
            (0..64).filter(move |bit| missing & (1 << bit) != 0).map(move |bit| WriteId(word * 64 + bit))
        })
    }
}

/// A whole copy of a server's data, as it is on its way to a replica or on a disk.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Copy {
    /// The history that it belongs to; `None` for a snapshot of a server that kept none.
    pub replid: Option<ReplId>,
    /// How far.
    pub offset: u64,
    /// The data.
    pub writes: Writes,
}

/// What a server's disk brings back after a restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Persistence {
    /// Nothing, not even a file of its own with the copy that its master sent (`rdb-del-sync-files`).
    Nothing,
    /// The last snapshot, or the last copy that its master sent.
    Snapshots,
    /// Everything: an append-only file.
    Log,
}
