//! The history of a group: what a leader knows of it, so that a commit need not ask, and how it is read. It decides
//! nothing, and what goes wrong here holds up no record.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use redis_failover_core::{Entry, Term};
use tokio::sync::Mutex;
use tokio::time::timeout;
use zookeeper_client::{CheckWriteError, CheckWriter, Error};

use super::StoreError;
use super::commit::refusal;
use super::record::content;
use super::session::{Session, Shared};
use super::znodes::failed;
use crate::history::{Told, Written, epoch_of, told_before};
use crate::wire::{entry_bytes, parse_entry};
use crate::znodes::Znodes;
use crate::{CommitError, Recorded};

/// So many entries are read in one request.
const AT_ONCE: usize = 20;

/// What one campaign knows of the history.
#[derive(Default)]
pub(super) struct History {
    pub(super) kept: Mutex<Kept>,
}

/// What is known in one term.
#[derive(Default)]
pub(super) struct Kept {
    term: Option<Term>,
    listed: Option<Listed>,
    written: Option<Written>,
}

/// The entries, as this leader left them.
struct Listed {
    /// Whether there is a znode for them.
    there: bool,
    names: BTreeSet<String>,
}

impl History {
    /// Looks what is there, once in a term.
    pub(super) async fn begin(&self, session: &Session, znodes: &Znodes, term: Term) {
        let mut kept = self.kept.lock().await;
        // What fails here is asked again when it is needed.
        let _ = kept.list(session, znodes, term).await;
    }
}

impl Kept {
    async fn list(&mut self, session: &Session, znodes: &Znodes, term: Term) -> Result<&mut Listed, Error> {
        if self.term != Some(term) {
            *self = Self { term: Some(term), ..Self::default() };
        }
        let listed = match self.listed.take() {
            Some(listed) => listed,
            None => match session.limited(session.client.list_children(&znodes.history)).await {
                Ok(names) => Listed { there: true, names: names.into_iter().collect() },
                Err(Error::NoNode) => Listed { there: false, names: BTreeSet::new() },
                Err(error) => return Err(error),
            },
        };
        Ok(self.listed.insert(listed))
    }

    /// The place of `entry`; `None` where it is not known what is there.
    pub(super) async fn place(
        &mut self,
        session: &Session,
        znodes: &Znodes,
        term: Term,
        entry: &Entry,
    ) -> Option<Told> {
        let listed = self.list(session, znodes, term).await.ok()?;
        if let Some(name) = told_before(entry, &listed.names) {
            let znode = znodes.entry(name);
            match session.limited(session.client.get_data(&znode)).await {
                Ok((stands, stat)) => {
                    let more = Told::more(entry, znode, (&stands, stat.version));
                    if more.is_some() {
                        return more;
                    }
                }
                Err(Error::NoNode) => {}
                Err(_) => return None,
            }
        }
        Some(Told::new(entry, znodes, &listed.names, listed.there))
    }

    /// It stands there. Only what is told of a change of master is amended later.
    pub(super) fn written(&mut self, told: Told, entry: &Entry) {
        let Told::New { name, written, gone, .. } = told else { return };
        if let Some(listed) = &mut self.listed {
            listed.there = true;
            listed.names.retain(|name| !gone.contains(name));
            listed.names.insert(name);
        }
        if matches!(entry, Entry::Change(_)) {
            self.written = Some(written);
        }
    }

    /// Nobody knows what is there now.
    pub(super) fn forget(&mut self) {
        (self.listed, self.written) = (None, None);
    }
}

/// Adds to a transaction what writes the entry.
pub(super) fn add_to(
    writer: &mut CheckWriter<'_>,
    session: &Session,
    znodes: &Znodes,
    told: &Told,
) -> Result<(), Error> {
    match told {
        Told::New { written, gone, first, .. } => {
            if *first {
                writer.add_create(&znodes.history, b"", &session.persistent())?;
            }
            writer.add_create(&written.znode, &written.data, &session.persistent())?;
            gone.iter().try_for_each(|name| writer.add_delete(&znodes.entry(name), None))
        }
        Told::More { znode, data, version } => writer.add_set_data(znode, data, Some(*version)),
    }
}

/// Replaces the entry that was written last, under the protection of `lock`; runs in the session's thread.
pub(super) async fn amend(
    session: &Session,
    znodes: &Znodes,
    history: &History,
    (lock, term): (&str, Term),
    entry: &Entry,
) -> Result<(), CommitError> {
    let mut kept = history.kept.lock().await;
    let same_term = kept.term == Some(term);
    let written = kept.written.as_mut().filter(|written| same_term && written.is_of(entry));
    let written = written.ok_or(CommitError::Conflict)?;
    let data = entry_bytes(entry);
    if written.data == data {
        return Ok(());
    }
    let unclear = |error: Error| CommitError::Unknown(failed(session, &written.znode, &error));
    let mut writer = session.client.new_check_writer(lock, Some(0)).map_err(unclear)?;
    writer.add_set_data(&written.znode, &data, Some(written.version)).map_err(unclear)?;
    match timeout(session.timeout, writer.commit()).await {
        Ok(Ok(_)) => {
            (written.data, written.version) = (data, written.version + 1);
            Ok(())
        }
        outcome => {
            kept.written = None;
            let error = outcome.map(Result::err).ok().flatten();
            Err(error.map_or(CommitError::Unknown(StoreError::NoAnswer(session.timeout)), |error| {
                refusal(session, &znodes.document, error)
            }))
        }
    }
}

/// Whether it was the history, and nothing else, that a transaction was refused for: nothing was written.
pub(super) fn is_in_the_way(error: &CheckWriteError) -> bool {
    // Before it are the two parts of the record.
    matches!(error, CheckWriteError::OperationFailed { index: 2.., .. })
}

/// All entries, the oldest first.
pub(super) async fn read(
    shared: &Arc<Shared>,
    znodes: &Znodes,
    limit: Duration,
) -> Result<Vec<Recorded>, StoreError> {
    let begun = Instant::now();
    let session = shared.session(limit).await?;
    let left = limit.saturating_sub(begun.elapsed());
    let znodes = znodes.clone();
    let work = shared.spawn(async move {
        read_all(&session, &znodes).await.map_err(|error| failed(&session, &znodes.history, &error))
    });
    match timeout(left, work).await {
        Ok(Ok(Some(entries))) => entries,
        Ok(_) => Err(StoreError::Closed),
        Err(_) => Err(StoreError::NoAnswer(left)),
    }
}

async fn read_all(session: &Session, znodes: &Znodes) -> Result<Vec<Recorded>, Error> {
    session.limited(session.client.sync(&znodes.document)).await?;
    let names = match session.limited(session.client.list_children(&znodes.history)).await {
        Err(Error::NoNode) => return Ok(Vec::new()),
        names => names?,
    };
    let names: Vec<_> = names.into_iter().filter(|name| epoch_of(name).is_some()).collect();
    let mut entries = Vec::new();
    for names in names.chunks(AT_ONCE) {
        let mut reader = session.client.new_multi_reader();
        for name in names {
            reader.add_get_data(&znodes.entry(name))?;
        }
        let results = session.limited(reader.commit()).await?;
        for (name, result) in names.iter().zip(results) {
            // One that is gone by now was one too many.
            let Some((bytes, stat)) = content(result)? else { continue };
            let znode = znodes.entry(name);
            let Some(entry) = parse_entry(&znode, &bytes).transpose() else { continue };
            let made = Duration::from_millis(stat.ctime.try_into().unwrap_or_default());
            let time = SystemTime::UNIX_EPOCH.checked_add(made);
            entries.push(Recorded { znode, order: stat.czxid, time, entry });
        }
    }
    entries.sort_by_key(|entry| entry.order);
    Ok(entries)
}
