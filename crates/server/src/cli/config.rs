//! `redis-failover config`: the group's policy, which stands in ZooKeeper and counts for all its monitors.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use redis_failover_core::{Policy, Request, Topology};
use serde_json::{Value, json};

use super::asking::Asking;
use super::confirm::confirm;
use super::outcome::Outcome;
use crate::config::{StoreArgs, Wishes, settings};
use crate::failure::Failure;
use crate::output::print_line;

/// What `config` is told.
#[derive(Args, Debug)]
pub(super) struct ConfigArgs {
    #[command(subcommand)]
    command: ConfigCommand,
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Show the group's policy as it stands in `ZooKeeper`.
    Show(ShowArgs),
    /// Change the group's policy, for all its monitors at once.
    Set(SetArgs),
}

#[derive(Args, Debug)]
struct ShowArgs {
    #[command(flatten)]
    store: StoreArgs,

    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

#[derive(Args, Debug)]
struct SetArgs {
    #[command(flatten)]
    asking: Asking,

    /// A key and its value as in a configuration file, which quotation marks may be left out of; `quorum=majority` for
    /// that of the registered monitors.
    #[arg(value_name = "KEY=VALUE", required = true)]
    wishes: Vec<String>,

    /// Show what would be changed, and change nothing.
    #[arg(long)]
    dry_run: bool,

    /// Change it without asking.
    #[arg(long)]
    yes: bool,
}

pub(super) fn run(args: &ConfigArgs) -> Result<ExitCode, Failure> {
    match &args.command {
        ConfigCommand::Show(args) => show(args),
        ConfigCommand::Set(args) => set(args),
    }
}

fn show(args: &ShowArgs) -> Result<ExitCode, Failure> {
    let record = super::record(&args.store)?;
    let settings = settings(&record.policy);
    if args.json {
        print_line(Value::Object(settings))?;
        return Ok(ExitCode::SUCCESS);
    }
    for (key, value) in &settings {
        print_line(line(key, value, &record))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// A setting as a line of a configuration file, which has no quorum where it is the majority.
fn line(key: &str, value: &Value, record: &Topology) -> String {
    if key == "quorum" && record.policy.quorum().is_none() && value.is_string() {
        let registered = record.monitors.len();
        let quorum = Policy::default().quorum_of(registered);
        return format!("# quorum = the majority: {quorum} of {registered} registered monitors");
    }
    format!("{key} = {value}")
}

fn set(args: &SetArgs) -> Result<ExitCode, Failure> {
    let wishes = Wishes::parse(&args.wishes)?;
    let record = super::record(&args.asking.store)?;
    let after = wishes.over(&record.policy)?;
    let changes = changes(&record.policy, &after);
    if !args.asking.json {
        for (key, (before, after)) in &changes {
            print_line(format_args!("- {key} = {before}\n+ {key} = {after}"))?;
        }
    }
    let told = |outcome: Outcome| outcome.with("changes", as_json(&changes)).show(args.asking.json);
    if changes.is_empty() {
        return told(Outcome::done("the group has this policy already"));
    }
    if args.dry_run {
        return told(Outcome::looked_at("nothing was changed"));
    }
    confirm(&format!("Change this for all monitors of {}?", args.asking.store.path), args.yes)?;
    let (before, after) = (Box::new(record.policy), Box::new(after));
    told(Outcome::of(args.asking.answer(&Request::Configure { before, after })?)?)
}

/// The changes as an object: each key with both values.
fn as_json(changes: &[(String, (Value, Value))]) -> Value {
    let change = |(key, (before, after)): &(String, (Value, Value))| {
        (key.clone(), json!({ "before": before, "after": after }))
    };
    Value::Object(changes.iter().map(change).collect())
}

/// The settings that differ, with both values.
fn changes(before: &Policy, after: &Policy) -> Vec<(String, (Value, Value))> {
    let pairs = settings(before).into_iter().zip(settings(after));
    let differing = pairs.filter(|((_, before), (_, after))| before != after);
    differing.map(|((key, before), (_, after))| (key, (before, after))).collect()
}
