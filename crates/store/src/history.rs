//! Which znodes the history of a group takes, and which have to go: it is bounded. It reads and writes nothing.
//!
//! An entry is called after its epoch, in ten digits. Where a node came back in it, its address and a number follow,
//! which grows with each return of the epoch: `0000000012+h:6379.1`. A master that was lost and not replaced, in a
//! pause, takes such a name, too. What is called otherwise is none, and is left alone.

use std::collections::BTreeSet;

use redis_failover_core::{Entry, Epoch, NodeAddr};

use crate::wire::{entry_bytes, parse_entry};
use crate::znodes::Znodes;

/// So many entries are kept.
pub const KEPT: usize = 100;

/// So many of them, at most, tell of nodes that came back: one that does so over and over leaves the changes of master
/// where they are.
pub const RETURNS_KEPT: usize = 30;

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
        let epoch = entry.epoch();
        let mut entries: Vec<_> = names.iter().filter_map(|name| Some((epoch_of(name)?, name))).collect();
        // Within an epoch the change is the oldest, and then the first return.
        entries.sort_by_key(|(of, name)| (*of <= epoch, *of, number_of(name), *name));
        let entries: Vec<_> = entries.into_iter().map(|(_, name)| name).collect();
        let returns: Vec<_> = entries.iter().copied().filter(|name| number_of(name).is_some()).collect();
        let (name, kind) = match entry {
            Entry::Change(_) => (name_of_change(epoch, names), Vec::new()),
            Entry::Return(told) => (name_of_return(epoch, &told.node, names), returns),
            // It takes a place among the returns: a group that is paused for long leaves the changes where they are.
            Entry::Withheld(told) => (name_of_return(epoch, &told.master, names), returns),
        };
        let first = |of: &[&String], kept| (of.len() + 1).saturating_sub(kept);
        let mut gone: Vec<_> = kind[..first(&kind, RETURNS_KEPT)].to_vec();
        let others: Vec<_> = entries.into_iter().filter(|name| !gone.contains(name)).collect();
        gone.extend(&others[..first(&others, KEPT)]);
        Self { name, gone: gone.into_iter().cloned().collect() }
    }
}

fn name_of_change(epoch: Epoch, names: &BTreeSet<String>) -> String {
    let plain = format!("{:0DIGITS$}", epoch.0);
    let numbered = (1..).map(|number| format!("{plain}.{number}"));
    let free = std::iter::once(plain.clone()).chain(numbered).find(|name| !names.contains(name));
    // There is always a number that is free.
    free.unwrap_or(plain)
}

fn name_of_return(epoch: Epoch, node: &NodeAddr, names: &BTreeSet<String>) -> String {
    let of_epoch = names.iter().filter(|name| epoch_of(name) == Some(epoch));
    let last = of_epoch.filter_map(|name| number_of(name)).max().unwrap_or_default();
    format!("{:0DIGITS$}+{node}.{}", epoch.0, last.saturating_add(1))
}

/// Which of those that are called `names` may tell of the same as `entry`: the last return of the node in its epoch.
pub(crate) fn told_before<'a>(entry: &Entry, names: &'a BTreeSet<String>) -> Option<&'a String> {
    let Entry::Return(told) = entry else { return None };
    let beginning = format!("{:0DIGITS$}+{}.", told.epoch.0, told.node);
    names.iter().filter(|name| name.starts_with(&beginning)).max_by_key(|name| number_of(name))
}

/// An entry of the history that a commit writes.
#[derive(Clone, Debug)]
pub(crate) enum Told {
    /// It is new.
    New {
        /// Its znode's name.
        name: String,
        written: Written,
        /// The names of those that go for it.
        gone: Vec<String>,
        /// Whether there is no znode for the entries yet.
        first: bool,
    },
    /// It tells more of what stands there.
    More {
        znode: String,
        data: Vec<u8>,
        /// What stands there, as it was read.
        version: i32,
    },
}

impl Told {
    /// `entry` beside those that are called `names`, below `history`, where that is `there`.
    pub(crate) fn new(entry: &Entry, znodes: &Znodes, names: &BTreeSet<String>, there: bool) -> Self {
        let Place { name, gone } = Place::of(entry, names);
        let written = Written::new(znodes.entry(&name), entry);
        Self::New { name, written, gone, first: !there }
    }

    /// `entry` in the place of what `stands` in that znode in that version, if it tells of the same.
    pub(crate) fn more(entry: &Entry, znode: String, (stands, version): (&[u8], i32)) -> Option<Self> {
        let before = parse_entry(&znode, stands).ok().flatten();
        let same = before.is_some_and(|before| before.is_of_the_same(entry));
        same.then(|| Self::More { znode, data: entry_bytes(entry), version })
    }
}

/// The entry of a change of master that a leader wrote last, for as long as it may amend it.
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
        Self { znode, epoch: entry.epoch(), data: entry_bytes(entry), version: 0 }
    }

    /// Whether `entry` tells of the same.
    pub(crate) fn is_of(&self, entry: &Entry) -> bool {
        matches!(entry, Entry::Change(account) if self.epoch == account.epoch)
    }
}

/// The epoch that an entry of this name tells of; `None` where it is no name of an entry.
pub(crate) fn epoch_of(name: &str) -> Option<Epoch> {
    let end = name.find(|c: char| !c.is_ascii_digit()).unwrap_or(name.len());
    (end >= DIGITS).then(|| name[..end].parse().ok().map(Epoch)).flatten()
}

/// Which return of its epoch an entry of this name tells of; `None` where it is no name of one. One that this program
/// did not give counts as the first.
fn number_of(name: &str) -> Option<u64> {
    let (_, rest) = name.split_once('+')?;
    let number = rest.rsplit_once('.').and_then(|(_, number)| number.parse().ok());
    Some(number.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use redis_failover_core::history::{Account, Cause, Ending, Return};
    use redis_failover_core::{Divergence, Keeping, ReplId, RunId};

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

    fn returned(epoch: u64, node: &str) -> Entry {
        Entry::Return(Box::new(Return {
            epoch: Epoch(epoch),
            node: node.parse().unwrap(),
            replid: ReplId("p".to_owned()),
            offset: 7,
            keys: 1,
            divergence: Divergence {
                run: RunId("r".to_owned()),
                left: Some(Epoch(1)),
                bytes: Some(3),
                keeping: Keeping::Discarded,
            },
            leader: "m1".parse().unwrap(),
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
    fn each_return_of_an_epoch_has_a_number_and_they_never_push_the_changes_out() {
        let mut all = names(1..=95);
        for n in 1..=u64::try_from(RETURNS_KEPT).unwrap() + 1 {
            let node = if n % 2 == 0 { "[::1]:1" } else { "10.0.0.1:1" };
            let Place { name, gone } = Place::of(&returned(95, node), &all);
            assert_eq!(name, format!("0000000095+{node}.{n}"));
            let expected: Vec<_> = match n {
                ..=5 => vec![],
                // Seventy changes, and thirty that came back.
                6..=30 => vec![format!("{:010}", n - 5)],
                _ => vec!["0000000095+10.0.0.1:1.1".to_owned()],
            };
            assert_eq!(gone, expected, "{n}");
            all.retain(|name| !gone.contains(name));
            all.insert(name);
        }
        assert_eq!(all.len(), KEPT);
        assert_eq!(all.iter().filter(|name| number_of(name).is_none()).count(), KEPT - RETURNS_KEPT);
        assert_eq!(told_before(&returned(95, "[::1]:1"), &all).unwrap(), "0000000095+[::1]:1.30");
        assert_eq!(told_before(&returned(94, "[::1]:1"), &all), None);
        assert_eq!(told_before(&returned(95, "10.0.0.1:10"), &all), None);
        assert_eq!(told_before(&entry(95), &all), None);
        // In another epoch they are counted anew.
        assert_eq!(Place::of(&returned(96, "10.0.0.1:1"), &all).name, "0000000096+10.0.0.1:1.1");
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
