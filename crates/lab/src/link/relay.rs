//! The thread of a link: it accepts, connects on, and moves bytes as the rules say. One thread owns all of it, and is
//! told what to do by orders; it never blocks but in `poll`.

use std::io::{self, ErrorKind, Read};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, SocketAddrV4, TcpListener, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{Receiver, TryRecvError};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use socket2::{Domain, SockRef, Socket, Type};

use super::rules::{Callers, Rule, Rules};
use super::stream::{End, Stream, Wait};
use super::{BOTH, Direction};

/// What the thread is told to do between two turns.
pub(super) type Order = Box<dyn FnOnce(&mut Relay) + Send>;

/// How often to look whether a server that was gone is back, or one that hung up is gone.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// How long to go on looking: of a process that dies the kernel closes the connections before it stops listening.
const LOOK_FOR: Duration = Duration::from_millis(100);

/// How long the kernel may take to connect to a server on this machine that listens.
const CONNECT_LIMIT: Duration = Duration::from_millis(100);

/// Everything of one link.
#[derive(Debug)]
pub(super) struct Relay {
    address: SocketAddrV4,
    target: SocketAddr,
    /// Whether new connections are welcome.
    pub(super) open: bool,
    /// Whether the server was listening when that was last looked at.
    listens: bool,
    look_at: Instant,
    /// Until when it may be about to stop listening.
    leaving_until: Instant,
    door: Option<TcpListener>,
    rules: Rules,
    conversations: Vec<Conversation>,
}

impl Relay {
    /// A relay that has not begun.
    pub(super) fn new(address: SocketAddrV4, target: SocketAddr) -> Self {
        let now = Instant::now();
        Self {
            address,
            target,
            open: true,
            listens: false,
            look_at: now,
            leaving_until: now,
            door: None,
            rules: Rules::default(),
            conversations: Vec::new(),
        }
    }

    /// Relays until nobody can give orders any more. `ear` hears when there is one.
    pub(super) fn run(mut self, orders: &Receiver<Order>, mut ear: UnixStream) {
        ear.set_nonblocking(true).expect("a socket of our own");
        loop {
            self.turn(Instant::now());
            self.wait(&ear);
            let mut rung = [0; 64];
            while ear.read(&mut rung).is_ok_and(|count| count == rung.len()) {}
            loop {
                match orders.try_recv() {
                    Ok(order) => order(&mut self),
                    Err(TryRecvError::Empty) => break,
                    Err(TryRecvError::Disconnected) => return self.hang_up(&Callers::All),
                }
            }
        }
    }

    /// Changes the rules.
    pub(super) fn edit(&mut self, callers: &Callers, edit: impl Fn(&mut Rule)) {
        self.rules.edit(callers, edit);
        let rules = &self.rules;
        self.conversations.extract_if(.., |it| rules.of(it.caller).cut).for_each(Conversation::reset);
        if let Some(door) = &self.door {
            self.instruct(door);
        }
    }

    /// The connections of these callers.
    pub(super) fn conversations(&self, callers: &Callers) -> impl Iterator<Item = &Conversation> {
        self.conversations.iter().filter(|conversation| callers.contain(conversation.caller))
    }

    /// Resets the connections of these callers.
    pub(super) fn hang_up(&mut self, callers: &Callers) {
        self.conversations.extract_if(.., |it| callers.contain(it.caller)).for_each(Conversation::reset);
    }

    /// Makes the connections of these callers lead nowhere.
    pub(super) fn strand(&mut self, callers: &Callers) {
        self.conversations
            .iter_mut()
            .filter(|it| callers.contain(it.caller))
            .for_each(|it| it.stranded = true);
    }

    /// Does all that can be done now.
    pub(super) fn turn(&mut self, now: Instant) {
        for conversation in &mut self.conversations {
            if conversation.fill(now) {
                self.look_at = now;
                self.leaving_until = now + LOOK_FOR;
            }
        }
        // Before the callers hear of it, so that who comes back at once is refused, as a rule.
        if self.looks(now) && now >= self.look_at {
            self.look(now);
        }
        self.tend_door(now);
        self.welcome(now);
        for conversation in &mut self.conversations {
            conversation.drain(self.rules.of(conversation.caller), now);
        }
        self.conversations.extract_if(.., |it| it.is_over()).for_each(Conversation::end);
    }

    /// Whether the server has to be looked after.
    fn looks(&self, now: Instant) -> bool {
        !self.listens || now < self.leaving_until || (self.open && self.door.is_none())
    }

    /// Looks whether the server listens.
    fn look(&mut self, now: Instant) {
        self.listens = TcpStream::connect_timeout(&self.target, CONNECT_LIMIT)
            .map_or_else(|error| error.kind() != ErrorKind::ConnectionRefused, |_| true);
        self.look_at = now + LOOK_EVERY;
    }

    /// Opens or closes the door. Those who are to get no answer don't even get a refusal.
    fn tend_door(&mut self, now: Instant) {
        let wanted = self.open && (self.listens || self.rules.any_deaf());
        if !wanted {
            self.door = None;
        } else if self.door.is_none() {
            self.door = TcpListener::bind(self.address).ok().inspect(|door| self.instruct(door));
            // If it could not be opened it is tried again then.
            self.look_at = now + LOOK_EVERY;
        }
    }

    /// Has the kernel drop what comes from those who are to get no answer.
    fn instruct(&self, door: &TcpListener) {
        door.set_nonblocking(true).expect("a socket of our own");
        SockRef::from(door)
            .attach_filter(&self.rules.filter())
            .expect("Linux filters what a socket receives");
    }

    /// Accepts those who wait at the door, and connects them on.
    fn welcome(&mut self, now: Instant) {
        while let Some(Ok((near, SocketAddr::V4(caller)))) = self.door.as_ref().map(TcpListener::accept) {
            let caller = *caller.ip();
            if self.rules.of(caller).cut {
                reset(&near);
                continue;
            }
            if let Ok(far) = connect_from(caller, self.target, CONNECT_LIMIT) {
                self.conversations.push(Conversation::new(caller, near, far));
            } else {
                reset(&near);
                self.look(now);
                self.tend_door(now);
            }
        }
    }

    /// Waits until there is something to do.
    fn wait(&self, ear: &UnixStream) {
        let mut wanted = vec![PollFd::new(ear.as_fd(), PollFlags::POLLIN)];
        wanted.extend(self.door.as_ref().map(|door| PollFd::new(door.as_fd(), PollFlags::POLLIN)));
        wanted.extend(
            self.conversations
                .iter()
                .flat_map(Conversation::wants)
                .map(|(socket, flags)| PollFd::new(socket, flags)),
        );
        let looks = self.looks(Instant::now()).then_some(self.look_at);
        let due = self.conversations.iter().filter_map(Conversation::due).chain(looks).min();
        let timeout = due.map_or(PollTimeout::NONE, |due| {
            // Rounded up: to wake early would mean to ask again at once.
            let left = due.saturating_duration_since(Instant::now()) + Duration::from_micros(999);
            PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX)
        });
        // Interrupted or not, the next turn tries everything.
        let _ = poll(&mut wanted, timeout);
    }
}

/// Connects to `target`, which sees `source` as the caller.
pub(crate) fn connect_from(source: Ipv4Addr, target: SocketAddr, limit: Duration) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.bind(&SocketAddrV4::new(source, 0).into())?;
    socket.connect_timeout(&target.into(), limit)?;
    Ok(socket.into())
}

/// Has the connection end with a reset when it is dropped.
fn reset(socket: &TcpStream) {
    // What cannot be reset any more is gone already.
    let _ = SockRef::from(socket).set_linger(Some(Duration::ZERO));
}

/// One connection of one caller.
#[derive(Debug)]
pub(super) struct Conversation {
    caller: Ipv4Addr,
    near: TcpStream,
    far: TcpStream,
    requests: Stream,
    replies: Stream,
    /// Nothing passes any more, whatever the rules say.
    stranded: bool,
    /// What requests and replies wait for.
    waits: [Wait; 2],
}

impl Conversation {
    fn new(caller: Ipv4Addr, near: TcpStream, far: TcpStream) -> Self {
        for socket in [&near, &far] {
            socket.set_nonblocking(true).expect("a socket of our own");
            // Delays are ordered, not the kernel's; an error would mean that the caller has left already.
            let _ = socket.set_nodelay(true);
        }
        let (requests, replies) = (Stream::default(), Stream::default());
        Self { caller, near, far, requests, replies, stranded: false, waits: [Wait::Input; 2] }
    }

    /// How many bytes of these directions are kept.
    pub(super) fn waiting(&self, directions: &[Direction]) -> usize {
        let stream = |direction: &Direction| match direction {
            Direction::Requests => &self.requests,
            Direction::Replies => &self.replies,
        };
        directions.iter().map(|direction| stream(direction).waiting()).sum()
    }

    /// Takes what both have sent; returns whether the server has just hung up.
    fn fill(&mut self, now: Instant) -> bool {
        self.requests.fill(&mut self.near, now);
        // Where the caller left first, the server only follows.
        self.replies.fill(&mut self.far, now) && self.requests.over().is_none()
    }

    /// Gives both what is due.
    fn drain(&mut self, rule: &Rule, now: Instant) {
        if self.stranded {
            self.waits = [Wait::Input; 2];
            return;
        }
        let shut = |socket: &TcpStream| socket.shutdown(Shutdown::Write);
        let [requests, replies] = [BOTH[0], BOTH[1]].map(|direction| rule.treatment(direction));
        self.waits = [
            self.requests.drain(&mut self.far, shut, requests, now),
            self.replies.drain(&mut self.near, shut, replies, now),
        ];
    }

    /// The sockets to watch, and for what. A socket from which nothing is wanted is left out: its end would wake the
    /// thread again and again.
    fn wants(&self) -> impl Iterator<Item = (BorrowedFd<'_>, PollFlags)> {
        let flags = |source: &Stream, given: Wait| {
            let mut flags = PollFlags::empty();
            flags.set(PollFlags::POLLIN, source.wants_input());
            flags.set(PollFlags::POLLOUT, given == Wait::Receiver);
            flags
        };
        let near = (self.near.as_fd(), flags(&self.requests, self.waits[1]));
        let far = (self.far.as_fd(), flags(&self.replies, self.waits[0]));
        [near, far].into_iter().filter(|(_, flags)| !flags.is_empty())
    }

    /// When there is something to give.
    fn due(&self) -> Option<Instant> {
        let due = |wait: &Wait| if let Wait::Until(due) = wait { Some(*due) } else { None };
        self.waits.iter().filter_map(due).min()
    }

    /// A reset ends both directions.
    fn is_over(&self) -> bool {
        let (requests, replies) = (self.requests.over(), self.replies.over());
        (requests.is_some() && replies.is_some()) || [requests, replies].contains(&Some(End::Reset))
    }

    fn end(self) {
        if [self.requests.over(), self.replies.over()].contains(&Some(End::Reset)) {
            self.reset();
        }
    }

    fn reset(self) {
        reset(&self.near);
        reset(&self.far);
    }
}
