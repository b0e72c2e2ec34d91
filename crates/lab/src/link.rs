//! A faulty network before one server.
//!
//! A link is a server's public address: it listens there and hands all bytes on to where the server really listens.
//! Callers that bind a source address of their own (127.0.1.x; Linux owns all of 127.0.0.0/8) are told apart by it,
//! so that what happens to the bytes can be chosen per caller and per direction. A server sees its callers by their
//! own addresses.
//!
//! | fault | connections that are open | new ones |
//! |---|---|---|
//! | [`Traffic::hold`] | nothing passes, what was sent is kept | no answer, the kernel tries again |
//! | [`Traffic::strand`] | nothing passes any more | work |
//! | [`Traffic::cut`] | are reset, what was under way is lost | are reset |
//! | [`Link::close`] | live on | are refused |
//! | [`Traffic::delay`], [`Traffic::stall`], [`Traffic::limit`] | late, now and then, slowly | connect at once |
//!
//! A server that is gone is gone for its callers, too: connections end and new ones are refused, as without a link.
//!
//! What a link never does: lose a byte of a connection that goes on, change one, or let one overtake another. It
//! works on what the kernel has already received, so a sender does not see that its segments are not acknowledged.

mod relay;
mod rules;
mod stream;

use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::os::unix::net::UnixStream;
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::free_port;
pub(crate) use relay::connect_from;
use relay::{Order, Relay};
use rules::{Callers, Rule, Treatment};

/// The way of bytes between a caller and the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Direction {
    /// From the caller to the server.
    Requests,
    /// From the server to the caller.
    Replies,
}

const BOTH: &[Direction] = &[Direction::Requests, Direction::Replies];

/// A server's public address, and what is done to those who call it. Dropping it resets all connections.
#[derive(Debug)]
pub struct Link {
    address: SocketAddrV4,
    /// `None` only while it is dropped.
    orders: Option<mpsc::Sender<Order>>,
    bell: UnixStream,
    thread: Option<JoinHandle<()>>,
}

/// The bytes of some callers, or of all, in one direction or in both.
///
/// What is ordered for all callers replaces what was ordered for one, and the other way round: the last word counts.
/// Every order is in force when its method returns.
#[derive(Clone, Debug)]
#[must_use = "nothing happens until something is done to it"]
pub struct Traffic<'a> {
    link: &'a Link,
    callers: Callers,
    directions: &'static [Direction],
}

impl Link {
    /// A link to the server that listens at `target`, or will. If it does it can be called when this returns.
    ///
    /// # Panics
    ///
    /// When the machine has no more sockets or threads to give.
    pub fn start(target: SocketAddr) -> Self {
        let address = SocketAddrV4::new(Ipv4Addr::LOCALHOST, free_port());
        let (bell, ear) = UnixStream::pair().expect("a pair of sockets");
        let (orders, inbox) = mpsc::channel();
        let relay = Relay::new(address, target);
        let thread = thread::Builder::new().name(format!("link {}", address.port()));
        let thread = thread.spawn(move || relay.run(&inbox, ear)).expect("a thread");
        let link = Self { address, orders: Some(orders), bell, thread: Some(thread) };
        link.open();
        link
    }

    /// The public address.
    pub fn address(&self) -> SocketAddr {
        self.address.into()
    }

    /// All callers' bytes in both directions, those of callers yet unknown included.
    pub fn all(&self) -> Traffic<'_> {
        Traffic { link: self, callers: Callers::All, directions: BOTH }
    }

    /// The bytes of those who call from these addresses, in both directions.
    pub fn of(&self, callers: impl IntoIterator<Item = Ipv4Addr>) -> Traffic<'_> {
        Traffic { link: self, callers: Callers::These(callers.into_iter().collect()), directions: BOTH }
    }

    /// Refuses all new connections, as a host does on which nobody listens; those that are open live on.
    pub fn close(&self) {
        self.order(|relay| relay.open = false);
    }

    /// Ends [`Link::close`].
    pub fn open(&self) {
        self.order(|relay| relay.open = true);
    }

    /// Has the relay's thread do this, and waits until it is done.
    fn order<T: Send + 'static>(&self, order: impl FnOnce(&mut Relay) -> T + Send + 'static) -> T {
        let (answer, answered) = mpsc::sync_channel(1);
        let whole: Order = Box::new(move |relay| {
            let result = order(relay);
            relay.turn(Instant::now());
            // Who asked waits below.
            let _ = answer.send(result);
        });
        let orders = self.orders.as_ref().expect("it is there until the link is dropped");
        let sent = orders.send(whole).is_ok();
        (&self.bell).write_all(&[0]).expect("the other end is the relay's");
        answered.recv().ok().filter(|_| sent).expect("the relay lives as long as its link")
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        drop(self.orders.take());
        // If the thread panicked it is gone already, and the test has its message.
        let _ = (&self.bell).write_all(&[0]);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

impl Traffic<'_> {
    /// Only what the callers send.
    pub fn requests(&self) -> Self {
        Self { directions: &[Direction::Requests], ..self.clone() }
    }

    /// Only what the server sends.
    pub fn replies(&self) -> Self {
        Self { directions: &[Direction::Replies], ..self.clone() }
    }

    /// Lets nothing pass, as if every packet were lost: see [`Traffic::release`].
    ///
    /// What is sent meanwhile is kept, some megabytes of it; then the sender waits. Attempts to connect get no answer,
    /// also where only one direction is held, for they need both.
    pub fn hold(&self) {
        self.treat(|treatment, _| treatment.held = true);
    }

    /// Ends [`Traffic::hold`]: what was held is delivered, also of those who have hung up meanwhile.
    ///
    /// Those who tried to connect succeed when their kernel tries again: 1, 3 or 7 seconds after the first time.
    pub fn release(&self) {
        self.treat(|treatment, _| treatment.held = false);
    }

    /// Delivers everything this much later: half of what a round trip then takes.
    pub fn delay(&self, delay: Duration) {
        self.treat(move |treatment, _| treatment.delay = delay);
    }

    /// Lets nothing pass for the time `lasting` at the beginning of each period `every`, on all connections at once.
    /// The first period begins now.
    pub fn stall(&self, every: Duration, lasting: Duration) {
        self.treat(move |treatment, now| treatment.stalls = Some((now, every, lasting)));
    }

    /// Lets at most so many bytes pass in a second, on each connection.
    pub fn limit(&self, bytes_per_second: u32) {
        self.treat(move |treatment, _| treatment.bytes_per_second = Some(bytes_per_second));
    }

    /// Resets the connections that are open and every new one, whatever the direction.
    ///
    /// It is not quite a firewall that rejects: a caller is let in for a moment before it is thrown out. Where it has
    /// to be refused at the door, use [`Link::close`] as well.
    pub fn cut(&self) {
        self.edit(|rule| rule.cut = true);
    }

    /// Ends all that was ordered for these callers in these directions; what was held or late is delivered.
    pub fn heal(&self) {
        self.edit(|rule| rule.cut = false);
        self.treat(|treatment, _| *treatment = Treatment::default());
    }

    /// Resets the connections that are open; new ones are welcome.
    pub fn hang_up(&self) {
        let callers = self.callers.clone();
        self.link.order(move |relay| relay.hang_up(&callers));
    }

    /// Makes the connections that are open lead nowhere for good, as a router does that has forgotten them; new ones
    /// work. Whatever the direction.
    pub fn strand(&self) {
        let callers = self.callers.clone();
        self.link.order(move |relay| relay.strand(&callers));
    }

    /// How many connections are open.
    pub fn connections(&self) -> usize {
        let callers = self.callers.clone();
        self.link.order(move |relay| relay.conversations(&callers).count())
    }

    /// How many bytes have been sent and not yet been delivered.
    pub fn waiting(&self) -> usize {
        let (callers, directions) = (self.callers.clone(), self.directions);
        self.link.order(move |relay| {
            let waiting = relay.conversations(&callers).map(|conversation| conversation.waiting(directions));
            waiting.sum()
        })
    }

    fn treat(&self, treat: impl Fn(&mut Treatment, Instant) + Send + 'static) {
        let (directions, now) = (self.directions, Instant::now());
        self.edit(move |rule| {
            for direction in directions {
                treat(rule.treatment_mut(*direction), now);
            }
        });
    }

    fn edit(&self, edit: impl Fn(&mut Rule) + Send + 'static) {
        let callers = self.callers.clone();
        self.link.order(move |relay| relay.edit(&callers, edit));
    }
}
