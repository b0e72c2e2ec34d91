//! `bench client`: what following the master costs while there is nothing to follow, what an idle client costs, and how
//! soon many clients follow.
//!
//! The library's connection and redis-rs's multiplexed connection send the same commands to the same server, from as
//! many tasks; then the blocking connections of both, from as many threads. They are measured in pairs, one right after
//! the other, and each pair begins with the other side. What is measured otherwise is in files of its own.

mod blocking;
mod following;
mod footprint;
mod own_writes;

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};
use redis::aio::{ConnectionLike, MultiplexedConnection};
use redis_failover::{Client, ReadFrom};
use redis_failover_lab::Redis;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::statistics::{Confident, FEWEST, Spread, confident, spread};
use crate::attempt::attempt;
use crate::failure::Failure;

/// How long one measurement should take.
const AIM: Duration = Duration::from_millis(150);

/// How many keys there are.
const KEYS: usize = 1_000;

/// How many bytes a value has.
const VALUE: usize = 64;

/// From how many tasks it is measured.
const TASKS: [usize; 3] = [1, 16, 128];

/// From how many threads the blocking one is.
const THREADS: [usize; 2] = [1, 16];

/// How many commands a pipeline has.
const PIPELINES: [usize; 2] = [16, 100];

/// From how many tasks pipelines are sent, and from how many threads: more do not fill what these fill.
const FEW: (&[usize], &[usize]) = (&[1, 16], &[1]);

/// What the measurement is told.
#[derive(Args, Debug)]
pub(super) struct ClientArgs {
    /// How often each line is measured; without it 40 pairs of rates, 10 footprints, 5 changes.
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    runs: Option<u32>,

    /// Only this, several separated by commas.
    #[arg(long, value_enum, value_delimiter = ',')]
    part: Vec<Part>,

    /// How many clients follow one change.
    #[arg(long, value_name = "NUMBER", default_value_t = 1_000, value_parser = clap::value_parser!(u16).range(1..))]
    clients: u16,

    /// Beside the change that they follow, one that clients of Redis Sentinel follow.
    #[arg(long, value_enum)]
    vs: Option<Other>,

    /// Write the figures to this file, each measurement too.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Part {
    /// How many commands get through, beside redis-rs.
    Rates,
    /// The same for pipelines of 16 and of 100 commands.
    Pipelines,
    /// Requests that read what they wrote, beside redis-rs at the master.
    OwnWrites,
    /// What an idle client costs, beside redis-rs's.
    Footprint,
    /// How soon many clients write to a new master.
    Following,
}

/// What to compare with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Other {
    /// Redis Sentinel: three, a quorum of two, `down-after-milliseconds` as our own, else as it comes.
    Sentinel,
}

pub(super) use footprint::{IdleArgs, idle};

/// How a connection is used.
#[derive(Clone, Copy, Debug)]
enum Api {
    /// From tasks of a runtime.
    Tasks,
    /// From threads without one.
    Threads,
}

/// Which command is measured.
#[derive(Clone, Copy, Debug)]
enum Operation {
    Get,
    Set,
    /// A pipeline of so many SETs. Its commands are what is counted.
    Pipeline(usize),
}

/// One line of the table: operations per second of both sides, pair by pair.
#[derive(Debug)]
struct Cell {
    api: Api,
    operation: Operation,
    /// How many tasks or threads.
    tasks: usize,
    ours: Vec<f64>,
    theirs: Vec<f64>,
}

/// Whose connection.
#[derive(Clone, Copy, Debug)]
enum Side {
    Ours,
    Theirs,
}

/// Measures, and prints the tables.
pub(super) async fn run(args: ClientArgs) -> Result<(), Failure> {
    let wanted = |part| args.part.is_empty() || args.part.contains(&part);
    let mut figures = json!({ "value_bytes": VALUE, "keys": KEYS });
    let single = [Operation::Set, Operation::Get];
    let pipelines = PIPELINES.map(Operation::Pipeline);
    let mut cells = Vec::new();
    if wanted(Part::Rates) {
        cells.extend(measure_rates(&args, &single, &TASKS, &THREADS).await?);
    }
    if wanted(Part::Pipelines) {
        cells.extend(measure_rates(&args, &pipelines, FEW.0, FEW.1).await?);
    }
    if !cells.is_empty() {
        println!("{NOTES}");
        figures["cells"] = cells.iter().map(Cell::json).collect();
    }
    if wanted(Part::OwnWrites) {
        figures["own_writes"] = own_writes::measure(args.runs.unwrap_or(40)).await?.into();
    }
    if wanted(Part::Footprint) {
        figures["footprint"] = footprint::measure(args.runs.unwrap_or(10))?.into();
    }
    if wanted(Part::Following) {
        let (clients, beside) = (usize::from(args.clients), args.vs.is_some());
        figures["following"] = following::measure(clients, args.runs.unwrap_or(5), beside).await?.into();
    }
    if let Some(file) = &args.json {
        fs::write(file, format!("{figures:#}\n"))
            .map_err(|error| Failure::new(format!("cannot write {}: {error}", file.display())))?;
    }
    Ok(())
}

/// These operations, from so many tasks and from so many threads.
async fn measure_rates(
    args: &ClientArgs,
    operations: &[Operation],
    tasks: &[usize],
    threads: &[usize],
) -> Result<Vec<Cell>, Failure> {
    let runs = args.runs.unwrap_or(40).max(u32::try_from(FEWEST).map_err(Failure::new)?);
    let redis = attempt(Redis::start)?;
    println!("{runs} pairs for each line, about {} ms each side", AIM.as_millis());
    let mut cells = Vec::new();
    for (api, title, counts) in [
        (Api::Tasks, "from tasks, on 2 threads", tasks),
        (Api::Threads, "from threads without a runtime (the blocking client)", threads),
    ] {
        println!("\n{title}\n{HEAD}");
        for operation in operations {
            for tasks in counts {
                let cell = measure_cell(&redis.addr(), api, *operation, *tasks, runs).await?;
                println!("{}", cell.line());
                cells.push(cell);
            }
        }
    }
    Ok(cells)
}

async fn measure_cell(
    address: &str,
    api: Api,
    operation: Operation,
    tasks: usize,
    runs: u32,
) -> Result<Cell, Failure> {
    let mut cell = Cell { api, operation, tasks, ours: Vec::new(), theirs: Vec::new() };
    let measure = async |side, each| match api {
        Api::Tasks => measure(address, side, operation, tasks, each).await,
        Api::Threads => {
            let address = address.to_owned();
            let work = move || blocking::measure(&address, side, operation, tasks, each);
            tokio::task::spawn_blocking(work).await.map_err(Failure::new)?
        }
    };
    // So many rounds that the faster side takes about the wanted time.
    let mut each = 1_000 / tasks + 1;
    let commands = tasks * operation.commands();
    for _ in 0..3 {
        each = rounds(measure(Side::Ours, each).await?.max(measure(Side::Theirs, each).await?), commands);
    }
    for run in 0..runs {
        if run % 2 == 0 {
            cell.ours.push(measure(Side::Ours, each).await?);
            cell.theirs.push(measure(Side::Theirs, each).await?);
        } else {
            cell.theirs.push(measure(Side::Theirs, each).await?);
            cell.ours.push(measure(Side::Ours, each).await?);
        }
    }
    Ok(cell)
}

/// Operations per second of one side, on a new connection that was warmed up.
///
/// It is a new one each time, because two connections that are alike in all can differ by a fifth for as long as they
/// last: on which thread their tasks came to be, how their buffers have grown.
async fn measure(
    address: &str,
    side: Side,
    operation: Operation,
    tasks: usize,
    each: usize,
) -> Result<f64, Failure> {
    match side {
        Side::Ours => {
            // No store, and one node: what is left is the path of a command through the library.
            let client = Client::builder().read_from(ReadFrom::Master).build_fixed(address, [""; 0]);
            let client = client.map_err(Failure::new)?;
            client.ready(Duration::from_secs(5)).await.map_err(Failure::new)?;
            warm_rate(operation, tasks, each, &client.connection()).await
        }
        Side::Theirs => {
            let connection = multiplexed(address).await.map_err(Failure::new)?;
            warm_rate(operation, tasks, each, &connection).await
        }
    }
}

/// The connection of redis-rs as it comes: among its defaults is Nagle's algorithm, with which more commands get
/// through from many tasks, since they leave in fewer packets.
async fn multiplexed(address: &str) -> redis::RedisResult<MultiplexedConnection> {
    redis::Client::open(format!("redis://{address}"))?.get_multiplexed_async_connection().await
}

/// The rate after a tenth that does not count.
async fn warm_rate(
    operation: Operation,
    tasks: usize,
    each: usize,
    connection: &(impl ConnectionLike + Clone + Send + 'static),
) -> Result<f64, Failure> {
    rate(operation, tasks, each.div_ceil(10), connection).await?;
    rate(operation, tasks, each, connection).await
}

/// How many rounds of so many commands make a measurement of the wanted length.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a positive count far below 2^32"
)]
fn rounds(rate: f64, commands: usize) -> usize {
    ((rate * AIM.as_secs_f64()) as usize / commands).max(1)
}

/// Operations per second of `tasks` tasks that send `each` commands, each on a clone of the connection.
async fn rate(
    operation: Operation,
    tasks: usize,
    each: usize,
    connection: &(impl ConnectionLike + Clone + Send + 'static),
) -> Result<f64, Failure> {
    let began = Instant::now();
    let mut running = JoinSet::new();
    for task in 0..tasks {
        running.spawn(work(operation, task, each, connection.clone()));
    }
    while let Some(done) = running.join_next().await {
        done.map_err(Failure::new)?.map_err(|error| Failure::new(format!("{operation:?}: {error}")))?;
    }
    let operations = u32::try_from(tasks * each * operation.commands()).map_err(Failure::new)?;
    Ok(f64::from(operations) / began.elapsed().as_secs_f64())
}

async fn work(
    operation: Operation,
    task: usize,
    each: usize,
    mut connection: impl ConnectionLike,
) -> redis::RedisResult<()> {
    let value = [b'x'; VALUE];
    for round in 0..each {
        let key = format!("bench:{}", (task * 31 + round) % KEYS);
        match operation {
            Operation::Set => {
                let _: () = redis::cmd("SET").arg(key).arg(&value).query_async(&mut connection).await?;
            }
            Operation::Get => {
                let _: Vec<u8> = redis::cmd("GET").arg(key).query_async(&mut connection).await?;
            }
            Operation::Pipeline(commands) => {
                let mut pipeline = redis::Pipeline::with_capacity(commands);
                for number in 0..commands {
                    pipeline.set(format!("{key}:{number}"), &value).ignore();
                }
                let _: () = pipeline.query_async(&mut connection).await?;
            }
        }
    }
    Ok(())
}

const HEAD: &str =
    "         count   redis-failover, ops/s (quartiles)   redis-rs, ops/s (quartiles)      ratio (95 %)";

const NOTES: &str = "
count: of tasks or of threads. ops/s: the median and, in parentheses, the quartiles. ratio: the median
of the pairs' ratios, redis-failover / redis-rs, and its 95 % confidence interval by order statistics
(no distribution is assumed).";

impl Operation {
    /// How many commands one round sends.
    fn commands(self) -> usize {
        match self {
            Self::Get | Self::Set => 1,
            Self::Pipeline(commands) => commands,
        }
    }
}

impl Cell {
    /// The library's rate in redis-rs's, pair by pair.
    fn ratios(&self) -> Vec<f64> {
        self.ours.iter().zip(&self.theirs).map(|(ours, theirs)| ours / theirs).collect()
    }

    fn word(&self) -> String {
        match self.operation {
            Operation::Get => "GET".to_owned(),
            Operation::Set => "SET".to_owned(),
            Operation::Pipeline(commands) => format!("{commands} SET"),
        }
    }

    fn line(&self) -> String {
        let rate = |Spread { lower, median, upper }| format!("{median:>9.0} ({lower:.0} – {upper:.0})");
        let (ours, theirs) = (rate(spread(&self.ours)), rate(spread(&self.theirs)));
        let Confident { low, median, high } = confident(&self.ratios());
        let (word, tasks) = (self.word(), self.tasks);
        format!("{word:<8} {tasks:>5}   {ours:<33}   {theirs:<30}   {median:.3} ({low:.3} – {high:.3})")
    }

    fn json(&self) -> Value {
        let side = |rates: &[f64]| {
            let Spread { lower, median, upper } = spread(rates);
            json!({ "median": median, "quartiles": [lower, upper], "runs": rates })
        };
        let Confident { low, median, high } = confident(&self.ratios());
        json!({
            "operation": self.word(),
            "api": match self.api { Api::Tasks => "tokio", Api::Threads => "blocking" },
            "tasks": self.tasks,
            "redis_failover_ops_per_second": side(&self.ours),
            "redis_rs_ops_per_second": side(&self.theirs),
            "ratio": { "median": median, "low": low, "high": high, "confidence": 0.95, "by": "order statistics" },
        })
    }
}
