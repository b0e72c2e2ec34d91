//! What one client listens to. It knows no messages.

use std::collections::BTreeSet;

use super::glob;
use crate::resp::Reply;

/// The most channels and patterns that one client may listen to: each message is held against all of them.
const MOST: usize = 128;

/// The longest name of one, in bytes. All channels have shorter ones.
const LONGEST: usize = 128;

/// The channels and patterns of one client.
#[derive(Clone, Debug, Default)]
pub(super) struct Subscriptions {
    channels: BTreeSet<String>,
    patterns: BTreeSet<String>,
}

/// Which kind is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Channels,
    Patterns,
}

impl Kind {
    fn word(self, whole: &'static str, pattern: &'static str) -> Reply {
        Reply::bulk(if self == Self::Channels { whole } else { pattern })
    }
}

impl Subscriptions {
    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.channels.len() + self.patterns.len()
    }

    /// How many channels, and how many patterns.
    pub(super) fn counts(&self) -> (usize, usize) {
        (self.channels.len(), self.patterns.len())
    }

    fn of(&mut self, kind: Kind) -> &mut BTreeSet<String> {
        if kind == Kind::Channels { &mut self.channels } else { &mut self.patterns }
    }

    /// Listens to these, and says so of each.
    pub(super) fn add(&mut self, kind: Kind, names: &[String]) -> Vec<Reply> {
        let mut replies = Vec::new();
        for name in names {
            if name.len() > LONGEST {
                replies.push(Reply::Error(format!("ERR no channel has a name of over {LONGEST} bytes here")));
                continue;
            }
            if self.count() >= MOST && !self.of(kind).contains(name) {
                replies.push(Reply::Error(format!("ERR no client has over {MOST} subscriptions here")));
                continue;
            }
            self.of(kind).insert(name.clone());
            let word = kind.word("subscribe", "psubscribe");
            replies.push(Reply::Push(vec![word, Reply::bulk(name), Reply::count(self.count())]));
        }
        replies
    }

    /// Listens no more to these, or to none where none is named, and says so of each.
    pub(super) fn remove(&mut self, kind: Kind, names: &[String]) -> Vec<Reply> {
        let word = || kind.word("unsubscribe", "punsubscribe");
        let names = if names.is_empty() { self.of(kind).iter().cloned().collect() } else { names.to_vec() };
        if names.is_empty() {
            return vec![Reply::Push(vec![word(), Reply::Null, Reply::count(self.count())])];
        }
        let mut replies = Vec::new();
        for name in names {
            self.of(kind).remove(&name);
            replies.push(Reply::Push(vec![word(), Reply::Bulk(name), Reply::count(self.count())]));
        }
        replies
    }

    /// A message as it is told to who listens; once for each way in which it does.
    pub(super) fn deliver(&self, channel: &str, payload: &str) -> Vec<Reply> {
        let whole = self
            .channels
            .contains(channel)
            .then(|| Reply::Push(vec![Reply::bulk("message"), Reply::bulk(channel), Reply::bulk(payload)]));
        let matching =
            self.patterns.iter().filter(|pattern| glob::matches(pattern.as_bytes(), channel.as_bytes()));
        let matching = matching.map(|pattern| {
            let word = Reply::bulk("pmessage");
            Reply::Push(vec![word, Reply::bulk(pattern), Reply::bulk(channel), Reply::bulk(payload)])
        });
        whole.into_iter().chain(matching).collect()
    }
}
