//! The watch over who leads: it asks one question after the other at the leader's address and tells what came of them.
//! It judges nothing, and removes no lock.

use std::net::IpAddr;
use std::time::Duration;

use redis_failover_core::{Instant, LeadBallot, LeadWatch, NodeAddr, Policy, Probe, Term};
use redis_failover_store::Leader;
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};
use tokio_util::task::AbortOnDropHandle;

use super::clock::Clock;
use crate::names::{Names, Way};
use crate::redis_link::{LinkError, connect};

/// How much of an answer is read, in bytes.
const LINE_LIMIT: u64 = 512;

/// What happened to a question.
#[derive(Debug)]
pub(super) struct Tried {
    term: Term,
    asked: Instant,
    at: Instant,
    probe: Probe,
}

/// One monitor's watch over whoever else leads.
pub(super) struct Watch {
    names: Names,
    source: Option<IpAddr>,
    clock: Clock,
    told: mpsc::UnboundedSender<Tried>,
    leader: Option<Leader>,
    present: Option<Present>,
    /// What the decider was told last.
    said: Option<LeadBallot>,
}

/// The watch over one term.
struct Present {
    watch: LeadWatch,
    /// By which it is watched.
    policy: Policy,
    /// Asks until this is dropped.
    _asker: AbortOnDropHandle<()>,
}

impl Watch {
    /// A watch over nobody yet, of a monitor that calls from `source`.
    pub(super) fn new(
        names: Names,
        source: Option<IpAddr>,
        clock: Clock,
        told: mpsc::UnboundedSender<Tried>,
    ) -> Self {
        Self { names, source, clock, told, leader: None, present: None, said: None }
    }

    /// Watches `leader` from now on, if it can be asked anywhere, and nobody else.
    pub(super) fn follow(&mut self, leader: Option<Leader>, policy: &Policy) {
        if self.leader != leader {
            self.leader = leader;
            self.begin(policy);
        }
    }

    /// Watches by this policy from now on.
    pub(super) fn watch_by(&mut self, policy: &Policy) {
        let differs = |present: &Present| present.policy != *policy;
        if self.present.as_ref().is_some_and(differs) {
            self.begin(policy);
        }
    }

    fn begin(&mut self, policy: &Policy) {
        self.present = self.leader.as_ref().and_then(|leader| {
            let address: NodeAddr = leader.address.as_deref()?.parse().ok()?;
            let watch = LeadWatch::new(policy, leader.term, address.clone(), self.clock.now());
            let asker = Asker {
                address,
                leader: leader.clone(),
                names: self.names.clone(),
                source: self.source,
                pace: (policy.probe_interval(), policy.down_after()),
                clock: self.clock,
                told: self.told.clone(),
            };
            let policy = policy.clone();
            Some(Present { watch, policy, _asker: AbortOnDropHandle::new(tokio::spawn(asker.run())) })
        });
    }

    /// Takes in what happened to a question.
    pub(super) fn tried(&mut self, Tried { term, asked, at, probe }: Tried) {
        if let Some(present) = self.present.as_mut().filter(|present| present.watch.term() == term) {
            present.watch.probed(asked, at, probe);
        }
    }

    /// When [`Watch::is_news`] must be asked next.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.present.as_ref().map(|present| present.watch.poll_timeout())
    }

    /// Whether what is to be said of who leads is new.
    pub(super) fn is_news(&mut self) -> bool {
        let now = self.clock.now();
        if let Some(present) = self.present.as_mut().filter(|present| now >= present.watch.poll_timeout()) {
            present.watch.tick(now);
        }
        let ballot = self.present.as_ref().and_then(|present| present.watch.ballot());
        std::mem::replace(&mut self.said, ballot) != ballot
    }

    /// What is to be said of who leads, as of then.
    pub(super) fn said(&self) -> Option<LeadBallot> {
        self.said
    }
}

/// Asks one leader.
struct Asker {
    address: NodeAddr,
    leader: Leader,
    names: Names,
    source: Option<IpAddr>,
    /// From one question to the next, and how long an attempt to connect, and half of how long an answer, may take.
    pace: (Duration, Duration),
    clock: Clock,
    told: mpsc::UnboundedSender<Tried>,
}

impl Asker {
    /// Asks until nobody listens any more.
    async fn run(self) {
        let (interval, patience) = self.pace;
        while !self.told.is_closed() {
            let asked = self.clock.now();
            self.tell(asked, Probe::Sent);
            let connection = async {
                let addresses = self.names.addresses(&self.address, Way::ByName).await;
                connect(addresses.map_err(LinkError::Unresolved)?, self.source).await
            };
            match timeout(patience, connection).await {
                Ok(Ok(stream)) => {
                    let (reader, writer) = stream.into_split();
                    let served = self.ask_on(BufReader::new(reader), writer).await;
                    // A closed connection is looked into at once; one that never served waits for its turn.
                    if served {
                        continue;
                    }
                }
                Ok(Err(LinkError::Refused)) => self.tell(asked, Probe::Refused),
                Ok(Err(LinkError::Unbound(_) | LinkError::Exhausted(_))) => self.tell(asked, Probe::Denied),
                Ok(Err(_)) | Err(_) => {}
            }
            sleep(interval).await;
        }
    }

    /// Asks over one connection until that ends or no longer answers; says whether it ever did.
    async fn ask_on(
        &self,
        mut reader: impl AsyncBufRead + Unpin,
        mut writer: impl AsyncWriteExt + Unpin,
    ) -> bool {
        let (interval, patience) = self.pace;
        let mut served = false;
        loop {
            let asked = self.clock.now();
            self.tell(asked, Probe::Sent);
            let mut line = String::new();
            let answer = async {
                writer.write_all(b"PING\r\n").await?;
                (&mut reader).take(LINE_LIMIT).read_line(&mut line).await
            };
            match timeout(patience * 2, answer).await {
                Ok(Ok(1..)) => {}
                // What waits over this connection waits on: the silence counts from the first question.
                Err(_) => return true,
                Ok(Ok(0) | Err(_)) => {
                    self.tell(asked, Probe::Lost);
                    return served;
                }
            }
            let said = judge(&line, &self.leader);
            // Who answers something else, and hangs up, is not called again at once.
            served |= said == Probe::Alive;
            self.tell(asked, said);
            tokio::select! {
                () = sleep(interval) => {}
                // Nothing comes unasked but the end.
                _ = reader.fill_buf() => {
                    let now = self.clock.now();
                    self.tell(now, Probe::Lost);
                    return served;
                }
            }
        }
    }

    fn tell(&self, asked: Instant, probe: Probe) {
        // Nobody listens any more: the loop above ends.
        let _ = self.told.send(Tried { term: self.leader.term, asked, at: self.clock.now(), probe });
    }
}

/// What an answer says of `leader`: that it lives, that its process has ended, as another life of it answers, or
/// nothing, as somebody else does.
fn judge(answer: &str, leader: &Leader) -> Probe {
    let mut words = answer.split_whitespace();
    if (words.next(), words.next()) != (Some("+PONG"), Some(leader.monitor.as_str())) {
        return Probe::Denied;
    }
    match (&leader.life, words.next()) {
        (Some(life), Some(other)) if life != other => Probe::Refused,
        _ => Probe::Alive,
    }
}

#[cfg(test)]
mod tests {
    use redis_failover_core::Vote;
    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    /// Longer than anything here takes, even on a busy machine.
    const LONG: Duration = Duration::from_secs(20);

    fn leader(address: &str, life: &str) -> Leader {
        Leader {
            monitor: "m1".to_owned(),
            address: Some(address.to_owned()),
            life: Some(life.to_owned()),
            term: Term(7),
        }
    }

    #[test]
    fn only_the_leader_itself_lives_by_its_answer() {
        let leader = leader("h:1", "a.1");
        assert_eq!(judge("+PONG m1 a.1\r\n", &leader), Probe::Alive);
        assert_eq!(judge("+PONG m1 a.2\r\n", &leader), Probe::Refused, "it was started again");
        assert_eq!(judge("+PONG m2 a.1\r\n", &leader), Probe::Denied, "an address of this monitor's own");
        assert_eq!(judge("-ERR what?\r\n", &leader), Probe::Denied);
        assert_eq!(judge("+PONG m1\r\n", &leader), Probe::Alive, "an older version");
        assert_eq!(judge("+PONG m1 a.2\r\n", &Leader { life: None, ..leader }), Probe::Alive);
    }

    /// Takes one caller and answers its questions, `count` of them.
    async fn answer(listener: &TcpListener, count: usize) -> TcpStream {
        let (mut stream, _) = listener.accept().await.expect("a caller");
        for _ in 0..count {
            let mut question = [0; 6];
            stream.read_exact(&mut question).await.expect("a question");
            assert_eq!(&question, b"PING\r\n");
            stream.write_all(b"+PONG m1 a.1\r\n").await.expect("it listens");
        }
        stream
    }

    /// The next vote that is said.
    async fn next(watch: &mut Watch, asked: &mut mpsc::UnboundedReceiver<Tried>) -> Option<Vote> {
        let said = async {
            loop {
                if watch.is_news() {
                    return watch.said().map(|it| it.ballot.vote);
                }
                let due = watch.poll_timeout().expect("somebody is watched");
                tokio::select! {
                    asked = asked.recv() => watch.tried(asked.expect("it is asked on")),
                    () = tokio::time::sleep_until(watch.clock.moment(due)) => {}
                }
            }
        };
        timeout(LONG, said).await.expect("in time")
    }

    #[tokio::test]
    async fn who_was_reached_and_closes_is_refused_and_who_is_silent_is_so_after_its_time() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address").to_string();
        let policy =
            Policy::new(None, Duration::from_millis(100), Duration::from_millis(20)).expect("long enough");
        let (told, mut asked) = mpsc::unbounded_channel();
        let mut watch = Watch::new(Names::default(), None, Clock::start(), told);
        watch.follow(Some(leader(&address, "a.1")), &policy);
        let up = async { tokio::join!(answer(&listener, 3), next(&mut watch, &mut asked)) };
        let (stream, vote) = timeout(LONG, up).await.expect("in time");
        assert_eq!(vote, Some(Vote::Up));
        // It answers no more, and its connection stands.
        assert_eq!(next(&mut watch, &mut asked).await, Some(Vote::Silent));
        drop((stream, listener));
        assert_eq!(next(&mut watch, &mut asked).await, Some(Vote::Refused));
        watch.follow(None, &policy);
        assert!(watch.is_news() && watch.said().is_none(), "nobody else leads");
    }
}
