//! The client as a maker of connections for a pool of `r2d2`.
//!
//! A connection follows the master by itself, so the pool has nothing to find out about nodes: it keeps its connections
//! through every change of master. It must only never give to the next one what the last one left behind.

use std::io;

use r2d2::ManageConnection;
use redis::{ConnectionLike as _, RedisError};

use super::{Client, Connection, engine};
use crate::outcome::{Outcome, failure};

/// A pool that is made of it needs no server to begin with, and keeps its connections through every change of master:
/// commands wait for the new one as they do everywhere. A connection that is given back while WATCH or MULTI lasts on
/// it is thrown away, and what was watched or queued with it.
///
/// ```no_run
/// use redis_failover::blocking::Client;
/// use redis_failover::r2d2::Pool;
/// use redis_failover::redis::Commands;
///
/// # fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let client = Client::open("redis+zk://zk1:2181,zk2:2181/redis/cluster")?;
/// let pool = Pool::builder().max_size(8).build(client)?;
/// let _: () = pool.get()?.set("greeting", "hello")?;
/// # Ok(())
/// # }
/// ```
impl ManageConnection for Client {
    type Connection = Connection;
    type Error = RedisError;

    fn connect(&self) -> Result<Connection, RedisError> {
        Ok(self.connection())
    }

    fn is_valid(&self, connection: &mut Connection) -> Result<(), RedisError> {
        if !connection.is_open() {
            return Err(engine::ended());
        }
        if connection.is_in_session() {
            let what = "WATCH or MULTI lasts on this connection, which is not given to others";
            return Err(failure(Outcome::NotExecuted, io::ErrorKind::ResourceBusy, what));
        }
        Ok(())
    }

    fn has_broken(&self, connection: &mut Connection) -> bool {
        !connection.is_open() || connection.is_in_session()
    }
}
