//! What a decider learns of nodes that came back: how far they had gone, and what became of their snapshots. It begins
//! nothing.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Decider;
use crate::names::{NodeAddr, RunId};
use crate::plan::{Begun, Save};
use crate::step::Saving;
use crate::time::Instant;
use crate::view::Evidence;

/// How often a node is asked whether its snapshot is complete.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

/// How long a snapshot may take before operators are told that it takes too long. It may still be completed.
const SAVE_LIMIT: Duration = Duration::from_mins(10);

/// The rest after a snapshot that failed.
const SAVE_AGAIN: Duration = Duration::from_mins(1);

impl Decider {
    /// Nodes that came back were frozen, and said this; the others did not answer.
    pub(super) fn demoted(
        &mut self,
        now: Instant,
        nodes: Vec<NodeAddr>,
        mut said: BTreeMap<NodeAddr, Evidence>,
    ) {
        for node in nodes {
            match said.remove(&node) {
                Some(evidence) => {
                    self.progress.told.remove(&node);
                    self.progress.demoted.insert(node.clone(), now);
                    self.progress.evidence.insert(node, evidence);
                }
                None => {
                    self.progress.evidence.remove(&node);
                    self.progress.told.insert(node, now);
                }
            }
        }
    }

    /// A node that was asked for a snapshot said this of it, or nothing.
    pub(super) fn saving(&mut self, now: Instant, node: NodeAddr, run: RunId, saving: Option<Saving>) {
        let known = self.progress.saves.remove(&node).filter(|save| save.run == run);
        let mut save = known.unwrap_or(Save { run, begun: None, next: None, came: None });
        save.next = Some(now + LOOK_AGAIN);
        match saving {
            None | Some(Saving::Busy) => {}
            Some(Saving::Begun { file, unnamed }) => save.begun = Some(Begun { at: now, file, unnamed }),
            Some(Saving::Running) => {
                let late = save.begun.as_ref().is_some_and(|begun| now.since(begun.at) > SAVE_LIMIT);
                if late {
                    save.came =
                        Some(Err(format!("the snapshot takes longer than {} s", SAVE_LIMIT.as_secs())));
                }
            }
            Some(Saving::Complete) => match save.begun.take() {
                Some(Begun { file, unnamed: None, .. }) => save.came = Some(Ok(file)),
                Some(Begun { file, unnamed: Some(why), .. }) => {
                    save.came =
                        Some(Err(format!("it lies in {file}, which the next full copy replaces ({why})")));
                    // Only a server that was started anew with another configuration can do better.
                    save.next = None;
                }
                None => {}
            },
            Some(Saving::Failed(why)) => {
                save.begun = None;
                save.came = Some(Err(why));
                save.next = Some(now + SAVE_AGAIN);
            }
        }
        self.progress.saves.insert(node, save);
    }
}
