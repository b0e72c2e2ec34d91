//! What is done when, from a seed. Pure: the same seed makes the same plan.

use std::ops::Range;
use std::time::Duration;

use fastrand::Rng;

use super::kinds::Kind;

/// How long the group is left alone after each fault, in milliseconds.
const CALM: Range<u64> = 300..1_500;

/// One fault of the plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub kind: Kind,
    /// How long it lasts.
    pub lasting: Duration,
    /// Which of several it befalls, and in which of several ways; to be taken modulo how many there are.
    pub pick: usize,
    /// How long the group is left alone afterwards.
    pub calm: Duration,
}

/// Faults without end, each kind once before any comes again.
#[derive(Debug)]
pub(super) struct Plan {
    random: Rng,
    kinds: Vec<Kind>,
    /// The kinds that have not come yet in this round.
    left: Vec<Kind>,
}

impl Plan {
    /// The plan of this seed with these kinds, all of them if none is named.
    pub(super) fn new(seed: u64, kinds: &[Kind]) -> Self {
        let kinds = if kinds.is_empty() { &Kind::ALL } else { kinds };
        Self { random: Rng::with_seed(seed), kinds: kinds.to_vec(), left: Vec::new() }
    }
}

impl Iterator for Plan {
    type Item = Fault;

    fn next(&mut self) -> Option<Fault> {
        if self.left.is_empty() {
            self.left.clone_from(&self.kinds);
            self.random.shuffle(&mut self.left);
        }
        let kind = self.left.pop()?;
        let mut millis = |range: Range<u64>| Duration::from_millis(self.random.u64(range));
        let (lasting, calm) = (millis(kind.lasting()), millis(CALM));
        Some(Fault { kind, lasting, pick: self.random.usize(..1_000), calm })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_seed_is_a_plan_and_another_is_another() {
        let plan = |seed| Plan::new(seed, &[]).take(60).collect::<Vec<_>>();
        assert_eq!(plan(7), plan(7));
        assert_ne!(plan(7), plan(8));
    }

    #[test]
    fn each_kind_comes_once_before_any_comes_again() {
        let kinds: Vec<_> = Plan::new(3, &[]).take(2 * Kind::ALL.len()).map(|fault| fault.kind).collect();
        for round in kinds.chunks(Kind::ALL.len()) {
            assert_eq!(round.iter().collect::<BTreeSet<_>>().len(), Kind::ALL.len());
        }
    }

    #[test]
    fn only_what_is_named_comes() {
        let named = [Kind::ReplicaHangs, Kind::LinksSlow];
        let kinds: BTreeSet<_> = Plan::new(5, &named).take(20).map(|fault| fault.kind).collect();
        assert_eq!(kinds, named.into());
    }

    #[test]
    fn each_fault_lasts_as_long_as_its_kind_says() {
        for fault in Plan::new(11, &[]).take(200) {
            let millis = u64::try_from(fault.lasting.as_millis()).unwrap();
            assert!(fault.kind.lasting().contains(&millis), "{fault:?}");
        }
    }
}
