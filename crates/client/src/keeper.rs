//! Keeps one node connected, for as long as the node belongs to the group. It says what it finds and judges nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use backon::ExponentialBackoff;
use futures_util::future::OptionFuture;
use redis::RedisResult;
use redis_failover_core::NodeAddr;
use redis_failover_core::follower::Identity;
use tokio::sync::{mpsc, watch};
use tokio::time::{sleep, timeout};

use crate::link::{Link, Wire};
use crate::metrics::{NodeCounters, count};
use crate::own_writes::Questions;
use crate::patience::growing;
use crate::routes::Routes;
use crate::settings::{ReadFrom, Settings};
use crate::sounding::Asker;

/// A doubt that comes this long after the last one is a new one, and a connection that lived for longer had none of the
/// last one's troubles: what follows is done quickly.
pub(crate) const CALM: Duration = Duration::from_secs(1);

/// What a keeper tells.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) node: NodeAddr,
    pub(crate) state: State,
}

/// How a node is reached.
#[derive(Debug)]
pub(crate) enum State {
    /// It answered on this link, now.
    Linked(Arc<Link>, Identity),
    /// It can't be used, and why.
    Unlinked(String),
    /// It said how it is: see its link.
    Heard,
}

/// One node's keeper.
pub(crate) struct Keeper {
    pub(crate) node: NodeAddr,
    pub(crate) settings: Arc<Settings>,
    /// The document that is believed. A new one is a reason to try again at once.
    pub(crate) orders: watch::Receiver<i64>,
    pub(crate) numbers: Arc<AtomicU16>,
    pub(crate) counters: Arc<NodeCounters>,
    pub(crate) told: mpsc::UnboundedSender<Told>,
    pub(crate) questions: Arc<Questions>,
    pub(crate) routes: watch::Receiver<Arc<Routes>>,
}

impl Drop for Keeper {
    fn drop(&mut self) {
        // Nobody is connected any more, and nobody will say so.
        self.counters.connected.store(false, Ordering::Relaxed);
    }
}

impl Keeper {
    /// Keeps the node connected until it is dropped.
    pub(crate) async fn run(mut self) {
        let mut pauses = pauses();
        loop {
            let begun = Instant::now();
            match self.connect().await {
                Ok(mut found) => {
                    while let Some((link, identity)) = found.take() {
                        let link = Arc::new(link);
                        self.tell(State::Linked(Arc::clone(&link), identity));
                        let asker = self.asker(&link);
                        found = tokio::select! {
                            found = self.stay(&link) => found,
                            Some(never) = OptionFuture::from(asker.map(Asker::run)) => match never {},
                        };
                    }
                    self.tell(State::Unlinked("the connection ended".to_owned()));
                    if begun.elapsed() > CALM {
                        pauses = self::pauses();
                    }
                }
                Err(why) => self.tell(State::Unlinked(why)),
            }
            tokio::select! {
                () = sleep(pauses.next().unwrap_or(CALM)) => {}
                Ok(()) = self.orders.changed() => {}
            }
        }
    }

    async fn connect(&mut self) -> Result<Option<(Link, Identity)>, String> {
        let limit = self.settings.connect_timeout;
        let order = *self.orders.borrow_and_update();
        let work = async {
            let wire = Wire::open(&self.node, &self.settings, self.settings.response_timeout).await?;
            let identity = wire.look(order).await?;
            RedisResult::Ok((wire, identity))
        };
        match timeout(limit, work).await {
            Ok(Ok((wire, identity))) => {
                count(&self.counters.connects);
                let counters = Arc::clone(&self.counters);
                Ok(Some((Link::new(self.node.clone(), self.number(), wire, counters), identity)))
            }
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err(format!("no answer within {limit:?}")),
        }
    }

    /// Stays until the link ends, or yields another in its place. Where it is doubted, the node is asked again.
    async fn stay(&mut self, link: &Arc<Link>) -> Option<(Link, Identity)> {
        let mut pauses = pauses();
        let mut last = Instant::now();
        loop {
            tokio::select! {
                () = link.wire.ended.cancelled() => return None,
                () = link.doubted() => {}
            }
            if last.elapsed() > CALM {
                pauses = self::pauses();
            }
            last = Instant::now();
            tokio::select! {
                () = link.wire.ended.cancelled() => return None,
                () = sleep(pauses.next().unwrap_or(CALM)) => {}
                Ok(()) = self.orders.changed() => {}
            }
            let order = *self.orders.borrow_and_update();
            match timeout(self.settings.connect_timeout, link.wire.look(order)).await {
                Ok(Ok(identity)) => self.tell(State::Linked(Arc::clone(link), identity)),
                // The node hangs, or only this connection leads nowhere. While nobody answers, what is in flight keeps
                // it: the node may go on as if nothing had been.
                _ => match self.connect().await {
                    Ok(found) => return found,
                    Err(_) => link.doubt(),
                },
            }
        }
    }

    /// Who asks the node how it is, for those who read from it.
    fn asker(&self, link: &Arc<Link>) -> Option<Asker> {
        (self.settings.rules.read_from != ReadFrom::Master).then(|| Asker {
            link: Arc::clone(link),
            questions: Arc::clone(&self.questions),
            routes: self.routes.clone(),
            told: self.told.clone(),
        })
    }

    fn number(&self) -> u16 {
        // 15 bits, and never 0: see the module `cursor`.
        self.numbers.fetch_add(1, Ordering::Relaxed) % 0x7fff + 1
    }

    fn tell(&self, state: State) {
        self.counters.connected.store(matches!(state, State::Linked(..)), Ordering::Relaxed);
        // The client may have ended meanwhile.
        let _ = self.told.send(Told { node: self.node.clone(), state });
    }
}

/// Short at first: what comes back, comes back within milliseconds or not soon.
fn pauses() -> ExponentialBackoff {
    growing(Duration::from_millis(5), Duration::from_millis(500))
}
