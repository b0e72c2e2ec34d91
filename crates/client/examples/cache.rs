//! A cache in front of something slow, read from whichever node is nearest.
//!
//! ```text
//! cargo run -p redis-failover --example cache -- redis+zk://localhost:2181/redis/cluster
//! ```
//!
//! A cache needs no newest value, only one that is not too old: so it is read from the nearest node, and the time until
//! a value expires says how old it may be. When Redis can't be asked in time the slow thing is: a cache that is away
//! must not take the program with it.

use std::error::Error;
use std::time::{Duration, Instant};

use redis_failover::redis::{AsyncCommands, RedisResult};
use redis_failover::{Builder, Connection, ReadFrom};

/// How old a value may be, in seconds.
const AGE: u64 = 60;

/// What is not there by then is made anew.
const PATIENCE: Duration = Duration::from_millis(50);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let url = std::env::args().nth(1).ok_or("give the URL: redis+zk://HOST:PORT/PATH")?;
    let client = Builder::from_url(&url)?.read_from(ReadFrom::Nearest).build()?;
    client.ready(Duration::from_secs(10)).await?;
    let cache = client.connection().deadline(Some(PATIENCE));
    for _ in 0..3 {
        let begun = Instant::now();
        let page = page(&cache, "home").await;
        println!("{page} after {} ms", begun.elapsed().as_millis());
    }
    Ok(())
}

/// The page, from the cache if it is there.
async fn page(cache: &Connection, name: &str) -> String {
    let mut cache = cache.clone();
    let key = format!("page:{name}");
    let cached: RedisResult<Option<String>> = cache.get(&key).await;
    if let Ok(Some(page)) = cached {
        return format!("{page}, from the cache,");
    }
    if let Err(error) = cached {
        eprintln!("the cache can't be asked: {error}");
    }
    let page = make(name).await;
    // Whether it is kept does not matter to who waits for the page.
    let keeping = {
        let page = page.clone();
        async move { cache.set_ex::<_, _, ()>(key, page, AGE).await }
    };
    if let Err(error) = keeping.await {
        eprintln!("the page is not kept: {error}");
    }
    page
}

/// What is slow.
async fn make(name: &str) -> String {
    tokio::time::sleep(Duration::from_millis(200)).await;
    format!("the page {name}")
}
