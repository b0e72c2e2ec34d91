//! A snapshot of what a frozen node holds, in a file of its own. It waits for none, and promotes or repoints nobody.

use redis::{Pipeline, Value};
use redis_failover_core::{RunId, Saving};

use super::replies::{config_value, info};
use super::{AdminError, Lead};
use crate::redis_link::RedisLink;

/// Has the frozen node save what it holds as `file`, or, where that was begun, sees how far it is.
///
/// The process that writes the file takes its name along when it is forked. So the server has its own name back at
/// once, in the same packet, and nobody has to restore it later. That is no transaction: in one, a server would put the
/// snapshot off until after it.
///
/// Where the name may not be changed (a protected setting since Redis 7) the snapshot goes into the server's own file.
pub(in super::super) async fn save(
    link: &mut RedisLink,
    lead: &impl Lead,
    run: &RunId,
    file: &str,
    begun: bool,
) -> Result<Saving, AdminError> {
    let mut questions = redis::pipe();
    for section in ["server", "replication", "persistence"] {
        questions.cmd("INFO").arg(section);
    }
    for setting in ["dir", "dbfilename"] {
        questions.cmd("CONFIG").arg("GET").arg(setting);
    }
    let replies = link.ask(&questions).await?;
    if info(&replies, 0).run()? != *run {
        return Err(AdminError::OtherRun);
    }
    if info(&replies, 1).role()?.is_master() {
        return Err(AdminError::NotObeyed);
    }
    let persistence = info(&replies, 2);
    match (begun, persistence.is_saving()) {
        (true, true) => return Ok(Saving::Running),
        (true, false) if persistence.has_saved() => return Ok(Saving::Complete),
        (true, false) => {
            return Ok(Saving::Failed("the server says that the snapshot failed: its log tells why".into()));
        }
        (false, true) => return Ok(Saving::Busy),
        (false, false) => {}
    }
    let setting = |index| replies.get(index).and_then(config_value);
    let (Some(directory), Some(own)) = (setting(3), setting(4)) else {
        return Ok(Saving::Failed("CONFIG GET dir and dbfilename are not allowed".into()));
    };
    lead.check()?;
    let replies = link.ask(&saving(file, &own)).await?;
    let refusal = |index: usize| match replies.get(index) {
        Some(Value::ServerError(error)) => Some(error.details().unwrap_or(error.code()).trim().to_owned()),
        _ => None,
    };
    let unnamed = refusal(0);
    Ok(match refusal(1) {
        Some(why) if why.contains("in progress") || why.contains("child") => Saving::Busy,
        Some(why) => Saving::Failed(format!("BGSAVE: {why}")),
        None => {
            let name = if unnamed.is_some() { &own } else { file };
            Saving::Begun { file: format!("{directory}/{name}"), unnamed }
        }
    })
}

fn saving(file: &str, own: &str) -> Pipeline {
    let mut commands = redis::pipe();
    commands.cmd("CONFIG").arg("SET").arg("dbfilename").arg(file);
    commands.cmd("BGSAVE");
    commands.cmd("CONFIG").arg("SET").arg("dbfilename").arg(own);
    commands
}
