//! The commit: one transaction that checks the leader's lock and both versions. It never writes equal data.

use std::sync::Arc;

use redis_failover_core::{Entry, Term, Topology, Version};
use tokio::time::timeout;
use zookeeper_client::{CheckWriteError, Error, MultiWriteResult};

use super::StoreError;
use super::history::{self, History};
use super::record::Record;
use super::session::{Session, Shared};
use super::standing::Held;
use super::znodes::{failed, is_no};
use crate::CommitError;
use crate::history::Told;
use crate::raw::{Changes, Raw};
use crate::znodes::Znodes;

/// Writes `topology`, and `entry` with it, under the protection of the lock that is held, in the session's thread.
pub(super) async fn commit(
    shared: &Arc<Shared>,
    znodes: &Znodes,
    (record, history): (&Arc<Record>, &Arc<History>),
    held: Held,
    expected: Version,
    (topology, entry): (&Topology, Option<&Entry>),
) -> Result<Version, CommitError> {
    let (znodes, record, history) = (znodes.clone(), Arc::clone(record), Arc::clone(history));
    let (topology, entry) = (topology.clone(), entry.cloned());
    let work = |session: Session| async move {
        let mut known = record.known.lock().await;
        let raw = known.as_mut().filter(|raw| raw.version == expected).ok_or(CommitError::Conflict)?;
        let Some(changes) = raw.changes(&topology) else { return Ok(raw.version) };
        let mut writing = Writing { session: &session, znodes: &znodes, lock: &held.path, raw, changes };
        match entry {
            Some(entry) => writing.write_with(&history, held.term, &entry).await,
            None => writing.write(None).await.map_err(|error| error.told(&session, &znodes)),
        }
    };
    in_session(shared, work).await
}

/// Has the ensemble confirm that `lock` stands: a transaction goes through its leader, as no read does.
pub(super) async fn confirm(shared: &Arc<Shared>, znodes: &Znodes, lock: String) -> Result<(), CommitError> {
    let znodes = znodes.clone();
    let work = |session: Session| async move {
        let writer = session.client.new_check_writer(&lock, Some(0));
        let writer = writer.map_err(|error| CommitError::Refused(failed(&session, &lock, &error)))?;
        match timeout(session.timeout, writer.commit()).await {
            Ok(outcome) => outcome.map(drop).map_err(|error| refusal(&session, &znodes.document, error)),
            Err(_) => Err(CommitError::Unknown(StoreError::NoAnswer(session.timeout))),
        }
    };
    in_session(shared, work).await
}

/// What a leader writes, written in the session's thread.
pub(super) async fn in_session<T: Send + 'static, W>(
    shared: &Arc<Shared>,
    work: impl FnOnce(Session) -> W,
) -> Result<T, CommitError>
where
    W: Future<Output = Result<T, CommitError>> + Send + 'static,
{
    let Some(session) = shared.sessions.borrow().clone() else { return Err(CommitError::Fenced) };
    let limit = session.timeout;
    let work = shared.spawn(work(session));
    // The caller's own limit: the session's thread may be stalled.
    match timeout(limit, work).await {
        Ok(Ok(Some(outcome))) => outcome,
        Ok(_) => Err(CommitError::Unknown(StoreError::Closed)),
        Err(_) => Err(CommitError::Unknown(StoreError::NoAnswer(limit))),
    }
}

/// What is to be written over what.
struct Writing<'a> {
    session: &'a Session,
    znodes: &'a Znodes,
    lock: &'a str,
    raw: &'a mut Raw,
    changes: Changes,
}

/// Why it was not.
enum Unwritten {
    /// The transaction was refused, or its outcome is not known.
    Refused(CheckWriteError),
    /// For this reason.
    For(CommitError),
}

impl Unwritten {
    fn is_only_the_history(&self) -> bool {
        matches!(self, Self::Refused(error) if history::is_in_the_way(error))
    }

    fn told(self, session: &Session, znodes: &Znodes) -> CommitError {
        match self {
            Self::Refused(error) => refusal(session, &znodes.document, error),
            Self::For(error) => error,
        }
    }
}

impl Writing<'_> {
    /// Writes the record with its entry; without, where only that is refused.
    async fn write_with(
        mut self,
        history: &History,
        term: Term,
        entry: &Entry,
    ) -> Result<Version, CommitError> {
        let (session, znodes) = (self.session, self.znodes);
        let mut kept = history.kept.lock().await;
        // Twice: others may have changed what this leader knew of it.
        for _ in 0..2 {
            let Some(told) = kept.place(session, znodes, term, entry).await else { break };
            match self.write(Some(&told)).await {
                Ok(version) => {
                    kept.written(told, entry);
                    return Ok(version);
                }
                Err(error) => {
                    kept.forget();
                    if !error.is_only_the_history() {
                        return Err(error.told(session, znodes));
                    }
                }
            }
        }
        tracing::warn!(
            path = znodes.history,
            "what this commit tells is missing in the history, which cannot be read or written"
        );
        self.write(None).await.map_err(|error| error.told(session, znodes))
    }

    async fn write(&mut self, told: Option<&Told>) -> Result<Version, Unwritten> {
        let Self { session, znodes, lock, raw, changes } = self;
        if raw.version.document < 0 {
            // The znode was missing when it was read. It is made before the lock is, so it is there by now.
            return Err(Unwritten::For(CommitError::Conflict));
        }
        let prepared = (|| {
            // The lock's data is never written again, so its version stays 0; its name is nobody else's.
            let mut writer = session.client.new_check_writer(lock, Some(0))?;
            if changes.document_differs {
                writer.add_set_data(&znodes.document, &changes.document, Some(raw.version.document))?;
            } else {
                writer.add_check_version(&znodes.document, raw.version.document)?;
            }
            match raw.version.state {
                None => writer.add_create(&znodes.state, &changes.state, &session.persistent())?,
                Some(version) if changes.state_differs => {
                    writer.add_set_data(&znodes.state, &changes.state, Some(version))?;
                }
                Some(version) => writer.add_check_version(&znodes.state, version)?,
            }
            told.map_or(Ok(()), |told| history::add_to(&mut writer, session, znodes, told))?;
            Ok(writer)
        })();
        let refused = |error: Error| Unwritten::For(CommitError::Refused(failed(session, lock, &error)));
        let writer = prepared.map_err(refused)?;
        let results = match timeout(session.timeout, writer.commit()).await {
            Ok(Ok(results)) => results,
            Ok(Err(error)) => return Err(Unwritten::Refused(error)),
            Err(_) => {
                let error = StoreError::NoAnswer(session.timeout);
                return Err(Unwritten::For(CommitError::Unknown(error)));
            }
        };
        let version = written(session, znodes, raw.version, &results).await.map_err(Unwritten::For)?;
        let (document, state) = (changes.document.clone(), Some(changes.state.clone()));
        **raw = Raw { version, document, state };
        Ok(version)
    }
}

/// The version that the transaction made.
async fn written(
    session: &Session,
    znodes: &Znodes,
    before: Version,
    results: &[MultiWriteResult],
) -> Result<Version, CommitError> {
    let mut version = before;
    // The parts that write the document and the state; what follows them writes the history.
    for (index, result) in results.iter().take(2).enumerate() {
        let stat = match result {
            MultiWriteResult::SetData { stat } => *stat,
            MultiWriteResult::Create { stat, .. } if !stat.is_invalid() => *stat,
            MultiWriteResult::Create { .. } => {
                // Servers before 3.8.2 answer nonsense here (ZOOKEEPER-4026): look at the znode.
                let found = session.limited(session.client.check_stat(&znodes.state)).await;
                let unknown = |why: String| {
                    CommitError::Unknown(StoreError::Failed { znode: znodes.state.clone(), why })
                };
                found
                    .map_err(|error| unknown(error.to_string()))?
                    .ok_or_else(|| unknown("it is gone again".to_owned()))?
            }
            _ => continue,
        };
        version.order = version.order.max(stat.mzxid);
        if index == 0 {
            version.document = stat.version;
        } else {
            version.state = Some(stat.version);
        }
    }
    Ok(version)
}

/// What a failed transaction lets us assume. Only the server's own "no" means that nothing was written.
pub(super) fn refusal(session: &Session, znode: &str, error: CheckWriteError) -> CommitError {
    match error {
        CheckWriteError::CheckFailed { source: Error::NoNode | Error::BadVersion } => CommitError::Fenced,
        CheckWriteError::OperationFailed {
            source: Error::NoNode | Error::BadVersion | Error::NodeExists,
            ..
        } => CommitError::Conflict,
        CheckWriteError::CheckFailed { source }
        | CheckWriteError::OperationFailed { source, .. }
        | CheckWriteError::RequestFailed { source } => {
            let error = failed(session, znode, &source);
            if is_no(&source) { CommitError::Refused(error) } else { CommitError::Unknown(error) }
        }
    }
}
