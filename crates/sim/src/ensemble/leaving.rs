//! What `ZooKeeper` does for a monitor that stands aside, or leaves its group: it orders the deletions of those that
//! leave at the same time, so that one of them is the last.

use super::instant;
use crate::ensemble::{Down, Ensemble};
use crate::world::World;

impl World {
    /// Whether nothing stands any more of monitors that are gone, and those that are there run and are in touch.
    pub(crate) fn nothing_is_left_behind(&self) -> bool {
        let standing = self.ensemble.model.remaining(&self.ensemble.group);
        let mut gone = self.monitors.iter().filter(|monitor| !monitor.alive);
        let hindered =
            self.monitors.iter().any(|it| it.alive && !(it.stopped_until.is_none() && it.zk.is_in_touch()));
        let stands = gone.any(|monitor| standing.contains(&monitor.id));
        self.ensemble.orphans.is_empty() && self.somebody_leads() && !stands && !hindered
    }

    /// A monitor stands for the lead again, or lets others have it.
    pub(super) fn monitor_stands(&mut self, m: usize, stands: bool) {
        let now = instant(self.queue.now());
        let Ensemble { model, sessions, .. } = &mut self.ensemble;
        model.stand(sessions[m].campaign, stands);
        model.attend(sessions[m].session, now);
    }

    /// A monitor takes its report back, and is told whose stand after that.
    pub(super) fn monitor_leaves(&mut self, m: usize, connection: u32) {
        let now = instant(self.queue.now());
        let Ensemble { model, group, sessions, .. } = &mut self.ensemble;
        let session = sessions[m].session;
        model.withdraw(session, group);
        model.attend(session, now);
        let standing = model.remaining(group);
        self.send_down(m, connection, 0, Down::Standing(standing));
    }

    /// A monitor that has left gives up the lead, and the session with it.
    pub(super) fn monitor_is_gone(&mut self, m: usize) {
        self.ensemble.model.close(self.ensemble.sessions[m].session);
    }
}
