//! Files that a leader has a frozen server write. What they hold is not modelled.

use redis_failover_core::{RunId, Saving};

use crate::world::World;

impl World {
    /// Begins a file of what it holds, which takes as long as to load a copy, or says how far that is.
    pub(super) fn saves(&mut self, n: usize, run: RunId, begun: bool) -> Option<Saving> {
        let (now, takes) = (self.queue.now(), self.swarm.copying.1);
        let node = &mut self.nodes[n];
        if node.server.run() != run || node.server.is_master() {
            return None;
        }
        let saving = node.saving.as_ref().filter(|(of, _)| *of == run).map(|(_, until)| *until);
        Some(match (begun, saving) {
            (true, Some(until)) if now < until => Saving::Running,
            (true, Some(_)) => Saving::Complete,
            (false, Some(until)) if now < until => Saving::Busy,
            _ => {
                node.saving = Some((run, now + takes));
                Saving::Begun { file: "a file".to_owned(), unnamed: None }
            }
        })
    }
}
