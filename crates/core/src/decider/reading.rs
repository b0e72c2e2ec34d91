//! What a decider makes of a reading of the record: news, old news, or a store that went back in time.

use std::fmt;

use super::Decider;
use crate::event::Leadership;
use crate::names::Epoch;
use crate::plan::Promotion;
use crate::time::Instant;
use crate::topology::{Found, Phase, Versioned};

/// What is wrong with the record itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Loss {
    /// It cannot be read, or contradicts itself.
    Unreadable,
    /// A monitor remembers a later epoch than stands in the store, which was restored, or emptied.
    Older {
        /// The epoch that stands there; `None` where nothing does.
        stands: Option<Epoch>,
        /// The greatest epoch that any living monitor remembers.
        remembered: Epoch,
    },
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable => f.write_str("the record cannot be read"),
            Self::Older { stands: None, remembered } => {
                write!(f, "the record is gone, and epoch {remembered} is remembered")
            }
            Self::Older { stands: Some(stands), remembered } => {
                write!(f, "the record is of epoch {stands}, and epoch {remembered} is remembered")
            }
        }
    }
}

impl Decider {
    /// Takes in what was read, or written by this monitor itself.
    pub(super) fn read(&mut self, now: Instant, read: Versioned) {
        let epoch = epoch(&read);
        let backwards = self.read.as_ref().is_some_and(|known| known.version.order > read.version.order);
        // A reading that our own commit has overtaken comes once. A later epoch is news whatever its number: a store
        // that was emptied counts anew.
        if backwards && epoch <= self.remembers() && !std::mem::replace(&mut self.overtaken, true) {
            self.must_read = true;
            return;
        }
        self.overtaken = false;
        if epoch < self.remembers() {
            self.predates = Some(read);
            return;
        }
        self.predates = None;
        let changed = match (self.record(), &read.found) {
            (Some(old), Found::Record(new)) => old.epoch != new.epoch || old.phase != new.phase,
            _ => true,
        };
        if changed {
            self.count_change(now, &read.found);
            self.record_since = now;
            self.progress.promotion = Promotion::Untried;
        }
        self.read = Some(read);
    }

    /// Finds out whether anything is wrong with the record itself.
    pub(super) fn judge_record(&mut self) {
        let leads = matches!(self.leadership, Leadership::Leading(_));
        if self.unreadable {
            self.loss = Some(Loss::Unreadable);
        } else if let Some(read) = self.predates.as_ref().or(self.read.as_ref()) {
            // That others remember more means something only to who leads, and while nothing of its own is under
            // way: nobody has written since it read.
            let sure = self.predates.is_some() || (leads && !self.must_read && self.in_flight.is_none());
            let stands = epoch(read);
            let remembered = self.remembered().filter(|remembered| Some(*remembered) > stands);
            if sure || !leads {
                let remembered = remembered.filter(|_| sure);
                self.loss = remembered.map(|remembered| Loss::Older { stands, remembered });
            }
        }
    }

    /// The greatest epoch that this monitor or another living one knows of.
    pub(super) fn remembered(&self) -> Option<Epoch> {
        self.peers.values().map(|peer| peer.remembers).fold(self.remembers(), Option::max)
    }
}

fn epoch(read: &Versioned) -> Option<Epoch> {
    match &read.found {
        Found::Record(record) => Some(record.epoch),
        Found::Nothing | Found::Predecessor { .. } => None,
    }
}

/// The epoch of a record that has a master.
pub(super) fn steady_epoch(found: &Found) -> Option<Epoch> {
    match found {
        Found::Record(record) if record.phase == Phase::Steady => Some(record.epoch),
        _ => None,
    }
}
