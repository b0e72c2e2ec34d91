//! What a subscriber wants to hear, and when it must be told that it may have missed something. It knows no connection
//! and no message, and never gives up what is wanted.

use std::collections::BTreeMap;

/// What a subscription's name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// One channel.
    Channel,
    /// All channels that a pattern matches.
    Pattern,
    /// One channel of a shard.
    Shard,
}

/// One thing that is listened to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Subscription {
    /// What the name stands for.
    pub kind: Kind,
    /// The channel or the pattern.
    pub name: Vec<u8>,
}

/// Whether the present connection has a subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    Held,
    /// Held on an earlier connection, and not on this one.
    Lost,
}

/// All subscriptions of one subscriber.
///
/// Those that were lost are made again together. Nothing may be handed on meanwhile, and when all are answered it is
/// known whether a marker belongs before what comes next: a listener who then looks for itself what it missed must be
/// listening to everything already.
#[derive(Clone, Debug, Default)]
pub struct Subscriptions {
    wanted: BTreeMap<Subscription, Standing>,
    /// How many of those that are being made again have no answer yet.
    outstanding: usize,
    /// Whether one of them is held again.
    regained: bool,
}

/// The end of making subscriptions again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Renewed {
    /// Whether what is held again may have been published to meanwhile.
    pub missed: bool,
}

impl Subscriptions {
    /// Whether nothing is wanted.
    pub fn is_empty(&self) -> bool {
        self.wanted.is_empty()
    }

    /// Whether subscriptions are being made again.
    pub fn is_renewing(&self) -> bool {
        self.outstanding > 0
    }

    /// Whether some are wanted and not held.
    pub fn lacks(&self) -> bool {
        self.wanted.values().any(|standing| *standing == Standing::Lost)
    }

    /// Whether this is wanted.
    pub fn wants(&self, subscription: &Subscription) -> bool {
        self.wanted.contains_key(subscription)
    }

    /// The names of this kind that are wanted.
    pub fn names(&self, kind: Kind) -> Vec<Vec<u8>> {
        let of_kind = self.wanted.keys().filter(|it| it.kind == kind);
        of_kind.map(|it| it.name.clone()).collect()
    }

    /// The server confirmed one that somebody asked for: it is held and wanted from now on. Yields whether it had been
    /// lost, and nobody else will say that something may be missing.
    pub fn hold(&mut self, subscription: Subscription) -> bool {
        let regained = self.wanted.insert(subscription, Standing::Held) == Some(Standing::Lost);
        // While others are made again that is said when all of them are answered.
        self.regained |= regained && self.is_renewing();
        regained && !self.is_renewing()
    }

    /// Nobody wants it any more.
    pub fn forget(&mut self, subscription: &Subscription) {
        self.wanted.remove(subscription);
    }

    /// The connection has ended, and all that was held on it.
    pub fn lose(&mut self) {
        self.wanted.values_mut().for_each(|standing| *standing = Standing::Lost);
        (self.outstanding, self.regained) = (0, false);
    }

    /// What is to be made again now. Each of it must be answered.
    pub fn renew(&mut self) -> Vec<Subscription> {
        let lost = self.wanted.iter().filter(|(_, standing)| **standing == Standing::Lost);
        let lost: Vec<_> = lost.map(|(subscription, _)| subscription.clone()).collect();
        (self.outstanding, self.regained) = (lost.len(), false);
        lost
    }

    /// The server's answer to one that was to be made again. Where it is the last one, what follows from all of them.
    pub fn answered(&mut self, subscription: &Subscription, confirmed: bool) -> Option<Renewed> {
        // Somebody may have unsubscribed meanwhile: who does not want it misses nothing.
        if confirmed && let Some(standing) = self.wanted.get_mut(subscription) {
            *standing = Standing::Held;
            self.regained = true;
        }
        self.outstanding = self.outstanding.saturating_sub(1);
        (self.outstanding == 0).then(|| Renewed { missed: std::mem::take(&mut self.regained) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn channel(name: &str) -> Subscription {
        Subscription { kind: Kind::Channel, name: name.into() }
    }

    fn holding(names: &[&str]) -> Subscriptions {
        let mut all = Subscriptions::default();
        for name in names {
            all.hold(channel(name));
        }
        all
    }

    #[test]
    fn what_is_new_misses_nothing() {
        let mut all = holding(&["a", "b"]);
        assert!(!all.lacks() && !all.is_renewing());
        assert_eq!(all.renew(), []);
        assert!(!all.is_renewing(), "there is nothing to wait for");
    }

    #[test]
    fn all_that_was_lost_is_made_again_and_marked_once_when_the_last_is_answered() {
        let mut all = holding(&["a", "b"]);
        all.lose();
        assert!(all.lacks());
        assert_eq!(all.renew(), [channel("a"), channel("b")]);
        assert_eq!(all.answered(&channel("a"), true), None);
        assert!(all.is_renewing());
        assert_eq!(all.answered(&channel("b"), true), Some(Renewed { missed: true }));
        assert!(!all.is_renewing() && !all.lacks());
    }

    #[test]
    fn what_is_refused_stays_wanted_and_is_marked_when_it_is_held_again() {
        let mut all = holding(&["a", "b"]);
        all.lose();
        all.renew();
        assert_eq!(all.answered(&channel("a"), false), None);
        assert_eq!(all.answered(&channel("b"), true), Some(Renewed { missed: true }));
        assert!(all.lacks());
        assert_eq!(all.renew(), [channel("a")]);
        assert_eq!(all.answered(&channel("a"), false), Some(Renewed { missed: false }));
        assert_eq!(all.renew(), [channel("a")]);
        assert_eq!(all.answered(&channel("a"), true), Some(Renewed { missed: true }));
    }

    #[test]
    fn what_was_refused_and_is_asked_for_by_its_caller_is_marked_once() {
        let mut all = holding(&["a"]);
        assert!(!all.hold(channel("a")), "it was not lost");
        all.lose();
        all.renew();
        all.answered(&channel("a"), false);
        assert!(all.hold(channel("a")));
        assert!(!all.lacks() && !all.hold(channel("a")));
        all.lose();
        all.renew();
        assert!(!all.hold(channel("a")), "it is said with the others");
        assert_eq!(all.answered(&channel("a"), true), Some(Renewed { missed: true }));
    }

    #[test]
    fn who_unsubscribed_meanwhile_missed_nothing() {
        let mut all = holding(&["a"]);
        all.lose();
        all.renew();
        all.forget(&channel("a"));
        assert_eq!(all.answered(&channel("a"), true), Some(Renewed { missed: false }));
        assert!(all.is_empty());
    }

    #[test]
    fn a_connection_that_ends_while_they_are_made_again_begins_it_anew() {
        let mut all = holding(&["a", "b"]);
        all.lose();
        all.renew();
        all.answered(&channel("a"), true);
        all.lose();
        assert!(!all.is_renewing());
        assert_eq!(all.renew().len(), 2);
        all.answered(&channel("a"), false);
        assert_eq!(
            all.answered(&channel("b"), false),
            Some(Renewed { missed: false }),
            "nothing was regained"
        );
    }

    #[test]
    fn a_name_is_no_other_kinds() {
        let mut all = holding(&["a"]);
        let pattern = Subscription { kind: Kind::Pattern, name: b"a".to_vec() };
        assert!(!all.wants(&pattern));
        all.hold(pattern.clone());
        assert_eq!(all.names(Kind::Pattern), [b"a"]);
        all.forget(&channel("a"));
        assert!(all.wants(&pattern) && all.names(Kind::Channel).is_empty());
    }
}
