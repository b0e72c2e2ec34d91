//! Our programs, built and found where cargo says that they are.
//!
//! It starts none of them.

use std::path::PathBuf;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::command::{self, cargo};

/// The program that users get.
pub(crate) const SHIPPED: &str = "redis-failover";

/// The program that tries it out.
pub(crate) const TRIAL: &str = "redis-failover-trial";

/// The features with which the tests build everything: whatever else is built with these is not built twice.
///
/// The root manifest is virtual, so this is the whole workspace. Saying `--workspace` would make `-p` in somebody's
/// arguments mean nothing.
pub(crate) const WHOLE: &str = "--features redis-failover/r2d2,redis-failover/metrics,redis-failover/tls";

/// How programs are built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Build {
    /// As users get them.
    Release,
    /// As the tests build them, with all that is in there.
    Tested,
}

impl Build {
    /// The messages say where the programs are, for that depends on variables and configuration that only cargo knows
    /// all of.
    fn words(self) -> String {
        let what = match self {
            // With the server, which the trial may start beside itself.
            Self::Release => "--release -p redis-failover-trial -p redis-failover-server".to_owned(),
            // Only where something that may use dev-dependencies is built too does cargo add their features.
            Self::Tested => format!("{WHOLE} --bins --example quickstart"),
        };
        format!("build --locked {what} --message-format json-render-diagnostics")
    }
}

/// Builds our programs and says where `program` is.
///
/// # Errors
///
/// When they cannot be built.
pub(crate) fn built(build: Build, program: &str) -> Result<PathBuf> {
    let messages = command::output(&mut cargo(&build.words()))?;
    executable(&messages, program).with_context(|| format!("cargo built no {program}"))
}

/// Where the program is, by cargo's messages, one a line.
fn executable(messages: &str, program: &str) -> Option<PathBuf> {
    let messages = messages.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let mut executables = messages.filter_map(|message| {
        let is_program = message["target"]["name"] == program;
        message["executable"].as_str().filter(|_| is_program).map(PathBuf::from)
    });
    executables.next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_where_cargo_says() {
        let messages = r#"
{"reason":"compiler-artifact","target":{"name":"redis_failover_trial"},"executable":null}
{"reason":"compiler-artifact","target":{"name":"redis-failover"},"executable":"/t/release/redis-failover"}
no message
{"reason":"compiler-artifact","target":{"name":"redis-failover-trial"},"executable":"/t/release/redis-failover-trial"}
{"reason":"build-finished","success":true}
"#;
        assert_eq!(executable(messages, TRIAL), Some("/t/release/redis-failover-trial".into()));
        assert_eq!(executable(messages, SHIPPED), Some("/t/release/redis-failover".into()));
        assert_eq!(executable("", TRIAL), None);
    }

    #[test]
    fn what_is_tested_is_built_with_the_features_of_the_tests() {
        assert!(Build::Tested.words().contains(WHOLE));
        assert!(!Build::Release.words().contains(WHOLE));
    }
}
