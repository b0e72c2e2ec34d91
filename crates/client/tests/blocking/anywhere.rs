//! Where calls may be made: on plain threads, within runtimes, and not on the client's own thread.

use std::sync::mpsc;
use std::time::Duration;

use redis_failover::blocking::{Client, Connection};
use redis_failover::redis::{Commands, RedisResult, cmd, pipe};
use redis_failover::{Outcome, ReadFrom, outcome};

use crate::world::{LONG, Nodes, ok};

/// More commands than tokio lets a task do before it must yield, and reads whose connection breaks under them.
fn many_commands(nodes: &Nodes, con: &mut Connection) -> RedisResult<()> {
    for round in 0..500 {
        con.set::<_, _, ()>("a", round)?;
        assert_eq!(con.get::<_, i64>("a")?, round);
    }
    for _ in 0..5 {
        ok(&nodes.master, &["CLIENT", "KILL", "TYPE", "normal"]);
        assert_eq!(con.get::<_, i64>("a")?, 499);
    }
    cmd("WATCH").arg("a").exec(con)?;
    let executed: Option<(String,)> = pipe().atomic().set("a", 1).query(con)?;
    assert!(executed.is_some());
    con.rpush::<_, _, ()>("list", 7)?;
    assert_eq!(con.blpop::<_, (String, i64)>("list", 0.0)?, ("list".to_owned(), 7));
    Ok(())
}

#[test]
fn on_a_plain_thread() -> RedisResult<()> {
    let nodes = Nodes::start(0);
    many_commands(&nodes, &mut nodes.master_only())
}

#[tokio::test]
async fn within_a_runtime_of_one_thread() -> RedisResult<()> {
    let nodes = Nodes::start(0);
    let mut con = nodes.master_only();
    many_commands(&nodes, &mut con)?;
    // All is dropped within the runtime.
    tokio::spawn(async move { many_commands(&nodes, &mut con) }).await.expect("no panic")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn within_a_runtime_whose_only_worker_calls() -> RedisResult<()> {
    let nodes = Nodes::start(0);
    let mut con = nodes.master_only();
    let (nodes, mut con) = tokio::spawn(async move {
        many_commands(&nodes, &mut con)?;
        RedisResult::Ok((nodes, con))
    })
    .await
    .expect("no panic")?;
    tokio::task::spawn_blocking(move || many_commands(&nodes, &mut con)).await.expect("no panic")
}

#[test]
fn on_the_clients_own_thread_it_is_refused_and_no_session_is_lost() -> RedisResult<()> {
    let nodes = Nodes::start(0);
    let client = nodes.client(Client::builder().read_from(ReadFrom::Master));
    let mut watcher = client.connection();
    cmd("WATCH").arg("a").exec(&mut watcher)?;
    let (told, hears) = mpsc::channel();
    let (first, second) = (client.clone(), nodes.client(Client::builder()));
    let watcher = std::sync::Mutex::new(Some(watcher));
    client.on_change(move |_| {
        let Some(mut watcher) = watcher.lock().expect("nobody panics with it").take() else { return };
        let errors = [
            watcher.set::<_, _, ()>("a", 1).expect_err("it would wait for itself"),
            // Two clients' threads could wait for each other.
            second.connection().set::<_, _, ()>("a", 1).expect_err("it is refused as well"),
            first.ready(Duration::ZERO).expect_err("it would wait for itself"),
        ];
        let none = first.topology().next().is_none();
        told.send((errors, none, watcher)).expect("the test listens");
    });
    let (errors, none, mut watcher) = hears.recv_timeout(LONG).expect("it is called, and does not hang");
    for error in errors {
        assert_eq!(outcome(&error), Outcome::NotExecuted);
        assert!(error.to_string().contains("from another thread"), "{error}");
    }
    assert!(none, "nothing is waited for there");
    // What was begun on the connection lasts.
    client.connection().set::<_, _, ()>("a", 2)?;
    let executed: Option<(String,)> = pipe().atomic().set("a", 3).query(&mut watcher)?;
    assert_eq!(executed, None, "what it watches was changed");
    Ok(())
}
