//! The record as bytes: what was read, which writing of it that was, and what a commit over it would change. It
//! never reads or writes by itself.

use redis_failover_core::{Found, Topology, Version};

use crate::wire::{self, Unreadable, document_bytes, state_bytes};

/// What one znode held, and which writing of it.
pub(crate) struct Writing {
    pub(crate) bytes: Vec<u8>,
    /// The transaction that wrote it.
    pub(crate) order: i64,
    pub(crate) version: i32,
}

/// The bytes of both documents from one moment; a document that is missing is empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Raw {
    pub(crate) version: Version,
    pub(crate) document: Vec<u8>,
    pub(crate) state: Option<Vec<u8>>,
}

/// What a commit writes, and what of it differs from what stands.
pub(crate) struct Changes {
    pub(crate) document: Vec<u8>,
    pub(crate) document_differs: bool,
    pub(crate) state: Vec<u8>,
    pub(crate) state_differs: bool,
}

impl Raw {
    pub(crate) fn new(document: Option<Writing>, state: Option<Writing>) -> Self {
        let order = |writing: &Option<Writing>| writing.as_ref().map_or(0, |writing| writing.order);
        let version = Version {
            order: order(&document).max(order(&state)),
            // No znode has this version: a commit that expects it is refused before it is sent.
            document: document.as_ref().map_or(-1, |writing| writing.version),
            state: state.as_ref().map(|writing| writing.version),
        };
        let document = document.map(|writing| writing.bytes).unwrap_or_default();
        Self { version, document, state: state.map(|writing| writing.bytes) }
    }

    /// What it means; `znode` is only for messages.
    pub(crate) fn found(&self, znode: &str) -> Result<Found, Unreadable> {
        wire::read(znode, Some(&self.document), self.state.as_deref())
    }

    /// What must be written to make this the record `topology`; `None` if nothing differs.
    pub(crate) fn changes(&self, topology: &Topology) -> Option<Changes> {
        let document = document_bytes(topology, Some(&self.document));
        let state = state_bytes(topology, self.state.as_deref());
        let document_differs = document != self.document;
        let state_differs = self.state.as_ref() != Some(&state);
        (document_differs || state_differs).then_some(Changes {
            document,
            document_differs,
            state,
            state_differs,
        })
    }
}
