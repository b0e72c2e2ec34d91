//! What can be done to a group, and what docs/guarantees.md promises of each. Pure; nothing is done here.

use std::ops::Range;
use std::time::Duration;

use clap::ValueEnum;

/// The monitors' and the client's sessions with `ZooKeeper`: how long a dead leader would keep the lead if the others
/// did not watch it.
pub(super) const SESSION: Duration = Duration::from_secs(4);

/// The monitors' `--down-after`, which is left as it is.
const DOWN_AFTER: Duration = Duration::from_secs(1);

/// How much longer than a node a leader may be silent.
const GRACE: Duration = Duration::from_secs(1);

/// Within this time a master that is cut off takes no write any more, and what wakes or is back is demoted.
const CLOSES: Duration = Duration::from_secs(4);
const WAKES: Duration = Duration::from_secs(1);

/// One kind of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(super) enum Kind {
    MasterKilled,
    MasterRestarted,
    MasterRestartedEmpty,
    MasterHangs,
    MasterPauses,
    MasterCutOff,
    MasterNotHeard,
    MasterNotHearing,
    MasterLostByMonitors,
    MasterLostByReplicas,
    MasterLostByBoth,
    MasterLostByOneMonitor,
    ReplicaKilled,
    ReplicaRestartedEmpty,
    ReplicaHangs,
    ReplicaCutOff,
    ReplicaSlow,
    LinksSlow,
    #[value(name = "zookeeper-server-killed")]
    ZooKeeperServerKilled,
    #[value(name = "zookeeper-lost")]
    ZooKeeperLost,
    #[value(name = "zookeeper-lost-and-master-killed")]
    ZooKeeperLostAndMasterKilled,
    LeaderKilled,
    LeaderStops,
    OtherMonitorKilled,
    LeaderAndMasterKilled,
    LeaderAndMasterHang,
    ClientsCutOff,
}

/// Whether the group gets another master.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    Never,
    Maybe,
    Always,
}

/// How many acknowledged writes may be lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Loss {
    /// None.
    Nothing,
    /// What was in one turn of the old master's loop: two for each writer.
    Turn,
    /// The same, and what the old master acknowledged until clients heard that another one was published.
    UntilPublished,
    /// It is best effort: any.
    Any,
}

/// What one writer may lose with a turn of the old master's loop.
pub(super) const TURN: usize = 2;

/// What is promised of a kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Promise {
    pub change: Change,
    pub loss: Loss,
    /// How long no writes may be taken, by the deadlines that are waited for; what round trips take comes on top.
    pub silence: Duration,
    /// Whether writes may also stop for as long as the fault lasts.
    pub stops_writes: bool,
    /// How long two nodes may take writes.
    pub two: Duration,
}

impl Loss {
    /// How many confirmed writes so many writers may lose, of whose writes so many were confirmed until they heard of
    /// the last change; `None` is any.
    pub(super) fn allowed(self, writers: usize, until_heard: usize) -> Option<usize> {
        match self {
            Self::Nothing => Some(0),
            Self::Turn => Some(TURN * writers),
            Self::UntilPublished => Some(TURN * writers + until_heard),
            Self::Any => None,
        }
    }
}

impl Kind {
    /// All of them.
    pub(super) const ALL: [Self; 27] = [
        Self::MasterKilled,
        Self::MasterRestarted,
        Self::MasterRestartedEmpty,
        Self::MasterHangs,
        Self::MasterPauses,
        Self::MasterCutOff,
        Self::MasterNotHeard,
        Self::MasterNotHearing,
        Self::MasterLostByMonitors,
        Self::MasterLostByReplicas,
        Self::MasterLostByBoth,
        Self::MasterLostByOneMonitor,
        Self::ReplicaKilled,
        Self::ReplicaRestartedEmpty,
        Self::ReplicaHangs,
        Self::ReplicaCutOff,
        Self::ReplicaSlow,
        Self::LinksSlow,
        Self::ZooKeeperServerKilled,
        Self::ZooKeeperLost,
        Self::ZooKeeperLostAndMasterKilled,
        Self::LeaderKilled,
        Self::LeaderStops,
        Self::OtherMonitorKilled,
        Self::LeaderAndMasterKilled,
        Self::LeaderAndMasterHang,
        Self::ClientsCutOff,
    ];

    /// What it is, for a table.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::MasterKilled => "master killed, back later",
            Self::MasterRestarted => "master killed, back at once",
            Self::MasterRestartedEmpty => "master back at once, empty",
            Self::MasterHangs => "master hangs",
            Self::MasterPauses => "master pauses",
            Self::MasterCutOff => "master's host cut off",
            Self::MasterNotHeard => "master hears, is not heard",
            Self::MasterNotHearing => "master is heard, hears not",
            Self::MasterLostByMonitors => "monitors lose master",
            Self::MasterLostByReplicas => "replicas lose master",
            Self::MasterLostByBoth => "both lose master",
            Self::MasterLostByOneMonitor => "one monitor loses master",
            Self::ReplicaKilled => "replica killed",
            Self::ReplicaRestartedEmpty => "replica back empty",
            Self::ReplicaHangs => "replica hangs",
            Self::ReplicaCutOff => "replica's host cut off",
            Self::ReplicaSlow => "replica's link slow",
            Self::LinksSlow => "all links slow and stalling",
            Self::ZooKeeperServerKilled => "ZooKeeper server killed",
            Self::ZooKeeperLost => "all of ZooKeeper lost",
            Self::ZooKeeperLostAndMasterKilled => "ZooKeeper lost, master killed",
            Self::LeaderKilled => "leading monitor killed",
            Self::LeaderStops => "leading monitor stops",
            Self::OtherMonitorKilled => "another monitor killed",
            Self::LeaderAndMasterKilled => "leader and master killed",
            Self::LeaderAndMasterHang => "leader and master hang",
            Self::ClientsCutOff => "clients' replies are lost",
        }
    }

    /// What docs/guarantees.md says of it, row by row.
    pub(super) fn promise(self) -> Promise {
        let left_alone = Promise {
            change: Change::Never,
            loss: Loss::Nothing,
            silence: Duration::ZERO,
            stops_writes: false,
            two: WAKES,
        };
        let replaced = Promise { change: Change::Always, loss: Loss::Turn, ..left_alone };
        match self {
            Self::MasterKilled | Self::LeaderAndMasterKilled => replaced,
            Self::MasterHangs => Promise { silence: DOWN_AFTER, ..replaced },
            Self::MasterCutOff | Self::MasterNotHeard => {
                Promise { silence: DOWN_AFTER, two: CLOSES, ..replaced }
            }
            Self::MasterLostByBoth => {
                Promise { loss: Loss::UntilPublished, silence: DOWN_AFTER, two: CLOSES, ..replaced }
            }
            Self::LeaderAndMasterHang => Promise { silence: DOWN_AFTER + GRACE, ..replaced },
            Self::ZooKeeperLostAndMasterKilled => {
                Promise { silence: SESSION, stops_writes: true, ..replaced }
            }
            Self::MasterRestarted | Self::MasterRestartedEmpty => {
                Promise { change: Change::Maybe, loss: Loss::Any, ..left_alone }
            }
            Self::MasterPauses | Self::ClientsCutOff => Promise { stops_writes: true, ..left_alone },
            Self::MasterNotHearing
            | Self::MasterLostByMonitors
            | Self::MasterLostByReplicas
            | Self::MasterLostByOneMonitor
            | Self::ReplicaKilled
            | Self::ReplicaRestartedEmpty
            | Self::ReplicaHangs
            | Self::ReplicaCutOff
            | Self::ReplicaSlow
            | Self::LinksSlow
            | Self::ZooKeeperServerKilled
            | Self::ZooKeeperLost
            | Self::LeaderKilled
            | Self::LeaderStops
            | Self::OtherMonitorKilled => left_alone,
        }
    }

    /// Whether a client may lose its connections to the master. Where it may not, a subscriber misses nothing.
    pub(super) fn breaks_connections(self) -> bool {
        self == Self::ClientsCutOff || self.promise().change != Change::Never
    }

    /// How long it lasts, in milliseconds.
    pub(super) fn lasting(self) -> Range<u64> {
        match self {
            // Before anybody notices, or after.
            Self::MasterRestarted | Self::MasterRestartedEmpty => 0..300,
            // Well below `--down-after`.
            Self::MasterPauses => 100..500,
            // What is executed meanwhile is what clients do not hear of.
            Self::ClientsCutOff => 20..500,
            // Longer than the others wait, so that another takes the lead.
            Self::LeaderStops => 3_000..5_000,
            // Longer than a session, or shorter.
            Self::ZooKeeperLost | Self::ZooKeeperLostAndMasterKilled => 1_000..6_000,
            _ => 1_500..4_000,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_kind_is_listed_once_and_has_a_name_of_its_own() {
        let kinds: BTreeSet<_> = Kind::ALL.into_iter().collect();
        let names: BTreeSet<_> = Kind::ALL.into_iter().map(Kind::name).collect();
        assert_eq!((kinds.len(), names.len()), (Kind::ALL.len(), Kind::ALL.len()));
        // `promise` names all of them, and the compiler holds it to that: one that is missing here is the last.
        assert_eq!(Kind::ClientsCutOff as usize + 1, Kind::ALL.len());
    }

    #[test]
    fn writes_are_lost_only_where_another_master_may_come() {
        for kind in Kind::ALL {
            let Promise { change, loss, .. } = kind.promise();
            assert_eq!(change == Change::Never, loss == Loss::Nothing, "{kind:?}");
        }
    }

    #[test]
    fn a_pause_is_shorter_than_patience_and_a_hang_longer() {
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap();
        assert!(Kind::MasterPauses.lasting().end <= millis(DOWN_AFTER / 2));
        assert!(Kind::MasterHangs.lasting().start >= millis(DOWN_AFTER));
        assert!(Kind::LeaderStops.lasting().start > millis(DOWN_AFTER + GRACE));
        assert!(Kind::ZooKeeperLost.lasting().contains(&millis(SESSION)));
    }
}
