//! How a master, a replica and another Sentinel are told: Sentinel's fields in Sentinel's order. What the record and
//! the votes say is the same at every endpoint; how a node answers is what this process sees.

use std::time::{Duration, Instant};

use redis_failover_core::{Link, Member, NodeAddr, Role};

use super::events::Since;
use super::view::{Master, Sentinel, View};
use crate::observed::{Observed, Seen};
use crate::resp::Reply;

/// How long a switchover that a client asks for may take; told as Sentinel's `failover-timeout`.
pub(super) const FAILOVER_TIMEOUT: Duration = Duration::from_secs(15);

/// What `down-after-milliseconds` is called also where it is changed.
pub(super) const DOWN_AFTER: &str = "down-after-milliseconds";

/// Fields in their order.
struct Fields(Vec<(Reply, Reply)>);

impl Fields {
    fn add(&mut self, name: &str, value: impl ToString) -> &mut Self {
        self.0.push((Reply::bulk(name), Reply::bulk(value)));
        self
    }

    /// What every instance is told by.
    fn of(name: &str, addr: &NodeAddr, run: &str, flags: &str, seen: &Seen) -> Self {
        let mut fields = Self(Vec::new());
        // A probe asks two things at a time over the one connection that a node has.
        let pending = if seen.waiting.is_some() { 2 } else { 0 };
        fields.add("name", name).add("ip", addr.host()).add("port", addr.port()).add("runid", run);
        fields.add("flags", flags).add("link-pending-commands", pending).add("link-refcount", 1);
        fields
    }

    fn pings(&mut self, seen: &Seen) -> &mut Self {
        self.add("last-ping-sent", age(seen.waiting));
        self.add("last-ok-ping-reply", age(seen.served)).add("last-ping-reply", age(seen.answered))
    }

    fn report(&mut self, expected: &str, seen: &Seen) -> &mut Self {
        let (role, since) = match &seen.role {
            Some((role, since)) => (if role.is_master() { "master" } else { "slave" }, Some(*since)),
            None => (expected, None),
        };
        self.add("info-refresh", age(seen.info.as_ref().map(|(_, at)| *at)));
        self.add("role-reported", role).add("role-reported-time", age(since))
    }
}

/// Milliseconds since then; 0 where it never was, as Sentinel tells it.
fn age(at: Option<Instant>) -> u128 {
    at.map_or(0, |at| at.elapsed().as_millis())
}

/// What this process sees of the node.
fn seen(observed: &Observed, node: &NodeAddr) -> Seen {
    observed.get(node).cloned().unwrap_or_default()
}

fn run(seen: &Seen) -> String {
    let run = seen.info.as_ref().and_then(|(info, _)| info.field("run_id"));
    run.unwrap_or_default().to_owned()
}

/// The master, as `SENTINEL MASTER` tells it.
pub(super) fn master(view: &View, observed: &Observed, since: &Since, me: &str) -> Reply {
    let (record, how) = (&view.record, view.master());
    let addr = &record.master;
    let seen = seen(observed, addr);
    let flags = match how {
        // The link is this process's own, and breaks before anybody has concluded anything: some clients ask that fast.
        Master::Well if seen.lost => "master,disconnected",
        Master::Well => "master",
        Master::Down => "s_down,o_down,master,disconnected",
        Master::Replaced => "s_down,o_down,master,disconnected,failover_in_progress",
        Master::SwitchedOver => "master,failover_in_progress,force_failover",
        Master::Deposed => "master,failover_in_progress",
    };
    let mut fields = Fields::of(&view.name, addr, &run(&seen), flags, &seen);
    if view.promoted().is_some() {
        fields.add("failover-state", "wait_promotion");
    }
    fields.pings(&seen);
    if matches!(how, Master::Down | Master::Replaced) {
        let since = since.down.get(addr).copied();
        fields.add("s-down-time", age(since)).add("o-down-time", age(since));
    }
    fields.add(DOWN_AFTER, record.policy.down_after().as_millis()).report("master", &seen);
    fields.add("config-epoch", record.epoch.0);
    fields.add("num-slaves", view.replicas().count());
    fields.add("num-other-sentinels", others(view, me).count());
    fields.add("quorum", record.quorum()).add("failover-timeout", FAILOVER_TIMEOUT.as_millis());
    fields.add("parallel-syncs", record.policy.parallel_syncs());
    Reply::Map(fields.0)
}

/// A replica, as `SENTINEL REPLICAS` tells it.
pub(super) fn replica(view: &View, member: &Member, observed: &Observed, since: &Since) -> Reply {
    let seen = seen(observed, &member.addr);
    let promoted = view.promoted() == Some(&member.addr);
    let flags = match (member.ok, promoted) {
        (_, true) => "slave,promoted",
        (true, false) if seen.lost => "slave,disconnected",
        (true, false) => "slave",
        // Whatever it is published as not OK for, clients leave out what has these flags.
        (false, false) => "s_down,slave,disconnected",
    };
    let name = member.addr.to_string();
    let mut fields = Fields::of(&name, &member.addr, &run(&seen), flags, &seen);
    fields.pings(&seen);
    if !member.ok && !promoted {
        fields.add("s-down-time", age(since.down.get(&member.addr).copied()));
    }
    fields.add(DOWN_AFTER, view.record.policy.down_after().as_millis()).report("slave", &seen);
    let told = |name| seen.info.as_ref().and_then(|(info, _)| info.field(name));
    let link = seen.role.as_ref().and_then(|(role, _)| match role {
        Role::Replica { of, link, .. } => Some((of.as_ref(), *link)),
        Role::Master { .. } => None,
    });
    let (down_for, status) = match link {
        Some((_, Link::Up)) => (0, "ok"),
        Some((_, Link::Down { seconds })) => (seconds.saturating_mul(1_000), "err"),
        Some((_, Link::Syncing)) | None => (0, "err"),
    };
    fields.add("master-link-down-time", down_for).add("master-link-status", status);
    match link.and_then(|(of, _)| of) {
        Some(of) => fields.add("master-host", of.host()).add("master-port", of.port()),
        None => fields.add("master-host", "?").add("master-port", 0),
    };
    fields.add("slave-priority", priority(view, &member.addr, told("slave_priority")));
    fields.add("slave-repl-offset", told("slave_repl_offset").unwrap_or("0"));
    fields.add("replica-announced", told("replica_announced").unwrap_or("1"));
    Reply::Map(fields.0)
}

/// What counts as a node's priority: what an operator said comes before what it says itself.
fn priority(view: &View, node: &NodeAddr, told: Option<&str>) -> String {
    let orders = view.record.orders.get(node);
    let ordered = orders.and_then(|orders| if orders.drained { Some(0) } else { orders.priority });
    ordered.map_or_else(|| told.unwrap_or("100").to_owned(), |priority| priority.to_string())
}

/// The other monitors that answer as Sentinels.
pub(super) fn others<'a>(view: &'a View, me: &'a str) -> impl Iterator<Item = (&'a String, &'a Sentinel)> {
    view.sentinels.iter().filter(move |(id, _)| *id != me)
}

/// Another Sentinel, as `SENTINEL SENTINELS` tells it. It is not asked by this process: that it is alive is known by
/// its session with ZooKeeper for as long as this process has one, and what it published last is its last hello.
pub(super) fn sentinel(view: &View, id: &str, sentinel: &Sentinel, since: &Since) -> Reply {
    let known = since.cut_off.or_else(|| Some(Instant::now()));
    let seen = Seen { answered: known, served: known, ..Seen::default() };
    let mut fields = Fields::of(id, &sentinel.address, id, "sentinel", &seen);
    fields.pings(&seen);
    fields.add(DOWN_AFTER, view.record.policy.down_after().as_millis());
    fields
        .add("last-hello-message", age(Some(sentinel.heard)))
        .add("voted-leader", "?")
        .add("voted-leader-epoch", 0);
    Reply::Map(fields.0)
}
