//! What a decider learns of nodes that came back: how far they had gone, and what became of their snapshots. It begins
//! nothing.

use std::collections::{BTreeMap, BTreeSet};
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
            if let Some(evidence) = said.remove(&node) {
                self.progress.told.remove(&node);
                self.progress.demoted.insert(node.clone(), now);
                if evidence.role.is_master() {
                    // Its clients were cut off with that. Those of a replica are not.
                    self.progress.closed.insert(node.clone(), evidence.run.clone());
                }
                self.progress.evidence.insert(node, evidence);
            } else {
                self.progress.evidence.remove(&node);
                self.progress.told.insert(node, now);
            }
        }
    }

    /// Nodes were told to follow, and so they are frozen no more; these have heard it.
    pub(super) fn sent_to_follow(&mut self, now: Instant, nodes: Vec<NodeAddr>, heard: BTreeSet<NodeAddr>) {
        for node in nodes {
            self.progress.evidence.remove(&node);
            self.progress.demoted.remove(&node);
            self.progress.saves.remove(&node);
            self.progress.told.insert(node, now);
        }
        self.progress.unsaved.extend(heard);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Policy;

    fn at(seconds: u64) -> Instant {
        Instant::from_millis(seconds * 1_000)
    }

    fn node() -> NodeAddr {
        NodeAddr::new("a", 1)
    }

    fn begun(unnamed: Option<&str>) -> Saving {
        Saving::Begun { file: "/d/f".into(), unnamed: unnamed.map(Into::into) }
    }

    /// What is known of a node's snapshot after it said this at these seconds.
    fn after(said: &[(u64, Option<Saving>)]) -> Save {
        let me = "m".parse().expect("an id");
        let mut decider = Decider::new(me, vec![node()], Policy::default(), at(0));
        for (second, saving) in said {
            decider.saving(at(*second), node(), RunId("1".into()), saving.clone());
        }
        decider.progress.saves[&node()].clone()
    }

    #[test]
    fn a_snapshot_is_there_when_the_one_that_was_begun_is_complete() {
        let save =
            after(&[(1, None), (2, Some(Saving::Busy)), (3, Some(begun(None))), (4, Some(Saving::Running))]);
        assert_eq!(save.came, None);
        assert_eq!(save.begun.map(|begun| begun.at), Some(at(3)));
        let save = after(&[(3, Some(begun(None))), (4, Some(Saving::Complete))]);
        assert_eq!(save.came, Some(Ok("/d/f".into())));
    }

    #[test]
    fn one_in_the_servers_own_file_is_not_safe_and_not_tried_again() {
        let save = after(&[(3, Some(begun(Some("protected")))), (4, Some(Saving::Complete))]);
        let why = save.came.expect("it came to an end").expect_err("not to a good one");
        assert!(why.contains("/d/f") && why.contains("protected"), "{why}");
        assert_eq!(save.next, None);
    }

    #[test]
    fn one_that_takes_long_is_told_and_still_waited_for() {
        let mut said = vec![(0, Some(begun(None))), (600, Some(Saving::Running))];
        assert_eq!(after(&said).came, None);
        said.push((601, Some(Saving::Running)));
        assert!(after(&said).came.is_some_and(|it| it.is_err()));
        said.push((700, Some(Saving::Complete)));
        assert_eq!(after(&said).came, Some(Ok("/d/f".into())));
    }

    #[test]
    fn one_that_failed_is_begun_again_after_a_minute_and_another_life_begins_anew() {
        let failed = [(0, Some(begun(None))), (1, Some(Saving::Failed("full".into())))];
        let save = after(&failed);
        assert_eq!((save.begun, save.next, save.came), (None, Some(at(61)), Some(Err("full".into()))));
        let mut decider = Decider::new("m".parse().expect("an id"), vec![node()], Policy::default(), at(0));
        decider.saving(at(0), node(), RunId("1".into()), Some(begun(None)));
        decider.saving(at(1), node(), RunId("2".into()), Some(Saving::Complete));
        assert_eq!(decider.progress.saves[&node()].came, None, "that was the other life's");
    }
}
