//! A session's own report in the model: written where it is not, deleted when it is taken back. It never touches what
//! another session wrote.

use redis_failover_core::{Instant, Report};

use super::tree::{Change, Tree};
use crate::GroupPath;
use crate::own_report;
use crate::wire::report_bytes;
use crate::znodes::Znodes;

/// What a session is to keep written, and what of it is.
#[derive(Clone, Debug)]
pub(super) struct OwnReport {
    /// `None` where it was taken back.
    pub(super) latest: Option<(Report, Instant)>,
    pub(super) written: Option<(Report, Instant)>,
}

impl OwnReport {
    /// Writes the report where it is not, or says something new. It waits while another session holds its znode.
    pub(super) fn keep_written(&mut self, group: &GroupPath, owner: i64, tree: &mut Tree, now: Instant) {
        let znodes = Znodes::new(group.to_string());
        let Some((report, at)) = &self.latest else { return self.delete(&znodes, owner, tree) };
        let path = znodes.report(&report.monitor);
        let data = report_bytes(&own_report::aged(report, now.since(*at)));
        let same =
            |(written, then): &(Report, Instant)| own_report::says_the_same(report, written, at.since(*then));
        let change = match tree.get(&path) {
            None => {
                tree.ensure(&znodes.monitors);
                Change::Create { path: &path, data: &data, owner: Some(owner) }
            }
            Some((_, stat)) if stat.owner != Some(owner) => {
                self.written = None;
                return;
            }
            Some(_) if self.written.as_ref().is_some_and(same) => return,
            Some(_) => Change::Set { path: &path, data: &data, version: None },
        };
        // Cannot fail: its parent is there, and nothing came between the look and this.
        let _ = tree.transact(&[change]);
        self.written.clone_from(&self.latest);
    }

    /// Deletes what was written, if it is still this session's.
    fn delete(&mut self, znodes: &Znodes, owner: i64, tree: &mut Tree) {
        let Some((report, _)) = self.written.take() else { return };
        let path = znodes.report(&report.monitor);
        if tree.get(&path).is_some_and(|(_, stat)| stat.owner == Some(owner)) {
            // Cannot fail: it was just there.
            let _ = tree.transact(&[Change::Delete { path: &path }]);
        }
    }
}
