//! The words in which Sentinel writes instances and messages.

use redis_failover_core::NodeAddr;

/// An instance in a message: a master by itself, everything else with the master that it belongs to.
pub(super) fn master(group: &str, addr: &NodeAddr) -> String {
    format!("master {group} {} {}", addr.host(), addr.port())
}

/// A replica in a message.
pub(super) fn replica(addr: &NodeAddr, group: &str, master: &NodeAddr) -> String {
    instance("slave", &addr.to_string(), addr, group, master)
}

/// Another Sentinel in a message.
pub(super) fn sentinel(id: &str, addr: &NodeAddr, group: &str, master: &NodeAddr) -> String {
    instance("sentinel", id, addr, group, master)
}

fn instance(kind: &str, name: &str, addr: &NodeAddr, group: &str, master: &NodeAddr) -> String {
    let (host, port) = (addr.host(), addr.port());
    format!("{kind} {name} {host} {port} @ {group} {} {}", master.host(), master.port())
}
