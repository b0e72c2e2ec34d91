//! The Sentinel endpoint: what it answers, beside a real Sentinel of the same group, and what it does when asked to.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::ops::Add as _;
use std::process::Command;
use std::time::Duration;

use redis_failover_lab::{Connection, Process, Reply, Sentinel, ensure_eq, eventually};

use crate::sentinel_told::{Listener, spaced};
use crate::world::{DEADLINE, Group, Servers};

/// Asks the monitor in this log where it answers as a Sentinel.
pub(crate) fn endpoint(process: &Process) -> SocketAddr {
    eventually(DEADLINE, "it answers as a Sentinel", || {
        let log = fs::read_to_string(process.log()).unwrap_or_default();
        // Of several lives of a monitor the last one's line is the last.
        let line = log.lines().rfind(|line| line.contains("answers as a Sentinel"));
        let line = line.ok_or_else(|| log.clone())?;
        let bound = line.rsplit("bound=").next().and_then(|bound| bound.trim().parse().ok());
        bound.ok_or_else(|| line.to_owned())
    })
}

/// A group whose monitors answer as Sentinels, and where.
pub(crate) fn group(servers: &Servers, path: &str) -> (Group, [SocketAddr; 3]) {
    let mut group = Group::fresh(path);
    group.flags = vec!["--sentinel", "127.0.0.1:0"];
    group.start_monitors(servers);
    group.await_steady(servers, 0);
    let endpoints = ["m1", "m2", "m3"].map(|id| endpoint(&group.monitors[id]));
    let name = path.rsplit('/').next().expect("a name");
    for endpoint in endpoints {
        eventually(DEADLINE, "each knows the others and both replicas", || {
            let master = fields(&ask(endpoint, &["SENTINEL", "MASTER", name])?)?;
            ensure_eq(field(&master, "num-other-sentinels"), Some("2"))?;
            ensure_eq(field(&master, "num-slaves"), Some("2")).map(drop)
        });
    }
    (group, endpoints)
}

/// The answer on a connection of its own.
pub(crate) fn ask(endpoint: SocketAddr, words: &[&str]) -> Result<Reply, String> {
    Connection::open(endpoint)?.command(words)
}

pub(crate) type Fields = Vec<(String, String)>;

/// An instance as names and texts.
pub(crate) fn fields(reply: &Reply) -> Result<Fields, String> {
    let Reply::Array(items) = reply else { return Err(format!("no instance: {reply:?}")) };
    let text = |reply: &Reply| match reply {
        Reply::Bulk(text) => Ok(text.clone()),
        other => Err(format!("no text: {other:?}")),
    };
    items.chunks(2).map(|pair| Ok((text(&pair[0])?, text(&pair[1])?))).collect()
}

pub(crate) fn field<'a>(fields: &'a Fields, name: &str) -> Option<&'a str> {
    fields.iter().find(|(field, _)| field == name).map(|(_, value)| value.as_str())
}

pub(crate) fn instances(reply: &Reply) -> Result<Vec<Fields>, String> {
    let Reply::Array(items) = reply else { return Err(format!("no instances: {reply:?}")) };
    let mut all = items.iter().map(fields).collect::<Result<Vec<_>, _>>()?;
    all.sort_by_key(|fields| field(fields, "port").map(str::to_owned));
    Ok(all)
}

/// The names of the fields in their order, and of which kind each value is.
fn shape(fields: &Fields) -> Vec<(String, &'static str)> {
    let kind = |value: &str| match value {
        _ if value.parse::<i64>().is_ok() => "number",
        _ if value.len() == 40 && value.bytes().all(|byte| byte.is_ascii_hexdigit()) => "run id",
        _ => "text",
    };
    fields.iter().map(|(name, value)| (name.clone(), kind(value))).collect()
}

/// What is answered word for word as a Sentinel answers it.
const WORD_FOR_WORD: [&[&str]; 29] = [
    &["PING"],
    &["PING", "hello"],
    &["ROLE"],
    &["GET", "a"],
    &["NONSENSE", "one", "two"],
    &["SENTINEL"],
    &["SENTINEL", "MASTER"],
    &["SENTINEL", "MASTER", "nobody"],
    &["SENTINEL", "REPLICAS", "nobody"],
    &["SENTINEL", "SENTINELS", "nobody"],
    &["SENTINEL", "GET-MASTER-ADDR-BY-NAME", "nobody"],
    &["SENTINEL", "GET-MASTER-ADDR-BY-NAME", Sentinel::GROUP],
    &["SENTINEL", "CKQUORUM", "nobody"],
    &["SENTINEL", "CKQUORUM", Sentinel::GROUP],
    &["SENTINEL", "FAILOVER", "nobody"],
    &["SENTINEL", "PENDING-SCRIPTS"],
    &["SENTINEL", "FLUSHCONFIG"],
    &["SENTINEL", "RESET", "nobody*"],
    &["SENTINEL", "IS-MASTER-DOWN-BY-ADDR", "127.0.0.1", "1", "0", "*"],
    &["CLIENT", "GETNAME"],
    &["CLIENT", "SETNAME", "a"],
    &["CLIENT", "SETNAME", "a b"],
    &["CLIENT", "KILL", "1.2.3.4:5"],
    &["CLIENT", "KILL", "ID", "123456"],
    &["PUBLISH", "a", "b"],
    &["AUTH", "secret"],
    &["HELLO", "4"],
    &["HELLO", "x"],
    &["HELLO", "2", "NONSENSE"],
];

/// A process of the group beside its monitors.
pub(crate) fn beside(servers: &Servers, group: &Group, id: &str, flags: &[&str]) -> Process {
    let mut command = Command::new(env!("CARGO_BIN_EXE_redis-failover"));
    command
        .args(["run", "-z", &servers.zookeeper.connect_string(), "-p", &group.path, "--id", id])
        .args(flags);
    Process::spawn(&format!("{id} of {}", group.path), command, &servers.file(&format!("{id}.log")))
}

#[test]
fn the_endpoint_answers_field_by_field_as_a_real_sentinel_of_the_same_group() {
    let servers = Servers::start();
    let (group, endpoints) = group(&servers, "/redis/group");
    let real = Sentinel::watch(&group.redis[0], 2, Duration::from_secs(5));
    let real: SocketAddr = real[0].addr().parse().expect("an address");
    let name = Sentinel::GROUP;
    // What every command says of the group, in names, order and kinds; and the values that can't differ.
    for (command, equal) in [
        (
            "MASTER",
            vec!["name", "ip", "port", "runid", "flags", "link-refcount", "role-reported", "num-slaves"],
        ),
        ("REPLICAS", vec!["name", "ip", "port", "runid", "flags", "master-link-status", "master-host"]),
        ("SLAVES", vec!["master-port", "slave-priority", "replica-announced", "role-reported"]),
        ("SENTINELS", vec!["flags", "voted-leader", "voted-leader-epoch", "link-pending-commands"]),
    ] {
        for endpoint in endpoints {
            eventually(DEADLINE, command, || {
                let words = ["SENTINEL", command, name];
                let all = |reply: Reply| match command {
                    "MASTER" => fields(&reply).map(|it| vec![it]),
                    _ => instances(&reply),
                };
                let (ours, theirs) = (all(ask(endpoint, &words)?)?, all(ask(real, &words)?)?);
                ensure_eq(ours.len(), theirs.len())?;
                for (ours, theirs) in ours.iter().zip(&theirs) {
                    ensure_eq(shape(ours), shape(theirs))?;
                    for name in &equal {
                        ensure_eq(field(ours, name), field(theirs, name))?;
                    }
                }
                Ok::<(), String>(())
            });
        }
    }
    for word in ["MASTERS", "PRIMARIES"] {
        let masters = instances(&ask(endpoints[0], &["SENTINEL", word]).expect("an answer"));
        assert_eq!(field(&masters.expect("masters")[0], "name"), Some(name), "{word}");
    }
    // What else is the same, word for word.
    let mut differ = Vec::new();
    for words in WORD_FOR_WORD {
        let (ours, theirs) = (ask(endpoints[1], words), ask(real, words));
        if ours != theirs {
            differ.push(format!("{words:?}: {ours:?}, but a Sentinel says {theirs:?}"));
        }
    }
    assert!(differ.is_empty(), "{}", differ.join("\n"));
}

#[test]
fn sentinel_failover_is_a_switchover_and_its_answer_comes_when_it_is_done() {
    let servers = Servers::start();
    let (mut group, endpoints) = group(&servers, "/redis/asked");
    let mut connection = Connection::open(endpoints[1]).expect("a connection");
    let mut fail_over = |words: &[&str]| {
        let words = [&["SENTINEL", "FAILOVER", "asked"], words].concat();
        eventually(DEADLINE, "it is answered", || connection.command(&words))
    };
    assert_eq!(fail_over(&[]), Reply::Simple("OK".into()));
    let first = group.await_successor(&servers, 0);
    // By Valkey's word for it, too.
    group.await_steady(&servers, first);
    assert_eq!(fail_over(&["coordinated"]), Reply::Simple("OK".into()));
    let second = group.await_successor(&servers, first);
    group.await_steady(&servers, second);
    assert!(matches!(fail_over(&["now"]), Reply::Error(error) if error.contains("COORDINATED")));
    // Where nobody may take over, it is refused, and the master stays.
    for node in (0..3).filter(|node| *node != second) {
        group.redis[node].kill();
    }
    eventually(DEADLINE, "both replicas are told as down", || {
        let replicas = instances(&ask(endpoints[1], &["SENTINEL", "REPLICAS", "asked"])?)?;
        let flags: Vec<_> = replicas.iter().map(|it| field(it, "flags")).collect();
        ensure_eq(flags, [Some("s_down,slave,disconnected"); 2]).map(drop)
    });
    assert_eq!(fail_over(&[]), Reply::Error("NOGOODSLAVE No suitable replica to promote".into()));
    assert_eq!(group.redis[second].role().as_deref(), Ok("master"));
}

/// A connection on which a failover was asked for; who closes it takes back what was not begun.
fn fail_over(endpoint: SocketAddr, name: &str) -> TcpStream {
    let mut stream = TcpStream::connect(endpoint).expect("a connection");
    stream.write_all(format!("SENTINEL FAILOVER {name}\r\n").as_bytes()).expect("sent");
    stream
}

#[test]
fn a_client_that_gives_up_takes_its_failover_back() {
    let servers = Servers::start();
    let (group, _) = group(&servers, "/redis/given-up");
    let follower = beside(&servers, &group, "follower", &["--sentinel", "127.0.0.1:0"]);
    let own = endpoint(&follower);
    eventually(DEADLINE, "it knows the group", || {
        ask(own, &["SENTINEL", "MASTER", "given-up"]).map(|told| fields(&told))?
    });
    // Nobody is there to answer it.
    group.monitors.values().for_each(Process::stop);
    let asking = fail_over(own, "given-up");
    let left = |requests: usize| {
        eventually(DEADLINE, "so many requests stand", || {
            ensure_eq(servers.children("/redis/given-up/requests").len(), requests)
        });
    };
    left(1);
    drop(asking);
    left(0);
    group.monitors.values().for_each(Process::cont);
    group.await_steady(&servers, 0);
    assert_eq!(group.status(&servers).expect("a status")["epoch"], 1);
}

#[test]
fn who_monitors_nothing_answers_for_the_group_and_has_no_vote() {
    let servers = Servers::start();
    let (mut group, endpoints) = group(&servers, "/redis/followed");
    let follower = beside(&servers, &group, "follower", &["--sentinel", "127.0.0.1:0"]);
    let own = endpoint(&follower);
    eventually(DEADLINE, "it knows the group, and sees its nodes", || {
        let master = fields(&ask(own, &["SENTINEL", "MASTER", "followed"])?)?;
        ensure_eq(field(&master, "num-other-sentinels"), Some("3")).map(drop)?;
        ensure_eq(field(&master, "quorum"), Some("2")).map(drop)?;
        let replicas = instances(&ask(own, &["SENTINEL", "REPLICAS", "followed"])?)?;
        let links: Vec<_> = replicas.iter().map(|it| field(it, "master-link-status")).collect();
        ensure_eq(links, [Some("ok"); 2]).map(drop)
    });
    let mut listener = Listener::at(own);
    let _asking = fail_over(own, "followed");
    let successor = group.await_successor(&servers, 0);
    let (old, new) = (spaced(&group.address(0)), spaced(&group.address(successor)));
    listener.await_message("+switch-master", &format!("followed {old} {new}"));
    // The others know nothing of it: no vote, no place among the monitors, none among the Sentinels.
    let status = group.status(&servers).expect("a status");
    assert!(!status.to_string().contains("follower"), "{status}");
    let master = fields(&ask(endpoints[0], &["SENTINEL", "MASTER", "followed"]).expect("an answer"));
    assert_eq!(field(&master.expect("a master"), "num-other-sentinels"), Some("2"));
    for monitor in group.monitors.values_mut() {
        monitor.terminate();
        monitor.wait_exit(DEADLINE);
    }
    let gone = eventually(DEADLINE, "it says that nobody can fail over", || {
        match ask(own, &["SENTINEL", "CKQUORUM", "followed"])? {
            Reply::Error(error) => Ok(error),
            other => Err(format!("{other:?}")),
        }
    });
    assert!(gone.starts_with("NOQUORUM 0 usable Sentinels."), "{gone}");
}

#[test]
fn version_3_names_what_it_tells() {
    let servers = Servers::start();
    let (mut group, endpoints) = group(&servers, "/redis/named");
    let mut stream = TcpStream::connect(endpoints[0]).expect("a connection");
    stream.set_read_timeout(Some(DEADLINE)).expect("a socket");
    // Several requests in one write, and a message later on the same connection.
    let requests = "HELLO 3\r\nSENTINEL MASTER named\r\nSUBSCRIBE +switch-master\r\nPING\r\n";
    stream.write_all(requests.as_bytes()).expect("sent");
    let mut read_until = |end: &str| {
        let mut said = String::new();
        while !said.ends_with(end) {
            let mut chunk = [0; 4096];
            let read = stream.read(&mut chunk).expect("an answer");
            assert_ne!(read, 0, "{said}");
            said += std::str::from_utf8(&chunk[..read]).expect("text");
        }
        said
    };
    let said = read_until("+PONG\r\n");
    assert!(said.starts_with("%6\r\n$6\r\nserver\r\n$5\r\nredis\r\n"), "{said}");
    assert!(said.contains("$4\r\nmode\r\n$8\r\nsentinel\r\n"), "{said}");
    assert!(said.contains("\r\n%20\r\n$4\r\nname\r\n$5\r\nnamed\r\n"), "{said}");
    assert!(said.contains(">3\r\n$9\r\nsubscribe\r\n$14\r\n+switch-master\r\n:1\r\n"), "{said}");
    group.redis[0].kill();
    let (old, new) = (spaced(&group.address(0)), spaced(&group.address(group.await_successor(&servers, 0))));
    let payload = format!("named {old} {new}");
    let message =
        format!(">3\r\n$7\r\nmessage\r\n$14\r\n+switch-master\r\n${}\r\n{payload}\r\n", payload.len());
    assert_eq!(read_until(&payload.clone().add("\r\n")), message);
}

#[test]
fn names_addresses_of_version_6_and_what_is_announced_are_told_as_they_are() {
    let servers = Servers::start();
    let mut group = Group::fresh("/redis/spelled");
    group.host = Some("localhost");
    group.flags = vec!["--sentinel", "[::1]:0", "--sentinel-announce", "sentinel.example:0"];
    group.start_monitors(&servers);
    group.await_steady(&servers, 0);
    let endpoints = ["m1", "m2", "m3"].map(|id| endpoint(&group.monitors[id]));
    assert!(endpoints.iter().all(SocketAddr::is_ipv6));
    let (host, port) = (Reply::Bulk("localhost".into()), Reply::Bulk(group.redis[0].port().to_string()));
    eventually(DEADLINE, "the master is told by its name", || {
        let told = ask(endpoints[0], &["SENTINEL", "GET-MASTER-ADDR-BY-NAME", "spelled"])?;
        ensure_eq(told, Reply::Array(vec![host.clone(), port.clone()]))
    });
    eventually(DEADLINE, "the other two are told by what they announce", || {
        let others = instances(&ask(endpoints[0], &["SENTINEL", "SENTINELS", "spelled"])?)?;
        let mut wanted = [endpoints[1], endpoints[2]].map(|it| it.port().to_string());
        wanted.sort();
        ensure_eq(
            others.iter().map(|it| field(it, "port")).collect::<Vec<_>>(),
            [Some(&*wanted[0]), Some(&*wanted[1])],
        )
        .map(drop)?;
        ensure_eq(others.iter().map(|it| field(it, "ip")).collect::<Vec<_>>(), [Some("sentinel.example"); 2])
            .map(drop)
    });
    let replicas = instances(&ask(endpoints[0], &["SENTINEL", "REPLICAS", "spelled"]).expect("an answer"));
    for replica in replicas.expect("replicas") {
        let told =
            ["name", "ip", "master-host"].map(|name| field(&replica, name).unwrap_or_default().to_owned());
        assert_eq!(told[1..], ["localhost", "localhost"], "a node has one spelling: {told:?}");
        assert_eq!(told[0], format!("localhost:{}", field(&replica, "port").unwrap_or_default()));
    }
}
