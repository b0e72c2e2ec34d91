//! What a publisher was told of its numbered messages, and what a subscriber heard of them.
//!
//! A message that was confirmed is heard, or a marker stands in its place that came no sooner than it was published;
//! none is heard twice. It reads no clock and asks no server.

use std::collections::BTreeSet;

/// The messages of one publisher and its only subscriber.
#[derive(Clone, Debug, Default)]
pub(super) struct Messages {
    /// Whether each was confirmed; of the others nobody knows.
    sent: Vec<bool>,
    heard: BTreeSet<usize>,
    /// The first that was not looked at yet: all before it were heard, are missing, or are unknown.
    looked_at: usize,
    /// What was published before the last marker came may be missing: those before this one, and this one, which was
    /// under way.
    marked: Option<usize>,
    markers: usize,
    missed: usize,
    wrongs: Vec<String>,
}

impl Messages {
    /// The number of the next message, and so how many there were.
    pub(super) fn next(&self) -> usize {
        self.sent.len()
    }

    /// Enters what the publisher was told of the next message: that it was published, or that nobody knows.
    pub(super) fn enter(&mut self, confirmed: bool) {
        self.sent.push(confirmed);
    }

    /// Enters that a message was heard. The one under way may be heard before its publisher has the reply.
    pub(super) fn hear(&mut self, number: usize) {
        if number > self.next() {
            self.wrongs.push(format!("message {number} was heard, and never published"));
        } else if !self.heard.insert(number) {
            self.wrongs.push(format!("message {number} was heard twice"));
        } else if number < self.looked_at {
            // One of which nobody knows may be published late.
            if self.sent[number] {
                self.wrongs.push(format!("message {number} was heard after later ones"));
            }
        } else {
            self.look(number);
            self.looked_at = number + 1;
        }
    }

    /// Enters that the subscriber was told that it may have missed something.
    pub(super) fn mark(&mut self) {
        self.marked = Some(self.next());
        self.markers += 1;
    }

    /// Enters what a subscriber must never be told.
    pub(super) fn complain(&mut self, what: String) {
        self.wrongs.push(what);
    }

    /// Whether nothing is to come any more that must be heard.
    pub(super) fn is_whole(&self) -> bool {
        (self.looked_at..self.next()).all(|number| !self.sent[number] || self.is_excused(number))
    }

    /// Enters that nothing will be heard any more.
    pub(super) fn close(&mut self) {
        self.look(self.next());
        self.looked_at = self.next();
    }

    /// Whether this message was heard, or a later one.
    pub(super) fn reached(&self, number: usize) -> bool {
        self.heard.last().is_some_and(|last| *last >= number)
    }

    /// How many were confirmed.
    pub(super) fn confirmed(&self) -> usize {
        self.sent.iter().filter(|confirmed| **confirmed).count()
    }

    /// Of how many nobody knows.
    pub(super) fn unknown(&self) -> usize {
        self.next() - self.confirmed()
    }

    /// How many markers came.
    pub(super) fn markers(&self) -> usize {
        self.markers
    }

    /// How many confirmed ones were not heard, where a marker says so.
    pub(super) fn missed(&self) -> usize {
        self.missed
    }

    /// What should not have been.
    pub(super) fn wrongs(&self) -> &[String] {
        &self.wrongs
    }

    fn is_excused(&self, number: usize) -> bool {
        self.marked.is_some_and(|marked| number <= marked)
    }

    /// Looks at what should have been heard before this one.
    fn look(&mut self, before: usize) {
        for number in (self.looked_at..before).filter(|number| self.sent[*number]) {
            if self.is_excused(number) {
                self.missed += 1;
            } else {
                self.wrongs
                    .push(format!("message {number} was published and not heard, and no marker says so"));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// So many messages were published, all of them confirmed but these.
    fn published(count: usize, unknown: &[usize]) -> Messages {
        let mut messages = Messages::default();
        (0..count).for_each(|number| messages.enter(!unknown.contains(&number)));
        messages
    }

    fn heard(messages: &mut Messages, numbers: &[usize]) {
        for number in numbers {
            messages.hear(*number);
        }
    }

    #[test]
    fn a_gap_is_wrong_unless_nobody_knows_of_what_is_missing() {
        let mut messages = published(6, &[1]);
        heard(&mut messages, &[0, 2, 3, 4]);
        assert_eq!(messages.wrongs(), [""; 0]);
        heard(&mut messages, &[6]);
        assert_eq!(messages.wrongs(), ["message 5 was published and not heard, and no marker says so"]);
        assert_eq!((messages.confirmed(), messages.unknown(), messages.missed()), (5, 1, 0));
    }

    #[test]
    fn a_marker_excuses_what_was_published_before_it_and_nothing_later() {
        let mut messages = published(3, &[]);
        heard(&mut messages, &[0]);
        messages.mark();
        // The fourth was under way when the marker came.
        (0..3).for_each(|_| messages.enter(true));
        heard(&mut messages, &[5]);
        assert_eq!(messages.missed(), 3, "the second to the fourth");
        assert_eq!(messages.wrongs(), ["message 4 was published and not heard, and no marker says so"]);
        assert_eq!(messages.markers(), 1);
    }

    #[test]
    fn none_is_heard_twice_or_made_up_and_late_only_if_nobody_knew_of_it() {
        let mut messages = published(4, &[1]);
        heard(&mut messages, &[0, 2, 1]);
        assert_eq!(messages.wrongs(), [""; 0]);
        heard(&mut messages, &[1]);
        assert_eq!(messages.wrongs(), ["message 1 was heard twice"]);
        messages.mark();
        heard(&mut messages, &[3, 2]);
        assert_eq!(messages.wrongs()[1..], ["message 2 was heard twice"], "a marker is no leave to repeat");
        heard(&mut messages, &[5]);
        assert_eq!(messages.wrongs()[2..], ["message 5 was heard, and never published"]);
        let mut late = published(3, &[]);
        late.mark();
        heard(&mut late, &[2, 1]);
        assert_eq!(late.wrongs(), ["message 1 was heard after later ones"]);
    }

    #[test]
    fn the_first_and_the_last_are_to_be_heard_too() {
        let mut messages = published(3, &[]);
        heard(&mut messages, &[1]);
        assert_eq!(messages.wrongs().len(), 1, "it was subscribed before");
        assert!(!messages.is_whole() && messages.reached(1) && !messages.reached(2));
        messages.close();
        assert_eq!(messages.wrongs()[1..], ["message 2 was published and not heard, and no marker says so"]);
        let mut marked = published(3, &[]);
        marked.mark();
        assert!(marked.is_whole());
        marked.close();
        assert_eq!((marked.missed(), marked.wrongs().len()), (3, 0));
    }
}
