//! Steps a decider through a journal and compares what it decides with what was decided. It commands nobody.

use std::io::BufRead;

use redis_failover_core::{Action, Decider, Event, Grounds, Instant, Observation, Outcome, Status, Topology};

use super::format::{Entry, Head};
use super::reader::{Read, ReadError, Reader, Recorded};
use super::{Call, Moment};

/// A journal that is stepped through.
pub(crate) struct Replay<R> {
    reader: Reader<R>,
    state: Option<State>,
    /// How often it did not decide as it was recorded.
    differences: usize,
}

/// Where it has come since the last head.
struct State {
    decider: Decider,
    time: Moment,
    then: Instant,
    now: Instant,
    /// What it thought after the last call.
    view: View,
    /// Nothing can be said before the next head: what was decided here is not what the journal goes on with.
    astray: bool,
}

/// What the decider thinks at a moment, and goes by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct View {
    /// What it concludes.
    pub(crate) status: Status,
    /// The record.
    pub(crate) record: Option<Topology>,
}

/// One thing that stands in a journal, or that is wrong with it.
#[derive(Debug)]
pub(crate) enum Turn {
    /// What follows can be read from here on.
    Begin(Box<Head>, Box<View>),
    /// A line is cut off, as after a crash.
    Cut,
    /// The decider was told something, or found nothing to do: what that is called, and what it thought before and
    /// thinks now.
    Told {
        /// What kind of call it was.
        call: &'static str,
        /// Whether it told of a step that did not succeed.
        failed: bool,
        /// Before.
        before: Box<View>,
        /// After.
        after: Box<View>,
    },
    /// It decided something, or it was recorded that it did.
    Decided(Box<Decision>),
}

/// A decision.
#[derive(Debug)]
pub(crate) struct Decision {
    /// What is decided now.
    pub(crate) action: Option<Action>,
    /// What it is based on.
    pub(crate) grounds: Grounds,
    /// The record that it is based on.
    pub(crate) record: Option<Topology>,
    /// What the monitor saw last.
    pub(crate) observation: Observation,
    /// What was recorded, if that is not what is decided now.
    pub(crate) differs: Option<Differs>,
}

/// What stands in the journal instead of what is decided now.
#[derive(Debug)]
pub(crate) struct Differs {
    /// The action, or that none was begun.
    pub(crate) recorded: Option<Action>,
}

impl<R: BufRead> Replay<R> {
    /// The journal that is read from here.
    pub(crate) fn new(lines: R) -> Self {
        Self { reader: Reader::new(lines), state: None, differences: 0 }
    }

    /// How often it did not decide as it was recorded.
    pub(crate) fn differences(&self) -> usize {
        self.differences
    }

    /// The next turn, and when that was on the wall clock and on the monitor's own; `None` at the end.
    ///
    /// # Errors
    /// With the line where the journal can't be read on.
    pub(crate) fn next(&mut self) -> Result<Option<(Moment, Instant, Turn)>, ReadError> {
        loop {
            let turn = match self.reader.next()? {
                Read::End => return Ok(None),
                Read::Cut => Some(Turn::Cut),
                Read::Entry(Entry::Begin(head)) => Some(self.begin(head)),
                Read::Entry(Entry::Call(call)) => self.call(call)?,
                // One that no poll is before: only where it went astray.
                Read::Entry(Entry::Action(action)) => self.unasked(*action),
            };
            if let (Some(turn), Some(state)) = (turn, &self.state) {
                return Ok(Some((state.time.of(state.now, state.then), state.now, turn)));
            }
        }
    }

    fn begin(&mut self, head: Box<Head>) -> Turn {
        let view = View::of(&head.decider, head.now);
        self.state = Some(State {
            decider: head.decider.clone(),
            time: head.time,
            then: head.now,
            now: head.now,
            view: view.clone(),
            astray: false,
        });
        Turn::Begin(head, Box::new(view))
    }

    fn call(&mut self, call: Call) -> Result<Option<Turn>, ReadError> {
        let Some(state) = self.state.as_mut().filter(|state| !state.astray) else { return Ok(None) };
        state.now = call.now();
        let (name, polls) = (describe(&call), matches!(call, Call::Poll(_)));
        let action = call.make(&mut state.decider);
        if !polls {
            return Ok(Some(state.told(name)));
        }
        let recorded = match (self.reader.action()?, &action) {
            (Recorded::Action(recorded), _) => Some(*recorded),
            (Recorded::Nothing, _) => None,
            (Recorded::Unknown, action) => action.clone(),
        };
        if action.is_none() && recorded.is_none() {
            return Ok(Some(state.told(name)));
        }
        let differs = action != recorded;
        state.astray = differs;
        self.differences += usize::from(differs);
        Ok(Some(Turn::Decided(Box::new(state.decision(action, differs.then_some(Differs { recorded }))))))
    }

    fn unasked(&mut self, recorded: Action) -> Option<Turn> {
        let state = self.state.as_mut().filter(|state| !state.astray)?;
        state.astray = true;
        self.differences += 1;
        let differs = Differs { recorded: Some(recorded) };
        Some(Turn::Decided(Box::new(state.decision(None, Some(differs)))))
    }
}

impl View {
    fn of(decider: &Decider, now: Instant) -> Self {
        Self { status: decider.status(now), record: decider.record().cloned() }
    }
}

impl State {
    fn told(&mut self, (call, failed): (&'static str, bool)) -> Turn {
        let after = View::of(&self.decider, self.now);
        let before = std::mem::replace(&mut self.view, after.clone());
        Turn::Told { call, failed, before: Box::new(before), after: Box::new(after) }
    }

    fn decision(&self, action: Option<Action>, differs: Option<Differs>) -> Decision {
        Decision {
            action,
            grounds: self.decider.grounds(self.now),
            record: self.decider.record().cloned(),
            observation: self.decider.observation().clone(),
            differs,
        }
    }
}

/// What a call is called, and whether it tells of a step that did not succeed.
fn describe(call: &Call) -> (&'static str, bool) {
    let event = match call {
        Call::Poll(_) => return ("asked for the next step", false),
        Call::Seed(..) => return ("the configuration was read again", false),
        Call::Handle(_, event) => event,
    };
    match event {
        Event::Leadership(_) => ("the lead", false),
        Event::TopologyRead(_) => ("the record was read", false),
        Event::TopologyUnreadable => ("the record cannot be read", false),
        Event::ReportsRead(_) => ("the other monitors' reports", false),
        Event::LeaderWatched(_) => ("how who leads fares", false),
        Event::RequestsRead(_) => ("the requests of operators", false),
        Event::WallClock(_) => ("the wall clock", false),
        Event::Observed(_) => ("what this monitor sees", false),
        Event::Leaving(_) => ("this monitor leaves the group", false),
        Event::Finished(_, outcome) => match outcome {
            Outcome::Committed(_) => ("the step ended: committed", false),
            Outcome::Read(_) => ("the step ended: the nodes were read", false),
            Outcome::Promoted(Some(_)) => ("the step ended: it answered after its promotion", false),
            Outcome::Done(_) => ("the step ended: done by who answered", false),
            Outcome::Saving(Some(_)) => ("the step ended: the node said how far its snapshot is", false),
            Outcome::Answered => ("the step ended: answered", false),
            Outcome::Deposed => ("the step ended: the leader's lock is gone", false),
            Outcome::Amended => ("the step ended: the history was amended, or cannot be", false),
            Outcome::CommitRefused => ("the step failed: the store does not let this monitor write", true),
            Outcome::NotCommitted => ("the step failed: not committed", true),
            Outcome::CommitUnknown => ("the step failed: it may have been committed", true),
            Outcome::Promoted(None) => ("the step failed: it may have been promoted", true),
            Outcome::Saving(None) => ("the step failed: no answer, a snapshot may have been begun", true),
            Outcome::NotAnswered => ("the step failed: not answered", true),
            Outcome::NotDeposed => ("the step failed: the leader's lock may stand", true),
            Outcome::NotBegun => ("the step failed: not begun", true),
        },
    }
}
