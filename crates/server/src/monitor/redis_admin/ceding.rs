//! How a master gives up its role for a switchover, without its clients being cut off. It judges nothing.
//!
//! `CLIENT PAUSE … WRITE` (Redis 6.2 and later) has writes wait at the server, so that the replica that takes over has
//! all that was written. `REPLICAOF` then makes a replica of the master: what waited is refused with READONLY, and its
//! callers know that it was not executed. Redis 7.0 and later, and Valkey, feed their replicas on after that; Redis 6.2
//! closes their connections, what was sent before still arrives.

use std::time::Duration;

use redis::Value;
use redis_failover_core::{Evidence, RunId};

use super::replies::{config_number, info, is_forbidden, last};
use super::{AdminError, Lead, NOBODY, read_all};
use crate::info::evidence;
use crate::redis_link::RedisLink;

/// Has the master hold writes for `lasts` at most.
///
/// # Errors
/// Also where the server does not know this, or does not allow us: that is told.
pub(in crate::monitor) async fn hold_writes(
    link: &mut RedisLink,
    lead: &impl Lead,
    lasts: Duration,
) -> Result<(), AdminError> {
    let mut command = redis::pipe();
    command.cmd("CLIENT").arg("PAUSE").arg(lasts.as_millis().max(1).to_string()).arg("WRITE");
    lead.check()?;
    obeyed(link.ask(&command).await?).inspect_err(|error| {
        tracing::warn!(
            "the switchover goes on without CLIENT PAUSE ({error}): writes may be refused while it lasts; let the ACL \
             user run client|pause and client|unpause"
        );
    })
}

/// Has it hold them no longer.
///
/// # Errors
/// See [`AdminError`]; after the time that was said before it goes on by itself.
pub(in crate::monitor) async fn resume_writes(
    link: &mut RedisLink,
    lead: &impl Lead,
) -> Result<(), AdminError> {
    let mut command = redis::pipe();
    command.cmd("CLIENT").arg("UNPAUSE");
    lead.check()?;
    obeyed(link.ask(&command).await?)
}

/// Makes the master follow nobody, if it is still in the life `run`, and reads it. Its clients stay, and are answered.
///
/// # Errors
/// See [`AdminError`]; where the connection broke it may have been done.
pub(in crate::monitor) async fn cede(
    link: &mut RedisLink,
    lead: &impl Lead,
    run: &RunId,
) -> Result<Evidence, AdminError> {
    let mut questions = redis::pipe();
    questions.cmd("INFO").arg("server");
    questions.cmd("CONFIG").arg("GET").arg("min-replicas-to-write");
    let before = link.ask(&questions).await?;
    if info(&before, 0).run()? != *run {
        return Err(AdminError::OtherRun);
    }
    lead.check()?;
    let replies = match link.transact(&ceding(true)).await {
        Err(error) if is_forbidden(&error) => {
            // Nothing was carried out. Who could not have writes held has nothing to resume.
            lead.check()?;
            link.transact(&ceding(false)).await?
        }
        replies => replies?,
    };
    let (was, now) = (info(&replies, 0), last(&replies)?);
    if now.role()?.is_master() {
        return Err(AdminError::NotObeyed);
    }
    Ok(evidence(&was, &now, before.get(1).and_then(config_number))?)
}

fn ceding(resumes: bool) -> redis::Pipeline {
    let mut commands = redis::pipe();
    commands.atomic();
    commands.cmd("INFO").arg("replication");
    commands.cmd("REPLICAOF").arg(NOBODY.0).arg(NOBODY.1);
    if resumes {
        commands.cmd("CLIENT").arg("UNPAUSE");
    }
    read_all(&mut commands);
    commands
}

fn obeyed(replies: Vec<Value>) -> Result<(), AdminError> {
    match replies.into_iter().next() {
        Some(Value::ServerError(error)) => Err(redis::RedisError::from(error).into()),
        _ => Ok(()),
    }
}
