//! What is shown of groups whose record and reports are written by hand: each state, provoked by what it takes. No
//! server runs here.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use redis_failover_core::{
    Change, Discover, Divergence, Dropped, Epoch, Found, Intent, Keeping, Member, NodeAddr, Orders, Pause,
    Phase, Policy, Reason, ReplId, Report, RunId, Term, Topology, Version, Versioned, Vote, Wait,
};
use redis_failover_store::{Leader, wire};
use serde_json::Value;

use super::*;
use crate::cli::expect::{assert_kept, assert_typed};

const PATH: &str = "/redis/orders";

/// Where the groups of tests are.
pub(in crate::cli) fn place() -> Place {
    Place::new(&"zk1,zk2,zk3".parse().expect("servers"), &PATH.parse().expect("a path"))
}

fn node(name: &str) -> NodeAddr {
    NodeAddr::new(name, 6379)
}

/// 2026-01-31T13:05:01.106Z.
fn now() -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(1_769_864_701_106)
}

/// What is shown, before a test makes something of it.
#[derive(Clone, Debug)]
struct Group {
    record: Topology,
    snapshot: Snapshot,
}

/// A group with which nothing is wrong.
fn sound() -> Group {
    let (names, ids) = (["a", "b", "c"], ["m1", "m2", "m3"]);
    let report = |id: &str| Report {
        monitor: id.parse().expect("an id"),
        address: Some(format!("{id}.example.com:8080")),
        remembers: Some(Epoch(7)),
        votes: names.map(|name| (node(name), (Vote::Up, Duration::from_mins(1)))).into(),
        lead: None,
        waits: BTreeMap::new(),
        attends: [].into(),
        lags: [].into(),
        version: Some("1.2.3".to_owned()),
        sentinel: None,
        clock: None,
    };
    let record = Topology {
        members: names.map(|name| Member { addr: node(name), ok: true }).into(),
        monitors: ids.map(|id| id.parse().expect("an id")).into(),
        fenced: true,
        ..Topology::new(Epoch(7), node("a"), Policy::default())
    };
    let leader = Leader {
        monitor: "m1".to_owned(),
        address: Some("m1.example.com:8080".to_owned()),
        life: None,
        term: Term(9),
    };
    let lags = [(node("b"), 0), (node("c"), 1_048_576)].into();
    let leads = |id: &str| Report { lags, ..report(id) };
    let reports = [leads("m1"), report("m2"), report("m3")];
    let snapshot = Snapshot {
        record: Ok(Versioned { version: version(), found: Found::Nothing }),
        reports: reports.map(|report| (report.monitor.clone(), report)).into(),
        since: BTreeMap::new(),
        ahead: BTreeMap::new(),
        leader: Some(leader),
        predecessors: Vec::new(),
    };
    Group { record, snapshot }
}

fn version() -> Version {
    Version { order: 77, ..Version::default() }
}

impl Group {
    fn look(&self) -> Seen {
        let found = Found::Record(Box::new(self.record.clone()));
        let record = Ok(Versioned { version: version(), found });
        View::of(&place(), &Snapshot { record, ..self.snapshot.clone() }, now())
    }

    fn view(&self) -> View {
        self.look().expect("it has a record")
    }

    fn report(&mut self, id: &str) -> &mut Report {
        self.snapshot.reports.get_mut(&id.parse().expect("an id")).expect("its report")
    }

    fn vote(&mut self, id: &str, name: &str, vote: Vote) {
        self.report(id).votes.insert(node(name), (vote, Duration::from_millis(3)));
    }

    fn member(&mut self, name: &str) -> &mut Member {
        self.record.members.iter_mut().find(|member| member.addr == node(name)).expect("a member")
    }

    fn diverged(&mut self, name: &str, keeping: Keeping) {
        let (run, left) = (RunId("run".to_owned()), Some(Epoch(6)));
        self.record.diverged.insert(node(name), Divergence { run, left, bytes: Some(89), keeping });
    }

    fn waits(&mut self, name: &str, why: &str) {
        let wait = Wait { why: why.to_owned(), keys: Some(12), saved: Some(1_769_864_700) };
        self.report("m1").waits.insert(node(name), wait);
    }

    fn quorum(&mut self, quorum: u32) {
        let (second, tenths) = (Duration::from_secs(1), Duration::from_millis(200));
        self.record.policy = Policy::new(Some(quorum), second, tenths).expect("valid");
    }

    fn order(&mut self, name: &str, orders: Orders) {
        self.record.orders.insert(node(name), orders);
    }

    fn dropped(&mut self, why: Dropped) {
        self.waits("b", &why.to_string());
    }

    fn paused(&mut self, withheld: Option<Reason>) {
        self.record.pause = Some(Pause {
            by: "alice@desk".to_owned(),
            reason: "new switches in rack 2".to_owned(),
            lasts: Some(Duration::from_mins(30)),
            since: Some(1_769_864_700_000),
            withheld,
        });
    }

    fn failing_over(&mut self) {
        let intent = Intent {
            node: node("b"),
            run: RunId("run".to_owned()),
            replid: ReplId("id".to_owned()),
            offset: 210,
        };
        let change = Change { reason: Reason::Refused, votes: BTreeMap::new(), intent, opening: None };
        self.record.phase = Phase::FailingOver(change);
        self.member("a").ok = false;
    }

    fn silence(&mut self, id: &str) {
        self.snapshot.reports.remove(&id.parse().expect("an id"));
        if self.snapshot.leader.as_ref().is_some_and(|leader| leader.monitor == id) {
            self.snapshot.leader = None;
        }
    }
}

/// What a look shows that is no record.
fn instead(found: Result<Found, wire::Unreadable>) -> Absence {
    let record = found.map(|found| Versioned { version: version(), found });
    let snapshot = Snapshot { record, leader: None, reports: BTreeMap::new(), ..sound().snapshot };
    View::of(&place(), &snapshot, now()).expect_err("it has no record")
}

fn unreadable() -> wire::Unreadable {
    wire::read(PATH, Some(b"what?"), None).expect_err("it is none")
}

fn no_zookeeper() -> Absence {
    Absence::no_zookeeper(super::unreachable(StoreError::NoAnswer(LIMIT)))
}

/// What makes `state` show. There is no other way to a state than to say it here.
fn provoked(state: State) -> BTreeSet<State> {
    let only = |absence: Absence| BTreeSet::from([absence.state]);
    let mut group = sound();
    match state {
        State::NothingPublished => return only(instead(Ok(Found::Nothing))),
        State::PredecessorDocument => {
            let master = Member { addr: node("a"), ok: true };
            return only(instead(Ok(Found::Predecessor { master, replicas: Vec::new() })));
        }
        State::Unreadable => return only(instead(Err(unreadable()))),
        State::NoZooKeeper => return only(no_zookeeper()),
        // A sound group shows these.
        State::Steady
        | State::Master
        | State::Replica
        | State::Ok
        | State::Up
        | State::Leader
        | State::Standby => {}
        State::FailingOver => group.failing_over(),
        State::Ko => group.member("c").ok = false,
        State::Refused => group.vote("m2", "c", Vote::Refused),
        State::Silent => group.vote("m2", "c", Vote::Silent),
        State::Unusable => group.vote("m2", "c", Vote::Unusable),
        State::Unknown => group.vote("m2", "c", Vote::Unknown),
        State::Priority => group.order("c", Orders { priority: Some(10), ..Orders::default() }),
        State::Discovered => _ = group.record.discovered.insert(node("c")),
        State::Discarded => group.diverged("c", Keeping::Discarded),
        State::Due => group.diverged("c", Keeping::Due { file: "kept.rdb".to_owned() }),
        State::Saved => group.diverged("c", Keeping::Saved { file: "/data/kept.rdb".to_owned() }),
        State::Held => {
            let (file, why) = ("kept.rdb".to_owned(), "the disk is full".to_owned());
            group.diverged("c", Keeping::Held { file, why });
        }
        State::NotAnswering | State::NobodyMayTakeOver => group.dropped(Dropped::NotFrozen),
        State::NotAsked => group.dropped(Dropped::NotAsked),
        State::OutOfUse => group.dropped(Dropped::Unusable),
        State::OutOfReach => group.dropped(Dropped::OutOfReach),
        State::PriorityZero => group.dropped(Dropped::PriorityZero),
        State::Drained => group.dropped(Dropped::Drained),
        State::OnlyWatched => group.dropped(Dropped::OnlyWatched),
        State::HalfSynced => group.dropped(Dropped::HalfSynced),
        State::Empty => group.dropped(Dropped::Empty),
        State::Restarted => group.dropped(Dropped::Restarted),
        State::Behind => group.dropped(Dropped::Behind),
        State::LeftBehind => group.dropped(Dropped::LeftBehind),
        State::UnknownHistory => group.dropped(Dropped::UnknownHistory),
        State::OtherReason => group.waits("b", "a reason of the next version"),
        State::Gone => group.silence("m3"),
        State::Paused => group.paused(None),
        State::Withheld => group.paused(Some(Reason::Refused)),
        State::NoQuorum => ["m2", "m3"].into_iter().for_each(|id| group.silence(id)),
        State::NoLeader => group.snapshot.leader = None,
        State::PredecessorAlive => {
            group.snapshot.leader = None;
            group.snapshot.predecessors.push("/_zk/lock-7".to_owned());
        }
        State::RecordOlder => group.report("m2").remembers = Some(Epoch(8)),
        State::MasterDown => group.vote("m2", "a", Vote::Silent),
    }
    group.view().states()
}

#[test]
fn each_state_shows_where_something_provokes_it_and_not_in_a_sound_group() {
    let of_a_sound_group =
        [State::Steady, State::Master, State::Replica, State::Ok, State::Up, State::Leader, State::Standby];
    assert_eq!(sound().view().states(), of_a_sound_group.into());
    assert_eq!(sound().view().troubles, []);
    for state in State::ALL {
        let shown = provoked(*state);
        assert!(shown.contains(state), "{state:?} in {shown:?}");
    }
}

#[test]
fn what_a_record_notes_of_a_node_shows_without_anybody_waiting() {
    let mut group = sound();
    group.record.left.insert(node("b"));
    group.record.discovered.insert(node("c"));
    let notes = |group: &Group| {
        let view = group.view();
        let notes = view.nodes.iter().map(|node| node.notes.iter().map(|(state, _)| *state).collect());
        notes.collect::<Vec<Vec<_>>>()
    };
    assert_eq!(notes(&group), [vec![], vec![State::LeftBehind], vec![State::Discovered]]);
    group.record.policy = group.record.policy.clone().with_discover(Discover::Watch);
    assert_eq!(notes(&group)[2], [State::OnlyWatched]);
    group.order("c", Orders { drained: true, ..Orders::default() });
    assert_eq!(notes(&group)[2], [State::Drained, State::OnlyWatched]);
    group.order("b", Orders { priority: Some(0), ..Orders::default() });
    assert_eq!(notes(&group)[1], [State::PriorityZero, State::LeftBehind]);
}

#[test]
fn a_group_in_which_nobody_could_take_over_is_not_well_while_its_master_lives() {
    let mut group = sound();
    group.order("b", Orders { drained: true, ..Orders::default() });
    assert_eq!(group.view().troubles, [], "c may");
    group.order("c", Orders { priority: Some(0), ..Orders::default() });
    let troubles = group.view().troubles;
    let [trouble] = &troubles[..] else { panic!("one: {troubles:?}") };
    assert_eq!(trouble.state, State::NobodyMayTakeOver);
    let found = "when the master is lost no node may take over: b:6379 is drained, c:6379 is never to lead";
    assert_eq!(trouble.found, found);
    let place = "-z zk1:2181,zk2:2181,zk3:2181 -p /redis/orders";
    let fixes = [
        "let one of them take over:".to_owned(),
        format!("redis-failover node drain --undo {place} b:6379"),
        format!("redis-failover node no-promote --undo {place} c:6379"),
    ];
    assert_eq!(trouble.fix, fixes);
    group.order("c", Orders::default());
    group.record.left.insert(node("c"));
    assert_eq!(group.view().troubles.len(), 1, "the master went on without it");
    group.waits("c", &Dropped::LeftBehind.to_string());
    assert_eq!(group.view().troubles.len(), 1, "what the leader says is more");
    assert!(group.view().troubles[0].found.contains("waits for a better one"));
}

#[test]
fn the_names_of_states_are_different_ones() {
    let names: BTreeSet<_> = State::ALL.iter().map(|state| state.word()).collect();
    assert_eq!(names.len(), State::ALL.len());
}

/// The record of a sound group: `a:6379` leads, `b` and `c` follow.
pub(in crate::cli) fn sound_record() -> Topology {
    sound().record
}

/// What is shown of a sound group.
pub(in crate::cli) fn sound_view() -> View {
    sound().view()
}

/// What is shown of one in its worst hour.
pub(in crate::cli) fn unwell_view() -> View {
    unwell().view()
}

/// What is shown where ZooKeeper is away.
pub(in crate::cli) fn no_zookeeper_seen() -> Seen {
    Err(no_zookeeper())
}

/// What is shown where there is no record.
pub(in crate::cli) fn nothing_seen() -> Seen {
    Err(instead(Ok(Found::Nothing)))
}

/// A group in its worst hour.
fn unwell() -> Group {
    let mut group = sound();
    group.paused(Some(Reason::Refused));
    group.silence("m1");
    group.vote("m2", "a", Vote::Refused);
    group.member("a").ok = false;
    let (file, why) = ("kept.rdb".to_owned(), "the disk is full".to_owned());
    group.diverged("b", Keeping::Held { file, why });
    group.member("b").ok = false;
    group.member("c").ok = false;
    group.record.left.insert(node("c"));
    group.snapshot.predecessors.push("/_zk/lock-7".to_owned());
    group.report("m3").remembers = Some(Epoch(8));
    group
}

/// A group that waits for a node.
fn waiting() -> Group {
    let mut group = sound();
    for id in ["m1", "m2", "m3"] {
        group.vote(id, "a", Vote::Refused);
    }
    group.failing_over();
    group.waits("a", &Dropped::NotFrozen.to_string());
    group.waits("b", &Dropped::Behind.to_string());
    group
}

#[test]
fn pages_are_as_they_are_kept() {
    let page = |group: &Group| page::group(&group.view(), Paint::new(false));
    assert_kept("status_sound", &page(&sound()));
    assert_kept("status_unwell", &page(&unwell()));
    assert_kept("status_waiting", &page(&waiting()));
    let absences = [instead(Ok(Found::Nothing)), instead(Err(unreadable())), no_zookeeper()];
    let pages = absences.map(|absence| page::absence(&absence, Paint::new(false)));
    assert_kept("status_absences", &pages.join("\n"));
}

#[test]
fn what_is_advised_is_typed_as_it_stands() {
    let mut alone = unwell();
    alone.silence("m2");
    let fixes = |group: &Group| group.view().troubles.into_iter().flat_map(|it| it.fix).collect::<Vec<_>>();
    let all: Vec<_> = [unwell(), waiting(), alone].iter().flat_map(fixes).collect();
    assert_eq!(assert_typed(&all), 9, "{all:#?}");
    let emptied = Snapshot { leader: None, predecessors: Vec::new(), ..sound().snapshot };
    let nothing = View::of(&place(), &emptied, now()).expect_err("it has no record");
    assert!(nothing.failure.hint.is_some_and(|hint| {
        let command = ": redis-failover adopt -z zk1:2181,zk2:2181,zk3:2181 -p /redis/orders --master NODE";
        hint.ends_with(command)
    }));
}

#[test]
fn a_master_that_is_down_is_said_to_be_replaced_only_where_it_would_be() {
    let said = |change: fn(&mut Group)| {
        let mut group = sound();
        group.vote("m2", "a", Vote::Silent);
        change(&mut group);
        let down = group.view().troubles.into_iter().find(|it| it.state == State::MasterDown);
        down.expect("it is down").fix.join(" ")
    };
    assert!(said(|_| ()).contains("when 2 monitors agree another node takes over by itself"));
    let paused = "while the group is paused nobody takes over";
    assert!(said(|group| group.paused(None)).ends_with(paused));
    assert!(said(|group| group.paused(Some(Reason::Refused))).ends_with(paused));
    assert!(said(|group| group.snapshot.leader = None).ends_with("while no monitor leads nobody takes over"));
    assert!(said(|group| group.report("m2").remembers = Some(Epoch(8))).ends_with("nobody takes over"));
    assert!(said(|group| group.dropped(Dropped::Behind)).ends_with("no other node may take over"));
    assert!(said(|group| group.record.members.truncate(1)).ends_with("no other node may take over"));
    let barred = |group: &mut Group| group.record.left = ["b", "c"].map(node).into();
    assert!(said(barred).ends_with("no other node may take over"));
    assert!(said(|group| group.quorum(4)).ends_with("nobody takes over before 4 monitors are alive"));
}

#[test]
fn a_quorum_that_is_a_number_is_not_lowered_by_forgetting_alone() {
    let mut group = sound();
    for id in ["m2", "m3"] {
        group.silence(id);
    }
    let commands = |group: &Group| {
        let trouble = group.view().troubles.remove(0);
        assert_eq!(trouble.state, State::NoQuorum);
        let words = |line: &String| line.split(' ').nth(2).map(str::to_owned);
        trouble.fix.iter().skip(1).filter_map(words).collect::<Vec<_>>()
    };
    assert_eq!(commands(&group), ["forget", "forget"]);
    group.quorum(2);
    assert_eq!(commands(&group), ["set", "forget", "forget"]);
}

#[test]
fn what_ends_the_command_bears_its_name() {
    let failure = instead(Ok(Found::Nothing)).into_failure();
    assert_eq!(failure.state, Some("nothing-published"), "for those who read JSON");
    let failure = failure.to_string();
    assert!(
        failure.starts_with("error: nothing is published at /redis/orders [nothing-published]\nhint: "),
        "{failure}"
    );
}

#[test]
fn every_line_fits_on_a_terminal() {
    for group in [sound(), unwell(), waiting()] {
        let page = page::group(&group.view(), Paint::new(false));
        assert!(page.lines().all(|line| line.chars().count() <= 120), "{page}");
    }
}

#[test]
fn colours_are_the_only_thing_that_a_terminal_gets_more() {
    let view = unwell().view();
    let (plain, coloured) = [false, true].map(|on| page::group(&view, Paint::new(on))).into();
    assert!(coloured.contains("\x1b[1;31mKO\x1b[0m") && !plain.contains('\x1b'), "{coloured}");
    let mut stripped = coloured;
    for code in ["0", "2", "32", "33", "1;31"] {
        stripped = stripped.replace(&format!("\x1b[{code}m"), "");
    }
    assert_eq!(stripped, plain);
}

#[test]
fn json_names_each_trouble_beside_its_text() {
    let read = json::group(&unwell().view());
    let texts: Vec<_> = read["troubles"].as_array().expect("a list").iter().collect();
    let states: Vec<_> = read["states"].as_array().expect("a list").iter().collect();
    assert_eq!(
        states,
        ["withheld", "no-leader", "predecessor-alive", "record-older", "master-down", "held", "KO"]
    );
    assert_eq!(
        texts,
        [
            "the master a:6379 is refused and would be replaced now, but the group is paused: redis-failover resume",
            "no monitor leads",
            "a monitor of the predecessor is alive: /_zk/lock-7",
            "this record is older than the monitors remember (epoch 8): nothing is done until one adopts a master \
             (redis-failover adopt)",
            "1 monitors find the master a:6379 down",
            "b:6379 is held back, for what it alone holds is not saved yet: copy that, then give it up \
             (redis-failover resync b:6379)",
            "c:6379 is KO: it doesn't answer, or holds no current copy",
        ]
    );
    assert_eq!(read["nodes"][1]["diverged"]["is"], "held");
    assert_eq!(read["nodes"][2]["notes"], serde_json::json!(["left-behind"]));
    let waits = json::group(&waiting().view())["nodes"][1]["waits"].clone();
    assert_eq!((&waits["state"], &waits["keys"]), (&"behind".into(), &12.into()));
}

#[test]
fn json_has_all_that_the_page_has() {
    let json = json::group(&waiting().view());
    let change = serde_json::json!({
        "from": "a:6379", "why": Reason::Refused.word(), "to": "b:6379",
        "text": "a:6379 is refused, b:6379 takes over",
    });
    assert_eq!(json["change"], change);
    assert_eq!(
        (&json["monitors"][0]["listens"], &json["monitors"][0]["version"]),
        (&"m1.example.com:8080".into(), &"1.2.3".into())
    );
    let adopt = "redis-failover adopt -z zk1:2181,zk2:2181,zk3:2181 -p /redis/orders --master NODE";
    let fixes = serde_json::json!([
        ["look at that server; no other node may take over"],
        ["start that node; if it is lost for good:", adopt],
    ]);
    assert_eq!(json["fixes"], fixes);
    let sound = json::group(&sound().view());
    assert_eq!((&sound["change"], &sound["fixes"]), (&Value::Null, &serde_json::json!([])));
    let mut gone = self::sound();
    gone.silence("m3");
    assert_eq!(json::group(&gone.view())["monitors"][2]["listens"], Value::Null);
}

#[test]
fn lag_is_what_the_leader_says_of_those_that_follow() {
    let lags = |group: &Group| {
        let json = json::group(&group.view());
        [0, 1, 2].map(|node| json["nodes"][node]["lag"].as_u64())
    };
    let mut group = sound();
    assert_eq!(lags(&group), [None, Some(0), Some(1_048_576)]);
    // It was a replica when the leader looked.
    group.report("m1").lags.insert(node("a"), 7);
    assert_eq!(lags(&group)[0], None);
    group.report("m2").lags.insert(node("b"), 7);
    assert_eq!(lags(&group)[1], Some(0), "m2 does not lead");
    group.report("m1").lags.clear();
    assert_eq!(lags(&group), [None; 3], "nor does an older version say it");
    let mut alone = sound();
    alone.snapshot.leader = None;
    assert_eq!(lags(&alone), [None; 3]);
}

#[test]
fn who_watches_sees_what_the_record_said_last_while_zookeeper_is_away() {
    let view = sound().view();
    let last = page::last(&no_zookeeper(), Some(&view), Paint::new(false));
    let text =
        "\nSince 2026-01-31T13:05:01.106Z the record is not read. It said then:\n\ngroup    /redis/orders\n";
    assert!(last.starts_with("trouble  no-zookeeper\n") && last.contains(text), "{last}");
    let nothing = instead(Ok(Found::Nothing));
    let alone = page::absence(&nothing, Paint::new(false));
    assert_eq!(page::last(&nothing, Some(&view), Paint::new(false)), alone, "there is no record any more");
}

#[test]
fn json_of_a_look_that_shows_no_group_names_the_state_and_the_time() {
    let read = json::timed(json::absence(PATH, &no_zookeeper()), now());
    assert_eq!(read["states"], serde_json::json!(["no-zookeeper"]));
    assert_eq!(read["time"], "2026-01-31T13:05:01.106Z");
    assert!(read["troubles"][0].as_str().is_some_and(|text| text.contains("no answer")), "{read}");
}

#[test]
fn the_documentation_has_a_heading_for_every_state_and_for_no_other() {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reference/status.md");
    let page = std::fs::read_to_string(page).expect("the page");
    let headings = page.lines().filter_map(|line| line.strip_prefix("### `")?.strip_suffix('`'));
    let headings: Vec<_> = headings.collect();
    let names: BTreeSet<_> = State::ALL.iter().map(|state| state.word()).collect();
    assert_eq!(headings.iter().copied().collect::<BTreeSet<_>>(), names);
    assert_eq!(headings.len(), names.len(), "one of them has two");
}
