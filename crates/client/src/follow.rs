//! The task that follows: documents and nodes come in, routes go out. It alone changes them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicU16;

use redis_failover_core::follower::{Doubt, Follower, Identity};
use redis_failover_core::reading::ReadFrom;
use redis_failover_core::{Member, NodeAddr};
use redis_failover_store::{Feed, Glance};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use tracing::Instrument;

use crate::client::Inner;
use crate::keeper::{Keeper, State, Told};
use crate::link::Link;
use crate::metrics::count;
use crate::routes::Routes;
use crate::topology::Topology;

/// One node of the group. Dropping it closes its connection.
struct Node {
    _keeper: AbortOnDropHandle<()>,
    link: Option<(Arc<Link>, Identity)>,
    own_zone: bool,
    /// Why there is no link.
    trouble: String,
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Some((link, _)) = &self.link {
            link.cut();
        }
    }
}

struct Following {
    inner: Arc<Inner>,
    follower: Follower,
    /// What is wrong with the last document, while none was ever read; empty if there is none.
    unreadable: String,
    nodes: BTreeMap<NodeAddr, Node>,
    /// The master that was published last; while a change is under way the old one.
    serving: Option<NodeAddr>,
    tenure: CancellationToken,
    orders: watch::Sender<i64>,
    numbers: Arc<AtomicU16>,
    told: mpsc::UnboundedSender<Told>,
}

/// Follows until it is dropped.
pub(crate) async fn follow(inner: Arc<Inner>, mut documents: Feed<Glance>) {
    let (told, mut inbox) = mpsc::unbounded_channel();
    let mut following = Following {
        inner,
        follower: Follower::default(),
        unreadable: String::new(),
        nodes: BTreeMap::new(),
        serving: None,
        tenure: CancellationToken::new(),
        orders: watch::Sender::new(0),
        numbers: Arc::default(),
        told,
    };
    loop {
        tokio::select! {
            glance = documents.next() => following.read(glance),
            Some(told) = inbox.recv() => following.told(told),
        }
    }
}

impl Following {
    fn read(&mut self, glance: Glance) {
        let publication = match glance.read {
            Some(Ok(Some(publication))) => publication,
            // Nothing is published (any more): what is known stays.
            None | Some(Ok(None)) => return self.cannot_read(String::new()),
            Some(Err(unreadable)) => {
                tracing::warn!("{unreadable}; going on with what is known");
                return self.cannot_read(unreadable.to_string());
            }
        };
        match self.follower.read(glance.created, glance.order, publication) {
            Ok(true) => self.believe(),
            Ok(false) => {}
            Err(outdated) => tracing::warn!(
                known = outdated.known.0,
                read = outdated.read.0,
                "a document of an older epoch is refused"
            ),
        }
    }

    /// Tells why there is no document where there never was one.
    fn cannot_read(&mut self, why: String) {
        if self.follower.believed().is_none() && self.unreadable != why {
            self.unreadable = why;
            self.route();
        }
    }

    fn believe(&mut self) {
        let Some(publication) = self.follower.believed() else { return };
        let topology = Arc::new(Topology::from(publication));
        tracing::info!(epoch = publication.epoch.0, "{topology}");
        let members: Vec<_> =
            [&publication.master].into_iter().chain(&publication.replicas).cloned().collect();
        self.nodes.retain(|addr, _| members.iter().any(|member| member.addr == *addr));
        self.inner.counters.keep_nodes(|addr| self.nodes.contains_key(addr));
        for member in &members {
            self.keep(&member.addr);
        }
        self.orders.send_replace(self.follower.order());
        let serving = self.follower.master().cloned();
        let deposed = if serving.is_some() && serving != self.serving {
            let tenure = std::mem::replace(&mut self.tenure, CancellationToken::new());
            std::mem::replace(&mut self.serving, serving).map(|old| (old, tenure))
        } else {
            None
        };
        self.route();
        self.inner.topology.send_replace(Some(topology));
        // Only now: whoever fails finds the new master.
        if let Some((old, tenure)) = deposed {
            count(&self.inner.counters.changes);
            tenure.cancel();
            self.cut(&old);
        }
        // What was asked of a replica that hangs is asked of another.
        let failed = |member: &&Member| !member.ok && self.serving.as_ref() != Some(&member.addr);
        for member in members.iter().filter(failed) {
            self.cut(&member.addr);
        }
    }

    fn cut(&self, addr: &NodeAddr) {
        if let Some((link, _)) = self.nodes.get(addr).and_then(|node| node.link.as_ref()) {
            link.cut();
        }
    }

    fn keep(&mut self, addr: &NodeAddr) {
        let keeper = || Keeper {
            node: addr.clone(),
            settings: Arc::clone(&self.inner.settings),
            orders: self.orders.subscribe(),
            numbers: Arc::clone(&self.numbers),
            counters: self.inner.counters.node(addr),
            told: self.told.clone(),
            questions: Arc::clone(&self.inner.questions),
            routes: self.inner.routes.subscribe(),
        };
        let own_zone = || self.inner.settings.own_zone.as_ref().is_some_and(|zone| zone.holds(addr));
        let node = || Node {
            _keeper: AbortOnDropHandle::new(tokio::spawn(
                keeper().run().instrument(tracing::debug_span!("keep", node = %addr)),
            )),
            link: None,
            own_zone: own_zone(),
            trouble: "it is being connected".to_owned(),
        };
        self.nodes.entry(addr.clone()).or_insert_with(node);
    }

    fn told(&mut self, told: Told) {
        // A node that left the group meanwhile.
        let Some(node) = self.nodes.get_mut(&told.node) else { return };
        match told.state {
            State::Linked(link, identity) => {
                link.trust();
                if let Some((before, _)) = node.link.replace((Arc::clone(&link), identity))
                    && !Arc::ptr_eq(&before, &link)
                {
                    // It leads nowhere: nobody will ever answer on it.
                    before.cut();
                }
            }
            State::Unlinked(why) => {
                tracing::debug!(node = %told.node, "not connected: {why}");
                node.link = None;
                node.trouble = why;
            }
            State::Heard => return self.review(),
        }
        self.route();
    }

    /// Works out where commands go, and tells them.
    fn route(&self) {
        let (master, why) = match self.master() {
            Ok(link) => (Some(link), String::new()),
            Err(why) => (None, why),
        };
        self.inner.serves(master.is_some());
        let replicas = match self.inner.settings.rules.read_from {
            ReadFrom::Master => Vec::new(),
            _ => self.replicas(),
        };
        self.inner.routes.send_replace(Arc::new(Routes {
            readers: self.readers(master.as_ref(), &replicas),
            master,
            replicas,
            tenure: self.tenure.clone(),
            follower: Arc::new(self.follower.clone()),
            why: why.into(),
        }));
    }

    /// Chooses anew who is read from, and tells it if that is somebody else. Each answer is a reason to: while nobody
    /// answers, there is nobody else to read from.
    fn review(&self) {
        let routes = Arc::clone(&self.inner.routes.borrow());
        let readers = self.readers(routes.master.as_ref(), &routes.replicas);
        let same = |(one, other): (&Arc<Link>, &Arc<Link>)| Arc::ptr_eq(one, other);
        if readers.len() != routes.readers.len() || !readers.iter().zip(&routes.readers).all(same) {
            self.inner.routes.send_replace(Arc::new(Routes { readers, ..Routes::clone(&routes) }));
        }
    }

    /// Of the master and these replicas, the links that reads take in turn.
    fn readers(&self, master: Option<&Arc<Link>>, replicas: &[Arc<Link>]) -> Vec<Arc<Link>> {
        let links: Vec<_> =
            replicas.iter().map(|link| (link, false)).chain(master.map(|link| (link, true))).collect();
        let known = links.iter().map(|(link, leads)| {
            let own_zone = self.nodes.get(&link.node).is_some_and(|node| node.own_zone);
            link.sounding.reader(*leads, link.is_usable(), own_zone)
        });
        let chosen = self.inner.settings.rules.choose(&known.collect::<Vec<_>>());
        chosen.into_iter().map(|index| Arc::clone(links[index].0)).collect()
    }

    fn master(&self) -> Result<Arc<Link>, String> {
        let Some(publication) = self.follower.believed() else { return Err(self.unreadable.clone()) };
        let Some(master) = self.follower.master() else {
            let old = &publication.master.addr;
            return Err(format!("the master {old} is being replaced (epoch {})", publication.epoch.0));
        };
        let Some(node) = self.nodes.get(master) else { return Err(String::new()) };
        let Some((link, said)) = &node.link else {
            return Err(format!("the master {master} can't be reached: {}", node.trouble));
        };
        self.follower.may_write(said).map_err(|doubt: Doubt| {
            // It is asked again and again until it or the document says something else.
            link.doubt();
            format!("the master {master} {doubt}")
        })?;
        Ok(Arc::clone(link))
    }

    fn replicas(&self) -> Vec<Arc<Link>> {
        let Some(publication) = self.follower.believed() else { return Vec::new() };
        let mut links = Vec::new();
        // Who names a node twice means the master.
        let others = publication.replicas.iter().filter(|replica| replica.addr != publication.master.addr);
        for replica in others {
            let linked = self.nodes.get(&replica.addr).and_then(|node| node.link.as_ref());
            let Some((link, said)) = linked else { continue };
            if self.follower.may_read(&replica.addr, said) {
                links.push(Arc::clone(link));
            } else if replica.ok {
                link.doubt();
            }
        }
        links
    }
}
