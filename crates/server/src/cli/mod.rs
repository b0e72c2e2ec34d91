//! The command line: one file for each command. It reads the store for people, and needs no running monitor.

mod adopt;
mod ask;
mod asking;
mod bars;
mod check_config;
mod completions;
mod config;
mod config_keys;
mod confirm;
mod doctor;
mod exit_codes;
#[cfg(test)]
mod expect;
mod failover;
mod history;
mod import_sentinel;
mod interrupt;
mod layout;
mod man;
mod monitor;
mod monitors;
mod node;
mod outcome;
mod pause;
mod place;
mod replay;
mod resync;
mod run;
mod status;
mod switchover;
mod top;

use std::process::ExitCode;
use std::time::Duration;

use clap::{ArgMatches, Parser, Subcommand, ValueEnum};
use redis_failover_core::{Found, Topology};
use redis_failover_store::ZooKeeper;

use crate::config::{RunArgs, StoreArgs};
use crate::failure::{Failure, Kind};

/// Automatic failover for Redis and Valkey, coordinated by ZooKeeper.
#[derive(Debug, Parser)]
#[command(
    name = "redis-failover",
    version,
    about = "Automatic failover for Redis and Valkey, coordinated by ZooKeeper.",
    after_help = exit_codes::help()
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,

    /// How log lines are written, to standard error.
    #[arg(long, global = true, value_enum, default_value = "text", env = "REDIS_FAILOVER_LOG_FORMAT")]
    pub log_format: LogFormat,

    /// Which log lines: error, warn, info, debug or trace, or per module as tracing's filters write it.
    #[arg(
        long,
        global = true,
        default_value = "info,zookeeper_client=warn",
        value_name = "FILTER",
        env = "REDIS_FAILOVER_LOG"
    )]
    pub log: String,
}

/// How log lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Watch groups, and replace a master that is lost.
    Run(Box<RunArgs>),
    /// Show who is who in a group, and what the monitors see.
    Status(status::StatusArgs),
    /// Show groups and their nodes on the whole screen, as they are now.
    Top(Box<top::TopArgs>),
    /// Find what will bite: asks ZooKeeper and each node how they are set up, and changes nothing.
    Doctor(doctor::DoctorArgs),
    /// List a group's changes of master, the newest last.
    History(history::HistoryArgs),
    /// Tell all that is known of one change of master: why then, who voted, whom the leader could choose from, how long
    /// each step took, what was lost.
    Explain(history::ExplainArgs),
    /// Say which node is the master, where several could be or the record in ZooKeeper was lost.
    Adopt(adopt::AdoptArgs),
    /// Have another node take over from a master that serves, without an error or a lost write.
    Switchover(switchover::SwitchoverArgs),
    /// Do now a failover that waits because it is the third within ten minutes; or one that nobody else wants, whatever
    /// is lost by that.
    Failover(failover::FailoverArgs),
    /// Begin no change of master for a while, and say when one would have been begun. All else goes on.
    Pause(pause::PauseArgs),
    /// End the pause: a master that is lost is replaced at once.
    Resume(pause::ResumeArgs),
    /// Give up what a node alone holds, which is held back until that is saved: it becomes a copy of the master.
    Resync(resync::ResyncArgs),
    /// A group's nodes: which there are, and what operators have said of each.
    Node(Box<node::NodeArgs>),
    /// A group's monitors; without a command the same as `run`.
    Monitor(Box<monitor::MonitorArgs>),
    /// Show what a monitor decided and why, from its journal; connects to nobody.
    Replay(replay::ReplayArgs),
    /// Check the options of `run` or a configuration file, and show what they mean; connects to nobody.
    CheckConfig(Box<check_config::CheckArgs>),
    /// Write a configuration file from those of Redis Sentinel, and list what has no counterpart; connects to nobody.
    ImportSentinel(Box<import_sentinel::ImportArgs>),
    /// A group's policy: quorum, deadlines and what else counts for all its monitors.
    Config(config::ConfigArgs),
    /// Show every key of a configuration file, in Markdown.
    ConfigKeys(config_keys::KeysArgs),
    /// Print what a shell needs to complete commands and options.
    Completions(completions::CompletionsArgs),
    /// Print the man page, or write one for each command.
    Man(man::ManArgs),
}

impl Cli {
    /// Whether it draws again and again what it has to say, faults too: log lines between would only spoil that.
    pub(crate) fn draws(&self) -> bool {
        match &self.command {
            Command::Status(args) => args.watches(),
            Command::Top(_) => true,
            _ => false,
        }
    }

    /// Carries the command out.
    ///
    /// # Errors
    /// What a person must be told.
    pub(crate) fn run(self) -> Result<ExitCode, Failure> {
        match self.command {
            Command::Run(args) => run::run(*args),
            Command::Status(args) => status::run(&args),
            Command::Top(args) => top::run(&args),
            Command::Doctor(args) => doctor::run(&args),
            Command::History(args) => history::list(&args),
            Command::Explain(args) => history::explain(&args),
            Command::Adopt(args) => adopt::run(args),
            Command::Switchover(args) => switchover::run(&args),
            Command::Failover(args) => failover::run(&args),
            Command::Pause(args) => pause::run(args),
            Command::Resume(args) => pause::resume(&args),
            Command::Resync(args) => resync::run(args),
            Command::Node(args) => node::run(*args),
            Command::Monitor(args) => monitor::run(*args),
            Command::Replay(args) => replay::run(&args),
            Command::Config(args) => config::run(&args),
            Command::CheckConfig(args) => check_config::run(*args),
            Command::ImportSentinel(args) => import_sentinel::run(*args),
            Command::ConfigKeys(args) => config_keys::run(&args),
            Command::Completions(args) => completions::run(&args),
            Command::Man(args) => man::run(&args),
        }
    }
}

/// Whether the command, or the command of that command, was given `--json`: then a program reads what it is told.
pub(crate) fn wants_json(matches: &ArgMatches) -> bool {
    match matches.subcommand() {
        Some((_, inner)) => wants_json(inner),
        None => matches.try_get_one("json").ok().flatten().is_some_and(|json: &bool| *json),
    }
}

/// The runtime that commands run on: what waits is the network, so one thread serves.
fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| Failure::new(Kind::Failed, format!("no runtime: {error}")))
}

/// A session with the servers of a group, for one look or one request.
///
/// # Errors
/// When a file that says how they are called can't be used, or the system grants no thread.
fn connect(store: &StoreArgs, session_timeout: Duration) -> Result<ZooKeeper, Failure> {
    ZooKeeper::connect_with(store.zkhosts.clone(), session_timeout, &store.access()?)
        .map_err(|error| Failure::new(Kind::Failed, format!("no session with ZooKeeper: {error}")))
}

/// The record of a group.
///
/// # Errors
/// When there is none, or none that this version can read.
fn record(store: &StoreArgs) -> Result<Topology, Failure> {
    let snapshot = runtime()?.block_on(status::snapshot(store))?;
    let read = snapshot.record.map_err(|unreadable| Failure::new(Kind::Failed, unreadable))?;
    match read.found {
        Found::Record(record) => Ok(*record),
        Found::Nothing | Found::Predecessor { .. } => {
            Err(Failure::new(Kind::Failed, format!("{} has no record", store.path))
                .hint("is the path right (-p), and does a monitor lead it?"))
        }
    }
}
