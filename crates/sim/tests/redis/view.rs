//! What is compared: what a server shows of itself, without the names and numbers that no two servers have alike.
//!
//! The names of histories become letters, by first appearance in the script, and offsets become their rank among all
//! that were ever seen of their history. So what is compared is which are the same and which is greater, between
//! servers and over time.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

/// How many resynchronisations a server has granted and refused in this life of its process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Resyncs {
    /// INFO's `sync_full`.
    pub(crate) full: u64,
    /// INFO's `sync_partial_ok`.
    pub(crate) partial: u64,
    /// INFO's `sync_partial_err`.
    pub(crate) refused: u64,
}

impl Resyncs {
    /// In this order.
    pub(crate) fn counts(self) -> [u64; 3] {
        [self.full, self.partial, self.refused]
    }
}

/// What a server that answers shows.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    /// Its name in the script.
    pub(crate) name: String,
    /// What it is, whom it follows, and its link.
    pub(crate) role: String,
    /// Its replicas, in order, each connection once.
    pub(crate) replicas: Vec<String>,
    /// How many keys it has.
    pub(crate) keys: u64,
    /// `master_replid`.
    pub(crate) replid: String,
    /// `master_repl_offset`.
    pub(crate) offset: u64,
    /// `master_replid2` and `second_repl_offset`.
    pub(crate) previous: Option<(String, u64)>,
    /// Its counters.
    pub(crate) resyncs: Resyncs,
}

/// What was seen so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct Memory {
    names: Vec<String>,
    offsets: BTreeMap<String, BTreeSet<u64>>,
}

impl Memory {
    /// Says in comparable words what is seen now, and keeps it in mind.
    pub(crate) fn describe(&mut self, all: &[Seen]) -> String {
        for seen in all {
            self.note(&seen.replid, seen.offset);
            if let Some((previous, end)) = &seen.previous {
                // Where it left the one history is in both.
                self.note(previous, end - 1);
                self.note(&seen.replid, end - 1);
            }
        }
        let mut text = String::new();
        for seen in all {
            let Seen { name, role, replicas, keys, resyncs, .. } = seen;
            let position = self.position(&seen.replid, seen.offset);
            let previous = seen.previous.as_ref().map(|(previous, end)| self.position(previous, end - 1));
            let previous = previous.unwrap_or_else(|| "nothing".to_owned());
            writeln!(
                text,
                "  {name}: {role}, at {position} after {previous}, {keys} keys, feeds {replicas:?}, {resyncs:?}"
            )
            .expect("a String takes all writes");
        }
        text
    }

    fn note(&mut self, replid: &str, offset: u64) {
        if !self.offsets.contains_key(replid) {
            self.names.push(replid.to_owned());
        }
        self.offsets.entry(replid.to_owned()).or_default().insert(offset);
    }

    /// A letter and a rank, as `B2`.
    fn position(&self, replid: &str, offset: u64) -> String {
        let number = self.names.iter().position(|name| name == replid).expect("it was noted");
        let letter = char::from(b'A' + u8::try_from(number).expect("a script has few histories"));
        let rank = self.offsets[replid].range(..offset).count();
        format!("{letter}{rank}")
    }
}
