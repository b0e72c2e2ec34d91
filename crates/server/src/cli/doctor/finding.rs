//! What the doctor says: findings, each with a stable name that its documentation has a heading for. It judges nothing.

use std::fmt;

/// How much a finding weighs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Severity {
    /// The group can't do something now, or loses something at the next fault.
    Error,
    /// The group works, and a single further fault, or an ordinary one, costs more than it should.
    Warning,
    /// Worth knowing; nothing has to be done.
    Note,
}

impl Severity {
    /// The word for it.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Note => "note",
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// Declares the names, so that none is missing from the list of all.
macro_rules! names {
    ($($name:ident = $word:literal,)*) => {
        /// The name of a finding. It never changes its meaning: scripts look for it.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub(super) enum Name {
            $(#[doc = concat!("See docs/reference/doctor.md, `", $word, "`.")] $name,)*
        }

        impl Name {
            /// All there are.
            #[cfg(test)]
            pub(super) const ALL: &[Self] = &[$(Self::$name,)*];

            /// The name as it is printed.
            pub(super) fn word(self) -> &'static str {
                match self { $(Self::$name => $word,)* }
            }
        }
    };
}

names! {
    NoLeader = "no-leader",
    MonitorsGone = "monitors-gone",
    NoSpareMonitor = "no-spare-monitor",
    QuorumTooSmall = "quorum-too-small",
    QuorumOutOfReach = "quorum-out-of-reach",
    MonitorsNotAsked = "monitors-not-asked",
    MonitorVersionsDiffer = "monitor-versions-differ",
    MonitorClocksDiffer = "monitor-clocks-differ",
    ZookeeperSingle = "zookeeper-single",
    ZookeeperEven = "zookeeper-even",
    ZookeeperBesideRedis = "zookeeper-beside-redis",
    ZookeeperListedPartly = "zookeeper-listed-partly",
    SessionTimeoutChanged = "session-timeout-changed",
    ZnodesOpen = "znodes-open",
    LoopbackAddresses = "loopback-addresses",
    NodesOnOneHost = "nodes-on-one-host",
    NodeUnreachable = "node-unreachable",
    NotChecked = "not-checked",
    SingleNode = "single-node",
    NobodyMayTakeOver = "nobody-may-take-over",
    ClusterMode = "cluster-mode",
    NotFollowing = "not-following",
    MasterauthMissing = "masterauth-missing",
    MasterauthWrong = "masterauth-wrong",
    ReplicaWritable = "replica-writable",
    ReplicaOlder = "replica-older",
    VersionsDiffer = "versions-differ",
    ClockDiffers = "clock-differs",
    BacklogTooSmall = "backlog-too-small",
    BacklogExpires = "backlog-expires",
    OutputBufferSmall = "output-buffer-small",
    NoPersistence = "no-persistence",
    NoConfigFile = "no-config-file",
    MasterClosed = "master-closed",
    MinReplicasWithoutSpare = "min-replicas-without-spare",
    MinReplicasOff = "min-replicas-off",
    FencingOff = "fencing-off",
    MaxmemorySmaller = "maxmemory-smaller",
    ClientsNearLimit = "clients-near-limit",
    StaleReadsRefused = "stale-reads-refused",
    TimeoutSet = "timeout-set",
    BusyAfterDown = "busy-after-down",
    RightsMissing = "rights-missing",
    CommandMissing = "command-missing",
    SnapshotNameProtected = "snapshot-name-protected",
}

/// One thing that will bite, or may.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Finding {
    /// How much it weighs.
    pub(super) severity: Severity,
    /// What it is called.
    pub(super) name: Name,
    /// What was found, with the numbers, a line for each node or thing.
    pub(super) found: Vec<String>,
    /// Why it matters.
    pub(super) why: String,
    /// What to do: commands or lines of a configuration, each as it is typed, or a sentence.
    pub(super) fix: Vec<String>,
}

impl Finding {
    /// A finding of these lines, if there are any.
    pub(super) fn of(
        severity: Severity,
        name: Name,
        found: impl IntoIterator<Item = String>,
        why: impl Into<String>,
        fix: impl IntoIterator<Item = String>,
    ) -> Option<Self> {
        let found: Vec<_> = found.into_iter().collect();
        let (why, fix) = (why.into(), fix.into_iter().collect());
        (!found.is_empty()).then_some(Self { severity, name, found, why, fix })
    }
}
