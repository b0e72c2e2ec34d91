//! Whether the monitors' user may do what monitors do. Nothing is done to find out: a server checks a command's name
//! and the user's rights when it queues the command in a transaction, and this transaction is never executed.

use std::collections::BTreeSet;

use redis::{RedisError, Value};

use super::facts::Right;
use crate::redis_link::RedisLink;

/// What monitors send, in the ACL's words, with arguments that would do nothing if it were executed after all.
///
/// The number of arguments has to be right: that is checked before the rights are.
const NEEDED: [&[&str]; 13] = [
    &["ping"],
    &["info"],
    &["replicaof", "nobody", "no-port"],
    &["client|setname", "redis-failover-doctor"],
    &["client|id"],
    &["client|list"],
    &["client|kill", "id", "0"],
    &["client|pause", "no-time"],
    &["client|unpause"],
    &["config|get", "no-such-setting"],
    &["config|set", "no-such-setting", "0"],
    &["config|rewrite"],
    SAVE,
];

/// What only those monitors send that save what a node alone holds.
const SAVE: &[&str] = &["bgsave", "no-such-option"];

/// Those without which nothing goes; the others' absence costs something.
pub(super) const VITAL: [&str; 5] = ["multi", "exec", "ping", "info", "replicaof"];

/// Adds to `refused` what the user may not do, and to `unknown` what the server does not have. The link is of no use
/// afterwards, for it is in the middle of a transaction.
///
/// # Errors
/// When the connection broke.
pub(super) async fn ask(
    mut link: RedisLink,
    saves: bool,
    (refused, unknown): (&mut BTreeSet<Right>, &mut BTreeSet<Right>),
) -> Result<(), RedisError> {
    let mut note = |right: &'static str, reply: &Value| match verdict(reply) {
        Verdict::Allowed => {}
        Verdict::Refused => drop(refused.insert(Right(right))),
        Verdict::Unknown => drop(unknown.insert(Right(right))),
    };
    // An empty transaction can be executed.
    let mut empty = redis::pipe();
    empty.cmd("MULTI").cmd("EXEC");
    for (right, reply) in ["multi", "exec"].into_iter().zip(link.ask(&empty).await?) {
        note(right, &reply);
    }
    let mut opening = redis::pipe();
    opening.cmd("MULTI");
    let opened = link.ask(&opening).await?.pop();
    // Only in a transaction nothing is executed.
    if !matches!(opened, Some(Value::Okay)) {
        return Ok(());
    }
    let needed: Vec<_> = NEEDED.iter().filter(|words| saves || **words != SAVE).collect();
    let mut questions = redis::pipe();
    for words in &needed {
        for (index, word) in words.iter().flat_map(|word| word.split('|')).enumerate() {
            if index == 0 {
                questions.cmd(word);
            } else {
                questions.arg(word);
            }
        }
    }
    for (words, reply) in needed.iter().zip(link.ask(&questions).await?) {
        note(words[0], &reply);
    }
    Ok(())
}

enum Verdict {
    Allowed,
    Refused,
    Unknown,
}

fn verdict(reply: &Value) -> Verdict {
    match reply {
        Value::ServerError(error) => {
            let words = format!("{} {}", error.code(), error.details().unwrap_or_default());
            // That EXEC is refused stands behind EXECABORT.
            if words.contains("NOPERM") {
                Verdict::Refused
            } else if words.contains("unknown") {
                Verdict::Unknown
            } else {
                Verdict::Allowed
            }
        }
        _ => Verdict::Allowed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_of_the_documentation_gives_what_is_asked_for_and_no_more() {
        let page = include_str!("../../../../../docs/operating.md");
        let line = page.lines().find(|line| line.starts_with("ACL SETUSER failover ")).expect("the line");
        let given: BTreeSet<_> = line.split(' ').filter_map(|word| word.strip_prefix('+')).collect();
        let asked = NEEDED.iter().map(|words| words[0]).chain(["multi", "exec"]).collect();
        assert_eq!(given, asked);
    }
}
