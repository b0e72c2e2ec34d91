//! `redis-failover switchover`: another node takes over from a master that serves, and no write is lost.

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use redis_failover_core::{Answer, Found, NodeAddr, Phase, Reason, Request, Switchover, Topology};
use redis_failover_store::{Feed, Sight, Store, ZooKeeperGroup};

use super::ask::{LOOK_LIMIT, has_leader, unreachable};
use super::confirm::Confirmation;
use super::interrupt::undisturbed;
use super::outcome::Outcome;
use crate::config::{StoreArgs, parse_node, parse_time};
use crate::failure::{Failure, Kind};
use crate::journal::Moment;
use crate::output::tell;

/// How long the change itself may take, once the node is near.
const CHANGES_WITHIN: Duration = Duration::from_secs(10);

/// How late it may be by the wall clock when a wait for `--at` ends: a host that slept over it is late.
const MOST_LATE: Duration = Duration::from_mins(1);

/// How long is slept at a time before `--at`: the wall clock may be set meanwhile.
const STEP: Duration = Duration::from_secs(1);

/// What `switchover` is told.
#[derive(Args, Debug)]
pub(super) struct SwitchoverArgs {
    #[command(flatten)]
    store: StoreArgs,

    /// Who takes over; without it the leading monitor chooses: of the replicas that have kept up the one with the
    /// lowest replica-priority, then the one that is least behind.
    #[arg(long, value_name = "NODE", value_parser = parse_node)]
    to: Option<NodeAddr>,

    /// How long to wait until that node has caught up; nothing is changed before.
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = parse_time)]
    timeout: Duration,

    /// Do it then: a time in UTC like `2026-11-28T03:00:00Z`. The command looks and asks at once, waits, and looks
    /// again; interrupted before, it has done nothing. More than a minute late (the host slept) it does nothing either.
    #[arg(long, value_name = "TIME", conflicts_with = "dry_run")]
    at: Option<Moment>,

    /// Only say who would take over, and what speaks for and against each node.
    #[arg(long)]
    dry_run: bool,

    #[command(flatten)]
    confirmation: Confirmation,

    /// Print what came of it as one JSON object, also where it is refused or fails.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &SwitchoverArgs) -> Result<ExitCode, Failure> {
    let Some(at) = args.at else { return super::runtime()?.block_on(switch_over(args, None)) };
    let present = Moment::present();
    if at <= present {
        return Err(Failure::new(Kind::Usage, format!("--at {at} has passed; it is {present}")));
    }
    let (wanted, prospects) = match super::runtime()?.block_on(look_now(args))? {
        (wanted, Answer::Done(prospects)) => (wanted, prospects),
        (_, refused @ Answer::Refused(_)) => return told(args, refused),
    };
    args.confirmation.tell_and_ask(&prospects, &format!("Switch over at {at}?"))?;
    tell(format_args!("waiting until {at}"));
    wait_until(at, Moment::present, std::thread::sleep)?;
    super::runtime()?.block_on(switch_over(args, Some(as_shown(&wanted, &prospects))))
}

/// Waits until the wall clock shows `at`.
///
/// # Errors
/// When it is too late then.
fn wait_until(at: Moment, present: impl Fn() -> Moment, sleep: impl Fn(Duration)) -> Result<(), Failure> {
    loop {
        let now = present();
        let left = at.since(now);
        if left.is_zero() {
            let late = now.since(at) > MOST_LATE;
            let why = || format!("it is {now}, too late for --at {at}: nothing was done");
            return if late { Err(Failure::new(Kind::Failed, why())) } else { Ok(()) };
        }
        sleep(left.min(STEP));
    }
}

/// Who would take over, as the leader sees it now.
async fn look_now(args: &SwitchoverArgs) -> Result<(Switchover, Answer), Failure> {
    let zookeeper = super::connect(&args.store, LOOK_LIMIT)?;
    let looked = look(args, &zookeeper.group(&args.store.path)).await;
    undisturbed(zookeeper.close()).await;
    looked.map(|(_, wanted, prospects)| (wanted, prospects))
}

/// What was shown and confirmed is done, of the epoch that stood then, whoever would be chosen by now.
fn as_shown(wanted: &Switchover, prospects: &str) -> Switchover {
    let named = prospects.split(' ').next().and_then(|node| node.parse().ok());
    Switchover { to: wanted.to.clone().or(named), dry_run: false, ..wanted.clone() }
}

async fn switch_over(args: &SwitchoverArgs, confirmed: Option<Switchover>) -> Result<ExitCode, Failure> {
    let zookeeper = super::connect(&args.store, LOOK_LIMIT)?;
    let group = zookeeper.group(&args.store.path);
    let outcome = async {
        let (leader, wanted, prospects) = look(args, &group).await?;
        let prospects = match prospects {
            Answer::Done(prospects) if !args.dry_run => prospects,
            answer => return told(args, answer),
        };
        if confirmed.is_none() {
            args.confirmation.ask(&prospects, "Switch over?")?;
        }
        let wanted = confirmed.unwrap_or_else(|| as_shown(&wanted, &prospects));
        tokio::select! {
            answer = ask(&group, wanted, &leader) => told(args, answer?),
            never = tell_progress(group.record()) => match never {},
        }
    }
    .await;
    undisturbed(zookeeper.close()).await;
    outcome
}

/// Who leads, what is asked, and what the leader says would be done.
async fn look(
    args: &SwitchoverArgs,
    group: &ZooKeeperGroup,
) -> Result<(String, Switchover, Answer), Failure> {
    let snapshot = group.snapshot(LOOK_LIMIT).await.map_err(unreachable)?;
    let leader = has_leader(&args.store, &snapshot)?;
    let epoch = match snapshot.record.as_ref().map(|read| &read.found) {
        Ok(Found::Record(record)) => record.epoch,
        _ => return Err(Failure::new(Kind::Failed, "the group has no record yet")),
    };
    let wanted = Switchover { to: args.to.clone(), epoch, timeout: args.timeout, dry_run: true };
    let prospects = ask(group, wanted.clone(), &leader).await?;
    Ok((leader, wanted, prospects))
}

async fn ask(group: &ZooKeeperGroup, wanted: Switchover, leader: &str) -> Result<Answer, Failure> {
    let limit = wanted.timeout + CHANGES_WITHIN;
    super::ask::ask(group, &Request::Switchover(wanted), leader, limit).await
}

fn told(args: &SwitchoverArgs, answer: Answer) -> Result<ExitCode, Failure> {
    match answer {
        Answer::Done(text) if args.dry_run => Outcome::looked_at(text).show(args.json),
        answer => Outcome::of(answer)?.show(args.json),
    }
}

/// Says on standard error how far it is, for as long as it is awaited.
async fn tell_progress(mut record: Feed<Sight>) -> std::convert::Infallible {
    let mut said = String::new();
    loop {
        let Some(Ok(read)) = record.next().await.read else { continue };
        let Found::Record(record) = read.found else { continue };
        let progress = progress(&record);
        if progress != said && !std::mem::replace(&mut said, progress.clone()).is_empty() {
            tell(progress);
        }
    }
}

fn progress(record: &Topology) -> String {
    match &record.phase {
        Phase::FailingOver(change) if change.reason == Reason::Switchover => format!(
            "epoch {}: {} has given up its role, {} takes over",
            record.epoch, record.master, change.intent.node
        ),
        Phase::FailingOver(change) => {
            format!(
                "epoch {}: {} is {}, {} takes over",
                record.epoch, record.master, change.reason, change.intent.node
            )
        }
        Phase::Steady => format!("epoch {}: {} is the master", record.epoch, record.master),
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::time::SystemTime;

    use super::*;

    /// Waits for second 100 of 1970 from second 90 on, on a host on which each sleep takes `longer`. Yields the second
    /// in which it is over.
    fn waited(longer: Duration) -> Result<u64, Failure> {
        let at = Moment::of_unix(100_000);
        let clock = Cell::new(Duration::from_secs(90));
        let present = || Moment::from(SystemTime::UNIX_EPOCH + clock.get());
        wait_until(at, present, |time| clock.set(clock.get() + time + longer))?;
        Ok(clock.get().as_secs())
    }

    #[test]
    fn a_wait_goes_by_the_wall_clock_and_what_is_much_too_late_is_not_done() {
        assert_eq!(waited(Duration::ZERO).ok(), Some(100));
        assert_eq!(waited(Duration::from_secs(30)).ok(), Some(121));
        let late = waited(Duration::from_mins(30)).expect_err("too late");
        let says =
            "it is 1970-01-01T00:31:31.000Z, too late for --at 1970-01-01T00:01:40.000Z: nothing was done";
        assert_eq!((late.kind, late.message.as_str()), (Kind::Failed, says));
    }
}
