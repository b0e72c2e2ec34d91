//! A host that lost its network knows it in the very call that connects: there the ZooKeeper client spins
//! (docs/design/0002, Z4), and a monitor must neither freeze nor believe that it leads.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use redis_failover_lab::{Host, busy_threads, ensure_eq, eventually};

use crate::field::{Field, LISTEN, LONG, Spelling};
use crate::world::{DEADLINE, Group, SESSION, hold_for};
use crate::writer::{LOST_AT_MOST, Writer, assert_sound};

/// How long a test may take to see what happened in time: on a busy machine all threads wait for a processor.
const LENIENCE: Duration = Duration::from_millis(300);

/// Asks the monitor on this host whether it lives, and returns how long the answer took.
fn ping(host: &Host) -> Result<Duration, String> {
    let asked = Instant::now();
    let ask = || {
        let mut stream = TcpStream::connect(LISTEN)?;
        stream.set_read_timeout(Some(DEADLINE))?;
        stream.write_all(b"PING\r\n")?;
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).map(|_| line)
    };
    let line = host.run(ask).map_err(|error: std::io::Error| error.to_string())?;
    if line.starts_with("+PONG") { Ok(asked.elapsed()) } else { Err(line) }
}

/// What is done to the host of the leader.
type Deed = fn(&Field, &Host);

/// Has the leader's host lose its network (`harm`) and find it again (`mend`).
///
/// Meanwhile the master dies: the leader of before must not act on that, and another does.
fn a_leader_without_network(path: &str, spelling: Spelling, harm: Deed, mend: Deed) {
    let field = Field::new();
    field.play(path, spelling, |servers, mut group| {
        let writer = Writer::start(&servers, &group, "unreachable");
        let first = group.leader(&servers);
        let host = field.monitor(&first);
        let steps = group.steps_of(&first);
        let sessions = group.logged_by(&first, "session with ZooKeeper");

        harm(&field, host);
        let lost = Instant::now();
        eventually(DEADLINE, "the leader knows that it leads no more", || {
            ensure_eq(group.logged_by(&first, "event=\"-leader\"") > 0, true)
        });
        let noticed = lost.elapsed();
        assert!(noticed < SESSION * 6 / 10 + LENIENCE, "it believed for {noticed:?} that it leads");
        let second = eventually(DEADLINE, "another leads", || {
            let leader = group.leader(&servers);
            if leader == first { Err(leader) } else { Ok(leader) }
        });
        // Its lock is seen a moment before it says so.
        eventually(DEADLINE, "the next one says that it leads", || {
            ensure_eq(group.logged_by(&second, "event=\"+leader\"") > 0, true)
        });
        let gave_up = last_said(&group, &first, "event=\"-leader\"");
        let took_over = last_said(&group, &second, "event=\"+leader\"");
        assert!(gave_up < took_over, "two led at a time: {gave_up} and {took_over}");
        field.nodes[0].run(|| group.redis[0].kill());
        let master = group.await_successor(&servers, 0);
        writer.write_more();

        let share = busy_share(&group, &first, host);
        println!("{path}: the lead was given up after {noticed:?}; meanwhile {share:.2} of a processor");
        assert!(share < 0.25, "it spins");
        assert_eq!(group.steps_of(&first), steps, "nothing is begun in a term that is over");

        mend(&field, host);
        eventually(DEADLINE, "it has a session again, and its votes are seen", || {
            ensure_eq(group.logged_by(&first, "session with ZooKeeper") > sessions, true)?;
            let status = group.status(&servers)?;
            ensure_eq(status["nodes"][master]["votes"][&first].as_str(), Some("up")).map(drop)
        });
        field.nodes[0].run(|| group.redis[0].restart());
        group.await_steady(&servers, master);
        assert_eq!(group.status(&servers).expect("a status")["epoch"], 2);
        assert_sound(&writer.finish(&group.redis[master]), 1, LOST_AT_MOST);
    });
}

/// When a monitor last said `text`, by the machine's clock, which all of them share here.
fn last_said(group: &Group, id: &str, text: &str) -> String {
    let log = fs::read_to_string(group.monitors[id].log()).expect("a log");
    let line = log.lines().rfind(|line| line.contains(text)).expect("it was said");
    line.split_whitespace().next().expect("the time stands first").to_owned()
}

/// How much of a processor a monitor needs over some seconds, in which it answers all the time.
fn busy_share(group: &Group, id: &str, host: &Host) -> f64 {
    let (before, begun) = (group.monitors[id].busy(), Instant::now());
    let mut slowest = Duration::ZERO;
    hold_for(LONG, "it answers", || {
        slowest = slowest.max(ping(host)?);
        Ok(())
    });
    println!("it answered all the time, after {slowest:?} at most");
    assert!(slowest < Duration::from_secs(1), "it froze for {slowest:?}");
    (group.monitors[id].busy() - before).as_secs_f64() / begun.elapsed().as_secs_f64()
}

#[test]
fn a_leader_whose_routes_are_gone_knows_it_and_recovers() {
    let (harm, mend): (Deed, Deed) = (|_, host| host.lose_routes(), |_, host| host.regain_routes());
    a_leader_without_network("/redis/no-routes", Spelling::V4, harm, mend);
}

#[test]
fn a_leader_whose_interface_is_down_knows_it_and_recovers_with_long_addresses() {
    let (harm, mend): (Deed, Deed) = (|_, host| host.lower_interface(), |_, host| host.raise_interface());
    a_leader_without_network("/redis/no-interface", Spelling::V6, harm, mend);
}

#[test]
fn a_leader_without_a_route_to_zookeeper_alone_leaves_a_dying_master_to_the_next() {
    let harm: Deed = |field, host| host.lose_route_to(&field.zookeeper);
    let mend: Deed = |field, host| host.regain_route_to(&field.zookeeper);
    a_leader_without_network("/redis/no-zookeeper", Spelling::Name, harm, mend);
}

#[test]
fn an_application_without_a_route_to_zookeeper_goes_on_and_follows_again() {
    let field = Field::new();
    field.play("/redis/application", Spelling::V4, |servers, mut group| {
        let writer = Writer::start(&servers, &group, "application");
        field.application.lose_route_to(&field.zookeeper);
        hold_for(SESSION * 7 / 5, "the client has lost its session", || Ok(()));
        let (before, begun) = (busy_threads("zookeeper"), Instant::now());
        hold_for(LONG, "it has none for a while", || Ok(()));
        let share = (busy_threads("zookeeper") - before).as_secs_f64() / begun.elapsed().as_secs_f64();
        println!("without ZooKeeper the client's own thread needs {share:.2} of a processor");
        assert!(share < 0.25, "it spins");
        writer.write_more();
        field.application.regain_route_to(&field.zookeeper);
        field.nodes[0].run(|| group.redis[0].kill());
        let master = group.await_successor(&servers, 0);
        writer.write_more();
        assert_eq!(group.status(&servers).expect("a status")["epoch"], 2);
        let balance = writer.finish(&group.redis[master]);
        assert_sound(&balance, 1, LOST_AT_MOST);
    });
}

#[test]
fn a_master_that_one_monitor_has_no_route_to_stays_master() {
    let field = Field::new();
    field.play("/redis/one-blind", Spelling::V4, |servers, group| {
        let writer = Writer::start(&servers, &group, "blind");
        // The one that decides is the one that sees least.
        let blind = group.leader(&servers);
        field.monitor(&blind).lose_route_to(&field.nodes[0]);
        eventually(DEADLINE, "it finds the master silent, and the others do not", || {
            let status = group.status(&servers)?;
            let votes = status["nodes"][0]["votes"].as_object().ok_or("no votes")?;
            let against: Vec<_> =
                votes.iter().filter(|(_, vote)| *vote == "silent").map(|(id, _)| id).collect();
            ensure_eq(against, [&blind]).map(drop).map_err(|_| status.to_string())
        });
        hold_for(LONG, "one blind monitor changes no master", || {
            let status = group.status(&servers)?;
            ensure_eq(status["epoch"].as_u64(), Some(1))?;
            ensure_eq(status["nodes"][0]["ok"].as_bool(), Some(true)).map(drop)
        });
        writer.write_more();
        field.monitor(&blind).regain_route_to(&field.nodes[0]);
        group.await_steady(&servers, 0);
        assert_sound(&writer.finish(&group.redis[0]), 0, 0);
    });
}
