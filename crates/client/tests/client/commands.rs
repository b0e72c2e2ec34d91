//! What goes where, and that everything of redis-rs works.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use futures_util::StreamExt;
use redis_failover::redis::{self, AsyncCommands, RedisResult, Script, Value, cmd, pipe};
use redis_failover::{Client, Outcome, ReadFrom, outcome};
use redis_failover_core::commands::{SERVER_VERSION, flags_of};
use redis_failover_lab::{Redis, Reply};

use crate::world::{LONG, Nodes, calls, ok};

/// As long as nothing is waited for that comes.
const SHORT: Duration = Duration::from_millis(500);

#[tokio::test]
async fn a_client_calls_from_its_source_address_or_says_why_it_cannot() -> RedisResult<()> {
    let nodes = Nodes::start(0);
    let from =
        |source: [u8; 4]| nodes.client(Client::builder().source_address(source.into()).wait_limit(SHORT));
    let me: String = cmd("CLIENT").arg("INFO").query_async(&mut from([127, 0, 1, 21]).connection()).await?;
    assert!(me.contains("addr=127.0.1.21:"), "{me}");
    // An address of documentation: no host has it.
    let error = from([192, 0, 2, 1]).connection().set::<_, _, ()>("a", 1).await.expect_err("it cannot");
    assert_eq!(outcome(&error), Outcome::NotExecuted);
    assert!(error.to_string().contains("cannot connect from the source address 192.0.2.1"), "{error}");
    Ok(())
}

#[tokio::test]
async fn a_broad_sample_of_redis_rs_works() -> RedisResult<()> {
    let nodes = Nodes::start(1);
    let mut con = nodes.master_only();

    let _: () = con.set("text", "value").await?;
    let _: () = con.mset(&[("a", 1), ("b", 2)]).await?;
    assert_eq!(con.get::<_, Option<String>>("text").await?.as_deref(), Some("value"));
    assert_eq!(con.mget::<_, Vec<Option<i64>>>(&["a", "none", "b"]).await?, [Some(1), None, Some(2)]);
    assert_eq!(con.incr::<_, _, i64>("a", 41).await?, 42);
    let _: () = con.set_ex("short", "x", 100).await?;
    assert!((1..=100).contains(&con.ttl::<_, i64>("short").await?));
    assert!(con.expire::<_, bool>("text", 50).await?);

    let _: () = con.hset_multiple("hash", &[("f", "1"), ("g", "2")]).await?;
    let hash: HashMap<String, i32> = con.hgetall("hash").await?;
    assert_eq!(hash, HashMap::from([("f".into(), 1), ("g".into(), 2)]));
    let _: () = con.rpush("list", &[1, 2, 3]).await?;
    assert_eq!(con.lrange::<_, Vec<u8>>("list", 0, -1).await?, [1, 2, 3]);
    let _: () = con.sadd("set", &["x", "y"]).await?;
    assert_eq!(con.smembers::<_, BTreeSet<String>>("set").await?, ["x".into(), "y".into()].into());
    let _: () = con.zadd_multiple("sorted", &[(1.5, "low"), (2.5, "high")]).await?;
    let scores: Vec<(String, f64)> = con.zrange_withscores("sorted", 0, -1).await?;
    assert_eq!(scores, [("low".into(), 1.5), ("high".into(), 2.5)]);
    let _: () = con.pfadd("log", &["p", "q", "p"]).await?;
    assert_eq!(con.pfcount::<_, i64>("log").await?, 2);
    let _: () = con.setbit("bits", 7, true).await?;
    assert_eq!(con.bitcount::<_, i64>("bits").await?, 1);
    let id: String = cmd("XADD").arg("stream").arg("*").arg("k").arg("v").query_async(&mut con).await?;
    let entries: Vec<(String, Vec<String>)> =
        cmd("XRANGE").arg("stream").arg("-").arg("+").query_async(&mut con).await?;
    assert_eq!(entries, [(id, vec!["k".into(), "v".into()])]);
    assert_eq!(con.publish::<_, _, i64>("channel", "nobody hears").await?, 0);

    let (first, second): (i64, Option<String>) =
        pipe().set("p", 1).ignore().incr("p", 1).get("text").query_async(&mut con).await?;
    assert_eq!((first, second.as_deref()), (2, Some("value")));
    let (sum,): (i64,) = pipe().atomic().set("t", 5).ignore().incr("t", 5).query_async(&mut con).await?;
    assert_eq!(sum, 10);
    let script = Script::new("return redis.call('INCRBY', KEYS[1], ARGV[1])");
    assert_eq!(script.key("t").arg(32).invoke_async::<i64>(&mut con).await?, 42);

    // Each reply of a pipeline has its own error.
    let mixed: Vec<RedisResult<i64>> =
        pipe().ignore_errors().incr("t", 1).incr("text", 1).incr("t", 1).query_async(&mut con).await?;
    assert!(matches!(mixed.as_slice(), [Ok(43), Err(_), Ok(44)]), "{mixed:?}");
    let error = con.incr::<_, _, i64>("text", 1).await.expect_err("it is no number");
    assert_eq!(outcome(&error), Outcome::Executed);
    let error = con.get::<_, i64>("text").await.expect_err("it is no number");
    assert_eq!(outcome(&error), Outcome::Executed);
    Ok(())
}

#[tokio::test]
async fn the_database_user_and_password_are_the_builders() -> RedisResult<()> {
    let server = Redis::builder().password("secret").start();
    let mut admin = server.connect().expect("it answers");
    let setuser = ["ACL", "SETUSER", "app", "on", ">word", "~*", "+@all", "-info"];
    admin.command(&setuser).and_then(Reply::into_result).expect("it obeys");
    let nobody = [""; 0];
    let builder = || Client::builder().db(3).wait_limit(Duration::from_millis(300));
    // A user that may not call INFO can use the client all the same.
    let client =
        builder().username("app").password("word").build_fixed(&server.addr(), nobody).expect("a client");
    let _: () = client.connection().set("in", "three").await?;
    admin.command(&["SELECT", "3"]).and_then(Reply::into_result).expect("it obeys");
    assert_eq!(admin.command(&["GET", "in"]), Ok(Reply::Bulk("three".into())));
    let wrong = builder().password("wrong").build_fixed(&server.addr(), nobody).expect("a client");
    let error = wrong.connection().get::<_, ()>("in").await.expect_err("the password is wrong");
    let text = error.to_string();
    assert!(
        text.starts_with("not executed: ")
            && text.contains("authentication failed")
            && !text.contains("secret"),
        "{text}"
    );
    Ok(())
}

#[tokio::test]
async fn reads_are_spread_evenly_and_everything_else_goes_to_the_master() -> RedisResult<()> {
    let nodes = Nodes::start(2);
    let client = nodes.client(Client::builder());
    client.ready(LONG).await?;
    let mut con = client.connection();
    // Both replicas are connected once both have answered.
    while nodes.replicas.iter().any(|replica| calls(replica, "get") == 0) {
        let _: Value = con.get("a").await?;
    }
    let before = nodes.replicas.iter().map(|replica| calls(replica, "get")).collect::<Vec<_>>();
    let master = calls(&nodes.master, "get");
    for _ in 0..100 {
        let _: Value = con.get("a").await?;
        let _: Value = client.connection().get("a").await?;
    }
    for (replica, before) in nodes.replicas.iter().zip(before) {
        assert_eq!(calls(replica, "get") - before, 100);
    }
    assert_eq!(calls(&nodes.master, "get"), master);

    // A pipeline goes whole to one node: to a replica only if it does nothing but read.
    let _: () = pipe().get("a").strlen("a").query_async(&mut con).await?;
    assert_eq!(nodes.replicas.iter().map(|replica| calls(replica, "strlen")).sum::<u64>(), 1);
    let _: () = pipe().set("a", 1).get("a").query_async(&mut con).await?;
    assert_eq!(calls(&nodes.master, "get"), master + 1);
    let _: () = pipe().atomic().get("a").query_async(&mut con).await?;
    assert_eq!(calls(&nodes.master, "get"), master + 2);
    let refused = errors(&nodes.replicas);
    let error = cmd("NO.SUCH").arg("a").exec_async(&mut con).await.expect_err("nobody knows it");
    assert!(error.to_string().contains("unknown command"), "{error}");
    assert_eq!(errors(&nodes.replicas), refused);
    Ok(())
}

/// How many errors these nodes have answered.
fn errors(nodes: &[Redis]) -> Vec<String> {
    nodes.iter().map(|node| node.info("stats").expect("it answers")["total_error_replies"].clone()).collect()
}

#[tokio::test]
async fn without_a_replica_the_master_is_read() -> RedisResult<()> {
    let mut nodes = Nodes::start(1);
    nodes.replicas[0].kill();
    let mut con = nodes.client(Client::builder()).connection();
    let _: () = con.set("a", 1).await?;
    assert_eq!(con.get::<_, i64>("a").await?, 1);
    Ok(())
}

#[tokio::test]
async fn a_scan_stays_on_its_node_whatever_else_is_read() -> RedisResult<()> {
    let nodes = Nodes::start(2);
    let all: BTreeSet<String> = (0..1000).map(|number| format!("key:{number}")).collect();
    let mut writer = nodes.master_only();
    for key in &all {
        let _: () = writer.set(key, 1).await?;
    }
    nodes.await_synced();
    ok(&nodes.master, &["DEL", "reaches"]);
    let client = nodes.client(Client::builder());
    client.ready(LONG).await?;
    let mut con = client.connection();
    while nodes.replicas.iter().any(|replica| calls(replica, "get") == 0) {
        let _: Value = con.get("a").await?;
    }
    // Two scans at once, page by page, on one connection and its clone.
    let (mut found, mut cursors) = (BTreeMap::<usize, BTreeSet<String>>::new(), [Some(0_u64), Some(0)]);
    let mut clones = [con.clone(), con.clone()];
    while cursors.iter().any(Option::is_some) {
        for (index, cursor) in cursors.iter_mut().enumerate() {
            let Some(present) = *cursor else { continue };
            let page = cmd("SCAN").arg(present).arg("COUNT").arg(100).query_async(&mut clones[index]).await?;
            let (next, keys): (u64, Vec<String>) = page;
            found.entry(index).or_default().extend(keys);
            *cursor = (next != 0).then_some(next);
        }
    }
    for keys in found.values() {
        assert!(keys.is_superset(&all), "{} of {} keys were found", keys.len(), all.len());
    }
    let scanned: Vec<_> = nodes.replicas.iter().map(|replica| calls(replica, "scan")).collect();
    assert!(scanned.iter().all(|calls| *calls > 1), "both replicas are scanned: {scanned:?}");
    assert_eq!(calls(&nodes.master, "scan"), 0);

    // redis-rs's own iterator, which keeps the cursor to itself.
    let keys: BTreeSet<String> =
        con.scan_match::<_, String>("key:*").await?.map(|key| key.expect("a key")).collect().await;
    assert_eq!(keys, all);

    // A cursor whose node is gone is an error, not a page with holes.
    let (cursor, _): (u64, Vec<String>) = cmd("SCAN").arg(0).query_async(&mut con).await?;
    for replica in &nodes.replicas {
        ok(replica, &["CLIENT", "KILL", "TYPE", "normal"]);
    }
    let error = cmd("SCAN").arg(cursor).exec_async(&mut con).await.expect_err("the cursor is lost");
    assert_eq!(outcome(&error), Outcome::NotExecuted);
    assert!(error.to_string().contains("begin again"), "{error}");
    let error = cmd("SCAN").arg(77).exec_async(&mut con).await.expect_err("nobody gave this cursor");
    assert!(error.to_string().contains("not given by this client"), "{error}");
    Ok(())
}

#[tokio::test]
async fn what_would_confuse_others_is_refused_with_a_hint() {
    let nodes = Nodes::start(0);
    let mut con = nodes.master_only();
    for (command, hint) in [
        (vec!["SELECT", "1"], "db(N)"),
        (vec!["SUBSCRIBE", "c"], "pubsub()"),
        (vec!["MONITOR"], "redis::Client"),
        (vec!["CLIENT", "REPLY", "OFF"], "builder"),
        (vec!["WAIT", "1", "0"], "pipeline"),
    ] {
        let error = cmd(command[0]).arg(&command[1..]).exec_async(&mut con).await.expect_err("it is refused");
        assert_eq!(outcome(&error), Outcome::NotExecuted);
        assert!(error.to_string().contains(hint), "{error}");
    }
}

/// The names that a server gives its commands, with what it flags them.
fn flagged(server: &Redis) -> BTreeMap<String, BTreeSet<String>> {
    let mut known = BTreeMap::new();
    let Reply::Array(commands) = ok(server, &["COMMAND"]) else { panic!("no list of commands") };
    let mut left = commands;
    while let Some(Reply::Array(entry)) = left.pop() {
        let text = |reply: &Reply| match reply {
            Reply::Bulk(text) | Reply::Simple(text) => text.to_lowercase(),
            other => panic!("no text: {other:?}"),
        };
        let Reply::Array(flags) = &entry[2] else { panic!("no flags") };
        known.insert(text(&entry[0]), flags.iter().map(text).collect());
        if let Some(Reply::Array(more)) = entry.get(9) {
            left.extend(more.iter().cloned());
        }
    }
    known
}

#[test]
fn the_table_of_commands_says_what_a_running_server_says() {
    let server = Redis::builder().start();
    let same_version =
        SERVER_VERSION == format!("Redis {}", server.info("server").expect("it answers")["redis_version"]);
    let known = flagged(&server);
    assert!(known.len() > 200, "{} commands", known.len());
    for (name, flags) in known {
        let (name, sub) =
            name.split_once('|').map_or((name.as_str(), None), |(name, sub)| (name, Some(sub.as_bytes())));
        let ours = flags_of(name.as_bytes(), sub);
        if let Some(ours) = ours {
            assert!(!ours.is_readonly() || flags.contains("readonly"), "{name} {sub:?} is not readonly");
        }
        if same_version {
            let ours = ours.unwrap_or_else(|| panic!("{name} is missing"));
            assert_eq!(ours.is_readonly(), flags.contains("readonly"), "{name}");
            assert_eq!(ours.is_write(), flags.contains("write"), "{name}");
            assert_eq!(ours.is_blocking(), flags.contains("blocking"), "{name}");
        }
    }
}

#[test]
fn reading_from_replicas_is_the_default() {
    assert_eq!(ReadFrom::default(), ReadFrom::Replica);
    assert_send(&Client::fixed("h:1", ["h:2"]).expect("a client").connection());
    let mut con = Client::fixed("h:1", ["h:2"]).expect("a client").connection();
    assert_send(&async move { con.get::<_, i64>("a").await });
}

/// What callers hand to other tasks.
fn assert_send<T: Send + 'static>(_: &T) {}

#[tokio::test]
async fn a_script_is_not_sent_again_whatever_it_says() -> RedisResult<()> {
    let nodes = Nodes::start(0);
    let builder = Client::builder().read_from(ReadFrom::Master).wait_limit(Duration::from_millis(300));
    let mut con = nodes.client(builder).connection();
    for code in ["READONLY", "NOREPLICAS", "LOADING"] {
        let script = format!("redis.call('INCR', KEYS[1]) return redis.error_reply('{code} mine')");
        let error =
            Script::new(&script).key(code).invoke_async::<()>(&mut con).await.expect_err("it says so");
        assert!(error.to_string().contains("mine"), "{error}");
        assert_eq!(con.get::<_, i64>(code).await?, 1);
    }
    // One that fails half-way has been executed.
    let script = Script::new("redis.call('INCR', 'n') return redis.call('GET', 'list', 'too', 'many')");
    let error = script.invoke_async::<_, ()>(&mut con).await.expect_err("it fails");
    assert_eq!(outcome(&error), Outcome::Executed, "{error}");
    Ok(())
}

#[tokio::test]
async fn a_pipeline_that_was_executed_in_part_is_not_sent_again() -> RedisResult<()> {
    let nodes = Nodes::start(0);
    let builder = Client::builder().read_from(ReadFrom::Master).wait_limit(Duration::from_millis(300));
    let mut con = nodes.client(builder).connection();
    let demoted =
        pipe().incr("n", 1).cmd("REPLICAOF").arg("127.0.0.1").arg(1).incr("n", 1).exec_async(&mut con).await;
    let error = demoted.expect_err("the last command is refused");
    assert_eq!(outcome(&error), Outcome::Executed, "{error}");
    ok(&nodes.master, &["REPLICAOF", "NO", "ONE"]);
    assert_eq!(nodes.master.get("n"), Ok(Some("1".into())));
    // Of a transaction that ran, too, some commands may have failed and others not.
    let mixed = pipe().atomic().incr("n", 1).cmd("EVALSHA").arg("none").arg(0).exec_async(&mut con).await;
    assert_eq!(outcome(&mixed.expect_err("nobody knows the script")), Outcome::Executed);
    Ok(())
}

#[tokio::test]
async fn a_master_that_is_about_to_be_opened_is_waited_for() -> RedisResult<()> {
    let nodes = Nodes::start(1);
    let mut con = nodes.master_only();
    let _: () = con.set("a", 0).await?;
    ok(&nodes.master, &["CONFIG", "SET", "min-replicas-to-write", "9"]);
    let mut other = con.clone();
    let writing = tokio::spawn(async move {
        con.set::<_, _, ()>("a", 1).await?;
        pipe().set("b", 1).ignore().cmd("WAIT").arg(1).arg(1000).query_async::<(i64,)>(&mut con).await
    });
    for _ in 0..20 {
        let _: () = cmd("PING").exec_async(&mut other).await?;
    }
    assert!(!writing.is_finished());
    ok(&nodes.master, &["CONFIG", "SET", "min-replicas-to-write", "0"]);
    assert_eq!(writing.await.expect("no panic")?, (1,));
    Ok(())
}

#[tokio::test]
async fn a_refusal_that_lasts_is_told_at_the_deadline() -> RedisResult<()> {
    let nodes = Nodes::start(0);
    let limit = Duration::from_millis(300);
    let builder = || Client::builder().read_from(ReadFrom::Master).wait_limit(limit);
    let mut con = nodes.client(builder()).connection();
    ok(&nodes.master, &["CONFIG", "SET", "min-replicas-to-write", "9"]);
    let error = con.set::<_, _, ()>("a", 1).await.expect_err("it refuses");
    assert_eq!(outcome(&error), Outcome::NotExecuted);
    assert!(error.to_string().contains("NOREPLICAS"), "{error}");
    let error = con.blpop::<_, ()>("list", 1.0).await.expect_err("it refuses");
    assert_eq!(outcome(&error), Outcome::NotExecuted, "{error}");
    // Who rests between two attempts stands in the queue.
    let crowded = nodes.client(builder().queue_limit(1));
    let mut waiting: Vec<_> = (0..10)
        .map(|_| {
            let mut con = crowded.connection();
            tokio::spawn(async move { con.set::<_, _, ()>("a", 1).await })
        })
        .collect();
    let mut turned_away = 0;
    for waiting in waiting.drain(..) {
        let error = waiting.await.expect("no panic").expect_err("it refuses");
        turned_away += usize::from(error.to_string().contains("queue_limit"));
    }
    assert!(turned_away > 0);
    Ok(())
}

#[tokio::test]
async fn a_command_without_words_is_refused() -> RedisResult<()> {
    let nodes = Nodes::start(0);
    let mut con = nodes.master_only();
    let error = pipe()
        .set("a", 1)
        .add_command(redis::Cmd::new())
        .exec_async(&mut con)
        .await
        .expect_err("it is empty");
    assert_eq!(outcome(&error), Outcome::NotExecuted);
    redis::Cmd::new().exec_async(&mut con).await.expect_err("it is empty");
    redis::pipe().exec_async(&mut con).await.expect_err("it is empty");
    assert_eq!(con.get::<_, Option<i64>>("a").await?, None);
    Ok(())
}
