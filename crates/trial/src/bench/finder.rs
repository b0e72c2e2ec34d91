//! How an application finds its master. It asks, and never guesses.

use std::time::Duration;

use redis_failover::Client;
use redis_failover_lab::Sentinel;
use tokio::time::timeout;

/// How long one sentinel is given.
const LIMIT: Duration = Duration::from_millis(500);

/// Whom to ask.
#[derive(Clone, Debug)]
pub(super) enum Finder {
    /// What our monitors have published.
    Published(Client),
    /// These sentinels, one after the other, until one names a master.
    Sentinels(Vec<String>),
    /// Nobody: it is always this one.
    Fixed(String),
}

impl Finder {
    /// The master's address, if those who are asked name one now.
    pub(super) async fn master(&self) -> Option<String> {
        match self {
            Self::Published(client) => client.current_master().map(|master| master.to_string()),
            Self::Sentinels(addresses) => {
                for address in addresses {
                    if let Ok(Ok(Some((host, port)))) = timeout(LIMIT, ask(address)).await {
                        return Some(format!("{host}:{port}"));
                    }
                }
                None
            }
            Self::Fixed(address) => Some(address.clone()),
        }
    }
}

async fn ask(sentinel: &str) -> redis::RedisResult<Option<(String, u16)>> {
    let client = redis::Client::open(format!("redis://{sentinel}"))?;
    let mut connection = client.get_multiplexed_async_connection().await?;
    let mut question = redis::cmd("SENTINEL");
    question.arg("GET-MASTER-ADDR-BY-NAME").arg(Sentinel::GROUP).query_async(&mut connection).await
}
