//! The tests in network namespaces: targets of their own, which no runner takes up unless it is told their name.
//!
//! It makes no namespace that stays, and has none to clean up: those of the tests have no names and end with them.

use std::process::Command;

use crate::command;

/// Whether this user may make network namespaces, with mounts of their own.
pub(super) fn possible() -> bool {
    command::succeeds(Command::new("unshare").args(["--net", "--mount", "true"]))
}

/// The arguments that make a runner run these tests and no others.
pub(super) fn tests() -> Vec<String> {
    ["--test", "netns"].map(str::to_owned).into()
}
