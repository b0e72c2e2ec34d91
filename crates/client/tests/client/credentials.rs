//! Passwords that change under a client that asks for them.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use redis_failover::redis::{AsyncCommands, RedisResult};
use redis_failover::{Builder, Client, Credentials, Outcome, ReadFrom, outcome};

use crate::world::{Nodes, Stage, ok, soon};

/// A builder whose client asks for what is in here.
fn asking(password: &Arc<Mutex<String>>) -> Builder {
    let password = Arc::clone(password);
    Client::builder().read_from(ReadFrom::Master).credentials(move || {
        let password = password.lock().expect("nobody panics").clone();
        async move { Ok::<_, std::io::Error>(Credentials::new(password).username("app")) }
    })
}

fn set_password(stage: &Stage, change: &str) {
    for node in &stage.nodes {
        ok(node, &["ACL", "SETUSER", "app", "on", "~*", "&*", "+@all", change]);
    }
}

#[tokio::test]
async fn a_new_password_counts_from_the_next_connect_on() -> RedisResult<()> {
    let stage = Stage::of(Nodes::start(0));
    set_password(&stage, ">old");
    let password = Arc::new(Mutex::new("old".to_owned()));
    let client = stage.client(asking(&password));
    let mut con = client.connection();
    let _: () = con.set("a", 1).await?;

    set_password(&stage, ">new");
    "new".clone_into(&mut password.lock().expect("nobody panics"));
    set_password(&stage, "<old");
    // Redis asks nobody twice.
    let user: String = redis_failover::redis::cmd("ACL").arg("WHOAMI").query_async(&mut con).await?;
    assert_eq!(user, "app");
    let _: () = con.set("a", 2).await?;

    ok(&stage.nodes[0], &["CLIENT", "KILL", "USER", "app"]);
    soon("it writes again", async || con.set::<_, _, ()>("a", 3).await.map_err(|error| error.to_string()))
        .await;
    assert_eq!(stage.nodes[0].get("a"), Ok(Some("3".into())));
    // A connection of its own asks, too.
    let _: Option<(String, String)> = con.blpop("none", 0.01).await?;
    Ok(())
}

#[tokio::test]
async fn a_callback_that_catches_up_is_asked_again() -> RedisResult<()> {
    let stage = Stage::of(Nodes::start(0));
    set_password(&stage, ">new");
    let password = Arc::new(Mutex::new("hunter2".to_owned()));
    let client = stage.client(asking(&password).wait_limit(Duration::from_millis(300)));
    let mut con = client.connection();
    let error = con.set::<_, _, ()>("a", 1).await.expect_err("the password is wrong");
    assert_eq!(outcome(&error), Outcome::NotExecuted);
    let text = error.to_string();
    assert!(text.contains("authentication failed") && text.contains(&stage.nodes[0].addr()), "{text}");
    assert!(!text.contains("hunter2"), "{text}");
    "new".clone_into(&mut password.lock().expect("nobody panics"));
    soon("it writes", async || con.set::<_, _, ()>("a", 1).await.map_err(|error| error.to_string())).await;
    Ok(())
}

#[tokio::test]
async fn why_there_are_no_credentials_is_why_there_is_no_node() {
    let stage = Stage::of(Nodes::start(0));
    let builder = Client::builder().credentials(|| async { Err::<Credentials, _>("the vault is shut") });
    let client = stage.client(builder.wait_limit(Duration::from_millis(300)));
    let error = client.connection().set::<_, _, ()>("a", 1).await.expect_err("nobody says who it is");
    assert_eq!(outcome(&error), Outcome::NotExecuted);
    assert!(error.to_string().contains("no credentials: the vault is shut"), "{error}");
}
