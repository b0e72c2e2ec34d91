//! A random mix of commands through our connection gives what a direct connection of redis-rs gives.

use std::collections::BTreeSet;
use std::time::{SystemTime, UNIX_EPOCH};

use fastrand::Rng;
use redis_failover::ReadFrom;
use redis_failover::blocking::Client;
use redis_failover::redis::{self, Commands, ConnectionLike, RedisResult, Script, Value, cmd};

#[path = "../common/draws.rs"]
mod draws;

use crate::world::Nodes;
use draws::{Draw, seen};

/// How many commands, pipelines, transactions and scripts are drawn for one seed.
const DRAWS: usize = 3_000;

/// One draw, on one connection. The numbers are the same for both.
fn play(mut draw: Draw, con: &mut impl ConnectionLike) -> Vec<String> {
    match draw.random.u8(..20) {
        0..10 => vec![seen(&draw.command().query(con))],
        // As bytes: what redis-rs's own traits allow.
        10 => {
            let reply = con.req_packed_command(&draw.command().get_packed_command());
            vec![seen(&reply.and_then(Value::extract_error))]
        }
        11..15 => vec![seen(&draw.pipeline().query(con))],
        15 => by_hand(&mut draw, con),
        16 => {
            let key = draw.key("SET");
            let result = redis::transaction(con, &[&key], |con, pipeline| {
                let kind: String = cmd("TYPE").arg(&key).query(con)?;
                pipeline.cmd("ECHO").arg(kind).add_command(draw.command()).query(con)
            });
            vec![seen(&result)]
        }
        17 => {
            let script = Script::new(
                "redis.call('HSET', 'script', ARGV[1], #KEYS) return redis.call('HLEN', 'script')",
            );
            vec![seen(&script.key(draw.key("SET")).arg(draw.random.u8(..6)).invoke(con))]
        }
        18 => scan(con),
        _ => typed(&mut draw, con),
    }
}

/// MULTI without a pipeline, to EXEC or DISCARD, or an end without a beginning.
fn by_hand(draw: &mut Draw, con: &mut impl ConnectionLike) -> Vec<String> {
    let mut seen_all = Vec::new();
    let begins: &[&str] = [&["MULTI"][..], &["WATCH", "key:S:1"], &[]][draw.random.usize(..3)];
    if let [name, keys @ ..] = begins {
        seen_all.push(seen(&cmd(name).arg(keys).query(con)));
    }
    for _ in 0..draw.random.u8(..4) {
        seen_all.push(seen(&draw.command().query(con)));
    }
    let end = ["EXEC", "DISCARD", "UNWATCH"][draw.random.usize(..3)];
    seen_all.push(seen(&cmd(end).query(con)));
    // Whatever has not ended by now.
    let _: RedisResult<()> = cmd("DISCARD").query(con);
    seen_all.push(seen(&cmd("UNWATCH").query(con)));
    seen_all
}

fn scan(con: &mut impl ConnectionLike) -> Vec<String> {
    let mut keys = BTreeSet::new();
    match con.scan_match::<_, String>("key:*") {
        Ok(found) => keys.extend(found.filter_map(Result::ok)),
        Err(error) => return vec![error.to_string()],
    }
    keys.into_iter().collect()
}

fn typed(draw: &mut Draw, con: &mut impl ConnectionLike) -> Vec<String> {
    let key = draw.key("SET");
    let text = |result: RedisResult<String>| result.unwrap_or_else(|error| error.to_string());
    let number: RedisResult<i64> = con.get(&key);
    let pairs: RedisResult<std::collections::BTreeMap<String, Vec<u8>>> = con.hgetall(&key);
    let members: RedisResult<BTreeSet<String>> = con.smembers(&key);
    vec![
        text(number.map(|it| it.to_string())),
        text(pairs.map(|it| format!("{it:?}"))),
        text(members.map(|it| format!("{it:?}"))),
        con.get_db().to_string(),
    ]
}

/// All that one connection gets to see, from an empty server on.
fn play_all(seed: u64, con: &mut impl ConnectionLike) -> RedisResult<Vec<Vec<String>>> {
    cmd("FLUSHALL").exec(con)?;
    cmd("SCRIPT").arg("FLUSH").exec(con)?;
    let mut seeds = Rng::with_seed(seed);
    Ok((0..DRAWS).map(|_| play(Draw::new(seeds.u64(..), ""), con)).collect())
}

#[test]
fn a_random_mix_gives_what_a_direct_connection_gives() -> RedisResult<()> {
    let nodes = Nodes::start(0);
    // Another one each time; what fails names it.
    let seed = SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |time| time.as_secs());
    let mut direct = redis::Client::open(format!("redis://{}/", nodes.master.addr()))?.get_connection()?;
    let expected = play_all(seed, &mut direct)?;
    let refused = expected.iter().filter(|it| it.iter().any(|it| it.starts_with("refused, "))).count();
    assert!((DRAWS / 20..DRAWS * 3 / 4).contains(&refused), "much is refused and much is not: {refused}");
    let mut ours = nodes.client(Client::builder().read_from(ReadFrom::Master)).connection();
    for (number, (ours, expected)) in play_all(seed, &mut ours)?.iter().zip(&expected).enumerate() {
        assert_eq!(ours, expected, "draw {number} of seed {seed}");
    }
    Ok(())
}
