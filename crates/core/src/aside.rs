//! Whether a monitor leaves the lead to others for a while, which can do more than it. It judges no node and no store.

use std::time::Duration;

use crate::time::Instant;

/// For how long a monitor does not stand whose writing the store refuses. Where it refuses all, each leads in its turn.
const REFUSED: Duration = Duration::from_secs(30);

/// For how long one does not stand that is out of touch: then it stands behind the others.
const AWAY: Duration = Duration::from_secs(1);

/// For how long it leads on, though it is out of touch, where the lead came back to it within [`SOON`]: those to whom
/// it left the lead can do no more, and only who leads answers operators.
const TURN: Duration = Duration::from_secs(10);

const SOON: Duration = Duration::from_secs(30);

/// What is remembered of it. Of another life nothing is.
#[derive(Clone, Debug, Default)]
pub struct Aside {
    until: Option<Instant>,
    /// When it stood again last.
    back: Option<Instant>,
    turn: Option<Instant>,
}

impl Aside {
    /// The store has refused what this monitor wrote.
    pub fn refused(&mut self, now: Instant) {
        self.until = Some(now + REFUSED);
    }

    /// Leaves the lead to others that are in touch with what this monitor does not reach, unless it is its turn. To be
    /// asked for a monitor that leads; yields whether it leaves.
    pub fn leave(&mut self, now: Instant) -> bool {
        if self.back.take().is_some_and(|back| now.since(back) < SOON) {
            self.turn = Some(now + TURN);
        }
        let leaves = !self.is_aside() && self.turn.is_none_or(|until| until <= now);
        self.until = if leaves { Some(now + AWAY) } else { self.until };
        leaves
    }

    /// Whether it does not stand for the lead.
    pub fn is_aside(&self) -> bool {
        self.until.is_some()
    }

    /// When it stands again.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.until
    }

    /// Has it stand again when the others have had their time; yields whether that was so.
    pub fn tick(&mut self, now: Instant) -> bool {
        let over = self.until.take_if(|until| *until <= now).is_some();
        self.back = if over { Some(now) } else { self.back };
        over
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Instant {
        Instant::from_millis(seconds * 1000)
    }

    #[test]
    fn who_is_out_of_touch_stands_again_behind_the_others() {
        let mut aside = Aside::default();
        assert!(aside.leave(at(0)) && aside.is_aside());
        assert_eq!(aside.poll_timeout(), Some(at(1)));
        assert!(!aside.tick(Instant::from_millis(999)) && aside.is_aside());
        assert!(aside.tick(at(1)) && !aside.is_aside());
        assert!(!aside.tick(at(2)), "it stands already");
    }

    #[test]
    fn who_has_the_lead_back_soon_has_a_turn_and_leaves_it_again_after_that() {
        let mut aside = Aside::default();
        assert!(aside.leave(at(0)) && aside.tick(at(1)));
        assert!(!aside.leave(at(5)), "the others did no better");
        assert!(!aside.leave(at(14)));
        assert!(aside.leave(at(15)) && aside.tick(at(16)));
        assert!(aside.leave(at(46)), "another has led meanwhile");
    }

    #[test]
    fn who_is_not_let_write_leaves_it_to_others_for_longer() {
        let mut aside = Aside::default();
        aside.refused(at(0));
        assert!(!aside.leave(at(1)) && !aside.tick(at(29)));
        assert!(aside.tick(at(30)) && !aside.is_aside());
    }
}
