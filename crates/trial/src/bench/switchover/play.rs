//! One switchover under load, and what came of each write.

use std::process::Stdio;
use std::time::{Duration, Instant};

use redis_failover_lab::{Connection, Redis, Reply, Sentinel};
use serde_json::Value;
use tokio::process::Command;
use tokio::time::sleep;

use super::Side;
use super::figures::Run;
use super::load::{Load, Running};
use super::sheet::{Answer, Sheet};
use crate::attempt::attempt;
use crate::bench::finder::Finder;
use crate::bench::group::Group;
use crate::failure::Failure;
use crate::monitors::PATH;
use crate::shipped::program;

/// What the load is given to become even; nothing of it is counted.
const SETTLES: Duration = Duration::from_millis(500);

/// How long it goes on before the switchover, to see what this machine does by itself.
const QUIET: Duration = Duration::from_secs(2);

/// How long after it.
const HANG_ON: Duration = Duration::from_secs(2);

/// How long it is measured what a side sustains.
const CALIBRATION: Duration = Duration::from_secs(3);

/// How long a switchover may take.
const LIMIT: Duration = Duration::from_mins(1);

/// How often it is looked at who leads.
const LOOK: Duration = Duration::from_millis(5);

/// From one command to sentinels that are not ready for it to the next.
const PAUSE: Duration = Duration::from_millis(200);

/// How many keys are read at once.
const PART: usize = 500;

/// How a command to switch over went.
struct Order {
    /// When it was given.
    given: Instant,
    /// Whether another leads, or why not.
    outcome: Result<(), String>,
    /// When that was known.
    known: Instant,
}

/// How many writes a second the clients of this group get through.
pub(super) async fn calibrate(group: &Group) -> Result<f64, Failure> {
    let master = group.steady("before the calibration").await?;
    let load = Load::start(group).await?.begin(None).await?;
    sleep(load.begin + SETTLES + CALIBRATION - Instant::now()).await;
    let sheets = load.finish().await?;
    let micros = |time: Duration| u64::try_from(time.as_micros()).map_err(Failure::new);
    let window = micros(SETTLES)?..micros(SETTLES + CALIBRATION)?;
    let done: usize = sheets.iter().map(|(_, sheet)| sheet.acknowledged(&window)).sum();
    forget(group.server(master))?;
    Ok(f64::from(u32::try_from(done).map_err(Failure::new)?) / CALIBRATION.as_secs_f64())
}

/// Switches over once under a load of so many writes a second.
pub(super) async fn play(side: Side, group: &Group, rate: f64) -> Result<Run, Failure> {
    let old = group.steady("before the switchover").await?;
    let load = Load::start(group).await?.begin(Some(rate)).await?;
    sleep(load.begin + SETTLES + QUIET - Instant::now()).await;
    let order = switch_over(side, group, old).await?;
    if order.outcome.is_ok() {
        // Those of Sentinel take writes at the old master until it follows.
        await_demoted(group.server(old)).await?;
    }
    sleep(HANG_ON).await;
    let run = counted(group, load, order).await?;
    Ok(Run { explained: explained(group).await?, ..run })
}

/// Ends the load, and counts what came of it.
async fn counted(group: &Group, load: Running, order: Order) -> Result<Run, Failure> {
    let settled = load.micros(load.begin + SETTLES);
    let (given, end) = (load.micros(order.given), load.micros(Instant::now()));
    let sheets = load.finish().await?;
    let master = group.server(group.steady("after the switchover").await?);
    let (mut lost, mut twice) = (0, 0);
    for (prefix, sheet) in &sheets {
        let (of_lost, of_twice) = compare(prefix, sheet, &mut master.connect().map_err(Failure::new)?)?;
        (lost, twice) = (lost + of_lost, twice + of_twice);
    }
    forget(master)?;
    let worst_of = |figure: &dyn Fn(&Sheet) -> Duration| {
        sheets.iter().map(|(_, sheet)| figure(sheet)).max().unwrap_or_default()
    };
    Ok(Run {
        writes: sheets.iter().map(|(_, sheet)| sheet.writes.len()).sum(),
        errors: sheets.iter().map(|(_, sheet)| sheet.errors()).sum(),
        error: sheets.iter().find_map(|(_, sheet)| sheet.error.clone()),
        lost,
        twice,
        pause: worst_of(&|sheet| sheet.longest_gap(&(given..end))),
        worst: worst_of(&|sheet| sheet.worst(&(given..end))),
        pause_before: worst_of(&|sheet| sheet.longest_gap(&(settled..given))),
        worst_before: worst_of(&|sheet| sheet.worst(&(settled..given))),
        took: order.known - order.given,
        refused: order.outcome.err(),
        explained: Value::Null,
    })
}

/// How many acknowledged writes are not there, and how many were executed twice.
fn compare(prefix: &str, sheet: &Sheet, master: &mut Connection) -> Result<(usize, usize), Failure> {
    let (mut lost, mut twice) = (0, 0);
    for part in sheet.writes.chunks(PART) {
        let keys: Vec<_> = part.iter().map(|write| format!("{prefix}:{}", write.number)).collect();
        let words: Vec<_> = std::iter::once("MGET").chain(keys.iter().map(String::as_str)).collect();
        let reply = attempt(|| master.command(&words).and_then(Reply::into_result))?;
        let Reply::Array(values) = reply.map_err(Failure::new)? else {
            return Err(Failure::new("unexpected reply to MGET"));
        };
        for (write, value) in part.iter().zip(values) {
            let held = match value {
                Reply::Bulk(value) => value.parse::<u64>().map_err(Failure::new)?,
                _ => 0,
            };
            lost += usize::from(write.is_acknowledged() && held == 0);
            twice += usize::from(write.answer == Answer::Again || held > 1);
        }
    }
    Ok((lost, twice))
}

/// Deletes all keys of a master, and so of its replicas.
fn forget(master: &Redis) -> Result<(), Failure> {
    attempt(|| master.command(&["FLUSHALL"]).and_then(Reply::into_result))?.map(drop).map_err(Failure::new)
}

async fn switch_over(side: Side, group: &Group, old: usize) -> Result<Order, Failure> {
    let (given, mut outcome) = match side {
        Side::Ours => command_ours(group).await?,
        Side::RedisSentinel => command_sentinel(group, &[]).await?,
        Side::ValkeyCoordinated => command_sentinel(group, &["COORDINATED"]).await?,
    };
    let (finder, address) = (group.finder(), group.server(old).addr());
    while outcome.is_ok() && finder.master().await.is_none_or(|master| master == address) {
        if given.elapsed() > LIMIT {
            outcome = Err(format!("it was taken on, and {address} leads on"));
        }
        sleep(LOOK).await;
    }
    Ok(Order { given, outcome, known: Instant::now() })
}

/// Our program does not return before all is done.
async fn command_ours(group: &Group) -> Result<(Instant, Result<(), String>), Failure> {
    let given = Instant::now();
    let output = ours(group, &["switchover", "--yes"])?.output().await.map_err(Failure::new)?;
    let said = String::from_utf8_lossy(&output.stderr);
    Ok((given, if output.status.success() { Ok(()) } else { Err(said.trim().to_owned()) }))
}

/// Our program with this command, for this group.
fn ours(group: &Group, words: &[&str]) -> Result<Command, Failure> {
    let servers = group.zookeeper().ok_or_else(|| Failure::new("the group has no ZooKeeper"))?;
    let mut command = Command::new(program()?);
    command.args(words).args(["-z", &servers, "-p", PATH]).stdin(Stdio::null()).kill_on_drop(true);
    Ok(command)
}

/// A sentinel returns at once, and refuses for some seconds after a change.
async fn command_sentinel(group: &Group, more: &[&str]) -> Result<(Instant, Result<(), String>), Failure> {
    let Finder::Sentinels(sentinels) = group.finder() else {
        return Err(Failure::new("the group has no sentinels"));
    };
    let address = sentinels.first().ok_or_else(|| Failure::new("there is no sentinel"))?;
    let client = redis::Client::open(format!("redis://{address}")).map_err(Failure::new)?;
    let mut connection = client.get_multiplexed_async_connection().await.map_err(Failure::new)?;
    let mut command = redis::cmd("SENTINEL");
    command.arg("FAILOVER").arg(Sentinel::GROUP).arg(more);
    let began = Instant::now();
    loop {
        let given = Instant::now();
        match command.query_async::<()>(&mut connection).await {
            Err(error)
                if matches!(error.code(), Some("NOGOODSLAVE" | "INPROG")) && began.elapsed() < LIMIT =>
            {
                sleep(PAUSE).await;
            }
            answer => return Ok((given, answer.map_err(|error| error.to_string()))),
        }
    }
}

/// Waits until this server follows another.
async fn await_demoted(old: &Redis) -> Result<(), Failure> {
    let began = Instant::now();
    while attempt(|| old.role())?.is_ok_and(|role| role == "master") {
        if began.elapsed() > LIMIT {
            return Err(Failure::new(format!("{} does not follow in {} s", old.addr(), LIMIT.as_secs())));
        }
        sleep(LOOK).await;
    }
    Ok(())
}

/// What our program tells of the last change; nothing where others watch.
async fn explained(group: &Group) -> Result<Value, Failure> {
    let Some(client) = group.client() else { return Ok(Value::Null) };
    let epoch = client.topology().next().await.epoch.0.to_string();
    let output = ours(group, &["explain", &epoch, "--json"])?.output().await.map_err(Failure::new)?;
    serde_json::from_slice(&output.stdout).map_err(|error| Failure::new(format!("explain {epoch}: {error}")))
}
