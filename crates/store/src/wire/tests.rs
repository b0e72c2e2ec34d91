//! The documents against hand-written samples, and against everything that is none. No server runs here.

use std::collections::BTreeMap;
use std::time::Duration;

use redis_failover_core::history::{
    Account, Candidate, Cause, Ending, Entry, Estimate, Holds, Milestone, Opening, Return, Seen,
};
use redis_failover_core::{
    Change, Discover, Divergence, Epoch, Fencing, Intent, Keeping, Lineage, Lineages, OnDivergence, Orders,
    Pause, Phase, Policy, Reason, ReplId, Report, RunId, Term, Vote, Wait, Withheld,
};

use serde_json::json;

use super::*;
use crate::{Contact, Leader};

macro_rules! golden {
    ($name:literal) => {
        include_str!(concat!("../../tests/wire/v1/", $name)).trim_end().as_bytes()
    };
}

fn member(addr: &str, ok: bool) -> Member {
    Member { addr: addr.parse().unwrap(), ok }
}

fn steady() -> Topology {
    let lineage = |replid: &str, epoch, start, parent: Option<&str>| Lineage {
        replid: ReplId(replid.to_owned()),
        epoch: Epoch(epoch),
        start,
        parent: parent.map(|parent| ReplId(parent.to_owned())),
    };
    Topology {
        epoch: Epoch(3),
        phase: Phase::Steady,
        master: "10.0.0.1:6379".parse().unwrap(),
        master_run: Some(RunId("run-of-one".to_owned())),
        members: vec![
            member("10.0.0.2:6379", true),
            member("10.0.0.1:6379", true),
            member("[::1]:6380", false),
        ],
        discovered: std::collections::BTreeSet::new(),
        synced: [("10.0.0.2:6379".parse().unwrap(), RunId("run-of-two".to_owned()))].into(),
        reached: std::collections::BTreeMap::new(),
        diverged: std::collections::BTreeMap::new(),
        fenced: false,
        left: std::collections::BTreeSet::new(),
        unclosed: BTreeMap::new(),
        orders: BTreeMap::new(),
        pause: None,
        lineages: Lineages::new(vec![lineage("a", 0, 0, None), lineage("b", 3, 4711, Some("a"))]),
        monitors: ["m1", "m2", "m3"].map(|id| id.parse().unwrap()).into(),
        policy: Policy::new(Some(2), Duration::from_secs(1), Duration::from_millis(200))
            .unwrap()
            .misconf_unusable(true)
            .patient_with_refusal(true)
            .with_fencing(Fencing::Off),
        min_replicas_to_write: 1,
    }
}

fn failing_over() -> Topology {
    let votes = [("m1", Vote::Silent), ("m2", Vote::Up), ("m3", Vote::Silent)];
    let mut record = steady();
    record.epoch = Epoch(4);
    record.members[1].ok = false;
    record.phase = Phase::FailingOver(Change {
        reason: Reason::Silent,
        votes: votes.map(|(id, vote)| (id.parse().unwrap(), vote)).into(),
        intent: Intent {
            node: "10.0.0.2:6379".parse().unwrap(),
            run: RunId("run-of-two".to_owned()),
            replid: ReplId("b".to_owned()),
            offset: u64::MAX,
        },
        opening: None,
    });
    record
}

/// The same as a monitor opens it that notes what it knew.
fn opened() -> Topology {
    let mut record = failing_over();
    let Phase::FailingOver(change) = &mut record.phase else { panic!("a change") };
    change.opening = Some(Box::new(Opening {
        leader: "m1".parse().unwrap(),
        ages: [("m1".parse().unwrap(), Duration::from_millis(3))].into(),
        candidates: told().candidates,
        times: [(Milestone::Lost, Duration::from_millis(1)), (Milestone::Chosen, Duration::from_millis(4))]
            .into(),
        seen: told().seen,
        loss: Estimate { bytes: Some(57), span: Some(Duration::from_millis(812)) },
    }));
    record
}

/// A change of master with everything that can be told of one.
fn told() -> Account {
    let holds = |replid: &str, offset| Holds {
        run: RunId("run-of-two".to_owned()),
        replid: ReplId(replid.to_owned()),
        offset,
        keys: 12,
    };
    let candidate = |why: &str, holds| Candidate { why: why.to_owned(), holds };
    let ms = Duration::from_millis;
    Account {
        epoch: Epoch(4),
        cause: Cause::Lost(Reason::Silent),
        old: Some("10.0.0.1:6379".parse().unwrap()),
        new: "10.0.0.2:6379".parse().unwrap(),
        ending: Ending::Published,
        leader: Some("m1".parse().unwrap()),
        finished_by: Some("m2".parse().unwrap()),
        votes: [
            ("m1".parse().unwrap(), (Vote::Silent, Some(ms(3)))),
            ("m2".parse().unwrap(), (Vote::Up, None)),
        ]
        .into(),
        candidates: [
            ("10.0.0.1:6379".parse().unwrap(), candidate("did not answer", None)),
            ("10.0.0.2:6379".parse().unwrap(), candidate("taken", Some(holds("b", u64::MAX)))),
        ]
        .into(),
        times: Milestone::ALL.into_iter().zip((1..).map(ms)).collect(),
        following: [("[::1]:6380".parse().unwrap(), ms(40))].into(),
        seen: Some(Seen { replid: ReplId("b".to_owned()), offset: 4768, age: ms(203), frozen: false }),
        loss: Some(Estimate { bytes: Some(57), span: None }),
    }
}

/// One that was given up, and of which little is known.
fn given_up() -> Account {
    Account {
        ending: Ending::GivenUp("nobody carried it out".to_owned()),
        old: None,
        leader: None,
        finished_by: None,
        votes: [].into(),
        candidates: [].into(),
        times: [].into(),
        following: [].into(),
        seen: None,
        loss: None,
        ..told()
    }
}

fn adopted() -> Topology {
    Topology {
        epoch: Epoch(0),
        master_run: None,
        members: vec![member("10.0.0.1:6379", true)],
        discovered: std::collections::BTreeSet::new(),
        synced: std::collections::BTreeMap::new(),
        reached: std::collections::BTreeMap::new(),
        diverged: std::collections::BTreeMap::new(),
        fenced: false,
        left: std::collections::BTreeSet::new(),
        unclosed: BTreeMap::new(),
        orders: BTreeMap::new(),
        pause: None,
        lineages: Lineages::default(),
        monitors: ["m1".parse().unwrap()].into(),
        policy: Policy::default().with_fencing(Fencing::Off),
        min_replicas_to_write: 0,
        ..steady()
    }
}

/// The steady record with all that a record of format 1 may have and need not.
fn complete() -> Topology {
    let policy = steady()
        .policy
        .with_link_grace(Duration::from_secs(8))
        .with_third_failover_waiting(Duration::ZERO)
        .with_discover(Discover::Watch)
        .with_fencing(Fencing::Replicas)
        .with_on_divergence(OnDivergence::Save)
        .with_parallel_syncs(3);
    let node = || ["[::1]:6380".parse().unwrap()].into();
    Topology { discovered: node(), left: node(), fenced: true, policy, ..steady() }
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[test]
fn the_samples_of_format_1_are_read_and_written_byte_for_byte() {
    let samples: [(Topology, &[u8], &[u8]); 5] = [
        (opened(), golden!("failing_over.document.json"), golden!("opened.state.json")),
        (complete(), golden!("steady.document.json"), golden!("complete.state.json")),
        (steady(), golden!("steady.document.json"), golden!("steady.state.json")),
        (failing_over(), golden!("failing_over.document.json"), golden!("failing_over.state.json")),
        (adopted(), golden!("adopted.document.json"), golden!("adopted.state.json")),
    ];
    for (record, document, state) in samples {
        assert_eq!(text(&document_bytes(&record, None)), text(document));
        assert_eq!(text(&state_bytes(&record, None)), text(state));
        // Written over themselves they stay as they are, and so they are not written at all.
        assert_eq!(text(&document_bytes(&record, Some(document))), text(document));
        assert_eq!(text(&state_bytes(&record, Some(state))), text(state));
        assert_eq!(read("/g", Some(document), Some(state)), Ok(Found::Record(Box::new(record))));
    }
}

#[test]
fn in_a_change_the_old_master_is_ko_and_no_slave_whatever_the_record_says() {
    let mut record = failing_over();
    record.members[1].ok = true;
    assert_eq!(text(&document_bytes(&record, None)), text(golden!("failing_over.document.json")));
}

#[test]
fn the_predecessors_document_is_read_as_it_is() {
    let found = Found::Predecessor {
        master: member("localhost:6379", true),
        replicas: vec![member("localhost:6389", true), member("localhost:6399", false)],
    };
    assert_eq!(read("/g", Some(golden!("predecessor.document.json")), None), Ok(found));
}

#[test]
fn followers_read_every_sample_from_the_document_alone() {
    let of = |document: &[u8]| publication("/g", Some(document)).unwrap().unwrap();
    let expected = Publication {
        epoch: Epoch(3),
        steady: true,
        master: member("10.0.0.1:6379", true),
        replicas: vec![member("10.0.0.2:6379", true), member("[::1]:6380", false)],
        run: Some(RunId("run-of-one".to_owned())),
        replid: Some(ReplId("b".to_owned())),
    };
    assert_eq!(of(golden!("steady.document.json")), expected);
    let change =
        Publication { epoch: Epoch(4), steady: false, master: member("10.0.0.1:6379", false), ..expected };
    assert_eq!(of(golden!("failing_over.document.json")), change);
    let adopted = Publication {
        epoch: Epoch(0),
        steady: true,
        master: member("10.0.0.1:6379", true),
        replicas: vec![],
        run: None,
        replid: None,
    };
    assert_eq!(of(golden!("adopted.document.json")), adopted);
    let predecessor = Publication {
        master: member("localhost:6379", true),
        replicas: vec![member("localhost:6389", true), member("localhost:6399", false)],
        ..adopted
    };
    assert_eq!(of(golden!("predecessor.document.json")), predecessor);
}

#[test]
fn followers_read_a_newer_format_and_believe_no_phase_that_they_do_not_know() {
    let of = |document: &str| publication("/g", Some(document.as_bytes())).unwrap().unwrap();
    let document = text(golden!("steady.document.json"));
    let newer = document.replace(r#""format":1"#, r#""format":7,"shards":[1,2]"#);
    assert_eq!(of(&newer), of(document));
    for phase in [r#""phase":"dancing""#, r#""phase":7"#, r#""stage":"steady""#] {
        let unknown = Publication { steady: false, ..of(document) };
        assert_eq!(of(&document.replace(r#""phase":"steady""#, phase)), unknown, "{phase}");
    }
    let bare = of(r#"{"format":2,"master":["h:1","OK"],"slaves":{},"epoch":"three","run":3}"#);
    assert_eq!((bare.epoch, bare.steady, bare.run), (Epoch(0), false, None));
    assert!(publication("/g", Some(br#"{"format":2,"slaves":{}}"#)).is_err(), "it names no master");
}

#[test]
fn slaves_are_ordered_by_number() {
    let many: Vec<String> = (0..12).rev().map(|n| format!(r#""{n}":["h:{}","OK"]"#, 100 + n)).collect();
    let document = format!(r#"{{"master":["h:1","KO"],"slaves":{{{}}}}}"#, many.join(","));
    let Ok(Found::Predecessor { replicas, .. }) = read("/g", Some(document.as_bytes()), None) else {
        panic!("not the predecessor's");
    };
    assert!(replicas.iter().map(|member| member.addr.port()).eq(100..112));
}

#[test]
fn nothing_is_nothing() {
    for document in [None, Some(""), Some(" \n"), Some("{}"), Some(r#"{"owner":"team-a"}"#)] {
        assert_eq!(read("/g", document.map(str::as_bytes), None), Ok(Found::Nothing), "{document:?}");
        assert_eq!(publication("/g", document.map(str::as_bytes)), Ok(None), "{document:?}");
    }
}

#[test]
fn foreign_keys_stay_where_they_are() {
    let base = br#"{"o":0,"slaves":{},"run":"old","master":["h:1","OK"],"n":0}"#;
    assert_eq!(
        text(&document_bytes(&adopted(), Some(base))),
        r#"{"o":0,"slaves":{},"master":["10.0.0.1:6379","OK"],"n":0,"format":1,"epoch":0,"phase":"steady"}"#
    );
    let base = br#"{"later":1,"format":1}"#;
    assert!(text(&state_bytes(&adopted(), Some(base))).starts_with(r#"{"later":1,"format":1,"epoch":0,"#));
}

#[test]
fn garbage_is_refused_and_named() {
    for document in [
        "what?",
        "[]",
        "7",
        r#"{"master":"h:1"}"#,
        r#"{"master":["h:1"]}"#,
        r#"{"master":["h","OK"]}"#,
        r#"{"master":["h:1","ok"]}"#,
        r#"{"master":["h:1","OK","OK"]}"#,
        r#"{"master":["h:1","OK"],"slaves":[]}"#,
        r#"{"master":["h:1","OK"],"slaves":{"a":["h:2","OK"]}}"#,
        r#"{"master":["h:1","OK"],"slaves":{"0":["h:2"]}}"#,
        r#"{"slaves":{}}"#,
        r#"{"format":1}"#,
        r#"{"format":1,"master":["h:1","OK"]}"#,
        r#"{"format":"1","master":["h:1","OK"]}"#,
        r#"{"format":0,"master":["h:1","OK"]}"#,
    ] {
        let error = read("/redis/g", Some(document.as_bytes()), None).expect_err(document);
        assert!(matches!(error, Unreadable::Garbage { .. }), "{error:?}");
        assert_eq!(publication("/redis/g", Some(document.as_bytes())).as_ref(), Err(&error));
        let message = error.to_string();
        assert!(message.contains("/redis/g") && message.contains("mend it"), "{message}");
    }
    let long = "x".repeat(1000);
    assert!(read("/g", Some(long.as_bytes()), None).unwrap_err().to_string().len() < 300);
    assert!(read("/g", Some(b"\xff\xfe"), None).is_err());
}

#[test]
fn a_state_that_does_not_fit_is_refused() {
    let good = text(golden!("failing_over.state.json"));
    let document = golden!("failing_over.document.json");
    for (what, with) in [
        (r#""format":1,"#, ""),
        (r#""phase":"failing_over""#, r#""phase":"steady""#),
        (r#""phase":"failing_over""#, r#""phase":"dancing""#),
        (r#""down_after_ms":1000"#, r#""down_after_ms":1"#),
        (r#""master":"10.0.0.1:6379""#, r#""master":"10.0.0.7:6379""#),
        (r#""offset":18446744073709551615"#, r#""offset":-1"#),
        (r#""probe_interval_ms":200"#, r#""probe_interval_ms":200,"discover":"perhaps""#),
        (r#""probe_interval_ms":200"#, r#""probe_interval_ms":200,"on_divergence":"perhaps""#),
        (r#""lineages""#, r#""diverged":{"h:1":{"run":"r","is":"dancing"}},"lineages""#),
        (r#""lineages""#, r#""diverged":{"h:1":{"run":"r","is":"saved"}},"lineages""#),
    ] {
        let state = good.replace(what, with);
        assert_ne!(state, good, "{what}");
        let error = read("/g", Some(document), Some(state.as_bytes())).expect_err(with);
        assert!(matches!(&error, Unreadable::Garbage { znode, .. } if znode == "/g/state"), "{error:?}");
    }
}

#[test]
fn a_newer_format_is_left_to_newer_monitors() {
    let newer = br#"{"format":2,"master":["h:1","OK"],"slaves":{}}"#;
    let error = read("/g", Some(newer), None).unwrap_err();
    assert_eq!(error, Unreadable::NewerFormat { znode: "/g".to_owned(), format: 2 });
    assert!(error.to_string().contains("upgrade"));
    let error = read("/g", Some(golden!("steady.document.json")), Some(br#"{"format":3}"#)).unwrap_err();
    assert_eq!(error, Unreadable::NewerFormat { znode: "/g/state".to_owned(), format: 3 });
}

/// `value` with a key that no version knows in each object whose keys are names, not data.
fn with_later_keys(value: &Value) -> Value {
    match value {
        Value::Object(object) => {
            let of_data = |key: &str| {
                matches!(key, "slaves" | "synced" | "votes" | "ages_ms" | "times_ms" | "candidates")
            };
            let inner = |(key, value): (&String, &Value)| {
                let value = if of_data(key) { value.clone() } else { with_later_keys(value) };
                (key.clone(), value)
            };
            let mut object: Map<_, _> = object.iter().map(inner).collect();
            object.insert("later".to_owned(), json!({ "deep": [1, { "format": 9 }] }));
            Value::Object(object)
        }
        Value::Array(values) => values.iter().map(with_later_keys).collect(),
        other => other.clone(),
    }
}

fn later(sample: &[u8]) -> String {
    with_later_keys(&serde_json::from_slice(sample).unwrap()).to_string()
}

#[test]
fn keys_of_a_later_version_change_nothing_and_are_kept_in_both_documents_and_in_the_policy() {
    for (record, document, state) in [
        (steady(), golden!("steady.document.json"), golden!("steady.state.json")),
        (failing_over(), golden!("failing_over.document.json"), golden!("failing_over.state.json")),
        (opened(), golden!("failing_over.document.json"), golden!("opened.state.json")),
    ] {
        let (document, state) = (later(document), later(state));
        assert!(state.matches("later").count() >= 4, "at every level: {state}");
        let found = read("/g", Some(document.as_bytes()), Some(state.as_bytes()));
        assert_eq!(found, Ok(Found::Record(Box::new(record.clone()))));
        assert_eq!(text(&document_bytes(&record, Some(document.as_bytes()))), document);
        let written: Value = serde_json::from_slice(&state_bytes(&record, Some(state.as_bytes()))).unwrap();
        let before: Value = serde_json::from_str(&state).unwrap();
        assert_eq!(written["later"], before["later"]);
        assert_eq!(written["policy"], before["policy"]);
    }
    let id: redis_failover_core::MonitorId = "m1".parse().unwrap();
    let report = parse_report("/g/monitors/m1", &id, golden!("report.json")).unwrap();
    let mut newer: Value = serde_json::from_slice(golden!("report.json")).unwrap();
    newer["later"] = json!(true);
    newer["votes"]["10.0.0.1:6379"]["later"] = json!(true);
    assert_eq!(parse_report("/g/monitors/m1", &id, newer.to_string().as_bytes()), Ok(report));
}

#[test]
fn a_change_whose_words_only_a_later_version_knows_can_be_finished_by_this_one() {
    let state = text(golden!("failing_over.state.json"));
    let newer = state.replace(r#""reason":"silent""#, r#""reason":"bored""#);
    let newer = newer.replace(r#""m2":"up""#, r#""m2":"perhaps""#);
    let found = read("/g", Some(golden!("failing_over.document.json")), Some(newer.as_bytes()));
    let mut expected = failing_over();
    let Phase::FailingOver(change) = &mut expected.phase else { panic!("a change") };
    change.reason = Reason::Other;
    change.votes.insert("m2".parse().unwrap(), Vote::Unknown);
    assert_eq!(found, Ok(Found::Record(Box::new(expected.clone()))));
    let Phase::FailingOver(change) = expected.phase else { panic!("a change") };
    assert_eq!(Reason::from_word(change.reason.word()), Reason::Other);
}

#[test]
fn a_pair_that_contradicts_itself_is_refused() {
    let document = golden!("steady.document.json");
    let state = golden!("steady.state.json");
    let other_master = text(document).replace("10.0.0.1:6379", "10.0.0.3:6379");
    let other_epoch = text(document).replace(r#""epoch":3"#, r#""epoch":2"#);
    let pairs: [(&[u8], Option<&[u8]>); 5] = [
        (document, None),
        (b"", Some(state)),
        (golden!("predecessor.document.json"), Some(state)),
        (other_master.as_bytes(), Some(state)),
        (other_epoch.as_bytes(), Some(state)),
    ];
    for (document, state) in pairs {
        let error = read("/g", Some(document), state).unwrap_err();
        assert!(matches!(error, Unreadable::Contradiction { .. }), "{error:?}");
    }
}

#[test]
fn replicas_that_only_the_document_names_change_nothing() {
    let document = text(golden!("steady.document.json")).replace("10.0.0.2:6379", "10.0.0.9:6379");
    let found = read("/g", Some(document.as_bytes()), Some(golden!("steady.state.json")));
    let mut expected = steady();
    expected.members[0].ok = false;
    assert_eq!(found, Ok(Found::Record(Box::new(expected))));
}

#[test]
fn reports_are_read_and_written_byte_for_byte() {
    let votes = [("10.0.0.1:6379", Vote::Refused, 12), ("[::1]:6380", Vote::Up, 60_000)];
    let vote =
        |(node, vote, age): (&str, Vote, u64)| (node.parse().unwrap(), (vote, Duration::from_millis(age)));
    let id: redis_failover_core::MonitorId = "m1".parse().unwrap();
    let report = Report {
        monitor: id.clone(),
        address: Some("10.0.0.9:8080".to_owned()),
        remembers: None,
        votes: votes.map(vote).into(),
        lead: None,
        waits: std::collections::BTreeMap::new(),
        attends: [].into(),
        lags: [].into(),
        version: None,
        sentinel: None,
        clock: None,
    };
    let versioned = Report { version: Some("1.2.3".to_owned()), ..report.clone() };
    let written = report_bytes(&versioned);
    assert!(text(&written).ends_with(r#","version":"1.2.3"}"#), "{}", text(&written));
    assert_eq!(parse_report("/g/monitors/m1", &id, &written), Ok(versioned));
    let answers = Report { sentinel: Some("[::1]:26379".to_owned()), ..report.clone() };
    let written = report_bytes(&answers);
    assert!(text(&written).ends_with(r#","sentinel":"[::1]:26379"}"#), "{}", text(&written));
    assert_eq!(parse_report("/g/monitors/m1", &id, &written), Ok(answers));
    let attends = [(redis_failover_core::RequestId(17), "m is asked".to_owned())].into();
    let leading = Report { attends, lags: [("[::1]:6380".parse().unwrap(), 89)].into(), ..report.clone() };
    let written = report_bytes(&leading);
    let said = r#","attends":{"17":"m is asked"},"lags":{"[::1]:6380":89}}"#;
    assert!(text(&written).ends_with(said), "{}", text(&written));
    assert_eq!(parse_report("/g/monitors/m1", &id, &written), Ok(leading));
    let odd = text(&written).replace(r#"{"17":"m is asked"}"#, "7").replace("89", r#""many""#);
    assert_eq!(parse_report("/g/monitors/m1", &id, odd.as_bytes()), Ok(report.clone()));
    let later = Report { remembers: Some(Epoch(7)), ..report.clone() };
    let written = text(golden!("report.json")).replace(r#","votes""#, r#","epoch":7,"votes""#);
    assert_eq!(text(&report_bytes(&later)), written);
    assert_eq!(parse_report("/g/monitors/m1", &id, written.as_bytes()), Ok(later));
    assert_eq!(text(&report_bytes(&report)), text(golden!("report.json")));
    assert_eq!(parse_report("/g/monitors/m1", &id, golden!("report.json")), Ok(report));
    assert!(parse_report("/g/monitors/m2", &"m2".parse().unwrap(), golden!("report.json")).is_err());
    assert!(parse_report("/g/monitors/m1", &id, b"what?").is_err());
    let newer = text(golden!("report.json")).replace("refused", "dizzy");
    let read = parse_report("/g/monitors/m1", &id, newer.as_bytes()).unwrap();
    assert_eq!(read.votes[&"10.0.0.1:6379".parse().unwrap()].0, Vote::Unknown);
}

#[test]
fn a_vote_on_who_leads_is_read_and_written_byte_for_byte_and_one_that_cannot_be_read_is_none() {
    let id: redis_failover_core::MonitorId = "m1".parse().unwrap();
    let lead = Some((Term(0x2_0000_0007), Vote::Silent, Duration::from_millis(12)));
    let (address, remembers, votes, waits) = Default::default();
    let report = Report {
        monitor: id.clone(),
        address,
        remembers,
        votes,
        lead,
        waits,
        attends: [].into(),
        lags: [].into(),
        version: None,
        sentinel: None,
        clock: None,
    };
    let sample = text(golden!("lead.report.json"));
    assert_eq!(text(&report_bytes(&report)), sample);
    let read = |text: &str| parse_report("/g/monitors/m1", &id, text.as_bytes()).unwrap();
    assert_eq!(read(sample), report);
    for strange in
        [sample.replace("silent", "dizzy"), sample.replace("12}", "-1}"), sample.replace("term", "time")]
    {
        assert_eq!(read(&strange).lead, None, "{strange}");
    }
}

#[test]
fn a_lock_tells_who_holds_it_and_whose_lock_cannot_be_read_is_called_as_it() {
    let monitor: redis_failover_core::MonitorId = "m1".parse().unwrap();
    let contact = Contact { address: "10.0.0.9:8080".to_owned(), life: "1f.2".to_owned() };
    let bytes = lock_bytes(&Lock::of(&monitor, Some(&contact)));
    assert_eq!(text(&bytes), r#"{"monitor":"m1","address":"10.0.0.9:8080","life":"1f.2"}"#);
    let of = |bytes: &[u8]| leader_of("lock-1", bytes, Term(7));
    let Contact { address, life } = contact;
    let leader = Leader { monitor: "m1".to_owned(), address: Some(address), life: Some(life), term: Term(7) };
    assert_eq!(of(&bytes), leader);
    assert_eq!(of(br#"{"monitor":"m1","address":"10.0.0.9:8080"}"#), Leader { life: None, ..leader.clone() });
    let stranger = Leader { monitor: "lock-1".to_owned(), address: None, life: None, term: Term(7) };
    assert_eq!(of(b"what?"), stranger);
}

#[test]
fn what_a_leader_waits_for_is_read_and_written_byte_for_byte_and_an_older_reader_passes_it_over() {
    let id: redis_failover_core::MonitorId = "m1".parse().unwrap();
    let wait = |why: &str, keys, saved| Wait { why: why.to_owned(), keys, saved };
    let waits = [
        ("10.0.0.1:6379", wait("did not answer", None, None)),
        ("[::1]:6380", wait("empty", Some(0), Some(1_795_646_614))),
    ];
    let waits = waits.map(|(node, wait)| (node.parse().unwrap(), wait)).into();
    let report = Report {
        monitor: id.clone(),
        address: None,
        remembers: None,
        lead: None,
        votes: [].into(),
        waits,
        attends: [].into(),
        lags: [].into(),
        version: None,
        sentinel: None,
        clock: None,
    };
    let sample = golden!("waiting.report.json");
    assert_eq!(text(&report_bytes(&report)), text(sample));
    assert_eq!(parse_report("/g/monitors/m1", &id, sample), Ok(report));
    let older = text(sample).replace("waits", "unheard-of");
    assert!(parse_report("/g/monitors/m1", &id, older.as_bytes()).unwrap().waits.is_empty());
}

#[test]
fn how_far_the_lost_replicas_had_come_is_kept_in_the_state() {
    let stood = |node: &str, offset| (node.parse().unwrap(), (ReplId("b".to_owned()), offset));
    let record = Topology { reached: [stood("[::1]:6380", u64::MAX)].into(), ..steady() };
    let state = state_bytes(&record, Some(golden!("steady.state.json")));
    let expected = r#","reached":{"[::1]:6380":{"replid":"b","offset":18446744073709551615}}"#;
    assert!(text(&state).contains(expected), "{}", text(&state));
    let read = |state: &[u8]| read("/g", Some(golden!("steady.document.json")), Some(state));
    assert_eq!(read(&state), Ok(Found::Record(Box::new(record))));
    // Back in order, it is struck out.
    assert_eq!(text(&state_bytes(&steady(), Some(&state))), text(golden!("steady.state.json")));
}

#[test]
fn a_pause_is_kept_in_the_state_and_an_older_reader_passes_it_over() {
    let brief = Pause {
        by: "alice@ops-1".to_owned(),
        reason: "new switches".to_owned(),
        lasts: Some(Duration::from_mins(10)),
        since: Some(1_795_646_614_000),
        withheld: Some(Reason::Silent),
    };
    let open = Pause { lasts: None, since: None, withheld: None, ..brief.clone() };
    let all = [
        (
            brief,
            concat!(
                r#"{"by":"alice@ops-1","reason":"new switches","lasts_ms":600000,"#,
                r#""since_ms":1795646614000,"withheld":"silent"}"#,
            ),
        ),
        (open, r#"{"by":"alice@ops-1","reason":"new switches"}"#),
    ];
    let read = |state: &[u8]| read("/g", Some(golden!("steady.document.json")), Some(state));
    for (pause, expected) in all {
        let record = Topology { pause: Some(pause), ..steady() };
        let state = state_bytes(&record, Some(golden!("steady.state.json")));
        assert!(text(&state).contains(&format!(r#","pause":{expected}"#)), "{}", text(&state));
        assert_eq!(read(&state), Ok(Found::Record(Box::new(record))));
        let older = text(&state).replace(r#""pause""#, r#""unheard-of""#);
        assert_eq!(read(older.as_bytes()), Ok(Found::Record(Box::new(steady()))));
        assert_eq!(text(&state_bytes(&steady(), Some(&state))), text(golden!("steady.state.json")));
    }
}

#[test]
fn what_operators_said_of_nodes_is_kept_in_the_state_and_an_older_reader_passes_it_over() {
    let orders = BTreeMap::from([
        ("10.0.0.2:6379".parse().unwrap(), Orders { drained: true, ..Orders::default() }),
        (
            "10.0.0.3:6379".parse().unwrap(),
            Orders { priority: Some(0), zone: Some("eu-1".to_owned()), drained: false },
        ),
    ]);
    let unclosed = BTreeMap::from([("10.0.0.1:6379".parse().unwrap(), RunId("r1".to_owned()))]);
    let record = Topology { orders, unclosed, ..steady() };
    let state = state_bytes(&record, Some(golden!("steady.state.json")));
    let expected = concat!(
        r#","to_close":{"10.0.0.1:6379":"r1"},"#,
        r#""orders":{"10.0.0.2:6379":{"drained":true},"10.0.0.3:6379":{"priority":0,"zone":"eu-1"}}"#,
    );
    assert!(text(&state).contains(expected), "{}", text(&state));
    let read = |state: &[u8]| read("/g", Some(golden!("steady.document.json")), Some(state));
    assert_eq!(read(&state), Ok(Found::Record(Box::new(record))));
    let older = text(&state).replace(r#""orders""#, r#""unheard-of""#).replace(r#""to_close""#, r#""old""#);
    assert_eq!(read(older.as_bytes()), Ok(Found::Record(Box::new(steady()))));
    assert_eq!(text(&state_bytes(&steady(), Some(&state))), text(golden!("steady.state.json")));
}

#[test]
fn a_master_that_was_not_replaced_is_told_byte_for_byte() {
    let told = Withheld {
        epoch: Epoch(4),
        master: "10.0.0.1:6379".parse().unwrap(),
        reason: Reason::Silent,
        by: "alice@ops-1".to_owned(),
        why: "new switches".to_owned(),
        leader: "m1".parse().unwrap(),
    };
    let (entry, sample) = (Entry::Withheld(Box::new(told)), golden!("withheld.entry.json"));
    assert_eq!(text(&entry_bytes(&entry)), text(sample));
    assert_eq!(parse_entry("/g/history/0000000004+h:1.1", sample), Ok(Some(entry)));
    assert!(parse_entry("/g", br#"{"format":1,"kind":"withheld"}"#).is_err());
}

#[test]
fn what_nodes_that_came_back_hold_beyond_is_kept_in_the_state() {
    let file = || "f.rdb".to_owned();
    let all = [
        ("h:1", Some(7), Keeping::Discarded, r#"{"run":"r","left":2,"bytes":7,"is":"discarded"}"#),
        ("h:2", None, Keeping::Due { file: file() }, r#"{"run":"r","is":"due","file":"f.rdb"}"#),
        (
            "h:3",
            Some(0),
            Keeping::Saved { file: file() },
            r#"{"run":"r","left":2,"bytes":0,"is":"saved","file":"f.rdb"}"#,
        ),
        (
            "h:4",
            None,
            Keeping::Held { file: file(), why: "full".to_owned() },
            r#"{"run":"r","is":"held","file":"f.rdb","why":"full"}"#,
        ),
    ];
    for (node, bytes, keeping, expected) in all {
        let divergence =
            Divergence { run: RunId("r".to_owned()), left: bytes.map(|_| Epoch(2)), bytes, keeping };
        let record = Topology { diverged: [(node.parse().unwrap(), divergence)].into(), ..steady() };
        let state = state_bytes(&record, Some(golden!("steady.state.json")));
        assert!(
            text(&state).contains(&format!(r#","diverged":{{"{node}":{expected}}}"#)),
            "{}",
            text(&state)
        );
        let read = read("/g", Some(golden!("steady.document.json")), Some(&state));
        assert_eq!(read, Ok(Found::Record(Box::new(record))));
        assert_eq!(text(&state_bytes(&steady(), Some(&state))), text(golden!("steady.state.json")));
    }
}

#[test]
fn entries_of_the_history_are_read_and_written_byte_for_byte() {
    for (account, sample) in
        [(told(), golden!("change.entry.json")), (given_up(), golden!("given_up.entry.json"))]
    {
        let entry = Entry::Change(Box::new(account));
        assert_eq!(text(&entry_bytes(&entry)), text(sample));
        assert_eq!(parse_entry("/g/history/0000000004", sample), Ok(Some(entry)));
    }
    for (told, sample) in
        [(returned(), golden!("return.entry.json")), (uncounted(), golden!("uncounted.entry.json"))]
    {
        let entry = Entry::Return(Box::new(told));
        assert_eq!(text(&entry_bytes(&entry)), text(sample));
        assert_eq!(parse_entry("/g/history/0000000004+h:1.1", sample), Ok(Some(entry)));
    }
}

/// A node that came back, with all that can be told of one.
fn returned() -> Return {
    Return {
        epoch: Epoch(4),
        node: "[::1]:6380".parse().unwrap(),
        replid: ReplId("b".to_owned()),
        offset: 4800,
        keys: 12,
        divergence: Divergence {
            run: RunId("run-of-one".to_owned()),
            left: Some(Epoch(3)),
            bytes: Some(89),
            keeping: Keeping::Saved { file: "/data/f.rdb".to_owned() },
        },
        leader: "m2".parse().unwrap(),
    }
}

/// One whose history nobody knows.
fn uncounted() -> Return {
    let keeping = Keeping::Held { file: "f.rdb".to_owned(), why: "full".to_owned() };
    Return {
        epoch: Epoch(4),
        node: "h:1".parse().unwrap(),
        replid: ReplId("x".to_owned()),
        offset: 9,
        keys: 1,
        divergence: Divergence { run: RunId("r".to_owned()), left: None, bytes: None, keeping },
        leader: "m1".parse().unwrap(),
    }
}

#[test]
fn an_entry_of_a_later_version_is_read_as_far_as_it_is_understood_or_left_out() {
    let sample = text(golden!("change.entry.json"));
    let read = |text: &str| parse_entry("/g/history/0000000004", text.as_bytes());
    let more = sample.replace(r#""epoch":4"#, r#""epoch":4,"later":{"deep":1}"#);
    assert_eq!(read(&more), Ok(Some(Entry::Change(Box::new(told())))));
    let mut less = told();
    less.times.remove(&Milestone::Frozen);
    less.cause = Cause::Lost(Reason::Other);
    let words =
        sample.replace(r#""frozen":2"#, r#""danced":2"#).replace(r#""reason":"silent""#, r#""reason":"x""#);
    assert_eq!(read(&words), Ok(Some(Entry::Change(Box::new(less)))));
    assert_eq!(read(&sample.replace(r#""kind":"change""#, r#""kind":"dance""#)), Ok(None));
    assert_eq!(read(&sample.replace(r#""format":1"#, r#""format":2"#)), Ok(None));
    let sample = text(golden!("return.entry.json"));
    let more = sample.replace(r#""epoch":4"#, r#""epoch":4,"later":{"deep":1}"#);
    assert_eq!(read(&more), Ok(Some(Entry::Return(Box::new(returned())))));
    assert_eq!(read(&sample.replace(r#""is":"saved""#, r#""is":"painted""#)), Ok(None));
    let kinds = [r#"{"format":1,"kind":"change"}"#, r#"{"format":1,"kind":"return"}"#];
    for bad in ["", "what?", "{}", r#"{"format":1}"#].into_iter().chain(kinds) {
        let error = read(bad).expect_err(bad);
        assert!(error.to_string().contains("/g/history/0000000004"), "{error}");
    }
}

#[test]
fn what_an_open_epoch_keeps_to_be_told_never_makes_a_record_unreadable() {
    let state = text(golden!("opened.state.json"));
    let other = state.replace(r#""ages_ms":{"m1":3}"#, r#""ages_ms":"three""#);
    assert_ne!(other, state);
    let found = read("/g", Some(golden!("failing_over.document.json")), Some(other.as_bytes()));
    assert_eq!(found, Ok(Found::Record(Box::new(failing_over()))));
}
