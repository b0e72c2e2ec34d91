//! `redis-failover history` and `redis-failover explain`: what became of each change of master, and what came back
//! after it, from what the leaders wrote down in `ZooKeeper`. It needs no monitor to answer, and writes nothing.

mod page;

use std::fmt::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use redis_failover_core::history::{Account, Ending, Entry, Estimate, Milestone, Return, Withheld};
use redis_failover_core::{Epoch, NodeAddr};
use redis_failover_store::{Recorded, Store as _, wire};
use serde_json::{Value, json};

use crate::config::StoreArgs;
use crate::failure::{Failure, Kind};
use crate::journal::Moment;
use crate::output::{print, print_line};

/// How long an answer may take.
const LIMIT: Duration = Duration::from_secs(5);

/// What `history` is asked.
#[derive(Args, Debug)]
pub(super) struct HistoryArgs {
    #[command(flatten)]
    store: StoreArgs,

    /// Print one JSON array.
    #[arg(long)]
    json: bool,

    /// Only the newest so many.
    #[arg(long, value_name = "NUMBER")]
    limit: Option<usize>,
}

/// What `explain` is asked.
#[derive(Args, Debug)]
pub(super) struct ExplainArgs {
    /// Which change of master: its epoch, as `history` lists them.
    #[arg(value_name = "EPOCH")]
    epoch: u64,

    #[command(flatten)]
    store: StoreArgs,

    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// An entry, for people.
struct Told {
    recorded: Recorded,
}

pub(super) fn list(args: &HistoryArgs) -> Result<ExitCode, Failure> {
    let all = read(&args.store)?;
    let skipped = args.limit.map_or(0, |limit| all.len().saturating_sub(limit));
    let shown = &all[skipped..];
    if args.json {
        print_line(Value::Array(shown.iter().map(Told::json).collect()))?;
    } else {
        print(as_text(shown))?;
    }
    Ok(ExitCode::SUCCESS)
}

pub(super) fn explain(args: &ExplainArgs) -> Result<ExitCode, Failure> {
    let all = read(&args.store)?;
    let epoch = Epoch(args.epoch);
    // An epoch is told of once more only where the record was deleted and begun anew: the latest counts.
    let of_epoch = |told: &&Told| told.account().is_some_and(|account| account.epoch == epoch);
    let Some(told) = all.iter().rev().find(of_epoch) else {
        return Err(unknown(&args.store, epoch, &all));
    };
    let back = came_back(&all, told);
    if args.json {
        let mut value = told.json();
        value["returns"] = back.into_iter().map(Told::json).collect();
        print_line(value)?;
    } else if let Some(account) = told.account() {
        let back = back.into_iter().filter_map(|back| Some((back.time(), back.returned()?)));
        print(page::page(account, &told.time(), &back.collect::<Vec<_>>()))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// What came back after the change `of` that concerns it: what was counted in its epoch, and what was counted later of
/// a history that was left in this change.
fn came_back<'a>(all: &'a [Told], of: &Told) -> Vec<&'a Told> {
    let Some(epoch) = of.account().map(|account| account.epoch) else { return Vec::new() };
    // What was written before is of an earlier life of the group, if it tells of this epoch or a later one.
    let later = || all.iter().filter(|told| told.recorded.order >= of.recorded.order);
    let published = all.iter().filter_map(Told::account).filter(|it| it.ending == Ending::Published);
    let published: Vec<_> = published.map(|account| account.epoch).collect();
    let left_in = |left: Epoch| published.iter().copied().filter(|epoch| *epoch > left).min();
    let concerns = |told: &Return| {
        let left = told.divergence.left.and_then(left_in);
        told.epoch == epoch || (told.epoch > epoch && left == Some(epoch))
    };
    later().filter(|told| told.returned().is_some_and(concerns)).collect()
}

/// What is said where no entry tells of `epoch`.
fn unknown(store: &StoreArgs, epoch: Epoch, all: &[Told]) -> Failure {
    let epochs = all.iter().filter_map(|told| told.account().map(|account| account.epoch));
    let nearest = epochs.min_by_key(|other| other.0.abs_diff(epoch.0));
    let failure =
        Failure::new(Kind::Failed, format!("the history of {} tells nothing of epoch {epoch}", store.path));
    match nearest {
        Some(nearest) => failure.hint(format!("the nearest that it tells of is epoch {nearest}")),
        None => failure.hint("nothing in it can be read: redis-failover history names what is there"),
    }
}

fn read(store: &StoreArgs) -> Result<Vec<Told>, Failure> {
    let entries = super::runtime()?.block_on(async {
        let zookeeper = super::connect(store, LIMIT)?;
        let entries = zookeeper.group(&store.path).history(LIMIT).await;
        zookeeper.close().await;
        entries.map_err(|error| {
            Failure::new(Kind::StoreUnreachable, error).hint("are the servers right (-z), and do they run?")
        })
    })?;
    if entries.is_empty() {
        let message = format!("nothing is in the history of {}", store.path);
        return Err(Failure::new(Kind::Failed, message)
            .hint("is the path right (-p)? Versions that wrote no history have left none"));
    }
    Ok(entries.into_iter().map(|recorded| Told { recorded }).collect())
}

impl Told {
    fn account(&self) -> Option<&Account> {
        match self.recorded.entry.as_ref().ok()? {
            Entry::Change(account) => Some(account),
            Entry::Return(_) | Entry::Withheld(_) => None,
        }
    }

    fn returned(&self) -> Option<&Return> {
        match self.recorded.entry.as_ref().ok()? {
            Entry::Return(told) => Some(told),
            Entry::Change(_) | Entry::Withheld(_) => None,
        }
    }

    fn time(&self) -> String {
        self.recorded.time.map_or_else(|| "-".to_owned(), |time| Moment::from(time).to_string())
    }

    fn json(&self) -> Value {
        let (znode, time) =
            (&self.recorded.znode, self.recorded.time.map(|time| Moment::from(time).to_string()));
        match &self.recorded.entry {
            Ok(entry) => {
                let mut value = wire::entry_value(entry);
                value["znode"] = json!(znode);
                value["time"] = json!(time);
                value
            }
            Err(error) => json!({ "znode": znode, "time": time, "unreadable": error.to_string() }),
        }
    }
}

/// A line that heads the others, and one for each of these entries.
pub(super) fn page_of(entries: Vec<Recorded>) -> String {
    let all: Vec<_> = entries.into_iter().map(|recorded| Told { recorded }).collect();
    as_text(&all)
}

/// A line for each entry.
fn as_text(all: &[Told]) -> String {
    let mut text = String::new();
    let mut line =
        |args: std::fmt::Arguments<'_>| writeln!(text, "{args}").expect("a string takes everything");
    line(format_args!("{:<24} {:>5}  {:<43} {:<11} {:<9} lost", "time", "epoch", "master", "why", "without"));
    for told in all {
        let time = told.time();
        match &told.recorded.entry {
            Err(error) => line(format_args!("{time:<24}     -  {error}")),
            Ok(Entry::Change(account)) => {
                let (epoch, change, cause) = (account.epoch.0, change(account), account.cause.word());
                let (without, lost) = (without(account), lost(account));
                line(format_args!("{time:<24} {epoch:>5}  {change:<43} {cause:<11} {without:<9} {lost}"));
            }
            Ok(Entry::Withheld(held)) => {
                let Withheld { epoch, master, reason, by, why, .. } = &**held;
                line(format_args!(
                    "{time:<24} {:>5}  {master} was {reason} and not replaced, paused by {by}: {why}",
                    epoch.0
                ));
            }
            Ok(Entry::Return(back)) => {
                let Return { epoch, node, divergence, .. } = &**back;
                line(format_args!("{time:<24} {:>5}  {node} came back with {divergence}", epoch.0));
            }
        }
    }
    text
}

fn change(account: &Account) -> String {
    let old = account.old.as_ref().map_or_else(|| "-".to_owned(), NodeAddr::to_string);
    format!("{old} -> {}", account.new)
}

/// How long the group was without a master that takes writes; where that was not told, until one was published.
fn without(account: &Account) -> String {
    if account.ending != Ending::Published || account.old.is_none() {
        return "-".to_owned();
    }
    let (open, published) = (Milestone::Writable, Milestone::Published);
    match (account.times.get(&open), account.times.get(&published)) {
        (Some(open), _) => span(*open),
        (None, Some(published)) => format!("> {}", span(*published)),
        (None, None) => "?".to_owned(),
    }
}

fn lost(account: &Account) -> String {
    match (&account.ending, account.loss) {
        (Ending::GivenUp(_), _) => "given up".to_owned(),
        (Ending::Published, None) => "-".to_owned(),
        (Ending::Published, Some(Estimate { bytes, span: in_doubt })) => {
            let bytes = bytes.map_or_else(|| "?".to_owned(), |bytes| bytes.to_string());
            format!("about {bytes} bytes, {}", in_doubt.map_or_else(|| "?".to_owned(), span))
        }
    }
}

/// A span as people read it.
fn span(span: Duration) -> String {
    match span.as_millis() {
        millis @ 0..1_000 => format!("{millis} ms"),
        millis @ 1_000..60_000 => format!("{}.{} s", millis / 1_000, millis % 1_000 / 100),
        millis => format!("{} min {} s", millis / 60_000, millis % 60_000 / 1_000),
    }
}

#[cfg(test)]
mod tests;
