//! The commit in the model, and the history that is written with it. It never writes equal data.

use redis_failover_core::{Entry, Leadership, Term, Topology, Version};

use super::tree::{Change, Refusal, Tree};
use super::{CampaignId, Candidate, Model};
use crate::history::{Told, epoch_of, told_before};
use crate::raw::{Changes, Raw};
use crate::wire::{entry_bytes, parse_entry};
use crate::znodes::Znodes;
use crate::{CommitError, GroupPath, Recorded};

impl Model {
    /// Writes `topology` if the campaign leads in `term` and `expected` is still what stands, and is what its session
    /// read or wrote last. Equal data is not written. `entry` goes into the history with it, or not at all.
    ///
    /// # Errors
    /// [`CommitError::Fenced`] and [`CommitError::Conflict`]: nothing was written.
    pub fn commit(
        &mut self,
        campaign: CampaignId,
        term: Term,
        expected: Version,
        topology: &Topology,
        entry: Option<&Entry>,
    ) -> Result<Version, CommitError> {
        let leads = |candidate: &&mut Candidate| candidate.leadership == Leadership::Leading(term);
        let candidate = self.campaigns.get_mut(&campaign).filter(leads).ok_or(CommitError::Fenced)?;
        let lock = candidate.lock.as_deref().ok_or(CommitError::Fenced)?;
        let session = self.sessions.get_mut(&candidate.session).ok_or(CommitError::Fenced)?;
        let known = session.known.get_mut(&candidate.group).filter(|raw| raw.version == expected);
        let known = known.ok_or(CommitError::Conflict)?;
        let Some(changes) = known.changes(topology) else { return Ok(expected) };
        let znodes = Znodes::new(candidate.group.to_string());
        let mut told_now = entry.map(|entry| told(entry, &znodes, &self.tree));
        let mut outcome = write(&mut self.tree, lock, &znodes, (expected, &changes), told_now.as_ref());
        if matches!(outcome, Err((part, _)) if part >= RECORD) {
            // The history holds up no change of master.
            told_now = None;
            outcome = write(&mut self.tree, lock, &znodes, (expected, &changes), None);
        }
        let order = outcome.map_err(refusal)?;
        if let (Some(Told::New { written, .. }), Some(Entry::Change(_))) = (told_now, entry) {
            candidate.written = Some(written);
        }
        let version = Version {
            order,
            document: expected.document + i32::from(changes.document_differs),
            state: Some(expected.state.map_or(0, |version| version + i32::from(changes.state_differs))),
        };
        *known = Raw { version, document: changes.document, state: Some(changes.state) };
        Ok(version)
    }

    /// Replaces the entry that the campaign wrote last by one that tells more of the same, if it leads in `term`. Equal
    /// data is not written.
    ///
    /// # Errors
    /// [`CommitError::Fenced`]; [`CommitError::Conflict`] where it wrote none of that epoch, or another stands there.
    pub fn amend(&mut self, campaign: CampaignId, term: Term, entry: &Entry) -> Result<(), CommitError> {
        let leads = |candidate: &&mut Candidate| candidate.leadership == Leadership::Leading(term);
        let candidate = self.campaigns.get_mut(&campaign).filter(leads).ok_or(CommitError::Fenced)?;
        let lock = candidate.lock.as_deref().ok_or(CommitError::Fenced)?;
        let written = candidate.written.as_mut().filter(|written| written.is_of(entry));
        let written = written.ok_or(CommitError::Conflict)?;
        let data = entry_bytes(entry);
        if written.data == data {
            return Ok(());
        }
        let set = Change::Set { path: &written.znode, data: &data, version: Some(written.version) };
        let outcome = self.tree.transact(&[Change::Check { path: lock, version: 0 }, set]);
        outcome.map_err(refusal)?;
        (written.data, written.version) = (data, written.version + 1);
        Ok(())
    }

    /// The history, the oldest entry first.
    pub fn history(&self, group: &GroupPath) -> Vec<Recorded> {
        let znodes = Znodes::new(group.to_string());
        let names = self.tree.children(&znodes.history);
        let recorded = |name: &String| {
            epoch_of(name)?;
            let znode = znodes.entry(name);
            let (bytes, stat) = self.tree.get(&znode)?;
            let entry = parse_entry(&znode, bytes).transpose()?;
            Some(Recorded { znode, order: stat.created, time: None, entry })
        };
        let mut all: Vec<_> = names.iter().filter_map(recorded).collect();
        all.sort_by_key(|recorded| recorded.order);
        all
    }
}

/// How many parts of a transaction are the lock's and the record's.
const RECORD: usize = 3;

/// What it means that this part was refused.
fn refusal((part, _): (usize, Refusal)) -> CommitError {
    if part == 0 { CommitError::Fenced } else { CommitError::Conflict }
}

/// `entry` in its place.
fn told(entry: &Entry, znodes: &Znodes, tree: &Tree) -> Told {
    let names = tree.children(&znodes.history).into_iter().collect();
    let before = told_before(entry, &names).and_then(|name| {
        let znode = znodes.entry(name);
        let (stands, stat) = tree.get(&znode)?;
        Told::more(entry, znode, (stands, stat.version))
    });
    before.unwrap_or_else(|| Told::new(entry, znodes, &names, tree.get(&znodes.history).is_some()))
}

fn write(
    tree: &mut Tree,
    lock: &str,
    znodes: &Znodes,
    (expected, changes): (Version, &Changes),
    told: Option<&Told>,
) -> Result<i64, (usize, Refusal)> {
    let (path, version) = (znodes.document.as_str(), expected.document);
    let document = if changes.document_differs {
        Change::Set { path, data: &changes.document, version: Some(version) }
    } else {
        Change::Check { path, version }
    };
    let (path, data) = (znodes.state.as_str(), changes.state.as_slice());
    let state = match expected.state {
        None => Change::Create { path, data, owner: None },
        Some(version) if changes.state_differs => Change::Set { path, data, version: Some(version) },
        Some(version) => Change::Check { path, version },
    };
    // The lock's data is never written again, so its version stays 0.
    let mut transaction = vec![Change::Check { path: lock, version: 0 }, document, state];
    let gone: Vec<_> = match told {
        Some(Told::New { gone, .. }) => gone.iter().map(|name| znodes.entry(name)).collect(),
        Some(Told::More { .. }) | None => Vec::new(),
    };
    match told {
        Some(Told::New { written, first, .. }) => {
            let path = znodes.history.as_str();
            transaction.extend(first.then_some(Change::Create { path, data: b"", owner: None }));
            transaction.push(Change::Create { path: &written.znode, data: &written.data, owner: None });
            transaction.extend(gone.iter().map(|path| Change::Delete { path }));
        }
        Some(Told::More { znode, data, version }) => {
            transaction.push(Change::Set { path: znode, data, version: Some(*version) });
        }
        None => {}
    }
    tree.transact(&transaction)
}
