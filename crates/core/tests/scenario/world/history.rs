//! An entry of the history as lines of a trace.

use std::time::Duration;

use redis_failover_core::history::{Account, Ending, Entry, Return, Withheld};

pub(super) fn lines(entry: &Entry) -> Vec<String> {
    match entry {
        Entry::Change(account) => of_change(account),
        Entry::Return(told) => vec![of_return(told)],
        Entry::Withheld(told) => vec![of_withheld(told)],
    }
}

fn of_return(told: &Return) -> String {
    let Return { epoch, node, replid: _, offset, keys, divergence, leader } = told;
    format!("epoch {epoch}: {node} came back ({keys} keys, at {offset}); {divergence}; led by {leader}")
}

fn of_withheld(told: &Withheld) -> String {
    let Withheld { epoch, master, reason, by, why, leader } = told;
    format!(
        "epoch {epoch}: {master} is lost ({reason}) and not replaced: paused by {by}, {why}; led by {leader}"
    )
}

fn of_change(account: &Account) -> Vec<String> {
    let old = account.old.as_ref().map_or_else(|| "nobody".to_owned(), ToString::to_string);
    let mut lines =
        vec![format!("epoch {}: {old} -> {}, {}{}", account.epoch, account.new, account.cause, end(account))];
    let leader = account.leader.as_ref().map_or_else(|| "unknown".to_owned(), ToString::to_string);
    let finished = account.finished_by.as_ref().map(|id| format!(", finished by {id}")).unwrap_or_default();
    lines.push(format!("led by {leader}{finished}{}", votes(account)));
    for (node, candidate) in &account.candidates {
        let holds = candidate.holds.as_ref().map(|it| format!(" ({} keys, at {})", it.keys, it.offset));
        lines.push(format!("{node}: {}{}", candidate.why, holds.unwrap_or_default()));
    }
    lines.extend(times(account));
    if let Some(loss) = account.loss {
        let seen = account.seen.as_ref().map(|seen| {
            let how = if seen.frozen { "frozen" } else { "seen" };
            format!("; {how} at {}, {} ms before", seen.offset, seen.age.as_millis())
        });
        let bytes = loss.bytes.map_or_else(|| "?".to_owned(), |bytes| bytes.to_string());
        let span =
            loss.span.as_ref().map(Duration::as_millis).map_or_else(|| "?".to_owned(), |ms| ms.to_string());
        lines.push(format!("lost: {bytes} bytes, {span} ms{}", seen.unwrap_or_default()));
    }
    lines
}

/// All that an amendment may change.
pub(super) fn times(account: &Account) -> Option<String> {
    let times = account.times.iter().map(|(step, after)| format!("{} {}", step.word(), after.as_millis()));
    let following =
        account.following.iter().map(|(node, after)| format!("{node} follows {}", after.as_millis()));
    let all: Vec<_> = times.chain(following).collect();
    (!all.is_empty()).then(|| format!("ms: {}", all.join(", ")))
}

fn end(account: &Account) -> String {
    match &account.ending {
        Ending::Published => String::new(),
        Ending::GivenUp(why) => format!("; given up: {why}"),
    }
}

fn votes(account: &Account) -> String {
    let votes = account.votes.iter().map(|(id, (vote, age))| {
        let age = age.map(|age| format!(" since {}", age.as_millis())).unwrap_or_default();
        format!("{id} {vote}{age}")
    });
    let votes: Vec<_> = votes.collect();
    if votes.is_empty() { String::new() } else { format!("; votes: {}", votes.join(", ")) }
}
