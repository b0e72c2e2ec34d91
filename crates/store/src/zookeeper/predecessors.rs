//! The Python predecessor's monitors: those that queue for their lead in this ensemble. It never disturbs them.

use std::convert::Infallible;
use std::sync::Arc;

use tokio::sync::watch;
use zookeeper_client::Error;

use super::bell;
use super::session::{Session, Shared};

pub(super) type Predecessors = Option<Arc<Vec<String>>>;

/// Follows the queue at `znode` until nobody needs it any more, or the store is gone.
pub(super) async fn follow(shared: Arc<Shared>, znode: String, sender: watch::Sender<Predecessors>) {
    let (znode, sender) = (&znode, &sender);
    let follow = |session: Session| async move {
        let session = &session;
        bell::follow(znode, "the predecessor's queue", || watch_and_read(session, znode, sender)).await;
    };
    tokio::select! {
        () = sender.closed() => {}
        () = shared.in_each_session(follow) => {}
    }
}

async fn watch_and_read(
    session: &Session,
    znode: &str,
    sender: &watch::Sender<Predecessors>,
) -> Result<Infallible, Error> {
    loop {
        let (mut names, changed) = bell::children(session, znode).await?;
        names.sort();
        let found = Some(Arc::new(names.iter().map(|name| format!("{znode}/{name}")).collect()));
        sender.send_if_modified(|told| std::mem::replace(told, found.clone()) != found);
        changed.changed().await;
    }
}
