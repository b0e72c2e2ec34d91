//! Counts the visits of a page, through whatever happens to the master, in a program without a runtime.
//!
//! ```text
//! cargo run -p redis-failover --features blocking --example blocking -- redis+zk://localhost:2181/redis/cluster
//! ```

use std::error::Error;
use std::thread;
use std::time::Duration;

use redis_failover::blocking::{Client, Connection};
use redis_failover::redis::{self, Commands, RedisResult};
use redis_failover::{Outcome, outcome};

fn main() -> Result<(), Box<dyn Error>> {
    let url = std::env::args().nth(1).ok_or("give the URL: redis+zk://HOST:PORT/PATH")?;
    let client = Client::open(&url)?;
    client.on_change(|topology| println!("{topology}"));
    // Not needed: commands wait by themselves. It tells early what is wrong with the URL or the servers.
    client.ready(Duration::from_secs(10))?;

    // All connections share their TCP connections; have one for each thread.
    let visitors = (0..4).map(|_| {
        let mut connection = client.connection();
        thread::spawn(move || count(&mut connection))
    });
    for visitor in visitors.collect::<Vec<_>>() {
        println!("this is visit {}", visitor.join().map_err(|_| "a visitor panicked")??);
    }

    // Reads go to a replica, which may not have the visits yet. (With `?read=master` in the URL they go to the master.)
    let mut connection = client.connection();
    let seen: Option<i64> = connection.get("visits")?;
    println!("a replica knows of {}", seen.unwrap_or(0));

    // What is read here is written only if nobody changed it meanwhile, and only if the master is still the same:
    // otherwise the whole is done again.
    let (best,): (i64,) =
        redis::transaction(&mut connection, &["visits", "best"], |connection, pipeline| {
            let (visits, best): (i64, Option<i64>) =
                redis::cmd("MGET").arg(&["visits", "best"]).query(connection)?;
            pipeline.set("best", visits.max(best.unwrap_or(0))).ignore().get("best").query(connection)
        })?;
    println!("the best day had {best}");
    Ok(())
}

/// Counts one visit.
fn count(connection: &mut Connection) -> RedisResult<i64> {
    let mut attempts = 0;
    loop {
        match connection.incr("visits", 1) {
            Ok(visits) => return Ok(visits),
            // Nothing was counted, so it may be tried again. Mostly it has waited for a master already; but Redis may
            // refuse at once, too, and go on refusing: for want of memory, or of the right to INCR.
            Err(error) if outcome(&error) == Outcome::NotExecuted && attempts < 3 => {
                attempts += 1;
                eprintln!("{error}");
                thread::sleep(Duration::from_secs(1));
            }
            // The master went while it had the command: it may have counted. For visits, one more or less is no harm;
            // for money, look before you try again.
            Err(error) => return Err(error),
        }
    }
}
