//! What the Sentinel endpoint tells those who listen, whatever changes: the master, monitors, ZooKeeper, settings.

use std::fs;
use std::net::SocketAddr;
use std::process::Command;

use redis_failover_lab::{Connection, Process, Reply, ensure_eq, eventually};

use crate::sentinel::{ask, endpoint, field, fields, group, instances};
use crate::world::{DEADLINE, Group, Servers};

/// Who listens to everything that an endpoint says.
pub(crate) struct Listener {
    connection: Connection,
    heard: Vec<(String, String)>,
}

impl Listener {
    pub(crate) fn at(endpoint: SocketAddr) -> Self {
        let mut connection = Connection::open(endpoint).expect("a connection");
        let subscribed = connection.command(&["PSUBSCRIBE", "*"]).expect("an answer");
        let text = |text: &str| Reply::Bulk(text.to_owned());
        assert_eq!(subscribed, Reply::Array(vec![text("psubscribe"), text("*"), Reply::Integer(1)]));
        Self { connection, heard: Vec::new() }
    }

    /// Listens until this was said on that channel.
    pub(crate) fn await_message(&mut self, channel: &str, payload: &str) {
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
    pub(crate) fn order(&self, channels: &[&str]) -> Vec<&str> {
        let said = self.heard.iter().map(|(channel, _)| channel.as_str());
        said.filter(|channel| channels.contains(channel)).collect()
    }
}

/// An address as messages write it.
pub(crate) fn spaced(address: &str) -> String {
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

#[test]
fn a_zookeeper_that_is_lost_changes_no_answer_but_that_nobody_can_fail_over() {
    let mut servers = Servers::ensemble();
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
    let refused = ask(endpoints[0], &["SENTINEL", "FAILOVER", "tilted"]).expect("it is answered at once");
    assert!(
        matches!(&refused, Reply::Error(why) if why.contains("no session with ZooKeeper")),
        "{refused:?}"
    );
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

/// What these monitors are called as Sentinels: the SHA-1 of their ids, as `printf m2 | sha1sum` tells it.
fn known_id(id: &str) -> &'static str {
    match id {
        "m2" => "32d332da761f44df7959e5887b6b94cb4667d781",
        _ => "862a51f8b6294a4b0729a7c5c929bfd67068d962",
    }
}
