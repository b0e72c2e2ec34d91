//! Many clients and one change: the master is killed, and each client's next write is waited for. Each client is on its
//! own, as in programs of their own: ours with a session with `ZooKeeper`, those beside them asking the sentinels. All
//! are in this process, so what they cost is in the figures.

use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use redis_failover::Connection;
use serde_json::{Value, json};
use tokio::sync::Barrier;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::bench::finder::Finder;
use crate::bench::group::{Group, Wiring};
use crate::bench::statistics::{Spread, spread};
use crate::failure::Failure;
use crate::plain;

/// How long all clients together may take.
const LIMIT: Duration = Duration::from_mins(1);

/// How long a plain client pauses before it asks the sentinels again.
const PAUSE: Duration = Duration::from_millis(50);

/// How long a plain client waits for a reply.
const PATIENCE: Duration = Duration::from_millis(500);

/// When the first, the middle and the last client wrote, in milliseconds after the kill.
#[derive(Clone, Copy, Debug)]
struct Run {
    first: f64,
    middle: f64,
    last: f64,
}

/// Whose clients.
#[derive(Clone, Copy, Debug)]
enum Side {
    Ours,
    Sentinel,
}

/// Measures, and prints the table.
pub(super) async fn measure(clients: usize, runs: u32, beside: bool) -> Result<Vec<Value>, Failure> {
    // Three nodes, a session and some more for each.
    raise_limit(u64::try_from(clients * 8 + 1_000).map_err(Failure::new)?)?;
    let sides = if beside { [Side::Ours, Side::Sentinel].as_slice() } else { &[Side::Ours] };
    let mut figures: Vec<_> = sides.iter().map(|side| (*side, Vec::new())).collect();
    for _ in 0..runs {
        for (side, runs) in &mut figures {
            runs.push(play(*side, clients).await?);
        }
        // Each round begins with another side.
        figures.rotate_left(1);
    }
    figures.sort_by_key(|(side, _)| matches!(side, Side::Sentinel));
    println!(
        "\n{clients} clients, the master is killed; ms until the next write of a client is acknowledged"
    );
    println!(
        "who watches        the first            the middle one       the last             in {runs} runs"
    );
    for (side, runs) in &figures {
        let column = |pick: fn(&Run) -> f64| {
            let Spread { lower, median, upper } = spread(&runs.iter().map(pick).collect::<Vec<_>>());
            format!("{median:>6.0} ({lower:.0} – {upper:.0})")
        };
        let (first, middle, last) = (column(|it| it.first), column(|it| it.middle), column(|it| it.last));
        println!("{:<18} {first:<20} {middle:<20} {last:<20}", side.name());
    }
    Ok(figures.iter().map(|(side, runs)| json(*side, clients, runs)).collect())
}

async fn play(side: Side, clients: usize) -> Result<Run, Failure> {
    let options = [("save", "")];
    let mut group = match side {
        Side::Ours => Group::with_zookeeper(&options).await?,
        Side::Sentinel => Group::with_sentinels(&options, Wiring::Direct).await?,
    };
    let master = group.steady("before the kill").await?;
    let barrier = Arc::new(Barrier::new(clients + 1));
    let mut tasks = JoinSet::new();
    for number in 0..clients {
        let barrier = Arc::clone(&barrier);
        let key = format!("bench:{number}");
        if let Some(client) = group.another_client()? {
            client.ready(LIMIT).await.map_err(Failure::new)?;
            tasks.spawn(follow(client.connection(), key, barrier));
        } else {
            tasks.spawn(ask(group.finder(), key, barrier));
        }
    }
    // All have written once.
    barrier.wait().await;
    let killed = Instant::now();
    group.redis(master).kill();
    barrier.wait().await;
    let mut times = Vec::new();
    while let Some(done) = tasks.join_next().await {
        times.push(done.map_err(Failure::new)??.saturating_duration_since(killed).as_secs_f64() * 1_000.0);
    }
    times.sort_by(f64::total_cmp);
    let at = |index: usize| times.get(index).copied().ok_or_else(|| Failure::new("no client"));
    Ok(Run { first: at(0)?, middle: at(clients / 2)?, last: at(clients - 1)? })
}

/// A client of ours: when its first write after the kill is acknowledged.
async fn follow(mut connection: Connection, key: String, barrier: Arc<Barrier>) -> Result<Instant, Failure> {
    let mut command = redis::cmd("SET");
    command.arg(key).arg(1);
    command.query_async::<()>(&mut connection).await.map_err(Failure::new)?;
    barrier.wait().await;
    barrier.wait().await;
    let began = Instant::now();
    loop {
        match command.query_async::<()>(&mut connection).await {
            Ok(()) => return Ok(Instant::now()),
            // Sent into the connection that had just ended, perhaps.
            Err(error) if began.elapsed() > LIMIT => return Err(Failure::new(error)),
            Err(_) => {}
        }
    }
}

/// A plain client that asks the sentinels after each error.
async fn ask(finder: Finder, key: String, barrier: Arc<Barrier>) -> Result<Instant, Failure> {
    let mut command = redis::cmd("SET");
    command.arg(key).arg(1);
    let mut connection = None;
    let mut killed = None;
    let started = Instant::now();
    loop {
        if connection.is_none()
            && let Some(master) = finder.master().await
        {
            connection = plain::connect(&master, Some(PATIENCE)).await;
        }
        let written = match &mut connection {
            Some(open) => command.query_async::<()>(open).await.is_ok(),
            None => false,
        };
        match (written, killed) {
            (true, None) => {
                barrier.wait().await;
                barrier.wait().await;
                killed = Some(());
            }
            (true, Some(())) => return Ok(Instant::now()),
            (false, _) if started.elapsed() > LIMIT * 2 => {
                return Err(Failure::new("no write is acknowledged"));
            }
            (false, _) => {
                connection = None;
                sleep(PAUSE).await;
            }
        }
    }
}

/// Lets this process open so many files.
fn raise_limit(wanted: u64) -> Result<(), Failure> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).map_err(Failure::new)?;
    if soft >= wanted {
        return Ok(());
    }
    if hard < wanted {
        return Err(Failure::new(format!("{wanted} open files are needed, and {hard} allowed"))
            .hint("ask for fewer clients with `--clients`, or raise the limit (`ulimit -Hn`)"));
    }
    setrlimit(Resource::RLIMIT_NOFILE, wanted, hard).map_err(Failure::new)
}

impl Side {
    fn name(self) -> &'static str {
        match self {
            Self::Ours => "redis-failover",
            Self::Sentinel => "Redis Sentinel",
        }
    }
}

fn json(side: Side, clients: usize, runs: &[Run]) -> Value {
    let column = |pick: fn(&Run) -> f64| {
        let values: Vec<_> = runs.iter().map(pick).collect();
        let Spread { lower, median, upper } = spread(&values);
        json!({ "median": median, "quartiles": [lower, upper], "runs": values })
    };
    json!({
        "who_watches": side.name(),
        "clients": clients,
        "first_ms": column(|it| it.first),
        "middle_ms": column(|it| it.middle),
        "last_ms": column(|it| it.last),
    })
}
