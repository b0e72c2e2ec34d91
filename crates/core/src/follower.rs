//! What a client makes of the published documents, and of what nodes say of themselves. It never names a master: where
//! the document and a node contradict each other it waits for another document.

use std::fmt;

use crate::names::{Epoch, NodeAddr, RunId};
use crate::topology::Publication;

/// Which of the documents that a client reads it believes: never an older one than it has seen.
#[derive(Clone, Debug, Default)]
pub struct Follower {
    believed: Option<Believed>,
}

#[derive(Clone, Debug)]
struct Believed {
    created: i64,
    order: i64,
    /// The `order` of the document that named this master first.
    named: i64,
    publication: Publication,
}

/// A document older than what is known: a server that lags, or a store that was set back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outdated {
    /// The epoch that is known.
    pub known: Epoch,
    /// The epoch of the document.
    pub read: Epoch,
}

/// What a node said of itself on the connection that is to be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The life of its process; `None` where the user may not ask.
    pub run: Option<RunId>,
    /// What it is; `None` where the user may not ask.
    pub role: Option<Manner>,
    /// The `order` that was believed when it was asked.
    pub asked: i64,
}

/// How a node serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// As a master.
    Master,
    /// As a replica that holds a whole copy.
    Replica,
    /// Not yet: it loads its data, or is being filled with a copy.
    Filling,
}

/// Why the published master is not written to. It displays as a clause.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Doubt {
    /// Another life of its process was published: it may have lost its memory.
    Restarted,
    /// It says that it is a replica.
    NotMaster,
}

impl fmt::Display for Doubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Restarted => "was restarted since it was published, and no monitor has confirmed it yet",
            Self::NotMaster => "says that it is no master (any more)",
        })
    }
}

impl Follower {
    /// Takes in a document; `created` and `order` say which making and which writing of it.
    ///
    /// Yields whether it says anything new.
    ///
    /// # Errors
    /// When it is older than what is known, and not made anew: nothing changes then.
    pub fn read(&mut self, created: i64, order: i64, publication: Publication) -> Result<bool, Outdated> {
        let mut named = order;
        if let Some(known) = &mut self.believed {
            let (old, new) = (&known.publication, &publication);
            if created == known.created && (new.epoch, order) < (old.epoch, known.order) {
                return Err(Outdated { known: old.epoch, read: new.epoch });
            }
            if new == old {
                (known.created, known.order) = (created, order);
                return Ok(false);
            }
            let same = |a: &Publication, b: &Publication| {
                (a.epoch, &a.master.addr, &a.run) == (b.epoch, &b.master.addr, &b.run)
            };
            if old.steady == new.steady && same(old, new) {
                named = known.named;
            }
        }
        self.believed = Some(Believed { created, order, named, publication });
        Ok(true)
    }

    /// What is believed; `None` until a document was read.
    pub fn believed(&self) -> Option<&Publication> {
        self.believed.as_ref().map(|believed| &believed.publication)
    }

    /// The writing that is believed, for [`Identity::asked`].
    pub fn order(&self) -> i64 {
        self.believed.as_ref().map_or(0, |believed| believed.order)
    }

    /// The node that takes writes, if there is one now.
    pub fn master(&self) -> Option<&NodeAddr> {
        self.believed().filter(|publication| publication.steady).map(|publication| &publication.master.addr)
    }

    /// Whether writes may go over a connection to the published master on which the node said `said`.
    ///
    /// # Errors
    /// Why not. A document that names no life of the process (the predecessor's) is believed without that check.
    pub fn may_write(&self, said: &Identity) -> Result<(), Doubt> {
        let Some(believed) = &self.believed else { return Ok(()) };
        if let (Some(published), Some(run)) = (&believed.publication.run, &said.run)
            && published != run
        {
            return Err(Doubt::Restarted);
        }
        // What it was before it was published says nothing: it was promoted since.
        match said.role {
            Some(Manner::Replica | Manner::Filling) if said.asked >= believed.named => Err(Doubt::NotMaster),
            _ => Ok(()),
        }
    }

    /// Whether reads may go over a connection to the replica `node` on which the node said `said`.
    pub fn may_read(&self, node: &NodeAddr, said: &Identity) -> bool {
        let published = self.believed().is_some_and(|publication| {
            publication.replicas.iter().any(|replica| replica.addr == *node && replica.ok)
        });
        // One that still takes itself for a master has not been told yet: what it holds may never have happened.
        published && !matches!(said.role, Some(Manner::Master | Manner::Filling))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topology::Member;

    fn document(epoch: u64, steady: bool, master: &str, run: &str) -> Publication {
        let member = |addr: &str| Member { addr: addr.parse().unwrap(), ok: true };
        let others = ["a:1", "b:2", "c:3"].into_iter().filter(|addr| *addr != master);
        Publication {
            epoch: Epoch(epoch),
            steady,
            master: member(master),
            replicas: others.map(member).collect(),
            run: (!run.is_empty()).then(|| RunId(run.to_owned())),
            replid: None,
        }
    }

    fn said(run: &str, role: Manner, asked: i64) -> Identity {
        Identity { run: Some(RunId(run.to_owned())), role: Some(role), asked }
    }

    #[test]
    fn an_older_document_is_refused_until_the_znode_is_made_anew() {
        let mut follower = Follower::default();
        assert_eq!(follower.read(1, 10, document(5, true, "a:1", "x")), Ok(true));
        assert_eq!(follower.read(1, 10, document(5, true, "a:1", "x")), Ok(false));
        let outdated = Err(Outdated { known: Epoch(5), read: Epoch(4) });
        assert_eq!(follower.read(1, 11, document(4, true, "b:2", "y")), outdated);
        assert_eq!(follower.master().unwrap().to_string(), "a:1");
        // Of one epoch, the later writing counts.
        assert!(follower.read(1, 9, document(5, true, "b:2", "y")).is_err());
        assert_eq!(follower.read(2, 20, document(1, true, "b:2", "y")), Ok(true));
        assert_eq!(follower.master().unwrap().to_string(), "b:2");
    }

    #[test]
    fn what_was_written_back_is_not_undone_by_what_was_between() {
        let mut follower = Follower::default();
        follower.read(1, 10, document(1, true, "a:1", "x")).unwrap();
        assert_eq!(follower.read(1, 12, document(1, true, "a:1", "x")), Ok(false));
        assert!(follower.read(1, 11, document(1, true, "b:2", "y")).is_err());
    }

    #[test]
    fn there_is_no_master_while_one_is_being_changed() {
        let mut follower = Follower::default();
        assert_eq!(follower.master(), None);
        follower.read(1, 1, document(1, true, "a:1", "x")).unwrap();
        follower.read(1, 2, document(2, false, "a:1", "x")).unwrap();
        assert_eq!(follower.master(), None);
        assert_eq!(follower.believed().unwrap().master.addr.to_string(), "a:1");
    }

    #[test]
    fn a_restarted_master_is_not_written_to() {
        let mut follower = Follower::default();
        follower.read(1, 1, document(1, true, "a:1", "x")).unwrap();
        assert_eq!(follower.may_write(&said("x", Manner::Master, 1)), Ok(()));
        assert_eq!(follower.may_write(&said("y", Manner::Master, 1)), Err(Doubt::Restarted));
        // Who may not ask, and who reads the predecessor's document, can't know.
        assert_eq!(follower.may_write(&Identity { run: None, role: None, asked: 1 }), Ok(()));
        follower.read(1, 2, document(1, true, "a:1", "")).unwrap();
        assert_eq!(follower.may_write(&said("y", Manner::Master, 2)), Ok(()));
    }

    #[test]
    fn a_replica_that_was_promoted_is_written_to_at_once_and_a_demoted_master_is_not() {
        let mut follower = Follower::default();
        follower.read(1, 1, document(1, true, "a:1", "x")).unwrap();
        follower.read(1, 2, document(2, false, "a:1", "x")).unwrap();
        follower.read(1, 3, document(2, true, "b:2", "y")).unwrap();
        assert_eq!(follower.may_write(&said("y", Manner::Replica, 1)), Ok(()));
        assert_eq!(follower.may_write(&said("y", Manner::Replica, 3)), Err(Doubt::NotMaster));
        // A replica's health is news, but not of the master.
        let mut changed = document(2, true, "b:2", "y");
        changed.replicas[0].ok = false;
        assert_eq!(follower.read(1, 4, changed), Ok(true));
        assert_eq!(follower.may_write(&said("y", Manner::Replica, 3)), Err(Doubt::NotMaster));
        // The same node, named again by a later change.
        follower.read(1, 5, document(3, true, "b:2", "y")).unwrap();
        assert_eq!(follower.may_write(&said("y", Manner::Replica, 3)), Ok(()));
    }

    #[test]
    fn only_healthy_replicas_that_know_it_are_read() {
        let mut follower = Follower::default();
        let mut publication = document(1, true, "a:1", "x");
        publication.replicas[1].ok = false;
        follower.read(1, 1, publication).unwrap();
        let may_read = |node: &str, role| follower.may_read(&node.parse().unwrap(), &said("z", role, 1));
        assert!(may_read("b:2", Manner::Replica));
        assert!(!may_read("b:2", Manner::Filling) && !may_read("b:2", Manner::Master));
        assert!(!may_read("c:3", Manner::Replica), "it is published as KO");
        assert!(!may_read("d:4", Manner::Replica), "it is not published");
        assert!(!may_read("a:1", Manner::Replica), "it is the master");
    }
}
