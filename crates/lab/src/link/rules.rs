//! What is done to whose bytes. Plain values with time as an argument; nothing is carried out here.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use socket2::SockFilter;

use super::Direction;

/// Some callers, or all.
#[derive(Clone, Debug)]
pub(super) enum Callers {
    /// All, those of whom nothing is known yet included.
    All,
    /// Those who call from these addresses.
    These(BTreeSet<Ipv4Addr>),
}

impl Callers {
    pub(super) fn contain(&self, caller: Ipv4Addr) -> bool {
        match self {
            Self::All => true,
            Self::These(callers) => callers.contains(&caller),
        }
    }
}

/// What is done to the bytes of one direction.
#[derive(Clone, Debug, Default)]
pub(super) struct Treatment {
    pub(super) held: bool,
    pub(super) delay: Duration,
    /// Since when, how often, and for how long each time.
    pub(super) stalls: Option<(Instant, Duration, Duration)>,
    pub(super) bytes_per_second: Option<u32>,
}

impl Treatment {
    /// When bytes that arrived at `arrived` may pass, as far as is known at `now`; `None` if that depends on an order.
    pub(super) fn due(&self, arrived: Instant, now: Instant) -> Option<Instant> {
        if self.held {
            return None;
        }
        let due = arrived + self.delay;
        Some(self.stall_ends(due.max(now)).unwrap_or(due))
    }

    /// When the stall in which `at` lies is over; `None` if it lies in none.
    fn stall_ends(&self, at: Instant) -> Option<Instant> {
        let (since, every, lasting) = self.stalls?;
        let into = Duration::from_nanos_u128(at.duration_since(since).as_nanos() % every.as_nanos().max(1));
        lasting.checked_sub(into).filter(|left| !left.is_zero()).map(|left| at + left)
    }
}

/// What is done to one caller.
#[derive(Clone, Debug, Default)]
pub(super) struct Rule {
    pub(super) cut: bool,
    requests: Treatment,
    replies: Treatment,
}

impl Rule {
    pub(super) fn treatment(&self, direction: Direction) -> &Treatment {
        match direction {
            Direction::Requests => &self.requests,
            Direction::Replies => &self.replies,
        }
    }

    pub(super) fn treatment_mut(&mut self, direction: Direction) -> &mut Treatment {
        match direction {
            Direction::Requests => &mut self.requests,
            Direction::Replies => &mut self.replies,
        }
    }

    /// Whether an attempt to connect goes unanswered: it needs both directions.
    fn is_deaf(&self) -> bool {
        self.requests.held || self.replies.held
    }
}

/// What is done to all callers.
#[derive(Debug, Default)]
pub(super) struct Rules {
    others: Rule,
    /// Callers for whom something was ordered by name.
    named: BTreeMap<Ipv4Addr, Rule>,
}

impl Rules {
    pub(super) fn of(&self, caller: Ipv4Addr) -> &Rule {
        self.named.get(&caller).unwrap_or(&self.others)
    }

    pub(super) fn edit(&mut self, callers: &Callers, edit: impl Fn(&mut Rule)) {
        match callers {
            Callers::All => {
                edit(&mut self.others);
                self.named.values_mut().for_each(edit);
            }
            Callers::These(callers) => {
                for caller in callers {
                    edit(self.named.entry(*caller).or_insert_with(|| self.others.clone()));
                }
            }
        }
    }

    /// Whether somebody's attempts to connect go unanswered.
    pub(super) fn any_deaf(&self) -> bool {
        self.named.values().chain([&self.others]).any(Rule::is_deaf)
    }

    /// A program for the kernel that drops the packets of new connections that are to get no answer.
    pub(super) fn filter(&self) -> Vec<SockFilter> {
        const LOAD_WORD: u16 = 0x20;
        const JUMP_IF_EQUAL: u16 = 0x15;
        const RETURN: u16 = 0x06;
        // The source address in the header of the network layer (`SKF_NET_OFF` is -0x10_0000).
        const SOURCE: u32 = 0xfff0_0000 + 12;
        let verdict = |rule: &Rule| SockFilter::new(RETURN, 0, 0, if rule.is_deaf() { 0 } else { u32::MAX });
        let mut program = vec![SockFilter::new(LOAD_WORD, 0, 0, SOURCE)];
        for (caller, rule) in &self.named {
            program.push(SockFilter::new(JUMP_IF_EQUAL, 0, 1, caller.to_bits()));
            program.push(verdict(rule));
        }
        program.push(verdict(&self.others));
        program
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: fn(u64) -> Duration = Duration::from_millis;

    #[test]
    fn a_stall_ends_when_its_part_of_the_period_is_over() {
        let start = Instant::now();
        let at = |millis| start + MS(millis);
        let treatment = Treatment { stalls: Some((start, MS(1_000), MS(300))), ..Treatment::default() };
        assert_eq!(treatment.due(at(0), at(0)), Some(at(300)));
        assert_eq!(treatment.due(at(299), at(299)), Some(at(300)));
        assert_eq!(treatment.due(at(300), at(300)), Some(at(300)));
        assert_eq!(treatment.due(at(950), at(2_100)), Some(at(2_300)), "it is in another stall by now");
        let late = Treatment { delay: MS(50), ..treatment };
        assert_eq!(
            late.due(at(980), at(980)),
            Some(at(1_300)),
            "what would arrive in a stall waits for its end"
        );
    }

    #[test]
    fn the_last_word_counts() {
        let (one, two) = (Ipv4Addr::new(127, 0, 1, 1), Ipv4Addr::new(127, 0, 1, 2));
        let only_one = Callers::These([one].into());
        let mut rules = Rules::default();
        let cut = |rules: &Rules| [one, two].map(|caller| rules.of(caller).cut);
        rules.edit(&Callers::All, |rule| rule.cut = true);
        rules.edit(&only_one, |rule| rule.cut = false);
        assert_eq!(cut(&rules), [false, true]);
        rules.edit(&Callers::All, |rule| rule.cut = true);
        assert_eq!(cut(&rules), [true, true]);
    }
}
