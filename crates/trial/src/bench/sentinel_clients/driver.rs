//! redis-rs with Sentinel, as an application uses it: one of the processes that `process.rs` describes.
//!
//! redis-rs's client finds a server and connects to it once; to ask again after an error is up to the application.

use std::io::Write as _;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::Args;
use redis::RedisResult;
use redis::aio::MultiplexedConnection;
use redis::sentinel::{SentinelClient, SentinelServerType};
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::failure::Failure;

/// From one write to the next.
const WRITE_PACE: Duration = Duration::from_millis(5);

/// From one read to the next.
const READ_PACE: Duration = Duration::from_millis(50);

/// After an error.
const PAUSE: Duration = Duration::from_millis(50);

/// Which writes are followed by a question where they went.
const ASK_EVERY: u64 = 10;

/// What the versions of all dependencies are.
const LOCKED: &str = include_str!("../../../../../Cargo.lock");

/// What the process is told.
#[derive(Args, Debug)]
pub(in crate::bench) struct DriverArgs {
    /// Addresses, separated by commas.
    sentinels: String,
    group: String,
    prefix: String,
}

/// A client of sentinels, and what it has opened.
struct Line {
    client: SentinelClient,
    open: Option<MultiplexedConnection>,
}

/// Writes and reads until it is killed.
pub(in crate::bench) async fn drive(args: DriverArgs) -> Result<(), Failure> {
    tell(&json!({ "client": "redis-rs", "version": version() }))?;
    let urls: Vec<_> = args.sentinels.split(',').map(|address| format!("redis://{address}")).collect();
    let line = |kind| {
        let client = SentinelClient::build(urls.clone(), args.group.clone(), None, kind);
        client.map(|client| Line { client, open: None }).map_err(Failure::new)
    };
    let (master, replica) = (line(SentinelServerType::Master)?, line(SentinelServerType::Replica)?);
    tokio::try_join!(write(master, &args.prefix), read(replica, &args.prefix)).map(|((), ())| ())
}

impl Line {
    /// Does as `command` says, and keeps the connection only if that went well.
    async fn ask<T: redis::FromRedisValue>(&mut self, command: &redis::Cmd) -> RedisResult<T> {
        let mut open = match self.open.take() {
            Some(open) => open,
            None => self.client.get_async_connection().await?,
        };
        let answer = command.query_async(&mut open).await?;
        self.open = Some(open);
        Ok(answer)
    }

    /// Which server answers, and its role.
    async fn where_it_leads(&mut self) -> RedisResult<(String, String)> {
        let info: redis::InfoDict = self.ask(&redis::cmd("INFO")).await?;
        let field = |name| info.get::<String>(name).unwrap_or_default();
        Ok((format!("127.0.0.1:{}", field("tcp_port")), field("role")))
    }
}

/// Writes one key after the other, each until it is confirmed.
async fn write(mut line: Line, prefix: &str) -> Result<(), Failure> {
    let mut number = 0;
    loop {
        let set = redis::Cmd::set(format!("{prefix}:{number}"), number);
        if let Err(error) = line.ask::<()>(&set).await {
            tell(&json!({ "error": error.to_string() }))?;
            sleep(PAUSE).await;
            continue;
        }
        tell(&json!({ "ok": number }))?;
        number += 1;
        if number % ASK_EVERY == 0 {
            match line.where_it_leads().await {
                Ok((server, _)) => tell(&json!({ "wrote_at": server }))?,
                Err(error) => tell(&json!({ "error": error.to_string() }))?,
            }
        }
        sleep(WRITE_PACE).await;
    }
}

/// Reads what was written first, again and again.
async fn read(mut line: Line, prefix: &str) -> Result<(), Failure> {
    let get = redis::Cmd::get(format!("{prefix}:0"));
    loop {
        let answer = match line.ask::<Option<String>>(&get).await {
            Ok(value) => line.where_it_leads().await.map(|place| (value, place)),
            Err(error) => Err(error),
        };
        match answer {
            Ok((value, (server, role))) => {
                tell(&json!({ "read": value, "server": server, "role": role }))?;
                sleep(READ_PACE).await;
            }
            Err(error) => {
                tell(&json!({ "read_error": error.to_string() }))?;
                sleep(PAUSE).await;
            }
        }
    }
}

/// Prints an event as a line.
fn tell(event: &Value) -> Result<(), Failure> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_err(Failure::new)?;
    let mut event = event.clone();
    event["t"] = json!(now.as_secs_f64() * 1e3);
    writeln!(std::io::stdout().lock(), "{event}").map_err(Failure::new)
}

/// The version of redis-rs.
fn version() -> &'static str {
    let entry = LOCKED.split("[[package]]\n").find_map(|entry| entry.strip_prefix("name = \"redis\"\n"));
    let version = entry.and_then(|entry| entry.strip_prefix("version = \"")?.split('"').next());
    version.unwrap_or("of unknown version")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_the_locked_one() {
        let parts: Vec<_> = version().split('.').map(str::parse::<u32>).collect();
        assert!(parts.len() == 3 && parts.iter().all(Result::is_ok), "{}", version());
    }
}
