//! Random mixes of commands, many at the same time through one client, give what direct connections of redis-rs give.

use std::collections::BTreeSet;
use std::time::{SystemTime, UNIX_EPOCH};

use fastrand::Rng;
use redis_failover::redis::aio::{ConnectionLike, transaction_async};
use redis_failover::redis::{self, AsyncCommands, RedisResult, Script, cmd};
use redis_failover_lab::Redis;
use tokio::task::JoinSet;

#[path = "../common/draws.rs"]
mod draws;

use crate::world::{Nodes, ok};
use draws::{Draw, seen};

/// How many commands, pipelines, transactions and scripts are drawn for each task.
const DRAWS: usize = 600;

/// How many tasks share the client. Each has keys of its own, so what it sees does not depend on the others.
const TASKS: u64 = 8;

/// One draw, on one connection. The numbers are the same for both.
async fn play(mut draw: Draw, con: &mut (impl ConnectionLike + Clone + Send + Sync)) -> Vec<String> {
    match draw.random.u8(..20) {
        0..11 => vec![seen(&draw.command().query_async(con).await)],
        11..15 => vec![seen(&draw.pipeline().query_async(con).await)],
        15 => by_hand(&mut draw, con).await,
        16 => {
            let (key, command) = (draw.key("SET"), draw.command());
            let watched = [key.clone()];
            let result = transaction_async(con.clone(), &watched, |mut con, mut pipeline| {
                let (key, command) = (key.clone(), command.clone());
                async move {
                    let kind: String = cmd("TYPE").arg(&key).query_async(&mut con).await?;
                    pipeline.cmd("ECHO").arg(kind).add_command(command).query_async(&mut con).await
                }
            });
            vec![seen(&result.await)]
        }
        17 => {
            let script =
                Script::new("redis.call('HSET', KEYS[1], ARGV[1], #KEYS) return redis.call('HLEN', KEYS[1])");
            let (key, field) = (draw.key("HSET"), draw.random.u8(..6));
            vec![seen(&script.key(key).arg(field).invoke_async(con).await)]
        }
        18 => scan(&draw.prefix, con).await,
        _ => typed(&mut draw, con).await,
    }
}

/// MULTI without a pipeline, to EXEC or DISCARD, or an end without a beginning.
async fn by_hand(draw: &mut Draw, con: &mut (impl ConnectionLike + Send + Sync)) -> Vec<String> {
    let mut seen_all = Vec::new();
    let watched = draw.key("SET");
    let begins: &[&str] = match draw.random.u8(..3) {
        0 => &["MULTI"],
        1 => &["WATCH", &watched],
        _ => &[],
    };
    if let [name, keys @ ..] = begins {
        seen_all.push(seen(&cmd(name).arg(keys).query_async(con).await));
    }
    for _ in 0..draw.random.u8(..4) {
        seen_all.push(seen(&draw.command().query_async(con).await));
    }
    let end = ["EXEC", "DISCARD", "UNWATCH"][draw.random.usize(..3)];
    seen_all.push(seen(&cmd(end).query_async(con).await));
    // Whatever has not ended by now.
    let _: RedisResult<()> = cmd("DISCARD").query_async(con).await;
    seen_all.push(seen(&cmd("UNWATCH").query_async(con).await));
    seen_all
}

async fn scan(prefix: &str, con: &mut (impl ConnectionLike + Send + Sync)) -> Vec<String> {
    let mut keys = BTreeSet::new();
    match con.scan_match::<_, String>(format!("{prefix}*")).await {
        Ok(mut found) => {
            while let Some(key) = found.next_item().await {
                keys.extend(key.ok());
            }
        }
        Err(error) => return vec![error.to_string()],
    }
    keys.into_iter().collect()
}

async fn typed(draw: &mut Draw, con: &mut (impl ConnectionLike + Send + Sync)) -> Vec<String> {
    let key = draw.key("SET");
    let text = |result: RedisResult<String>| result.unwrap_or_else(|error| error.to_string());
    let number: RedisResult<i64> = con.get(&key).await;
    let pairs: RedisResult<std::collections::BTreeMap<String, Vec<u8>>> = con.hgetall(&key).await;
    vec![
        text(number.map(|it| it.to_string())),
        text(pairs.map(|it| format!("{it:?}"))),
        con.get_db().to_string(),
    ]
}

/// All that one task gets to see.
async fn play_all(
    seed: u64,
    task: u64,
    mut con: impl ConnectionLike + Clone + Send + Sync,
) -> Vec<Vec<String>> {
    let mut seeds = Rng::with_seed(seed + task);
    let mut all = Vec::new();
    for _ in 0..DRAWS {
        all.push(play(Draw::new(seeds.u64(..), &format!("{task}:")), &mut con).await);
    }
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn random_mixes_at_the_same_time_give_what_direct_connections_give() -> RedisResult<()> {
    let (nodes, other) = (Nodes::start(0), Redis::start());
    // Another one each time; what fails names it.
    let seed = SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |time| time.as_secs());
    ok(&nodes.master, &["FLUSHALL"]);
    let ours = nodes.master_only();
    let direct = redis::Client::open(format!("redis://{}/", other.addr()))?;
    let mut tasks = JoinSet::new();
    for task in 0..TASKS {
        let (ours, direct) = (ours.clone(), direct.get_multiplexed_async_connection().await?);
        tasks.spawn(
            async move { (task, play_all(seed, task, ours).await, play_all(seed, task, direct).await) },
        );
    }
    let mut refused = 0;
    while let Some(done) = tasks.join_next().await {
        let (task, ours, expected) = done.expect("no panic");
        for (number, (ours, expected)) in ours.iter().zip(&expected).enumerate() {
            assert_eq!(ours, expected, "draw {number} of task {task} of seed {seed}");
            refused += usize::from(expected.iter().any(|it| it.starts_with("refused, ")));
        }
    }
    let all = DRAWS * usize::try_from(TASKS).expect("few");
    assert!((all / 20..all * 3 / 4).contains(&refused), "much is refused and much is not: {refused}");
    let held = |nodes: &Redis| nodes.command(&["DBSIZE"]);
    assert_eq!(held(&nodes.master), held(&other), "the same is left behind");
    Ok(())
}
