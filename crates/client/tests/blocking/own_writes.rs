//! Reads that find what was written on the same connection, and settings of reads.

use redis_failover::blocking::{Client, Connection};
use redis_failover::redis::{self, Commands, RedisResult};
use redis_failover::{Builder, ReadFrom};
use redis_failover_lab::eventually;

use crate::world::{LONG, Stage, calls};

/// Reads until each of these nodes has been read from.
fn await_read(stage: &Stage, con: &mut Connection, nodes: &[usize]) {
    eventually(LONG, "all are read", || {
        let _: Option<i64> = con.get("a").map_err(|error| error.to_string())?;
        let read = nodes.iter().all(|node| calls(&stage.nodes[*node], "get") > 0);
        if read { Ok(()) } else { Err("not yet".to_owned()) }
    });
}

#[test]
fn reads_find_what_was_written_though_the_replicas_are_behind() -> RedisResult<()> {
    let stage = Stage::linked();
    let client = |builder: Builder| stage.client(builder.max_lag(None));
    let careful = client(Client::builder().read_your_writes(true)).connection();
    let careless = client(Client::builder()).connection();
    let on_its_own = client(Client::builder()).connection().read_your_writes(true);
    let (mut careful, mut careless, mut on_its_own) = (careful, careless, on_its_own);
    for con in [&mut careful, &mut careless, &mut on_its_own] {
        await_read(&stage, con, &[1, 2]);
    }
    (1..3).for_each(|node| stage.replication(0, node).hold());
    let misses = |con: &mut Connection| -> RedisResult<usize> {
        let mut misses = 0;
        for number in 0..50 {
            let _: () = con.set("a", number)?;
            misses += usize::from(con.get::<_, Option<i64>>("a")? != Some(number));
        }
        let _: (i64,) =
            redis::transaction(con, &["a"], |con, pipe| pipe.set("a", 50).ignore().incr("a", 1).query(con))?;
        misses += usize::from(con.get::<_, Option<i64>>("a")? != Some(51));
        Ok(misses)
    };
    assert_eq!((misses(&mut careful)?, misses(&mut on_its_own)?), (0, 0));
    assert!(misses(&mut careless)? > 0, "or nothing is put to the test");
    Ok(())
}

#[test]
fn any_and_nearest_read_from_the_master_too() {
    for read_from in [ReadFrom::Any, ReadFrom::Nearest] {
        let stage = Stage::start();
        let builder = Client::builder().read_from(read_from).latency_tolerance(LONG);
        await_read(&stage, &mut stage.client(builder).connection(), &[0, 1, 2]);
        let gets = || (0..3).map(|node| calls(&stage.nodes[node], "get")).collect::<Vec<_>>();
        let mut con = stage.client(Client::builder().read_from(ReadFrom::Master)).connection();
        let before = gets();
        let _: Option<i64> = con.get("a").expect("it answers");
        assert_eq!(gets(), [before[0] + 1, before[1], before[2]]);
    }
}
