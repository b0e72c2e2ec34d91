//! The feed of the published document, for those who follow a group. It never writes, and neither reads nor
//! watches the monitors' state: what only monitors need wakes nobody here.

use std::convert::Infallible;
use std::sync::Arc;

use tokio::sync::watch;
use zookeeper_client::Error;

use super::bell::{self, Bell};
use super::session::{Session, Shared};
use crate::{Glance, wire};

/// Follows the document `znode` until nobody needs it any more, or the store is gone.
pub(super) async fn follow(shared: Arc<Shared>, znode: String, sender: watch::Sender<Glance>) {
    let (znode, sender) = (&znode, &sender);
    let follow = |session: Session| async move {
        let watch_and_read = || watch_and_read(&session, znode, sender);
        bell::follow(znode, "the published document", watch_and_read).await;
    };
    tokio::select! {
        () = sender.closed() => {}
        () = shared.in_each_session(follow) => {}
    }
}

async fn watch_and_read(
    session: &Session,
    znode: &str,
    sender: &watch::Sender<Glance>,
) -> Result<Infallible, Error> {
    // A server that this session did not ask before may lag behind what another one told us.
    session.limited(session.client.sync(znode)).await?;
    let mut bell = Bell::default();
    loop {
        bell.hang(session, znode).await?;
        let glance = read(session, znode).await?;
        // The same writing, seen again in a new session, is no news.
        sender.send_if_modified(|sent| {
            let differs = *sent != glance;
            *sent = glance;
            differs
        });
        bell.rung().await;
    }
}

async fn read(session: &Session, znode: &str) -> Result<Glance, Error> {
    let read = match session.limited(session.client.get_data(znode)).await {
        Err(Error::NoNode) => None,
        read => Some(read?),
    };
    let (order, created) = read.as_ref().map_or((0, 0), |(_, stat)| (stat.mzxid, stat.czxid));
    let publication = wire::publication(znode, read.as_ref().map(|(bytes, _)| bytes.as_slice()));
    Ok(Glance { read: Some(publication.map_err(Arc::new)), order, created })
}
