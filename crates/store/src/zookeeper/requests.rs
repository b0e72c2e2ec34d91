//! The requests of operators: those that stand, and how one is asked and answered. It decides about none.

use std::convert::Infallible;
use std::sync::Arc;

use redis_failover_core::{Answer, Request, RequestId, Requests};
use tokio::sync::watch;
use tokio::time::timeout;
use zookeeper_client::{Error, EventType};

use super::session::{Session, Shared};
use super::znodes::failed;
use super::{StoreError, bell, commit, left};
use crate::CommitError;
use crate::wire::{answered_bytes, parse_request};
use crate::znodes::{Znodes, request_id};

/// Follows the requests that nobody has answered, until nobody needs them any more, or the store is
/// gone.
pub(super) async fn follow(shared: Arc<Shared>, znodes: Znodes, sender: watch::Sender<Arc<Requests>>) {
    let (znodes, sender) = (&znodes, &sender);
    let follow = |session: Session| async move {
        let session = &session;
        let watch_and_read = || watch_and_read(session, znodes, sender);
        bell::follow(&znodes.requests, "the requests", watch_and_read).await;
    };
    tokio::select! {
        () = sender.closed() => {}
        () = shared.in_each_session(follow) => {}
    }
}

async fn watch_and_read(
    session: &Session,
    znodes: &Znodes,
    sender: &watch::Sender<Arc<Requests>>,
) -> Result<Infallible, Error> {
    loop {
        let (names, changed) = bell::children(session, &znodes.requests).await?;
        let mut open = Requests::new();
        for id in names.iter().filter_map(|name| request_id(name)) {
            match session.limited(session.client.get_data(&znodes.request(id))).await {
                Ok((bytes, _)) => {
                    if let (request, None) = parse_request(&bytes) {
                        open.insert(id, request);
                    }
                }
                Err(Error::NoNode) => {}
                Err(error) => return Err(error),
            }
        }
        sender.send_if_modified(|told| {
            let differs = **told != open;
            if differs {
                *told = Arc::new(open);
            }
            differs
        });
        // An answer is no change here: who answers knows, and who asked takes the request away then.
        changed.changed().await;
    }
}

/// Why a request has no answer.
#[derive(Debug, thiserror::Error)]
pub enum Unanswered {
    /// The request was never left: nobody has seen it.
    #[error("it could not be asked for: {0}")]
    NotAsked(StoreError),
    /// It was left, or may have been: it may have been carried out.
    #[error("no answer: {0}")]
    Unclear(StoreError),
}

impl From<Unanswered> for StoreError {
    fn from(unanswered: Unanswered) -> Self {
        match unanswered {
            Unanswered::NotAsked(error) | Unanswered::Unclear(error) => error,
        }
    }
}

/// Leaves the request, says which it is, and waits for its answer; runs in the session's thread.
pub(super) async fn ask(
    shared: Arc<Shared>,
    session: Session,
    znodes: Znodes,
    request: Request,
    left_as: impl FnOnce(RequestId),
) -> Result<Answer, Unanswered> {
    let unclear = |error: Error| Unanswered::Unclear(failed(&session, &znodes.requests, &error));
    let left = left::leave(&shared, &session, &znodes, &request).await?;
    left_as(left.id);
    let path = znodes.request(left.id);
    loop {
        let (bytes, _, changed) =
            session.limited(session.client.get_and_watch_data(&path)).await.map_err(unclear)?;
        if let (_, Some(answer)) = parse_request(&bytes) {
            return Ok(answer);
        }
        let event = changed.changed().await;
        if event.event_type == EventType::Session {
            return Err(Unanswered::Unclear(StoreError::Closed));
        }
    }
}

/// Answers a request under the protection of `lock`.
pub(super) async fn answer(
    shared: &Arc<Shared>,
    znodes: &Znodes,
    lock: String,
    request: RequestId,
    answer: &Answer,
) -> Result<(), CommitError> {
    let (znodes, answer) = (znodes.clone(), answer.clone());
    let work = |session: Session| async move { write(&session, &znodes, &lock, request, &answer).await };
    commit::in_session(shared, work).await
}

async fn write(
    session: &Session,
    znodes: &Znodes,
    lock: &str,
    request: RequestId,
    answer: &Answer,
) -> Result<(), CommitError> {
    let path = znodes.request(request);
    let unclear = |error: Error| CommitError::Unknown(failed(session, &path, &error));
    let bytes = match session.limited(session.client.get_data(&path)).await {
        Ok((bytes, _)) => bytes,
        Err(Error::NoNode) => return Err(CommitError::Conflict),
        Err(error) => return Err(unclear(error)),
    };
    let answered = answered_bytes(&bytes, answer);
    let mut writer = session.client.new_check_writer(lock, Some(0)).map_err(unclear)?;
    // A request is written once before it is answered.
    writer.add_set_data(&path, &answered, Some(0)).map_err(unclear)?;
    match timeout(session.timeout, writer.commit()).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(commit::refusal(session, &path, error)),
        Err(_) => Err(CommitError::Unknown(StoreError::NoAnswer(session.timeout))),
    }
}
