//! Pools of connections, across changes of the master and with what their users leave behind.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use redis_failover::blocking::Client;
use redis_failover::r2d2::event::AcquireEvent;
use redis_failover::r2d2::{HandleEvent, ManageConnection, Pool, PooledConnection};
use redis_failover::redis::{Commands, RedisResult, cmd, pipe};
use redis_failover_lab::eventually;

use crate::world::{LONG, Stage, calls, patient};

const SIZE: u32 = 4;

/// Counts the connections that a pool made.
#[derive(Clone, Debug, Default)]
struct Made(Arc<AtomicUsize>);

impl HandleEvent for Made {
    fn handle_acquire(&self, _: AcquireEvent) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

fn pool(client: Client, size: u32, made: &Made) -> Pool<Client> {
    let builder = Pool::builder().max_size(size).event_handler(Box::new(made.clone()));
    // What is given back must be right by itself, for those who leave this out.
    let builder = builder.test_on_check_out(false);
    builder.connection_timeout(Duration::from_secs(2)).build(client).expect("it needs no server")
}

/// All connections of the pool, at once.
fn all(pool: &Pool<Client>) -> Vec<PooledConnection<Client>> {
    (0..SIZE).map(|_| pool.get().expect("there is one")).collect()
}

#[test]
fn every_pooled_connection_writes_to_the_new_master() -> RedisResult<()> {
    let stage = Stage::start();
    let (client, made) = (patient(&stage), Made::default());
    let pool = pool(client.clone(), SIZE, &made);
    let mut master = 0;
    for (epoch, next) in [(2, 1), (3, 2)] {
        for (number, con) in all(&pool).iter_mut().enumerate() {
            con.set::<_, _, ()>(number, epoch)?;
        }
        let before = calls(&stage.nodes[next], "set");
        // One is out while the master changes, and the others lie in the pool.
        let mut out = pool.get().expect("there is one");
        stage.open_epoch(epoch, master);
        eventually(LONG, "the change is known", || {
            client.current_master().map_or(Ok(()), |master| Err(master.to_string()))
        });
        assert!(client.is_valid(&mut out).is_ok(), "it will follow the new master");
        let asked = Instant::now();
        let mut waiter = pool.get().expect("who waits for a master need not wait for a connection");
        assert!(asked.elapsed() < Duration::from_secs(1), "{:?}", asked.elapsed());
        let waiting = thread::spawn(move || waiter.set::<_, _, ()>("waited", epoch));
        stage.promote(next);
        stage.publish(epoch, next);
        waiting.join().expect("no panic")?;
        out.set::<_, _, ()>("out", epoch)?;
        drop(out);
        for (number, con) in all(&pool).iter_mut().enumerate() {
            con.set::<_, _, ()>(number, epoch)?;
            assert_eq!(stage.nodes[next].get(&number.to_string()), Ok(Some(epoch.to_string())));
        }
        assert!(calls(&stage.nodes[next], "set") >= before + u64::from(SIZE) + 2, "all of them went there");
        master = next;
    }
    assert_eq!(made.0.load(Ordering::SeqCst), SIZE as usize, "none had to be made anew");
    Ok(())
}

#[test]
fn what_a_user_left_behind_is_not_given_to_the_next() -> RedisResult<()> {
    let stage = Stage::start();
    let client = patient(&stage);
    let (made, mut other) = (Made::default(), client.connection());
    let pool = pool(client.clone(), 1, &made);
    cmd("WATCH").arg("w").exec(&mut *pool.get().expect("there is one"))?;
    other.set::<_, _, ()>("w", 1)?;
    let executed: Option<(String,)> =
        pipe().atomic().set("a", 1).query(&mut *pool.get().expect("there is one"))?;
    assert!(executed.is_some(), "the next one watches nothing");
    cmd("MULTI").exec(&mut *pool.get().expect("there is one"))?;
    assert_eq!(pool.get().expect("there is one").get::<_, i64>("a")?, 1, "and queues nothing");
    assert_eq!(made.0.load(Ordering::SeqCst), 3, "each was thrown away");
    // What ended in time is kept.
    let mut con = pool.get().expect("there is one");
    cmd("WATCH").arg("w").exec(&mut con)?;
    client.is_valid(&mut con).expect_err("something lasts on it");
    cmd("UNWATCH").exec(&mut con)?;
    drop(con);
    pool.get().expect("there is one").set::<_, _, ()>("a", 2)?;
    assert_eq!(made.0.load(Ordering::SeqCst), 3);
    Ok(())
}
