//! The move from Redis Sentinel of docs/operating.md, as it stands there, while a client that asks the sentinels
//! writes: the files that real sentinels wrote are imported, and never do two who may replace a master watch one group.

use std::fs;
use std::net::SocketAddr;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use redis_failover_lab::{Account, Connection, Process, Redis, Reply, Sentinel, ensure_eq, eventually};
use serde_json::Value;

use crate::operator::assert_says;
use crate::world::{DEADLINE, Group, Servers, hold_for};
use crate::writer::{Balance, LOST_AT_MOST, Writer, assert_sound};

/// One on each sentinel's machine.
const MONITORS: [&str; 3] = ["m1", "m2", "m3"];

/// How many writes must be acknowledged in each state.
const ENOUGH: usize = 1_000;

/// Within this a sentinel that may do so replaces a master that it finds down.
const REPLACES: Duration = Duration::from_secs(5);

/// How long a sentinel that may do so waits until it sets a node right that is another than it should be.
const SET_RIGHT: Duration = Duration::from_secs(15);

/// A client of Sentinel: it asks one sentinel after the other who leads, and writes unique keys there.
struct SentinelWriter {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    sentinels: Vec<SocketAddr>,
    account: Mutex<Account>,
    ended: AtomicBool,
}

impl SentinelWriter {
    fn start(sentinels: &[Sentinel]) -> Self {
        let sentinels = sentinels.iter().map(|it| it.addr().parse().expect("an address")).collect();
        let account = Mutex::new(Account::new("sentinel"));
        let shared = Arc::new(Shared { sentinels, account, ended: AtomicBool::new(false) });
        let theirs = Arc::clone(&shared);
        let thread = Some(std::thread::spawn(move || theirs.write()));
        let writer = Self { shared, thread };
        writer.write_more();
        writer
    }

    fn write_more(&self) {
        let wanted = self.shared.with(|account| account.acknowledged()) + ENOUGH;
        eventually(DEADLINE, "the client of the sentinels writes", || {
            let acknowledged = self.shared.with(|account| account.acknowledged());
            if acknowledged >= wanted { Ok(()) } else { Err(format!("{acknowledged} of {wanted}")) }
        });
    }

    /// Ends it and reads every acknowledged key back from `master`.
    fn finish(mut self, master: &Redis) -> Balance {
        self.end().expect("the writer has not failed");
        self.shared.with(|account| Balance {
            acknowledged: account.acknowledged(),
            lost: account.lost(master).expect("the final master answers").len(),
            unknown: account.unknown(),
            gap: account.longest_gap(),
        })
    }

    fn end(&mut self) -> std::thread::Result<()> {
        self.shared.ended.store(true, Ordering::SeqCst);
        self.thread.take().map_or(Ok(()), JoinHandle::join)
    }
}

impl Drop for SentinelWriter {
    fn drop(&mut self) {
        // A test that fails already says why.
        let _ = self.end();
    }
}

impl Shared {
    fn with<T>(&self, look: impl FnOnce(&mut Account) -> T) -> T {
        look(&mut self.account.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn write(&self) {
        let (mut connection, mut number) = (None, 0_u64);
        while !self.ended.load(Ordering::SeqCst) {
            let Some(open) = connection.as_mut() else {
                connection = self.connect();
                continue;
            };
            let key = self.with(|account| account.key(number));
            match open.command(&["SET", &key, &number.to_string()]) {
                Ok(Reply::Error(_)) => {
                    connection = None;
                    continue;
                }
                Ok(_) => self.with(|account| account.acknowledge(number, Instant::now())),
                Err(_) => {
                    connection = None;
                    self.with(|account| account.give_up(number, Instant::now()));
                }
            }
            number += 1;
        }
    }

    /// A connection to whom the first sentinel that answers names, if that is a master, as clients of Sentinel must see
    /// to: a server that has just been killed may take connections for a moment.
    fn connect(&self) -> Option<Connection> {
        let master = self.sentinels.iter().find_map(|sentinel| master_by(*sentinel).ok()?);
        let mut connection = Connection::open(master?.parse().ok()?).ok()?;
        let Reply::Array(role) = connection.command(&["ROLE"]).ok()? else { return None };
        (role.first() == Some(&Reply::Bulk("master".to_owned()))).then_some(connection)
    }
}

/// The master by what this sentinel says, be it one or one of our monitors.
fn master_by(sentinel: SocketAddr) -> Result<Option<String>, String> {
    let question = ["SENTINEL", "GET-MASTER-ADDR-BY-NAME", Sentinel::GROUP];
    let Reply::Array(pair) = Connection::open(sentinel)?.command(&question)? else { return Ok(None) };
    match &pair[..] {
        [Reply::Bulk(host), Reply::Bulk(port)] => Ok(Some(format!("{host}:{port}"))),
        _ => Ok(None),
    }
}

/// A group that three sentinels watch, and a client of theirs that writes.
struct Watched {
    group: Group,
    sentinels: Vec<Sentinel>,
    writer: SentinelWriter,
}

impl Watched {
    fn start() -> Self {
        let fast = || Redis::builder().option("repl-diskless-sync-delay", "0");
        let master = fast().start();
        let replicas = [(); 2].map(|()| fast().replica_of(&master).start());
        let sentinels = Vec::from(Sentinel::watch(&master, 2, Duration::from_secs(1)));
        let writer = SentinelWriter::start(&sentinels);
        let group = Group::of("/redis/group", [master].into_iter().chain(replicas).collect());
        Self { group, sentinels, writer }
    }

    /// Step 1: imports the sentinels' files, and yields what was said of them.
    fn import(&self, servers: &Servers) -> Value {
        let mut import = Command::new(env!("CARGO_BIN_EXE_redis-failover"));
        import.arg("import-sentinel").args(self.sentinels.iter().map(Sentinel::configuration));
        import.args(["--json", "-z", &servers.zookeeper.connect_string(), "--output"]);
        let imported = import.arg(servers.file("monitor.toml")).output().expect("the program runs");
        assert_says(&imported, 0, &[]);
        let mut check = Command::new(env!("CARGO_BIN_EXE_redis-failover"));
        check.arg("check-config").arg("--config").arg(servers.file("monitor.toml"));
        assert_says(&check.output().expect("the program runs"), 0, &["the configuration is valid"]);
        serde_json::from_slice(&imported.stdout).expect("JSON")
    }

    /// Step 2: our monitors have a user of their own, as the page makes one, and nobody else may say who follows whom.
    fn take_rights(&self, servers: &Servers) {
        let page = include_str!("../../../../docs/operating.md");
        let user = page.lines().find(|line| line.starts_with("ACL SETUSER failover on >PASSWORD "));
        let user = user.expect("the line of the page").replace("PASSWORD", "secret");
        self.on_each_server(&user.split(' ').collect::<Vec<_>>());
        self.on_each_server(&["ACL", "SETUSER", "default", "-replicaof", "-slaveof"]);
        self.on_each_server(&["CONFIG", "REWRITE"]);
        let (file, password) = (servers.file("monitor.toml"), servers.file("redis.password"));
        fs::write(password, "secret\n").expect("it is written");
        let keys = "[defaults]\nredis_username = \"failover\"\nredis_password_file = \"redis.password\"\n";
        let text = fs::read_to_string(&file).expect("it was written").replace("[defaults]\n", keys);
        fs::write(file, text).expect("it is written");
    }

    /// Step 3: no sentinel replaces a master any more, and each goes on answering.
    fn hold_sentinels_still(&self) {
        for sentinel in &self.sentinels {
            let told = sentinel.command(&["SENTINEL", "SET", Sentinel::GROUP, "quorum", "1000"]);
            assert_eq!(told, Ok(Reply::Simple("OK".to_owned())));
        }
        for sentinel in &self.sentinels {
            let able = sentinel.command(&["SENTINEL", "CKQUORUM", Sentinel::GROUP]);
            assert!(matches!(&able, Ok(Reply::Error(why)) if why.starts_with("NOQUORUM")), "{able:?}");
        }
    }

    /// Step 4: our monitors take over.
    fn start_monitors(&mut self, servers: &Servers) {
        for id in MONITORS {
            self.start_monitor(servers, id, &[]);
        }
        self.group.await_steady(servers, 0);
    }

    fn start_monitor(&mut self, servers: &Servers, id: &str, more: &[&str]) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_redis-failover"));
        command.args(["run", "--id", id, "--config"]).arg(servers.file("monitor.toml")).args(more);
        let log = servers.file(&format!("{id}.log"));
        let monitor = Process::spawn(&format!("monitor {id}"), command, &log);
        self.group.monitors.insert(id.to_owned(), monitor);
    }

    /// Step 5: one after the other a sentinel ends, and the monitor of its machine answers in its place.
    fn replace_sentinels(&mut self, servers: &Servers) {
        let leader = self.group.leader(servers);
        let mut ids = MONITORS;
        ids.sort_by_key(|id| *id == leader);
        for id in ids {
            let sentinel = self.sentinels.pop().expect("one for each monitor");
            let address = sentinel.addr();
            drop(sentinel);
            let mut monitor = self.group.monitors.remove(id).expect("it runs");
            monitor.terminate();
            assert!(monitor.wait_exit(DEADLINE).success());
            self.start_monitor(servers, id, &["--sentinel", &address]);
            let master = self.group.address(0);
            eventually(DEADLINE, "it answers in the sentinel's place", || {
                ensure_eq(master_by(address.parse().expect("an address"))?, Some(master.clone()))
            });
            self.writer.write_more();
        }
        self.group.await_steady(servers, 0);
    }

    /// Step 6: nobody is left who might misuse it.
    fn give_the_right_back(&self) {
        self.on_each_server(&["ACL", "SETUSER", "default", "+replicaof", "+slaveof"]);
        self.on_each_server(&["CONFIG", "REWRITE"]);
    }

    fn on_each_server(&self, command: &[&str]) {
        for redis in &self.group.redis {
            assert_eq!(redis.command(command), Ok(Reply::Simple("OK".to_owned())), "{command:?}");
        }
    }
}

/// Waits until every one of them says something of the master that will do.
fn await_told(sentinels: &[Sentinel], field: &str, will_do: impl Fn(&str) -> bool) {
    for sentinel in sentinels {
        eventually(DEADLINE, &format!("each sentinel tells its {field}"), || {
            let told = of_master(sentinel, field)?;
            if will_do(&told) { Ok(()) } else { Err(told) }
        });
    }
}

/// What a sentinel says of the master.
fn of_master(sentinel: &Sentinel, field: &str) -> Result<String, String> {
    let master = sentinel.command(&["SENTINEL", "MASTER", Sentinel::GROUP])?;
    let Reply::Array(fields) = &master else { return Err(format!("{master:?}")) };
    match fields.chunks(2).find(|pair| pair[0] == Reply::Bulk(field.to_owned())) {
        Some([_, Reply::Bulk(told)]) => Ok(told.clone()),
        told => Err(format!("{told:?}")),
    }
}

#[test]
fn a_group_moves_here_from_redis_sentinel() {
    let servers = Servers::start();
    let mut watched = Watched::start();
    let imported = watched.import(&servers);
    let nodes = imported["groups"][0]["redishosts"].as_array().expect("an array");
    assert_eq!(nodes[0], watched.group.address(0), "the master comes first");
    let replicas = nodes.iter().filter(|node| [1, 2].iter().any(|it| **node == watched.group.address(*it)));
    assert_eq!((nodes.len(), replicas.count()), (3, 2), "{imported}");
    let remarks = &imported["remarks"];
    assert_eq!(remarks["differences"], serde_json::json!([]), "they know the same");
    let unmatched = remarks["without_counterpart"].as_array().expect("an array");
    let strange: Vec<_> = unmatched.iter().filter(|it| it["did"].is_null()).collect();
    assert!(strange.is_empty() && unmatched.len() > 5, "all that Sentinel writes is known: {unmatched:?}");

    watched.take_rights(&servers);
    watched.hold_sentinels_still();
    watched.writer.write_more();
    watched.start_monitors(&servers);
    watched.writer.write_more();
    watched.replace_sentinels(&servers);
    watched.give_the_right_back();
    let Watched { mut group, writer, .. } = watched;
    assert_eq!(group.status(&servers).expect("a status")["epoch"], 1);
    let (unknown, lost) = writer.shared.with(|account| (account.unknown(), account.lost(&group.redis[0])));
    assert_eq!((unknown, lost.map(|lost| lost.len())), (0, Ok(0)), "nobody noticed the move");

    group.redis[0].kill();
    let next = group.await_successor(&servers, 0);
    group.await_steady(&servers, next);
    writer.write_more();
    let balance = writer.finish(&group.redis[next]);
    assert!(balance.acknowledged >= 7 * ENOUGH, "{balance:?}");
    assert_sound(&balance, 1, LOST_AT_MOST);
}

#[test]
fn a_master_that_dies_while_sentinels_that_are_held_still_are_left_is_replaced_by_our_monitors_alone() {
    let servers = Servers::start();
    let mut watched = Watched::start();
    watched.import(&servers);
    watched.take_rights(&servers);
    watched.hold_sentinels_still();
    watched.start_monitors(&servers);
    let Watched { mut group, sentinels, writer, .. } = watched;
    let old = group.address(0);
    drop(writer);
    let writer = Writer::start(&servers, &group, "held");
    group.redis[0].kill();
    let next = group.await_successor(&servers, 0);
    writer.write_more();
    await_told(&sentinels, "flags", |flags| flags.contains("s_down"));
    hold_for(REPLACES, "no sentinel tries to replace it, too", || {
        for sentinel in &sentinels {
            let flags = of_master(sentinel, "flags")?;
            ensure_eq(flags.contains("o_down") || flags.contains("failover"), false)?;
        }
        Ok(())
    });
    // The sentinels see it as the master that it was, for nobody tells it otherwise: they would set the others right.
    group.monitors.values().for_each(Process::stop);
    group.redis[0].restart();
    await_told(&sentinels, "flags", |flags| flags == "master");
    group.monitors.values().for_each(Process::cont);
    group.await_steady(&servers, next);
    let new = group.address(next);
    hold_for(SET_RIGHT, "no sentinel sets right what our monitors did", || {
        for sentinel in &sentinels {
            ensure_eq(sentinel.master()?, old.clone())?;
        }
        let status = group.status(&servers)?;
        ensure_eq(status["epoch"].as_u64(), Some(2))?;
        ensure_eq(status["master"].as_str().map(str::to_owned), Some(new.clone()))
    });
    group.await_steady(&servers, next);
    assert_sound(&writer.finish(&group.redis[next]), 1, LOST_AT_MOST);
}
