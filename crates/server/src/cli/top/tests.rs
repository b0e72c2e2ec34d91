//! What is drawn of groups that are written by hand, and what keys do. No server runs here, and no terminal is needed.

use std::time::{Duration, Instant, UNIX_EPOCH};

use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use redis_failover_core::{Link, NodeAddr, Role};

use super::draw::draw;
use super::model::{Asked, Model, News, Quiet, Said, Told, Update};
use crate::cli::expect::assert_kept;
use crate::cli::status::Seen;
use crate::cli::status::tests::{no_zookeeper_seen, nothing_seen, sound_view, unwell_view};

const HISTORY: &str = "\
time                     epoch  master                                      why         without   lost
2026-01-31T13:04:12.353Z     1  - -> a:6379                                 founded     -         -
2026-01-31T13:05:01.106Z     2  a:6379 -> b:6379                            refused     107 ms    about 0 bytes, 55 ms
";

fn node(name: &str) -> NodeAddr {
    NodeAddr::new(name, 6379)
}

fn master(offset: u64) -> Told {
    let ping = Duration::from_micros(340);
    Told { ping, role: Some(Role::Master { replicas: 2 }), at: Some(("id".to_owned(), offset)), heard: None }
}

fn replica(link: Link, offset: u64) -> Told {
    let role = Role::Replica { of: Some(node("a")), link, received: offset };
    let at = Some(("id".to_owned(), offset));
    Told { ping: Duration::from_micros(1_250), role: Some(role), at, heard: Some(1) }
}

fn screen() -> Model {
    let mut model = Model::new(["/redis/orders", "/redis/sessions", "/redis/carts"].map(str::to_owned));
    model.now = UNIX_EPOCH + Duration::from_millis(1_769_864_701_106);
    learn_seen(&mut model, 0, Ok(sound_view()));
    learn_seen(&mut model, 1, Ok(unwell_view()));
    model.learn(Update { group: 0, news: News::History(Ok(HISTORY.to_owned())) });
    let answers = [("a", master(4_800)), ("b", replica(Link::Up, 4_711)), ("c", replica(Link::Up, 4_800))];
    for (name, told) in answers {
        say(&mut model, name, Ok(told));
    }
    model
}

fn learn_seen(model: &mut Model, group: usize, seen: Seen) {
    model.learn(Update { group, news: News::Seen(Box::new(seen)) });
}

fn say(model: &mut Model, name: &str, said: Said) {
    model.learn(Update { group: model.chosen, news: News::Said(node(name), said) });
}

fn press(model: &mut Model, code: KeyCode) -> Asked {
    model.press(KeyEvent::new(code, KeyModifiers::NONE))
}

/// What stands on a screen of this size, without the blanks at the ends of lines.
fn drawn(model: &Model, width: u16, height: u16) -> String {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).expect("a screen");
    terminal.draw(|frame| draw(model, frame)).expect("it is drawn");
    let buffer = terminal.backend().buffer();
    let line = |y| {
        let line: String = (0..width).map(|x| buffer[(x, y)].symbol()).collect();
        line.trim_end().to_owned() + "\n"
    };
    (0..height).map(line).collect()
}

#[test]
fn screens_are_as_they_are_kept() {
    let mut model = screen();
    assert_kept("top_sound", &drawn(&model, 140, 24));
    press(&mut model, KeyCode::Char('?'));
    assert_kept("top_help", &drawn(&model, 120, 24));
    press(&mut model, KeyCode::Char('?'));
    press(&mut model, KeyCode::Down);
    let since = model.instant;
    model.instant = since + Duration::from_millis(12_345);
    say(&mut model, "a", Err(Quiet::Silent(since)));
    say(&mut model, "b", Ok(replica(Link::Down { seconds: 12 }, 7)));
    say(&mut model, "c", Err(Quiet::Because("connection refused".to_owned())));
    let refused = Err("no answer from ZooKeeper within 5s".to_owned());
    model.learn(Update { group: 1, news: News::History(refused) });
    assert_kept("top_unwell", &drawn(&model, 140, 34));
    press(&mut model, KeyCode::Down);
    assert_kept("top_not_yet", &drawn(&model, 80, 12));
    learn_seen(&mut model, 2, no_zookeeper_seen());
    assert_kept("top_no_zookeeper", &drawn(&model, 80, 12));
}

#[test]
fn what_the_record_said_stays_on_the_screen_while_zookeeper_is_away() {
    let mut model = screen();
    learn_seen(&mut model, 0, no_zookeeper_seen());
    model.learn(Update { group: 0, news: News::History(Err("no answer".to_owned())) });
    say(&mut model, "b", Err(Quiet::Because("connection refused".to_owned())));
    assert_kept("top_no_record", &drawn(&model, 120, 24));
    assert_eq!(model.group().lag(&node("c")), Some(0), "the nodes say that");
    learn_seen(&mut model, 0, no_zookeeper_seen());
    assert!(model.group().view().is_some(), "for however long");
    learn_seen(&mut model, 0, nothing_seen());
    assert!(model.group().view().is_none(), "ZooKeeper says that there is no record any more");
    learn_seen(&mut model, 0, no_zookeeper_seen());
    assert!(model.group().view().is_none());
}

#[test]
fn what_is_advised_stands_whole_on_a_narrow_screen() {
    let mut model = screen();
    press(&mut model, KeyCode::Down);
    let shown = drawn(&model, 80, 60);
    assert_kept("top_narrow", &shown);
    let right = shown.lines().filter_map(|line| line.split_once('│')).map(|(_, right)| right.trim());
    let words = right.collect::<Vec<_>>().join(" ");
    for whole in [
        "redis-failover resume -z zk1:2181,zk2:2181,zk3:2181 -p /redis/orders",
        "redis-failover adopt -z zk1:2181,zk2:2181,zk3:2181 -p /redis/orders --master NODE",
        "paused by alice@desk, since",
        "diverged b:6379 is held:",
    ] {
        let squeezed = words.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(squeezed.contains(whole), "{whole}\n{shown}");
    }
    assert!(drawn(&model, 80, 24).contains("… and more"), "{shown}");
}

#[test]
fn no_screen_is_too_small() {
    let mut model = screen();
    for help in [false, true] {
        model.help = help;
        for (width, height) in [(1, 1), (3, 2), (33, 5), (80, 3)] {
            assert_eq!(drawn(&model, width, height).lines().count(), usize::from(height));
        }
    }
}

#[test]
fn of_many_changes_the_newest_are_shown() {
    let mut model = screen();
    let lines: Vec<_> = (0..100).map(|number| format!("change {number}")).collect();
    model.learn(Update { group: 0, news: News::History(Ok(format!("head\n{}\n", lines.join("\n")))) });
    let shown = drawn(&model, 140, 24);
    assert!(shown.contains("head") && shown.contains("change 99") && !shown.contains("change 80"), "{shown}");
}

#[test]
fn the_chosen_group_is_always_in_the_list() {
    let mut model = Model::new((0..30).map(|number| format!("/redis/{number}")));
    for _ in 0..40 {
        press(&mut model, KeyCode::Down);
    }
    assert_eq!(model.chosen, 29);
    assert!(drawn(&model, 80, 12).contains("> /redis/29"));
    press(&mut model, KeyCode::Up);
    assert_eq!(model.chosen, 28);
    model.chosen = 0;
    press(&mut model, KeyCode::Char('k'));
    assert_eq!(model.chosen, 0);
}

#[test]
fn escape_closes_the_help_before_it_ends_all() {
    let mut model = screen();
    assert_eq!(press(&mut model, KeyCode::Char('x')), Asked::Nothing);
    press(&mut model, KeyCode::Char('?'));
    assert!(model.help);
    assert_eq!(press(&mut model, KeyCode::Esc), Asked::Nothing);
    assert!(!model.help);
    assert_eq!(press(&mut model, KeyCode::Esc), Asked::End);
    assert_eq!(press(&mut model, KeyCode::Char('q')), Asked::End);
    assert_eq!(press(&mut model, KeyCode::Char('c')), Asked::Nothing);
    assert_eq!(model.press(KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL)), Asked::End);
}

#[test]
fn lag_is_known_within_one_history_only() {
    let mut model = screen();
    assert_eq!(model.group().lag(&node("b")), Some(89));
    assert_eq!(model.group().lag(&node("a")), None);
    let mut other = replica(Link::Up, 4_711);
    other.at = Some(("another".to_owned(), 4_711));
    say(&mut model, "b", Ok(other));
    assert_eq!(model.group().lag(&node("b")), None);
    say(&mut model, "a", Err(Quiet::Silent(Instant::now())));
    assert_eq!(model.group().lag(&node("c")), None);
}

#[test]
fn a_node_is_well_where_it_is_what_it_is_recorded_as() {
    assert!(master(1).is_well_as(true) && !master(1).is_well_as(false));
    assert!(replica(Link::Up, 1).is_well_as(false) && !replica(Link::Up, 1).is_well_as(true));
    assert!(!replica(Link::Syncing, 1).is_well_as(false));
    assert!(!replica(Link::Down { seconds: 1 }, 1).is_well_as(false));
}

#[test]
fn who_is_not_asked_any_more_says_nothing() {
    let mut model = screen();
    model.learn(Update { group: 0, news: News::Left });
    assert!(drawn(&model, 140, 24).contains("not asked yet"));
}
