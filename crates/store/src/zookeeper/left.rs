//! The requests that this process leaves: each stands only while somebody waits for its answer.
//!
//! The session may live for months, so its end is not waited for: what nobody waits for is looked for and deleted,
//! also where it is not known whether it was made. It never deletes what another process left.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use redis_failover_core::{Request, RequestId};
use tokio::sync::{Mutex, OwnedMutexGuard, oneshot};
use tokio::time::{sleep, timeout};
use zookeeper_client::Error;

use super::StoreError;
use super::requests::Unanswered;
use super::session::{Session, Shared};
use super::snapshot::children;
use super::znodes::{ensure, failed, is_no, why};
use crate::wire::request_bytes;
use crate::znodes::{Znodes, request_id};

/// The rest after something failed.
const REST: Duration = Duration::from_millis(100);

/// The requests that somebody waits for, by the transactions that made them: numbers begin anew with a new parent.
type Held = BTreeSet<i64>;

/// Who has it makes a request or clears up, one at a time: what is made and not held yet would be cleared away.
pub(super) type Desk = Arc<Mutex<Held>>;

/// A request that stands until this is dropped.
pub(super) struct Left {
    shared: Arc<Shared>,
    znodes: Znodes,
    made: i64,
    pub(super) id: RequestId,
}

impl Drop for Left {
    fn drop(&mut self) {
        let (shared, znodes, made) = (Arc::clone(&self.shared), self.znodes.clone(), self.made);
        let work = async move {
            let mut held = shared.desk.lock().await;
            held.remove(&made);
            clear(&shared, &znodes, &held).await;
        };
        drop(self.shared.spawn(work));
    }
}

/// Leaves a request.
///
/// What makes it goes on where nobody waits for it any more: a create that is under way can't be called back, and only
/// who hears its outcome knows what to delete.
pub(super) async fn leave(
    shared: &Arc<Shared>,
    session: &Session,
    znodes: &Znodes,
    request: &Request,
) -> Result<Left, Unanswered> {
    let no_answer = StoreError::NoAnswer(session.timeout);
    let Ok(held) = timeout(session.timeout, Arc::clone(&shared.desk).lock_owned()).await else {
        return Err(Unanswered::NotAsked(no_answer));
    };
    let (give, take) = oneshot::channel();
    let making =
        make(Arc::clone(shared), session.clone(), znodes.clone(), request_bytes(request), held, give);
    drop(shared.spawn(making));
    match timeout(session.timeout, take).await {
        Ok(Ok(left)) => left,
        Ok(Err(_)) => Err(Unanswered::Unclear(StoreError::Closed)),
        Err(_) => Err(Unanswered::Unclear(no_answer)),
    }
}

async fn make(
    shared: Arc<Shared>,
    session: Session,
    znodes: Znodes,
    bytes: Vec<u8>,
    mut held: OwnedMutexGuard<Held>,
    give: oneshot::Sender<Result<Left, Unanswered>>,
) {
    let left = create(&session, &znodes, &bytes).await.map(|(id, made)| {
        held.insert(made);
        Left { shared: Arc::clone(&shared), znodes: znodes.clone(), made, id }
    });
    let unclear = matches!(left, Err(Unanswered::Unclear(_)));
    // What nobody takes is dropped here.
    drop(give.send(left));
    if unclear {
        clear(&shared, &znodes, &held).await;
    }
}

/// Which request it is, and the transaction that made it.
async fn create(session: &Session, znodes: &Znodes, bytes: &[u8]) -> Result<(RequestId, i64), Unanswered> {
    let failed = |error: &Error| failed(session, &znodes.requests, error);
    loop {
        // It vanishes with the session of who asks: nobody is left to hear the answer. No limit is set here: the
        // library tells the outcome, or that it is unknown, when the connection breaks or the session is over.
        match session.client.create(&znodes.request_prefix(), bytes, &session.sequential()).await {
            Ok((stat, sequence)) => return Ok((RequestId(sequence.into_i64()), stat.czxid)),
            Err(Error::NoNode) => {
                let made = ensure(session, &znodes.requests).await;
                made.map_err(|error| Unanswered::NotAsked(failed(&error)))?;
            }
            Err(error) if is_no(&error) => return Err(Unanswered::NotAsked(failed(&error))),
            Err(error) => return Err(Unanswered::Unclear(failed(&error))),
        }
    }
}

/// Deletes the requests of this process that nobody holds, in this session or a later one.
async fn clear(shared: &Shared, znodes: &Znodes, held: &Held) {
    let clear = |session: Session| async move {
        while let Err(error) = clear_in(&session, shared, znodes, held).await {
            let (path, why) = (&znodes.requests, why(&error));
            if is_no(&error) {
                tracing::warn!(
                    path,
                    error = why,
                    "cannot take a request back; it stands while the session lives"
                );
                return;
            }
            tracing::debug!(path, error = why, "cannot take a request back; trying on");
            sleep(REST).await;
        }
    };
    shared.in_each_session(clear).await;
}

async fn clear_in(session: &Session, shared: &Shared, znodes: &Znodes, held: &Held) -> Result<(), Error> {
    // Another server may serve the session now, and not know yet what the last one made.
    match session.limited(session.client.sync(&znodes.requests)).await {
        Ok(()) | Err(Error::NoNode) => {}
        Err(error) => return Err(error),
    }
    for id in children(session, &znodes.requests).await?.iter().filter_map(|name| request_id(name)) {
        let path = znodes.request(id);
        let Some(stat) = session.limited(session.client.check_stat(&path)).await? else { continue };
        // Servers that were all away still know a session that is over.
        let is_ours = stat.ephemeral_owner == session.id || shared.was_ours(stat.ephemeral_owner);
        if !is_ours || held.contains(&stat.czxid) {
            continue;
        }
        match session.limited(session.client.delete(&path, None)).await {
            Ok(()) | Err(Error::NoNode) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
