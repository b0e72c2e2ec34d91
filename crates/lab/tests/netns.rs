//! What the lab's network promises. It takes root, so these tests are run by `cargo xtask test --netns`.

mod inner;

use std::fs;
use std::io::ErrorKind;
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

use inner::{first_pid, inner_test, is_inner};
use redis_failover_lab::{Connection, Host, Network, Redis, Reply, ensure_eq, eventually};

const SOON: Duration = Duration::from_secs(10);

/// Two hosts, and a Redis server on the second.
fn two_hosts() -> (Host, Host, Redis) {
    let mut network = Network::new();
    let (caller, server) = (network.host("caller"), network.host("server"));
    let redis = server.run(|| Redis::builder().address(server.address().into()).start());
    (caller, server, redis)
}

/// How connecting to `address` fails on this host, and how long that took.
fn failure(host: &Host, address: SocketAddr) -> (ErrorKind, Duration) {
    let begun = Instant::now();
    let failed = host.run(|| TcpStream::connect_timeout(&address, Duration::from_millis(500)));
    (failed.expect_err("it cannot connect").kind(), begun.elapsed())
}

#[test]
fn hosts_reach_each_other_by_address_and_by_name_and_nobody_else_does() {
    let (caller, server, redis) = two_hosts();
    let address: SocketAddr = redis.addr().parse().unwrap();
    assert_eq!(address.ip(), server.address());
    assert_eq!(caller.run(|| redis.command(&["PING"])), Ok(Reply::Simple("PONG".into())));
    let resolved = caller.run(|| ("server", address.port()).to_socket_addrs().unwrap().next());
    assert_eq!(resolved, Some(address));
    assert!(("server", address.port()).to_socket_addrs().is_err(), "the machine's own names are as before");
    // Something else may answer to its address there.
    let outside = redis.command(&["PING"]);
    assert_ne!(outside, Ok(Reply::Simple("PONG".into())), "nothing leads in from the machine's own network");
}

#[test]
fn both_kinds_of_addresses_lead_there() {
    let mut network = Network::new();
    let (caller, server) = (network.host("caller"), network.host("server"));
    let redis = server.run(|| Redis::builder().address(server.address_v6().into()).start());
    assert_eq!(redis.addr(), format!("[{}]:{}", server.address_v6(), redis.port()));
    assert_eq!(caller.run(|| redis.role()), Ok("master".into()));
}

#[test]
fn packets_to_a_host_that_vanished_are_lost_and_arrive_when_it_reappears() {
    let (caller, server, redis) = two_hosts();
    let address: SocketAddr = redis.addr().parse().unwrap();
    let mut open = caller.run(|| Connection::open(address)).unwrap();
    server.vanish();
    assert_eq!(open.command(&["SET", "key", "value"]), Err("no answer within 1s".into()));
    let (kind, time) = failure(&caller, address);
    assert_eq!(kind, ErrorKind::TimedOut);
    assert!(time >= Duration::from_millis(500), "nobody says no: {time:?}");
    assert_eq!(server.run(|| redis.get("key")), Ok(None), "it is well, and on its own");
    server.reappear();
    eventually(SOON, "the command is sent again", || match caller.run(|| redis.get("key"))? {
        Some(value) => Ok(value),
        None => Err("it has not arrived".to_owned()),
    });
}

#[test]
fn a_host_without_interface_or_routes_fails_at_once_and_recovers() {
    let (caller, _server, redis) = two_hosts();
    let address: SocketAddr = redis.addr().parse().unwrap();
    let faults: [(fn(&Host), fn(&Host)); 2] =
        [(Host::lower_interface, Host::raise_interface), (Host::lose_routes, Host::regain_routes)];
    for (harm, mend) in faults {
        harm(&caller);
        let (kind, time) = failure(&caller, address);
        assert_eq!(kind, ErrorKind::NetworkUnreachable);
        assert!(time < Duration::from_millis(100), "in the very call: {time:?}");
        mend(&caller);
        eventually(SOON, "it is reached again", || caller.run(|| redis.role()));
    }
}

#[test]
fn a_route_to_one_host_is_lost_alone() {
    let (caller, server, redis) = two_hosts();
    let own = caller.run(|| Redis::builder().address(caller.address().into()).start());
    let address: SocketAddr = redis.addr().parse().unwrap();
    caller.lose_route_to(&server);
    assert_eq!(failure(&caller, address).0, ErrorKind::HostUnreachable);
    assert_eq!(caller.run(|| own.role()), Ok("master".into()));
    caller.regain_route_to(&server);
    eventually(SOON, "it is reached again", || caller.run(|| redis.role()));
}

#[test]
fn the_machines_own_network_stays_as_it_is() {
    let own = || {
        let read = |name| fs::read_to_string(format!("/proc/self/net/{name}")).unwrap();
        let interfaces: Vec<_> =
            read("dev").lines().skip(2).filter_map(|line| Some(line.split_once(':')?.0.to_owned())).collect();
        (interfaces, read("route"))
    };
    let before = own();
    let (caller, _server, _redis) = two_hosts();
    let namespace = || fs::read_link("/proc/thread-self/ns/net").unwrap();
    assert_ne!(caller.run(namespace), namespace());
    assert_eq!(own(), before);
}

#[test]
fn nothing_is_left_of_a_test_that_is_killed() {
    if is_inner() {
        let (_caller, _server, mut redis) = two_hosts();
        println!("\npid={}", redis.process().pid());
        eventually(SOON, "the outer test kills this one", || Err::<(), _>("not yet"));
    }
    let directory = tempfile::tempdir().unwrap();
    let mut inner = inner_test("nothing_is_left_of_a_test_that_is_killed", directory.path());
    let server = eventually(SOON, "the server's process id", || first_pid(inner.log()));
    let namespace = fs::read_link(format!("/proc/{server}/ns/net")).unwrap();
    assert_ne!(namespace, fs::read_link("/proc/thread-self/ns/net").unwrap());
    inner.kill();
    // It has no name by which it could be held: without processes there is none.
    eventually(SOON, "nobody is in the namespace", || {
        let processes = fs::read_dir("/proc").unwrap().flatten();
        let inside =
            processes.filter(|it| fs::read_link(it.path().join("ns/net")).is_ok_and(|it| it == namespace));
        ensure_eq(inside.count(), 0)
    });
}
