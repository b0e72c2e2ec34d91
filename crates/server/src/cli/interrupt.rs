//! Ctrl-C, which ends a command at once but where one awaits this. It never says what was interrupted.

use std::future::pending;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock};

use signal_hook::consts::SIGINT;
use signal_hook::flag::register_conditional_default;
use tokio::signal::unix::{SignalKind, signal};

/// Whether Ctrl-C ends the program. Tokio takes the signal for good, and would keep it from a question to a person and
/// from a wait for the clock that come later.
static ENDS: LazyLock<Option<Arc<AtomicBool>>> = LazyLock::new(|| {
    let ends = Arc::new(AtomicBool::new(true));
    register_conditional_default(SIGINT, Arc::clone(&ends)).ok().map(|_| ends)
});

/// Waits for Ctrl-C, which ends the program again once nobody awaits this any more. Never comes where the system does
/// not let it be heard: then Ctrl-C ends the program.
pub(super) async fn interrupted() {
    let Some(ends) = &*ENDS else { return pending().await };
    let Ok(mut interrupt) = signal(SignalKind::interrupt()) else { return pending().await };
    let _heard = Heard::by_us(ends);
    interrupt.recv().await;
}

/// What comes of `work`, which Ctrl-C does not cut short: it is over soon, and undoes what was begun.
pub(super) async fn undisturbed<T>(work: impl Future<Output = T>) -> T {
    let _heard = ENDS.as_deref().map(Heard::by_us);
    work.await
}

/// While it stands Ctrl-C does not end the program.
struct Heard<'a>(&'a AtomicBool);

impl<'a> Heard<'a> {
    fn by_us(ends: &'a AtomicBool) -> Self {
        ends.store(false, Ordering::SeqCst);
        Self(ends)
    }
}

impl Drop for Heard<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}
