//! One change of master as a page that a person reads at three in the morning: what is known, and what is not.

use std::fmt::Write as _;
use std::time::Duration;

use redis_failover_core::Reason;
use redis_failover_core::history::{Account, Cause, Ending, Estimate, Milestone, Return};

use super::{change, span, without};

const GROWS: &str = "a string takes everything";

/// The page of `account`, which was written at `time`, and of what came `back` after it, with the time of each.
pub(super) fn page(account: &Account, time: &str, back: &[(String, &Return)]) -> String {
    let mut text = format!("epoch {}: {}, written {time}\n", account.epoch, change(account));
    section(&mut text, "Why then", why(account));
    section(&mut text, "What each monitor said of the old master", votes(account));
    section(&mut text, "The candidates", candidates(account));
    section(&mut text, "When, from the leader's first sign of trouble", times(account));
    section(&mut text, "What was lost, as an estimate", losses(account));
    section(&mut text, "What came back since, and the master does not have", returns(account, back));
    section(&mut text, "What is not known", unknowns(account));
    text
}

fn section(text: &mut String, title: &str, lines: Vec<String>) {
    if !lines.is_empty() {
        writeln!(text, "\n{title}").expect(GROWS);
    }
    for line in lines {
        writeln!(text, "  {line}").expect(GROWS);
    }
}

fn why(account: &Account) -> Vec<String> {
    let new = &account.new;
    let mut lines = vec![match account.cause {
        Cause::Founded => format!("the group had no record, and {new} was found to be its master"),
        Cause::Predecessor => format!("the predecessor's document named {new}, and was taken over"),
        Cause::Adopted => format!("an operator named {new} (adopt)"),
        Cause::Lost(Reason::Switchover) => {
            let old = account.old.as_ref().map_or_else(|| "the master".to_owned(), ToString::to_string);
            format!("an operator had {new} take over from {old} (switchover)")
        }
        Cause::Lost(Reason::Ordered) => {
            let old = account.old.as_ref().map_or_else(|| "the master".to_owned(), ToString::to_string);
            format!("an operator had {old} replaced, whatever is lost by that (failover --accept-loss)")
        }
        Cause::Lost(reason) => {
            let old = account.old.as_ref().map_or_else(|| "the master".to_owned(), ToString::to_string);
            format!("{old} was lost: {}", reason_in_words(reason))
        }
    }];
    match (&account.leader, &account.finished_by) {
        (Some(leader), None) => lines.push(format!("{leader} led")),
        (Some(leader), Some(other)) => lines.push(format!("{leader} led and began it; {other} ended it")),
        (None, Some(other)) => lines.push(format!("{other} ended it")),
        (None, None) => {}
    }
    if let Ending::GivenUp(reason) = &account.ending {
        lines.push(format!("given up for the next epoch: {new} was chosen, and {reason}"));
    }
    lines
}

fn reason_in_words(reason: Reason) -> &'static str {
    match reason {
        Reason::Refused => "a quorum found its port closed (refused)",
        Reason::Silent => "a quorum got no answer for longer than down-after (silent)",
        Reason::Unusable => "a quorum got only answers that no client can use (unusable)",
        Reason::Demoted => "it was found a replica (demoted)",
        Reason::Restarted => {
            "it was found in another life of its process, which may have lost data (restarted)"
        }
        Reason::Ordered => "an operator wanted another master, whatever is lost (failover)",
        Reason::Switchover => "an operator wanted another master (switchover)",
        Reason::Other => "for a reason that this version does not know",
    }
}

fn votes(account: &Account) -> Vec<String> {
    let vote = |(id, (vote, age)): (&redis_failover_core::MonitorId, &(_, Option<Duration>))| {
        let age = age.map(|age| format!(", for {}", span(age))).unwrap_or_default();
        let vote: &redis_failover_core::Vote = vote;
        format!("{:<16} {vote}{age}", id.to_string())
    };
    account.votes.iter().map(vote).collect()
}

fn candidates(account: &Account) -> Vec<String> {
    let candidate = |(node, it): (&_, &redis_failover_core::history::Candidate)| {
        let node: &redis_failover_core::NodeAddr = node;
        let holds = it.holds.as_ref().map(|holds| {
            format!("; {} keys, at {} of history {}", holds.keys, holds.offset, short(&holds.replid.0))
        });
        format!("{:<24} {}{}", node.to_string(), it.why, holds.unwrap_or_default())
    };
    account.candidates.iter().map(candidate).collect()
}

/// Enough of a long name to tell it from the others.
fn short(name: &str) -> String {
    name.chars().take(8).collect()
}

fn times(account: &Account) -> Vec<String> {
    let steps = account.times.iter().map(|(step, after)| (*after, milestone(*step).to_owned()));
    let following = account.following.iter().map(|(node, after)| (*after, format!("{node} follows it")));
    let mut all: Vec<_> = steps.chain(following).collect();
    // Those at the same time stay in their order.
    all.sort_by_key(|(after, _)| *after);
    let mut lines: Vec<_> = all.iter().map(|(after, what)| format!("{:>10}  {what}", span(*after))).collect();
    if account.ending == Ending::Published && account.old.is_some() {
        lines.push(format!("without a master that takes writes: {}", without(account)));
    }
    lines
}

fn milestone(step: Milestone) -> &'static str {
    match step {
        Milestone::Lost => "the master was concluded to be lost",
        Milestone::Frozen => "the nodes were frozen and read",
        Milestone::Chosen => "the choice was made",
        Milestone::Opened => "the epoch was open, with the choice in the record",
        Milestone::Promoted => "the chosen node was a master, closed to writes",
        Milestone::Published => "it was published",
        Milestone::Writable => "it took writes",
    }
}

fn losses(account: &Account) -> Vec<String> {
    let Some(Estimate { bytes, span: in_doubt }) = account.loss else { return Vec::new() };
    let mut lines = Vec::new();
    if let Some(seen) = &account.seen {
        let how = if seen.frozen { "frozen" } else { "last seen" };
        let (offset, replid) = (seen.offset, short(&seen.replid.0));
        let age = span(seen.age);
        lines.push(format!(
            "the old master was {how} at {offset} of history {replid}, {age} before the choice"
        ));
    }
    lines.extend(bytes.map(|bytes| match bytes {
        0 => "it was not seen ahead of the new one (0 bytes)".to_owned(),
        bytes => format!("that is {bytes} bytes ahead of the new one"),
    }));
    lines.extend(in_doubt.map(|in_doubt| match in_doubt {
        Duration::ZERO => "nothing that it acknowledged is in doubt".to_owned(),
        in_doubt => format!("what it acknowledged in the last {} before its end may be lost", span(in_doubt)),
    }));
    lines
}

fn returns(account: &Account, back: &[(String, &Return)]) -> Vec<String> {
    let line = |(time, back): &(String, &Return)| {
        let Return { epoch, node, replid, offset, keys, divergence, leader } = back;
        let later = if *epoch == account.epoch { String::new() } else { format!(" in epoch {epoch}") };
        [
            format!("{node}, {time}{later}: {divergence}"),
            format!("  {keys} keys, at {offset} of history {}; told by {leader}", short(&replid.0)),
        ]
    };
    back.iter().flat_map(line).collect()
}

fn unknowns(account: &Account) -> Vec<String> {
    let mut lines = Vec::new();
    let told = account.ending == Ending::Published && matches!(account.cause, Cause::Lost(_));
    if told && account.leader.is_none() {
        lines.push("what the leader knew: a version that notes nothing began this change".to_owned());
    }
    if let Some(Estimate { bytes, span: in_doubt }) = account.loss {
        if bytes.is_none() {
            lines.push(
                "how many bytes were lost: the old master was not seen, or not in this history".to_owned(),
            );
        }
        if in_doubt.is_none() {
            lines.push("since when what was acknowledged may be lost".to_owned());
        }
        let frozen = account.seen.as_ref().is_some_and(|seen| seen.frozen);
        if !frozen {
            lines.push("what the old master took after it was last seen".to_owned());
        }
        if !frozen && !matches!(account.cause, Cause::Lost(Reason::Refused | Reason::Restarted)) {
            lines.push(
                "whether it went on taking writes: it was not frozen, and if it was only cut off, those are lost, too"
                    .to_owned(),
            );
        }
    }
    if told && !account.times.contains_key(&Milestone::Writable) {
        lines.push(
            "when the new master took writes, and who followed: the leader ended before it could tell, or has not yet"
                .to_owned(),
        );
    }
    if let (Some(other), true) = (&account.finished_by, told) {
        lines.push(format!(
            "how exact the times after the choice are: they are {other}'s, from when it saw the epoch open"
        ));
    }
    lines
}
