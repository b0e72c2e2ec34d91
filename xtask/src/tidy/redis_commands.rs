//! Administrative Redis commands: who may send them.
//!
//! It looks at string literals outside tests and never at comments; reading with `CONFIG GET` is everybody's.

use super::source::Source;
use super::{Finding, Rule};

static ADMINISTRATION: Rule = Rule {
    name: "one place for administrative commands",
    why: "What changes a Redis server is guarded by term and epoch, and one file can be read to see that.",
};

const PLACE: &str = "crates/server/src/monitor/redis_admin.rs";
/// Its parts.
const PARTS: &str = "crates/server/src/monitor/redis_admin/";
const FOLDERS: [&str; 4] =
    ["crates/core/src/", "crates/store/src/", "crates/client/src/", "crates/server/src/"];
/// As literals begin that hold such a command; its second word may be a literal of its own.
const COMMANDS: [&str; 9] = [
    "REPLICAOF",
    "SLAVEOF",
    "FAILOVER",
    "CONFIG SET",
    "CONFIG REWRITE",
    "CLIENT KILL",
    "CLIENT PAUSE",
    "CLIENT UNPAUSE",
    "BGSAVE",
];

/// Checks the rule of this module.
pub(super) fn check(source: &Source) -> Vec<Finding> {
    let is_place = source.path == PLACE || source.path.starts_with(PARTS);
    if is_place || !FOLDERS.iter().any(|folder| source.path.starts_with(folder)) {
        return Vec::new();
    }
    let following = source.literals.iter().skip(1).map(|literal| literal.text.as_str()).chain([""]);
    let literals = source.literals.iter().zip(following);
    literals
        .filter(|(literal, _)| !source.is_test(literal.line))
        .filter_map(|(literal, next)| {
            let text = format!("{} {next}", literal.text);
            let command = COMMANDS.iter().find(|command| begins_with(&text, command))?;
            let (file, what) = (source.path.clone(), format!("`{command}` belongs into {PLACE}"));
            Some(Finding { file, line: literal.line, rule: &ADMINISTRATION, what })
        })
        .collect()
}

/// Whether the first words are those of the command. A backslash, as of `\r\n`, ends a word too.
fn begins_with(text: &str, command: &str) -> bool {
    let mut words = text.split([' ', '\\']).filter(|word| !word.is_empty());
    command.split_whitespace().all(|word| words.next() == Some(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(path: &str, text: &str) -> Vec<usize> {
        check(&Source::parse(path, text)).iter().map(|finding| finding.line).collect()
    }

    #[test]
    fn administrative_commands_are_found() {
        let bad = [
            r#"redis::cmd("REPLICAOF").arg("NO").arg("ONE")"#,
            r#"redis::cmd("SLAVEOF")"#,
            r#"redis::cmd("FAILOVER").arg("ABORT")"#,
            "redis::cmd(\"CONFIG\")\n    .arg(\"SET\")",
            r#"redis::cmd("CONFIG").arg("REWRITE")"#,
            r#"redis::cmd("CLIENT").arg("KILL")"#,
            r#"redis::cmd("CLIENT").arg("PAUSE")"#,
            r#"write("CLIENT UNPAUSE\r\n")"#,
            r#"write(b"CONFIG SET a b")"#,
            r#"redis::cmd("BGSAVE")"#,
        ];
        for text in bad {
            assert_eq!(lines("crates/server/src/app.rs", text), [1], "{text}");
            assert_eq!(lines("crates/client/src/link.rs", text), [1], "{text}");
            assert_eq!(lines(PLACE, text), [0; 0], "{text}");
            assert_eq!(lines(&format!("{PARTS}snapshot.rs"), text), [0; 0], "{text}");
        }
    }

    #[test]
    fn reading_and_talking_are_allowed() {
        let good = [
            r#"redis::cmd("CONFIG").arg("GET").arg("SET")"#,
            r#"redis::cmd("CLIENT").arg("LIST")"#,
            r#"// redis::cmd("REPLICAOF")"#,
            r#"print("the CONFIG SET failed")"#,
            r#"parse("failover")"#,
            "#[cfg(test)]\nmod tests {\n    fake(\"REPLICAOF\");\n}",
        ];
        for text in good {
            assert_eq!(lines("crates/server/src/app.rs", text), [0; 0], "{text}");
        }
        assert_eq!(lines("crates/lab/src/redis.rs", r#"cmd("REPLICAOF")"#), [0; 0]);
    }
}
