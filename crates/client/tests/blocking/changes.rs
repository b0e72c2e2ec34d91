//! What a blocking caller sees when the master is killed, hangs, or is replaced under a session.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use redis_failover::blocking::Client;
use redis_failover::redis::{self, Commands, ConnectionLike, RedisError, RedisResult, cmd, pipe};
use redis_failover::{Epoch, Outcome, outcome};
use redis_failover_lab::eventually;

use crate::world::{LONG, Nodes, Stage, calls, end_saving, ok, patient, saving};

/// Waits until a client knows that the master is being changed.
fn is_changing(client: &Client) {
    eventually(LONG, "the change is known", || {
        client.current_master().map_or(Ok(()), |it| Err(it.to_string()))
    });
}

fn is_blocked(stage: &Stage) {
    eventually(LONG, "it blocks", || {
        let blocked = stage.nodes[0].info("clients")?["blocked_clients"].clone();
        if blocked == "1" { Ok(()) } else { Err(blocked) }
    });
}

#[test]
fn writers_go_on_when_the_master_is_killed_and_no_write_happens_twice() -> RedisResult<()> {
    let mut stage = Stage::start();
    let client = patient(&stage);
    client.connection().set::<_, _, ()>("counter", 0)?;
    let (killed, over) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    // How often each has written since.
    let since: Vec<_> = (0..4).map(|_| Arc::new(AtomicU64::new(0))).collect();
    let writers = since.iter().map(|after| {
        let mut con = client.connection();
        let (killed, over, after) = (Arc::clone(&killed), Arc::clone(&over), Arc::clone(after));
        thread::spawn(move || {
            let (mut confirmed, mut unknown) = (0_u64, 0);
            while !over.load(Ordering::SeqCst) {
                let begun_after = killed.load(Ordering::SeqCst);
                match con.incr::<_, _, i64>("counter", 1) {
                    Ok(_) => {
                        confirmed += 1;
                        after.fetch_add(u64::from(begun_after), Ordering::SeqCst);
                    }
                    Err(error) if outcome(&error) == Outcome::Unknown => unknown += 1,
                    Err(error) => panic!("{error}"),
                }
            }
            (confirmed, unknown)
        })
    });
    let writers: Vec<_> = writers.collect();
    eventually(LONG, "they write", || {
        if calls(&stage.nodes[0], "incrby") > 1_000 { Ok(()) } else { Err("not yet".to_owned()) }
    });
    // Nothing in it may be lost, or the sum proves nothing.
    ok(&stage.nodes[0], &["CLIENT", "PAUSE", "100000", "WRITE"]);
    let held = stage.nodes[0].get("counter").expect("it answers");
    eventually(LONG, "the replicas hold it", || {
        let one = stage.nodes[1].get("counter")?;
        if one == held { Ok(()) } else { Err(format!("{one:?}")) }
    });
    killed.store(true, Ordering::SeqCst);
    stage.nodes[0].kill();
    stage.open_epoch(2, 0);
    stage.promote(1);
    stage.publish(2, 1);
    eventually(LONG, "each goes on by itself, at the new master", || {
        let after: Vec<_> = since.iter().map(|after| after.load(Ordering::SeqCst)).collect();
        let all = calls(&stage.nodes[1], "incrby") > 1_000 && after.iter().all(|after| *after > 0);
        if all { Ok(()) } else { Err(format!("{after:?}")) }
    });
    over.store(true, Ordering::SeqCst);
    let (mut confirmed, mut unknown) = (0, 0);
    for writer in writers {
        let (all, without_reply) = writer.join().expect("no panic");
        assert!(without_reply <= 1, "each had one in flight");
        (confirmed, unknown) = (confirmed + all, unknown + without_reply);
    }
    let counted: u64 = client.connection().get("counter")?;
    assert!((confirmed..=confirmed + unknown).contains(&counted), "{confirmed} + {unknown}, not {counted}");
    Ok(())
}

#[test]
fn a_write_to_a_master_that_hangs_is_unknown_when_another_is_published() -> RedisResult<()> {
    let stage = Stage::start();
    let client = patient(&stage);
    client.connection().set::<_, _, ()>("a", 7)?;
    stage.await_synced();
    let [mut writer, mut reader] = [(); 2].map(|()| client.connection());
    stage.nodes[0].stop();
    let writing = thread::spawn(move || (writer.set::<_, _, ()>("b", 1), writer));
    let reading = thread::spawn(move || reader.get::<_, i64>("a"));
    let mut repeating = client.connection().retry_unknown(true);
    let repeated = thread::spawn(move || repeating.set::<_, _, ()>("d", 4));
    stage.open_epoch(2, 0);
    is_changing(&client);
    // What begins now waits for the new master.
    let mut late = client.connection();
    let later = thread::spawn(move || late.set::<_, _, ()>("c", 3));
    ok(&stage.nodes[1], &["REPLICAOF", "NO", "ONE"]);
    stage.publish(2, 1);
    let published = Instant::now();
    later.join().expect("no panic")?;
    assert_eq!(stage.nodes[1].get("c"), Ok(Some("3".into())));
    let (written, mut writer) = writing.join().expect("no panic");
    match written {
        // The old master is still stopped: nothing but the document can have ended it.
        Err(error) => assert_eq!(outcome(&error), Outcome::Unknown, "{error}"),
        // On a slow machine it began after the change was known.
        Ok(()) => assert_eq!(stage.nodes[1].get("b"), Ok(Some("1".into()))),
    }
    repeated.join().expect("no panic")?;
    assert_eq!(
        stage.nodes[1].get("d"),
        Ok(Some("4".into())),
        "who said that it may be repeated need not care"
    );
    assert_eq!(reading.join().expect("no panic")?, 7, "a read is repeated on the new master");
    assert!(published.elapsed() < Duration::from_secs(5), "{:?}", published.elapsed());
    writer.set::<_, _, ()>("b", 2)?;
    assert_eq!(stage.nodes[1].get("b"), Ok(Some("2".into())), "the same connection goes on");
    Ok(())
}

#[test]
fn exec_yields_nil_across_an_epoch_and_a_transaction_is_done_again() -> RedisResult<()> {
    let stage = Stage::start();
    let client = patient(&stage);
    let mut con = client.connection();
    con.set::<_, _, ()>("a", 1)?;
    stage.await_synced();
    cmd("WATCH").arg("a").exec(&mut con)?;
    assert_eq!(con.get::<_, i64>("a")?, 1);
    stage.promote(1);
    stage.publish(2, 1);
    let new = stage.nodes[1].addr();
    eventually(LONG, "the new master is known", || {
        let master = client.current_master().map(|it| it.to_string());
        if master.as_ref() == Some(&new) { Ok(()) } else { Err(format!("{master:?}")) }
    });
    let executed: Option<(String,)> = pipe().atomic().set("a", 2).query(&mut con)?;
    assert_eq!(executed, None, "what was watched is watched by nobody any more");
    assert_eq!(con.get::<_, i64>("a")?, 1);

    let mut attempts = 0;
    let (sum,): (i64,) = redis::transaction(&mut con, &["a"], |con, pipe| {
        attempts += 1;
        let present: i64 = con.get("a")?;
        if attempts == 1 {
            stage.promote(2);
            stage.publish(3, 2);
            let topology = client.topology().find(|it| it.epoch == Epoch(3));
            assert!(topology.is_some());
        }
        pipe.set("a", present + 1).ignore().get("a").query(con)
    })?;
    assert_eq!((sum, attempts), (2, 2));
    assert_eq!(stage.nodes[2].get("a"), Ok(Some("2".into())));
    Ok(())
}

#[test]
fn a_blpop_in_flight_is_unknown_when_its_master_goes_and_not_executed_when_it_says_so() -> RedisResult<()> {
    for how in ["it is deposed", "it is killed", "it is demoted"] {
        let mut stage = Stage::start();
        let client = patient(&stage);
        client.ready(LONG)?;
        let mut popper = client.connection();
        let popping = thread::spawn(move || (popper.blpop::<_, (String, i64)>("list", 0.0), popper));
        is_blocked(&stage);
        let expected = match how {
            "it is deposed" => {
                ok(&stage.nodes[1], &["REPLICAOF", "NO", "ONE"]);
                Outcome::Unknown
            }
            "it is killed" => {
                stage.nodes[0].kill();
                stage.promote(1);
                Outcome::Unknown
            }
            _ => {
                // Redis unblocks all who wait, and says that it took nothing for them.
                stage.promote(1);
                Outcome::NotExecuted
            }
        };
        stage.publish(2, 1);
        let (lost, mut popper) = popping.join().expect("no panic");
        let error: RedisError = lost.expect_err("its master went");
        assert_eq!(outcome(&error), expected, "{how}: {error}");
        // Nobody pops in its name any more, neither here nor there.
        client.connection().rpush::<_, _, ()>("list", 7)?;
        assert_eq!(popper.blpop::<_, (String, i64)>("list", 0.0)?, ("list".to_owned(), 7));
    }
    Ok(())
}

#[test]
fn a_blocking_command_has_no_response_timeout_and_holds_up_nobody() -> RedisResult<()> {
    let stage = Stage::start();
    let limit = Duration::from_millis(200);
    let client = stage.client(Client::builder().response_timeout(Some(limit)));
    client.ready(LONG)?;
    let mut popper = client.connection();
    let popping = thread::spawn(move || popper.blpop::<_, (String, i64)>("list", 0.0));
    is_blocked(&stage);
    let (mut con, begun) = (client.connection(), Instant::now());
    while begun.elapsed() < limit * 2 {
        con.set::<_, _, ()>("a", 1)?;
    }
    assert!(!popping.is_finished());
    con.rpush::<_, _, ()>("list", 7)?;
    assert_eq!(popping.join().expect("no panic")?, ("list".to_owned(), 7));
    Ok(())
}

#[test]
fn who_finds_no_master_in_time_is_told_why() {
    let stage = Stage::start();
    let limit = Duration::from_millis(100);
    let client = stage.client(Client::builder().wait_limit(limit).connect_timeout(limit));
    client.ready(LONG).expect("there is a master");
    let mut con = client.connection();
    assert!(con.check_connection() && con.is_open());
    stage.open_epoch(2, 0);
    is_changing(&client);
    let error = con.set::<_, _, ()>("a", 1).expect_err("there is no master");
    assert_eq!(outcome(&error), Outcome::NotExecuted);
    assert!(error.to_string().contains("is being replaced (epoch 2)"), "{error}");
    let error = client.ready(limit).expect_err("there is no master");
    assert_eq!(outcome(&error), Outcome::NotExecuted);
    assert!(!con.check_connection(), "no master answers");
    assert!(con.is_open(), "and yet it will follow the next one");
    stage.publish(2, 0);
    client.ready(LONG).expect("there is a master again");
    assert!(con.check_connection());
}

#[test]
fn topologies_are_told_until_the_client_ends() {
    let stage = Stage::start();
    let client = patient(&stage);
    let mut topologies = client.topology();
    let first = topologies.next().expect("there is one");
    assert_eq!((first.epoch, first.steady, first.replicas.len()), (Epoch(1), true, 2));
    let (told, hears) = std::sync::mpsc::channel();
    client.on_change(move |topology| {
        let _ = told.send(topology.epoch.0);
    });
    stage.open_epoch(2, 0);
    let next = topologies.next().expect("there is another");
    assert_eq!((next.epoch, next.master.clone()), (Epoch(2), None));
    while hears.recv_timeout(LONG).expect("the callback is called") != 2 {}
    let listening = thread::spawn(move || topologies.count());
    drop(client);
    assert_eq!(listening.join().expect("no panic"), 0, "it ends, and nothing else came");
    assert!(hears.recv_timeout(LONG).is_err(), "the callback is gone");
}

#[test]
fn a_call_with_a_deadline_ends_in_time() -> RedisResult<()> {
    let stage = Stage::start();
    let client = patient(&stage);
    client.ready(LONG)?;
    let limit = Duration::from_millis(200);
    let mut con = client.connection().deadline(Some(limit));
    let begun = Instant::now();
    let error = con.blpop::<_, (String, i64)>("list", 0.0).expect_err("it is empty");
    assert_eq!(outcome(&error), Outcome::Unknown);
    stage.nodes[0].stop();
    let error = con.set::<_, _, ()>("a", 1).expect_err("it hangs");
    assert_eq!(outcome(&error), Outcome::Unknown);
    stage.nodes[0].cont();
    stage.open_epoch(2, 0);
    is_changing(&client);
    let error = con.set::<_, _, ()>("a", 1).expect_err("there is no master");
    assert_eq!(outcome(&error), Outcome::NotExecuted);
    assert!(
        (limit * 3..limit * 3 + Duration::from_secs(3)).contains(&begun.elapsed()),
        "{:?}",
        begun.elapsed()
    );
    Ok(())
}

#[test]
fn what_blocks_a_thread_ends_when_another_closes_the_client() -> RedisResult<()> {
    let stage = Stage::start();
    let client = patient(&stage);
    client.ready(LONG)?;
    let mut popper = client.connection();
    let popping = thread::spawn(move || popper.blpop::<_, (String, i64)>("list", 0.0));
    eventually(LONG, "it blocks", || {
        let blocked = stage.nodes[0].info("clients")?["blocked_clients"].clone();
        if blocked == "1" { Ok(()) } else { Err(blocked) }
    });
    assert_eq!(client.close(Duration::from_millis(100))?, 1);
    let error = popping.join().expect("no panic").expect_err("it was closed");
    assert_eq!(outcome(&error), Outcome::Unknown);
    let error = client.connection().set::<_, _, ()>("a", 1).expect_err("it was closed");
    assert_eq!(outcome(&error), Outcome::NotExecuted);
    assert!(client.topology().next().is_none() && client.pubsub().next().is_none());
    eventually(LONG, "nothing is left", || match (0..3).map(|node| stage.connections(node)).sum() {
        0 => Ok(()),
        left => Err(format!("{left} connections")),
    });
    assert_eq!(client.close(LONG)?, 0);
    Ok(())
}

#[test]
fn what_comes_after_exec_does_not_fail_a_transaction_that_was_executed() -> RedisResult<()> {
    for closes in [false, true] {
        let stage = Stage::start();
        let client = patient(&stage);
        let mut con = client.connection();
        let begun = Instant::now();
        // Behind the closure redis-rs sends UNWATCH.
        let (incremented,): (i64,) = redis::transaction(&mut con, &["n"], |con, pipeline| {
            let executed = pipeline.incr("n", 1).query(con)?;
            if closes {
                assert_eq!(client.close(LONG)?, 0);
            } else {
                stage.open_epoch(2, 0);
                is_changing(&client);
            }
            Ok(executed)
        })?;
        assert_eq!(incremented, 1);
        assert!(begun.elapsed() < Duration::from_secs(5), "it waited for a master: {:?}", begun.elapsed());
        assert_eq!(client.metrics().not_executed, 0);
    }
    Ok(())
}

#[test]
fn a_master_that_cannot_save_answers_who_asks_whether_it_does() {
    let nodes = Nodes::start_as(0, saving);
    let mut con = nodes.master_only();
    end_saving(&nodes.master);
    assert!(con.check_connection());
}
