//! `cargo xtask demo`, `cargo xtask bench` and `cargo xtask soak`: the trial program, built as users build ours, and
//! what it needs.
//!
//! It never interprets the arguments, which are the trial's own, but to know which servers they ask for.

use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::command::{self, cargo};
use crate::packages::{self, JAVA, Need, REDIS, ZOOKEEPER};

const PROGRAM: &str = "redis-failover-trial";
/// With the server, which the trial may start beside itself. The messages say where the program is, for that depends
/// on variables and configuration that only cargo knows all of.
const BUILD: &str = "build --release --locked -p redis-failover-trial -p redis-failover-server \
                     --message-format json-render-diagnostics";

/// Builds the trial and becomes it, in the caller's `folder`, so that relative paths mean what they say.
///
/// # Errors
///
/// When something that it needs is missing, or it cannot be built or started. Otherwise this does not return: signals
/// and the exit code are the trial's.
pub(crate) fn run(task: &str, arguments: &[String], folder: &Path) -> Result<()> {
    packages::ensure(&needs(task, arguments))?;
    let messages = command::output(&mut cargo(BUILD))?;
    let program = executable(&messages).with_context(|| format!("cargo built no {PROGRAM}"))?;
    let mut trial = Command::new(program);
    trial.arg(task).args(arguments).current_dir(folder);
    let error = trial.exec();
    Err(error).with_context(|| format!("cannot start `{}`", command::typed(&trial)))
}

fn needs(task: &str, arguments: &[String]) -> Vec<&'static Need> {
    let has = |flag: &str| {
        let is_flag = |rest: &str| rest.is_empty() || rest.starts_with('=');
        arguments.iter().any(|argument| argument.strip_prefix(flag).is_some_and(is_flag))
    };
    if has("--help") || has("-h") {
        return vec![];
    }
    if task == "soak" || has("--zookeeper") { vec![&REDIS, &ZOOKEEPER, &JAVA] } else { vec![&REDIS] }
}

/// Where the program is, by cargo's messages, one a line.
fn executable(messages: &str) -> Option<PathBuf> {
    let messages = messages.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let mut executables = messages.filter_map(|message| {
        let is_program = message["target"]["name"] == PROGRAM;
        message["executable"].as_str().filter(|_| is_program).map(PathBuf::from)
    });
    executables.next()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(task: &str, arguments: &[&str]) -> Vec<&'static str> {
        let arguments: Vec<String> = arguments.iter().map(ToString::to_string).collect();
        needs(task, &arguments).iter().map(|need| need.name).collect()
    }

    #[test]
    fn only_what_the_arguments_ask_for_is_needed() {
        let all = ["redis-server", "ZooKeeper", "a Java runtime"];
        assert_eq!(names("demo", &[]), all[..1]);
        assert_eq!(names("bench", &["client", "--zookeepers", "zookeeper"]), all[..1]);
        assert_eq!(names("demo", &["--seconds", "9", "--zookeeper"]), all);
        assert_eq!(names("bench", &["client", "--zookeeper=x"]), all);
        assert_eq!(names("demo", &["--zookeeper", "--help"]), all[..0]);
        assert_eq!(names("soak", &["--minutes", "1"]), all);
        assert_eq!(names("soak", &["-h"]), all[..0]);
    }

    #[test]
    fn the_program_is_where_cargo_says() {
        let messages = r#"
{"reason":"compiler-artifact","target":{"name":"redis_failover_trial"},"executable":null}
{"reason":"compiler-artifact","target":{"name":"redis-failover"},"executable":"/t/release/redis-failover"}
no message
{"reason":"compiler-artifact","target":{"name":"redis-failover-trial"},"executable":"/t/release/redis-failover-trial"}
{"reason":"build-finished","success":true}
"#;
        assert_eq!(executable(messages), Some("/t/release/redis-failover-trial".into()));
        assert_eq!(executable(""), None);
    }
}
