//! Each finding, provoked by what it takes and by nothing else, on facts written by hand. No server runs here.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use redis_failover_core::{
    Discover, Epoch, Fencing, Member, NodeAddr, OnDivergence, Orders, Policy, Topology,
};
use redis_failover_store::Examination;

use super::facts::{Facts, MonitorFacts, NodeFacts, Right};
use super::finding::{Finding, Name, Severity};
use super::judge::judge;
use super::page;
use crate::cli::expect::assert_typed;
use crate::info::Info;

fn node(name: &str) -> NodeAddr {
    NodeAddr::new(name, 6379)
}

/// What a node that nothing is wrong with says.
fn told(is_master: bool) -> NodeFacts {
    let role = if is_master { "role:master" } else { "role:slave\r\nmaster_link_status:up" };
    let info = format!(
        "redis_version:7.0.15\r\nconfig_file:/etc/redis.conf\r\n{role}\r\nmaster_host:a\r\nmaster_port:6379\r\n\
         master_sync_in_progress:0\r\ncluster_enabled:0\r\nused_memory:4000000000\r\nconnected_clients:10\r\n"
    );
    let settings = [
        ("appendonly", "yes"),
        ("busy-reply-threshold", "500"),
        ("client-output-buffer-limit", "normal 0 0 0 slave 268435456 67108864 60 pubsub 33554432 8388608 60"),
        ("enable-protected-configs", "yes"),
        ("masteruser", ""),
        ("maxclients", "10000"),
        ("maxmemory", "8000000000"),
        ("min-replicas-max-lag", "2"),
        ("min-replicas-to-write", "1"),
        ("repl-backlog-size", "1048576"),
        ("repl-backlog-ttl", "0"),
        ("replica-priority", "100"),
        ("replica-read-only", "yes"),
        ("replica-serve-stale-data", "yes"),
        ("save", ""),
        ("timeout", "0"),
    ];
    NodeFacts {
        info: Info::parse(&info),
        settings: settings.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
        requires: Some("secret".into()),
        gives: Some("secret".into()),
        ahead: Some((-3, 4)),
        written: is_master.then_some((10_000, Duration::from_secs(1))),
        ..NodeFacts::default()
    }
}

/// A group with which nothing is wrong: three of everything, each on a machine of its own.
fn sound() -> Facts {
    let names = ["a", "b", "c"];
    let monitors = ["m1", "m2", "m3"];
    let zookeepers = ["zk1", "zk2", "zk3"].map(str::to_owned);
    let hosts = names.into_iter().chain(["zk1", "zk2", "zk3", "m1", "m2", "m3"]).zip(1..);
    let address = |number: u8| BTreeSet::from([IpAddr::from([10, 0, 0, number])]);
    Facts {
        place: crate::cli::status::tests::place(),
        record: Topology {
            members: names.map(|name| Member { addr: node(name), ok: true }).into(),
            monitors: monitors.map(|id| id.parse().expect("an id")).into(),
            fenced: true,
            ..Topology::new(Epoch(7), node("a"), Policy::default())
        },
        alive: monitors
            .map(|id| {
                (
                    id.parse().expect("an id"),
                    MonitorFacts {
                        address: Some(format!("{id}:8080")),
                        version: Some("0.1.0".to_owned()),
                        ahead: Some(3),
                    },
                )
            })
            .into(),
        leads: true,
        examination: Examination {
            asked: Duration::from_secs(6),
            negotiated: Duration::from_secs(6),
            voters: Some(zookeepers.to_vec()),
            open: Vec::new(),
        },
        listed: zookeepers.to_vec(),
        is_somebody: true,
        addresses: hosts.map(|(host, number)| (host.to_owned(), address(number))).collect(),
        redis_user: "ops".to_owned(),
        nodes: names.map(|name| (node(name), Ok(told(name == "a")))).into(),
        outage: Duration::from_mins(1),
    }
}

impl Facts {
    fn monitor(&mut self, id: &str) -> &mut MonitorFacts {
        self.alive.get_mut(&id.parse().expect("an id")).expect("it is alive")
    }

    fn of(&mut self, name: &str) -> &mut NodeFacts {
        self.nodes.get_mut(&node(name)).expect("a node").as_mut().expect("it said something")
    }

    fn set(&mut self, name: &str, setting: &str, value: &str) {
        self.of(name).settings.insert(setting.to_owned(), value.to_owned());
    }

    fn say(&mut self, name: &str, from: &str, to: &str) {
        let text = self.of(name).info.fields().map(|(name, value)| format!("{name}:{value}\r\n"));
        let text: String = text.collect();
        assert!(text.contains(from), "{text}");
        self.of(name).info = Info::parse(&text.replace(from, to));
    }

    fn policy(&mut self, change: impl Fn(Policy) -> Policy) {
        self.record.policy = change(self.record.policy.clone());
    }

    fn quorum(&mut self, quorum: u32) {
        let (second, tenths) = (Duration::from_secs(1), Duration::from_millis(200));
        self.record.policy = Policy::new(Some(quorum), second, tenths).expect("valid");
    }

    fn moves(&mut self, host: &str, to: [u8; 4]) {
        self.addresses.insert(host.to_owned(), [IpAddr::from(to)].into());
    }

    fn only_nodes(&mut self, names: &[&str]) {
        self.record.members.retain(|member| names.contains(&member.addr.host()));
        self.nodes.retain(|node, _| names.contains(&node.host()));
    }

    fn only_zookeepers(&mut self, count: usize) {
        self.listed.truncate(count);
        self.examination.voters.as_mut().expect("they are known").truncate(count);
    }
}

type Wrong = fn(&mut Facts);

use Severity::{Error, Note, Warning};

/// What is wrong, what is found of it, how heavy, and what is said of it.
const WRONGS: &[(Wrong, Name, Severity, &str)] = &[
    (|it| it.leads = false, Name::NoLeader, Error, "no monitor leads"),
    (
        |it| drop(it.alive.pop_first()),
        Name::MonitorsGone,
        Warning,
        "2 of 3 registered monitors are alive; gone: m1",
    ),
    (
        |it| it.alive.retain(|id, _| id.to_string() == "m3"),
        Name::MonitorsGone,
        Error,
        "1 of 3 registered monitors are alive; gone: m1, m2",
    ),
    (
        |it| {
            it.record.monitors.pop_first();
            it.alive.pop_first();
        },
        Name::NoSpareMonitor,
        Warning,
        "2 monitors are registered, and all 2 must agree",
    ),
    (
        |it| it.quorum(1),
        Name::QuorumTooSmall,
        Warning,
        "the quorum is set to 1, and 3 monitors are registered",
    ),
    (
        |it| it.quorum(4),
        Name::QuorumOutOfReach,
        Error,
        "the quorum is set to 4, and 3 monitors are registered",
    ),
    (|it| it.quorum(3), Name::NoSpareMonitor, Warning, "all 3 must agree"),
    (|it| it.monitor("m1").address = None, Name::MonitorsNotAsked, Note, "whether they live: m1"),
    (
        |it| it.monitor("m2").version = Some("0.2.0".to_owned()),
        Name::MonitorVersionsDiffer,
        Note,
        "of several versions: m1: 0.1.0, m2: 0.2.0, m3: 0.1.0",
    ),
    (
        |it| it.monitor("m3").ahead = Some(-3000),
        Name::MonitorClocksDiffer,
        Warning,
        "the clock of m2 is 3003 ms ahead of that of m3",
    ),
    (|it| it.only_zookeepers(1), Name::ZookeeperSingle, Warning, "ZooKeeper is one server: zk1"),
    (|it| it.only_zookeepers(2), Name::ZookeeperEven, Warning, "2 ZooKeeper servers vote: zk1, zk2"),
    (|it| it.listed.truncate(2), Name::ZookeeperListedPartly, Note, "-z names 2 of 3"),
    (
        |it| {
            it.moves("zk1", [10, 0, 0, 1]);
            it.moves("zk2", [10, 0, 0, 1]);
        },
        Name::ZookeeperBesideRedis,
        Warning,
        "a, zk1, zk2 carries 2 of 3 ZooKeeper servers, and a:6379",
    ),
    (
        |it| {
            it.moves("zk2", [10, 0, 0, 7]);
            it.moves("zk3", [10, 0, 0, 7]);
        },
        Name::ZookeeperBesideRedis,
        Warning,
        "m1, zk2, zk3 carries 2 of 3 ZooKeeper servers, and m1",
    ),
    (
        |it| it.examination.negotiated = Duration::from_secs(40),
        Name::SessionTimeoutChanged,
        Warning,
        "6s was asked for, and ZooKeeper granted 40s",
    ),
    (
        |it| it.examination.open = ["a", "b", "c", "d"].map(|name| format!("/redis/{name}")).to_vec(),
        Name::ZnodesOpen,
        Warning,
        "everybody may change /redis/a, /redis/b, /redis/c and 1 more znodes",
    ),
    (
        |it| {
            it.is_somebody = false;
            it.examination.open = vec!["/redis/orders".to_owned()];
        },
        Name::ZnodesOpen,
        Note,
        "everybody may change /redis/orders",
    ),
    (|it| it.moves("b", [127, 0, 0, 1]), Name::LoopbackAddresses, Note, "b:6379"),
    (
        |it| ["b", "c"].iter().for_each(|host| it.moves(host, [10, 0, 0, 1])),
        Name::NodesOnOneHost,
        Warning,
        "all 3 nodes are on one machine: a:6379, b:6379, c:6379",
    ),
    (
        |it| drop(it.nodes.insert(node("b"), Err("connection refused".to_owned()))),
        Name::NodeUnreachable,
        Error,
        "b:6379: connection refused",
    ),
    (
        |it| it.of("b").unread.push(("its settings", "NOPERM".to_owned())),
        Name::NotChecked,
        Note,
        "b:6379: its settings could not be read: NOPERM",
    ),
    (
        |it| {
            it.policy(|policy| policy.with_fencing(Fencing::Off));
            it.set("a", "min-replicas-to-write", "0");
            it.only_nodes(&["a"]);
        },
        Name::SingleNode,
        Warning,
        "a:6379 is the only node",
    ),
    (
        |it| ["b", "c"].iter().for_each(|name| it.set(name, "replica-priority", "0")),
        Name::NobodyMayTakeOver,
        Error,
        "c:6379 has replica-priority 0",
    ),
    (
        |it| {
            it.policy(|policy| policy.with_discover(Discover::Watch));
            it.record.discovered = ["b", "c"].map(node).into();
        },
        Name::NobodyMayTakeOver,
        Error,
        "b:6379 is only watched",
    ),
    (
        |it| {
            let orders = |drained, priority| Orders { drained, priority, zone: None };
            let said = [(node("b"), orders(true, None)), (node("c"), orders(false, Some(0)))];
            it.record.orders = said.into();
        },
        Name::NobodyMayTakeOver,
        Error,
        "b:6379 is drained\nc:6379 is never to lead",
    ),
    (
        |it| it.say("c", "cluster_enabled:0", "cluster_enabled:1"),
        Name::ClusterMode,
        Error,
        "c:6379 is in cluster mode",
    ),
    (
        |it| it.say("b", "link_status:up", "link_status:down"),
        Name::NotFollowing,
        Error,
        "b:6379 has lost a:6379",
    ),
    (
        |it| it.say("b", "role:slave", "role:master"),
        Name::NotFollowing,
        Error,
        "b:6379 says that it is a master",
    ),
    (|it| it.of("b").gives = None, Name::MasterauthMissing, Error, "b:6379 has no masterauth"),
    (|it| it.of("a").gives = None, Name::MasterauthMissing, Warning, "for a password: b:6379, c:6379"),
    (|it| it.of("c").gives = Some("other".into()), Name::MasterauthWrong, Error, "the masterauth of c:6379"),
    (
        |it| it.set("b", "replica-read-only", "no"),
        Name::ReplicaWritable,
        Warning,
        "b:6379 has replica-read-only no",
    ),
    (|it| it.say("b", ":7.0.15", ":7.0.11"), Name::VersionsDiffer, Note, "b:6379: Redis 7.0.11"),
    (|it| it.of("c").ahead = Some((1001, 1900)), Name::ClockDiffers, Warning, "c:6379 is 1001 ms ahead"),
    (|it| it.of("c").ahead = Some((-9000, -2000)), Name::ClockDiffers, Warning, "c:6379 is 2000 ms behind"),
    (
        |it| it.of("a").written = Some((40_000, Duration::from_secs(2))),
        Name::BacklogTooSmall,
        Warning,
        "b:6379 keeps 1.0 MiB (repl-backlog-size), which is 52 s of what is written: 19.5 KiB a second, counted for \
         2.0 s; 60 s need 1.1 MiB",
    ),
    (
        |it| it.set("a", "repl-backlog-ttl", "3600"),
        Name::BacklogExpires,
        Warning,
        "a:6379 has repl-backlog-ttl 3600",
    ),
    (
        |it| it.set("a", "client-output-buffer-limit", "normal 0 0 0 replica 300000 0 0"),
        Name::OutputBufferSmall,
        Warning,
        "a:6379 drops a replica that is 292.9 KiB behind (client-output-buffer-limit); a full copy of 3.7 GiB takes",
    ),
    (|it| it.set("c", "appendonly", "no"), Name::NoPersistence, Warning, "c:6379 keeps nothing on its disk"),
    (|it| it.say("c", ":/etc/redis.conf", ":"), Name::NoConfigFile, Note, "c:6379 was started without"),
    (
        |it| it.set("a", "min-replicas-to-write", "1000000"),
        Name::MasterClosed,
        Error,
        "a:6379 has min-replicas-to-write",
    ),
    (
        |it| it.set("a", "min-replicas-to-write", "2"),
        Name::MinReplicasWithoutSpare,
        Warning,
        "only with 2 replicas (min-replicas-to-write), of 2",
    ),
    (
        |it| it.set("a", "min-replicas-to-write", "3"),
        Name::MinReplicasWithoutSpare,
        Error,
        "only with 3 replicas (min-replicas-to-write), of 2",
    ),
    (|it| it.set("a", "min-replicas-max-lag", "0"), Name::MinReplicasOff, Warning, "min-replicas-max-lag 0"),
    (|it| it.policy(|policy| policy.with_fencing(Fencing::Off)), Name::FencingOff, Note, "fencing off"),
    (
        |it| it.set("b", "maxmemory", "5000000000"),
        Name::MaxmemorySmaller,
        Warning,
        "b:6379 is 4.6 GiB, the master's is 7.4",
    ),
    (|it| it.set("b", "maxmemory", "3000000000"), Name::MaxmemorySmaller, Error, "and it uses 3.7 GiB"),
    (
        |it| it.set("b", "maxclients", "11"),
        Name::ClientsNearLimit,
        Warning,
        "10 clients are connected to b:6379, 11 may be",
    ),
    (|it| it.set("b", "replica-serve-stale-data", "no"), Name::StaleReadsRefused, Note, "b:6379"),
    (
        |it| it.set("b", "timeout", "300"),
        Name::TimeoutSet,
        Note,
        "b:6379 ends connections that are idle for 300 s",
    ),
    (
        |it| it.set("b", "busy-reply-threshold", "5000"),
        Name::BusyAfterDown,
        Note,
        "b:6379 says BUSY after 5000 ms",
    ),
    (
        |it| it.of("b").refused = [Right("client|kill"), Right("config|set")].into(),
        Name::RightsMissing,
        Warning,
        "on b:6379 user ops may not run client|kill, config|set",
    ),
    (
        |it| it.of("b").refused = [Right("replicaof")].into(),
        Name::RightsMissing,
        Error,
        "ops may not run replicaof",
    ),
    (
        |it| it.of("b").unknown = [Right("config|set")].into(),
        Name::CommandMissing,
        Warning,
        "b:6379 does not know config|set",
    ),
    (
        |it| {
            it.policy(|policy| policy.with_on_divergence(OnDivergence::Save));
            it.set("b", "enable-protected-configs", "no");
        },
        Name::SnapshotNameProtected,
        Warning,
        "b:6379 has enable-protected-configs no",
    ),
];

#[test]
fn with_a_sound_group_nothing_is_found() {
    assert_eq!(judge(&sound()), []);
}

#[test]
fn each_wrong_is_found_alone() {
    let missed = WRONGS.iter().filter_map(|(wrong, name, severity, text)| {
        let mut facts = sound();
        wrong(&mut facts);
        let findings = judge(&facts);
        let is_it = |finding: &Finding| {
            let advises = !finding.why.is_empty() && !finding.fix.is_empty();
            let says = finding.found.join("\n").contains(text);
            assert_typed(finding.fix.iter().filter(|fix| !fix.contains('…')));
            (finding.name, finding.severity) == (*name, *severity) && says && advises
        };
        let alone = findings.len() == 1 && findings.iter().all(is_it);
        (!alone).then(|| format!("{severity} {name:?} `{text}`: {findings:#?}"))
    });
    let missed: Vec<_> = missed.collect();
    assert!(missed.is_empty(), "{}", missed.join("\n"));
}

#[test]
fn what_bars_a_node_is_lifted_by_what_set_it() {
    let mut facts = sound();
    facts.set("b", "replica-priority", "0");
    facts.record.orders.insert(node("c"), Orders { drained: true, ..Orders::default() });
    let fixes = judge(&facts).into_iter().flat_map(|finding| finding.fix).collect::<Vec<_>>();
    let undo = "redis-failover node drain --undo -z zk1:2181,zk2:2181,zk3:2181 -p /redis/orders c:6379";
    assert_eq!(fixes.len(), 2, "{fixes:?}");
    assert!(fixes[0].starts_with("redis-cli -h b -p 6379 CONFIG SET replica-priority 100"), "{fixes:?}");
    assert_eq!(fixes[1], undo);
}

#[test]
fn what_a_group_was_begun_with_is_changed_by_a_command_on_the_group() {
    let advised = |wrong: Wrong| {
        let mut facts = sound();
        wrong(&mut facts);
        judge(&facts).into_iter().flat_map(|finding| finding.fix).next_back().unwrap_or_default()
    };
    let set = |wish: &str| {
        format!("redis-failover config set -z zk1:2181,zk2:2181,zk3:2181 -p /redis/orders {wish}")
    };
    assert_eq!(advised(|it| it.quorum(1)), set("quorum=majority"));
    assert_eq!(advised(|it| it.quorum(4)), set("quorum=majority"));
    assert_eq!(advised(|it| it.policy(|policy| policy.with_fencing(Fencing::Off))), set("fencing=replicas"));
}

#[test]
fn a_replica_that_is_older_is_also_of_another_version_and_a_newer_one_only_that() {
    let names = |facts: &Facts| judge(facts).iter().map(|finding| finding.name).collect::<Vec<_>>();
    let mut facts = sound();
    facts.say("b", ":7.0.15", ":6.2.14");
    assert_eq!(names(&facts), [Name::ReplicaOlder, Name::VersionsDiffer]);
    let mut newer = sound();
    newer.say("b", ":7.0.15", ":7.2.1");
    assert_eq!(names(&newer), [Name::VersionsDiffer], "a newer one reads what an older writes");
}

#[test]
fn there_is_a_wrong_for_every_finding() {
    let provoked: BTreeSet<_> = WRONGS.iter().map(|wrong| wrong.1).collect();
    // That one never comes alone.
    let is_missing = |name: &&Name| !provoked.contains(name) && **name != Name::ReplicaOlder;
    let missing: Vec<_> = Name::ALL.iter().filter(is_missing).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn what_was_not_said_is_not_found() {
    let mut facts = sound();
    for name in ["a", "b", "c"] {
        *facts.of(name) = NodeFacts::default();
    }
    (facts.examination.voters, facts.listed) = (None, vec!["zk".to_owned()]);
    facts.addresses.insert("zk".to_owned(), [1, 2, 3].map(|it| IpAddr::from([10, 0, 1, it])).into());
    assert_eq!(judge(&facts), [], "one name stands for three servers");
}

#[test]
fn what_zookeeper_carries_alone_bites_nobody_else() {
    let mut facts = sound();
    facts.moves("zk2", [10, 0, 0, 4]);
    assert_eq!(judge(&facts), [], "two of its servers on a machine that carries nothing of the group");
    let mut facts = sound();
    facts.moves("zk1", [10, 0, 0, 1]);
    facts.moves("zk2", [10, 0, 0, 2]);
    assert_eq!(judge(&facts), [], "whichever of the two machines is lost, two of three servers are left");
}

/// What is printed, of a group with one of each weight.
fn told_of() -> (Facts, Vec<Finding>) {
    let mut facts = sound();
    facts.of("b").refused = [Right("client|kill"), Right("replicaof")].into();
    facts.set("a", "repl-backlog-ttl", "3600");
    facts.set("b", "timeout", "300");
    facts.set("c", "timeout", "60");
    let findings = judge(&facts);
    (facts, findings)
}

#[test]
fn findings_are_shown_the_heaviest_first_with_what_to_do() {
    let (facts, findings) = told_of();
    let expected = "\
group    /redis/orders
master   a:6379, epoch 7
looked   at 3 of 3 nodes, 3 of 3 monitors are alive
found    1 error, 1 warning, 1 note

error    rights-missing
  found  on b:6379 user ops may not run client|kill, replicaof
  why    the monitors can't watch the node, or can't make it follow or lead: it takes part in no failover; a
         command of a deposed leader that arrives late is still carried out, and a demoted master keeps its
         clients
  do     redis-cli -h b -p 6379 ACL SETUSER ops '+client|kill' '+replicaof'   # and in its aclfile or configuration file

warning  backlog-expires
  found  the master a:6379 has repl-backlog-ttl 3600
  why    without replicas for 3600 s it forgets its backlog and begins another history: each replica then
         needs a full copy
  do     redis-cli -h a -p 6379 CONFIG SET repl-backlog-ttl 0   # and `repl-backlog-ttl 0` in its configuration file

note     timeout-set
  found  b:6379 ends connections that are idle for 300 s (timeout)
         c:6379 ends connections that are idle for 60 s (timeout)
  why    the leader's connections, over which it commands, are idle in a quiet group: each is opened and
         confirmed anew when it is needed, and so are the clients'
  do     redis-cli -h b -p 6379 CONFIG SET timeout 0   # and `timeout 0` in its configuration file
         redis-cli -h c -p 6379 CONFIG SET timeout 0   # and `timeout 0` in its configuration file
";
    assert_eq!(page::as_text(&facts, &findings), expected);
}

#[test]
fn a_group_of_which_nothing_is_found_says_where_it_was_looked() {
    let expected = "\
group    /redis/orders
master   a:6379, epoch 7
looked   at 3 of 3 nodes, 3 of 3 monitors are alive
found    0 errors, 0 warnings, 0 notes
";
    assert_eq!(page::as_text(&sound(), &[]), expected);
}

#[test]
fn findings_are_one_object_for_programs() {
    let (facts, findings) = told_of();
    let read = page::as_json(&facts, &findings);
    assert_eq!(
        (&read["group"], &read["epoch"], &read["master"]),
        (&"/redis/orders".into(), &7.into(), &"a:6379".into())
    );
    let second = serde_json::json!({
        "name": "backlog-expires",
        "severity": "warning",
        "found": ["the master a:6379 has repl-backlog-ttl 3600"],
        "why": "without replicas for 3600 s it forgets its backlog and begins another history: each replica then needs \
                a full copy",
        "do": [
            "redis-cli -h a -p 6379 CONFIG SET repl-backlog-ttl 0   # \
             and `repl-backlog-ttl 0` in its configuration file"
        ],
    });
    assert_eq!(read["findings"][1], second);
}

#[test]
fn the_documentation_has_a_heading_for_every_finding_and_for_no_other() {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reference/doctor.md");
    let page = std::fs::read_to_string(page).expect("the page");
    let headings = page.lines().filter_map(|line| line.strip_prefix("### `")?.strip_suffix('`'));
    let headings: BTreeSet<_> = headings.collect();
    let names: BTreeSet<_> = Name::ALL.iter().map(|name| name.word()).collect();
    assert_eq!(headings, names);
}
