//! Moves money between accounts with WATCH: many at the same time, and none is lost or made.
//!
//! ```text
//! cargo run -p redis-failover --example transaction -- redis+zk://localhost:2181/redis/cluster
//! ```

use std::error::Error;

use redis_failover::redis::aio::transaction_async;
use redis_failover::redis::{AsyncCommands, RedisResult};
use redis_failover::{Builder, Connection, Outcome, ReadFrom, outcome};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let url = std::env::args().nth(1).ok_or("give the URL: redis+zk://HOST:PORT/PATH")?;
    // Outside a transaction, too, an account is read from the master.
    let client = Builder::from_url(&url)?.read_from(ReadFrom::Master).build()?;
    let mut connection = client.connection();
    let _: () = connection.mset(&[("account:a", 100), ("account:b", 0)]).await?;
    let tellers: Vec<_> = (0..4)
        .map(|_| {
            let connection = client.connection();
            tokio::spawn(async move {
                for _ in 0..25 {
                    pay(&connection, "account:a", "account:b", 1).await?;
                }
                RedisResult::Ok(())
            })
        })
        .collect();
    for teller in tellers {
        teller.await??;
    }
    let (a, b): (i64, i64) = connection.mget(&["account:a", "account:b"]).await?;
    println!("a has {a}, b has {b}");
    Ok(())
}

/// Moves `amount`, if there is as much; says whether there was.
async fn pay(connection: &Connection, from: &str, to: &str, amount: i64) -> RedisResult<bool> {
    let keys = [from, to];
    // What is begun with WATCH goes over a TCP connection of its own. When somebody changes an account meanwhile, or
    // the master changes, EXEC yields nil and all of it is done again.
    let paid = transaction_async(connection.clone(), &keys, |mut connection, mut pipeline| async move {
        let present: i64 = connection.get(from).await?;
        if present < amount {
            return Ok(Some(false));
        }
        pipeline.decr(from, amount).ignore().incr(to, amount).ignore();
        let done: Option<()> = pipeline.query_async(&mut connection).await?;
        Ok(done.map(|()| true))
    });
    let paid = paid.await;
    // Only where the master went with EXEC in flight: look at the accounts (or at a receipt that the same transaction
    // writes) before it is tried again.
    if let Err(error) = &paid
        && outcome(error) == Outcome::Unknown
    {
        eprintln!("nobody knows whether {amount} went from {from} to {to}: {error}");
    }
    paid
}
