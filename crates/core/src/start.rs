//! Who is master when nothing is recorded yet. A rule that could cost data refuses instead.

use std::collections::BTreeMap;

use crate::names::NodeAddr;
use crate::view::{Evidence, Role};

/// Why no master can be named; nothing was changed on any node.
#[derive(Clone, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum StartRefusal {
    /// More than one node might be the right one.
    #[error(
        "several masters hold data or have replicas ({}): make all but the right one its replicas with REPLICAOF, \
         or empty them, then it goes on by itself",
        with_keys(.0)
    )]
    SeveralMasters(BTreeMap<NodeAddr, u64>),
    /// Two addresses of the list lead to one server.
    #[error("{} and {} are the same server: leave one of the two spellings out of the list", .0, .1)]
    SameServer(NodeAddr, NodeAddr),
    /// A node that could not be asked may hold the data.
    #[error(
        "not all nodes could be asked ({} missing) and no answering master has replicas in the list: \
         start the missing nodes, or leave them out of the list",
        list(.0)
    )]
    Missing(Vec<NodeAddr>),
    /// All are replicas, but not of one master in the list.
    #[error(
        "all nodes are replicas, and they do not all follow one node of the list ({}): \
         make the right one a master with REPLICAOF NO ONE",
        list(.0)
    )]
    NoCommonMaster(Vec<NodeAddr>),
    /// Nobody answers.
    #[error("no node answers: start the Redis servers, or mend the list or the password")]
    NobodyAnswers,
}

fn with_keys(nodes: &BTreeMap<NodeAddr, u64>) -> String {
    let each: Vec<_> = nodes.iter().map(|(node, keys)| format!("{node} with {keys} keys")).collect();
    each.join(", ")
}

fn list(nodes: &[NodeAddr]) -> String {
    let each: Vec<_> = nodes.iter().map(ToString::to_string).collect();
    each.join(", ")
}

/// Names the master of a group that has no record, from what its `nodes` (in the operator's order) said.
///
/// One master with keys or replicas, the others empty or replicas: that one. All masters and empty: the first.
/// No master at all, but one listed address that all replicas follow: that one, even if it is down.
///
/// # Errors
/// Everything else: a wrong guess would make nodes throw their data away.
pub fn name_master(
    nodes: &[NodeAddr],
    said: &BTreeMap<NodeAddr, Evidence>,
) -> Result<NodeAddr, StartRefusal> {
    if said.is_empty() {
        return Err(StartRefusal::NobodyAnswers);
    }
    if let Some((one, other)) = same_server(said) {
        return Err(StartRefusal::SameServer(one, other));
    }
    let missing: Vec<_> = nodes.iter().filter(|node| !said.contains_key(node)).cloned().collect();
    let masters = || nodes.iter().filter(|node| said.get(node).is_some_and(|it| it.role.is_master()));
    let counts = |node: &&NodeAddr| said[*node].keys > 0 || replicas(&said[*node]) > 0;
    let mut with_data = masters().filter(counts);
    match (with_data.next(), with_data.next(), masters().next()) {
        (Some(_), Some(_), _) => {
            let keys = masters().filter(counts).map(|node| (node.clone(), said[node].keys));
            Err(StartRefusal::SeveralMasters(keys.collect()))
        }
        (Some(master), None, _) if strangers(master, said).is_empty() => {
            let followed =
                said.len() > 1 && said.keys().all(|node| node == master || follows(node, master, said));
            let sure = missing.is_empty() || followed;
            if sure { Ok(master.clone()) } else { Err(StartRefusal::Missing(missing)) }
        }
        (None, _, Some(first)) if missing.is_empty() && strangers(first, said).is_empty() => {
            Ok(first.clone())
        }
        (None, _, None) => common_master(nodes, said),
        (Some(master), ..) => Err(StartRefusal::NoCommonMaster(strangers(master, said))),
        _ if missing.is_empty() => Err(StartRefusal::NoCommonMaster(said.keys().cloned().collect())),
        _ => Err(StartRefusal::Missing(missing)),
    }
}

fn replicas(evidence: &Evidence) -> u32 {
    match evidence.role {
        Role::Master { replicas } => replicas,
        Role::Replica { .. } => 0,
    }
}

/// Two addresses whose servers have one run id.
fn same_server(said: &BTreeMap<NodeAddr, Evidence>) -> Option<(NodeAddr, NodeAddr)> {
    let mut runs = BTreeMap::new();
    said.iter().find_map(|(node, evidence)| {
        let other: NodeAddr = runs.insert(&evidence.run, node.clone())?;
        Some((other, node.clone()))
    })
}

/// Whether `node` is a replica of `master`, by address or, where that is spelled in another way, by its history.
fn follows(node: &NodeAddr, master: &NodeAddr, said: &BTreeMap<NodeAddr, Evidence>) -> bool {
    match &said[node].role {
        Role::Master { .. } => false,
        Role::Replica { of, .. } if of.as_ref() == Some(master) => true,
        Role::Replica { .. } => said[node].history.replid == said[master].history.replid,
    }
}

/// The replicas that hold keys and follow somebody else: following `master`, they would lose them.
fn strangers(master: &NodeAddr, said: &BTreeMap<NodeAddr, Evidence>) -> Vec<NodeAddr> {
    let stranger = |node: &&NodeAddr| {
        !said[*node].role.is_master() && said[*node].keys > 0 && !follows(node, master, said)
    };
    said.keys().filter(stranger).cloned().collect()
}

fn common_master(nodes: &[NodeAddr], said: &BTreeMap<NodeAddr, Evidence>) -> Result<NodeAddr, StartRefusal> {
    let mut followed = said.values().map(|evidence| match &evidence.role {
        Role::Replica { of, .. } => of.as_ref(),
        Role::Master { .. } => None,
    });
    let first = followed.next().flatten().filter(|first| nodes.contains(first));
    first
        .filter(|first| followed.all(|other| other == Some(*first)))
        .cloned()
        .ok_or_else(|| StartRefusal::NoCommonMaster(said.keys().cloned().collect()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::{ReplId, RunId};
    use crate::position::History;
    use crate::view::Link;

    fn node(name: &str) -> NodeAddr {
        NodeAddr::new(name, 1)
    }

    fn said(role: Role, keys: u64) -> Evidence {
        let history = History { replid: ReplId("r".into()), offset: 0, previous: None };
        Evidence {
            run: RunId(String::new()),
            role,
            history,
            priority: 100,
            uncounted: false,
            keys,
            saved: None,
            min_replicas_to_write: Some(0),
            version: None,
            appends: None,
        }
    }

    fn master(keys: u64, replicas: u32) -> Evidence {
        said(Role::Master { replicas }, keys)
    }

    fn replica(of: &str, keys: u64) -> Evidence {
        said(Role::Replica { of: Some(node(of)), link: Link::Up, received: 0 }, keys)
    }

    fn name(answers: &[(&str, Evidence)]) -> Result<NodeAddr, StartRefusal> {
        let nodes = [node("a"), node("b"), node("c")];
        let said = |(name, said): &(&str, Evidence)| {
            // Each server has a run and a history of its own.
            let history = History { replid: ReplId((*name).into()), ..said.history.clone() };
            let run = RunId(if said.run.0.is_empty() { (*name).into() } else { said.run.0.clone() });
            (node(name), Evidence { run, history, ..said.clone() })
        };
        name_master(&nodes, &answers.iter().map(said).collect())
    }

    #[test]
    fn three_fresh_servers_take_the_first() {
        assert_eq!(name(&[("a", master(0, 0)), ("b", master(0, 0)), ("c", master(0, 0))]), Ok(node("a")));
    }

    #[test]
    fn the_one_with_keys_or_replicas_is_the_master() {
        assert_eq!(name(&[("a", master(0, 0)), ("b", master(3, 0)), ("c", master(0, 0))]), Ok(node("b")));
        assert_eq!(name(&[("a", replica("c", 0)), ("b", master(0, 0)), ("c", master(0, 1))]), Ok(node("c")));
    }

    #[test]
    fn two_masters_with_data_are_refused_by_name_and_keys() {
        let refusal = name(&[("a", master(7, 0)), ("b", master(3, 0)), ("c", master(0, 0))]);
        let text = refusal.expect_err("two masters").to_string();
        assert!(text.contains("a:1 with 7 keys, b:1 with 3 keys"), "{text}");
    }

    #[test]
    fn a_missing_node_may_hold_the_data() {
        let missing = Err(StartRefusal::Missing(vec![node("c")]));
        assert_eq!(name(&[("a", master(0, 0)), ("b", master(0, 0))]), missing);
        assert_eq!(name(&[("a", master(5, 0)), ("b", master(0, 0))]), missing);
        assert_eq!(name(&[("a", master(5, 1)), ("b", replica("a", 5))]), Ok(node("a")));
        assert_eq!(name(&[]), Err(StartRefusal::NobodyAnswers));
    }

    #[test]
    fn without_a_master_the_one_that_all_follow_is_named_though_it_is_down() {
        assert_eq!(name(&[("b", replica("a", 1)), ("c", replica("a", 1))]), Ok(node("a")));
        let split = name(&[("a", replica("b", 1)), ("b", replica("c", 1)), ("c", replica("b", 1))]);
        assert!(matches!(split, Err(StartRefusal::NoCommonMaster(_))), "{split:?}");
        let stranger = name(&[("b", replica("x", 1)), ("c", replica("x", 1))]);
        assert!(matches!(stranger, Err(StartRefusal::NoCommonMaster(_))), "{stranger:?}");
    }

    #[test]
    fn two_spellings_of_one_server_are_refused() {
        let twin = || Evidence { run: RunId("twin".into()), ..master(0, 0) };
        let twice = name(&[("a", twin()), ("b", master(0, 0)), ("c", twin())]);
        assert_eq!(twice, Err(StartRefusal::SameServer(node("a"), node("c"))));
    }

    #[test]
    fn a_replica_with_keys_of_somebody_else_is_not_made_to_throw_them_away() {
        let stray = name(&[("a", master(1, 0)), ("b", replica("x", 500)), ("c", master(0, 0))]);
        assert_eq!(stray, Err(StartRefusal::NoCommonMaster(vec![node("b")])));
    }

    #[test]
    fn an_empty_master_beside_replicas_that_hold_keys_is_not_trusted() {
        let odd = name(&[("a", master(0, 0)), ("b", replica("x", 4)), ("c", replica("x", 4))]);
        assert!(odd.is_err(), "{odd:?}");
    }
}
