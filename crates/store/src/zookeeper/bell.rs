//! A bell on one znode, for those who read again when it changes. It is always hung before the read that it
//! guards, so that no change falls between the two.
//!
//! It never tells what changed: whoever hears it reads.

use std::convert::Infallible;
use std::pin::Pin;
use std::time::Duration;

use tokio::time::sleep;
use zookeeper_client::{Error, OneshotWatcher};

use super::session::Session;
use super::znodes::why;

/// The rest after something failed.
const REST: Duration = Duration::from_millis(100);

/// One watch on one znode, once it is hung.
#[derive(Default)]
pub(super) struct Bell {
    ringing: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

impl Bell {
    /// Hangs it on `znode`, where it does not hang yet. It also rings for a znode that is only created later.
    pub(super) async fn hang(&mut self, session: &Session, znode: &str) -> Result<(), Error> {
        if self.ringing.is_none() {
            let (_, watcher) = session.limited(session.client.check_and_watch_stat(znode)).await?;
            self.ringing = Some(Box::pin(ring(watcher)));
        }
        Ok(())
    }

    /// Waits until it rings and takes it down. Dropping the future leaves it where it hangs.
    pub(super) async fn rung(&mut self) {
        match &mut self.ringing {
            Some(ringing) => ringing.await,
            None => std::future::pending().await,
        }
        self.ringing = None;
    }
}

/// The children of `znode` and what rings at the next change of them, also where there is no such znode yet.
pub(super) async fn children(session: &Session, znode: &str) -> Result<(Vec<String>, OneshotWatcher), Error> {
    loop {
        match session.limited(session.client.list_and_watch_children(znode)).await {
            Err(Error::NoNode) => {}
            listed => return listed,
        }
        let (stat, watcher) = session.limited(session.client.check_and_watch_stat(znode)).await?;
        // If it is there it was made between the two questions.
        if stat.is_none() {
            return Ok((Vec::new(), watcher));
        }
    }
}

async fn ring(watcher: OneshotWatcher) {
    watcher.changed().await;
}

/// Watches and reads `what`, which stands at `znode`, until the session ends and drops this: after each failure
/// anew, with a rest.
pub(super) async fn follow<W: Future<Output = Result<Infallible, Error>>>(
    znode: &str,
    what: &str,
    watch_and_read: impl Fn() -> W,
) {
    let mut failures = 0_u32;
    loop {
        let Err(error) = watch_and_read().await;
        failures += 1;
        if failures % 100 == 3 {
            let error = why(&error);
            tracing::warn!(path = znode, error, "cannot read {what}; trying on");
        }
        sleep(REST).await;
    }
}
