//! Works off a queue with BLPOP, through whatever happens to the master, and ends well on Ctrl-C.
//!
//! ```text
//! cargo run -p redis-failover --example worker -- redis+zk://localhost:2181/redis/cluster
//! redis-cli RPUSH jobs tidy
//! ```
//!
//! BLPOP takes a job away from Redis before the work begins. A job whose worker dies, or whose master dies in the very
//! moment of taking, is gone. Where no job may get lost use BLMOVE into a list of the worker's own, and LREM when the
//! work is done; what is found in that list at the start is work that was begun.

use std::error::Error;
use std::time::Duration;

use redis_failover::redis::AsyncCommands;
use redis_failover::{Client, Outcome, outcome};

/// How long one BLPOP waits, in seconds: so long it takes at most to end.
const PATIENCE: f64 = 1.0;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let url = std::env::args().nth(1).ok_or("give the URL: redis+zk://HOST:PORT/PATH")?;
    let client = Client::open(&url)?;
    let ending = tokio::spawn(tokio::signal::ctrl_c());
    let mut connection = client.connection();
    println!("waiting for jobs");
    // Never in the middle of a BLPOP: one whose future is dropped may just have taken a job.
    while !ending.is_finished() {
        // It has a TCP connection of its own, without a response timeout, so it can be sent on any connection.
        match connection.blpop::<_, Option<(String, String)>>("jobs", PATIENCE).await {
            Ok(Some((_, job))) => work(&job).await,
            Ok(None) => {}
            // Redis refused it, or there was no master for ten seconds: the job is still there.
            Err(error) if outcome(&error) == Outcome::NotExecuted => {
                eprintln!("{error}");
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            // The master went while it waited: nobody knows whether it had just taken a job. The next one is asked for
            // at the new master.
            Err(error) if outcome(&error) == Outcome::Unknown => eprintln!("a job may be lost: {error}"),
            Err(error) => return Err(error.into()),
        }
    }
    println!("no more jobs");
    Ok(())
}

async fn work(job: &str) {
    // What takes long goes here.
    tokio::task::yield_now().await;
    println!("did {job}");
}
