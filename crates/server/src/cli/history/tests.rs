//! What is printed, on accounts written by hand. No server runs here.

use std::time::{Duration, UNIX_EPOCH};

use redis_failover_core::history::{Candidate, Cause, Holds, Seen};
use redis_failover_core::{Divergence, Keeping, MonitorId, Reason, ReplId, RunId, Vote};

use super::*;
use crate::config::ZooKeeperArgs;

fn node(name: &str) -> NodeAddr {
    NodeAddr::new(name, 6379)
}

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn monitor(name: &str) -> MonitorId {
    name.parse().expect("an id")
}

fn holding(why: &str, offset: u64) -> Candidate {
    let holds = Holds {
        run: RunId("run".to_owned()),
        replid: ReplId("0123456789abcdef".to_owned()),
        offset,
        keys: 12,
    };
    Candidate { why: why.to_owned(), holds: Some(holds) }
}

fn failover() -> Account {
    Account {
        epoch: Epoch(2),
        cause: Cause::Lost(Reason::Refused),
        old: Some(node("a")),
        new: node("b"),
        ending: Ending::Published,
        leader: Some(monitor("m1")),
        finished_by: None,
        votes: [
            (monitor("m1"), (Vote::Refused, Some(ms(3)))),
            (monitor("m2"), (Vote::Refused, Some(ms(2)))),
            (monitor("m3"), (Vote::Up, Some(ms(61_000)))),
        ]
        .into(),
        candidates: [
            (node("a"), Candidate { why: "did not answer".to_owned(), holds: None }),
            (node("b"), holding("taken: none that may lead holds more", 4711)),
            (node("c"), holding("57 bytes behind", 4654)),
        ]
        .into(),
        times: Milestone::ALL.into_iter().zip([1, 3, 3, 5, 7, 9, 1_200].map(ms)).collect(),
        following: [(node("c"), ms(21))].into(),
        seen: Some(Seen {
            replid: ReplId("0123456789abcdef".to_owned()),
            offset: 4800,
            age: ms(103),
            frozen: false,
        }),
        loss: Some(Estimate { bytes: Some(89), span: Some(ms(250)) }),
    }
}

/// One of which little is known: another ended it and told no more, and nobody had seen the old master.
fn dim() -> Account {
    let mut dim = failover();
    dim.cause = Cause::Lost(Reason::Silent);
    dim.finished_by = Some(monitor("m2"));
    dim.times.remove(&Milestone::Writable);
    (dim.seen, dim.loss) = (None, Some(Estimate::default()));
    dim
}

fn given_up() -> Account {
    let mut given_up = failover();
    given_up.epoch = Epoch(3);
    given_up.ending = Ending::GivenUp("an earlier leader chose it, and had not carried that out".to_owned());
    given_up.loss = None;
    given_up.times.retain(|step, _| *step <= Milestone::Opened);
    given_up.following.clear();
    given_up
}

fn told(account: Account) -> Told {
    let znode = format!("/g/history/{:010}", account.epoch.0);
    let time = UNIX_EPOCH.checked_add(Duration::from_millis(1_769_864_701_106));
    Told { recorded: Recorded { znode, order: 9, time, entry: Ok(Entry::Change(Box::new(account))) } }
}

#[test]
fn the_list_has_a_line_for_each_change_and_names_what_cannot_be_read() {
    let mut founded = failover();
    (founded.epoch, founded.cause, founded.old) = (Epoch(1), Cause::Founded, None);
    (founded.new, founded.loss) = (node("a"), None);
    let garbage = wire::read("/g/history/0000000004", Some(b"what?"), None).expect_err("it is none");
    let bad =
        Recorded { znode: "/g/history/0000000004".to_owned(), order: 9, time: None, entry: Err(garbage) };
    let all = [told(founded), told(failover()), told(given_up()), told(dim()), Told { recorded: bad }];
    let text = as_text(&all);
    let expected = "\
time                     epoch  master                                      why         without   lost
2026-01-31T13:05:01.106Z     1  - -> a:6379                                 founded     -         -
2026-01-31T13:05:01.106Z     2  a:6379 -> b:6379                            refused     1.2 s     about 89 bytes, 250 ms
2026-01-31T13:05:01.106Z     3  a:6379 -> b:6379                            refused     -         given up
2026-01-31T13:05:01.106Z     2  a:6379 -> b:6379                            silent      > 9 ms    about ? bytes, ?
-                            -  /g/history/0000000004 is left as it is, it cannot be used: it is not JSON";
    assert!(text.starts_with(expected), "{text}");
}

#[test]
fn a_page_tells_all_that_is_known_of_a_change() {
    let expected = "\
epoch 2: a:6379 -> b:6379, written then

Why then
  a:6379 was lost: a quorum found its port closed (refused)
  m1 led

What each monitor said of the old master
  m1               refused, for 3 ms
  m2               refused, for 2 ms
  m3               up, for 1 min 1 s

The candidates
  a:6379                   did not answer
  b:6379                   taken: none that may lead holds more; 12 keys, at 4711 of history 01234567
  c:6379                   57 bytes behind; 12 keys, at 4654 of history 01234567

When, from the leader's first sign of trouble
        1 ms  the master was concluded to be lost
        3 ms  the nodes were frozen and read
        3 ms  the choice was made
        5 ms  the epoch was open, with the choice in the record
        7 ms  the chosen node was a master, closed to writes
        9 ms  it was published
       21 ms  c:6379 follows it
       1.2 s  it took writes
  without a master that takes writes: 1.2 s

What was lost, as an estimate
  the old master was last seen at 4800 of history 01234567, 103 ms before the choice
  that is 89 bytes ahead of the new one
  what it acknowledged in the last 250 ms before its end may be lost

What is not known
  what the old master took after it was last seen
";
    assert_eq!(page::page(&failover(), "then", &[]), expected);
}

#[test]
fn a_page_says_what_is_not_known() {
    let page = page::page(&dim(), "then", &[]);
    for part in [
        "m1 led and began it; m2 ended it",
        "without a master that takes writes: > 9 ms",
        "how many bytes were lost",
        "since when what was acknowledged may be lost",
        "whether it went on taking writes",
        "when the new master took writes",
        "they are m2's",
    ] {
        assert!(page.contains(part), "{page}\nwithout `{part}`");
    }
    let given_up = page::page(&given_up(), "then", &[]);
    assert!(
        given_up.contains("given up for the next epoch: b:6379 was chosen, and an earlier"),
        "{given_up}"
    );
    assert!(!given_up.contains("lost, as an estimate") && !given_up.contains("not known"), "{given_up}");
    let mut won = failover();
    won.seen = won.seen.map(|seen| Seen { frozen: true, ..seen });
    won.loss = Some(Estimate { bytes: Some(0), span: Some(Duration::ZERO) });
    let won = page::page(&won, "then", &[]);
    assert!(
        won.contains("was frozen at 4800") && won.contains("nothing that it acknowledged is in doubt"),
        "{won}"
    );
    assert!(!won.contains("not known"), "{won}");
}

/// Node a came back in this epoch, having left the history of that one.
fn returned(epoch: u64, left: u64) -> Told {
    let entry = Entry::Return(Box::new(Return {
        epoch: Epoch(epoch),
        node: node("a"),
        replid: ReplId("0123456789abcdef".to_owned()),
        offset: 4_800,
        keys: 13,
        divergence: Divergence {
            run: RunId("run".to_owned()),
            left: Some(Epoch(left)),
            bytes: Some(89),
            keeping: Keeping::Discarded,
        },
        leader: monitor("m2"),
    }));
    let mut told = told(failover());
    told.recorded.entry = Ok(entry);
    told.recorded.order += 1;
    told
}

#[test]
fn who_came_back_is_listed_and_told_with_the_change_in_which_its_history_was_left() {
    let text = as_text(&[returned(2, 1)]);
    let line = "2026-01-31T13:05:01.106Z     2  a:6379 came back with 89 bytes beyond where the history of epoch 1 was \
                left, discarded\n";
    assert!(text.ends_with(line), "{text}");

    let mut fourth = failover();
    fourth.epoch = Epoch(4);
    // In epoch 3, which nobody was published in, no history was left.
    let all =
        [told(failover()), told(given_up()), told(fourth), returned(2, 1), returned(4, 1), returned(4, 2)];
    let epochs = |of: usize| -> Vec<_> {
        let back = came_back(&all, &all[of]).into_iter().filter_map(Told::returned);
        back.map(|it| (it.epoch.0, it.divergence.left.map(|left| left.0))).collect()
    };
    assert_eq!(epochs(0), [(2, Some(1)), (4, Some(1))]);
    assert_eq!(epochs(1), []);
    assert_eq!(epochs(2), [(4, Some(1)), (4, Some(2))]);
    let mut earlier = returned(2, 1);
    earlier.recorded.order = 1;
    let all = [earlier, told(failover())];
    assert!(came_back(&all, &all[1]).is_empty(), "that is of an earlier life of the group");

    let back = returned(5, 1);
    let page = page::page(&failover(), "then", &[("later".to_owned(), back.returned().expect("one"))]);
    let part = "
What came back since, and the master does not have
  a:6379, later in epoch 5: 89 bytes beyond where the history of epoch 1 was left, discarded
    13 keys, at 4800 of history 01234567; told by m2
";
    assert!(page.contains(part), "{page}");
}

#[test]
fn an_unknown_epoch_names_the_nearest_one() {
    let store = |path: &str| StoreArgs {
        zkhosts: "h:1".parse().expect("servers"),
        path: path.parse().expect("a path"),
        zookeeper: ZooKeeperArgs::default(),
    };
    let all = [told(failover()), told(given_up())];
    let failure = unknown(&store("/g"), Epoch(9), &all).to_string();
    assert!(failure.contains("nothing of epoch 9") && failure.contains("epoch 3"), "{failure}");
    assert!(unknown(&store("/g"), Epoch(0), &all).to_string().contains("is epoch 2"));
}

#[test]
fn json_is_what_stands_there_with_where_and_when() {
    let value = told(failover()).json();
    assert_eq!(value["epoch"], 2);
    assert_eq!(value["znode"], "/g/history/0000000002");
    assert_eq!(value["time"], "2026-01-31T13:05:01.106Z");
    assert_eq!(value["lost"]["bytes"], 89);
    assert_eq!(value["candidates"]["b:6379"]["holds"]["offset"], 4711);
}
