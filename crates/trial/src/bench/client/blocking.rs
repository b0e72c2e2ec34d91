//! The same for programs without a runtime: the library's blocking connection beside redis-rs's own, one for each
//! thread, as both are used. What the library's thread does for all of them is in its rate.

use std::thread;
use std::time::{Duration, Instant};

use redis::{Commands, ConnectionLike, RedisResult};
use redis_failover::ReadFrom;
use redis_failover::blocking::Client;

use super::{KEYS, Operation, Side, VALUE};
use crate::failure::Failure;

/// Operations per second of one side, on new connections that were warmed up.
pub(super) fn measure(
    address: &str,
    side: Side,
    operation: Operation,
    threads: usize,
    each: usize,
) -> Result<f64, Failure> {
    match side {
        Side::Ours => {
            let client = Client::builder().read_from(ReadFrom::Master);
            let client = client.build_blocking_fixed(address, [""; 0]).map_err(Failure::new)?;
            client.ready(Duration::from_secs(5)).map_err(Failure::new)?;
            let mut connections: Vec<_> = (0..threads).map(|_| client.connection()).collect();
            warm_rate(operation, each, &mut connections)
        }
        Side::Theirs => {
            let client = redis::Client::open(format!("redis://{address}")).map_err(Failure::new)?;
            let connections: RedisResult<Vec<_>> = (0..threads).map(|_| client.get_connection()).collect();
            warm_rate(operation, each, &mut connections.map_err(Failure::new)?)
        }
    }
}

/// The rate after a tenth that does not count.
fn warm_rate(
    operation: Operation,
    each: usize,
    connections: &mut [impl ConnectionLike + Send],
) -> Result<f64, Failure> {
    rate(operation, each.div_ceil(10), connections)?;
    rate(operation, each, connections)
}

/// Operations per second, each thread sending `each` commands.
fn rate(
    operation: Operation,
    each: usize,
    connections: &mut [impl ConnectionLike + Send],
) -> Result<f64, Failure> {
    let operations = u32::try_from(connections.len() * each * operation.commands()).map_err(Failure::new)?;
    let began = Instant::now();
    thread::scope(|scope| {
        let working = connections.iter_mut().enumerate();
        let working: Vec<_> = working
            .map(|(number, connection)| scope.spawn(move || work(operation, number, each, connection)))
            .collect();
        working.into_iter().try_for_each(|thread| {
            let done = thread.join().map_err(|_| Failure::new("a thread panicked"))?;
            done.map_err(|error| Failure::new(format!("{operation:?}: {error}")))
        })
    })?;
    Ok(f64::from(operations) / began.elapsed().as_secs_f64())
}

fn work(
    operation: Operation,
    number: usize,
    each: usize,
    connection: &mut impl ConnectionLike,
) -> RedisResult<()> {
    let value = [b'x'; VALUE];
    for round in 0..each {
        let key = format!("bench:{}", (number * 31 + round) % KEYS);
        match operation {
            Operation::Set => connection.set::<_, _, ()>(key, &value)?,
            Operation::Get => drop(connection.get::<_, Vec<u8>>(key)?),
            Operation::Pipeline(commands) => {
                let mut pipeline = redis::Pipeline::with_capacity(commands);
                for number in 0..commands {
                    pipeline.set(format!("{key}:{number}"), &value).ignore();
                }
                pipeline.exec(connection)?;
            }
        }
    }
    Ok(())
}
