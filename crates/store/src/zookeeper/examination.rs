//! One look at how an ensemble and a group's znodes are set up, for people. It sets no watch and writes nothing.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::timeout;
use zookeeper_client::{Acl, Error, Permission};

use super::StoreError;
use super::session::{Session, Shared};
use super::snapshot::{children, data};
use super::znodes::failed;
use crate::znodes::Znodes;

/// Where the servers of an ensemble keep who they are, since `ZooKeeper` 3.5.
const CONFIG: &str = "/zookeeper/config";

/// How an ensemble and a group's znodes are set up, as far as that is said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Examination {
    /// The session time-out that was asked for.
    pub asked: Duration,
    /// The one that the servers granted.
    pub negotiated: Duration,
    /// The hosts of the servers that vote, one for each, as they know each other; `None` where they do not say.
    pub voters: Option<Vec<String>>,
    /// The group's znodes that everybody may change.
    pub open: Vec<String>,
}

pub(super) async fn take(
    shared: &Arc<Shared>,
    znodes: &Znodes,
    limit: Duration,
) -> Result<Examination, StoreError> {
    let begun = Instant::now();
    let session = shared.session(limit).await?;
    let left = limit.saturating_sub(begun.elapsed());
    let (znodes, asked) = (znodes.clone(), shared.asked);
    let work = shared.spawn(async move {
        let looked = look(&session, &znodes).await;
        let (voters, open) = looked.map_err(|error| failed(&session, &znodes.document, &error))?;
        Ok(Examination { asked, negotiated: session.timeout, voters, open })
    });
    match timeout(left, work).await {
        Ok(Ok(Some(examination))) => examination,
        Ok(_) => Err(StoreError::Closed),
        Err(_) => Err(StoreError::NoAnswer(left)),
    }
}

async fn look(session: &Session, znodes: &Znodes) -> Result<(Option<Vec<String>>, Vec<String>), Error> {
    let config = match data(session, CONFIG).await {
        // Whoever closed it has not asked us to look behind.
        Err(Error::NoAuth) => None,
        content => content?,
    };
    let voters = config.map(|(bytes, _)| voters(&String::from_utf8_lossy(&bytes)));
    let mut all = vec![znodes.document.clone()];
    for parent in [&znodes.document, &znodes.leader, &znodes.monitors] {
        let names = children(session, parent).await?;
        all.extend(names.iter().map(|name| format!("{parent}/{name}")));
    }
    let mut open = Vec::new();
    for znode in all {
        match session.limited(session.client.get_acl(&znode)).await {
            Ok((acls, _)) if acls.iter().any(opens) => open.push(znode),
            // It may be gone, or its ACL nobody's to read: that is not open.
            Ok(_) | Err(Error::NoNode | Error::NoAuth) => {}
            Err(error) => return Err(error),
        }
    }
    open.sort();
    Ok((voters.filter(|voters| !voters.is_empty()), open))
}

/// Whether everybody may do more than read by this entry.
pub(super) fn opens(acl: &Acl) -> bool {
    acl.scheme() == "world" && (acl.permission() | Permission::READ) != Permission::READ
}

/// The hosts of the servers that vote: `server.1=HOST:PORT:PORT[:participant][;…]`, where several addresses of one
/// server are divided by `|`.
fn voters(config: &str) -> Vec<String> {
    let server = |line: &str| {
        let (_, address) = line.trim().strip_prefix("server.")?.split_once('=')?;
        let first = address.split(';').next()?.split('|').next()?.trim();
        let is_observer = address.split(';').next()?.ends_with(":observer");
        let host = match first.strip_prefix('[') {
            Some(rest) => rest.split(']').next()?,
            None => first.split(':').next()?,
        };
        (!is_observer && !host.is_empty()).then(|| host.to_owned())
    };
    config.lines().filter_map(server).collect()
}

#[cfg(test)]
mod tests {
    use zookeeper_client::AuthId;

    use super::*;

    #[test]
    fn the_servers_that_vote_are_named_by_their_hosts() {
        let config = "server.1=zk1.example.com:2888:3888:participant;0.0.0.0:2181\n\
            server.2=[fd00::2]:2888:3888:participant;0.0.0.0:2181\nserver.3=10.0.0.3:2888:3888:observer\n\
            server.4=10.0.0.4:2888:3888|10.1.0.4:2888:3888\nversion=100000000\n";
        assert_eq!(voters(config), ["zk1.example.com", "fd00::2", "10.0.0.4"]);
        assert!(voters("").is_empty(), "one server alone says nothing");
    }

    #[test]
    fn open_is_what_everybody_may_change() {
        let acl = |permission, id| opens(&Acl::new(permission, id));
        assert!(acl(Permission::ALL, AuthId::anyone()));
        assert!(acl(Permission::DELETE, AuthId::anyone()));
        assert!(!acl(Permission::READ, AuthId::anyone()));
        assert!(!acl(Permission::ALL, AuthId::new("digest", "u:x")));
    }
}
