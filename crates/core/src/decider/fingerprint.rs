//! What makes one decider differ from another, for whoever visits each only once. It decides nothing.

use std::hash::{Hash, Hasher};

use super::Decider;

/// Two deciders that hash alike decide alike: how many actions each has begun, which only names the next one, is left
/// out, and what each has noted only to tell it.
impl Hash for Decider {
    fn hash<H: Hasher>(&self, state: &mut H) {
        // Without `..`: a new field must be hashed, too.
        let Self {
            me,
            configured,
            policy,
            leadership,
            read,
            record_since,
            must_read,
            unreadable,
            predates,
            loss,
            overtaken,
            settled,
            changes,
            lost_since,
            pausing,
            requests,
            asked,
            switched,
            pause_until,
            failures,
            unbegun,
            peers,
            lead,
            deposed,
            observation,
            doubt,
            followed,
            progress,
            leaving,
            attempts,
            in_flight,
            next_id: _,
            refusal,
            stuck,
            chronicle: _,
            wake,
        } = self;
        (me, configured, policy, leadership, read, record_since).hash(state);
        (must_read, unreadable, predates, loss, overtaken, settled, changes, lost_since, pausing).hash(state);
        (requests, asked, pause_until, failures, unbegun, peers, lead, deposed, observation, doubt)
            .hash(state);
        (followed, progress, leaving, switched).hash(state);
        (attempts, in_flight.as_ref().map(|(_, step)| step), refusal, stuck, wake).hash(state);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::hash::DefaultHasher;

    use super::*;
    use crate::event::{Event, Leadership};
    use crate::names::{NodeAddr, Term};
    use crate::policy::Policy;
    use crate::step::Outcome;
    use crate::time::Instant;
    use crate::topology::{Found, Version, Versioned};

    fn of(decider: &Decider) -> u64 {
        let mut hasher = DefaultHasher::new();
        decider.hash(&mut hasher);
        hasher.finish()
    }

    #[test]
    fn what_was_begun_and_is_over_makes_no_difference_and_a_fact_does() {
        let now = Instant::from_millis(5_000);
        let me = "m1".parse().expect("an id");
        let mut decider =
            Decider::new(me, vec![NodeAddr::new("a", 1)], Policy::default(), Instant::from_millis(0));
        decider.handle(now, Event::Leadership(Leadership::Leading(Term(1))));
        let read = Versioned { version: Version::default(), found: Found::Nothing };
        decider.handle(now, Event::TopologyRead(read));
        let look = |decider: &mut Decider, at: Instant| {
            let action = decider.poll_action(at).expect("a look");
            decider.handle(at, Event::Finished(action.id, Outcome::Read(BTreeMap::new())));
        };
        let mut more = decider.clone();
        let later = Instant::from_millis(7_000);
        look(&mut decider, later);
        look(&mut more, later);
        assert_eq!(of(&decider), of(&more));
        more.next_id += 1;
        assert_eq!(of(&decider), of(&more), "a name of what is over");
        more.handle(now, Event::Leadership(Leadership::Following));
        assert_ne!(of(&decider), of(&more));
    }
}
