//! Asks one node again and again over one connection that is always open. It tells what happened and judges nothing.

use std::time::Duration;

use redis::Value;
use redis_failover_core::{NodeAddr, Probe, Sighting};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant as Moment, sleep, sleep_until};

use super::clock::Clock;
use crate::info::Info;
use crate::names::{Names, PATIENCE, Way};
use crate::redis_link::{Credentials, LinkError, RedisLink};

/// How fast to ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pace {
    /// From one question to the next.
    pub interval: Duration,
    /// How long an attempt to connect, and half of how long an answer, may take.
    pub patience: Duration,
}

/// What happened to a probe.
#[derive(Debug)]
pub(super) struct Probed {
    /// Of which node.
    pub node: NodeAddr,
    /// When it was asked.
    pub asked: redis_failover_core::Instant,
    /// When this happened.
    pub at: redis_failover_core::Instant,
    /// What.
    pub probe: Probe,
}

/// One node's prober.
pub(super) struct Prober {
    /// The node.
    pub node: NodeAddr,
    /// What it is called, and what that means.
    pub names: Names,
    /// Who we are to it.
    pub credentials: Credentials,
    /// Our name in its CLIENT LIST.
    pub name: String,
    /// How fast to ask; a new pace means: ask now.
    pub pace: watch::Receiver<Pace>,
    /// How often the slow sections are read.
    pub slow_every: Duration,
    /// The monitor's clock.
    pub clock: Clock,
    /// Where to tell.
    pub told: mpsc::UnboundedSender<Probed>,
}

/// Why a node is not asked any more over this connection.
enum Broken {
    /// The connection ended, after it had served.
    Ended,
    /// It ended before the first answer.
    Unserved,
    /// An answer took so long that another connection is worth a try.
    Stale,
}

impl Prober {
    /// Probes until the monitor stops listening.
    pub(super) async fn run(mut self) {
        let mut trouble = None;
        while !self.told.is_closed() {
            let asked = self.clock.now();
            self.tell(asked, Probe::Sent);
            let pace = *self.pace.borrow_and_update();
            let way = (&self.node, Way::ByName);
            match RedisLink::open(way, &self.names, &self.credentials, &self.name, pace.patience).await {
                Ok(mut link) => {
                    trouble = None;
                    let _standing = self.names.stands(&self.node, link.peer());
                    let broken = self.ask_on(&mut link).await;
                    if !matches!(broken, Broken::Stale) {
                        let now = self.clock.now();
                        self.tell(now, Probe::Lost);
                    }
                    // A closed connection is looked into at once; one that never served waits for its turn.
                    if !matches!(broken, Broken::Unserved) {
                        continue;
                    }
                }
                Err(LinkError::Refused) => self.tell(asked, Probe::Refused),
                Err(error @ (LinkError::Denied(_) | LinkError::Unbound(_))) => {
                    self.tell(asked, Probe::Denied);
                    let hint = match error {
                        LinkError::Unbound(_) => "check the source address and this host's addresses",
                        _ => "check the password, the ACL user and maxclients",
                    };
                    self.complain(&mut trouble, &error, &format!("{hint}; it counts neither way"));
                }
                Err(error @ LinkError::Unresolved(_)) => {
                    let hint = "check the name and the resolver; it counts as silent";
                    self.complain(&mut trouble, &error, hint);
                }
                Err(LinkError::Unreachable(_) | LinkError::Broken(_)) => {}
            }
            self.wait().await;
        }
    }

    /// Asks over one connection until it ends or no longer answers.
    async fn ask_on(&mut self, link: &mut RedisLink) -> Broken {
        let mut slow_due = Moment::now();
        let mut server = Info::default();
        let mut broken = Broken::Unserved;
        loop {
            let asked = self.clock.now();
            self.tell(asked, Probe::Sent);
            let slow = Moment::now() >= slow_due;
            let patience = self.pace.borrow().patience * 2;
            let questions = questions(slow);
            let replies = tokio::select! {
                replies = link.ask(&questions) => replies,
                () = sleep(patience) => return Broken::Stale,
            };
            let Ok(replies) = replies else { return broken };
            broken = Broken::Ended;
            if slow {
                server = replies.get(2).and_then(text).map(|text| Info::parse(&text)).unwrap_or_default();
                if server.run().is_ok() {
                    // A busy server answers nothing yet: it is asked again with the next probe.
                    slow_due = Moment::now() + self.slow_every;
                }
                tracing::debug!(node = %self.node, version = server.version(), "slow sections read");
            }
            let probe = self.spelled(judge(asked, &replies, &server), slow).await;
            self.tell(asked, probe);
            tokio::select! {
                () = link.ended() => return broken,
                () = self.wait() => {}
            }
        }
    }

    /// Waits for the next turn; a new pace is a turn.
    async fn wait(&mut self) {
        let next = Moment::now() + self.pace.borrow_and_update().interval;
        tokio::select! {
            () = sleep_until(next) => {}
            changed = self.pace.changed() => if changed.is_err() { sleep_until(next).await },
        }
    }

    /// Says what keeps us from asking, if that is news.
    fn complain(&self, trouble: &mut Option<String>, error: &LinkError, hint: &str) {
        let said = error.to_string();
        if trouble.as_ref() != Some(&said) {
            tracing::error!(node = %self.node, "{said}: {hint}");
            *trouble = Some(said);
        }
    }

    /// The same with the master that the node follows in the group's spelling; with `anew` by what names mean now.
    async fn spelled(&self, mut probe: Probe, anew: bool) -> Probe {
        if let Probe::Answered(sighting) | Probe::Misconf(sighting) = &mut probe {
            if anew {
                self.names.refresh(&sighting.role);
            }
            let limit = PATIENCE.min(self.pace.borrow().patience / 4);
            sighting.role = self.names.spelled(&self.node, sighting.role.clone(), limit).await;
        }
        probe
    }

    fn tell(&self, asked: redis_failover_core::Instant, probe: Probe) {
        let probed = Probed { node: self.node.clone(), asked, at: self.clock.now(), probe };
        // Nobody listens any more: the loop above ends.
        let _ = self.told.send(probed);
    }
}

/// PING tells whether the node serves; INFO answers also while it loads.
fn questions(slow: bool) -> redis::Pipeline {
    let mut questions = redis::pipe();
    questions.cmd("PING").cmd("INFO").arg("replication");
    if slow {
        questions.cmd("INFO").arg("server");
    }
    questions
}

fn judge(asked: redis_failover_core::Instant, replies: &[Value], server: &Info) -> Probe {
    let refused = match replies.first() {
        Some(Value::ServerError(error)) => error.code(),
        _ => "",
    };
    if refused == "LOADING" {
        return Probe::Unusable;
    }
    let sighting = || {
        let info = Info::parse(&replies.get(1).and_then(text)?);
        Some(Sighting {
            asked,
            run: server.run().ok()?,
            role: info.role().ok()?,
            history: info.history().ok()?,
            guarded: info.guarded(),
            feeds: info.feeds(),
        })
    };
    match sighting() {
        Some(sighting) if refused == "MISCONF" => Probe::Misconf(sighting),
        Some(sighting) => Probe::Answered(sighting),
        // BUSY, NOPERM and the like: it lives, and does not tell more.
        None => Probe::Alive,
    }
}

/// The text of a reply that is one.
pub(super) fn text(reply: &Value) -> Option<String> {
    match reply {
        Value::BulkString(bytes) => Some(String::from_utf8_lossy(bytes).into_owned()),
        Value::SimpleString(text) | Value::VerbatimString { text, .. } => Some(text.clone()),
        _ => None,
    }
}
