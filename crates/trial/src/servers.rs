//! What the servers of a group say themselves, whatever anybody has published. It harms none.

use redis_failover_lab::{Redis, Reply};

/// How long the replicas may take to confirm a write, in milliseconds.
const CONFIRMED: &str = "500";

/// Whether server `master` leads all others, and takes a write that reaches them all.
///
/// # Errors
/// What one of them says that is not so.
pub(crate) fn all_follow(redis: &[Redis], master: usize) -> Result<(), String> {
    let port = redis[master].port().to_string();
    for (index, redis) in redis.iter().enumerate() {
        let info = redis.info("replication")?;
        let says = |name: &str, value: &str| match info.get(name) {
            Some(said) if said == value => Ok(()),
            said => Err(format!("{} says {name}: {said:?}", redis.addr())),
        };
        if index == master {
            says("role", "master")?;
        } else {
            says("role", "slave")?;
            says("master_port", &port)?;
            says("master_link_status", "up")?;
        }
    }
    let replicas = redis.len() - 1;
    let mut connection = redis[master].connect()?;
    connection.command(&["SET", "steady", "yes"])?.into_result()?;
    match connection.command(&["WAIT", &replicas.to_string(), CONFIRMED])? {
        Reply::Integer(confirmed) if usize::try_from(confirmed) == Ok(replicas) => Ok(()),
        reply => Err(format!("a write is confirmed by {reply:?} of {replicas} replicas")),
    }
}
