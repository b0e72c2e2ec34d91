//! Whether a replica holds what a client wrote, for sessions that read their own writes: judged by how far the master
//! and the replica say they are in one history. It asks nobody.
//!
//! A client numbers its questions. How far the master is when it answers question N covers all that it had acknowledged
//! before N was asked. A replica that is in the same history and as far therefore holds all of that: it *proves* N. A
//! write that was acknowledged when N was the latest question needs a proof of N + 1.

use std::collections::VecDeque;

use crate::follower::Manner;
use crate::names::ReplId;

/// How many of the master's answers are kept. Those that follow each other at one offset are one.
const KEPT: usize = 1024;

/// How far a node is in its history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The history: Redis's `master_replid`. What it came from does not count.
    pub replid: ReplId,
    /// How far in it: what a master has written (`master_repl_offset`), what a replica has applied
    /// (`slave_repl_offset`).
    pub offset: u64,
}

/// How far the master was when it was asked.
#[derive(Debug, Default)]
pub struct Marks {
    replid: Option<ReplId>,
    /// The number of the question and the offset, both ascending.
    marks: VecDeque<(u64, u64)>,
}

impl Marks {
    /// Takes in what a node answers to the question `number`. Only what the published master, which `leads`, says as a
    /// master counts: a former one that calls itself so still would have replicas prove what they do not hold.
    pub fn heard(&mut self, number: u64, leads: bool, manner: Manner, said: Option<&Standing>) {
        if let (true, Manner::Master, Some(said)) = (leads, manner, said) {
            self.note(number, said.clone());
        }
    }

    fn note(&mut self, number: u64, master: Standing) {
        if self.marks.back().is_some_and(|(last, _)| *last >= number) {
            return;
        }
        let back = self.marks.back().is_some_and(|(_, offset)| *offset > master.offset);
        if back || self.replid.as_ref() != Some(&master.replid) {
            self.marks.clear();
            self.replid = Some(master.replid);
        }
        match self.marks.back_mut() {
            // The later question says more of the same offset.
            Some((last, offset)) if *offset == master.offset => *last = number,
            _ => self.marks.push_back((number, master.offset)),
        }
        if self.marks.len() > KEPT {
            self.marks.pop_front();
        }
    }

    /// The latest question that a replica which is so far proves; 0 if none.
    fn proved_by(&self, replica: &Standing) -> u64 {
        if self.replid.as_ref() != Some(&replica.replid) {
            return 0;
        }
        let behind = self.marks.partition_point(|(_, offset)| *offset <= replica.offset);
        behind.checked_sub(1).map_or(0, |last| self.marks[last].0)
    }
}

/// What one replica has proved on one connection, and therefore in one life of its process.
#[derive(Debug, Default)]
pub struct Proof {
    last: Option<Standing>,
    proved: u64,
}

impl Proof {
    /// Takes in what the replica says, and yields the latest question that it proves; 0 if none.
    ///
    /// What was proved is kept while it goes on in one history. Where that may have ended, because it is being filled,
    /// its history has another name or it has gone back, nothing is proved until it is compared anew. Whether its link
    /// to the master is up does not count: it holds what it holds.
    pub fn heard(&mut self, marks: &Marks, manner: Manner, said: Option<Standing>) -> u64 {
        let said = said.filter(|_| manner == Manner::Replica);
        let goes_on = match (&self.last, &said) {
            (Some(last), Some(said)) => last.replid == said.replid && last.offset <= said.offset,
            _ => false,
        };
        let kept = if goes_on { self.proved } else { 0 };
        self.proved = said.as_ref().map_or(0, |said| marks.proved_by(said)).max(kept);
        self.last = said;
        self.proved
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(replid: &str, offset: u64) -> Standing {
        Standing { replid: ReplId(replid.to_owned()), offset }
    }

    /// The master's answers: question, history, offset.
    fn marks(answers: &[(u64, &str, u64)]) -> Marks {
        let mut marks = Marks::default();
        for (number, replid, offset) in answers {
            marks.note(*number, at(replid, *offset));
        }
        marks
    }

    fn proves(marks: &Marks, replid: &str, offset: u64) -> u64 {
        Proof::default().heard(marks, Manner::Replica, Some(at(replid, offset)))
    }

    #[test]
    fn a_replica_proves_the_latest_question_that_it_is_as_far_as() {
        let marks = marks(&[(3, "x", 100), (5, "x", 200), (9, "x", 300)]);
        for (offset, proved) in [(99, 0), (100, 3), (199, 3), (200, 5), (300, 9), (999, 9)] {
            assert_eq!(proves(&marks, "x", offset), proved, "at {offset}");
        }
        assert_eq!(proves(&Marks::default(), "x", 100), 0);
    }

    #[test]
    fn only_the_published_master_says_how_far_the_master_is() {
        for (leads, manner, said) in [
            (false, Manner::Master, Some(at("x", 100))),
            (true, Manner::Replica, Some(at("x", 100))),
            (true, Manner::Filling, Some(at("x", 100))),
            (true, Manner::Master, None),
        ] {
            let mut marks = marks(&[(3, "y", 50)]);
            marks.heard(4, leads, manner, said.as_ref());
            assert_eq!((proves(&marks, "x", 100), proves(&marks, "y", 50)), (0, 3), "{leads} {manner:?}");
        }
        let mut marks = marks(&[(3, "y", 50)]);
        marks.heard(4, true, Manner::Master, Some(&at("x", 100)));
        assert_eq!((proves(&marks, "x", 100), proves(&marks, "y", 50)), (4, 0));
    }

    #[test]
    fn another_history_proves_nothing() {
        let mut marks = marks(&[(3, "x", 100)]);
        assert_eq!(proves(&marks, "y", 999), 0);
        // Another master: what the former one said counts no more.
        marks.note(4, at("y", 50));
        assert_eq!((proves(&marks, "x", 999), proves(&marks, "y", 50)), (0, 4));
        // A late answer of the former master.
        marks.note(2, at("x", 100));
        assert_eq!((proves(&marks, "x", 999), proves(&marks, "y", 50)), (0, 4));
    }

    #[test]
    fn a_master_that_has_gone_back_begins_anew() {
        let mut marks = marks(&[(3, "x", 100), (4, "x", 200)]);
        marks.note(5, at("x", 150));
        assert_eq!((proves(&marks, "x", 149), proves(&marks, "x", 150)), (0, 5));
    }

    #[test]
    fn a_quiet_master_takes_no_room_and_a_busy_one_no_more_than_there_is() {
        let mut marks = Marks::default();
        for number in 1..=5000 {
            marks.note(number, at("x", 100));
        }
        assert_eq!((marks.marks.len(), proves(&marks, "x", 100)), (1, 5000));
        for number in 5001..=9000 {
            marks.note(number, at("x", number));
        }
        assert_eq!(marks.marks.len(), KEPT);
        assert_eq!((proves(&marks, "x", 8000), proves(&marks, "x", 7000)), (8000, 0));
    }

    #[test]
    fn what_was_proved_is_kept_while_the_replica_goes_on() {
        let mut marks = marks(&[(3, "x", 100)]);
        let mut proof = Proof::default();
        assert_eq!(proof.heard(&marks, Manner::Replica, Some(at("x", 100))), 3);
        // The marks that it was proved by are gone.
        for number in 4..=4000 {
            marks.note(number, at("x", 1000 + number));
        }
        assert_eq!(proof.heard(&marks, Manner::Replica, Some(at("x", 200))), 3);
        assert_eq!(proof.heard(&marks, Manner::Replica, Some(at("x", 199))), 0, "it has gone back");
    }

    #[test]
    fn nothing_is_proved_by_who_may_lose_what_it_holds() {
        let marks = marks(&[(3, "x", 100)]);
        for (manner, said) in [
            (Manner::Filling, Some(at("x", 100))),
            (Manner::Master, Some(at("x", 100))),
            (Manner::Replica, None),
            (Manner::Replica, Some(at("y", 100))),
        ] {
            let mut proof = Proof::default();
            assert_eq!(proof.heard(&marks, Manner::Replica, Some(at("x", 100))), 3);
            assert_eq!(proof.heard(&marks, manner, said.clone()), 0, "{manner:?} {said:?}");
            assert_eq!(proof.heard(&marks, Manner::Replica, Some(at("x", 100))), 3, "and again");
        }
    }
}
