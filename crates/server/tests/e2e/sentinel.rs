//! The Sentinel endpoint: beside a real Sentinel of the same group, through changes of master, and with clients that
//! mean no good.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::ops::Add as _;
use std::process::Command;
use std::time::Duration;

use redis_failover_lab::{Authority, Connection, Process, Reply, Sentinel, ensure_eq, eventually};

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
fn group(servers: &Servers, path: &str) -> (Group, [SocketAddr; 3]) {
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

fn instances(reply: &Reply) -> Result<Vec<Fields>, String> {
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
    let masters =
        instances(&ask(endpoints[0], &["SENTINEL", "MASTERS"]).expect("an answer")).expect("masters");
    assert_eq!(field(&masters[0], "name"), Some(name));
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

/// Who listens to everything that an endpoint says.
struct Listener {
    connection: Connection,
    heard: Vec<(String, String)>,
}

impl Listener {
    fn at(endpoint: SocketAddr) -> Self {
        let mut connection = Connection::open(endpoint).expect("a connection");
        let subscribed = connection.command(&["PSUBSCRIBE", "*"]).expect("an answer");
        let text = |text: &str| Reply::Bulk(text.to_owned());
        assert_eq!(subscribed, Reply::Array(vec![text("psubscribe"), text("*"), Reply::Integer(1)]));
        Self { connection, heard: Vec::new() }
    }

    /// Listens until this was said on that channel.
    fn await_message(&mut self, channel: &str, payload: &str) {
        let wanted = (channel.to_owned(), payload.to_owned());
        eventually(DEADLINE, &format!("{channel} {payload}"), || {
            if self.heard.contains(&wanted) {
                return Ok(());
            }
            let Ok(Reply::Array(parts)) = self.connection.read() else {
                return Err(format!("{:?}", self.heard));
            };
            let [_, _, Reply::Bulk(channel), Reply::Bulk(payload)] = &parts[..] else {
                return Err(format!("{parts:?}"));
            };
            self.heard.push((channel.clone(), payload.clone()));
            Err(format!("{:?}", self.heard))
        });
    }

    /// On which of these channels something was said, in the order in which it was.
    fn order(&self, channels: &[&str]) -> Vec<&str> {
        let said = self.heard.iter().map(|(channel, _)| channel.as_str());
        said.filter(|channel| channels.contains(channel)).collect()
    }
}

/// An address as messages write it.
fn spaced(address: &str) -> String {
    address.replace(':', " ")
}

#[test]
fn a_master_that_dies_is_told_of_at_every_endpoint_in_sentinel_s_words_and_order() {
    let servers = Servers::start();
    let (mut group, endpoints) = group(&servers, "/redis/told");
    let mut listeners = endpoints.map(Listener::at);
    group.redis[0].kill();
    let successor = group.await_successor(&servers, 0);
    let (old, new) = (group.address(0), group.address(successor));
    let other = group.address(3 - successor);
    let (former, present) = (spaced(&old), spaced(&new));
    for listener in &mut listeners {
        listener.await_message("+switch-master", &format!("told {former} {present}"));
        listener.await_message("+sdown", &format!("slave {old} {former} @ told {present}"));
        let follows = format!("slave {other} {} @ told {present}", spaced(&other));
        listener.await_message("+slave-reconf-done", &follows);
        listener.await_message("+replica-reconf-done", &follows);
        listener.await_message("+new-epoch", "2");
        listener.await_message("+slave", &format!("slave {old} {former} @ told {present}"));
        let chosen = format!("slave {new} {present} @ told {former}");
        listener.await_message("+selected-slave", &chosen);
        listener.await_message("+promoted-slave", &chosen);
        let order = listener.order(&["+new-epoch", "+selected-slave", "+promoted-slave", "+switch-master"]);
        assert_eq!(order, ["+new-epoch", "+selected-slave", "+promoted-slave", "+switch-master"]);
    }
    for endpoint in endpoints {
        let address = ask(endpoint, &["SENTINEL", "GET-MASTER-ADDR-BY-NAME", "told"]).expect("an answer");
        let (host, port) = new.split_once(':').expect("a port");
        assert_eq!(address, Reply::Array([host, port].map(|it| Reply::Bulk(it.to_owned())).into()));
        let replicas = instances(&ask(endpoint, &["SENTINEL", "REPLICAS", "told"]).expect("an answer"));
        let replicas = replicas.expect("replicas");
        let dead = replicas.iter().find(|it| field(it, "name") == Some(&old)).expect("it is still listed");
        assert_eq!(field(dead, "flags"), Some("s_down,slave,disconnected"));
        let down = field(dead, "s-down-time").and_then(|time| time.parse::<u64>().ok());
        assert!(down.is_some_and(|time| time < 60_000), "{dead:?}");
        let master = fields(&ask(endpoint, &["SENTINEL", "MASTER", "told"]).expect("an answer"));
        let master = master.expect("a master");
        assert_eq!((field(&master, "flags"), field(&master, "config-epoch")), (Some("master"), Some("2")));
    }
    group.redis[0].restart();
    for listener in &mut listeners {
        listener.await_message("-sdown", &format!("slave {old} {former} @ told {present}"));
    }
}

#[test]
fn a_master_that_is_down_and_not_replaced_is_told_as_down_until_it_is() {
    let servers = Servers::start();
    let (mut group, endpoints) = group(&servers, "/redis/lasting");
    let mut listener = Listener::at(endpoints[2]);
    let (old, path) = (group.address(0), group.path.clone());
    let command = |words: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_redis-failover"));
        command.args(words).args(["-z", &servers.zookeeper.connect_string(), "-p", &path]);
        let output = command.output().expect("the program runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    command(&["pause", "--reason", "to see a master that is down", "--for", "10m"]);
    group.redis[0].kill();
    let former = spaced(&old);
    listener.await_message("+sdown", &format!("master lasting {former}"));
    listener.await_message("+odown", &format!("master lasting {former} #quorum 2/2"));
    for endpoint in endpoints {
        eventually(DEADLINE, "it is told as down", || {
            let master = fields(&ask(endpoint, &["SENTINEL", "MASTER", "lasting"])?)?;
            ensure_eq(field(&master, "flags"), Some("s_down,o_down,master,disconnected")).map(drop)?;
            ensure_eq(field(&master, "port"), old.rsplit(':').next()).map(drop)?;
            let (host, port) = old.split_once(':').ok_or("no port")?;
            let down = ask(endpoint, &["SENTINEL", "IS-MASTER-DOWN-BY-ADDR", host, port, "0", "*"])?;
            let star = Reply::Bulk("*".into());
            ensure_eq(down, Reply::Array(vec![Reply::Integer(1), star, Reply::Integer(0)]))
        });
    }
    command(&["resume"]);
    let successor = group.await_successor(&servers, 0);
    listener
        .await_message("+switch-master", &format!("lasting {former} {}", spaced(&group.address(successor))));
    assert_eq!(listener.order(&["+odown", "+selected-slave", "+switch-master"]).first(), Some(&"+odown"));
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

#[test]
fn the_quorum_is_told_as_it_is_and_monitors_that_end_are_told_of() {
    let servers = Servers::start();
    let (mut group, endpoints) = group(&servers, "/redis/counted");
    let mut listener = Listener::at(endpoints[0]);
    let check = || ask(endpoints[0], &["SENTINEL", "CKQUORUM", "counted"]);
    for (id, endpoint) in [("m2", endpoints[1]), ("m3", endpoints[2])] {
        let monitor = group.monitors.get_mut(id).expect("it runs");
        monitor.terminate();
        monitor.wait_exit(DEADLINE);
        let run = ask(endpoint, &["SENTINEL", "MYID"]);
        assert!(run.is_err(), "it has ended: {run:?}");
        let (master, other) = (spaced(&group.address(0)), spaced(&endpoint.to_string()));
        let sha = known_id(id);
        listener.await_message("+sdown", &format!("sentinel {sha} {other} @ counted {master}"));
    }
    eventually(DEADLINE, "one monitor of three is no quorum", || match check()? {
        Reply::Error(error) if error.starts_with("NOQUORUM 1 usable Sentinels.") => Ok(()),
        other => Err(format!("{other:?}")),
    });
    group.start_monitor(&servers, "m2");
    eventually(DEADLINE, "two are", || match check()? {
        Reply::Simple(text) if text.starts_with("OK 2 usable Sentinels.") => Ok(()),
        other => Err(format!("{other:?}")),
    });
    eventually(DEADLINE, "it is the one it was", || {
        let id = ask(endpoint(&group.monitors["m2"]), &["SENTINEL", "MYID"])?;
        ensure_eq(id, Reply::Bulk(known_id("m2").to_owned()))
    });
    listener.await_message("-sdown", &{
        let (master, at) = (spaced(&group.address(0)), spaced(&endpoint(&group.monitors["m2"]).to_string()));
        format!("sentinel {} {at} @ counted {master}", known_id("m2"))
    });
}

/// What these monitors are called as Sentinels: the SHA-1 of their ids, as `printf m2 | sha1sum` tells it.
fn known_id(id: &str) -> &'static str {
    match id {
        "m2" => "32d332da761f44df7959e5887b6b94cb4667d781",
        _ => "862a51f8b6294a4b0729a7c5c929bfd67068d962",
    }
}

/// A process of the group beside its monitors.
fn beside(servers: &Servers, group: &Group, id: &str, flags: &[&str]) -> Process {
    let mut command = Command::new(env!("CARGO_BIN_EXE_redis-failover"));
    command
        .args(["run", "-z", &servers.zookeeper.connect_string(), "-p", &group.path, "--id", id])
        .args(flags);
    Process::spawn(&format!("{id} of {}", group.path), command, &servers.file(&format!("{id}.log")))
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
    // The lab's clients wait for a second; what takes longer is asked for all the same, and once.
    let _asked = ask(own, &["SENTINEL", "FAILOVER", "followed"]);
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

#[test]
fn a_zookeeper_that_is_lost_changes_no_answer_but_that_nobody_can_fail_over() {
    let mut servers = Servers::start();
    let (_group, endpoints) = group(&servers, "/redis/tilted");
    let mut listener = Listener::at(endpoints[0]);
    let words = ["SENTINEL", "GET-MASTER-ADDR-BY-NAME", "tilted"];
    let master = ask(endpoints[0], &words);
    let stopped = servers.take_zookeeper_away();
    listener.await_message("+tilt", "#tilt mode entered");
    assert_eq!(ask(endpoints[0], &words), master);
    let looks = |line: &str, quorum: &str| {
        eventually(DEADLINE, line, || {
            let Reply::Bulk(info) = ask(endpoints[0], &["INFO", "sentinel"])? else {
                return Err("no INFO".into());
            };
            let check = format!("{:?}", ask(endpoints[0], &["SENTINEL", "CKQUORUM", "tilted"])?);
            let both = info.contains(&format!("\r\n{line}\r\n")) && check.contains(quorum);
            if both { Ok(()) } else { Err(info + &check) }
        });
    };
    looks("sentinel_tilt:1", "NOQUORUM 0 usable Sentinels.");
    assert_eq!(ask(endpoints[0], &words), master);
    servers.bring_zookeeper_back(stopped);
    looks("sentinel_tilt:0", "OK 3 usable Sentinels.");
    listener.await_message("-tilt", "#tilt mode exited");
    assert_eq!(ask(endpoints[0], &words), master);
    assert_eq!(listener.order(&["+switch-master", "+sdown", "+odown"]), [""; 0]);
}

#[test]
fn who_listens_is_told_of_a_group_whose_settings_change_meanwhile_and_of_none_that_left() {
    let servers = Servers::start();
    let mut group = Group::fresh("/redis/reread");
    let file = servers.file("monitor.toml");
    let (zookeeper, path) = (servers.zookeeper.connect_string(), group.path.clone());
    let nodes: Vec<_> = group.nodes().split(',').map(|node| format!("{node:?}")).collect();
    let listed = format!("redishosts = [{}]\n", nodes.join(", "));
    let write = |group: &str| {
        let shared = format!("sentinel = \"127.0.0.1:0\"\n[defaults]\nzkhosts = {zookeeper:?}\n");
        fs::write(&file, shared + group).expect("it is written");
    };
    let said = |more: &str| format!("[[group]]\npath = {path:?}\n{more}");
    write(&said(&listed));
    for id in ["m1", "m2", "m3"] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_redis-failover"));
        command.args(["run", "--id", id, "--config"]).arg(&file);
        let process = Process::spawn(id, command, &servers.file(&format!("{id}.log")));
        group.monitors.insert(id.to_owned(), process);
    }
    group.await_steady(&servers, 0);
    let own = endpoint(&group.monitors["m1"]);
    let mut listener = Listener::at(own);
    // All three are begun anew, while the master dies.
    write(&said(&format!("{listed}sleeptime = 7\n")));
    group.monitors.values().for_each(Process::hang_up);
    group.redis[0].kill();
    let successor = group.await_successor(&servers, 0);
    let (old, new) = (spaced(&group.address(0)), spaced(&group.address(successor)));
    listener.await_message("+switch-master", &format!("reread {old} {new}"));
    // One of them monitors it no longer, says what that leaves behind, and goes on answering for it.
    write(&said(""));
    group.monitors["m1"].hang_up();
    eventually(DEADLINE, "it left the group to the others", || {
        let log = fs::read_to_string(group.monitors["m1"].log()).unwrap_or_default();
        let left = [
            "no longer. It leaves the group's record",
            "the group is left to m2, m3",
            "not monitored from here",
        ];
        if left.iter().all(|said| log.contains(said)) { Ok(()) } else { Err(log) }
    });
    let words = ["SENTINEL", "MASTER", "reread"];
    eventually(DEADLINE, "it still answers", || fields(&ask(own, &words)?).map(drop));
    write(&said(&listed).replace("reread", "other"));
    group.monitors["m1"].hang_up();
    eventually(DEADLINE, "it answers no more for a group that left", || {
        ensure_eq(ask(own, &words)?, Reply::Error("ERR No such master with that name".into()))
    });
    assert_eq!(listener.order(&["+switch-master"]).len(), 1);
}
