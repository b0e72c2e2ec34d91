//! Which znodes the history of a group takes, and which have to go: it is bounded. It reads and writes nothing.
//!
//! An entry is called after its epoch, in ten digits. What is called otherwise is none, and is left alone.

use std::collections::BTreeSet;

use redis_failover_core::{Entry, Epoch};

use crate::wire::entry_bytes;

/// So many entries are kept.
pub const KEPT: usize = 100;

/// How many digits name an epoch.
const DIGITS: usize = 10;

/// What a commit changes in a history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// The name of the new entry's znode.
    pub(crate) name: String,
    /// The names of those that go.
    pub(crate) gone: Vec<String>,
}

impl Place {
    /// The place of `entry` beside those that are called `names`.
    ///
    /// A name that is taken is of an earlier life of the group, whose record was deleted, or it is nobody's entry: what
    /// stands there is not overwritten, and a number is added. Entries of epochs that the present record has not come
    /// to are of an earlier life, too: those are the oldest.
    pub(crate) fn of(entry: &Entry, names: &BTreeSet<String>) -> Self {
        let Entry::Change(account) = entry;
        let plain = format!("{:0DIGITS$}", account.epoch.0);
        let numbered = (1..).map(|number| format!("{plain}.{number}"));
        let name = std::iter::once(plain.clone()).chain(numbered).find(|name| !names.contains(name));
        let mut entries: Vec<_> = names.iter().filter_map(|name| Some((epoch_of(name)?, name))).collect();
        entries.sort_by_key(|(epoch, name)| (*epoch <= account.epoch, *epoch, *name));
        let excess = (entries.len() + 1).saturating_sub(KEPT);
        let gone = entries.into_iter().take(excess).map(|(_, name)| name.clone()).collect();
        // There is always a number that is free.
        Self { name: name.unwrap_or(plain), gone }
    }
}

/// The entry that a leader wrote last, for as long as it may amend it.
#[derive(Clone, Debug)]
pub(crate) struct Written {
    pub(crate) znode: String,
    epoch: Epoch,
    pub(crate) data: Vec<u8>,
    pub(crate) version: i32,
}

impl Written {
    /// The entry as it is to be written for the first time.
    pub(crate) fn new(znode: String, entry: &Entry) -> Self {
        let Entry::Change(account) = entry;
        Self { znode, epoch: account.epoch, data: entry_bytes(entry), version: 0 }
    }

    /// Whether `entry` tells of the same.
    pub(crate) fn is_of(&self, entry: &Entry) -> bool {
        let Entry::Change(account) = entry;
        self.epoch == account.epoch
    }
}

/// The epoch that an entry of this name tells of; `None` where it is no name of an entry.
pub(crate) fn epoch_of(name: &str) -> Option<Epoch> {
    let end = name.find(|c: char| !c.is_ascii_digit()).unwrap_or(name.len());
    (end >= DIGITS).then(|| name[..end].parse().ok().map(Epoch)).flatten()
}

#[cfg(test)]
mod tests {
    use redis_failover_core::history::{Account, Cause, Ending};

    use super::*;

    fn entry(epoch: u64) -> Entry {
        Entry::Change(Box::new(Account {
            epoch: Epoch(epoch),
            cause: Cause::Founded,
            old: None,
            new: "h:1".parse().unwrap(),
            ending: Ending::Published,
            leader: None,
            finished_by: None,
            votes: [].into(),
            candidates: [].into(),
            times: [].into(),
            following: [].into(),
            seen: None,
            loss: None,
        }))
    }

    fn names(epochs: impl Iterator<Item = u64>) -> BTreeSet<String> {
        epochs.map(|epoch| format!("{epoch:010}")).collect()
    }

    #[test]
    fn the_oldest_go_and_what_is_no_entry_stays() {
        let place = |epoch, names: &BTreeSet<String>| {
            let Place { name, gone } = Place::of(&entry(epoch), names);
            (name, gone)
        };
        assert_eq!(place(7, &names(1..=6)), ("0000000007".to_owned(), vec![]));
        let mut full = names(5..105);
        full.insert("0000000009+h:1".to_owned());
        full.insert("notes".to_owned());
        let gone = vec!["0000000005".to_owned(), "0000000006".to_owned()];
        assert_eq!(place(105, &full), ("0000000105".to_owned(), gone));
        assert_eq!(place(10_000_000_000, &names(0..1)).0, "10000000000");
    }

    #[test]
    fn a_taken_name_is_left_as_it_is_and_an_earlier_life_is_the_first_to_go() {
        let mut names = names(1..=100);
        let Place { name, gone } = Place::of(&entry(1), &names);
        assert_eq!((name.as_str(), gone.as_slice()), ("0000000001.1", &["0000000002".to_owned()][..]));
        names.insert(name);
        assert_eq!(Place::of(&entry(1), &names).name, "0000000001.2");
    }

    #[test]
    fn names_of_entries_begin_with_an_epoch_of_ten_digits() {
        assert_eq!(epoch_of("0000000012"), Some(Epoch(12)));
        assert_eq!(epoch_of("0000000012+h:1"), Some(Epoch(12)));
        assert_eq!(epoch_of("10000000000.1"), Some(Epoch(10_000_000_000)));
        for name in ["", "12", "000000012", "latest", "é000000000001", "99999999999999999999999"] {
            assert_eq!(epoch_of(name), None, "{name}");
        }
    }
}
