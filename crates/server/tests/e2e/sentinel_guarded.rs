//! The Sentinel endpoint and those who must say who they are, or mean no good.

use std::fs;
use std::process::Command;

use redis_failover_lab::{Authority, Connection, Process, Reply, ensure_eq, eventually};

use crate::sentinel::{ask, beside, endpoint, group};
use crate::sentinel_told::spaced;
use crate::world::{DEADLINE, Servers};

#[test]
fn clients_say_who_they_are_where_they_are_asked_to() {
    let servers = Servers::start();
    let (group, _) = group(&servers, "/redis/secret");
    let secret = servers.file("secret");
    fs::write(&secret, "open sesame\n").expect("a file");
    let secret = secret.display().to_string();
    let flags =
        ["--sentinel", "127.0.0.1:0", "--sentinel-username", "ali", "--sentinel-password-file", &secret];
    let guarded = beside(&servers, &group, "guarded", &flags);
    let own = endpoint(&guarded);
    let error = |text: &str| Ok(Reply::Error(text.to_owned()));
    let wrong = "WRONGPASS invalid username-password pair or user is disabled.";
    assert_eq!(ask(own, &["PING"]), error("NOAUTH Authentication required."));
    assert_eq!(ask(own, &["SENTINEL", "MASTERS"]), error("NOAUTH Authentication required."));
    assert_eq!(ask(own, &["SUBSCRIBE", "+switch-master"]), error("NOAUTH Authentication required."));
    assert_eq!(ask(own, &["AUTH", "ali", "open sesam"]), error(wrong));
    assert_eq!(ask(own, &["AUTH", "baba", "open sesame"]), error(wrong));
    assert!(matches!(ask(own, &["HELLO", "3"]), Ok(Reply::Error(it)) if it.starts_with("NOAUTH HELLO")));
    // Some clients can't send a password without a user, and name the default one.
    for words in
        [&["AUTH", "open sesame"][..], &["AUTH", "ali", "open sesame"], &["AUTH", "default", "open sesame"]]
    {
        let mut connection = Connection::open(own).expect("a connection");
        assert_eq!(connection.command(words), Ok(Reply::Simple("OK".into())));
        eventually(DEADLINE, "it answers", || match connection.command(&["SENTINEL", "MASTERS"])? {
            Reply::Array(masters) => ensure_eq(masters.len(), 1),
            other => Err(format!("{other:?}")),
        });
    }
    let hello = ["HELLO", "2", "AUTH", "ali", "open sesame", "SETNAME", "jinn"];
    assert!(matches!(ask(own, &hello), Ok(Reply::Array(_))));
    let log = fs::read_to_string(guarded.log()).expect("a log");
    assert!(log.contains("event=\"denied\"") && !log.contains("sesam"), "{log}");
}

#[test]
fn too_many_clients_are_turned_away_and_the_monitor_goes_on() {
    let servers = Servers::start();
    let (mut group, _) = group(&servers, "/redis/crowded");
    // 120 descriptors: half of them are for what a monitor needs itself.
    let mut command = Command::new("/bin/sh");
    let program = env!("CARGO_BIN_EXE_redis-failover");
    let (zookeeper, nodes) = (servers.zookeeper.connect_string(), group.nodes());
    command.args(["-c", "ulimit -n 120; exec \"$@\"", "sh", program, "run", "-z", &zookeeper, "-r", &nodes]);
    command.args(["-p", &group.path, "--id", "m4", "--sentinel", "127.0.0.1:0"]);
    let crowded = Process::spawn("m4", command, &servers.file("m4.log"));
    let own = endpoint(&crowded);
    let mut served = Vec::new();
    let refused = eventually(DEADLINE, "somebody is turned away", || {
        let mut connection = Connection::open(own)?;
        if let Reply::Error(error) = connection.command(&["PING"])? {
            return Ok(error);
        }
        served.push(connection);
        Err(format!("{} are served", served.len()))
    });
    assert_eq!(refused, "ERR max number of clients reached");
    assert_eq!(served.len(), 60);
    // It still sees and tells what happens, and one place is free again when one has gone.
    group.redis[0].kill();
    let successor = spaced(&group.address(group.await_successor(&servers, 0)));
    let (host, port) = successor.split_once(' ').expect("two words");
    let address = Reply::Array([host, port].map(|it| Reply::Bulk(it.to_owned())).into());
    eventually(DEADLINE, "who is served is told the new master", || {
        let told = served[0].command(&["SENTINEL", "GET-MASTER-ADDR-BY-NAME", "crowded"])?;
        ensure_eq(told, address.clone())
    });
    let killed = served[0].command(&["CLIENT", "KILL", "TYPE", "normal"]);
    assert_eq!(killed, Ok(Reply::Integer(59)), "all but who asks");
    eventually(DEADLINE, "another is served", || {
        ensure_eq(ask(own, &["PING"])?, Reply::Simple("PONG".into()))
    });
}

#[test]
fn tls_is_spoken_with_those_whose_certificate_is_known() {
    let servers = Servers::start();
    let (group, _) = group(&servers, "/redis/sealed");
    let authority = Authority::new();
    let (own, client) = (authority.issue(&["127.0.0.1"]), authority.issue(&["application"]));
    let text = |path: &std::path::Path| path.display().to_string();
    let (certificate, key, roots) = (text(&own.certificate), text(&own.key), text(&authority.roots()));
    let flags = ["--sentinel", "127.0.0.1:0", "--sentinel-tls-cert-file", &certificate];
    let more = ["--sentinel-tls-key-file", &key, "--sentinel-tls-ca-file", &roots];
    let sealed = beside(&servers, &group, "sealed", &[flags, more].concat());
    let port = endpoint(&sealed).port().to_string();
    let call = |words: &[&str]| {
        let mut command = Command::new("redis-cli");
        command.args(["-h", "127.0.0.1", "-p", &port]).args(words).arg("PING");
        let output = command.output().expect("redis-cli runs");
        String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).trim().to_owned()
    };
    let (shown, proof) = (text(&client.certificate), text(&client.key));
    assert_eq!(call(&["--tls", "--cacert", &roots, "--cert", &shown, "--key", &proof]), "PONG");
    // Of who shows none, and of who speaks no TLS, nothing is answered.
    assert_ne!(call(&["--tls", "--cacert", &roots]), "PONG");
    assert_ne!(call(&[]), "PONG");
    assert_eq!(call(&["--tls", "--cacert", &roots, "--cert", &shown, "--key", &proof]), "PONG", "it goes on");
    let log = fs::read_to_string(sealed.log()).expect("a log");
    assert!(log.contains("no TLS with a Sentinel client"), "{log}");
}
