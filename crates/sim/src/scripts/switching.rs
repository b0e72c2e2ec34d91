//! Worlds in which operators ask for switchovers, and what befalls these.

use redis_failover_core::Leadership;

use super::{Script, Step, calm};
use crate::faults::Fault;
use crate::operators::{Act, Wish};
use crate::queue::{MS, Micros, S};
use crate::swarm::Swarm;
use crate::wires::Host;
use crate::world::{Event, World};

/// Something that is done about a switchover.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Switching {
    /// An operator asks for one, to this node or to any.
    To(Option<usize>),
    /// The servers let nobody pause clients any more.
    NoPauses,
    /// Between the servers all takes so much longer, for so long.
    SlowReplication(Micros, Micros),
    /// All clients are cut off from that node for so long.
    CutClients(usize, Micros),
    /// As soon as that node is published, it and the leader end for so long.
    EndAtPublication(usize, Micros),
    /// As soon as a leader is about to have the master give up its role, it loses its session.
    LoseLeadAtCede,
}

/// All of them.
pub(super) fn all() -> Vec<Script> {
    let script = |name, swarm, steps| Script { name, swarm, all_leave: None, steps };
    let switch = |at, to| (at, Step::Switching(Switching::To(Some(to))));
    let step = |at, step| (at, Step::Switching(step));
    vec![
        script(
            "a-switchover-while-replication-stalls",
            calm(3),
            vec![
                (6 * S, Step::StallReplication(3 * S)),
                switch(7 * S, 1),
                step(12 * S, Switching::NoPauses),
                (14 * S, Step::StallReplication(3 * S)),
                switch(15 * S, 1),
            ],
        ),
        script(
            "there-and-back-while-clients-are-cut-off",
            calm(3),
            vec![step(6 * S - 10 * MS, Switching::CutClients(0, 3 * S)), switch(6 * S, 1), switch(7 * S, 0)],
        ),
        script(
            "leader-and-new-master-end-at-the-publication",
            calm(3),
            vec![
                step(8 * S - 10 * MS, Switching::CutClients(0, 9 * S)),
                switch(8 * S, 1),
                step(8 * S, Switching::EndAtPublication(1, 12 * S)),
            ],
        ),
        script(
            "writes-are-on-their-way-as-they-are-held",
            calm(3),
            [step(5 * S, Switching::SlowReplication(30 * MS, 36 * S))]
                .into_iter()
                .chain((9..60).map(|n| step(n * 700 * MS, Switching::To(None))))
                .collect(),
        ),
        script(
            "the-lead-is-lost-at-the-cede",
            Swarm { delay: (30 * MS, 60 * MS), session: 8 * S, ..calm(3) },
            // Whether the leader hears of it in time is chance.
            (0..4)
                .flat_map(|n| {
                    let at = (6 + 8 * n) * S;
                    [switch(at, usize::from(n % 2 == 0)), step(at, Switching::LoseLeadAtCede)]
                })
                .collect(),
        ),
    ]
}

impl World {
    /// Carries out a step of a script.
    pub(super) fn carry_out_switching(&mut self, step: Switching) {
        let again = Event::Step(Step::Switching(step));
        match step {
            Switching::To(to) => {
                let (timeout, dry_run) = (S, false);
                let wish = Wish { to, timeout, dry_run, patience: None, kills: None };
                self.operate(Act::Ask(wish));
            }
            Switching::NoPauses => self.operators.no_pauses = true,
            Switching::SlowReplication(by, lasts) => {
                let all = || (0..self.nodes.len()).map(Host::Node);
                let ways: Vec<_> = all().flat_map(|from| all().map(move |to| (from, to))).collect();
                for (from, to) in &ways {
                    self.wires.way_mut(*from, *to).slowed += by;
                }
                self.active += 1;
                self.queue.after(lasts, Event::Heal(Fault::Slow(ways, by)));
            }
            Switching::CutClients(n, lasts) => {
                let (clients, node) = (0..self.clients.len(), Host::Node(n));
                let both = |c| [(Host::Client(c), node), (node, Host::Client(c))];
                self.cut(clients.flat_map(both).collect(), lasts);
            }
            Switching::EndAtPublication(n, lasts) => {
                let addr = self.nodes[n].server.addr.clone();
                if self.steady_record().is_none_or(|record| record.master != addr) {
                    return self.queue.after(100, again);
                }
                self.say(|| format!("! node {n} and the leader end"));
                self.kill_node(n, false);
                self.active += 1;
                self.queue.after(lasts, Event::Heal(Fault::DeadNode(n, false)));
                self.operate(Act::KillLeader);
            }
            Switching::LoseLeadAtCede => {
                let leads = |m: &usize| matches!(self.monitors[*m].leadership, Leadership::Leading(_));
                let leader = (0..self.monitors.len()).find(leads);
                match leader.filter(|m| self.monitors[*m].is_about_to_cede()) {
                    Some(m) => self.lose_session(m),
                    None => self.queue.after(MS, again),
                }
            }
        }
    }
}
