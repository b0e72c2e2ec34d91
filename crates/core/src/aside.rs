//! Whether a monitor leaves the lead to others for a while, which can do more than it. It judges no node and no store.

use std::time::Duration;

use crate::names::NodeAddr;
use crate::time::Instant;

/// For how long a monitor leaves the lead to others. Where none of them can do more, each leads in its turn.
const ASIDE: Duration = Duration::from_secs(30);

/// What is remembered of it. Of another life nothing is.
#[derive(Clone, Debug, Default)]
pub struct Aside {
    until: Option<Instant>,
    /// The node that the others reach and this monitor does not, if it is for that.
    node: Option<NodeAddr>,
    /// It was aside, and the others did no better: until then it leads on if it leads.
    turn: Option<Instant>,
}

impl Aside {
    /// Leaves the lead to others from `now` on, for the sake of `node`, which they reach, or because the store refuses
    /// what this monitor writes.
    pub fn leave(&mut self, now: Instant, node: Option<NodeAddr>) {
        (self.until, self.node) = (Some(now + ASIDE), node);
    }

    /// Whether it does.
    pub fn is_aside(&self) -> bool {
        self.until.is_some()
    }

    /// Whether it may leave the lead for a node that it does not reach. Not as soon as it is back from that: whom it left
    /// the lead to may be one that cannot lead, and only who leads answers operators.
    pub fn may_leave(&self, now: Instant) -> bool {
        !self.is_aside() && self.turn.is_none_or(|until| until <= now)
    }

    /// When it stands again, if nothing else comes first.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.until
    }

    /// Ends it when the others have had their time, or no longer reach the node for which it was; yields whether it was
    /// ended.
    pub fn tick(&mut self, now: Instant, reached: impl FnOnce(&NodeAddr) -> bool) -> bool {
        let over = self.until.is_some_and(|until| until <= now);
        let useless = self.is_aside() && self.node.as_ref().is_some_and(|node| !reached(node));
        if over {
            self.turn = Some(now + ASIDE);
        }
        if over || useless {
            (self.until, self.node) = (None, None);
        }
        over || useless
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Instant {
        Instant::from_millis(seconds * 1000)
    }

    fn node() -> NodeAddr {
        NodeAddr::new("a", 1)
    }

    #[test]
    fn others_have_their_time_and_then_this_one_has_its_turn() {
        let mut aside = Aside::default();
        assert!(aside.may_leave(at(0)));
        aside.leave(at(0), Some(node()));
        assert!(!aside.tick(at(29), |_| true) && aside.is_aside() && !aside.may_leave(at(29)));
        assert_eq!(aside.poll_timeout(), Some(at(30)));
        assert!(aside.tick(at(30), |_| true) && !aside.is_aside());
        assert!(!aside.may_leave(at(59)), "they did no better");
        assert!(aside.may_leave(at(60)));
    }

    #[test]
    fn where_nobody_reaches_the_node_any_more_it_is_no_reason() {
        let mut aside = Aside::default();
        aside.leave(at(0), Some(node()));
        assert!(aside.tick(at(1), |it| *it != node()) && !aside.is_aside());
        assert!(aside.may_leave(at(1)), "its time was not over");
        aside.leave(at(2), None);
        assert!(!aside.tick(at(3), |_| false), "it was for no node");
        assert!(aside.tick(at(32), |_| false));
        assert!(!aside.tick(at(33), |_| false), "it was not aside");
    }
}
