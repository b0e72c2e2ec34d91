//! This monitor's own report. It never overwrites or deletes the report of another session.

use std::sync::Arc;
use std::time::{Duration, Instant};

use redis_failover_core::Report;
use tokio::sync::watch;
use tokio::time::sleep;
use zookeeper_client::{Error, OneshotWatcher, SessionState, StateWatcher};

use super::session::{Session, Shared};
use super::znodes::{ensure, why};
use crate::own_report;
use crate::wire::report_bytes;
use crate::znodes::Znodes;

/// The rest after something failed.
const REST: Duration = Duration::from_millis(100);

/// A report and when it was handed in.
#[derive(Clone, Debug)]
pub(super) struct Published {
    pub(super) report: Report,
    pub(super) at: Instant,
}

impl Published {
    /// The report as of now: its votes have grown older.
    fn now(&self) -> Report {
        own_report::aged(&self.report, self.at.elapsed())
    }

    /// Whether this says the same as `other`: the same votes, standing since the same moments.
    fn says_the_same(&self, other: &Self) -> bool {
        let moved = self.at.saturating_duration_since(other.at);
        own_report::says_the_same(&self.report, &other.report, moved)
    }
}

/// Keeps this monitor's report written until it was taken back for good, or the store is gone.
pub(super) async fn publish(
    shared: Arc<Shared>,
    znodes: Znodes,
    published: watch::Receiver<Option<Published>>,
) {
    let publish = |session| publish_in(&shared, session, &znodes, published.clone());
    shared.in_each_session(publish).await;
}

/// Publishes in one session. It returns when nothing is published, and nobody can publish any more; the session's
/// end drops it.
async fn publish_in(
    shared: &Shared,
    session: Session,
    znodes: &Znodes,
    mut published: watch::Receiver<Option<Published>>,
) {
    let mut failures = 0_u32;
    // What this session may have written, and must delete when it is taken back.
    let mut ours = None;
    loop {
        let Err(error) = keep_written(shared, &session, znodes, &mut published, &mut ours).await else {
            return;
        };
        failures += 1;
        if failures % 100 == 3 {
            let error = why(&error);
            tracing::warn!(path = znodes.monitors, error, "cannot write this monitor's report; trying on");
        }
        sleep(REST).await;
    }
}

async fn keep_written(
    shared: &Shared,
    session: &Session,
    znodes: &Znodes,
    published: &mut watch::Receiver<Option<Published>>,
    ours: &mut Option<String>,
) -> Result<(), Error> {
    let mut states = session.client.state_watcher();
    let mut written: Option<Published> = None;
    let mut warned = false;
    loop {
        let Some(latest) = published.borrow_and_update().clone() else {
            if let Some(znode) = ours.as_deref() {
                delete(session, znode).await?;
            }
            (*ours, written) = (None, None);
            if published.changed().await.is_err() {
                return Ok(());
            }
            continue;
        };
        let znode = ours.insert(znodes.report(&latest.report.monitor)).clone();
        let (stat, changed) = session.limited(session.client.check_and_watch_stat(&znode)).await?;
        match stat {
            None => written = create(session, znodes, &znode, &latest).await?.then_some(latest),
            Some(stat) if stat.ephemeral_owner == session.id => {
                if !written.as_ref().is_some_and(|written| latest.says_the_same(written)) {
                    let bytes = report_bytes(&latest.now());
                    session.limited(session.client.set_data(&znode, &bytes, None)).await?;
                    written = Some(latest);
                }
            }
            Some(stat) if shared.was_ours(stat.ephemeral_owner) => {
                // A vote that nobody stands by any more. The watch rings, and the next look makes our own.
                match session.limited(session.client.delete(&znode, None)).await {
                    Ok(()) | Err(Error::NoNode) => written = None,
                    Err(error) => return Err(error),
                }
            }
            Some(_) => {
                written = None;
                if !std::mem::replace(&mut warned, true) {
                    tracing::warn!(
                        znode,
                        "another session holds the report of this monitor's id; waiting for it \
                         to end. If this does not pass within a session time-out, two monitors have one id: \
                         give each its own --id"
                    );
                }
            }
        }
        if written.is_some() {
            warned = false;
        }
        wait(&mut states, published, changed, written.as_ref()).await;
    }
}

/// Whether it was created; if not, another session was faster, and the watch on the znode has rung.
async fn create(session: &Session, znodes: &Znodes, znode: &str, latest: &Published) -> Result<bool, Error> {
    loop {
        let bytes = report_bytes(&latest.now());
        match session.limited(session.client.create(znode, &bytes, &session.ephemeral())).await {
            Ok(_) => return Ok(true),
            Err(Error::NodeExists) => return Ok(false),
            Err(Error::NoNode) => ensure(session, &znodes.monitors).await?,
            Err(error) => return Err(error),
        }
    }
}

/// Deletes the report, if it is this session's.
async fn delete(session: &Session, znode: &str) -> Result<(), Error> {
    let stat = session.limited(session.client.check_stat(znode)).await?;
    if stat.is_none_or(|stat| stat.ephemeral_owner != session.id) {
        return Ok(());
    }
    match session.limited(session.client.delete(znode, None)).await {
        Err(Error::NoNode) => Ok(()),
        outcome => outcome,
    }
}

/// Returns when another look is needed: a report that says something else, or something happened to the
/// znode.
async fn wait(
    states: &mut StateWatcher,
    published: &mut watch::Receiver<Option<Published>>,
    changed: OneshotWatcher,
    written: Option<&Published>,
) {
    let news = async {
        loop {
            next(published).await;
            let latest = published.borrow_and_update().clone();
            let same = latest.zip(written).is_some_and(|(latest, written)| latest.says_the_same(written));
            if !same {
                return;
            }
        }
    };
    let reconnected = async { while states.changed().await != SessionState::SyncConnected {} };
    tokio::select! {
        () = news => {}
        _ = changed.changed() => {}
        () = reconnected => {}
    }
}

async fn next(published: &mut watch::Receiver<Option<Published>>) {
    if published.changed().await.is_err() {
        // Nobody can publish any more; what is written stays until the session ends.
        std::future::pending::<()>().await;
    }
}
