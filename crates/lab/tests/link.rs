//! What a link promises, kept between real sockets and between real Redis servers.

use std::collections::BTreeSet;
use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use redis_failover_lab::{Connection, Link, Redis, Reply, ensure_eq, eventually};

const SOON: Duration = Duration::from_secs(10);
const ONE: Ipv4Addr = Ipv4Addr::new(127, 0, 1, 1);
const TWO: Ipv4Addr = Ipv4Addr::new(127, 0, 1, 2);

/// A linked server, and a connection of each caller.
fn two_callers() -> (Redis, Connection, Connection) {
    let redis = Redis::builder().linked(Ipv4Addr::new(127, 0, 1, 11)).start();
    let [one, two] = [ONE, TWO].map(|caller| caller_of(&redis, caller).expect("it is let in"));
    (redis, one, two)
}

fn caller_of(redis: &Redis, caller: Ipv4Addr) -> Result<Connection, String> {
    let mut connection = Connection::open_from(caller, redis.link().address())?;
    ping(&mut connection).map(|()| connection)
}

const SILENCE: &str = "no answer within 1s";

/// Whether it answers, and if not, why.
fn ping(connection: &mut Connection) -> Result<(), String> {
    connection.command(&["PING"])?.into_result().map(drop)
}

/// A listener behind a link, and both ends of a connection through it.
fn pair() -> (Link, TcpStream, TcpStream, TcpListener) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let link = Link::start(listener.local_addr().expect("an address"));
    let near = TcpStream::connect(link.address()).expect("it listens");
    (&near).write_all(b"x").expect("it is open");
    // The link has looked whether anybody listens, too.
    let far = eventually(SOON, "the connection arrives", || {
        let (mut far, _) = listener.accept().map_err(|error| error.to_string())?;
        let mut first = [0];
        far.read_exact(&mut first).map(|()| far).map_err(|error| error.to_string())
    });
    for end in [&near, &far] {
        end.set_read_timeout(Some(SOON)).expect("a time-out");
    }
    (link, near, far, listener)
}

#[test]
fn a_server_is_known_by_its_link_and_sees_its_callers() {
    let (mut redis, mut one, _two) = two_callers();
    assert_eq!(redis.addr(), redis.link().address().to_string());
    assert_eq!(redis.link().of([ONE]).connections(), 1);
    let Ok(Reply::Bulk(me)) = one.command(&["CLIENT", "INFO"]) else { panic!("it tells who calls") };
    assert!(me.contains("addr=127.0.1.1:"), "{me}");
    redis.restart();
    assert!(ping(&mut one).is_err(), "the connection ended with the process");
    eventually(SOON, "it is back behind the same address", || caller_of(&redis, ONE));
}

#[test]
fn a_server_that_is_gone_refuses_as_without_a_link() {
    let (mut redis, mut one, _two) = two_callers();
    let address = redis.link().address();
    redis.kill();
    assert!(one.read().is_err());
    // Without anybody's trying to connect.
    eventually(SOON, "nobody listens", || TcpListener::bind(address).map(drop));
    eventually(SOON, "new connections are refused", || match TcpStream::connect(address) {
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => Ok(()),
        other => Err(format!("{other:?}")),
    });
    redis.restart();
    eventually(SOON, "it is back", || caller_of(&redis, TWO));
}

#[test]
fn what_is_held_waits_and_arrives_late_and_whole() {
    let (redis, mut one, mut two) = two_callers();
    let traffic = redis.link().of([ONE]);
    traffic.hold();
    assert_eq!(one.command(&["SET", "late", "yes"]), Err(SILENCE.into()));
    assert!(traffic.waiting() > 0);
    assert_eq!(redis.get("late"), Ok(None));
    assert_eq!(caller_of(&redis, ONE).unwrap_err(), SILENCE, "new ones get no answer");
    assert_eq!(ping(&mut two), Ok(()), "others are not disturbed");
    assert!(caller_of(&redis, TWO).is_ok());
    traffic.release();
    eventually(SOON, "the command arrives", || ensure_eq(redis.get("late")?, Some("yes".to_owned())));
    assert_eq!(one.read(), Ok(Reply::Simple("OK".into())));
    assert_eq!(traffic.waiting(), 0);
}

#[test]
fn a_command_of_one_who_has_left_is_delivered_nevertheless() {
    let (redis, mut one, _two) = two_callers();
    redis.link().all().hold();
    assert_eq!(one.command(&["SET", "late", "yes"]), Err(SILENCE.into()));
    drop(one);
    assert_eq!(redis.get("late"), Ok(None));
    redis.link().all().release();
    eventually(SOON, "the command arrives", || ensure_eq(redis.get("late")?, Some("yes".to_owned())));
    eventually(SOON, "then the connection ends", || ensure_eq(redis.link().of([ONE]).connections(), 0));
}

#[test]
fn each_direction_is_held_alone() {
    let (redis, mut one, _two) = two_callers();
    redis.link().of([ONE]).replies().hold();
    assert_eq!(one.command(&["SET", "heard", "yes"]), Err(SILENCE.into()));
    assert_eq!(redis.get("heard"), Ok(Some("yes".into())), "the request arrived");
    redis.link().of([ONE]).heal();
    assert_eq!(one.read(), Ok(Reply::Simple("OK".into())));
    redis.link().of([ONE]).requests().hold();
    assert_eq!(one.command(&["SET", "heard", "no"]), Err(SILENCE.into()));
    assert_eq!(redis.get("heard"), Ok(Some("yes".into())));
    assert_eq!(caller_of(&redis, ONE).unwrap_err(), SILENCE, "to connect takes both directions");
}

#[test]
fn who_is_cut_off_is_reset_and_nobody_else() {
    let (redis, mut one, mut two) = two_callers();
    redis.link().of([ONE]).cut();
    assert!(ping(&mut one).unwrap_err().contains("reset"));
    assert!(caller_of(&redis, ONE).unwrap_err().contains("reset"));
    assert_eq!(ping(&mut two), Ok(()));
    redis.link().of([ONE]).heal();
    assert!(caller_of(&redis, ONE).is_ok());
    redis.link().all().hang_up();
    assert!(ping(&mut two).is_err());
    assert!(caller_of(&redis, TWO).is_ok());
}

#[test]
fn a_stranded_connection_leads_nowhere_and_a_new_one_works() {
    let (redis, mut one, _two) = two_callers();
    redis.link().all().strand();
    assert_eq!(ping(&mut one).unwrap_err(), SILENCE);
    assert!(caller_of(&redis, ONE).is_ok());
    redis.link().all().heal();
    assert_eq!(one.read().unwrap_err(), SILENCE, "nobody remembers it");
}

#[test]
fn a_closed_link_refuses_and_leaves_alone_those_who_are_in() {
    let (redis, mut one, _two) = two_callers();
    redis.link().close();
    assert!(caller_of(&redis, TWO).unwrap_err().contains("refused"));
    assert_eq!(ping(&mut one), Ok(()));
    redis.link().open();
    assert!(caller_of(&redis, TWO).is_ok());
}

#[test]
fn a_server_that_dies_behind_a_held_link_is_silent_and_not_refused() {
    let (mut redis, mut one, mut two) = two_callers();
    redis.link().of([ONE]).hold();
    redis.kill();
    assert!(two.read().unwrap_err().contains("closed"));
    assert_eq!(one.command(&["PING"]), Err(SILENCE.into()), "it does not hear of the end");
    assert_eq!(caller_of(&redis, ONE).unwrap_err(), SILENCE);
}

#[test]
fn a_delay_is_half_of_a_round_trip() {
    let (redis, mut one, mut two) = two_callers();
    redis.link().of([ONE]).delay(Duration::from_millis(50));
    let took = |connection: &mut Connection| {
        let asked = Instant::now();
        assert_eq!(ping(connection), Ok(()));
        asked.elapsed()
    };
    for _ in 0..5 {
        assert!(took(&mut one) >= Duration::from_millis(100));
    }
    let fastest = (0..5).map(|_| took(&mut two)).min();
    assert!(fastest < Some(Duration::from_millis(50)), "{fastest:?}");
}

#[test]
fn stalls_come_and_go() {
    let (redis, mut one, _two) = two_callers();
    let (every, lasting) = (Duration::from_millis(500), Duration::from_millis(200));
    redis.link().all().stall(every, lasting);
    let (mut slow, mut quick) = (BTreeSet::new(), 0);
    let begun = Instant::now();
    while begun.elapsed() < every * 3 {
        let asked = Instant::now();
        assert_eq!(ping(&mut one), Ok(()));
        if asked.elapsed() > lasting / 2 {
            slow.insert(begun.elapsed().as_millis() / every.as_millis());
        } else {
            quick += 1;
        }
    }
    assert!(slow.is_superset(&BTreeSet::from([0, 1, 2])), "one stall in each period: {slow:?}");
    assert!(quick > 20, "{quick} answers between them");
}

#[test]
fn a_limited_link_is_slow_and_delivers_all() {
    let (link, mut near, mut far, _listener) = pair();
    let sent: Vec<u8> = (0..100_000_u32).map(|n| n.to_le_bytes()[0] ^ n.to_le_bytes()[1]).collect();
    link.all().requests().limit(200_000);
    let begun = Instant::now();
    near.write_all(&sent).unwrap();
    let mut received = vec![0; sent.len()];
    far.read_exact(&mut received).unwrap();
    assert!(begun.elapsed() > Duration::from_millis(400), "{:?}", begun.elapsed());
    assert!(received == sent, "every byte in its place");
    // Far more than any socket keeps, through a link that is held, slowed and healed meanwhile.
    let large: Vec<u8> = sent.iter().copied().cycle().take(20_000_000).collect();
    let copy = large.clone();
    link.all().hold();
    let writer = thread::spawn(move || near.write_all(&copy).map(|()| near));
    eventually(SOON, "the link keeps what it can", || ensure_eq(link.all().waiting() >= 4 << 20, true));
    link.all().limit(4_000_000);
    link.all().release();
    let mut received = vec![0; large.len()];
    far.read_exact(&mut received[..1_000_000]).unwrap();
    link.all().heal();
    far.read_exact(&mut received[1_000_000..]).unwrap();
    assert!(received == large, "every byte in its place");
    // The end of the stream is under way like its bytes, and only in its direction.
    let near = writer.join().expect("a writer").unwrap();
    near.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(far.read(&mut [0]).unwrap(), 0);
    far.write_all(b"still").unwrap();
    let mut still = [0; 5];
    (&near).read_exact(&mut still).unwrap();
    assert_eq!(&still, b"still");
}

#[test]
fn a_replica_is_cut_off_from_its_master_by_their_link() {
    let start = |last| Redis::builder().linked(Ipv4Addr::new(127, 0, 1, last));
    let master = start(11).start();
    let replica = start(12).replica_of(&master).start();
    let status = || Ok::<_, String>(replica.info("replication")?["master_link_status"].clone());
    eventually(SOON, "the replica follows", || ensure_eq(status()?, "up"));
    assert!(master.info("replication").unwrap()["slave0"].contains(&format!("port={}", replica.port())));
    let traffic = master.link().of([Ipv4Addr::new(127, 0, 1, 12)]);
    traffic.replies().hold();
    master.set("key", "value").unwrap();
    eventually(SOON, "the write is under way", || ensure_eq(traffic.replies().waiting() > 0, true));
    assert_eq!(replica.get("key"), Ok(None));
    traffic.cut();
    eventually(SOON, "the link is down", || ensure_eq(status()?, "down"));
    assert_eq!(replica.get("key"), Ok(None), "what was under way is lost");
    traffic.heal();
    eventually(SOON, "it catches up", || ensure_eq(replica.get("key")?, Some("value".to_owned())));
}

#[test]
fn nothing_of_a_link_is_left() {
    let (redis, mut one, _two) = two_callers();
    let address: SocketAddr = redis.link().address();
    redis.link().all().hold();
    let thread = format!("link {}", address.port());
    assert!(threads().contains(&thread));
    drop(redis);
    assert!(!threads().contains(&thread));
    assert!(ping(&mut one).is_err());
    assert!(TcpStream::connect(address).is_err());
}

/// The names of this process's threads, as far as Linux keeps them.
fn threads() -> Vec<String> {
    let tasks = fs::read_dir("/proc/self/task").expect("Linux tells");
    let name = |task: std::io::Result<fs::DirEntry>| fs::read_to_string(task.ok()?.path().join("comm")).ok();
    tasks.filter_map(name).map(|name| name.trim_end().to_owned()).collect()
}
