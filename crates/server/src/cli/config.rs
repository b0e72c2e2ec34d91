//! `redis-failover config`: the group's policy, which stands in ZooKeeper and counts for all its monitors.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use redis_failover_core::{Policy, Request};
use serde_json::{Value, json};

use super::asking::Asking;
use super::confirm::Confirmation;
use super::outcome::Outcome;
use crate::config::{StoreArgs, Wishes, settings};
use crate::failure::Failure;
use crate::output::{print, print_line};

/// What `config` is told.
#[derive(Args, Debug)]
pub(super) struct ConfigArgs {
    #[command(subcommand)]
    command: ConfigCommand,
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Show the group's policy as it stands in ZooKeeper.
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

    #[command(flatten)]
    confirmation: Confirmation,
}

pub(super) fn run(args: &ConfigArgs) -> Result<ExitCode, Failure> {
    match &args.command {
        ConfigCommand::Show(args) => show(args),
        ConfigCommand::Set(args) => set(args),
    }
}

fn show(args: &ShowArgs) -> Result<ExitCode, Failure> {
    let record = super::record(&args.store)?;
    if args.json {
        print_line(Value::Object(settings(&record.policy)))?;
    } else {
        print(as_text(&record.policy, record.monitors.len()))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The settings as lines of a configuration file, which has no quorum where it is the majority.
fn as_text(policy: &Policy, registered: usize) -> String {
    let line = |(key, value): (String, Value)| {
        if key == "quorum" && policy.quorum().is_none() {
            let quorum = policy.quorum_of(registered);
            return format!("# quorum = the majority: {quorum} of {registered} registered monitors\n");
        }
        format!("{key} = {value}\n")
    };
    settings(policy).into_iter().map(line).collect()
}

fn set(args: &SetArgs) -> Result<ExitCode, Failure> {
    let wishes = Wishes::parse(&args.wishes)?;
    let record = super::record(&args.asking.store)?;
    let after = wishes.over(&record.policy)?;
    let changes = changes(&record.policy, &after);
    if !args.asking.json {
        print(as_diff(&changes))?;
    }
    let told = |outcome: Outcome| outcome.with("changes", as_json(&changes)).show(args.asking.json);
    if changes.is_empty() {
        return told(Outcome::done("the group has this policy already"));
    }
    if args.dry_run {
        return told(Outcome::looked_at("nothing was changed"));
    }
    let what = changes.iter().map(|(key, (before, after))| format!("{key} would be {after} (is {before})"));
    let what = what.collect::<Vec<_>>().join(", ");
    args.confirmation.ask(&what, &format!("Change this for all monitors of {}?", args.asking.store.path))?;
    let (before, after) = (Box::new(record.policy), Box::new(after));
    told(Outcome::of(args.asking.answer(&Request::Configure { before, after })?)?)
}

/// The changes for people.
fn as_diff(changes: &[Change]) -> String {
    let lines = |(key, (before, after)): &Change| format!("- {key} = {before}\n+ {key} = {after}\n");
    changes.iter().map(lines).collect()
}

/// The changes as an object: each key with both values.
fn as_json(changes: &[Change]) -> Value {
    let change = |(key, (before, after)): &Change| (key.clone(), json!({ "before": before, "after": after }));
    Value::Object(changes.iter().map(change).collect())
}

/// A key and its values before and after.
type Change = (String, (Value, Value));

/// The settings that differ, with both values.
fn changes(before: &Policy, after: &Policy) -> Vec<Change> {
    let pairs = settings(before).into_iter().zip(settings(after));
    let differing = pairs.filter(|((_, before), (_, after))| before != after);
    differing.map(|((key, before), (_, after))| (key, (before, after))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changed(wishes: &[&str]) -> Policy {
        let wishes: Vec<_> = wishes.iter().map(|wish| (*wish).to_owned()).collect();
        Wishes::parse(&wishes).and_then(|wishes| wishes.over(&Policy::default())).expect("they are right")
    }

    #[test]
    fn a_policy_is_shown_as_lines_of_a_configuration_file() {
        let shown = "\
# quorum = the majority: 2 of 3 registered monitors
down_after = \"1s\"
probe_interval = \"200ms\"
misconf_is_unusable = false
refusal_waits = false
link_grace = \"5s\"
third_failover_waits = \"60s\"
discover = \"promote\"
fencing = \"replicas\"
on_divergence = \"discard\"
parallel_syncs = 1
";
        assert_eq!(as_text(&Policy::default(), 3), shown);
        let own = as_text(&changed(&["quorum=2", "down_after=1500ms"]), 3);
        assert!(own.starts_with("quorum = 2\ndown_after = \"1500ms\"\n"), "{own}");
    }

    #[test]
    fn a_change_is_shown_with_what_was_before() {
        let changes = changes(&Policy::default(), &changed(&["quorum=2", "fencing=off"]));
        let diff = "\
- quorum = \"majority\"
+ quorum = 2
- fencing = \"replicas\"
+ fencing = \"off\"
";
        assert_eq!(as_diff(&changes), diff);
        let json = json!({
            "quorum": { "before": "majority", "after": 2 },
            "fencing": { "before": "replicas", "after": "off" },
        });
        assert_eq!(as_json(&changes), json);
    }
}
