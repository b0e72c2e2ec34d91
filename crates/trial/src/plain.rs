//! A plain connection of redis-rs: to one address, for clients that are not ours.

use std::time::Duration;

use redis::AsyncConnectionConfig;
use redis::aio::MultiplexedConnection;

/// How long it waits for a connection.
pub(crate) const CONNECT_LIMIT: Duration = Duration::from_millis(500);

/// Connects to `address`, and gives each reply `patience`; `None` is for ever.
pub(crate) async fn connect(address: &str, patience: Option<Duration>) -> Option<MultiplexedConnection> {
    let client = redis::Client::open(format!("redis://{address}")).ok()?;
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(CONNECT_LIMIT))
        .set_response_timeout(patience);
    client.get_multiplexed_async_connection_with_config(&config).await.ok()
}
