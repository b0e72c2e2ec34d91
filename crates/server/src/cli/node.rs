//! `redis-failover node`: which nodes a group has, and what its operators have said of each.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use redis_failover_core::{Member, NodeAddr, Order, Request, Topology};
use serde_json::{Value, json};

use super::asking::Asking;
use super::bars;
use super::confirm::Confirmation;
use crate::config::{StoreArgs, parse_node};
use crate::failure::Failure;
use crate::output::print_line;

/// What `node` is told.
#[derive(Args, Debug)]
pub(super) struct NodeArgs {
    #[command(subcommand)]
    command: NodeCommand,
}

#[derive(Debug, Subcommand)]
enum NodeCommand {
    /// Show the group's nodes and what operators have said of each.
    List(ListArgs),
    /// Take a node in: it is told to follow the master. It must hold nothing of its own.
    Add(OneArgs),
    /// Strike a node out, one that has ended or follows nobody: it is neither watched nor published any more.
    Remove(RemoveArgs),
    /// Take a replica out of service: nobody reads from it, and it does not take over.
    Drain(SwitchArgs),
    /// Have a node never take over.
    NoPromote(SwitchArgs),
    /// Say in which order nodes take over that hold the same.
    Priority(PriorityArgs),
    /// Say where a node is: among equals one in the master's zone takes over.
    Zone(ZoneArgs),
}

#[derive(Args, Debug)]
struct ListArgs {
    #[command(flatten)]
    store: StoreArgs,

    /// Print one JSON array.
    #[arg(long)]
    json: bool,
}

#[derive(Args, Debug)]
struct OneArgs {
    #[command(flatten)]
    asking: Asking,

    /// The node, as HOST:PORT.
    #[arg(value_name = "NODE", value_parser = parse_node)]
    node: NodeAddr,
}

#[derive(Args, Debug)]
struct RemoveArgs {
    #[command(flatten)]
    one: OneArgs,

    #[command(flatten)]
    confirmation: Confirmation,
}

#[derive(Args, Debug)]
struct SwitchArgs {
    #[command(flatten)]
    one: OneArgs,

    /// Take that back.
    #[arg(long)]
    undo: bool,

    #[command(flatten)]
    confirmation: Confirmation,
}

#[derive(Args, Debug)]
struct PriorityArgs {
    #[command(flatten)]
    one: OneArgs,

    /// Lower is preferred, 0 is never; `own` for the node's own `replica-priority`, which is 100 unless it is set.
    #[arg(value_name = "NUMBER", value_parser = parse_priority)]
    priority: Priority,

    #[command(flatten)]
    confirmation: Confirmation,
}

#[derive(Args, Debug)]
struct ZoneArgs {
    #[command(flatten)]
    one: OneArgs,

    /// Its name, in letters, digits and `-_./:`.
    #[arg(value_name = "ZONE", value_parser = parse_zone, required_unless_present = "none")]
    zone: Option<String>,

    /// Say that its zone is not known.
    #[arg(long, conflicts_with = "zone")]
    none: bool,
}

/// A priority, or the node's own.
#[derive(Clone, Copy, Debug)]
struct Priority(Option<u32>);

fn parse_priority(text: &str) -> Result<Priority, String> {
    match text {
        "own" => Ok(Priority(None)),
        number => number.parse().map(|number| Priority(Some(number))).map_err(|_| {
            format!("`{text}` is no priority: write a whole number from 0, lower being preferred, or `own`")
        }),
    }
}

fn parse_zone(text: &str) -> Result<String, String> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || "-_./:".contains(c);
    if text.is_empty() || text.len() > 64 || !text.chars().all(is_name) {
        return Err(format!("`{text}` is no zone: write up to 64 letters, digits and `-_./:`"));
    }
    Ok(text.to_owned())
}

pub(super) fn run(args: NodeArgs) -> Result<ExitCode, Failure> {
    let (one, order) = match args.command {
        NodeCommand::List(args) => return list(&args),
        NodeCommand::Add(one) => (one, Order::Add),
        NodeCommand::Remove(RemoveArgs { one, confirmation }) => {
            let what = format!("{} would be struck out of {}", one.node, one.asking.store.path);
            confirmation.ask(&what, "Strike it out?")?;
            (one, Order::Remove)
        }
        NodeCommand::Drain(SwitchArgs { one, undo, confirmation }) => {
            return order(&one, Order::Drain(!undo), &confirmation);
        }
        NodeCommand::NoPromote(SwitchArgs { one, undo, confirmation }) => {
            return order(&one, Order::Priority((!undo).then_some(0)), &confirmation);
        }
        NodeCommand::Priority(PriorityArgs { one, priority: Priority(priority), confirmation }) => {
            return order(&one, Order::Priority(priority), &confirmation);
        }
        NodeCommand::Zone(ZoneArgs { one, zone, .. }) => (one, Order::Zone(zone)),
    };
    one.asking.ask(&Request::Node { node: one.node, order })
}

/// Gives an order, and asks first where nobody could take over after it.
fn order(one: &OneArgs, order: Order, confirmation: &Confirmation) -> Result<ExitCode, Failure> {
    if matches!(order, Order::Drain(true) | Order::Priority(Some(0))) {
        let record = super::record(&one.asking.store)?;
        if let Some(what) = takes_the_last(&record, &one.node, &order) {
            confirmation.ask(&what, "Do it all the same?")?;
        }
    }
    one.asking.ask(&Request::Node { node: one.node.clone(), order })
}

/// What is to be said where an order takes the last node that may take over.
fn takes_the_last(record: &Topology, node: &NodeAddr, order: &Order) -> Option<String> {
    let mut after = record.clone();
    let orders = after.orders.entry(node.clone()).or_default();
    match order {
        Order::Drain(drained) => orders.drained = *drained,
        Order::Priority(priority) => orders.priority = *priority,
        Order::Add | Order::Remove | Order::Zone(_) => {}
    }
    let bars = bars::of_all(&after);
    let is_new = bars::of_all(record).is_empty() && !bars.is_empty();
    is_new.then(|| format!("no node could take over when the master is lost: {}", bars::told(&bars)))
}

fn list(args: &ListArgs) -> Result<ExitCode, Failure> {
    let record = super::record(&args.store)?;
    if args.json {
        print_line(Value::Array(record.members.iter().map(|member| node_json(&record, member)).collect()))?;
        return Ok(ExitCode::SUCCESS);
    }
    print_line(format_args!("{:<32} {:<8} {:<4} said of it", "node", "role", "is"))?;
    for member in &record.members {
        print_line(line(&record, member))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn role(record: &Topology, member: &Member) -> &'static str {
    if member.addr == record.master { "master" } else { "replica" }
}

fn line(record: &Topology, member: &Member) -> String {
    let orders = record.orders.get(&member.addr).map(ToString::to_string);
    let found = record.discovered.contains(&member.addr).then(|| "found through the master".to_owned());
    let said: Vec<_> = [found, orders].into_iter().flatten().collect();
    let (addr, is) = (member.addr.to_string(), if member.ok { "OK" } else { "KO" });
    format!("{addr:<32} {:<8} {is:<4} {}", role(record, member), said.join(", ")).trim_end().to_owned()
}

fn node_json(record: &Topology, member: &Member) -> Value {
    let orders = record.orders.get(&member.addr).cloned().unwrap_or_default();
    json!({
        "node": member.addr.to_string(),
        "role": role(record, member),
        "ok": member.ok,
        "discovered": record.discovered.contains(&member.addr),
        "drained": orders.drained,
        "priority": orders.priority,
        "zone": orders.zone,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_order_that_takes_the_last_node_that_may_take_over_is_asked_about() {
        let [b, c, other] = ["b", "c", "d"].map(|name| NodeAddr::new(name, 6379));
        let mut record = crate::cli::status::tests::sound_record();
        let asks = |record: &Topology, node, order| takes_the_last(record, node, &order);
        assert_eq!(asks(&record, &b, Order::Drain(true)), None, "c may");
        record.orders.entry(b.clone()).or_default().drained = true;
        let what =
            "no node could take over when the master is lost: b:6379 is drained, c:6379 is never to lead";
        assert_eq!(asks(&record, &c, Order::Priority(Some(0))).as_deref(), Some(what));
        assert_eq!(asks(&record, &c, Order::Priority(Some(5))), None);
        assert_eq!(asks(&record, &other, Order::Drain(true)), None, "it is none of the group");
        assert_eq!(asks(&record, &record.master, Order::Priority(Some(0))), None, "it leads on");
        record.orders.entry(c.clone()).or_default().priority = Some(0);
        assert_eq!(asks(&record, &c, Order::Drain(true)), None, "nobody may anyway");
    }

    #[test]
    fn what_is_no_priority_and_no_zone_is_refused_with_what_to_write() {
        assert_eq!(parse_priority("own").map(|it| it.0), Ok(None));
        assert_eq!(parse_priority("0").map(|it| it.0), Ok(Some(0)));
        let wrong = parse_priority("-1").map(|it| it.0);
        assert!(wrong.is_err_and(|why| why.contains("`-1` is no priority: write a whole number")));
        assert_eq!(parse_zone("eu-west/1.a").as_deref(), Ok("eu-west/1.a"));
        for wrong in ["", "two words", &"x".repeat(65)] {
            assert!(parse_zone(wrong).is_err_and(|why| why.contains("is no zone: write up to 64 letters")));
        }
    }
}
