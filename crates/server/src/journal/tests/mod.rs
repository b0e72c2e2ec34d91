//! Journals that are written, damaged and stepped through.

mod files;
mod scenarios;
mod story;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Cursor;
use std::path::PathBuf;

use redis_failover_core::{
    Action, ActionId, Answer, Divergence, Epoch, Event, Evidence, Failover, Found, History, Keeping,
    Leadership, Member, Observation, Outcome, Peer, Purpose, ReplId, Request, RequestId, Requests, Return,
    Role, RunId, Saving, Step, Term, Version, Versioned,
};
use tempfile::TempDir;

use super::format::{BadLine, Codec, Entry, FORMAT, Head};
use super::*;
use story::{Story, at, node};

/// A directory with a journal.
struct Place {
    directory: TempDir,
}

impl Place {
    fn new() -> Self {
        Self { directory: tempfile::tempdir().expect("a directory") }
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("journal")
    }

    fn file(&self) -> JournalFile {
        JournalFile { path: self.path(), limit: 16 << 20 }
    }

    fn text(&self) -> String {
        fs::read_to_string(self.path()).expect("a journal")
    }
}

/// The text of a journal of the whole story, and the actions of that.
async fn journal() -> (String, Vec<Action>) {
    let place = Place::new();
    let story = Story::whole(Some(place.file()));
    story.recorded.close().await;
    (place.text(), story.actions)
}

/// All that stands in a journal, and how many decisions differ.
fn replay(text: &str) -> Result<(Vec<Turn>, usize), String> {
    let mut replay = Replay::new(Cursor::new(text.as_bytes()));
    let mut turns = Vec::new();
    while let Some((_, _, turn)) = replay.next().map_err(|error| error.to_string())? {
        turns.push(turn);
    }
    Ok((turns, replay.differences()))
}

fn decisions(turns: &[Turn]) -> Vec<&Decision> {
    let mut decisions = Vec::new();
    for turn in turns {
        if let Turn::Decided(decision) = turn {
            decisions.push(&**decision);
        }
    }
    decisions
}

#[tokio::test]
async fn a_whole_failover_replays_without_a_difference() {
    let (text, actions) = journal().await;
    let (turns, differences) = replay(&text).expect("it can be read");
    assert_eq!(differences, 0);
    let decided: Vec<_> = decisions(&turns).iter().map(|it| it.action.clone()).collect();
    assert_eq!(decided, actions.into_iter().map(Some).collect::<Vec<_>>());
    let opens = |it: &&&Decision| {
        let step = it.action.as_ref().map(|action| &action.step);
        matches!(step, Some(Step::Commit { purpose: Purpose::OpenEpoch, .. }))
    };
    let opened = decisions(&turns).into_iter().find(|it| opens(&it)).expect("an epoch was opened");
    let ranking = opened.grounds.ranking.as_ref().expect("it was ranked");
    assert_eq!(ranking.chosen, Some(node("b")));
    assert_eq!(ranking.positions.len() + ranking.dropped.len(), 3, "{ranking:?}");
    assert_eq!(opened.grounds.votes.len(), 2);
    let steps: Vec<_> = decisions(&turns).iter().filter_map(|it| it.action.as_ref()).collect();
    assert!(steps.iter().any(|it| matches!(it.step, Step::Promote { .. })), "{steps:?}");
}

#[tokio::test]
async fn another_action_than_the_recorded_one_is_told() {
    let (text, actions) = journal().await;
    let lines: Vec<&str> = text.lines().collect();
    let freeze = lines.iter().position(|line| line.contains("Freeze")).expect("it froze");
    let rest = |from: usize| lines[from..].join("\n") + "\n";
    let before = rest(0).split_inclusive('\n').take(freeze).collect::<String>();
    let count = actions.iter().position(|it| matches!(it.step, Step::Freeze { .. })).expect("it froze");

    let other = lines[freeze].replace("Freeze", "Look").replace(",\"awaited\":[\"b:6379\",\"c:6379\"]", "");
    let (turns, differences) = replay(&(before.clone() + &other + "\n" + &rest(freeze + 1))).expect("read");
    assert_eq!(differences, 1, "and nothing after it is compared");
    let last = decisions(&turns)[count];
    let recorded = last.differs.as_ref().and_then(|differs| differs.recorded.as_ref());
    assert!(matches!(recorded.map(|it| &it.step), Some(Step::Look { .. })), "{last:?}");
    assert!(matches!(last.action.as_ref().map(|it| &it.step), Some(Step::Freeze { .. })));
    assert_eq!(decisions(&turns).len(), count + 1);

    let (turns, differences) = replay(&(before.clone() + &rest(freeze + 1))).expect("read");
    assert_eq!(differences, 1, "it was not recorded");
    assert!(decisions(&turns)[count].differs.as_ref().is_some_and(|differs| differs.recorded.is_none()));

    let twice = before + lines[freeze] + "\n" + &rest(freeze);
    let (turns, differences) = replay(&twice).expect("read");
    assert_eq!(differences, 1, "nobody asked for it");
    assert!(decisions(&turns)[count + 1].action.is_none());
}

fn evidence() -> Evidence {
    let history = History { replid: ReplId("r".into()), offset: 9, previous: Some((ReplId("q".into()), 4)) };
    Evidence {
        run: RunId("x".into()),
        role: Role::Replica { of: None, link: redis_failover_core::Link::Down { seconds: 3 }, received: 8 },
        history,
        priority: 100,
        uncounted: false,
        keys: u64::MAX,
        saved: Some(7),
        min_replicas_to_write: None,
        version: None,
        appends: None,
    }
}

fn outcomes() -> Vec<Outcome> {
    // All: whoever adds one adds it here.
    let known = |outcome: &Outcome| match outcome {
        Outcome::Committed(_)
        | Outcome::NotCommitted
        | Outcome::CommitRefused
        | Outcome::CommitUnknown
        | Outcome::Read(_)
        | Outcome::Promoted(_)
        | Outcome::Done(_)
        | Outcome::Saving(_)
        | Outcome::Answered
        | Outcome::NotAnswered
        | Outcome::Amended
        | Outcome::Deposed
        | Outcome::NotDeposed
        | Outcome::NotBegun => {}
    };
    let all = vec![
        Outcome::Committed(Version { order: 3, document: 2, state: None }),
        Outcome::Committed(Version { order: -3, document: 2, state: Some(1) }),
        Outcome::NotCommitted,
        Outcome::CommitRefused,
        Outcome::CommitUnknown,
        Outcome::Read(BTreeMap::from([(node("::1"), evidence())])),
        Outcome::Promoted(None),
        Outcome::Promoted(Some(Box::new(evidence()))),
        Outcome::Done(BTreeSet::from([node("a")])),
        Outcome::Deposed,
        Outcome::NotDeposed,
        Outcome::Saving(None),
        Outcome::Saving(Some(Saving::Busy)),
        Outcome::Saving(Some(Saving::Begun { file: "/d/f".into(), unnamed: Some("no".into()) })),
        Outcome::Saving(Some(Saving::Running)),
        Outcome::Saving(Some(Saving::Complete)),
        Outcome::Saving(Some(Saving::Failed("full".into()))),
        Outcome::Answered,
        Outcome::NotAnswered,
        Outcome::Amended,
        Outcome::NotBegun,
    ];
    all.iter().for_each(known);
    all
}

fn events(story: &Story) -> Vec<Event> {
    let member = |name| Member { addr: node(name), ok: true };
    let predecessor = Found::Predecessor { master: member("a"), replicas: vec![member("b")] };
    let record = story.recorded.record().expect("it has one").clone();
    let founds = [Found::Nothing, predecessor, Found::Record(Box::new(record))];
    let requests = Requests::from([
        (RequestId(-1), Request::Adopt { master: node("a") }),
        (RequestId(2), Request::Forget { monitor: "m9".parse().expect("an id") }),
        (RequestId(4), Request::Resync { node: node("a") }),
        (RequestId(5), Request::Failover(Failover::default())),
        (RequestId(3), Request::Unknown("sing \"loud\"\n".into())),
    ]);
    let peer = Peer { ballots: story.observation().ballots, ..Peer::default() };
    let mut events = vec![
        Event::Leadership(Leadership::Following),
        Event::Leadership(Leadership::Leading(Term(-2))),
        Event::Leadership(Leadership::Suspended),
        Event::TopologyUnreadable,
        Event::RequestsRead(requests),
        Event::Leaving(["m2".parse().expect("an id")].into()),
        Event::ReportsRead([("m2".parse().expect("an id"), peer)].into()),
        Event::Observed(Observation::default()),
        Event::Observed(story.observation()),
        Event::Observed(story.observation()),
    ];
    let version = Version { order: 1, document: 2, state: Some(3) };
    events.extend(founds.map(|found| Event::TopologyRead(Versioned { version, found })));
    events.extend(outcomes().into_iter().map(|outcome| Event::Finished(ActionId(4), outcome)));
    events
}

fn head(story: &Story) -> Entry {
    Entry::Begin(Box::new(Head {
        journal: FORMAT,
        program: "1.2.3".into(),
        started: true,
        missing: 5,
        group: "orders".into(),
        monitor: "m1".parse().expect("an id"),
        time: "2026-01-02T03:04:05.678Z".parse().expect("a time"),
        now: at(story.now),
        decider: (*story.recorded).clone(),
    }))
}

#[test]
fn every_event_is_the_same_again() {
    let story = Story::whole(None);
    let (mut writes, mut reads) = (Codec::default(), Codec::default());
    let mut again = |entry: Entry| {
        let line = writes.encode(entry).expect("it has begun");
        reads.decode(line.strip_suffix(b"\n").expect("a line")).expect("it can be read")
    };
    let Entry::Begin(read) = again(head(&story)) else { panic!("a head") };
    assert_eq!(format!("{:?}", read.decider), format!("{:?}", *story.recorded));
    assert_eq!((read.missing, read.time.to_string().as_str()), (5, "2026-01-02T03:04:05.678Z"));
    let mut now = story.now;
    for event in events(&story) {
        now += 3;
        let call = Call::Handle(at(now), event);
        let Entry::Call(read) = again(Entry::Call(call.clone())) else { panic!("a call") };
        assert_eq!(read, call);
    }
    let seed = Call::Seed(at(now - 1), vec![node("a")], Policy::default());
    for call in [Call::Poll(at(now)), seed, Call::Poll(at(0)), Call::Poll(at(u64::MAX))] {
        let Entry::Call(read) = again(Entry::Call(call.clone())) else { panic!("a call") };
        assert_eq!(read, call);
    }
    let answer = Step::Answer { request: RequestId(1), answer: Answer::Refused("no".into()) };
    let steps = story.actions.iter().map(|action| action.step.clone()).chain([answer, tells_a_return()]);
    for step in steps {
        let action = Action { id: ActionId(1), term: Term(2), step };
        let Entry::Action(read) = again(Entry::Action(Box::new(action.clone()))) else { panic!("an action") };
        assert_eq!(*read, action);
    }
}

/// Counts what a node that came back holds.
fn tells_a_return() -> Step {
    let divergence = Divergence {
        run: RunId("r".into()),
        left: Some(Epoch(1)),
        bytes: Some(7),
        keeping: Keeping::Due { file: "f".into() },
    };
    let (replid, leader) = (ReplId("p".into()), "m1".parse().expect("an id"));
    let told = Return { epoch: Epoch(2), node: node("a"), replid, offset: 107, keys: 3, divergence, leader };
    Step::Amend { entry: Box::new(redis_failover_core::Entry::Return(Box::new(told))) }
}

#[test]
fn of_what_is_seen_only_changes_are_written_and_nothing_is_lost() {
    let mut story = Story::whole(None);
    let mut writes = Codec::default();
    writes.encode(head(&story)).expect("a line");
    let mut line = |story: &Story| {
        let call = Call::Handle(at(story.now), Event::Observed(story.observation()));
        String::from_utf8(writes.encode(Entry::Call(call)).expect("a line")).expect("text")
    };
    line(&story);
    assert_eq!(line(&story), "{\"observed\":[0,{}]}\n");
    story.now += 100;
    let (master, replica) = ("\"b:6379\":[1,0,0]", "\"c:6379\":[1,0,0]");
    assert_eq!(line(&story), format!("{{\"observed\":[100,{{\"sightings\":{{{master},{replica}}}}}]}}\n"));
}

#[test]
fn what_is_no_journal_is_refused_by_line_and_cause() {
    let story = Story::whole(None);
    let begin = String::from_utf8(Codec::default().encode(head(&story)).expect("a line")).expect("text");
    let read = |text: &str| replay(text).expect_err(text);
    assert!(read("hello\n").starts_with("line 1: this is no journal of a monitor:"), "{}", read("hello\n"));
    assert!(read("{\"poll\":1}\n").starts_with("line 1: this is no journal of a monitor: it does not begin"));
    assert_eq!(read(&begin[..100]), "line 1: the first line is cut off: nothing can be read");
    let this = format!("\"journal\":{FORMAT},");
    let newer = begin.replace(&this, "\"journal\":99,\"new\":[],");
    let why =
        format!("its format is 99, written by redis-failover 1.2.3; this version reads format {FORMAT}");
    assert_eq!(read(&newer), format!("line 1: {why}"));
    let older = begin.replace(&this, "\"journal\":1,");
    assert_eq!(read(&older), format!("line 1: {}", why.replace("is 99", "is 1")));
    assert_eq!(read(&(begin.clone() + &newer)), format!("line 2: {why}"));
    let bad = read(&(begin.clone() + "{\"poll\":1}\n{\"pol\":1}\n{\"poll\":1}\n"));
    assert!(bad.starts_with("line 3: it is no line of a journal: unknown variant `pol`"), "{bad}");
    let bad = read(&(begin.clone() + "{\"poll\":\n"));
    assert!(bad.starts_with("line 2: it is no line of a journal: EOF"), "{bad}");
    assert!(replay("").expect("nothing").0.is_empty());
    assert!(matches!(Codec::default().decode(b"{\"poll\":1}"), Err(BadLine::NoHead)));
}

#[tokio::test]
async fn a_line_that_is_cut_off_is_no_mistake_and_it_goes_on_at_the_next_head() {
    let (text, actions) = journal().await;
    for cut in [1, 5, 300] {
        let (turns, differences) = replay(&text[..text.len() - cut]).expect("it can be read");
        assert_eq!(differences, 0);
        assert!(matches!(turns.last(), Some(Turn::Cut)));
        // The head of another life follows.
        let (turns, differences) =
            replay(&(text[..text.len() - cut].to_owned() + "\n" + &text)).expect("read");
        assert_eq!(differences, 0);
        let cuts = turns.iter().filter(|turn| matches!(turn, Turn::Cut)).count();
        assert_eq!(cuts, usize::from(cut > 1), "a line that lacks only its end is whole");
        assert!(decisions(&turns).len() > actions.len());
    }
    // What the poll before the cut yielded is not known, which is no difference.
    let freeze = text.find("{\"action\":{\"id\"").expect("an action");
    let (turns, differences) = replay(&text[..freeze + 9]).expect("it can be read");
    assert_eq!(differences, 0);
    assert_eq!(decisions(&turns).len(), 1);
    let (turns, differences) = replay(&text[..freeze]).expect("it can be read");
    assert_eq!((decisions(&turns).len(), differences), (1, 0));
}

/// The journal that the command line's tests read.
const KEPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/journals/failover.journal");

/// Where this fails the format has changed, or what the decider keeps: then FORMAT must be raised, and
/// `UPDATE_EXPECT=1` writes the file anew. Where the decisions alone have changed the latter is enough.
#[tokio::test]
async fn a_journal_of_this_format_is_written_as_it_was() {
    let (text, _) = journal().await;
    let Entry::Begin(head) =
        Codec::default().decode(text.lines().next().expect("a head").as_bytes()).expect("a head")
    else {
        panic!("a head")
    };
    let text = text.replace(&head.time.to_string(), "2026-01-31T13:05:00.000Z");
    let text = text.replace(&format!("\"program\":\"{}\"", head.program), "\"program\":\"0.0.0\"");
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        fs::write(KEPT, &text).expect("it is written");
    }
    let kept = fs::read_to_string(KEPT).expect("the kept journal");
    let differs = text.lines().zip(kept.lines()).find(|(now, then)| now != then);
    assert!(text == kept, "UPDATE_EXPECT=1 writes it anew; the first difference: {differs:?}");
}
