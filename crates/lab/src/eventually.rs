//! Waiting for a condition instead of for a time.
//!
//! The sleep in here is the only one a test needs. It never gives up silently.

use std::fmt::{Debug, Display};
use std::thread::sleep;
use std::time::{Duration, Instant};

const PAUSE: Duration = Duration::from_millis(10);

/// Calls `probe` every ten milliseconds until it succeeds, and returns what it found.
///
/// The probe says in its error why it is not content yet, which is what the reader of a failed test wants to know.
/// It is called at least once, and a last time after the deadline: a slow machine gets a fair answer.
///
/// # Panics
///
/// When the probe has not succeeded within `deadline`; the message carries `what` and the probe's last error.
#[track_caller]
pub fn eventually<T, E: Display>(
    deadline: Duration,
    what: &str,
    mut probe: impl FnMut() -> Result<T, E>,
) -> T {
    let start = Instant::now();
    loop {
        let late = start.elapsed() >= deadline;
        match probe() {
            Ok(found) => return found,
            Err(reason) if late => panic!("not within {deadline:?}: {what}: {reason}"),
            Err(_) => sleep(PAUSE),
        }
    }
}

/// Returns `actual` if it equals `wanted`, and both in words if not: a probe for [`eventually`].
///
/// # Errors
///
/// When the two differ.
pub fn ensure_eq<T: Debug + PartialEq<U>, U: Debug>(actual: T, wanted: U) -> Result<T, String> {
    if actual == wanted { Ok(actual) } else { Err(format!("it is {actual:?}, not {wanted:?}")) }
}
