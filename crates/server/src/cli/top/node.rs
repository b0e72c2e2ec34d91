//! Asks one node, every second, what it is and how fast it answers. It reads, and changes nothing.

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use redis::Value;
use redis_failover_core::NodeAddr;
use tokio::sync::mpsc::UnboundedSender;
use tokio::time::{MissedTickBehavior, interval_at, timeout};

use super::model::{News, Quiet, Said, Told, Update};
use crate::info::Info;
use crate::names::{Names, Way};
use crate::redis_link::{Credentials, Limits, LinkError, RedisLink, text};

/// How often.
const EVERY: Duration = Duration::from_secs(1);

/// How long an answer may take before it is said that there is none.
const PATIENCE: Duration = Duration::from_secs(1);

/// How long the steps of opening a connection may take: longer, so that one that hangs is not called each second.
const LIMITS: Limits = Limits { connect: Duration::from_secs(10), greet: Duration::from_secs(10) };

/// How the connection is called in CLIENT LIST. No leader's begins so.
const NAME: &str = "redis-failover-top";

/// One node, and how it is called.
pub(super) struct Node {
    /// Its group on the screen.
    pub(super) group: usize,
    /// Where it is.
    pub(super) addr: NodeAddr,
    pub(super) names: Names,
    pub(super) credentials: Credentials,
    /// Where what it says goes.
    pub(super) news: UnboundedSender<Update>,
}

impl Node {
    /// Asks for ever; all nodes of a group at the same moments after `begun`, for their offsets are compared.
    pub(super) async fn watch(self, begun: tokio::time::Instant) {
        let mut ticks = interval_at(begun, EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let (mut link, mut silent) = (None, None);
        loop {
            ticks.tick().await;
            let asked = Instant::now();
            let asking = self.ask(&mut link);
            tokio::pin!(asking);
            // The question is never given up while the connection stands: a late answer is an answer.
            let said = loop {
                match timeout(PATIENCE, &mut asking).await {
                    Ok(said) => break said,
                    Err(_) => self.tell(Err(Quiet::Silent(*silent.get_or_insert(asked)))),
                }
            };
            match said {
                Err(Quiet::Silent(_)) => self.tell(Err(Quiet::Silent(*silent.get_or_insert(asked)))),
                said => {
                    silent = None;
                    self.tell(said);
                }
            }
        }
    }

    fn tell(&self, said: Said) {
        // Where nobody listens any more the screen is gone, and this task with it.
        let _ = self.news.send(Update { group: self.group, news: News::Said(self.addr.clone(), said) });
    }

    async fn ask(&self, link: &mut Option<RedisLink>) -> Said {
        let mut open = if let Some(link) = link.take().filter(|link| !link.is_ended()) {
            link
        } else {
            let way = (&self.addr, Way::ByName);
            RedisLink::open(way, &self.names, &self.credentials, NAME, LIMITS).await.map_err(quiet)?
        };
        let said = question(&mut open).await;
        // One that gave no answer is not asked again.
        *link = said.is_ok().then_some(open);
        said
    }
}

/// Why there is no connection: a server that takes it and says nothing more hangs.
fn quiet(error: LinkError) -> Quiet {
    match error {
        LinkError::Unreachable(error) if error.kind() == ErrorKind::TimedOut => Quiet::Silent(Instant::now()),
        error => Quiet::Because(error.to_string()),
    }
}

async fn question(link: &mut RedisLink) -> Said {
    let broken = |error: redis::RedisError| Quiet::Because(format!("the connection broke: {error}"));
    let (mut ping, mut info) = (redis::pipe(), redis::pipe());
    ping.cmd("PING");
    info.cmd("INFO").arg("replication");
    let asked = Instant::now();
    let reply = link.ask(&ping).await.map_err(broken)?;
    let took = asked.elapsed();
    if let Some(Value::ServerError(error)) = reply.first() {
        return Err(Quiet::Because(error.to_string()));
    }
    let said = link.ask(&info).await.map_err(broken)?;
    if let Some(Value::ServerError(error)) = said.first() {
        return Err(Quiet::Because(error.to_string()));
    }
    Ok(told(took, &Info::parse(&said.first().and_then(text).unwrap_or_default())))
}

/// What an INFO says.
fn told(ping: Duration, info: &Info) -> Told {
    let history = info.history().ok();
    Told {
        ping,
        role: info.role().ok(),
        at: history.map(|history| (history.replid.0, history.offset)),
        heard: info.field("master_last_io_seconds_ago").and_then(|seconds| seconds.parse().ok()),
    }
}

#[cfg(test)]
mod tests {
    use redis_failover_core::{Link, Role};

    use super::*;

    #[test]
    fn a_master_that_never_spoke_was_not_heard() {
        let text = "role:slave\r\nmaster_host:a\r\nmaster_port:1\r\nmaster_sync_in_progress:0\r\n\
            master_link_status:up\r\nmaster_last_io_seconds_ago:3\r\nmaster_replid:x\r\nmaster_replid2:0\r\n\
            master_repl_offset:7\r\n";
        let up = told(Duration::from_millis(1), &Info::parse(text));
        assert!(matches!(up.role, Some(Role::Replica { link: Link::Up, .. })), "{up:?}");
        assert_eq!((up.at, up.heard), (Some(("x".to_owned(), 7)), Some(3)));
        let never = text.replace("ago:3", "ago:-1");
        assert_eq!(told(Duration::ZERO, &Info::parse(&never)).heard, None);
    }
}
