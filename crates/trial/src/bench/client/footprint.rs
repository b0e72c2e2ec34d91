//! What one client costs while it does nothing: memory, descriptors, threads. Each measurement is a process of its own
//! that makes many clients, because what an earlier one has freed would be used again.

use std::any::Any;
use std::env;
use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};
use redis_failover::{Client, Connection, blocking};
use redis_failover_lab::Redis;
use serde_json::{Value, json};
use tokio::time::sleep;

use super::multiplexed;
use crate::attempt::attempt;
use crate::bench::statistics::{Spread, spread};
use crate::failure::Failure;

/// How long a client may take to connect.
const LIMIT: Duration = Duration::from_secs(10);

/// How many clients one measurement makes.
const CLIENTS: u32 = 200;

/// What a child process is told.
#[derive(Args, Debug)]
pub(in crate::bench) struct IdleArgs {
    /// Whose clients.
    #[arg(long, value_enum)]
    kind: Kind,

    /// The servers; the first is the master.
    #[arg(long, value_delimiter = ',')]
    servers: Vec<String>,
}

/// Whose clients, and of how many nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// Ours, of one node.
    OursOne,
    /// Ours, of a master and two replicas.
    OursThree,
    /// Ours without a runtime, of one node.
    OursBlocking,
    /// redis-rs's multiplexed connection.
    Theirs,
    /// redis-rs's blocking connection.
    TheirsBlocking,
}

/// What one client costs.
#[derive(Clone, Copy, Debug)]
struct Cost {
    kib: f64,
    descriptors: f64,
    threads: f64,
}

/// Measures, and prints the table.
pub(super) fn measure(runs: u32) -> Result<Vec<Value>, Failure> {
    let redis: Vec<_> = (0..3).map(|_| attempt(Redis::start)).collect::<Result<_, _>>()?;
    let servers = redis.iter().map(Redis::addr).collect::<Vec<_>>().join(",");
    println!(
        "\none idle client, of {CLIENTS} in a process: median and, in parentheses, the quartiles of {runs} runs"
    );
    println!("{:<36} {:<24} descriptors   threads", "", "resident KiB");
    let mut figures: Vec<(Kind, Vec<Cost>)> =
        Kind::value_variants().iter().map(|kind| (*kind, Vec::new())).collect();
    for _ in 0..runs {
        for (kind, costs) in &mut figures {
            costs.push(attempt(|| child(*kind, &servers))??);
        }
        figures.rotate_left(1);
    }
    figures.sort_by_key(|(kind, _)| Kind::value_variants().iter().position(|it| it == kind));
    let mut lines = Vec::new();
    for (kind, costs) in figures {
        let of = |pick: fn(&Cost) -> f64| costs.iter().map(pick).collect::<Vec<_>>();
        let (kib, descriptors, threads) = (of(|it| it.kib), of(|it| it.descriptors), of(|it| it.threads));
        let memory = spread(&kib);
        println!(
            "{:<36} {:<24} {:>11.2} {:>9.2}",
            kind.name(),
            format!("{:.1} ({:.1} – {:.1})", memory.median, memory.lower, memory.upper),
            spread(&descriptors).median,
            spread(&threads).median
        );
        let column = |values: &[f64]| {
            let Spread { lower, median, upper } = spread(values);
            json!({ "median": median, "quartiles": [lower, upper], "runs": values })
        };
        lines.push(json!({
            "client": kind.name(),
            "resident_kib": column(&kib),
            "descriptors": column(&descriptors),
            "threads": column(&threads),
        }));
    }
    Ok(lines)
}

/// Has this program measure itself.
fn child(kind: Kind, servers: &str) -> Result<Cost, Failure> {
    let program = env::current_exe().map_err(Failure::new)?;
    let kind = kind.to_possible_value().ok_or_else(|| Failure::new("a kind without a name"))?;
    let output = Command::new(program)
        .args(["bench", "idle", "--kind", kind.get_name(), "--servers", servers])
        .output()
        .map_err(Failure::new)?;
    if !output.status.success() {
        return Err(Failure::new(String::from_utf8_lossy(&output.stderr)));
    }
    let told: Value = serde_json::from_slice(&output.stdout).map_err(Failure::new)?;
    let number = |name: &str| told[name].as_f64().ok_or_else(|| Failure::new(format!("it told no `{name}`")));
    Ok(Cost { kib: number("kib")?, descriptors: number("descriptors")?, threads: number("threads")? })
}

/// The child: makes the clients, and prints what each costs.
pub(in crate::bench) async fn idle(args: IdleArgs) -> Result<(), Failure> {
    let Some((master, replicas)) = args.servers.split_first() else {
        return Err(Failure::new("no server is named"));
    };
    // Once before, so that what is made only once is not counted.
    let first = make(args.kind, master, replicas).await?;
    let before = Usage::now()?;
    let mut kept = Vec::new();
    for _ in 0..CLIENTS {
        kept.push(make(args.kind, master, replicas).await?);
    }
    let after = Usage::now()?;
    let each = |after: f64, before: f64| (after - before) / f64::from(CLIENTS);
    println!(
        "{}",
        json!({
            "kib": each(after.kib, before.kib),
            "descriptors": each(after.descriptors, before.descriptors),
            "threads": each(after.threads, before.threads),
        })
    );
    drop((first, kept));
    Ok(())
}

/// A client that has sent one command, and is connected to all of its nodes.
async fn make(kind: Kind, master: &str, replicas: &[String]) -> Result<Box<dyn Any + Send>, Failure> {
    let ping = redis::cmd("PING");
    match kind {
        Kind::OursOne => Ok(Box::new(ours(master, &[]).await?)),
        Kind::OursThree => Ok(Box::new(ours(master, replicas).await?)),
        Kind::Theirs => {
            let mut connection = multiplexed(master).await.map_err(Failure::new)?;
            ping.exec_async(&mut connection).await.map_err(Failure::new)?;
            Ok(Box::new(connection))
        }
        Kind::OursBlocking => {
            let client = blocking::Client::fixed(master, [""; 0]).map_err(Failure::new)?;
            let mut connection = client.connection();
            attempt(|| ping.exec(&mut connection))?.map_err(Failure::new)?;
            Ok(Box::new(connection))
        }
        Kind::TheirsBlocking => {
            let client = redis::Client::open(format!("redis://{master}")).map_err(Failure::new)?;
            let connection =
                attempt(|| client.get_connection().and_then(|mut it| ping.exec(&mut it).map(|()| it)))?;
            Ok(Box::new(connection.map_err(Failure::new)?))
        }
    }
}

async fn ours(master: &str, replicas: &[String]) -> Result<Connection, Failure> {
    let client = Client::fixed(master, replicas).map_err(Failure::new)?;
    let mut connection = client.connection();
    redis::cmd("PING").exec_async(&mut connection).await.map_err(Failure::new)?;
    let began = Instant::now();
    while !client.metrics().nodes.values().all(|node| node.connected) {
        if began.elapsed() > LIMIT {
            return Err(Failure::new("a replica can't be reached"));
        }
        sleep(Duration::from_millis(1)).await;
    }
    Ok(connection)
}

/// What this process uses.
struct Usage {
    kib: f64,
    descriptors: f64,
    threads: f64,
}

impl Usage {
    fn now() -> Result<Self, Failure> {
        let status = fs::read_to_string("/proc/self/status").map_err(Failure::new)?;
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let number = line.and_then(|rest| rest.split_whitespace().next()?.parse::<f64>().ok());
            number.ok_or_else(|| Failure::new(format!("the system tells no `{name}`")))
        };
        let open = fs::read_dir("/proc/self/fd").map_err(Failure::new)?.count();
        let descriptors = f64::from(u32::try_from(open).map_err(Failure::new)?);
        Ok(Self { kib: field("VmRSS:")?, descriptors, threads: field("Threads:")? })
    }
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::OursOne => "redis-failover, 1 node",
            Self::OursThree => "redis-failover, 3 nodes",
            Self::Theirs => "redis-rs, multiplexed",
            Self::OursBlocking => "redis-failover, blocking, 1 node",
            Self::TheirsBlocking => "redis-rs, blocking",
        }
    }
}
