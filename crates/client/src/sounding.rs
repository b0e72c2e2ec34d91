//! Asks a node how it is, again and again, on the link that commands use: how long it takes to answer, how it follows
//! and how far it is. What comes of that is decided in core (`reading`, `own_writes`).

use std::convert::Infallible;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use redis::aio::ConnectionLike;
use redis::{RedisError, RedisResult, Value};
use redis_failover_core::ReplId;
use redis_failover_core::follower::Manner;
use redis_failover_core::own_writes::{Proof, Standing};
use redis_failover_core::reading::{Pulse, QUESTION_PERIOD, Reader, smoothed};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};

use crate::keeper::{State, Told};
use crate::link::{self, Link};
use crate::own_writes::Questions;
use crate::routes::Routes;

/// How soon after a question the next may be asked, where reads wait for what it proves, and how much later at most
/// where nothing comes of asking.
const SOON: Duration = Duration::from_millis(10);

/// What is known of the node at the other end of a link.
#[derive(Debug, Default)]
pub(crate) struct Sounding {
    heard: Mutex<Heard>,
    /// The latest question that the node has proved.
    proved: AtomicU64,
}

#[derive(Debug, Default)]
struct Heard {
    round_trip: Option<Duration>,
    /// When it was asked what it has not answered yet.
    asked: Option<Instant>,
    last: Option<Answer>,
    /// When it heard of its master, in so far as it said so.
    of_master: Option<Instant>,
    proof: Proof,
}

/// What a node says of its replication.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Answer {
    /// The user may not ask.
    Secret,
    Open {
        manner: Manner,
        /// For how long it has heard nothing of its master; `None` where its link to it is down.
        silent: Option<Duration>,
        standing: Option<Standing>,
    },
}

impl Sounding {
    fn heard(&self) -> MutexGuard<'_, Heard> {
        // Whole between any two statements.
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The latest question that the node has proved.
    pub(crate) fn proved(&self) -> u64 {
        self.proved.load(Ordering::Acquire)
    }

    /// What is known of the node now, in core's words.
    pub(crate) fn reader(&self, leads: bool, usable: bool, own_zone: bool) -> Reader {
        let heard = self.heard();
        let pulse = match &heard.last {
            None => Pulse::Unasked,
            Some(Answer::Secret) => Pulse::Secret,
            Some(Answer::Open { manner, .. }) => {
                Pulse::Heard { manner: *manner, silent: heard.of_master.map(|it| it.elapsed()) }
            }
        };
        let waited = heard.asked.map(|asked| asked.elapsed()).unwrap_or_default();
        Reader { leads, usable, own_zone, round_trip: heard.round_trip, waited, pulse }
    }
}

/// Who asks the node of one link.
pub(crate) struct Asker {
    pub(crate) link: Arc<Link>,
    pub(crate) questions: Arc<Questions>,
    pub(crate) routes: watch::Receiver<Arc<Routes>>,
    pub(crate) told: mpsc::UnboundedSender<Told>,
}

impl Asker {
    /// Asks until it is dropped.
    pub(crate) async fn run(mut self) -> Infallible {
        let mut noted = self.questions.noted.subscribe();
        let (mut wanted, mut gap, mut last) = (false, SOON, 0);
        loop {
            let asked = Instant::now();
            let question = self.ask(wanted).await;
            if wanted {
                // Those who lag are not asked more often than they get on.
                gap = if self.is_proved(last) { SOON } else { (gap * 2).min(QUESTION_PERIOD) };
                last = question;
            }
            let leads = self.leads();
            wanted = loop {
                tokio::select! {
                    () = sleep_until(asked + QUESTION_PERIOD) => break false,
                    () = self.questions.wanted(), if leads => {
                        sleep_until(asked + gap).await;
                        break true;
                    }
                    Ok(()) = noted.changed(), if !leads => break false,
                    // Who leads from now on, or does no more, waits for something else.
                    Ok(()) = self.routes.changed() => if self.leads() != leads { break false },
                }
            };
        }
    }

    /// Whether the node is the one that is written to.
    fn leads(&mut self) -> bool {
        let routes = self.routes.borrow_and_update();
        routes.master.as_ref().is_some_and(|master| Arc::ptr_eq(master, &self.link))
    }

    /// Whether anybody who is read from has proved this question.
    fn is_proved(&self, question: u64) -> bool {
        self.routes.borrow().readers.iter().any(|link| link.sounding.proved() >= question)
    }

    /// Asks once, and yields the question's number.
    async fn ask(&mut self, wanted: bool) -> u64 {
        let question = self.questions.begin();
        // Only now: what was written to another master before this number was taken, is not proved by this one.
        let leads = self.leads();
        let asked = Instant::now();
        self.link.sounding.heard().asked = Some(asked);
        let mut connection = self.link.wire.connection.clone();
        let answer = connection.req_packed_command(redis::cmd("INFO").arg("replication")).await;
        if answer.as_ref().is_err_and(RedisError::is_timeout) {
            // No command comes this way while it is not read from: nobody else would notice.
            self.link.doubt();
        }
        // What has no answer keeps its place, and is what the node is judged by.
        if let Ok(answer) = answer {
            self.hear(question, leads, asked, understood(&answer).ok());
        }
        if leads && wanted {
            self.questions.noted.send_replace(question);
        }
        // The client may have ended meanwhile.
        let _ = self.told.send(Told { node: self.link.node.clone(), state: State::Heard });
        question
    }

    /// Takes in an answer; `None` is an error, which says only how long that took.
    fn hear(&self, question: u64, leads: bool, asked: Instant, answer: Option<Answer>) {
        let mut heard = self.link.sounding.heard();
        heard.asked = None;
        heard.round_trip = Some(smoothed(heard.round_trip, asked.elapsed()));
        let Some(answer) = answer else { return };
        heard.last = Some(answer.clone());
        let Answer::Open { manner, silent, standing } = answer else { return };
        if let Some(silent) = silent {
            heard.of_master = asked.checked_sub(silent);
        }
        let mut marks = self.questions.marks();
        marks.heard(question, leads, manner, standing.as_ref());
        let proved = heard.proof.heard(&marks, manner, standing);
        let before = self.link.sounding.proved.swap(proved, Ordering::AcqRel);
        if proved > before {
            self.questions.tell_of_proof();
        }
    }
}

/// What the answer to INFO replication says.
fn understood(answer: &Value) -> RedisResult<Answer> {
    let Some(role) = link::field(answer, "role:")? else { return Ok(Answer::Secret) };
    let number = |name| RedisResult::Ok(link::field(answer, name)?.and_then(|text| text.parse::<u64>().ok()));
    let is = |name, value| RedisResult::Ok(link::field(answer, name)? == Some(value));
    let manner = match role {
        "master" => Manner::Master,
        _ if is("master_sync_in_progress:", "0")? => Manner::Replica,
        _ => Manner::Filling,
    };
    let linked = is("master_link_status:", "up")?;
    let silent = number("master_last_io_seconds_ago:")?.map(Duration::from_secs).filter(|_| linked);
    let offset = number(if manner == Manner::Master { "master_repl_offset:" } else { "slave_repl_offset:" })?;
    let replid = link::field(answer, "master_replid:")?.map(|text| ReplId(text.to_owned()));
    let standing = replid.zip(offset).map(|(replid, offset)| Standing { replid, offset });
    Ok(Answer::Open { manner, silent, standing })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn understood_in(text: &str) -> Answer {
        understood(&Value::BulkString(text.replace(' ', "\r\n").into_bytes())).expect("an answer")
    }

    #[test]
    fn what_a_node_says_is_understood() {
        let open = |manner, silent: Option<u64>, offset| Answer::Open {
            manner,
            silent: silent.map(Duration::from_secs),
            standing: Some(Standing { replid: ReplId("x".into()), offset }),
        };
        let master = understood_in("role:master master_replid:x master_replid2:y master_repl_offset:7");
        assert_eq!(master, open(Manner::Master, None, 7));
        let words = "role:slave master_link_status:up master_last_io_seconds_ago:3 master_sync_in_progress:0 \
                     slave_read_repl_offset:9 slave_repl_offset:8 master_replid:x master_repl_offset:7";
        assert_eq!(understood_in(words), open(Manner::Replica, Some(3), 8));
        let filling = words.replace("progress:0", "progress:1");
        assert_eq!(understood_in(&filling), open(Manner::Filling, Some(3), 8));
        let down = words.replace(":up", ":down").replace("ago:3", "ago:-1");
        assert_eq!(understood_in(&down), open(Manner::Replica, None, 8));
    }

    #[test]
    fn what_may_not_be_asked_is_a_secret_and_other_refusals_are_errors() {
        let refused =
            |text: &str| redis::parse_redis_value(format!("-{text}\r\n").as_bytes()).expect("a reply");
        assert_eq!(understood(&refused("NOPERM no")).expect("an answer"), Answer::Secret);
        assert!(understood(&refused("BUSY x")).is_err());
    }
}
