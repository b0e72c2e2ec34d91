//! What happened to this process's connections before somebody asked is known when he is answered.
//!
//! The endpoint has a thread of its own, and could answer faster than the monitors' thread notices that a connection
//! broke. A real Sentinel has one thread, and some clients rely on that: they ask again within milliseconds of an
//! error, take the node that is then called master for one, and may wait for it for ever.

use std::time::Duration;

use tokio::sync::watch;
use tokio::task::yield_now;
use tokio::time::{sleep, timeout};

/// How long an answer waits at most: a monitor that stands still holds up nobody for longer.
const PATIENCE: Duration = Duration::from_millis(200);

/// How often the monitors' thread goes round until what it was told by the system has reached who shows it: through the
/// connection, its driver, the prober, and back.
const ROUNDS: u32 = 8;

/// The rest between two such runs, however many ask.
const REST: Duration = Duration::from_millis(1);

/// Whether what is shown is as fresh as a question.
#[derive(Debug)]
pub(super) struct Freshness {
    asked: watch::Sender<u64>,
    reached: watch::Receiver<u64>,
}

impl Freshness {
    /// That of what the present thread shows.
    pub(super) fn here() -> Self {
        let asked = watch::Sender::new(0_u64);
        let mut asks = asked.subscribe();
        let (shows, reached) = watch::channel(0);
        tokio::spawn(async move {
            while asks.changed().await.is_ok() {
                let asked = *asks.borrow_and_update();
                for _ in 0..ROUNDS {
                    yield_now().await;
                }
                shows.send_replace(asked);
                sleep(REST).await;
            }
        });
        Self { asked, reached }
    }

    /// Waits until all that happened before this call is shown, or for as long as an answer may wait.
    pub(super) async fn wait(&self) {
        self.within(PATIENCE).await;
    }

    async fn within(&self, patience: Duration) {
        let mut now = 0;
        self.asked.send_modify(|asked| {
            *asked += 1;
            now = *asked;
        });
        let mut reached = self.reached.clone();
        let reaching = reached.wait_for(|reached| *reached >= now);
        // Late is no reason not to answer.
        let _ = timeout(patience, reaching).await;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::thread;

    use tokio::net::{TcpListener, TcpStream};
    use tokio::runtime::Builder;
    use tokio::time::Instant;

    use super::*;

    #[test]
    fn what_a_connection_met_before_the_question_is_known_in_the_answer() {
        let (ask, asked) =
            std::sync::mpsc::channel::<(Arc<Freshness>, Arc<AtomicBool>, std::net::TcpStream)>();
        // Who is asked is another thread than the one that watches the connection.
        let asking = thread::spawn(move || {
            let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
            while let Ok((freshness, broke, peer)) = asked.recv() {
                drop(peer);
                runtime.block_on(freshness.within(Duration::from_secs(20)));
                assert!(broke.load(Ordering::SeqCst), "it broke before it was asked");
            }
        });
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let freshness = Arc::new(Freshness::here());
            // The thread is busy at times: what it is asked waits for it beside what the system has to tell.
            let busy = tokio::spawn(async {
                loop {
                    let begun = std::time::Instant::now();
                    while begun.elapsed() < Duration::from_millis(2) {}
                    yield_now().await;
                }
            });
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
            let address = listener.local_addr().expect("an address");
            for _ in 0..50 {
                let mine = TcpStream::connect(address).await.expect("a connection");
                let (peer, _) = listener.accept().await.expect("a connection");
                let peer = peer.into_std().expect("a socket");
                let broke = Arc::new(AtomicBool::new(false));
                let shown = Arc::clone(&broke);
                let watching = tokio::spawn(async move {
                    mine.readable().await.expect("it ends");
                    // Through two hands more, as from a connection's driver to a prober.
                    tokio::spawn(async move { shown.store(true, Ordering::SeqCst) })
                        .await
                        .expect("it is shown");
                });
                ask.send((Arc::clone(&freshness), broke, peer)).expect("somebody asks");
                watching.await.expect("it ends");
            }
            busy.abort();
        });
        drop(ask);
        // The runtime goes on for as long as it is asked: nobody waits for it here.
        drop(runtime);
        asking.join().expect("every answer was fresh");
    }

    #[tokio::test(start_paused = true)]
    async fn a_thread_that_stands_still_holds_up_no_answer() {
        let (asked, reached) = (watch::Sender::new(0), watch::channel(0).1);
        let begun = Instant::now();
        Freshness { asked, reached }.wait().await;
        assert!(begun.elapsed() <= PATIENCE);
    }
}
