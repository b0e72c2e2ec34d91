//! The core's scenarios, with a journal for each monitor: every one replays, also from a head in the middle.

use std::cell::RefCell;
use std::ops::Deref;
use std::path::Path;

use super::*;

// The scenarios' world is that of the core's tests, with the decider below in the place of the core's.
#[path = "../../../../core/tests/scenario/mod.rs"]
mod scenario;

thread_local! {
    /// The journals of all monitors of the scenario that is played.
    static JOURNALS: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// How many calls come between two heads: few, so that deciders are written down in all their states.
const HEAD_EVERY: usize = 29;

/// A decider that writes a journal into memory.
struct Decider {
    real: redis_failover_core::Decider,
    codec: Codec,
    journal: Vec<u8>,
    calls: usize,
}

impl Decider {
    fn new(me: redis_failover_core::MonitorId, nodes: Vec<NodeAddr>, policy: Policy, now: Instant) -> Self {
        let real = redis_failover_core::Decider::new(me, nodes, policy, now);
        Self { real, codec: Codec::default(), journal: Vec::new(), calls: 0 }
    }

    fn handle(&mut self, now: Instant, event: Event) {
        assert_eq!(self.call(Call::Handle(now, event)), None);
    }

    fn poll_action(&mut self, now: Instant) -> Option<Action> {
        self.call(Call::Poll(now))
    }

    fn call(&mut self, call: Call) -> Option<Action> {
        if self.calls.is_multiple_of(HEAD_EVERY) {
            let head = Head {
                journal: FORMAT,
                program: String::new(),
                started: self.calls == 0,
                missing: 0,
                group: String::new(),
                monitor: self.real.monitor().clone(),
                time: "2026-01-01T00:00:00Z".parse().expect("a time"),
                now: call.now(),
                decider: self.real.clone(),
            };
            self.write(Entry::Begin(Box::new(head)));
        }
        self.calls += 1;
        self.write(Entry::Call(call.clone()));
        let action = call.make(&mut self.real);
        if let Some(action) = action.clone() {
            self.write(Entry::Action(Box::new(action)));
        }
        action
    }

    fn write(&mut self, entry: Entry) {
        self.journal.extend(self.codec.encode(entry).expect("it has begun"));
    }
}

impl Deref for Decider {
    type Target = redis_failover_core::Decider;

    fn deref(&self) -> &redis_failover_core::Decider {
        &self.real
    }
}

impl Drop for Decider {
    fn drop(&mut self) {
        let journal = String::from_utf8(std::mem::take(&mut self.journal)).expect("text");
        JOURNALS.with_borrow_mut(|journals| journals.push(journal));
    }
}

/// Asserts that the calls before each head lead to the decider that is written down there.
fn assert_steps_to_each_head(journal: &str) {
    let mut codec = Codec::default();
    let mut stepped: Option<redis_failover_core::Decider> = None;
    for line in journal.lines() {
        match codec.decode(line.as_bytes()).expect("a line") {
            Entry::Begin(head) => {
                if let Some(stepped) = &stepped {
                    assert_eq!(format!("{stepped:?}"), format!("{:?}", head.decider));
                }
                stepped = Some(head.decider);
            }
            Entry::Call(call) => drop(call.make(stepped.as_mut().expect("a head comes first"))),
            Entry::Action(_) => {}
        }
    }
}

#[test]
fn half_of_the_scenarios_replay_without_a_difference_from_any_head() {
    assert_every_second_replays(0);
}

#[test]
fn the_other_half_of_them_does_so_too() {
    assert_every_second_replays(1);
}

/// Plays every second scenario, from the first or the second on, and replays what was written of it. In halves, for one
/// of them takes a core most of a minute.
fn assert_every_second_replays(first: usize) {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../core/tests/scenarios");
    let entries = fs::read_dir(directory).expect("the scenarios");
    let mut files: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
    files.sort();
    let (mut heads, mut decided) = (0, 0);
    for file in files.iter().skip(first).step_by(2) {
        let text = fs::read_to_string(file).expect("a scenario");
        let script = text.split_once("\n----\n").expect("a trace").0;
        scenario::play(script).expect("what it expects holds");
        for journal in JOURNALS.take() {
            assert_steps_to_each_head(&journal);
            let mut replay = Replay::new(Cursor::new(journal));
            while let Some((_, _, turn)) = replay.next().expect("it can be read") {
                match turn {
                    Turn::Begin(..) => heads += 1,
                    Turn::Decided(_) => decided += 1,
                    Turn::Told { .. } => {}
                    Turn::Cut => panic!("{} has a line that is cut off", file.display()),
                }
            }
            assert_eq!(replay.differences(), 0, "{}", file.display());
        }
    }
    assert!(heads > 500 && decided > 250, "{heads} heads, {decided} decisions");
}
