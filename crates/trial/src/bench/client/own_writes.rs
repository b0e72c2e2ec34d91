//! Requests that read what they wrote: one SET and the GETs of its key that follow, each request with a session of its
//! own. The library reads from the replica as soon as that surely holds the write; redis-rs, which can't know, from the
//! master. Every GET must find the request's own value.

use std::time::{Duration, Instant};

use redis::aio::ConnectionLike;
use redis_failover::{Client, NodeAddr};
use redis_failover_lab::Redis;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::{AIM, KEYS, Side, TASKS, multiplexed, rounds};
use crate::attempt::attempt;
use crate::bench::statistics::{Confident, FEWEST, Spread, confident, spread};
use crate::failure::Failure;

/// How many reads follow a write.
const READS: usize = 9;

const HEAD: &str = "tasks   redis-failover, ops/s (quartiles)   redis-rs, ops/s (quartiles)      \
                    ratio (95 %)            by replica";

/// One line of the table, pair by pair.
#[derive(Debug, Default)]
struct Line {
    ours: Vec<f64>,
    theirs: Vec<f64>,
    /// Which part of our reads a replica answered.
    by_replica: Vec<f64>,
}

/// Measures, and prints the table.
pub(super) async fn measure(runs: u32) -> Result<Vec<Value>, Failure> {
    let runs = runs.max(u32::try_from(FEWEST).map_err(Failure::new)?);
    let master = attempt(Redis::start)?;
    let builder = Redis::builder().option("repl-diskless-sync-delay", "0");
    let replica = attempt(|| builder.replica_of(&master).start())?;
    let (master, replica) = (master.addr(), replica.addr());
    println!("\nrequests that read what they wrote: 1 SET, {READS} GET; {runs} pairs for each line");
    println!("{HEAD}");
    let mut lines = Vec::new();
    for tasks in TASKS {
        let mut line = Line::default();
        let commands = tasks * (1 + READS);
        let mut each = 1_000 / commands + 1;
        for _ in 0..3 {
            let (ours, _) = run(Side::Ours, &master, &replica, tasks, each).await?;
            each = rounds(ours.max(run(Side::Theirs, &master, &replica, tasks, each).await?.0), commands);
        }
        for number in 0..runs {
            let sides = [Side::Ours, Side::Theirs];
            for side in if number % 2 == 0 { sides } else { [sides[1], sides[0]] } {
                let (rate, share) = run(side, &master, &replica, tasks, each).await?;
                match side {
                    Side::Ours => {
                        line.ours.push(rate);
                        line.by_replica.push(share);
                    }
                    Side::Theirs => line.theirs.push(rate),
                }
            }
        }
        println!("{}", line.text(tasks));
        lines.push(line.json(tasks));
    }
    Ok(lines)
}

/// Operations per second, and which part of the reads the replica answered.
async fn run(
    side: Side,
    master: &str,
    replica: &str,
    tasks: usize,
    each: usize,
) -> Result<(f64, f64), Failure> {
    let mut running = JoinSet::new();
    let began;
    let mut client = None;
    match side {
        Side::Ours => {
            let made = Client::fixed(master, [replica]).map_err(Failure::new)?;
            made.ready(Duration::from_secs(5)).await.map_err(Failure::new)?;
            began = Instant::now();
            for task in 0..tasks {
                let made = made.clone();
                running.spawn(async move {
                    for round in 0..each {
                        request(made.connection().read_your_writes(true), task, round).await?;
                    }
                    Ok(())
                });
            }
            client = Some(made);
        }
        Side::Theirs => {
            let connection = multiplexed(master).await.map_err(Failure::new)?;
            began = Instant::now();
            for task in 0..tasks {
                let connection = connection.clone();
                running.spawn(async move {
                    for round in 0..each {
                        request(connection.clone(), task, round).await?;
                    }
                    Ok(())
                });
            }
        }
    }
    while let Some(done) = running.join_next().await {
        done.map_err(Failure::new)??;
    }
    let seconds = began.elapsed().as_secs_f64();
    let count = |count: usize| u32::try_from(count).map(f64::from).map_err(Failure::new);
    let replica: NodeAddr = replica.parse().map_err(Failure::new)?;
    let read =
        client.map_or(0, |client| client.metrics().nodes.get(&replica).map_or(0, |node| node.commands));
    let read = count(usize::try_from(read).map_err(Failure::new)?)?;
    Ok((count(tasks * each * (1 + READS))? / seconds, read / count(tasks * each * READS)?))
}

async fn request(mut connection: impl ConnectionLike, task: usize, round: usize) -> Result<(), Failure> {
    // Each task has keys of its own, so that nobody else's write is found.
    let (key, value) = (format!("bench:{task}:{}", round % KEYS), format!("{round:064}"));
    let mut set = redis::cmd("SET");
    set.arg(&key).arg(&value).exec_async(&mut connection).await.map_err(Failure::new)?;
    for _ in 0..READS {
        let found: String =
            redis::cmd("GET").arg(&key).query_async(&mut connection).await.map_err(Failure::new)?;
        if found != value {
            return Err(Failure::new(format!("{key} is {found}, and {value} was written")));
        }
    }
    Ok(())
}

impl Line {
    fn ratio(&self) -> Confident {
        confident(&self.ours.iter().zip(&self.theirs).map(|(ours, theirs)| ours / theirs).collect::<Vec<_>>())
    }

    fn text(&self, tasks: usize) -> String {
        let rate = |rates: &[f64]| {
            let Spread { lower, median, upper } = spread(rates);
            format!("{median:>9.0} ({lower:.0} – {upper:.0})")
        };
        let (ours, theirs) = (rate(&self.ours), rate(&self.theirs));
        let Confident { low, median, high } = self.ratio();
        let ratio = format!("{median:.3} ({low:.3} – {high:.3})");
        let share = spread(&self.by_replica).median * 100.0;
        format!("{tasks:>5}   {ours:<33}   {theirs:<30}   {ratio:<23} {share:.0} %")
    }

    fn json(&self, tasks: usize) -> Value {
        let column = |values: &[f64]| {
            let Spread { lower, median, upper } = spread(values);
            json!({ "median": median, "quartiles": [lower, upper], "runs": values })
        };
        let Confident { low, median, high } = self.ratio();
        json!({
            "tasks": tasks,
            "aim_ms": AIM.as_millis(),
            "reads_for_each_write": READS,
            "redis_failover_ops_per_second": column(&self.ours),
            "redis_rs_ops_per_second": column(&self.theirs),
            "ratio": { "median": median, "low": low, "high": high, "confidence": 0.95, "by": "order statistics" },
            "reads_by_replica": column(&self.by_replica),
        })
    }
}
