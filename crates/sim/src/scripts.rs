//! Worlds whose faults are written by hand: for what chance finds too seldom.

mod switching;

use redis_failover_core::{Leadership, OnDivergence};

use crate::faults::Fault;
use crate::nodes::Process;
use crate::queue::{MS, Micros, S};
use crate::redis::Persistence;
use crate::swarm::Swarm;
use crate::wires::Host;
use crate::world::{Event, World};

use switching::Switching;

/// A world, and what is done to it when.
#[derive(Clone, Debug)]
pub struct Script {
    /// Its name.
    pub name: &'static str,
    pub(crate) swarm: Swarm,
    /// All monitors leave when all is well at the end, one after the other with so much time between them.
    pub(crate) all_leave: Option<Micros>,
    pub(crate) steps: Vec<(Micros, Step)>,
}

/// Something that is done.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Step {
    /// A follower is cut off from the master for so long.
    BlindFollower(Micros),
    /// The leader is.
    BlindLeader(Micros),
    /// That follower's process ends for so long.
    KillFollower(Micros),
    /// The master's replicas hear nothing of it for so long.
    StallReplication(Micros),
    /// That follower stands still for so long.
    StopFollower(Micros),
    /// All monitors stand still for so long.
    StopMonitors(Micros),
    /// The leader is cut off from `ZooKeeper` for so long.
    CutLeader(Micros),
    /// The master stands still for so long.
    StopMaster(Micros),
    /// The master's process ends for so long.
    KillMaster(Micros),
    /// The processes of all replicas end for so long.
    KillReplicas(Micros),
    /// The first master is cut off from the other servers for so long.
    StallFirst(Micros),
    /// All monitors leave the group, and are back after so long.
    AllLeave(Micros),
    /// As soon as a change of master is begun all monitors leave the group, and are back after so long.
    AllLeaveInAChange(Micros),
    /// Something is done about a switchover.
    Switching(Switching),
}

/// All of them.
pub fn all() -> Vec<Script> {
    let mut all = of_votes_and_terms();
    all.extend(of_masters_and_sessions());
    all.extend(of_those_who_leave());
    all.extend(switching::all());
    all
}

fn of_votes_and_terms() -> Vec<Script> {
    vec![
        Script {
            name: "a-dead-monitor-has-no-vote",
            swarm: calm(3),
            all_leave: None,
            steps: vec![
                (5 * S, Step::BlindFollower(4 * S)),
                (8 * S, Step::KillFollower(20 * S)),
                (14 * S, Step::StallReplication(5 * S)),
                (15 * S + 500 * MS, Step::BlindLeader(3 * S)),
            ],
        },
        Script {
            name: "what-was-given-up-is-behind",
            swarm: calm(3),
            all_leave: None,
            steps: vec![
                (5 * S, Step::StallReplication(5 * S)),
                (8 * S + 500 * MS, Step::StopMaster(1_600 * MS)),
                (9 * S, Step::StallFirst(8 * S)),
                (10 * S + 600 * MS, Step::KillMaster(8 * S)),
            ],
        },
        Script {
            name: "what-was-given-up-is-longer",
            swarm: calm(3),
            all_leave: None,
            steps: vec![
                (5 * S, Step::StallReplication(12 * S)),
                (6 * S + 500 * MS, Step::StopMaster(1_500 * MS)),
                (8 * S + 400 * MS, Step::KillMaster(8 * S)),
            ],
        },
        Script {
            name: "a-new-term-begins-anew",
            swarm: calm(1),
            all_leave: None,
            steps: (0..3)
                .flat_map(|n| {
                    let at = (5 + 11 * n) * S;
                    [(at, Step::CutLeader(3 * S)), (at + 20 * MS, Step::KillMaster(6 * S))]
                })
                .collect(),
        },
    ]
}

fn of_masters_and_sessions() -> Vec<Script> {
    vec![
        Script {
            name: "who-stood-still-looks-again",
            swarm: Swarm { delay: (30 * MS, 60 * MS), session: 8 * S, ..calm(1) },
            all_leave: None,
            steps: (0..9).map(|n| ((5 + 4 * n) * S + n * 37 * MS, Step::StopMonitors(1_700 * MS))).collect(),
        },
        Script {
            name: "a-restarted-monitor-is-held-to-its-last-vote",
            swarm: calm(3),
            all_leave: None,
            steps: vec![
                (5 * S, Step::BlindFollower(3_100 * MS)),
                (7 * S, Step::StallReplication(4 * S)),
                (7 * S + 100 * MS, Step::BlindLeader(3 * S)),
                (8 * S, Step::KillFollower(50 * MS)),
            ],
        },
        Script {
            name: "who-outslept-its-session-says-nothing-old",
            swarm: Swarm { lag: 0, ..calm(3) },
            all_leave: None,
            steps: (0..3)
                .flat_map(|n| {
                    let at = (5 + 13 * n) * S;
                    [
                        (at, Step::BlindFollower(2 * S)),
                        (at + 1_500 * MS, Step::StopFollower(6 * S)),
                        (at + 6 * S, Step::StallReplication(3 * S)),
                        (at + 6_200 * MS, Step::BlindLeader(3 * S)),
                    ]
                })
                .collect(),
        },
        Script {
            name: "a-leader-that-sees-no-master-leaves-the-lead",
            swarm: calm(3),
            all_leave: None,
            steps: vec![
                (8 * S, Step::BlindLeader(25 * S)),
                (8 * S + 100 * MS, Step::StallReplication(25 * S)),
            ],
        },
        Script {
            name: "a-master-that-is-alone-goes-on",
            swarm: Swarm { hosts: 2, disks: vec![Persistence::Nothing; 3], ..calm(3) },
            all_leave: None,
            steps: vec![
                (6 * S, Step::KillReplicas(10 * S)),
                // Both are back without anything, and need full copies.
                (20 * S, Step::StallReplication(8 * S)),
                (27 * S, Step::KillMaster(5 * S)),
            ],
        },
    ]
}

fn of_those_who_leave() -> Vec<Script> {
    let brief = |monitors| Swarm { hostile: 10 * S, ..calm(monitors) };
    vec![
        Script {
            name: "all-leave-at-once",
            swarm: brief(3),
            all_leave: Some(0),
            steps: vec![(8 * S, Step::StallReplication(4 * S))],
        },
        Script {
            name: "one-leaves-after-the-other",
            swarm: brief(2),
            all_leave: Some(2 * S),
            steps: vec![(6 * S, Step::KillReplicas(4 * S))],
        },
        Script {
            name: "the-master-hangs-as-all-leave",
            swarm: Swarm { hostile: 15 * S, ..calm(1) },
            all_leave: None,
            steps: vec![(8 * S, Step::AllLeave(2 * S)), (8 * S, Step::StopMaster(7 * S))],
        },
        Script {
            name: "the-master-dies-when-all-have-left",
            swarm: brief(1),
            all_leave: None,
            steps: vec![(8 * S, Step::AllLeave(4 * S)), (9 * S, Step::KillMaster(5 * S))],
        },
        Script {
            name: "the-last-leaves-in-the-middle-of-a-change",
            swarm: calm(1),
            all_leave: None,
            steps: (0..6)
                .flat_map(|n| {
                    let at = (5 + 6 * n) * S;
                    [(at, Step::KillMaster(3 * S)), (at, Step::AllLeaveInAChange(2 * S))]
                })
                .collect(),
        },
    ]
}

/// A world of three servers in which nothing happens by chance.
fn calm(monitors: usize) -> Swarm {
    Swarm {
        disks: vec![Persistence::Snapshots; 3],
        priorities: vec![100; 3],
        hosts: 3,
        monitors,
        rates: vec![0; monitors],
        session: 2 * S,
        down_after: S,
        probe_interval: 200 * MS,
        third_failover_waits: 0,
        on_divergence: OnDivergence::Discard,
        listens: false,
        delay: (50, 3 * MS),
        lag: MS,
        copying: (0, 20 * MS),
        ping: S,
        write_every: 50 * MS,
        writers: (2, 0),
        readers: 1,
        stubborn: false,
        fault_every: S,
        fault_lasts: S,
        faults: Vec::new(),
        stalls: 0,
        hostile: 40 * S,
        gentle: false,
    }
}

impl World {
    /// Carries out a step of a script.
    pub(crate) fn carry_out(&mut self, step: Step) {
        if !self.is_hostile() {
            return;
        }
        if let Step::Switching(step) = step {
            return self.carry_out_switching(step);
        }
        self.say(|| format!("! {step:?}"));
        let leads = |m: &usize| matches!(self.monitors[*m].leadership, Leadership::Leading(_));
        let left = |m: &usize| self.monitors[*m].has_left;
        let all = 0..self.monitors.len();
        let Some(leader) = all.clone().find(leads).or_else(|| all.clone().find(left)) else { return };
        let follower = (0..self.monitors.len()).rev().find(|m| *m != leader).unwrap_or(leader);
        let Some(master) = self.steady_record().and_then(|record| self.node_of(&record.master)) else {
            if let Step::AllLeaveInAChange(lasts) = step {
                self.all_leave(lasts);
            }
            return;
        };
        let both = |a: Host, b: Host| [(a, b), (b, a)];
        let node = Host::Node(master);
        match step {
            Step::BlindFollower(lasts) => self.cut(both(Host::Monitor(follower), node).to_vec(), lasts),
            Step::BlindLeader(lasts) => self.cut(both(Host::Monitor(leader), node).to_vec(), lasts),
            Step::KillFollower(lasts) => {
                self.kill_monitor(follower);
                self.active += 1;
                self.queue.after(lasts, Event::Heal(Fault::DeadMonitor(follower)));
            }
            Step::StallReplication(lasts) => {
                let others = (0..self.nodes.len()).filter(|n| *n != master);
                let ways = others.flat_map(|n| both(Host::Node(n), node)).collect();
                self.cut(ways, lasts);
            }
            Step::StallFirst(lasts) => {
                let ways = (1..self.nodes.len()).flat_map(|n| both(Host::Node(n), Host::Node(0))).collect();
                self.cut(ways, lasts);
            }
            Step::CutLeader(lasts) => self.cut(both(Host::Monitor(leader), Host::Ensemble).to_vec(), lasts),
            Step::StopMaster(lasts) => {
                self.nodes[master].process = Process::Stopped;
                self.active += 1;
                self.queue.after(lasts, Event::Heal(Fault::StoppedNode(master)));
            }
            Step::KillMaster(lasts) => {
                self.kill_node(master, false);
                self.active += 1;
                self.queue.after(lasts, Event::Heal(Fault::DeadNode(master, false)));
            }
            Step::StopFollower(lasts) => self.stop_monitor(follower, lasts),
            Step::KillReplicas(lasts) => {
                for n in (0..self.nodes.len()).filter(|n| *n != master) {
                    self.kill_node(n, false);
                    self.active += 1;
                    self.queue.after(lasts, Event::Heal(Fault::DeadNode(n, false)));
                }
            }
            Step::AllLeave(lasts) => self.all_leave(lasts),
            // Done above.
            Step::Switching(_) => {}
            Step::AllLeaveInAChange(_) => self.queue.after(MS, Event::Step(step)),
            Step::StopMonitors(lasts) => {
                (0..self.monitors.len()).for_each(|m| self.stop_monitor(m, lasts));
            }
        }
    }

    fn all_leave(&mut self, lasts: Micros) {
        for m in 0..self.monitors.len() {
            self.list_group(m, false);
            self.queue.after(lasts, Event::Listed { m, listed: true });
        }
    }

    fn cut(&mut self, ways: Vec<(Host, Host)>, lasts: Micros) {
        for (from, to) in &ways {
            self.wires.way_mut(*from, *to).cuts += 1;
        }
        self.active += 1;
        self.queue.after(lasts, Event::Heal(Fault::Cut(ways)));
    }
}
