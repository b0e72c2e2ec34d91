//! How far a leader is with each request that it has not answered, in words. For people: it decides nothing.

use super::Decider;
use crate::diagnosis::{Diagnosis, diagnose};
use crate::event::Leadership;
use crate::plan::{Gap, Stage, Switch};
use crate::request::RequestId;
use crate::step::Step;
use crate::time::Instant;
use crate::topology::{Phase, Topology};
use crate::view::Attends;

impl Decider {
    /// What this leader is at with each request; nothing where it does not lead.
    pub(super) fn attends(&self, now: Instant) -> Attends {
        let leads = matches!(self.leadership, Leadership::Leading(_));
        let mut open = self.requests.iter().filter(|(id, _)| leads && !self.asked.answered.contains(id));
        let Some((first, request)) = open.next() else { return Attends::new() };
        let at = [(*first, self.is_at(now, *first))];
        at.into_iter().chain(open.map(|(id, _)| (*id, format!("comes after: {request}")))).collect()
    }

    fn is_at(&self, now: Instant, id: RequestId) -> String {
        if let Some(Step::Answer { request: of, .. }) = self.in_flight.as_ref().map(|(_, step)| step)
            && *of == id
        {
            return "the answer is written".to_owned();
        }
        let switch = self.progress.switch.as_ref().filter(|switch| switch.request == id);
        if let Some(switch) = switch {
            return stage(switch);
        }
        let Some(record) = self.record() else { return "waits for a record".to_owned() };
        if let Phase::FailingOver(_) = record.phase {
            return self.changes_to(record);
        }
        if self.asked.look.as_ref().is_some_and(|(of, said)| *of == id && said.is_none()) {
            return "the nodes are asked what they hold".to_owned();
        }
        if self.progress.opened.is_none() {
            return format!("epoch {}: {} is opened to writes", record.epoch, record.master);
        }
        let hurried = self.asked.hurried.as_ref().is_some_and(|it| it.by == id && it.epoch == record.epoch);
        let accepted = self.progress.accepted.as_ref().is_some_and(|(of, _)| *of == id);
        match self.facts(now).map(|facts| diagnose(&facts)) {
            _ if hurried || accepted => self.freezes(record),
            Some(diagnosis) if diagnosis != Diagnosis::Healthy => format!("waits: {diagnosis}"),
            Some(_) | None => "it is attended to".to_owned(),
        }
    }

    /// How far a change of master is before its epoch.
    fn freezes(&self, record: &Topology) -> String {
        if self.progress.frozen {
            return "the nodes are frozen: who holds most is to take over".to_owned();
        }
        format!("{} is replaced: the nodes are to be frozen", record.master)
    }

    /// How far a change of master is whose epoch is open.
    fn changes_to(&self, record: &Topology) -> String {
        let Phase::FailingOver(change) = &record.phase else { return String::new() };
        let (epoch, node) = (record.epoch, &change.intent.node);
        let at = match self.in_flight.as_ref().map(|(_, step)| step) {
            Some(Step::Promote { .. }) => "it is promoted",
            Some(Step::Commit { .. }) => "it is published",
            _ => "it is to be promoted",
        };
        format!("epoch {epoch} is open for {node}: {at}")
    }
}

/// How far a switchover is before its epoch.
fn stage(switch: &Switch) -> String {
    let ((from, _), to) = (&switch.from, &switch.to);
    match &switch.stage {
        Stage::Approaching => format!("{to} is to come near: {}", behind(switch)),
        Stage::Holding { .. } => format!("{from} holds writes until {to} has all of them"),
        Stage::Resuming => format!("{from} is to take writes again"),
        Stage::Ceded { .. } => format!("{from} has given up its role, and {to} takes over once it has all"),
        Stage::Failed => format!("{from} has given up its role, and whoever holds most takes over"),
    }
}

/// How far the wanted node is behind, roughly: a number that changes with every look would be written every time.
fn behind(switch: &Switch) -> String {
    match switch.seen {
        Some((_, Gap::Bytes(0))) => "it has all".to_owned(),
        Some((_, Gap::Bytes(bytes))) => format!("less than {} bytes behind", (bytes + 1).next_power_of_two()),
        Some((_, Gap::Unknown)) => "it does not follow, or does not answer".to_owned(),
        None => "it is looked at".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::{NodeAddr, RunId};

    #[test]
    fn a_switchover_says_how_far_it_is() {
        let (a, b) = (NodeAddr::new("a", 1), NodeAddr::new("b", 1));
        let said = |stage_of: Stage, gap: Option<Gap>| {
            let at = Instant::from_millis(1);
            let from = (a.clone(), RunId("1".into()));
            let seen = gap.map(|gap| (at, gap));
            stage(&Switch { request: RequestId(3), from, to: b.clone(), until: at, stage: stage_of, seen })
        };
        assert_eq!(said(Stage::Approaching, None), "b:1 is to come near: it is looked at");
        let far = said(Stage::Approaching, Some(Gap::Bytes(u64::MAX / 4)));
        assert_eq!(far, "b:1 is to come near: less than 4611686018427387904 bytes behind");
        assert_eq!(
            said(Stage::Approaching, Some(Gap::Unknown)),
            "b:1 is to come near: it does not follow, or does not answer"
        );
        let holding = Stage::Holding { since: Instant::from_millis(1), held: true };
        assert_eq!(said(holding, None), "a:1 holds writes until b:1 has all of them");
        assert_eq!(said(Stage::Resuming, None), "a:1 is to take writes again");
        assert_eq!(said(Stage::Failed, None), "a:1 has given up its role, and whoever holds most takes over");
    }
}
