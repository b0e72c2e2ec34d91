//! The task of one subscriber: requests come in, a connection to the master is kept, what is heard on it goes out. It
//! asks for nothing that its caller did not want, and hands on nothing before it knows whether something is missing.

use std::collections::VecDeque;
use std::future::pending;
use std::io;
use std::mem;
use std::sync::Arc;
use std::time::Duration;

use backon::ExponentialBackoff;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use redis::{Msg, RedisError, RedisResult, ServerError, Value};
use redis_failover_core::NodeAddr;
use redis_failover_core::subscriptions::{Kind, Renewed, Subscription, Subscriptions};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep, sleep_until};

use super::Event;
use super::listener::{Heard, Listener};
use super::words::{Said, Wish, pack, read, subscription, word};
use crate::client::Inner;
use crate::keeper::CALM;
use crate::patience::growing;
use crate::routes::Routes;

/// What a caller wants of these names, and where it waits for the end of that.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) wish: Wish,
    pub(super) kind: Kind,
    pub(super) names: Vec<Vec<u8>>,
    pub(super) answer: oneshot::Sender<RedisResult<()>>,
}

/// What the server was sent, in order, and has not answered yet.
enum Asked {
    Ping,
    /// A subscription that was lost.
    Again(Subscription),
    /// A caller's, and how many confirmations are missing.
    Request(Request, usize),
    /// What a caller did not wait for, and how many confirmations are missing.
    TakenBack(usize),
}

/// The connection.
enum Connection {
    None,
    Opening(BoxFuture<'static, Listener>),
    Open(Box<Listener>),
}

/// What came of the connection.
enum Happened {
    Opened(Box<Listener>),
    Heard(Heard),
    Ended(RedisError),
}

pub(super) struct Subscriber {
    inner: Arc<Inner>,
    requests: mpsc::UnboundedReceiver<Request>,
    events: mpsc::Sender<Event>,
    subscriptions: Subscriptions,
    connection: Connection,
    /// When it was opened last.
    opened: Instant,
    /// How long nothing is connected after a connection to this node that ended soon.
    rests: Option<(NodeAddr, ExponentialBackoff)>,
    /// The next of these rests, if there is a reason for it, before this node is called again.
    rest: Option<(NodeAddr, Duration)>,
    asked: VecDeque<Asked>,
    /// What can't be sent yet.
    waiting: VecDeque<Request>,
    /// What the reader has no room for yet.
    ready: VecDeque<Event>,
    /// What came while subscriptions were made again.
    held_back: Vec<Msg>,
    /// When what was refused is asked for again.
    retry: Option<Instant>,
    pauses: ExponentialBackoff,
}

impl Subscriber {
    pub(super) fn new(
        inner: Arc<Inner>,
        requests: mpsc::UnboundedReceiver<Request>,
        events: mpsc::Sender<Event>,
    ) -> Self {
        Self {
            inner,
            requests,
            events,
            subscriptions: Subscriptions::default(),
            connection: Connection::None,
            opened: Instant::now(),
            rests: None,
            rest: None,
            asked: VecDeque::new(),
            waiting: VecDeque::new(),
            ready: VecDeque::new(),
            held_back: Vec::new(),
            retry: None,
            pauses: pauses(),
        }
    }

    /// Listens until nobody does any more.
    pub(super) async fn run(mut self) {
        loop {
            self.connect_if_needed();
            self.hand_over();
            // A reader that is too slow holds up the server, but no answer that somebody waits for.
            let listen =
                self.ready.is_empty() || self.asked.iter().any(|asked| !matches!(asked, Asked::Ping));
            tokio::select! {
                biased;
                () = self.events.closed() => return,
                () = self.inner.gate.closing.cancelled() => return,
                () = self.events.reserve().map(drop), if !self.ready.is_empty() => {}
                Some(request) = self.requests.recv() => self.take(request).await,
                () = until(self.retry) => self.renew().await,
                happened = self.connection.next(listen) => match happened {
                    Happened::Opened(listener) => self.opened(listener).await,
                    Happened::Heard(Heard::Reply(reply)) => self.heard(reply).await,
                    Happened::Heard(Heard::Nothing) => self.ping().await,
                    Happened::Ended(why) => self.lost(&why),
                },
            }
        }
    }

    fn connect_if_needed(&mut self) {
        self.waiting.retain(|request| !request.answer.is_closed());
        let needed = !self.subscriptions.is_empty() || !self.waiting.is_empty();
        match self.connection {
            Connection::None if needed => {
                self.connection =
                    Connection::Opening(connect(Arc::clone(&self.inner), self.rest.take()).boxed());
            }
            Connection::Opening(_) if !needed => self.connection = Connection::None,
            _ => {}
        }
    }

    /// Gives the reader what it has room for.
    fn hand_over(&mut self) {
        while !self.ready.is_empty()
            && let Ok(room) = self.events.try_reserve()
            && let Some(event) = self.ready.pop_front()
        {
            room.send(event);
        }
    }

    async fn take(&mut self, mut request: Request) {
        let open = matches!(self.connection, Connection::Open(_));
        match request.wish {
            Wish::Subscribe if open => self.request(request).await,
            Wish::Subscribe => self.waiting.push_back(request),
            Wish::Unsubscribe => {
                if request.names.is_empty() {
                    request.names = self.subscriptions.names(request.kind);
                }
                self.forget(&request);
                if open && !request.names.is_empty() {
                    self.request(request).await;
                } else {
                    // There is nobody who has it.
                    let _ = request.answer.send(Ok(()));
                }
            }
        }
    }

    fn forget(&mut self, request: &Request) {
        let subscriptions = request.names.iter().map(|name| subscription(request.kind, name));
        subscriptions.for_each(|subscription| self.subscriptions.forget(&subscription));
    }

    /// Sends what a caller wants.
    async fn request(&mut self, request: Request) {
        let packed = pack(word(request.wish, request.kind), &request.names);
        let confirmations = request.names.len();
        self.asked.push_back(Asked::Request(request, confirmations));
        self.send(&packed).await;
    }

    async fn opened(&mut self, listener: Box<Listener>) {
        tracing::debug!(node = %listener.node, "listening");
        self.connection = Connection::Open(listener);
        self.opened = Instant::now();
        self.pauses = pauses();
        self.renew().await;
        for request in mem::take(&mut self.waiting) {
            self.request(request).await;
        }
    }

    /// Asks again for all that was lost. Each is asked for alone, so that one that is refused takes no other with it.
    async fn renew(&mut self) {
        self.retry = None;
        let mut packed = Vec::new();
        for subscription in self.subscriptions.renew() {
            packed.extend(pack(word(Wish::Subscribe, subscription.kind), [&subscription.name]));
            self.asked.push_back(Asked::Again(subscription));
        }
        self.send(&packed).await;
    }

    async fn ping(&mut self) {
        self.asked.push_back(Asked::Ping);
        if let Connection::Open(listener) = &mut self.connection
            && let Err(why) = listener.ping().await
        {
            self.lost(&why);
        }
    }

    async fn send(&mut self, packed: &[u8]) {
        if let Connection::Open(listener) = &mut self.connection
            && let Err(why) = listener.send(packed).await
        {
            self.lost(&why);
        }
    }

    /// The connection has ended. What callers wait for is asked for on the next one.
    fn lost(&mut self, why: &RedisError) {
        if let Connection::Open(listener) = mem::replace(&mut self.connection, Connection::None) {
            tracing::debug!(node = %listener.node, "not listening any more: {why}");
            // One that ended as soon as it was opened would be opened again without an end.
            let (node, was_calm) = (&listener.node, self.opened.elapsed() > CALM);
            self.rests.take_if(|(before, _)| was_calm || before != node);
            if !was_calm {
                let (_, rests) = self.rests.get_or_insert_with(|| (node.clone(), rests()));
                self.rest = rests.next().map(|rest| (node.clone(), rest));
            }
        }
        self.subscriptions.lose();
        self.held_back.clear();
        self.retry = None;
        for asked in mem::take(&mut self.asked) {
            match asked {
                Asked::Request(request, _) if request.wish == Wish::Subscribe => {
                    self.waiting.push_back(request);
                }
                Asked::Request(request, _) => drop(request.answer.send(Ok(()))),
                Asked::Ping | Asked::Again(_) | Asked::TakenBack(_) => {}
            }
        }
    }

    async fn heard(&mut self, reply: Value) {
        match read(reply) {
            Some(Said::Message(message)) if self.subscriptions.is_renewing() => self.held_back.push(message),
            Some(Said::Message(message)) => self.ready.push_back(Event::Message(message)),
            Some(Said::Answer(answer)) => self.answered(answer).await,
            None => self.lost(&io::Error::from(io::ErrorKind::InvalidData).into()),
        }
    }

    /// The answer to what was asked first, or a part of it.
    async fn answered(&mut self, answer: Result<(), ServerError>) {
        match (self.asked.pop_front(), answer) {
            (Some(Asked::Request(request, left)), Ok(())) if left > 1 => {
                self.asked.push_front(Asked::Request(request, left - 1));
            }
            (Some(Asked::TakenBack(left)), Ok(())) if left > 1 => {
                self.asked.push_front(Asked::TakenBack(left - 1));
            }
            (Some(Asked::Request(request, _)), Ok(())) => self.done(request).await,
            (Some(Asked::Request(request, _)), Err(error)) => drop(request.answer.send(Err(error.into()))),
            (Some(Asked::Again(subscription)), answer) => self.made_again(&subscription, answer),
            // Who may not even PING is answered.
            (Some(Asked::Ping | Asked::TakenBack(_)), _) => {}
            (None, _) => self.lost(&io::Error::from(io::ErrorKind::InvalidData).into()),
        }
    }

    async fn done(&mut self, request: Request) {
        let Request { wish, kind, names, answer } = request;
        let told = answer.send(Ok(())).is_ok();
        let subscriptions = names.iter().map(|name| subscription(kind, name));
        if wish == Wish::Unsubscribe {
            // One that was asked for before this is held only since it was confirmed.
            return subscriptions.for_each(|it| self.subscriptions.forget(&it));
        }
        if told {
            let missed = subscriptions.fold(false, |missed, it| self.subscriptions.hold(it) | missed);
            return self.mark(missed);
        }
        // Nobody waited for it: it is not wanted, unless it was before, or was asked for again since.
        let unwanted: Vec<_> = subscriptions
            .filter(|it| !self.subscriptions.wants(it) && !self.is_asked_for(it))
            .map(|it| it.name)
            .collect();
        if !unwanted.is_empty() {
            self.asked.push_back(Asked::TakenBack(unwanted.len()));
            self.send(&pack(word(Wish::Unsubscribe, kind), &unwanted)).await;
        }
    }

    /// Whether a caller's request for it has no answer yet.
    fn is_asked_for(&self, it: &Subscription) -> bool {
        self.asked.iter().any(|asked| {
            matches!(asked, Asked::Request(request, _) if request.wish == Wish::Subscribe
                && request.kind == it.kind && request.names.contains(&it.name))
        })
    }

    /// Says that something may be missing, if it may.
    fn mark(&mut self, missed: bool) {
        if missed && let Connection::Open(listener) = &self.connection {
            self.ready.push_back(Event::Missed { master: listener.node.clone() });
        }
    }

    fn made_again(&mut self, subscription: &Subscription, answer: Result<(), ServerError>) {
        let renewed = self.subscriptions.answered(subscription, answer.is_ok());
        if let Err(error) = answer {
            let name = String::from_utf8_lossy(&subscription.name).into_owned();
            self.ready.push_back(Event::Refused { name, error: error.into() });
        }
        let Some(Renewed { missed }) = renewed else { return };
        self.mark(missed);
        self.ready.extend(self.held_back.drain(..).map(Event::Message));
        if self.subscriptions.lacks() {
            self.retry = self.pauses.next().map(|pause| Instant::now() + pause);
        }
    }
}

impl Connection {
    /// What comes of it next. Dropping the future loses nothing.
    async fn next(&mut self, listen: bool) -> Happened {
        match self {
            Self::None => pending().await,
            Self::Opening(opening) => Happened::Opened(Box::new(opening.await)),
            Self::Open(listener) => listener.next(listen).await.map_or_else(Happened::Ended, Happened::Heard),
        }
    }
}

/// Connects to the published master, however long there is none; after this node's rest, or at once when another is
/// published. It may be already: the old one's connection ends after that.
async fn connect(inner: Arc<Inner>, rest: Option<(NodeAddr, Duration)>) -> Listener {
    let mut routes = inner.routes.subscribe();
    let mut rests = rests();
    let leads = |node: &NodeAddr| routes.borrow().master.as_ref().is_none_or(|link| link.node == *node);
    if let Some((_, rest)) = rest.filter(|(node, _)| leads(node)) {
        tokio::select! {
            () = sleep(rest) => {}
            () = changed(&mut routes) => {}
        }
    }
    loop {
        let present = Arc::clone(&routes.borrow_and_update());
        let usable = present.master.as_ref().filter(|link| link.is_usable());
        let Some(link) = usable else {
            changed(&mut routes).await;
            continue;
        };
        match Listener::open(&present, link, &inner.settings).await {
            Ok(listener) => return listener,
            Err(why) => tracing::debug!(node = %link.node, "can't listen: {why}"),
        }
        tokio::select! {
            () = until(rests.next().map(|rest| Instant::now() + rest)) => {}
            () = changed(&mut routes) => {}
        }
    }
}

async fn changed(routes: &mut watch::Receiver<Arc<Routes>>) {
    if routes.changed().await.is_err() {
        // The client has ended, and this is about to.
        pending::<()>().await;
    }
}

async fn until(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => pending().await,
    }
}

/// How long it takes until a connection that could not be opened, or ended soon, is opened again.
fn rests() -> ExponentialBackoff {
    growing(Duration::from_millis(5), Duration::from_millis(500))
}

/// How long it takes until what was refused is asked for again.
fn pauses() -> ExponentialBackoff {
    growing(Duration::from_millis(100), Duration::from_secs(10))
}
