//! From state to state until there is no new one. It judges nothing.

use std::collections::VecDeque;
use std::ops::ControlFlow;

use super::group::Group;
use super::moves::Move;
use super::pool::{Packed, Pools};
use super::promises::Broken;
use super::seen::{Seen, fingerprint};
use super::turn::Turn;
use super::{Counts, Order, Rules};

/// A search under way.
pub(super) struct Search<'a> {
    rules: &'a Rules,
    begin: Group,
    pools: Pools,
    seen: Seen,
    /// From which state, and by the how manieth of its moves, each state was found first.
    parents: Vec<(u32, u8)>,
    /// The states that were found and not looked into yet: their numbers, and how many moves away they were found.
    waiting: VecDeque<(u32, u16, Packed)>,
    /// What was counted so far.
    pub(super) counts: Counts,
}

/// What broke a promise, and the moves that led there.
#[derive(Clone, Debug)]
pub(super) struct Trail {
    pub(super) broken: Broken,
    pub(super) lines: Vec<String>,
}

impl<'a> Search<'a> {
    /// A search from `begin`.
    pub(super) fn new(rules: &'a Rules, begin: Group) -> Self {
        let (mut pools, mut seen) = (Pools::new(), Seen::new());
        let sketch = pools.sketch(&begin, None);
        seen.insert(fingerprint(&sketch));
        let first = pools.keep(&begin, sketch);
        Self {
            rules,
            begin,
            pools,
            seen,
            parents: vec![(0, 0)],
            waiting: VecDeque::from([(0, 0, first)]),
            counts: Counts { states: 1, ..Counts::default() },
        }
    }

    /// Looks into the next state. It breaks when there is none, or a promise is broken.
    pub(super) fn step(&mut self) -> ControlFlow<Option<Trail>> {
        let next = match self.rules.order {
            Order::Breadth => self.waiting.pop_front(),
            Order::Depth => self.waiting.pop_back(),
        };
        let Some((number, depth, packed)) = next else { return ControlFlow::Break(None) };
        self.counts.depth = self.counts.depth.max(usize::from(depth));
        let group = self.pools.unpack(&packed);
        let moves = group.moves(self.rules);
        if moves.iter().all(|it| it.is_optional())
            && let Some(broken) = self.end(&group)
        {
            return ControlFlow::Break(Some(self.trail(number, None, broken)));
        }
        for (choice, step) in (0..).zip(moves) {
            let mut turn = Turn { group: group.clone(), rules: self.rules, broken: None };
            turn.take(step);
            self.counts.moves += 1;
            if let Some(broken) = turn.broken.take().or_else(|| turn.group.check()) {
                return ControlFlow::Break(Some(self.trail(number, Some(step), broken)));
            }
            turn.group.note_idleness(&group);
            let sketch = self.pools.sketch(&turn.group, Some(&packed));
            if self.seen.insert(fingerprint(&sketch)) {
                let found = u32::try_from(self.counts.states).unwrap_or(u32::MAX);
                self.counts.states += 1;
                self.parents.push((number, choice));
                self.waiting.push_back((found, depth + 1, self.pools.keep(&turn.group, sketch)));
            }
        }
        self.pools.release(&packed);
        self.counts.waiting = self.waiting.len();
        self.counts.parts = self.pools.made();
        self.counts.bytes = self.seen.bytes()
            + self.parents.capacity() * size_of::<(u32, u8)>()
            + self.waiting.capacity() * size_of::<(u32, u16, Packed)>();
        ControlFlow::Continue(())
    }

    /// A state in which nothing more need happen.
    fn end(&mut self, group: &Group) -> Option<Broken> {
        self.counts.ends += 1;
        self.counts.races += usize::from(group.rest.past.race_begun);
        if let Some(amiss) = group.check_end(self.rules) {
            return Some(Broken::Amiss(amiss));
        }
        if group.find_amiss(self.rules).is_some() {
            self.counts.waits += 1;
        }
        group.has_lost().then_some(Broken::WriteLost)
    }

    /// The moves to a state, found by taking them again.
    fn trail(&self, state: u32, last: Option<Move>, broken: Broken) -> Trail {
        let (mut choices, mut at) = (Vec::new(), state);
        while at != 0 {
            let (parent, choice) = self.parents[at as usize];
            choices.push(choice);
            at = parent;
        }
        let mut group = self.begin.clone();
        let mut lines = Vec::new();
        for choice in choices.into_iter().rev() {
            let step = group.moves(self.rules)[usize::from(choice)];
            lines.push(group.say(step));
            group = group.after(self.rules, step);
        }
        lines.extend(last.map(|step| group.say(step)));
        Trail { broken, lines }
    }
}

impl Group {
    /// The move in words, with the time and what it carries out.
    fn say(&self, step: Move) -> String {
        let now = self.rest.now % 1_000_000;
        let what = match step {
            Move::Visit(monitor, _)
            | Move::Miss(monitor, _)
            | Move::Finish(monitor)
            | Move::Lose(monitor) => {
                self.monitors[monitor].running.as_ref().map(|running| format!(" ({})", running.action.step))
            }
            Move::Late(monitor, n) => {
                let late = self.monitors[monitor].late.iter().nth(n);
                late.map(|late| format!(" ({:?} at {})", late.command, super::group::address(late.node)))
            }
            _ => None,
        };
        format!("{now:>6} {step}{}", what.unwrap_or_default())
    }
}
