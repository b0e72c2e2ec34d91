//! Counts the visits of a page, through whatever happens to the master.
//!
//! ```text
//! cargo run -p redis-failover --example quickstart -- redis+zk://localhost:2181/redis/cluster
//! ```

use std::error::Error;
use std::time::Duration;

use redis_failover::redis::{self, AsyncCommands, RedisResult};
use redis_failover::{Client, Outcome, outcome};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let url = std::env::args().nth(1).ok_or("give the URL: redis+zk://HOST:PORT/PATH")?;
    let client = Client::open(&url)?;
    client.on_change(|topology| println!("{topology}"));
    // Not needed: commands wait by themselves. It tells early what is wrong with the URL or the servers.
    client.ready(Duration::from_secs(10)).await?;

    // All connections share their TCP connections; have one for each task.
    let mut connection = client.connection();
    println!("this is visit {}", count(&mut connection).await?);

    // Reads go to a replica, which may not have the visit yet. (With `?read=master` in the URL they go to the master.)
    let seen: Option<i64> = connection.get("visits").await?;
    println!("a replica knows of {}", seen.unwrap_or(0));

    // A transaction goes whole to the master.
    let (day, all): (i64, i64) =
        redis::pipe().atomic().incr("visits:today", 1).incr("visits", 0).query_async(&mut connection).await?;
    println!("{day} today, {all} in all");
    Ok(())
}

/// Counts one visit.
async fn count(connection: &mut redis_failover::Connection) -> RedisResult<i64> {
    let mut attempts = 0;
    loop {
        match connection.incr("visits", 1).await {
            Ok(visits) => return Ok(visits),
            // Nothing was counted, so it may be tried again. Mostly it has waited for a master already; but Redis may
            // refuse at once, too, and go on refusing: for want of memory, or of the right to INCR.
            Err(error) if outcome(&error) == Outcome::NotExecuted && attempts < 3 => {
                attempts += 1;
                eprintln!("{error}");
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            // The master went while it had the command: it may have counted. For visits, one more or less is no harm;
            // for money, look before you try again.
            Err(error) => return Err(error),
        }
    }
}
