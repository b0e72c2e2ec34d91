//! The client over TLS: whom it takes, who takes it, and what it says where one does not take the other.

use std::process::Command;
use std::time::Duration;

use redis_failover::redis::{AsyncCommands, RedisResult, pipe};
use redis_failover::{Builder, Client, Outcome, ReadFrom, Tls, outcome};
use redis_failover_lab::{self as lab, Authority, Issued, Redis};
use redis_failover_store::{Access, ZooKeeper};

use crate::world::{LONG, Nodes, Stage, ok, publish, soon};

/// Three nodes that speak nothing but TLS, for who has a certificate where `mutual` says so.
fn stage(authority: &Authority, hosts: &[&str], mutual: bool) -> Stage {
    let issued = authority.issue(hosts);
    Stage::of(Nodes::start_as(2, || Redis::builder().tls(authority, &issued, mutual)))
}

fn trusting(authority: &Authority) -> Tls {
    Tls::new().roots_file(authority.roots())
}

fn as_one(tls: Tls, issued: &Issued) -> Tls {
    tls.identity_files(&issued.certificate, &issued.key)
}

/// What a write of a client of this says; it must be that it was not executed, and name the master.
async fn refusal(stage: &Stage, tls: Option<Tls>) -> String {
    let builder = Client::builder().wait_limit(Duration::from_millis(500));
    let client = stage.client(match tls {
        Some(tls) => builder.tls(tls),
        None => builder,
    });
    let error = client.connection().set::<_, _, ()>("a", 1).await.expect_err("it is not let in");
    assert_eq!(outcome(&error), Outcome::NotExecuted, "{error}");
    assert!(error.to_string().contains(&stage.nodes[0].addr()), "{error}");
    error.to_string()
}

#[tokio::test]
async fn who_trusts_and_is_trusted_follows_the_master() -> RedisResult<()> {
    let authority = Authority::new();
    let stage = stage(&authority, &["127.0.0.1"], true);
    let tls = as_one(trusting(&authority), &authority.issue(&["app"]));
    let client = stage.client(Client::builder().tls(tls).read_from(ReadFrom::Master));
    let mut con = client.connection();
    let _: () = con.set("a", 1).await?;
    // On connections of their own, too.
    let _: Option<(String, String)> = con.blpop("none", 0.01).await?;
    let (pushed,): (i64,) = pipe().atomic().rpush("list", 1).query_async(&mut con).await?;
    assert_eq!(pushed, 1);
    let big = "x".repeat(3_000_000);
    let _: () = con.set("big", &big).await?;
    assert_eq!(con.get::<_, String>("big").await?, big);

    stage.await_synced();
    stage.open_epoch(2, 0);
    stage.promote(1);
    stage.publish(2, 1);
    let new = stage.nodes[1].addr();
    soon("it is known", async || match client.current_master() {
        Some(master) if master.to_string() == new => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
    let _: () = con.set("a", 2).await?;
    assert_eq!(stage.nodes[1].get("a"), Ok(Some("2".into())));
    Ok(())
}

#[tokio::test]
async fn replicas_are_read_over_tls() -> RedisResult<()> {
    let authority = Authority::new();
    let stage = stage(&authority, &["127.0.0.1"], false);
    let mut con = stage.client(Client::builder().tls(trusting(&authority))).connection();
    let _: () = con.set("a", 1).await?;
    stage.await_synced();
    stage.await_read(&mut con).await;
    Ok(())
}

#[tokio::test]
async fn a_certificate_of_a_stranger_is_not_taken() {
    let authority = Authority::new();
    let stage = stage(&authority, &["127.0.0.1"], false);
    let said = refusal(&stage, Some(trusting(&Authority::new()))).await;
    assert!(said.contains("signed by nobody whom we trust"), "{said}");
    let said = refusal(&stage, Some(Tls::new())).await;
    assert!(said.contains("signed by nobody whom we trust"), "the system does not know it either: {said}");
}

#[tokio::test]
async fn a_certificate_for_another_host_is_taken_only_by_its_name() -> RedisResult<()> {
    let authority = Authority::new();
    let stage = stage(&authority, &["redis.example.com"], false);
    let said = refusal(&stage, Some(trusting(&authority))).await;
    assert!(said.contains("not valid for name \"127.0.0.1\""), "{said}");
    assert!(said.contains("redis.example.com"), "{said}");
    let tls = trusting(&authority).server_name("redis.example.com");
    let _: () = stage.client(Client::builder().tls(tls)).connection().set("a", 1).await?;
    Ok(())
}

#[tokio::test]
async fn a_server_that_wants_a_certificate_says_so() {
    let authority = Authority::new();
    let stage = stage(&authority, &["127.0.0.1"], true);
    let said = refusal(&stage, Some(trusting(&authority))).await;
    assert!(said.contains("does not take our certificate, or wants one"), "{said}");
    let stranger = Authority::new();
    let said = refusal(&stage, Some(as_one(trusting(&authority), &stranger.issue(&["app"])))).await;
    assert!(said.contains("does not take our certificate, or wants one"), "{said}");
}

#[tokio::test]
async fn a_server_without_tls_gives_no_answer() {
    let stage = Stage::of(Nodes::start(0));
    // Redis takes the greeting for the beginning of a command, and waits for its end.
    let limit = Duration::from_millis(200);
    let authority = Authority::new();
    let builder = Client::builder().tls(trusting(&authority)).connect_timeout(limit);
    let client = stage.client(builder.wait_limit(limit * 3));
    let error = client.connection().set::<_, _, ()>("a", 1).await.expect_err("it is not let in");
    assert_eq!(outcome(&error), Outcome::NotExecuted, "{error}");
    let said = error.to_string();
    assert!(said.contains("no answer within 200ms") || said.contains("speaks no TLS"), "{said}");
}

#[tokio::test]
async fn a_client_without_tls_is_turned_away() {
    let authority = Authority::new();
    let stage = stage(&authority, &["127.0.0.1"], false);
    let said = refusal(&stage, None).await;
    assert!(said.contains("can't be reached"), "{said}");
}

#[tokio::test]
async fn a_new_certificate_counts_from_the_next_connect_on() -> RedisResult<()> {
    let authority = Authority::new();
    let stage = stage(&authority, &["127.0.0.1"], true);
    let stranger = Authority::new();
    let ours = stranger.issue(&["app"]);
    let tls = as_one(trusting(&authority), &ours);
    let client = stage.client(Client::builder().tls(tls).wait_limit(Duration::from_millis(500)));
    let mut con = client.connection();
    con.set::<_, _, ()>("a", 1).await.expect_err("nobody there trusts it");
    authority.issue_into(&ours, &["app"]);
    soon("it writes", async || con.set::<_, _, ()>("a", 1).await.map_err(|error| error.to_string())).await;
    // One that can't be read changes nothing.
    std::fs::write(&ours.key, "in the middle of a change").expect("it is ours");
    ok(&stage.nodes[0], &["CLIENT", "KILL", "TYPE", "normal"]);
    soon("it writes again", async || con.set::<_, _, ()>("a", 2).await.map_err(|error| error.to_string()))
        .await;
    Ok(())
}

#[test]
fn files_that_are_none_are_named_before_anything_is_opened() {
    let authority = Authority::new();
    let issued = authority.issue(&["app"]);
    let other = authority.issue(&["other"]);
    let said = |tls: Tls| Client::builder().tls(tls).build().expect_err("refused").to_string();
    for (tls, file, why) in [
        (Tls::new().roots_file("/nowhere/ca.pem"), "/nowhere/ca.pem".into(), "No such file"),
        (Tls::new().roots_file(&issued.key), issued.key.display().to_string(), "no certificate"),
        (
            trusting(&authority).identity_files(&issued.certificate, &other.key),
            other.key.display().to_string(),
            "not the key of",
        ),
        (
            trusting(&authority).identity_files(&issued.certificate, &issued.certificate),
            issued.certificate.display().to_string(),
            "no private key",
        ),
        (trusting(&authority).server_name("a b"), "`a b`".to_owned(), "no certificate can name"),
    ] {
        let text = said(tls);
        assert!(text.starts_with("TLS: ") && text.contains(&file) && text.contains(why), "{text}");
    }
}

/// Set where this test runs itself, with another idea of whom the system trusts.
const INNER: &str = "REDIS_FAILOVER_TEST_INNER";

#[tokio::test]
async fn without_roots_of_its_own_it_trusts_whom_the_system_trusts() -> RedisResult<()> {
    if let Ok(node) = std::env::var(INNER) {
        let builder: Builder = Client::builder().tls(Tls::new()).read_from(ReadFrom::Master);
        let client = builder.build_fixed(&node, [""; 0]).expect("an address");
        client.ready(LONG).await?;
        return client.connection().set("a", 1).await;
    }
    let authority = Authority::new();
    let issued = authority.issue(&["127.0.0.1"]);
    let node = Redis::builder().tls(&authority, &issued, false).start();
    let mut test = Command::new(std::env::current_exe().expect("this test"));
    let name = "secure::without_roots_of_its_own_it_trusts_whom_the_system_trusts";
    test.args(["--exact", name]).env(INNER, node.addr()).env("SSL_CERT_FILE", authority.roots());
    assert!(test.output().expect("it runs").status.success());
    assert_eq!(node.get("a"), Ok(Some("1".into())));
    Ok(())
}

#[tokio::test]
async fn a_client_reads_over_tls_what_monitors_with_credentials_published() -> RedisResult<()> {
    let authority = Authority::new();
    let issued = authority.issue(&["127.0.0.1"]);
    let zookeeper = lab::ZooKeeper::builder().tls(&authority, &issued, true).start(1);
    let nodes = Nodes::start(0);
    let servers = zookeeper.secure_connect_string();
    let tls = as_one(trusting(&authority), &issued);
    let timeout = Duration::from_secs(2);
    let access = Access::default().tls(tls.clone()).credentials("monitors", "secret".into());
    let session =
        ZooKeeper::connect_with(servers.parse().expect("servers"), timeout, &access).expect("a thread");
    publish(&session, "/redis/cluster", &nodes).await;

    // Nobody to ZooKeeper, and somebody else.
    let builder = || Client::builder().servers(&servers).session_timeout(timeout).read_from(ReadFrom::Master);
    for builder in [builder(), builder().zookeeper_auth("app", "other")] {
        let client = builder.zookeeper_tls(tls.clone()).build().expect("good settings");
        client.connection().set::<_, _, ()>("a", 1).await?;
    }
    let untrusted =
        builder().zookeeper_tls(Tls::new()).wait_limit(timeout * 2).build().expect("good settings");
    let error = untrusted.connection().set::<_, _, ()>("a", 1).await.expect_err("it is not trusted");
    assert_eq!(outcome(&error), Outcome::NotExecuted);
    let text = error.to_string();
    assert!(text.contains(&servers) && text.contains("signed by nobody whom we trust"), "{text}");
    Ok(())
}
