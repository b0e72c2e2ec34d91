//! Where journals are written: how much of them, beside whom, and what becomes of what can't be.

use std::thread::JoinHandle;
use std::time::Duration;

use redis_failover_core::Decider;
use redis_failover_lab::{ensure_eq, eventually};

use super::super::recorded::Journal;
use super::*;

const DEADLINE: Duration = Duration::from_secs(20);

/// Lets a story go on for so many probes, each written before the next.
fn pass_slowly(story: &mut Story, probes: usize) {
    for _ in 0..probes {
        story.pass(1);
        eventually(DEADLINE, "it is written", || ensure_eq(story.recorded.is_taken(), true));
    }
}

/// The decider after all that a journal of one head says.
fn end_of(text: &str) -> Decider {
    let mut codec = Codec::default();
    let mut decider = None;
    for line in text.lines() {
        match codec.decode(line.as_bytes()).expect("a line") {
            Entry::Begin(head) => assert!(decider.replace(head.decider).is_none(), "one head"),
            Entry::Call(call) => drop(call.make(decider.as_mut().expect("a head came before"))),
            Entry::Action(_) => {}
        }
    }
    decider.expect("a head")
}

fn begin_of(text: &str) -> Head {
    match Codec::default().decode(text.lines().next().expect("a line").as_bytes()) {
        Ok(Entry::Begin(head)) => *head,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_full_file_is_renamed_and_each_of_the_two_can_be_read_alone() {
    let place = Place::new();
    let limit = 64 << 10;
    let mut story = Story::new(Some(JournalFile { limit, ..place.file() }));
    story.found();
    let older = place.file().older();
    let mut renamed = 0;
    let mut present = String::new();
    for _ in 0..400 {
        pass_slowly(&mut story, 1);
        let now = fs::read_to_string(&older).unwrap_or_default();
        renamed += usize::from(now != present);
        present = now;
    }
    story.kill("a");
    pass_slowly(&mut story, 15);
    story.recorded.close().await;
    assert!((2..20).contains(&renamed), "renamed {renamed} times");
    let (first, second) = (fs::read_to_string(&older).expect("an older one"), place.text());
    for text in [&first, &second] {
        // One turn of the loop may come on top.
        assert!((text.len() as u64) < limit / 2 + 4_096, "{} bytes", text.len());
        assert_eq!(replay(text).expect("it can be read").1, 0);
    }
    assert!(!begin_of(&second).started);
    assert_eq!(begin_of(&second).missing, 0);
    assert_eq!(format!("{:?}", begin_of(&second).decider), format!("{:?}", end_of(&first)));
    let decided = |text: &str| decisions(&replay(text).expect("it can be read").0).len();
    assert!(decided(&first) + decided(&second) > 5, "the failover is in the two");
}

#[tokio::test]
async fn another_life_goes_on_in_the_same_file() {
    let place = Place::new();
    Story::whole(Some(place.file())).recorded.close().await;
    let first = place.text();
    fs::write(place.path(), first.clone() + "{\"observed\":[1").expect("it was killed while it wrote");
    Story::whole(Some(place.file())).recorded.close().await;
    assert!(place.text().starts_with(&first));
    let (turns, differences) = replay(&place.text()).expect("it can be read");
    assert_eq!(differences, 0);
    let begun = |turn: &&Turn| matches!(turn, Turn::Begin(head, _) if head.started);
    assert_eq!(turns.iter().filter(begun).count(), 2);
    assert_eq!(turns.iter().filter(|turn| matches!(turn, Turn::Cut)).count(), 1);
}

#[tokio::test]
async fn a_file_that_is_no_journal_is_left_as_it_is_and_one_of_another_format_is_put_aside() {
    let place = Place::new();
    fs::write(place.path(), "precious").expect("it is written");
    let story = Story::whole(Some(place.file()));
    assert!(story.actions.len() > 8, "it goes on: {:?}", story.actions);
    story.recorded.close().await;
    assert_eq!(place.text(), "precious");
    assert!(!place.file().older().exists());

    let other = format!("{}999,\"more\":1}}}}\n", super::super::format::OPENING);
    fs::write(place.path(), &other).expect("it is written");
    Story::whole(Some(place.file())).recorded.close().await;
    assert_eq!(fs::read_to_string(place.file().older()).expect("it was renamed"), other);
    assert_eq!(replay(&place.text()).expect("it can be read").1, 0);

    // Nor is what would be replaced.
    fs::write(place.path(), &other).expect("it is written");
    fs::write(place.file().older(), "precious").expect("it is written");
    Story::whole(Some(place.file())).recorded.close().await;
    assert_eq!(fs::read_to_string(place.file().older()).expect("it is there"), "precious");
    assert_eq!(place.text(), other);
}

#[tokio::test]
async fn two_that_are_given_one_file_do_not_mix_in_it() {
    let place = Place::new();
    let mut first = Story::new(Some(place.file()));
    first.found();
    eventually(DEADLINE, "the first writes", || {
        let text = fs::read_to_string(place.path()).unwrap_or_default();
        if text.ends_with("}\n") { Ok(()) } else { Err(text) }
    });
    Story::whole(Some(place.file())).recorded.close().await;
    first.pass(3);
    first.recorded.close().await;
    let (turns, differences) = replay(&place.text()).expect("it can be read");
    assert_eq!(differences, 0);
    assert_eq!(turns.iter().filter(|turn| matches!(turn, Turn::Begin(..))).count(), 1);
}

/// A decider with a journal that has little room, and whose writer begins when it is told to.
struct Pressed {
    journal: Journal,
    decider: Decider,
    now: u64,
}

impl Pressed {
    fn poll(&mut self, times: usize) {
        for _ in 0..times {
            self.now += 1;
            let call = Call::Poll(at(self.now));
            self.journal.call(&self.decider, &call);
            assert_eq!(call.make(&mut self.decider), None);
        }
    }

    fn until_taken(&self) {
        eventually(DEADLINE, "the writer has taken all", || ensure_eq(self.journal.is_taken(), true));
    }

    fn end(self, writer: JoinHandle<()>) {
        drop(self.journal);
        writer.join().expect("the writer ends");
    }
}

fn pressed(place: JournalFile, again: Duration) -> (Pressed, impl FnOnce() -> JoinHandle<()>) {
    let (journal, mut writer) = Journal::new("orders", place, 8);
    writer.again = again;
    let decider = (*Story::new(None).recorded).clone();
    let start = move || std::thread::spawn(move || writer.run());
    (Pressed { journal, decider, now: 1_000_000 }, start)
}

fn begun(turns: &[Turn]) -> Vec<(bool, u64)> {
    let head = |turn: &Turn| match turn {
        Turn::Begin(head, _) => Some((head.started, head.missing)),
        _ => None,
    };
    turns.iter().filter_map(head).collect()
}

#[test]
fn what_finds_no_room_is_counted_and_it_goes_on_at_a_head() {
    let place = Place::new();
    let (mut pressed, start) = pressed(place.file(), Duration::ZERO);
    // A head and seven calls fill it.
    pressed.poll(7 + 5);
    let writer = start();
    pressed.until_taken();
    // What a call that found no room yielded has no place either, though there is room now.
    let action = Story::whole(None).actions.remove(0);
    pressed.journal.send(|| Entry::Action(Box::new(action)));
    pressed.poll(3);
    pressed.until_taken();
    pressed.poll(3);
    pressed.end(writer);
    let text = place.text();
    let (turns, differences) = replay(&text).expect("it can be read");
    assert_eq!(begun(&turns), [(true, 0), (false, 6)]);
    assert_eq!(differences, 0);
    assert_eq!(text.matches("{\"poll\"").count(), 7 + 6);
}

#[test]
fn what_cannot_be_written_is_counted_and_tried_again() {
    let place = Place::new();
    let directory = place.directory.path().join("not yet");
    let file = JournalFile { path: directory.join("journal"), ..place.file() };
    let (mut pressed, start) = pressed(file.clone(), Duration::ZERO);
    let writer = start();
    for _ in 0..4 {
        pressed.poll(2);
        pressed.until_taken();
    }
    fs::create_dir(&directory).expect("it is there now");
    eventually(DEADLINE, "it is written", || {
        pressed.poll(1);
        pressed.until_taken();
        fs::read_to_string(&file.path).map(drop)
    });
    pressed.poll(2);
    pressed.end(writer);
    let text = fs::read_to_string(&file.path).expect("a journal");
    let (turns, differences) = replay(&text).expect("it can be read");
    assert_eq!(differences, 0);
    let [(_, missing)] = begun(&turns)[..] else { panic!("{:?}", begun(&turns)) };
    assert!(missing >= 8, "{missing} are missing");
    assert_eq!(begin_of(&text).missing, missing);
}
