//! Asks the leader for something and waits for its answer. What may be asked is each command's own affair; of the
//! answer it prints nothing.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use redis_failover_core::{Answer, MonitorId, Request, RequestId};
use redis_failover_store::{Feed, SeenReport, Snapshot, Store as _, StoreError, Unanswered, ZooKeeperGroup};
use tokio::sync::oneshot;
use tokio::time::sleep;

use super::interrupt::{interrupted, undisturbed};
use crate::config::StoreArgs;
use crate::failure::{Failure, Kind};
use crate::output::tell;

/// How long to look whether there is a leader.
pub(super) const LOOK_LIMIT: Duration = Duration::from_secs(5);

/// Leaves `request` for the leader of the group and waits for its answer, which must come within `limit`.
///
/// # Errors
/// When there is no leader, or it does not answer: what may be assumed is said then.
pub(super) async fn answer(store: &StoreArgs, request: &Request, limit: Duration) -> Result<Answer, Failure> {
    let zookeeper = super::connect(store, LOOK_LIMIT)?;
    let group = zookeeper.group(&store.path);
    let outcome = async {
        let snapshot = group.snapshot(LOOK_LIMIT).await.map_err(unreachable)?;
        let leader = has_leader(store, &snapshot)?;
        ask(&group, request, &leader, limit).await
    }
    .await;
    // What was interrupted is taken back with it.
    undisturbed(zookeeper.close()).await;
    outcome
}

/// Leaves `request` for `leader` and waits for the answer, for `limit` at most. How far the leader is with it stands on
/// standard error meanwhile, and in the failure where it did not answer in time.
///
/// # Errors
/// When there is no answer.
pub(super) async fn ask(
    group: &ZooKeeperGroup,
    request: &Request,
    leader: &str,
    limit: Duration,
) -> Result<Answer, Failure> {
    let (left_as, id) = oneshot::channel();
    let asked = group.ask_as(request, |id| {
        // Nobody listens where nobody waits for the answer any more.
        let _ = left_as.send(id);
    });
    let unclear =
        |message: String| if only_looks(request) { looked_in_vain(message) } else { unclear(message) };
    let mut at = None;
    let none = tokio::select! {
        answer = asked => match answer {
            Ok(answer) => return Ok(answer),
            Err(error @ Unanswered::NotAsked(_)) => return Err(not_asked(&error)),
            Err(error) => return Err(unclear(error.to_string())),
        },
        // To die of it would leave the request where it is until the session ends.
        () = interrupted() => "no answer before it was interrupted".to_owned(),
        () = sleep(limit) => format!("no answer within {limit:?}"),
        never = follow(group.reports(), id, &mut at) => match never {},
    };
    Err(unclear(match at {
        None => format!("{none}; {leader} leads and has said nothing of it"),
        Some(at) => format!("{none}; when last heard of: {at}"),
    }))
}

/// Says how far the leader is with the request, and keeps what it said last.
async fn follow(
    mut reports: Feed<Arc<BTreeMap<MonitorId, SeenReport>>>,
    id: oneshot::Receiver<RequestId>,
    at: &mut Option<String>,
) -> Infallible {
    let Ok(id) = id.await else { return std::future::pending().await };
    loop {
        let seen = reports.next().await;
        let told = seen.values().find_map(|seen| {
            let at = seen.report.attends.get(&id)?;
            Some(format!("{}: {at}", seen.report.monitor))
        });
        if let Some(told) = told.filter(|told| at.as_ref() != Some(told)) {
            tell(&told);
            *at = Some(told);
        }
    }
}

/// Who leads the group.
///
/// # Errors
/// Where nobody does: nobody can answer.
pub(super) fn has_leader(store: &StoreArgs, snapshot: &Snapshot) -> Result<String, Failure> {
    let leader = snapshot.leader.as_ref().map(|leader| leader.monitor.clone());
    leader.ok_or_else(|| {
        let message = format!("no monitor leads {}, so nobody can do it", store.path);
        Failure::new(Kind::NoLeader, message).hint("is the path right (-p), and do monitors run for it?")
    })
}

pub(super) fn unreachable(error: StoreError) -> Failure {
    Failure::new(Kind::StoreUnreachable, error).hint("are the servers right (-z), and do they run?")
}

/// Whether the leader is only asked what it would do.
fn only_looks(request: &Request) -> bool {
    match request {
        Request::Switchover(wanted) => wanted.dry_run,
        Request::Failover(wanted) => wanted.dry_run,
        _ => false,
    }
}

fn looked_in_vain(message: String) -> Failure {
    Failure::new(Kind::Failed, message).hint("nothing was done: the leader was only asked what it would do")
}

fn not_asked(error: &Unanswered) -> Failure {
    let failure = Failure::new(Kind::Failed, error);
    match error {
        Unanswered::NotAsked(StoreError::NotAuthorized { .. }) => failure.hint(
            "nothing was done; the group belongs to a user of ZooKeeper: give it (--zookeeper-user, \
             --zookeeper-password-file)",
        ),
        _ => failure.hint("nothing was done"),
    }
}

pub(super) fn unclear(message: String) -> Failure {
    Failure::new(Kind::Unclear, message)
        .hint("the request is withdrawn, but may have been carried out: look with redis-failover status")
}
