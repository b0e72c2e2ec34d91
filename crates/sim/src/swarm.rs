//! What kind of world a seed makes: how many nodes and monitors, how fast, how faulty. The distribution of the faults
//! is drawn, too: a world in which everything fails a little finds less than many in which some things fail a lot.

use fastrand::Rng;
use redis_failover_core::OnDivergence;

use crate::queue::{MS, Micros, S};
use crate::redis::Persistence;

/// The kinds of faults.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FaultKind {
    /// A server's process ends and comes back.
    KillNode,
    /// A server's host loses power: nobody is told.
    CrashHost,
    /// A server stands still.
    StopNode,
    /// A server comes back at once, in the next life of its process.
    RestartNode,
    /// A server comes back without any memory.
    WipeNode,
    /// A server writes a snapshot.
    Save,
    /// A monitor's process ends and comes back.
    KillMonitor,
    /// A monitor stands still.
    StopMonitor,
    /// A link between two hosts carries nothing, in one direction or in both.
    CutLink,
    /// A host is cut off from all others.
    IsolateHost,
    /// A replication link carries nothing.
    CutReplication,
    /// Messages between two hosts take long.
    SlowLink,
    /// ZooKeeper has no quorum.
    StopEnsemble,
    /// A monitor's session ends though it lives.
    ExpireSession,
    /// A monitor loses its connection to ZooKeeper for a moment; replies on their way are lost.
    DropSession,
    /// An operator makes a master a replica, or a replica a master.
    Meddle,
    /// Clients of a server are paused.
    PauseClients,
}

/// All kinds.
pub const FAULTS: [FaultKind; 17] = [
    FaultKind::KillNode,
    FaultKind::CrashHost,
    FaultKind::StopNode,
    FaultKind::RestartNode,
    FaultKind::WipeNode,
    FaultKind::Save,
    FaultKind::KillMonitor,
    FaultKind::StopMonitor,
    FaultKind::CutLink,
    FaultKind::IsolateHost,
    FaultKind::CutReplication,
    FaultKind::SlowLink,
    FaultKind::StopEnsemble,
    FaultKind::ExpireSession,
    FaultKind::DropSession,
    FaultKind::Meddle,
    FaultKind::PauseClients,
];

/// One seed's world.
#[derive(Clone, Debug)]
pub struct Swarm {
    /// What each server's disk keeps; one for each server.
    pub disks: Vec<Persistence>,
    /// Each server's `replica-priority`.
    pub priorities: Vec<u32>,
    /// How many hosts' names the servers bear: the last ones share one. (Its power and its links are still each one's
    /// own.)
    pub hosts: usize,
    /// How many monitors.
    pub monitors: usize,
    /// How much faster or slower each monitor's clock is, in millionths.
    pub rates: Vec<i64>,
    /// ZooKeeper's session time-out.
    pub session: Micros,
    /// `down_after`.
    pub down_after: Micros,
    /// `probe_interval`.
    pub probe_interval: Micros,
    /// How long the third failover waits.
    pub third_failover_waits: Micros,
    /// What becomes of what a node alone holds before it is filled.
    pub on_divergence: OnDivergence,
    /// Whether the monitors can be asked whether they live.
    pub listens: bool,
    /// How long a message takes at least and at most.
    pub delay: (Micros, Micros),
    /// How late a ZooKeeper server may be with its news.
    pub lag: Micros,
    /// How long a full copy takes to begin, and to load.
    pub copying: (Micros, Micros),
    /// How often an idle master pings its replicas before a leader sets it to a second.
    pub ping: Micros,
    /// How often each client writes.
    pub write_every: Micros,
    /// How many writers and how many of them wait for a replica.
    pub writers: (usize, usize),
    /// How many readers.
    pub readers: usize,
    /// Whether one writer never looks away from the first master.
    pub stubborn: bool,
    /// How often a fault happens.
    pub fault_every: Micros,
    /// How long one lasts at most.
    pub fault_lasts: Micros,
    /// How likely each kind is.
    pub faults: Vec<(FaultKind, u32)>,
    /// One of so many commands is sent only after its sender stood still since it made sure that it leads; 0 for none.
    pub stalls: u32,
    /// How long faults go on.
    pub hostile: Micros,
    /// One crash at a time, and only when all replicas have everything.
    pub gentle: bool,
}

impl Swarm {
    /// Draws a world.
    pub fn draw(rng: &mut Rng) -> Self {
        let nodes = *choose(rng, &[2, 3, 3, 3, 3, 4, 5]);
        let monitors = *choose(rng, &[1, 2, 3, 3, 3, 5]);
        let gentle = rng.u8(0..6) == 0;
        let kept = *choose(rng, &[Persistence::Nothing, Persistence::Snapshots, Persistence::Log]);
        let mixed = rng.u8(0..4) == 0;
        let disk = |rng: &mut Rng| {
            let any = [Persistence::Nothing, Persistence::Snapshots, Persistence::Log];
            if mixed { *choose(rng, &any) } else { kept }
        };
        let skew = *choose(rng, &[0, 200, 10_000]);
        let down_after = *choose(rng, &[300, 1_000, 1_000, 3_000]) * MS;
        let slowest = *choose(rng, &[1, 3, 10, 60]) * MS;
        let durable = rng.usize(0..2);
        // Of a stream of its own: what is drawn after it stays what it was.
        let mut own = Rng::with_seed(rng.clone().u64(..) ^ 0x5a4ed);
        Self {
            hosts: if own.u8(0..4) == 0 { 2 } else { nodes },
            disks: (0..nodes).map(|_| disk(rng)).collect(),
            priorities: (0..nodes).map(|_| *choose(rng, &[100, 100, 100, 100, 50, 10])).collect(),
            monitors,
            rates: (0..monitors).map(|_| rng.i64(-skew..=skew)).collect(),
            session: *choose(rng, &[2, 2, 4, 6]) * S,
            down_after,
            probe_interval: (down_after / 5).min(200 * MS),
            third_failover_waits: *choose(rng, &[0, 0, 2]) * S,
            // Of a copy: what is drawn after it stays what it was.
            on_divergence: if rng.clone().u8(0..3) == 0 { OnDivergence::Save } else { OnDivergence::Discard },
            listens: Rng::with_seed(!rng.clone().u64(..)).bool(),
            delay: (50, slowest),
            lag: *choose(rng, &[1, 10, 200, 800]) * MS,
            copying: (*choose(rng, &[0, 50, 5_000]) * MS, rng.u64(1..300) * MS),
            ping: *choose(rng, &[1, 1, 10]) * S,
            write_every: *choose(rng, &[20, 50, 200]) * MS,
            writers: (2, durable),
            readers: 1,
            stubborn: !gentle && rng.u8(0..3) == 0,
            fault_every: *choose(rng, &[500, 1_500, 4_000, 10_000]) * MS,
            fault_lasts: *choose(rng, &[300, 1_500, 4_000, 12_000]) * MS,
            faults: if gentle { gentle_faults() } else { draw_faults(rng) },
            stalls: if gentle { 0 } else { *choose(rng, &[0, 0, 50, 10]) },
            hostile: *choose(rng, &[20, 30, 60]) * S,
            gentle,
        }
    }
}

fn draw_faults(rng: &mut Rng) -> Vec<(FaultKind, u32)> {
    let likely = *choose(rng, &[3, 5, 8]);
    let mut faults = Vec::new();
    for kind in FAULTS {
        if rng.u8(0..10) < likely {
            faults.push((kind, *choose(rng, &[1, 3, 10])));
        }
    }
    if faults.is_empty() { vec![(FaultKind::KillNode, 1)] } else { faults }
}

fn gentle_faults() -> Vec<(FaultKind, u32)> {
    vec![(FaultKind::KillNode, 3), (FaultKind::KillMonitor, 1), (FaultKind::CrashHost, 1)]
}

/// One of `all`.
pub(crate) fn choose<'a, T>(rng: &mut Rng, all: &'a [T]) -> &'a T {
    &all[rng.usize(0..all.len())]
}
