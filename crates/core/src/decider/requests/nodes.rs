//! What a leader does when an operator takes a node in or out, or says something of it. It changes no master.

use std::collections::BTreeMap;

use super::{Decider, list};
use crate::diagnosis::{Diagnosis, diagnose};
use crate::names::NodeAddr;
use crate::orders::Orders;
use crate::policy::Discover;
use crate::request::{Answer, Order, RequestId};
use crate::step::Step;
use crate::time::Instant;
use crate::topology::{Member, Topology};
use crate::view::{Evidence, Link, Role, Vote};

impl Decider {
    /// Records what is asked, if nothing is lost by it.
    pub(super) fn order_node(
        &mut self,
        now: Instant,
        id: RequestId,
        (node, order): (&NodeAddr, &Order),
    ) -> Result<Option<Step>, Answer> {
        // Where nobody may take over, what is said of a node may be what helps.
        let may_help = !matches!(order, Order::Add | Order::Remove);
        let helps = self.stuck.is_some() && self.loss.is_none() && may_help;
        let record = if helps { self.record() } else { self.steady_record()? };
        let Some(record) = record.cloned() else { return Ok(None) };
        if self.changes_now(now) {
            return Ok(None);
        }
        if *order == Order::Add {
            return self.add_node(now, id, (node, record));
        }
        if !record.nodes().any(|member| member == node) {
            let is = format!("{node} is no node of the group; these are: {}", list(record.nodes()));
            // Another leader may have struck it out, and have had no time to say so.
            return Err(if *order == Order::Remove { Answer::Done(is) } else { Answer::Refused(is) });
        }
        match order {
            Order::Add => Ok(None),
            Order::Remove => self.remove_node(now, id, (node, record)),
            Order::Drain(_) | Order::Priority(_) | Order::Zone(_) => {
                self.keep_order(id, record, (node, order))
            }
        }
    }

    fn keep_order(
        &mut self,
        id: RequestId,
        mut record: Topology,
        (node, order): (&NodeAddr, &Order),
    ) -> Result<Option<Step>, Answer> {
        if *order == Order::Drain(true) && record.master == *node {
            let hint = "have another take over first (redis-failover switchover)";
            return Err(Answer::Refused(format!("{node} is the master: {hint}")));
        }
        let mut orders = record.orders.remove(node).unwrap_or_default();
        match order {
            Order::Drain(drained) => orders.drained = *drained,
            Order::Priority(priority) => orders.priority = *priority,
            Order::Zone(zone) => orders.zone.clone_from(zone),
            Order::Add | Order::Remove => {}
        }
        if orders != Orders::default() {
            record.orders.insert(node.clone(), orders);
        }
        if self.record().is_some_and(|present| present.orders == record.orders) {
            return Err(Answer::Done(format!("{node} {order} already")));
        }
        // It may be another one's turn to lead now.
        self.progress.never.remove(node);
        self.progress.tried.remove(node);
        self.progress.rest_until = None;
        Ok(self.commit_as_asked(id, record))
    }

    fn remove_node(
        &mut self,
        now: Instant,
        id: RequestId,
        (node, mut record): (&NodeAddr, Topology),
    ) -> Result<Option<Step>, Answer> {
        if record.master == *node {
            let hint = "have another take over first (redis-failover switchover)";
            return Err(Answer::Refused(format!("{node} is the master: {hint}")));
        }
        self.master_must_serve(now, &record)?;
        if record.diverged.get(node).is_some_and(|divergence| divergence.keeping.holds()) {
            let hint = format!("copy that, then give it up (redis-failover resync {node})");
            return Err(Answer::Refused(format!("{node} is held back for what it alone holds: {hint}")));
        }
        if self.follows(&record, node) && record.policy.discover() != Discover::Off {
            let hint = "end it first, or have it follow nobody (REPLICAOF NO ONE)";
            return Err(Answer::Refused(format!(
                "{node} follows {}, and would be found again: {hint}",
                record.master
            )));
        }
        record.members.retain(|member| member.addr != *node);
        record.discovered.remove(node);
        record.left.remove(node);
        record.synced.remove(node);
        record.reached.remove(node);
        record.diverged.remove(node);
        record.unclosed.remove(node);
        record.orders.remove(node);
        Ok(self.commit_as_asked(id, record))
    }

    fn add_node(
        &mut self,
        now: Instant,
        id: RequestId,
        (node, mut record): (&NodeAddr, Topology),
    ) -> Result<Option<Step>, Answer> {
        if record.discovered.remove(node) {
            return Ok(self.commit_as_asked(id, record));
        }
        if record.nodes().any(|member| member == node) {
            return Err(Answer::Done(format!("{node} is a node of the group already")));
        }
        self.master_must_serve(now, &record)?;
        let looked = self.asked.look.take().filter(|(of, _)| *of == id);
        let Some((_, Some(said))) = looked else {
            self.asked.look = Some((id, None));
            let nodes = record.nodes().chain([node]).cloned().collect();
            return Ok(Some(Step::Look { nodes }));
        };
        may_join(&record, node, &said).map_err(|why| Answer::Refused(format!("{node} {why}")))?;
        record.members.push(Member { addr: node.clone(), ok: false });
        Ok(self.commit_as_asked(id, record))
    }

    /// Whether it follows the master, as it says itself or the master does.
    fn follows(&self, record: &Topology, node: &NodeAddr) -> bool {
        let sightings = &self.observation.sightings;
        let fed = sightings.get(&record.master).is_some_and(|master| master.feeds.contains(node));
        let current = record.lineages.current();
        let answers = self.observation.ballots.get(node).is_some_and(|ballot| ballot.vote == Vote::Up);
        // The master may know it by another name.
        fed || sightings.get(node).filter(|_| answers).is_some_and(|it| {
            let up = matches!(it.role, Role::Replica { link: Link::Up, .. });
            up && current.is_some_and(|lineage| lineage.replid == it.history.replid)
        })
    }

    /// Who may hold what another has lost is neither let go nor emptied.
    fn master_must_serve(&self, now: Instant, record: &Topology) -> Result<(), Answer> {
        match self.facts(now).map(|facts| diagnose(&facts)) {
            Some(Diagnosis::Healthy) => Ok(()),
            Some(wrong) => Err(Answer::Refused(format!("{} does not serve all: {wrong}", record.master))),
            None => Err(Answer::Refused("nothing is known of the master yet".into())),
        }
    }
}

/// Whether a node that is to follow the master loses nothing by that.
///
/// # Errors
/// Why it may, in words that follow its name.
fn may_join(record: &Topology, node: &NodeAddr, said: &BTreeMap<NodeAddr, Evidence>) -> Result<(), String> {
    let Some(it) = said.get(node) else { return Err("does not answer the leader".to_owned()) };
    let other = said.iter().find(|(other, known)| *other != node && known.run == it.run);
    if let Some((other, _)) = other {
        return Err(format!("is {other} by another name, which is a node of the group"));
    }
    match &it.role {
        Role::Master { replicas } if *replicas > 0 => {
            return Err("is a master with replicas of its own: is it of another group?".to_owned());
        }
        Role::Replica { of: Some(of), .. } if *of != record.master => {
            let hint = "have it follow nobody first (REPLICAOF NO ONE)";
            return Err(format!("follows {of}, which is not the master: {hint}"));
        }
        Role::Master { .. } | Role::Replica { .. } => {}
    }
    let is_copy = record.lineages.locate(&it.history).is_some();
    if it.keys > 0 && !is_copy {
        let hint = "save them elsewhere and empty it first (FLUSHALL)";
        return Err(format!("holds {} keys of its own, which following would cost: {hint}", it.keys));
    }
    Ok(())
}
