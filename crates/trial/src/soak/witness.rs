//! Who looks at what is published, as it stands in `ZooKeeper`, and remembers each change.
//!
//! It is no client: a client refuses an older document, and what must never be published would go unseen. It writes
//! nothing and asks no node.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use redis_failover_core::Publication;
use redis_failover_store::{Feed, Glance, GroupPath, Snapshot, Store, ZooKeeper, ZooKeeperGroup};
use tokio::task::JoinSet;

use super::kinds::SESSION;
use crate::failure::Failure;

/// How long a look may take.
const LIMIT: Duration = Duration::from_secs(10);

/// The running witness. Dropping it ends it.
#[derive(Debug)]
pub(super) struct Witness {
    group: Group,
    seen: Arc<Mutex<Seen>>,
    _task: JoinSet<()>,
}

/// A group that can be shown.
struct Group(ZooKeeperGroup);

impl std::fmt::Debug for Group {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Group").finish_non_exhaustive()
    }
}

/// What was published, and what should not have been.
#[derive(Debug, Default)]
struct Seen {
    latest: Option<Publication>,
    masters: Vec<Master>,
    wrong: BTreeSet<String>,
}

/// A published master.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Master {
    pub at: Instant,
    pub epoch: u64,
    pub address: String,
}

impl Witness {
    /// Starts it on the group at `path` in these servers.
    pub(super) fn start(servers: &str, path: &str) -> Result<Self, Failure> {
        let servers = servers.parse().map_err(Failure::new)?;
        let path: GroupPath = path.parse().map_err(Failure::new)?;
        let store = ZooKeeper::connect(servers, SESSION).map_err(Failure::new)?;
        let group = store.group(&path);
        let seen = Arc::new(Mutex::new(Seen::default()));
        let mut task = JoinSet::new();
        task.spawn(watch(group.published(), Arc::clone(&seen)));
        Ok(Self { group: Group(group), seen, _task: task })
    }

    /// What stands in `ZooKeeper` now: asked for, and so never what stood there before.
    pub(super) async fn look(&self) -> Result<Snapshot, Failure> {
        self.group.0.snapshot(LIMIT).await.map_err(Failure::new)
    }

    /// The masters that were published anew in this time.
    pub(super) fn changes(&self, window: &Range<Instant>) -> Vec<Master> {
        lock(&self.seen).masters.iter().filter(|master| window.contains(&master.at)).cloned().collect()
    }

    /// How many masters were published, and what should not have been.
    pub(super) fn finish(&self) -> (usize, Vec<String>) {
        let seen = lock(&self.seen);
        (seen.masters.len(), seen.wrong.iter().cloned().collect())
    }
}

async fn watch(mut published: Feed<Glance>, seen: Arc<Mutex<Seen>>) {
    loop {
        let glance = published.next().await;
        lock(&seen).look(&glance, Instant::now());
    }
}

impl Seen {
    fn look(&mut self, glance: &Glance, at: Instant) {
        match &glance.read {
            Some(Ok(Some(publication))) => self.enter(publication, at),
            Some(Ok(None)) if self.latest.is_some() => {
                self.wrong.insert("what was published is gone".to_owned());
            }
            Some(Err(unreadable)) => {
                self.wrong.insert(format!("what is published cannot be read: {unreadable}"));
            }
            Some(Ok(None)) | None => {}
        }
    }

    fn enter(&mut self, publication: &Publication, at: Instant) {
        let epoch = publication.epoch.0;
        let before = self.latest.replace(publication.clone());
        if let Some(before) = before.filter(|before| before.epoch > publication.epoch) {
            self.wrong.insert(format!("epoch {epoch} was published after epoch {}", before.epoch.0));
        }
        if !publication.steady {
            return;
        }
        let address = publication.master.addr.to_string();
        match self.masters.iter().find(|master| master.epoch == epoch) {
            None => self.masters.push(Master { at, epoch, address }),
            Some(master) if master.address == address => {}
            Some(master) => {
                let first = &master.address;
                self.wrong.insert(format!("epoch {epoch} has two masters: {first}, then {address}"));
            }
        }
    }
}

/// What was seen is whole between any two statements.
fn lock(seen: &Mutex<Seen>) -> MutexGuard<'_, Seen> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use redis_failover_core::{Epoch, Member};

    use super::*;

    fn publication(epoch: u64, steady: bool, master: &str) -> Publication {
        let master = Member { addr: master.parse().unwrap(), ok: true };
        Publication { epoch: Epoch(epoch), steady, master, replicas: vec![], run: None, replid: None }
    }

    /// What is wrong after these were seen, and how many masters they named.
    fn seen(publications: &[(u64, bool, &str)]) -> (Vec<String>, usize) {
        let mut seen = Seen::default();
        for (epoch, steady, master) in publications {
            let read = Some(Ok(Some(publication(*epoch, *steady, master))));
            seen.look(&Glance { read, ..Glance::default() }, Instant::now());
        }
        (seen.wrong.into_iter().collect(), seen.masters.len())
    }

    #[test]
    fn a_change_of_master_is_a_greater_epoch() {
        let told = seen(&[(1, true, "a:1"), (1, true, "a:1"), (2, false, "a:1"), (2, true, "b:1")]);
        assert_eq!(told, (vec![], 2));
    }

    #[test]
    fn an_epoch_that_falls_and_one_with_two_masters_are_seen() {
        let (wrong, _) = seen(&[(2, true, "a:1"), (1, true, "b:1")]);
        assert_eq!(wrong, ["epoch 1 was published after epoch 2"]);
        let (wrong, _) = seen(&[(2, true, "a:1"), (2, false, "a:1"), (2, true, "b:1")]);
        assert_eq!(wrong, ["epoch 2 has two masters: a:1, then b:1"]);
    }

    #[test]
    fn what_vanishes_is_seen() {
        let mut seen = Seen::default();
        seen.look(&Glance::default(), Instant::now());
        seen.look(&Glance { read: Some(Ok(None)), ..Glance::default() }, Instant::now());
        assert!(seen.wrong.is_empty(), "nothing was published yet");
        seen.enter(&publication(1, true, "a:1"), Instant::now());
        seen.look(&Glance { read: Some(Ok(None)), ..Glance::default() }, Instant::now());
        assert_eq!(seen.wrong.len(), 1);
    }
}
