//! Znodes as `ZooKeeper` keeps them: in a tree, with versions, numbers and owners, changed by whole transactions. It
//! knows nothing of groups, and never of time.

mod kept;

use std::collections::BTreeMap;

pub(crate) use kept::{Kept, KeptZnode};

/// All znodes, and the number of the last transaction.
#[derive(Clone, Debug, Default)]
pub(super) struct Tree {
    znodes: BTreeMap<String, Znode>,
    transaction: i64,
}

#[derive(Clone, Debug)]
struct Znode {
    data: Vec<u8>,
    stat: Stat,
    /// How often a child was made or deleted: it numbers the sequential ones, and begins anew with the znode.
    child_changes: u32,
}

/// Which writing of a znode it is, and whose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stat {
    /// The transaction that made it.
    pub created: i64,
    /// The transaction that wrote it last.
    pub modified: i64,
    /// How often it was written since it was made.
    pub version: i32,
    /// The session that it vanishes with.
    pub owner: Option<i64>,
}

/// One part of a transaction. A version that is `None` may be any.
#[derive(Clone, Copy, Debug)]
pub(super) enum Change<'a> {
    Check { path: &'a str, version: i32 },
    Create { path: &'a str, data: &'a [u8], owner: Option<i64> },
    Set { path: &'a str, data: &'a [u8], version: Option<i32> },
    Delete { path: &'a str },
}

/// Why a transaction was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    NoNode,
    BadVersion,
    NodeExists,
    NotEmpty,
}

impl Tree {
    /// The number of the last transaction.
    pub(super) fn transaction(&self) -> i64 {
        self.transaction
    }

    pub(super) fn get(&self, path: &str) -> Option<(&[u8], Stat)> {
        self.znodes.get(path).map(|znode| (znode.data.as_slice(), znode.stat))
    }

    /// The names of the znodes directly below `path`.
    pub(super) fn children(&self, path: &str) -> Vec<String> {
        let names = self.below(path).filter(|name| !name.contains('/'));
        names.map(str::to_owned).collect()
    }

    /// The paths of all znodes below `path`, the deepest of each branch first.
    pub(super) fn descendants(&self, path: &str) -> Vec<String> {
        let mut paths: Vec<_> = self.below(path).map(|name| format!("{path}/{name}")).collect();
        paths.reverse();
        paths
    }

    fn below(&self, path: &str) -> impl Iterator<Item = &str> {
        let prefix = format!("{path}/");
        self.znodes.range(prefix.clone()..).map_while(move |(path, _)| path.strip_prefix(&prefix))
    }

    /// Does all of it or nothing; an error names the part that was refused.
    pub(super) fn transact(&mut self, changes: &[Change]) -> Result<i64, (usize, Refusal)> {
        // On a copy: a tree is small, and a part may depend on the one before it.
        let mut next = self.clone();
        next.transaction += 1;
        for (index, change) in changes.iter().enumerate() {
            next.apply(change).map_err(|refusal| (index, refusal))?;
        }
        *self = next;
        Ok(self.transaction)
    }

    /// Makes the znode `path` and all above it, empty, where they are missing: each in a transaction of its own.
    pub(super) fn ensure(&mut self, path: &str) {
        if !path.is_empty() && !self.znodes.contains_key(path) {
            self.ensure(parent(path));
            // Cannot fail: it is missing, and its parent is there.
            let _ = self.transact(&[Change::Create { path, data: b"", owner: None }]);
        }
    }

    /// Makes a znode called `prefix` and a number that its parent gave to no other.
    pub(super) fn create_sequential(
        &mut self,
        prefix: &str,
        data: &[u8],
        owner: i64,
    ) -> Result<String, Refusal> {
        let parent = self.znodes.get(parent(prefix)).ok_or(Refusal::NoNode)?;
        let path = format!("{prefix}{:010}", parent.child_changes);
        let create = Change::Create { path: &path, data, owner: Some(owner) };
        self.transact(&[create]).map(|_| path).map_err(|(_, refusal)| refusal)
    }

    /// Begins a session and returns its number, which no other ever has.
    pub(super) fn begin(&mut self) -> i64 {
        self.transaction += 1;
        self.transaction
    }

    /// Ends a session: all that it owns vanishes at once.
    pub(super) fn end(&mut self, owner: i64) {
        self.transaction += 1;
        let ends = |(_, znode): &(&String, &Znode)| znode.stat.owner == Some(owner);
        let paths: Vec<_> = self.znodes.iter().filter(ends).map(|(path, _)| path.clone()).collect();
        for path in paths {
            self.remove(&path);
        }
    }

    fn apply(&mut self, change: &Change) -> Result<(), Refusal> {
        match *change {
            Change::Check { path, version } => self.expect(path, Some(version)).map(drop),
            Change::Create { path, data, owner } => self.create(path, data, owner),
            Change::Set { path, data, version } => {
                let transaction = self.transaction;
                let znode = self.expect(path, version)?;
                data.clone_into(&mut znode.data);
                znode.stat.modified = transaction;
                znode.stat.version += 1;
                Ok(())
            }
            Change::Delete { path } => {
                self.expect(path, None)?;
                if self.below(path).next().is_some() {
                    return Err(Refusal::NotEmpty);
                }
                self.remove(path);
                Ok(())
            }
        }
    }

    fn expect(&mut self, path: &str, version: Option<i32>) -> Result<&mut Znode, Refusal> {
        let znode = self.znodes.get_mut(path).ok_or(Refusal::NoNode)?;
        match version {
            Some(version) if version != znode.stat.version => Err(Refusal::BadVersion),
            _ => Ok(znode),
        }
    }

    fn create(&mut self, path: &str, data: &[u8], owner: Option<i64>) -> Result<(), Refusal> {
        if self.znodes.contains_key(path) {
            return Err(Refusal::NodeExists);
        }
        let parent = parent(path);
        // The root is always there, and is not kept.
        if !parent.is_empty() {
            self.znodes.get_mut(parent).ok_or(Refusal::NoNode)?.child_changes += 1;
        }
        let stat = Stat { created: self.transaction, modified: self.transaction, version: 0, owner };
        let znode = Znode { data: data.to_owned(), stat, child_changes: 0 };
        self.znodes.insert(path.to_owned(), znode);
        Ok(())
    }

    fn remove(&mut self, path: &str) {
        self.znodes.remove(path);
        if let Some(parent) = self.znodes.get_mut(parent(path)) {
            parent.child_changes += 1;
        }
    }
}

fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(parent, _)| parent)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn create(path: &'static str) -> Change<'static> {
        Change::Create { path, data: b"", owner: None }
    }

    #[test]
    fn a_transaction_is_done_as_a_whole_or_not_at_all() {
        let mut tree = Tree::default();
        let refused = [create("/a"), create("/a/b"), Change::Check { path: "/a", version: 1 }];
        assert_eq!(tree.transact(&refused), Err((2, Refusal::BadVersion)));
        assert_eq!((tree.get("/a"), tree.transaction()), (None, 0));
        assert_eq!(tree.transact(&refused[..2]), Ok(1));
        assert_eq!(tree.transact(&[create("/a")]), Err((0, Refusal::NodeExists)));
        assert_eq!(tree.transact(&[create("/x/y")]), Err((0, Refusal::NoNode)));
        assert_eq!(tree.transact(&[Change::Delete { path: "/a" }]), Err((0, Refusal::NotEmpty)));
        let both = [Change::Delete { path: "/a/b" }, Change::Delete { path: "/a" }];
        assert_eq!(tree.transact(&both), Ok(2));
    }

    #[test]
    fn the_end_of_a_session_deletes_what_it_owns_and_nothing_else() {
        let mut tree = Tree::default();
        let (one, two) = (tree.begin(), tree.begin());
        tree.transact(&[create("/a"), create("/ab")]).unwrap();
        let first = tree.create_sequential("/a/x-", b"", one).unwrap();
        let second = tree.create_sequential("/a/y-", b"", two).unwrap();
        assert_eq!((first.as_str(), second.as_str()), ("/a/x-0000000000", "/a/y-0000000001"));
        tree.end(one);
        assert_eq!(tree.children("/a"), ["y-0000000001"]);
        assert_eq!(tree.descendants("/a"), ["/a/y-0000000001"]);
        // As with ZooKeeper, a deletion is a change too: no number is ever given twice.
        assert_eq!(tree.create_sequential("/a/z-", b"", two), Ok("/a/z-0000000003".to_owned()));
    }
}
