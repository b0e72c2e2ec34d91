//! Relays in front of servers, and a trap on them: the first bytes of a caller that contain certain words are held.
//!
//! So a test can do something at the very moment at which a command is on its way, and then let it arrive or be lost.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use crate::world::DEADLINE;

/// What becomes of words that are waited for; many relays may share it.
#[derive(Clone, Default)]
pub(crate) struct Trap(Arc<(Mutex<State>, Condvar)>);

#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum State {
    /// All goes through.
    #[default]
    Open,
    /// The first caller with these words will be held.
    Armed(Vec<u8>),
    /// A caller of the server at this address is held.
    Caught(String),
    /// What is held arrives.
    Released,
    /// What is held is lost, and its connection closed.
    Lost,
}

impl Trap {
    /// Waits for a caller who says `words`.
    pub(crate) fn arm(&self, words: &str) {
        self.set(State::Armed(words.as_bytes().to_owned()));
    }

    /// Returns when a caller is held, with the address of the server that he called.
    pub(crate) fn caught(&self) -> String {
        let waiting = |state: &mut State| !matches!(state, State::Caught(_));
        let (state, _) = self.wait(waiting);
        let State::Caught(server) = &*state else { panic!("nobody was caught within {DEADLINE:?}") };
        server.clone()
    }

    /// Lets what is held arrive, whether or not the caller still lives.
    pub(crate) fn release(&self) {
        self.set(State::Released);
    }

    /// Loses what is held.
    pub(crate) fn lose(&self) {
        self.set(State::Lost);
    }

    /// Holds the caller of `server` if he says the words; whether what he said is to arrive.
    fn lets_through(&self, server: &str, said: &[u8]) -> bool {
        let mut state = self.lock();
        match &*state {
            State::Armed(words) if said.windows(words.len()).any(|part| part == words) => {}
            _ => return true,
        }
        *state = State::Caught(server.to_owned());
        drop(state);
        self.0.1.notify_all();
        let (state, _) = self.wait(|state| matches!(state, State::Caught(_)));
        *state == State::Released
    }

    fn set(&self, state: State) {
        *self.lock() = state;
        self.0.1.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait(&self, waiting: impl FnMut(&mut State) -> bool) -> (MutexGuard<'_, State>, bool) {
        let waited = self.0.1.wait_timeout_while(self.lock(), DEADLINE, waiting);
        let (state, result) = waited.unwrap_or_else(PoisonError::into_inner);
        (state, result.timed_out())
    }
}

/// The address under which a server is known. Dropping it ends it for new callers.
pub(crate) struct Relay {
    address: SocketAddr,
    ended: Arc<AtomicBool>,
    callers: Arc<Mutex<Vec<TcpStream>>>,
}

impl Relay {
    /// A relay to the server at `target`, with `trap` on it.
    pub(crate) fn start(target: String, trap: &Trap) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("it has an address");
        let (ended, trap) = (Arc::new(AtomicBool::new(false)), trap.clone());
        let callers = Arc::<Mutex<Vec<TcpStream>>>::default();
        let relay = Self { address, ended: Arc::clone(&ended), callers: Arc::clone(&callers) };
        thread::spawn(move || {
            for near in listener.incoming().flatten() {
                if ended.load(Ordering::SeqCst) {
                    return;
                }
                // Where nobody listens the caller is hung up on.
                if let Ok(far) = TcpStream::connect(&target) {
                    join(&near, &far, &target, &trap).expect("sockets have a second handle to give");
                    let mut callers = callers.lock().unwrap_or_else(PoisonError::into_inner);
                    if ended.load(Ordering::SeqCst) {
                        // It came while the others were hung up on.
                        let _ = near.shutdown(Shutdown::Both);
                    }
                    callers.push(near);
                }
            }
        });
        relay
    }

    /// Ends it for all callers.
    pub(crate) fn cut(self) {
        // First: who is hung up on calls again at once.
        self.ended.store(true, Ordering::SeqCst);
        for caller in self.callers.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            // It may have ended already.
            let _ = caller.shutdown(Shutdown::Both);
        }
    }

    /// Its address.
    pub(crate) fn address(&self) -> String {
        self.address.to_string()
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::SeqCst);
        // Wakes the thread that listens.
        let _ = TcpStream::connect(self.address);
    }
}

/// Hands bytes on in both directions until one side ends.
fn join(near: &TcpStream, far: &TcpStream, target: &str, trap: &Trap) -> io::Result<()> {
    for stream in [near, far] {
        stream.set_nodelay(true)?;
    }
    let (from, to) = (far.try_clone()?, near.try_clone()?);
    thread::spawn(move || hand_on(from, to, |_| true));
    let (from, to) = (near.try_clone()?, far.try_clone()?);
    let (target, trap) = (target.to_owned(), trap.clone());
    thread::spawn(move || hand_on(from, to, |said| trap.lets_through(&target, said)));
    Ok(())
}

fn hand_on(mut from: TcpStream, mut to: TcpStream, lets_through: impl Fn(&[u8]) -> bool) {
    let mut buffer = [0; 16 * 1024];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        if !lets_through(&buffer[..count]) || to.write_all(&buffer[..count]).is_err() {
            break;
        }
    }
    // Both may have ended already.
    let _ = to.shutdown(Shutdown::Both);
    let _ = from.shutdown(Shutdown::Both);
}
