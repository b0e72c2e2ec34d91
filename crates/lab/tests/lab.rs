//! The lab's promises, kept on real processes.

mod inner;

use std::collections::HashSet;
use std::fs;
use std::net::Ipv4Addr;
use std::process::Command;
use std::time::{Duration, Instant};

use inner::{first_pid, inner_test, is_inner, pids};
use redis_failover_lab::{
    Account, Connection, Flavour, Process, Redis, Reply, Sentinel, ZooKeeper, ensure_eq, eventually,
    free_port, is_alive,
};

const SOON: Duration = Duration::from_secs(10);

#[test]
fn no_port_is_handed_out_twice() {
    let ports: Vec<u16> = (0..200).map(|_| free_port()).collect();
    assert_eq!(ports.iter().collect::<HashSet<_>>().len(), ports.len());
    assert!(ports.iter().all(|port| (10_000..32_768).contains(port)));
}

#[test]
#[should_panic(expected = "not within 20ms: the sun rises: it is 1, not 2")]
fn a_missed_deadline_tells_the_last_reason() {
    eventually(Duration::from_millis(20), "the sun rises", || ensure_eq(1, 2));
}

#[test]
fn redis_answers() {
    let redis = Redis::start();
    assert_eq!(redis.command(&["PING"]), Ok(Reply::Simple("PONG".into())));
    assert_eq!(redis.get("key"), Ok(None));
    assert_eq!(redis.set("key", "välue"), Ok(()));
    assert_eq!(redis.get("key"), Ok(Some("välue".into())));
    assert_eq!(redis.role(), Ok("master".into()));
    assert_eq!(redis.command(&["INCR", "number"]), Ok(Reply::Integer(1)));
    assert!(
        redis.command(&["NONSENSE"]).unwrap().into_result().unwrap_err().starts_with("ERR unknown command")
    );
    assert_eq!(redis.command(&["DEBUG", "SLEEP", "0"]), Ok(Reply::Simple("OK".into())));
}

#[test]
fn each_version_is_what_it_should_be_and_stays_it_over_a_restart() {
    let versions =
        [(Flavour::Redis62, "redis_version", "6.2."), (Flavour::Valkey91, "valkey_version", "9.1.")];
    for (flavour, field, version) in versions {
        let mut redis = Redis::builder().flavour(flavour).start();
        for _ in 0..2 {
            let said = redis.info("server").unwrap();
            assert!(said[field].starts_with(version), "{said:?}");
            assert_eq!(redis.command(&["DEBUG", "SLEEP", "0"]), Ok(Reply::Simple("OK".into())));
            redis.restart();
        }
    }
}

#[test]
fn sentinels_that_watch_know_each_other_and_the_master() {
    let master = Redis::start();
    let _replica = Redis::builder().replica_of(&master).start();
    for sentinel in Sentinel::watch(&master, 1, Duration::from_secs(1)) {
        assert_eq!(sentinel.master(), Ok(master.addr()));
    }
}

#[test]
fn an_acknowledged_write_that_is_not_held_is_lost() {
    let redis = Redis::start();
    let mut account = Account::new("key");
    // More than are read back at once.
    for number in 0..1_200 {
        account.acknowledge(number, Instant::now());
    }
    let held: Vec<_> = (0..1_200).filter(|number| ![0, 499, 500, 1_199].contains(number)).collect();
    let words = held.iter().flat_map(|number| [account.key(*number), number.to_string()]);
    let words: Vec<_> = std::iter::once("MSET".to_owned()).chain(words).collect();
    let words: Vec<_> = words.iter().map(String::as_str).collect();
    assert_eq!(redis.command(&words), Ok(Reply::Simple("OK".into())));
    redis.set(&account.key(700), "another value").unwrap();
    let lost: Vec<_> = account.lost(&redis).unwrap().iter().map(|write| write.number).collect();
    assert_eq!(lost, [0, 499, 500, 700, 1_199]);
}

#[test]
fn commands_of_one_connection_belong_together() {
    let redis = Redis::start();
    let mut connection = redis.connect().unwrap();
    for words in [&["MULTI"][..], &["SET", "key", "value"], &["GET", "key"], &["GET", "none"]] {
        connection.command(words).unwrap().into_result().unwrap();
    }
    let replies = vec![Reply::Simple("OK".into()), Reply::Bulk("value".into()), Reply::Nil];
    assert_eq!(connection.command(&["EXEC"]), Ok(Reply::Array(replies)));
}

#[test]
fn a_replica_follows_its_master_with_a_password() {
    let master = Redis::builder().password("a \"secret\"").start();
    let replica = Redis::builder().password("a \"secret\"").replica_of(&master).start();
    assert_eq!(replica.role(), Ok("slave".into()));
    master.set("key", "value").unwrap();
    eventually(SOON, "the key arrives", || ensure_eq(replica.get("key")?, Some("value".to_owned())));
    let info = replica.info("replication").unwrap();
    assert_eq!(info["master_port"], master.port().to_string());
    let mut stranger = Connection::open(master.addr().parse().unwrap()).unwrap();
    assert!(matches!(stranger.command(&["PING"]), Ok(Reply::Error(text)) if text.starts_with("NOAUTH")));
}

#[test]
fn a_killed_redis_restarts_at_its_place() {
    let mut redis = Redis::builder().option("maxmemory", "10mb").start();
    let (addr, pid) = (redis.addr(), redis.process().pid());
    redis.set("key", "value").unwrap();
    redis.command(&["CONFIG", "SET", "min-replicas-to-write", "0", "repl-timeout", "7"]).unwrap();
    assert_eq!(redis.command(&["CONFIG", "REWRITE"]), Ok(Reply::Simple("OK".into())));
    redis.kill();
    assert!(!redis.process().is_running() && !is_alive(pid));
    assert!(redis.command(&["PING"]).is_err());
    redis.restart();
    assert_eq!(redis.addr(), addr);
    assert_eq!(redis.get("key"), Ok(None), "nothing is saved");
    let setting = |redis: &Redis, name: &str| redis.command(&["CONFIG", "GET", name]).unwrap();
    let pair =
        |name: &str, value: &str| Reply::Array(vec![Reply::Bulk(name.into()), Reply::Bulk(value.into())]);
    assert_eq!(setting(&redis, "repl-timeout"), pair("repl-timeout", "7"));
    assert_eq!(setting(&redis, "maxmemory"), pair("maxmemory", "10485760"));
    redis.restart_with(&["--repl-timeout", "8"]);
    assert_eq!(setting(&redis, "repl-timeout"), pair("repl-timeout", "8"));
}

#[test]
fn a_redis_can_come_back_without_what_it_kept() {
    let mut redis = Redis::builder().linked(Ipv4Addr::new(127, 0, 1, 9)).option("appendonly", "yes").start();
    redis.set("key", "value").unwrap();
    redis.command(&["SAVE"]).and_then(Reply::into_result).unwrap();
    redis.restart();
    assert_eq!(redis.get("key"), Ok(Some("value".to_owned())));
    let own = redis.local_addr();
    redis.restart_empty();
    assert_eq!(redis.get("key"), Ok(None));
    assert!(own != redis.addr() && own == redis.local_addr(), "its place is its own, past the link");
    assert!(Connection::open(own.parse().unwrap()).is_ok());
}

#[test]
fn a_stopped_redis_is_silent_until_it_continues() {
    let mut redis = Redis::start();
    redis.stop();
    assert_eq!(redis.command(&["PING"]), Err("no answer within 1s".into()));
    assert!(redis.process().is_running());
    redis.cont();
    eventually(SOON, "redis answers again", || redis.command(&["PING"]));
    redis.process().terminate();
    assert!(redis.process().wait_exit(SOON).success());
}

#[test]
fn an_ensemble_has_one_leader_and_gets_another() {
    let mut ensemble = ZooKeeper::start(3);
    assert_eq!(ensemble.connect_string().split(',').count(), 3);
    let modes = |ensemble: &ZooKeeper| {
        let mut modes: Vec<_> = (0..3).filter_map(|index| ensemble.mode(index).ok()).collect();
        modes.sort();
        modes
    };
    assert_eq!(modes(&ensemble), ["follower", "follower", "leader"]);
    let leader = ensemble.leader_index().unwrap();
    assert!(ensemble.four_letter(leader, "mntr").unwrap().contains("zk_synced_followers\t2"));
    ensemble.server(leader).kill();
    let successor = eventually(SOON, "another leads", || ensemble.leader_index().ok_or("nobody leads"));
    assert_ne!(successor, leader);
    ensemble.restart(leader);
    ensemble.await_serving(leader);
    eventually(SOON, "all serve", || ensure_eq(modes(&ensemble), ["follower", "follower", "leader"]));
}

#[test]
fn an_ensemble_forgets_what_was_not_in_its_backup() {
    let directory = tempfile::tempdir().unwrap();
    let backup = directory.path().join("backup");
    let mut ensemble = ZooKeeper::builder().force_sync().start(3);
    // The upper half of a transaction's number counts the elections.
    let elections = |ensemble: &ZooKeeper| {
        let text = ensemble.four_letter(ensemble.leader_index().unwrap(), "srvr").unwrap();
        let zxid = text.lines().find_map(|line| line.strip_prefix("Zxid: 0x")).unwrap();
        u64::from_str_radix(zxid, 16).unwrap() >> 32
    };
    let first = elections(&ensemble);
    ensemble.kill_all();
    assert!((0..3).all(|server| ensemble.mode(server).is_err()));
    ensemble.back_up(&backup);
    for later in [1, 2] {
        ensemble.restart_all();
        assert_eq!(elections(&ensemble), first + later);
        ensemble.kill_all();
    }
    ensemble.restore(&backup);
    ensemble.restart_all();
    assert_eq!(elections(&ensemble), first + 1, "the second election after the backup is forgotten");
    ensemble.kill_all();
    ensemble.wipe();
    ensemble.restart_all();
    assert_eq!(elections(&ensemble), first);
}

#[test]
#[should_panic(expected = "a server runs")]
fn the_data_of_a_living_ensemble_is_not_copied() {
    let directory = tempfile::tempdir().unwrap();
    ZooKeeper::start(1).back_up(&directory.path().join("backup"));
}

#[test]
fn a_stopped_zookeeper_is_silent_until_it_continues() {
    let mut ensemble = ZooKeeper::start(1);
    assert_eq!((ensemble.mode(0), ensemble.leader_index()), (Ok("standalone".into()), Some(0)));
    ensemble.server(0).stop();
    assert!(ensemble.four_letter(0, "ruok").is_err());
    ensemble.server(0).cont();
    eventually(SOON, "it answers again", || ensure_eq(ensemble.four_letter(0, "ruok")?, "imok"));
}

#[test]
fn a_zookeeper_loads_its_classes_from_an_archive() {
    // Java archives nothing of the directory in the class path of Apache's own archive.
    let wanted = std::env::var_os("ZOOKEEPER_HOME").is_none();
    // Who starts one while another test has the archive made goes without.
    eventually(4 * SOON, "a server with its classes", || {
        let mut ensemble = ZooKeeper::start(1);
        let mapped = fs::read_to_string(format!("/proc/{}/maps", ensemble.server(0).pid())).unwrap();
        ensure_eq(mapped.contains("/redis-failover/java/zookeeper-"), wanted)
    });
}

#[test]
fn the_children_of_a_process_end_with_it() {
    let directory = tempfile::tempdir().unwrap();
    let log = directory.path().join("log");
    let mut command = Command::new("sh");
    command.args(["-c", "tail -f /dev/null & echo pid=$!; exit 3"]);
    let mut parent = Process::spawn("parent", command, &log);
    assert_eq!(parent.wait_exit(SOON).code(), Some(3));
    let child = eventually(SOON, "the child's process id", || first_pid(&log));
    eventually(SOON, "the child is gone", || ensure_eq(is_alive(child), false));
}

#[test]
#[should_panic(expected = "cannot start nothing (/does/not/exist)")]
fn a_program_that_cannot_start_is_named() {
    let directory = tempfile::tempdir().unwrap();
    Process::spawn("nothing", Command::new("/does/not/exist"), &directory.path().join("log"));
}

#[test]
fn servers_die_with_a_test_that_is_killed() {
    if is_inner() {
        let mut servers = [Redis::start(), Redis::start()];
        // A frozen one, because the kernel treats orphaned groups with stopped processes in its own way.
        servers[1].stop();
        println!("\npid={}\npid={}", servers[0].process().pid(), servers[1].process().pid());
        eventually(SOON, "the outer test kills this one", || Err::<(), _>("not yet"));
    }
    let directory = tempfile::tempdir().unwrap();
    let mut inner = inner_test("servers_die_with_a_test_that_is_killed", directory.path());
    let pids = eventually(SOON, "the servers' process ids", || match pids(inner.log())[..] {
        [first, second] => Ok([first, second]),
        _ => Err("not yet printed"),
    });
    assert!(pids.into_iter().all(is_alive));
    inner.kill();
    for pid in pids {
        eventually(SOON, "the server is gone", || ensure_eq(is_alive(pid), false));
    }
}

#[test]
fn a_failing_test_shows_the_logs() {
    if is_inner() {
        let redis = Redis::start();
        panic!("with a log of {}", redis.addr());
    }
    let directory = tempfile::tempdir().unwrap();
    let mut inner = inner_test("a_failing_test_shows_the_logs", directory.path());
    assert!(!inner.wait_exit(SOON).success());
    let output = fs::read_to_string(inner.log()).unwrap();
    assert!(output.contains("---- log of redis 127.0.0.1:"), "{output}");
    assert!(output.contains("Ready to accept connections"), "{output}");
}
