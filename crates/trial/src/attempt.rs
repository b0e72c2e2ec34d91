//! Calls into the lab. It blocks, and it panics where a test should fail; here a person wants one clean line.
//!
//! A panic anywhere else is a fault of ours and is shown as one.

use std::any::Any;
use std::cell::Cell;
use std::panic::{self, AssertUnwindSafe};

use crate::failure::Failure;

thread_local! {
    static ATTEMPTING: Cell<bool> = const { Cell::new(false) };
}

/// From now on a panic inside [`attempt`] prints nothing; what it says is in the failure.
pub(crate) fn silence() {
    let usual = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        if !ATTEMPTING.get() {
            usual(info);
        }
    }));
}

/// Does `work`, which may block this thread for a while; its panic is the failure.
///
/// Other tasks of the runtime go on meanwhile; the calling task does not, Ctrl-C waits for the end of the work.
pub(crate) fn attempt<T>(work: impl FnOnce() -> T) -> Result<T, Failure> {
    tokio::task::block_in_place(|| {
        ATTEMPTING.set(true);
        // What a panic leaves half done is a server, and dropping it still ends it.
        let outcome = panic::catch_unwind(AssertUnwindSafe(work));
        ATTEMPTING.set(false);
        outcome.map_err(|panic| Failure::new(text(panic.as_ref())))
    })
}

fn text(panic: &(dyn Any + Send)) -> &str {
    let owned = panic.downcast_ref::<String>().map(String::as_str);
    owned.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("a server could not be started")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn a_panic_is_a_failure_with_its_text() {
        silence();
        assert_eq!(attempt(|| 1), Ok(1));
        assert_eq!(attempt(|| panic!("no {}", "way")), Err::<(), _>(Failure::new("no way")));
        assert_eq!(attempt(|| panic!("none")), Err::<(), _>(Failure::new("none")));
    }
}
