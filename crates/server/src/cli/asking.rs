//! What every command has that asks the leader for something: where, for how long, and how the answer is shown.

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use redis_failover_core::{Answer, Request};
use serde_json::json;

use super::ask::answer;
use crate::config::{StoreArgs, parse_time};
use crate::failure::{Failure, Kind};

/// Whom to ask, and how.
#[derive(Args, Debug)]
pub(super) struct Asking {
    #[command(flatten)]
    pub(super) store: StoreArgs,

    /// How long to wait for the leader's answer.
    #[arg(long, value_name = "TIME", default_value = "15s", value_parser = parse_time)]
    timeout: Duration,

    /// Print the answer as one JSON object, a refusal too.
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
        let answer = self.answer(request)?;
        let (word, text) = match &answer {
            Answer::Done(text) => ("done", text),
            Answer::Refused(text) => ("refused", text),
        };
        if self.json {
            println!("{}", json!({ "answer": word, "text": text }));
        }
        match answer {
            Answer::Done(_) if self.json => Ok(ExitCode::SUCCESS),
            Answer::Done(text) => {
                println!("done: {text}");
                Ok(ExitCode::SUCCESS)
            }
            Answer::Refused(text) => Err(Failure::new(Kind::Failed, format!("refused: {text}"))),
        }
    }
}

/// Who asks: the user and the host.
pub(super) fn who() -> String {
    let user = nix::unistd::User::from_uid(nix::unistd::geteuid()).ok().flatten().map(|user| user.name);
    let user = user.unwrap_or_else(|| nix::unistd::geteuid().to_string());
    format!("{user}@{}", crate::config::host_name())
}
