//! The child process of `bench switchover`: tasks that write, each write at its time.
//!
//! It is told when to begin and how fast on its standard input, writes until that is closed, and then prints what its
//! callers were told. A write that is late is sent all the same, and counts from when it was due. It knows of no
//! switchover. Each write is an INCR of a key of its own: who reads the keys afterwards sees what was lost, and what
//! was executed twice.

use std::io::{self, Read as _};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use clap::Args;
use redis_failover::Connection;
use tokio::sync::watch;
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::sleep_until;

use super::seeker::Seeker;
use super::sheet::{Answer, Sheet, Write};
use super::{TASKS, load};
use crate::bench::group::clients_of;
use crate::failure::Failure;

/// How long the first connection may take.
const LIMIT: Duration = Duration::from_secs(30);

/// What a child process is told at its start.
#[derive(Args, Debug)]
pub(in crate::bench) struct ScheduleArgs {
    /// What its keys begin with.
    #[arg(long)]
    prefix: String,

    /// Write through the client library, which finds the master in this `ZooKeeper`.
    #[arg(long, required_unless_present = "sentinels")]
    zookeeper: Option<String>,

    /// Write over redis-rs, and find the master through these sentinels.
    #[arg(long, value_delimiter = ',')]
    sentinels: Vec<String>,
}

/// How a task writes.
#[derive(Clone)]
enum Hand {
    Library(Connection),
    Sentinels(Seeker),
}

/// When writes are due.
#[derive(Clone, Copy, Debug)]
struct Schedule {
    begin: Instant,
    /// From one write of the process to the next; zero has each task write without a pause.
    interval: Duration,
}

/// Until when writes are due; `None` while that is open.
type End = watch::Receiver<Option<Instant>>;

/// The child: writes, and prints its sheet.
pub(in crate::bench) async fn write_on_schedule(args: ScheduleArgs) -> Result<(), Failure> {
    let client = args.zookeeper.as_deref().map(|servers| clients_of(servers).build()).transpose();
    let mut hand = match client.map_err(Failure::new)? {
        Some(client) => {
            client.ready(LIMIT).await.map_err(Failure::new)?;
            Hand::Library(client.connection())
        }
        None => Hand::Sentinels(Seeker::new(args.sentinels)),
    };
    hand.increment(&format!("{}:ready", args.prefix)).await.map_err(Failure::new)?;
    println!("{}", load::READY);
    let order = spawn_blocking(read_line).await.map_err(Failure::new)?.map_err(Failure::new)?;
    let schedule =
        Schedule::from_order(&order).ok_or_else(|| Failure::new(format!("not an order: {order}")))?;
    let (end, until) = watch::channel(None);
    let error = Arc::default();
    let mut tasks = JoinSet::new();
    for task in 0..TASKS {
        let prefix = args.prefix.clone();
        tasks.spawn(work(task, schedule, prefix, hand.clone(), until.clone(), Arc::clone(&error)));
    }
    spawn_blocking(|| io::stdin().read_to_end(&mut Vec::new()))
        .await
        .map_err(Failure::new)?
        .map_err(Failure::new)?;
    end.send_replace(Some(Instant::now()));
    let writes = tasks.join_all().await.concat();
    let error = error.lock().unwrap_or_else(PoisonError::into_inner).take();
    print!("{}", Sheet { writes, error });
    Ok(())
}

fn read_line() -> io::Result<String> {
    let mut line = String::new();
    io::stdin().read_line(&mut line)?;
    Ok(line)
}

async fn work(
    task: u64,
    schedule: Schedule,
    prefix: String,
    mut hand: Hand,
    end: End,
    told: Arc<Mutex<Option<String>>>,
) -> Vec<Write> {
    let mut writes = Vec::new();
    for number in (task..).step_by(usize::try_from(TASKS).unwrap_or(usize::MAX)) {
        let due = schedule.due(number);
        if has_ended(&end, due) {
            break;
        }
        sleep_until(due.into()).await;
        if has_ended(&end, due) {
            break;
        }
        let answer = match hand.increment(&format!("{prefix}:{number}")).await {
            Ok(1) => Answer::Done,
            Ok(_) => Answer::Again,
            Err(error) => {
                told.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
                Answer::Failed
            }
        };
        let (due, told) = (schedule.micros(due), schedule.micros(Instant::now()));
        writes.push(Write { number, due, told, answer });
    }
    writes
}

fn has_ended(end: &End, due: Instant) -> bool {
    end.borrow().is_some_and(|end| due >= end)
}

impl Schedule {
    /// What [`load`] orders: when to begin, in microseconds of the system's clock, and the interval in nanoseconds.
    fn from_order(order: &str) -> Option<Self> {
        let mut numbers = order.split_whitespace().map(str::parse);
        let (begin, interval) = (numbers.next()?.ok()?, numbers.next()?.ok()?);
        let begin = UNIX_EPOCH + Duration::from_micros(begin);
        let ahead = begin.duration_since(SystemTime::now()).ok()?;
        Some(Self { begin: Instant::now() + ahead, interval: Duration::from_nanos(interval) })
    }

    /// When the write of this number is to be sent.
    fn due(&self, number: u64) -> Instant {
        if self.interval.is_zero() {
            return self.begin.max(Instant::now());
        }
        let nanos = u128::from(number) * self.interval.as_nanos();
        self.begin + Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    fn micros(&self, at: Instant) -> u64 {
        u64::try_from(at.saturating_duration_since(self.begin).as_micros()).unwrap_or(u64::MAX)
    }
}

impl Hand {
    async fn increment(&mut self, key: &str) -> Result<i64, String> {
        let mut command = redis::cmd("INCR");
        command.arg(key);
        match self {
            Self::Library(connection) => {
                command.query_async(connection).await.map_err(|error| error.to_string())
            }
            Self::Sentinels(seeker) => seeker.send(&command).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_due_does_not_depend_on_what_was_done() {
        let begin = SystemTime::now() + Duration::from_secs(5);
        let micros = begin.duration_since(UNIX_EPOCH).unwrap().as_micros();
        let schedule = Schedule::from_order(&format!("{micros} 200000\n")).unwrap();
        let due: Vec<_> = [0, 1, 128].map(|number| schedule.micros(schedule.due(number))).into();
        assert_eq!(due, [0, 200, 25_600]);
        assert!(Schedule::from_order("5 200000").is_none(), "that was long ago");
        assert!(Schedule::from_order("").is_none());
    }
}
