//! `cargo xtask demo`, `cargo xtask bench` and `cargo xtask soak`: the trial program, and what it needs.
//!
//! It never interprets the arguments, which are the trial's own, but to know which servers they ask for.

use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use crate::packages::{self, JAVA, Need, REDIS, ZOOKEEPER};
use crate::programs::{self, Build, TRIAL};
use crate::{clients, command, servers};

/// Builds the trial and becomes it, in the caller's `folder`, so that relative paths mean what they say.
///
/// # Errors
///
/// When something that it needs is missing, or it cannot be built or started. Otherwise this does not return: signals
/// and the exit code are the trial's.
pub(crate) fn run(build: Build, task: &str, arguments: &[String], folder: &Path) -> Result<()> {
    packages::ensure(&needs(task, arguments))?;
    if is_beside_others(arguments) {
        servers::fetch()?;
    }
    if is_of_clients(arguments) {
        clients::fetch()?;
    }
    let mut trial = Command::new(programs::built(build, TRIAL)?);
    trial.arg(task).args(arguments).current_dir(folder);
    let error = trial.exec();
    Err(error).with_context(|| format!("cannot start `{}`", command::typed(&trial)))
}

fn needs(task: &str, arguments: &[String]) -> Vec<&'static Need> {
    if asks_for_help(arguments) {
        return vec![];
    }
    let with_endpoints = is_of_clients(arguments);
    let shipped =
        task == "soak" || is_switchover(arguments) || with_endpoints || has(arguments, "--zookeeper");
    if shipped { vec![&REDIS, &ZOOKEEPER, &JAVA] } else { vec![&REDIS] }
}

/// Whether servers of other versions are measured, too.
fn is_beside_others(arguments: &[String]) -> bool {
    is_switchover(arguments) && has(arguments, "--vs")
}

fn is_switchover(arguments: &[String]) -> bool {
    arguments.first().is_some_and(|subject| subject == "switchover")
}

/// Whether clients of other languages are measured.
fn is_of_clients(arguments: &[String]) -> bool {
    !asks_for_help(arguments) && arguments.first().is_some_and(|subject| subject == "sentinel-clients")
}

fn asks_for_help(arguments: &[String]) -> bool {
    has(arguments, "--help") || has(arguments, "-h")
}

fn has(arguments: &[String], flag: &str) -> bool {
    let is_flag = |rest: &str| rest.is_empty() || rest.starts_with('=');
    arguments.iter().any(|argument| argument.strip_prefix(flag).is_some_and(is_flag))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(arguments: &[&str]) -> Vec<String> {
        arguments.iter().map(ToString::to_string).collect()
    }

    fn names(task: &str, arguments: &[&str]) -> Vec<&'static str> {
        needs(task, &words(arguments)).iter().map(|need| need.name).collect()
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
        assert_eq!(names("bench", &["switchover"]), all);
        assert_eq!(names("bench", &["sentinel-clients"]), all);
        assert_eq!(names("bench", &["loss", "--fault", "switchover"]), all[..1]);
    }

    #[test]
    fn other_versions_are_fetched_only_where_they_are_measured() {
        assert!(is_beside_others(&words(&["switchover", "--vs", "sentinel"])));
        assert!(is_beside_others(&words(&["switchover", "--vs=sentinel"])));
        assert!(!is_beside_others(&words(&["switchover", "--runs", "3"])));
        assert!(!is_beside_others(&words(&["loss", "--vs", "sentinel"])));
    }

    #[test]
    fn clients_are_fetched_only_where_they_are_measured() {
        assert!(is_of_clients(&words(&["sentinel-clients", "--runs", "1"])));
        assert!(!is_of_clients(&words(&["sentinel-clients", "--help"])));
        assert!(!is_of_clients(&words(&["client", "--part", "pipelines"])));
    }
}
