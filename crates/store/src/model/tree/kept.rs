//! What of a tree outlives the process that keeps it: every znode that belongs to no session. It knows no file, and
//! no JSON.

use std::collections::BTreeMap;

use super::{Stat, Tree, Znode};

/// How many transactions a life has, as a power of two; as in `ZooKeeper`, whose numbers begin anew with each of its
/// leaders.
const LIFE: u32 = 32;

/// The znodes that belong to no session, and the number of the last transaction.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Kept {
    pub(crate) transaction: i64,
    pub(crate) znodes: BTreeMap<String, KeptZnode>,
}

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KeptZnode {
    pub(crate) data: Vec<u8>,
    pub(crate) created: i64,
    pub(crate) modified: i64,
    pub(crate) version: i32,
    pub(crate) child_changes: u32,
}

impl Tree {
    /// What is to be found again.
    pub(in super::super) fn kept(&self) -> Kept {
        let lasting = self.znodes.iter().filter(|(_, znode)| znode.stat.owner.is_none());
        let kept = |(path, znode): (&String, &Znode)| {
            let Stat { created, modified, version, owner: _ } = znode.stat;
            let (data, child_changes) = (znode.data.clone(), znode.child_changes);
            (path.clone(), KeptZnode { data, created, modified, version, child_changes })
        };
        Kept { transaction: self.transaction, znodes: lasting.map(kept).collect() }
    }

    /// The tree of the next life: it goes on where no transaction of an earlier one can have come, be it that of a lock
    /// or a report, which nobody kept. Terms are such numbers, and must never be given twice.
    pub(in super::super) fn of(kept: Kept) -> Self {
        let znode = |(path, kept): (String, KeptZnode)| {
            let KeptZnode { data, created, modified, version, child_changes } = kept;
            let stat = Stat { created, modified, version, owner: None };
            (path, Znode { data, stat, child_changes })
        };
        let transaction = ((kept.transaction >> LIFE) + 1) << LIFE;
        Self { znodes: kept.znodes.into_iter().map(znode).collect(), transaction }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Change;
    use super::*;

    #[test]
    fn what_belongs_to_no_session_is_found_again_and_numbers_never_go_back() {
        let mut tree = Tree::default();
        tree.ensure("/a/b");
        tree.transact(&[Change::Set { path: "/a", data: b"x", version: None }]).unwrap();
        let kept = tree.kept();
        // None of this is kept.
        let session = tree.begin();
        let lock = tree.create_sequential("/a/b/lock-", b"", session).unwrap();
        let last = tree.transaction();

        let next = Tree::of(kept.clone());
        assert!(next.transaction() > last, "{}", next.transaction());
        assert_eq!((next.get("/a"), next.get("/a/b")), (tree.get("/a"), next.get("/a/b")));
        assert_eq!(next.get("/a").map(|(data, stat)| (data, stat.version)), Some((&b"x"[..], 1)));
        assert_eq!(next.get(&lock), None);
        assert_eq!(Tree::of(tree.kept()).get(&lock), None);
        let after = Tree::of(next.kept());
        assert!(after.transaction() > next.transaction());
        assert_eq!(after.kept().znodes, kept.znodes);
    }
}
