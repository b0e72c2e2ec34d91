//! The visits to nodes, step by step.

use std::time::Duration;

use redis_failover_core::plan::CLOSED;
use redis_failover_core::{Evidence, Instant, NodeAddr, Outcome, Phase, Role, Saving, Step};

use super::{Held, Job, PROMOTION, Running, VISIT_LIMIT, Visit, What, all};
use crate::bugs::Bug;
use crate::queue::Micros;
use crate::wires::{Ask, ConnId, Payload, Say};
use crate::world::World;

impl World {
    /// Begins an action that is visits to nodes, and nothing is held after.
    pub(super) fn begin_visits(&mut self, m: usize, start: impl Fn(What, Duration) -> Running, step: Step) {
        match step {
            Step::HoldWrites { node, lasts } => {
                let lasts = u64::try_from(lasts.as_micros()).unwrap_or(Micros::MAX);
                self.visit_all(m, start(all(false), VISIT_LIMIT), &[node], &Job::HoldWrites { lasts });
            }
            Step::ResumeWrites { node } => {
                self.visit_all(m, start(all(false), VISIT_LIMIT), &[node], &Job::ResumeWrites);
            }
            Step::Cede { node, run } => {
                self.visit_all(m, start(all(true), VISIT_LIMIT), &[node], &Job::Cede { run });
            }
            Step::Demote { nodes } => self.visit_all(m, start(all(true), VISIT_LIMIT), &nodes, &Job::Demote),
            Step::Save { node, run, begun, .. } => {
                let job = Job::Save { run, begun };
                self.visit_all(m, start(What::Save, VISIT_LIMIT), &[node], &job);
            }
            Step::Look { nodes } => self.visit_all(m, start(all(true), VISIT_LIMIT), &nodes, &Job::Look),
            Step::Open { node, run, min_replicas_to_write: number, first } => {
                let job = Job::Open { run, number, first };
                self.visit_all(m, start(all(false), VISIT_LIMIT), &[node], &job);
            }
            Step::Fence { node, run, number } => {
                self.visit_all(m, start(all(false), VISIT_LIMIT), &[node], &Job::Fence { run, number });
            }
            Step::Follow { nodes, master, min_replicas_to_write: number, closes, .. } => {
                self.note_looks(m, &nodes);
                let told: Vec<_> = nodes.iter().filter_map(|node| self.node_of(node)).collect();
                self.monitors[m].held.retain(|n, _| !told.contains(n));
                let job = |node: &NodeAddr| Job::Follow {
                    master: master.clone(),
                    number,
                    closes: closes.as_ref() == Some(node),
                };
                self.visit_each(m, start(all(false), VISIT_LIMIT), &nodes, job);
            }
            Step::Persist { nodes } => {
                self.visit_all(m, start(all(false), VISIT_LIMIT), &nodes, &Job::Persist);
            }
            // Begun elsewhere.
            Step::Commit { .. }
            | Step::Amend { .. }
            | Step::Answer { .. }
            | Step::Depose
            | Step::Freeze { .. }
            | Step::Promote { .. } => {}
        }
    }

    fn visit_all(&mut self, m: usize, running: Running, nodes: &[NodeAddr], job: &Job) {
        self.visit_each(m, running, nodes, |_| job.clone());
    }

    fn visit_each(&mut self, m: usize, running: Running, nodes: &[NodeAddr], job: impl Fn(&NodeAddr) -> Job) {
        let now = self.monitors[m].local(self.queue.now());
        let nodes: Vec<_> = nodes.iter().filter_map(|node| Some((self.node_of(node)?, job(node)))).collect();
        self.monitors[m].running = Some(running);
        if let Some(Running { what: What::All { left, .. }, .. }) = &mut self.monitors[m].running {
            *left = nodes.len();
        }
        for (n, job) in nodes {
            self.visit(m, n, job, now + VISIT_LIMIT);
        }
        self.visit_is_over(m, None, None);
    }

    /// Something arrives for a visit, or for a promotion.
    pub(crate) fn visit_receives(&mut self, m: usize, whose: Option<u64>, conn: ConnId, payload: Payload) {
        let promoting = |running: &Running| matches!(running.what, What::Promote(it) if it == conn);
        let ends = matches!(payload, Payload::Fin);
        if self.monitors[m].running.as_ref().is_some_and(promoting) && (ends || whose == Some(PROMOTION)) {
            self.promotion_receives(m, conn, payload);
        } else if let Some(id) = whose
            && let Some(visit) = self.monitors[m].visits.get(&id).cloned()
        {
            self.step(m, id, &visit, payload);
        }
    }

    pub(super) fn promotion_receives(&mut self, m: usize, conn: ConnId, payload: Payload) {
        match payload {
            Payload::Accepted => self.command(m, conn, PROMOTION, Ask::Promote { closed: true, cut: false }),
            Payload::Say(Say::Evidence { now, .. }) => {
                let mut now = *now;
                if self.bug == Some(Bug::PromotesAnyRun)
                    && let Some(Phase::FailingOver(change)) =
                        self.monitors[m].decider.record().map(|it| it.phase.clone())
                {
                    let intent = change.intent;
                    (now.run, now.history.previous) = (intent.run, Some((intent.replid, intent.offset + 1)));
                }
                self.finish(m, Outcome::Promoted(Some(Box::new(now))));
            }
            _ => self.finish(m, Outcome::Promoted(None)),
        }
    }

    /// The next step of a visit.
    pub(super) fn step(&mut self, m: usize, id: u64, visit: &Visit, payload: Payload) {
        let conn = visit.conn;
        let ask = match (payload, &visit.job) {
            (Payload::Accepted, Job::Freeze { patient: false, .. }) => Some(Ask::Freeze { cut: true }),
            (Payload::Accepted, Job::Freeze { .. } | Job::Demote | Job::Follow { .. }) => {
                Some(Ask::LookBefore)
            }
            (Payload::Accepted, Job::Save { run, begun }) => {
                Some(Ask::Save { run: run.clone(), begun: *begun })
            }
            (Payload::Accepted, Job::Look) => Some(Ask::Read),
            (Payload::Accepted, Job::Open { .. } | Job::Fence { .. } | Job::Cede { .. }) => {
                Some(Ask::WhichRun)
            }
            (Payload::Accepted, Job::HoldWrites { lasts }) => Some(Ask::HoldWrites(*lasts)),
            (Payload::Accepted, Job::ResumeWrites) => Some(Ask::ResumeWrites),
            (Payload::Say(Say::Run(run)), Job::Cede { run: meant }) => (run == *meant).then_some(Ask::Cede),
            (Payload::Accepted, Job::Persist) => Some(Ask::Persist),
            (Payload::Say(Say::Before { role, min_replicas }), Job::Follow { master, number, closes }) => {
                let number = [1, CLOSED].contains(&min_replicas).then_some(*number);
                Some(Ask::Follow { master: master.clone(), cut: role.is_master() || *closes, number })
            }
            (Payload::Say(Say::Before { role, .. }), _) => {
                let cut = role.is_master() || matches!(visit.job, Job::Freeze { cuts: true, .. });
                if let Some(visit) = self.monitors[m].visits.get_mut(&id) {
                    visit.was = Some(role);
                }
                Some(Ask::Freeze { cut })
            }
            (Payload::Say(Say::Run(run)), Job::Fence { run: meant, number }) => {
                (run == *meant).then_some(Ask::Fence(*number))
            }
            (Payload::Say(Say::Run(run)), Job::Open { run: meant, number, first }) => {
                (run == *meant).then_some(Ask::Open { number: *number, first: *first })
            }
            (Payload::Say(Say::Saving(saving)), Job::Save { .. }) => {
                return self.saving_is_answered(m, id, saving);
            }
            (Payload::Say(Say::Evidence { was, now: said }), job) => {
                return self.visit_ends(m, id, job, &was, *said);
            }
            _ => None,
        };
        match ask {
            // To ask how far a file is changes nothing.
            Some(ask @ (Ask::LookBefore | Ask::Read | Ask::WhichRun | Ask::Save { begun: true, .. })) => {
                self.ask_node(m, conn, id, ask);
            }
            Some(Ask::Freeze { .. })
                if self.bug == Some(Bug::SkipsFreeze) && matches!(visit.job, Job::Freeze { .. }) =>
            {
                self.ask_node(m, conn, id, Ask::Read);
            }
            Some(ask) => self.command(m, conn, id, ask),
            None => self.visit_is_over(m, Some(id), None),
        }
    }

    pub(super) fn visit_ends(&mut self, m: usize, id: u64, job: &Job, was: &Role, said: Evidence) {
        match job {
            Job::Freeze { .. } => {
                let Some(visit) = self.monitors[m].visits.remove(&id) else { return };
                let early = visit.was.as_ref().is_some_and(|before| !before.is_master());
                if early && was.is_master() {
                    // It was made a master between the look and the transaction.
                    self.ask_node(m, visit.conn, id, Ask::KillClients);
                }
                let present = self.monitors[m].running.as_ref().is_some_and(|it| it.id == visit.of);
                if present {
                    self.monitors[m].frozen_at.insert(visit.node, visit.began);
                    self.monitors[m]
                        .held
                        .insert(visit.node, Held { conn: visit.conn, said, since: visit.began });
                }
                self.freeze_is_answered(m, visit.node);
            }
            Job::Demote => {
                let Some(visit) = self.monitors[m].visits.get(&id) else { return };
                let early = visit.was.as_ref().is_some_and(|before| !before.is_master());
                let (conn, node, began) = (visit.conn, visit.node, visit.began);
                self.monitors[m].looked_at.insert(node, began);
                if early && was.is_master() {
                    self.ask_node(m, conn, id, Ask::KillClients);
                }
                self.visit_is_over(m, Some(id), Some(said));
            }
            Job::Look | Job::Cede { .. } => self.visit_is_over(m, Some(id), Some(said)),
            Job::HoldWrites { .. } => {
                let Some(visit) = self.monitors[m].visits.get(&id) else { return };
                let (node, of) = (visit.node, visit.of);
                if self.monitors[m].running.as_ref().is_some_and(|it| it.id == of) {
                    self.note_hold_is_heard(node);
                }
                self.visit_is_over(m, Some(id), Some(said));
            }
            Job::ResumeWrites
            | Job::Save { .. }
            | Job::Open { .. }
            | Job::Fence { .. }
            | Job::Follow { .. }
            | Job::Persist => {
                self.visit_is_over(m, Some(id), Some(said));
            }
        }
    }

    /// A node has said how far its file is.
    fn saving_is_answered(&mut self, m: usize, id: u64, saving: Option<Saving>) {
        let Some(visit) = self.monitors[m].visits.remove(&id) else { return };
        self.leave(m, visit.node, id);
        if self.monitors[m].running.as_ref().is_some_and(|it| it.id == visit.of) {
            self.finish(m, Outcome::Saving(saving));
        }
    }

    pub(super) fn freeze_is_answered(&mut self, m: usize, node: usize) {
        let now = self.monitors[m].local(self.queue.now());
        if let Some(Running { what: What::Freeze(missing), .. }) = &mut self.monitors[m].running {
            missing.remove(&node);
            self.freeze_ends(m, now);
        }
    }

    /// Ends the freeze if nobody is awaited any more.
    pub(super) fn freeze_ends(&mut self, m: usize, now: Instant) {
        let Some(running) = &self.monitors[m].running else { return };
        let What::Freeze(missing) = &running.what else { return };
        if missing.is_empty() || running.deadline.is_some_and(|deadline| now >= deadline) {
            let said = |(n, held): (&usize, &Held)| (self.nodes[*n].server.addr.clone(), held.said.clone());
            let said = self.monitors[m].held.iter().map(said).collect();
            self.finish(m, Outcome::Read(said));
        }
    }

    /// One of the visits of the present action is over, or none is needed.
    pub(super) fn visit_is_over(&mut self, m: usize, id: Option<u64>, said: Option<Evidence>) {
        let visit = id.and_then(|id| self.monitors[m].visits.remove(&id));
        if let (Some(id), Some(visit)) = (id, &visit) {
            self.leave(m, visit.node, id);
            if matches!(visit.job, Job::Freeze { .. }) {
                return self.freeze_is_answered(m, visit.node);
            }
        }
        let saves = matches!(self.monitors[m].running.as_ref().map(|it| &it.what), Some(What::Save));
        if let (true, Some(visit)) = (saves, &visit) {
            if self.monitors[m].running.as_ref().is_some_and(|it| it.id == visit.of) {
                self.finish(m, Outcome::Saving(None));
            }
            return;
        }
        let addr = visit.as_ref().map(|visit| self.nodes[visit.node].server.addr.clone());
        let Some(Running { id, what: What::All { left, reads, said: all }, .. }) =
            &mut self.monitors[m].running
        else {
            return;
        };
        if let (Some(visit), Some(addr)) = (&visit, addr) {
            if visit.of != *id {
                return;
            }
            *left -= 1;
            if said.is_some() {
                all.insert(addr, said);
            }
        }
        if *left > 0 {
            return;
        }
        let (reads, all) = (*reads, std::mem::take(all));
        let outcome = if reads {
            Outcome::Read(all.into_iter().filter_map(|(node, said)| Some((node, said?))).collect())
        } else {
            Outcome::Done(all.into_keys().collect())
        };
        self.finish(m, outcome);
    }
}
