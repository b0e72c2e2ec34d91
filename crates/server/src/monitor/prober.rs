//! Asks one node again and again over one connection that is always open. It tells what happened and judges nothing.

use std::time::Duration;

use redis::Value;
use redis_failover_core::{Instant, NodeAddr, Observer, Policy, Probe, Sighting};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant as Moment, sleep, sleep_until};

use super::clock::Clock;
use crate::info::Info;
use crate::names::{Names, PATIENCE, Way};
use crate::observed::Showcase;
use crate::redis_link::{Credentials, Limits, LinkError, RedisLink, text};

/// How fast nodes are asked while something is in doubt.
const DENSE: Duration = Duration::from_millis(20);

/// How fast nodes are asked in the first moments after a connection broke: a master that is started again without its
/// data is to be noticed before its replicas have taken that for theirs.
const ALARMED: Duration = Duration::from_millis(2);

/// How fast to ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pace {
    /// From one question to the next.
    pub interval: Duration,
    /// How long an attempt to connect, and half of how long an answer, may take.
    pub patience: Duration,
}

impl Pace {
    /// The pace that what is observed asks for at `now`.
    pub(super) fn of(observer: &Observer, policy: &Policy, now: Instant) -> Self {
        let interval = match observer.in_doubt(now) {
            true if observer.is_alarmed(now) => ALARMED,
            true => DENSE,
            false => policy.probe_interval(),
        };
        Self { interval: interval.min(policy.probe_interval()), patience: policy.down_after() }
    }
}

/// What happened to a probe.
#[derive(Debug)]
pub(super) struct Probed {
    /// Of which node.
    pub node: NodeAddr,
    /// When it was asked.
    pub asked: Instant,
    /// When this happened.
    pub at: Instant,
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
    /// Where what is seen is shown to those who are asked about it.
    pub shown: Showcase,
    /// What was last said of it in the log, so that it is said once.
    pub said: Option<String>,
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
        while !self.told.is_closed() {
            let asked = self.clock.now();
            self.tell(asked, Probe::Sent);
            let pace = *self.pace.borrow_and_update();
            let way = (&self.node, Way::ByName);
            let limits = Limits { connect: pace.patience, greet: pace.patience };
            match RedisLink::open(way, &self.names, &self.credentials, &self.name, limits).await {
                Ok(mut link) => {
                    self.shown.lost(&self.node, false);
                    let _standing = self.names.stands(&self.node, link.peer());
                    let broken = self.ask_on(&mut link).await;
                    if !matches!(broken, Broken::Stale) {
                        self.shown.lost(&self.node, true);
                        let now = self.clock.now();
                        self.tell(now, Probe::Lost);
                    }
                    // A closed connection is looked into at once; one that never served waits for its turn.
                    if !matches!(broken, Broken::Unserved) {
                        continue;
                    }
                }
                Err(LinkError::Refused) => {
                    self.shown.lost(&self.node, true);
                    self.tell(asked, Probe::Refused);
                }
                Err(
                    error @ (LinkError::Denied(_)
                    | LinkError::Unbound(_)
                    | LinkError::Untrusted(_)
                    | LinkError::Exhausted(_)),
                ) => {
                    self.shown.lost(&self.node, false);
                    self.tell(asked, Probe::Denied);
                    let check = match error {
                        LinkError::Unbound(_) => "the source address and this host's addresses",
                        LinkError::Exhausted(_) => "how many files this process may open (ulimit -n)",
                        LinkError::Untrusted(_) => "its certificate, this monitor's, and whom each trusts",
                        _ => "the password, the ACL user and maxclients",
                    };
                    self.complain(Some(format!("{error}: check {check}; it counts neither way")));
                }
                Err(error @ LinkError::Unresolved(_)) => {
                    self.complain(Some(format!(
                        "{error}: check the name and the resolver; it counts as silent"
                    )));
                }
                Err(LinkError::Unreachable(_) | LinkError::Broken(_)) => self.shown.lost(&self.node, true),
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
            self.show(&replies, &server, &probe);
            self.tell(asked, probe);
            self.complain(replies.iter().find_map(complaint));
            tokio::select! {
                () = link.end() => return broken,
                () = self.wait() => {}
            }
        }
    }

    /// Says once what an operator should hear of this node.
    fn complain(&mut self, complaint: Option<String>) {
        if let Some(complaint) = complaint.as_ref().filter(|_| complaint != self.said) {
            tracing::error!(event = "trouble", node = %self.node, "{complaint}");
        }
        self.said = complaint;
    }

    /// Waits for the next turn; a new pace is a turn.
    async fn wait(&mut self) {
        let next = Moment::now() + self.pace.borrow_and_update().interval;
        tokio::select! {
            () = sleep_until(next) => {}
            changed = self.pace.changed() => if changed.is_err() { sleep_until(next).await },
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
            self.names.spell(&self.node, &mut sighting.feeds);
        }
        probe
    }

    /// Shows what was answered to those who are asked about it.
    fn show(&self, replies: &[Value], server: &Info, probe: &Probe) {
        self.shown.answered(&self.node, !matches!(probe, Probe::Unusable));
        let Some(mut info) = replies.get(1).and_then(text).map(|text| Info::parse(&text)) else { return };
        info.add(server);
        let role = match probe {
            Probe::Answered(sighting) | Probe::Misconf(sighting) => Some(sighting.role.clone()),
            _ => None,
        };
        self.shown.told(&self.node, info, role);
    }

    fn tell(&self, asked: Instant, probe: Probe) {
        if probe == Probe::Sent {
            self.shown.asks(&self.node);
        }
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

fn judge(asked: Instant, replies: &[Value], server: &Info) -> Probe {
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
            good_replicas: info.good_replicas(),
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

/// What an operator should hear of a reply on an open connection; `None` where there is nothing to mend.
fn complaint(reply: &Value) -> Option<String> {
    let Value::ServerError(error) = reply else { return None };
    let said = || redis::RedisError::from(error.clone());
    match error.code() {
        "BUSY" => Some(format!("{}: it counts as up; a script that ends by itself ends this", said())),
        // The votes tell of the first two, and the others are a replica's own.
        "LOADING" | "MISCONF" | "MASTERDOWN" | "READONLY" => None,
        _ => Some(format!(
            "{}: it counts as up for as long as this connection stands; let the ACL user run ping and info",
            said()
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INFO: &str = "role:master\r\nconnected_slaves:0\r\nmaster_replid:abc\r\nmaster_replid2:0\r\n\
        master_repl_offset:5\r\nsecond_repl_offset:-1\r\n";

    /// What came of a probe to which the server gave these answers; an error is one that begins with a minus.
    fn probe(ping: &str, info: &str) -> (Probe, Option<String>) {
        let reply = |text: &str| match text.strip_prefix('-') {
            None => Value::BulkString(text.into()),
            Some(_) => redis::parse_redis_value(format!("{text}\r\n").as_bytes()).expect("an error reply"),
        };
        let replies = [reply(ping), reply(info)];
        let asked = Clock::start().now();
        let probe = judge(asked, &replies, &Info::parse("run_id:r1\r\n"));
        (probe, replies.iter().find_map(complaint))
    }

    #[test]
    fn a_well_server_is_sighted_and_nothing_is_said() {
        assert!(matches!(probe("PONG", INFO), (Probe::Answered(_), None)));
    }

    #[test]
    fn a_busy_server_lives() {
        let busy = "-BUSY Redis is busy running a script.";
        let (probe, said) = probe(busy, busy);
        assert_eq!(probe, Probe::Alive);
        assert!(said.expect("it is told").contains("counts as up"));
    }

    #[test]
    fn a_loading_server_is_unusable() {
        assert_eq!(probe("-LOADING Redis is loading the dataset in memory", INFO), (Probe::Unusable, None));
    }

    #[test]
    fn a_server_that_cannot_save_is_sighted_and_left_to_the_policy() {
        assert!(matches!(
            probe("-MISCONF Redis is configured to save RDB snapshots", INFO),
            (Probe::Misconf(_), None)
        ));
    }

    #[test]
    fn a_replica_whose_master_is_down_is_sighted() {
        assert!(matches!(probe("-MASTERDOWN Link with MASTER is down", INFO), (Probe::Answered(_), None)));
    }

    #[test]
    fn who_may_not_ask_takes_the_server_for_up_and_is_told() {
        for (ping, info) in [
            ("PONG", "-NOPERM this user has no permissions to run the 'info' command"),
            ("-NOAUTH Authentication required.", "-NOAUTH Authentication required."),
            ("-ERR unknown command 'PING'", "-ERR unknown command 'INFO'"),
        ] {
            let (probe, said) = probe(ping, info);
            assert_eq!(probe, Probe::Alive, "{ping} {info}");
            assert!(said.expect("it is told").contains("ping and info"), "{ping} {info}");
        }
        let (probe, said) = probe("-NOPERM this user has no permissions to run the 'ping' command", INFO);
        assert!(matches!(probe, Probe::Answered(_)) && said.is_some(), "INFO tells enough");
    }
}
