//! Has a node write its settings into its configuration file, its role among them. It changes none.

use redis::{RedisError, Value};

use super::AdminError;
use crate::redis_link::RedisLink;

/// Has the node write its settings into its configuration file.
pub(in crate::monitor) async fn persist(link: &mut RedisLink) -> Result<(), AdminError> {
    let mut command = redis::pipe();
    command.cmd("CONFIG").arg("REWRITE");
    match link.ask(&command).await?.into_iter().next() {
        // It was started without a file: there is nothing to write into.
        Some(Value::ServerError(error))
            if error.details().is_some_and(|it| it.contains("without a config file")) =>
        {
            Ok(())
        }
        Some(Value::ServerError(error)) => Err(RedisError::from(error).into()),
        _ => Ok(()),
    }
}
