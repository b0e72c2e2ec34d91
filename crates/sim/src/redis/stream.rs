//! The replication stream, and how much of it a server keeps. It never says who is sent what.

use std::collections::VecDeque;

use super::WriteId;

/// What a master sends to its replicas.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Entry {
    /// The offset after it.
    pub end: u64,
    /// What it says.
    pub kind: Kind,
}

/// What an entry of the replication stream says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A write.
    Write(WriteId),
    /// The master lives.
    Ping,
    /// Say at once how far you are.
    GetAck,
}

impl Kind {
    /// Bytes of the stream, about as many as a real server's.
    pub(crate) const fn size(self) -> u64 {
        match self {
            Self::Write(_) => 40,
            Self::Ping => 14,
            Self::GetAck => 37,
        }
    }
}

/// How much of the stream is kept, in bytes.
pub(super) const BACKLOG: u64 = 16 * 1024;

/// The end of the stream, for replicas that lack no more than that.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Backlog {
    /// The offset before its first byte.
    pub(super) start: u64,
    /// In order.
    pub(super) entries: VecDeque<Entry>,
}
