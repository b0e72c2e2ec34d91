//! What every command has that asks the leader for something: where, for how long, and how the answer is shown. A new
//! command takes [`Asking`] in and calls [`Asking::ask`], which tells all that comes of it, in JSON too.

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use redis_failover_core::{Answer, Request};

use super::ask::answer;
use super::outcome::Outcome;
use crate::config::{StoreArgs, parse_time};
use crate::failure::Failure;

/// Whom to ask, and how.
#[derive(Args, Debug)]
pub(super) struct Asking {
    #[command(flatten)]
    pub(super) store: StoreArgs,

    /// How long to wait for the leader's answer.
    #[arg(long, value_name = "TIME", default_value = "15s", value_parser = parse_time)]
    timeout: Duration,

    /// Print what came of it as one JSON object, also where it is refused or fails.
    #[arg(long)]
    pub(super) json: bool,
}

impl Asking {
    /// Leaves `request` for the leader and waits for its answer.
    ///
    /// # Errors
    /// When there is no leader, or it does not answer.
    pub(super) fn answer(&self, request: &Request) -> Result<Answer, Failure> {
        super::runtime()?.block_on(answer(&self.store, request, self.timeout))
    }

    /// Leaves `request` for the leader and prints its answer.
    ///
    /// # Errors
    /// When there is no leader, when it refuses, or when it does not answer.
    pub(super) fn ask(&self, request: &Request) -> Result<ExitCode, Failure> {
        Outcome::of(self.answer(request)?)?.show(self.json)
    }
}

/// Who asks: the user and the host.
pub(super) fn who() -> String {
    let user = nix::unistd::User::from_uid(nix::unistd::geteuid()).ok().flatten().map(|user| user.name);
    let user = user.unwrap_or_else(|| nix::unistd::geteuid().to_string());
    format!("{user}@{}", crate::config::host_name())
}
