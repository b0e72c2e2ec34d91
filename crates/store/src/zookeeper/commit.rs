//! The commit: one transaction that checks the leader's lock and both versions. It never writes equal data.

use std::sync::Arc;

use redis_failover_core::{Topology, Version};
use tokio::time::timeout;
use zookeeper_client::{CheckWriteError, Error, MultiWriteResult};

use super::StoreError;
use super::record::Record;
use super::session::{Session, Shared};
use super::znodes::{failed, persistent};
use crate::CommitError;
use crate::raw::Raw;
use crate::znodes::Znodes;

/// Writes `record` under the protection of `lock`, in the session's thread.
pub(super) async fn commit(
    shared: &Arc<Shared>,
    znodes: &Znodes,
    record: &Arc<Record>,
    lock: String,
    expected: Version,
    topology: &Topology,
) -> Result<Version, CommitError> {
    let (znodes, record, topology) = (znodes.clone(), Arc::clone(record), topology.clone());
    let work = |session: Session| async move {
        let mut known = record.known.lock().await;
        let raw = known.as_mut().filter(|raw| raw.version == expected).ok_or(CommitError::Conflict)?;
        write(&session, &znodes, &lock, raw, &topology).await
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
            Ok(outcome) => outcome.map(drop).map_err(|error| refusal(&session, &znodes, error)),
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

async fn write(
    session: &Session,
    znodes: &Znodes,
    lock: &str,
    raw: &mut Raw,
    topology: &Topology,
) -> Result<Version, CommitError> {
    let Some(changes) = raw.changes(topology) else { return Ok(raw.version) };
    if raw.version.document < 0 {
        // The znode was missing when it was read. It is made before the lock is, so it is there by now.
        return Err(CommitError::Conflict);
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
            None => writer.add_create(&znodes.state, &changes.state, &persistent())?,
            Some(version) if changes.state_differs => {
                writer.add_set_data(&znodes.state, &changes.state, Some(version))?;
            }
            Some(version) => writer.add_check_version(&znodes.state, version)?,
        }
        Ok(writer)
    })();
    let writer = prepared.map_err(|error: Error| CommitError::Refused(failed(session, lock, &error)))?;
    let results = match timeout(session.timeout, writer.commit()).await {
        Ok(Ok(results)) => results,
        Ok(Err(error)) => return Err(refusal(session, znodes, error)),
        Err(_) => return Err(CommitError::Unknown(StoreError::NoAnswer(session.timeout))),
    };
    let version = written(session, znodes, raw.version, &results).await?;
    *raw = Raw { version, document: changes.document, state: Some(changes.state) };
    Ok(version)
}

/// The version that the transaction made.
async fn written(
    session: &Session,
    znodes: &Znodes,
    before: Version,
    results: &[MultiWriteResult],
) -> Result<Version, CommitError> {
    let mut version = before;
    for (index, result) in results.iter().enumerate() {
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
fn refusal(session: &Session, znodes: &Znodes, error: CheckWriteError) -> CommitError {
    match error {
        CheckWriteError::CheckFailed { source: Error::NoNode | Error::BadVersion } => CommitError::Fenced,
        CheckWriteError::OperationFailed {
            source: Error::NoNode | Error::BadVersion | Error::NodeExists,
            ..
        } => CommitError::Conflict,
        CheckWriteError::CheckFailed { source }
        | CheckWriteError::OperationFailed { source, .. }
        | CheckWriteError::RequestFailed { source } => {
            let refused = matches!(
                source,
                Error::NoAuth | Error::QuotaExceeded | Error::InvalidAcl | Error::NoChildrenForEphemerals
            );
            let error = failed(session, &znodes.document, &source);
            if refused { CommitError::Refused(error) } else { CommitError::Unknown(error) }
        }
    }
}
