//! The znodes of a group: how they are called. It never asks whether they are there.

use redis_failover_core::{MonitorId, RequestId};

/// The paths of one group.
#[derive(Clone, Debug)]
pub(crate) struct Znodes {
    pub(crate) document: String,
    pub(crate) state: String,
    pub(crate) leader: String,
    pub(crate) monitors: String,
    pub(crate) requests: String,
    pub(crate) history: String,
}

/// Where the Python predecessor's monitors queue for their lead, all groups of an ensemble in one queue.
pub(crate) const PREDECESSORS: &str = "/ZktoolsLocks/redis_monitor_lock";

/// The beginning of a request's name.
const REQUEST: &str = "request-";

impl Znodes {
    pub(crate) fn new(document: String) -> Self {
        let below = |name: &str| format!("{document}/{name}");
        Self {
            state: below("state"),
            leader: below("leader"),
            monitors: below("monitors"),
            requests: below("requests"),
            history: below("history"),
            document,
        }
    }

    pub(crate) fn report(&self, monitor: &MonitorId) -> String {
        format!("{}/{monitor}", self.monitors)
    }

    /// What the name of a request begins with; the server numbers it.
    pub(crate) fn request_prefix(&self) -> String {
        format!("{}/{REQUEST}", self.requests)
    }

    pub(crate) fn request(&self, id: RequestId) -> String {
        format!("{}/{REQUEST}{:010}", self.requests, id.0)
    }

    /// An entry of the history.
    pub(crate) fn entry(&self, name: &str) -> String {
        format!("{}/{name}", self.history)
    }

    pub(crate) fn lock(&self, name: &str) -> String {
        format!("{}/{name}", self.leader)
    }
}

/// The beginning of a lock's name. Session and campaign are in it so that a candidate finds its own again after an
/// unknown outcome, and never takes another's for its own, though numbers begin anew with a new parent.
pub(crate) fn lock_prefix(session: i64, campaign: u64) -> String {
    format!("lock-{session:016x}.{campaign}-")
}

/// The session whose lock is called so.
pub(crate) fn lock_session(name: &str) -> Option<i64> {
    let (session, _) = name.strip_prefix("lock-")?.split_once('.')?;
    u64::from_str_radix(session, 16).ok().map(u64::cast_signed)
}

/// The request that is called so.
pub(crate) fn request_id(name: &str) -> Option<RequestId> {
    name.strip_prefix(REQUEST)?.parse().ok().map(RequestId)
}

/// The number that the server gave a sequential znode.
pub(crate) fn sequence(name: &str) -> Option<i64> {
    name.rsplit_once('-')?.1.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_locks_name_tells_whose_it_is() {
        for (session, campaign) in [(0x1_0000_beef, 0), (-1, 12)] {
            let name = format!("{}0000000007", lock_prefix(session, campaign));
            assert_eq!(lock_session(&name), Some(session), "{name}");
            assert_eq!(sequence(&name), Some(7));
        }
        assert_eq!(lock_session("lock-x.1-0000000007"), None);
        assert_eq!(lock_session("_c_b-lock-0000000007"), None);
    }
}
