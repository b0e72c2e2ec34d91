//! The addresses behind host names, and which spellings mean one server. It never blocks who asks: a lookup runs
//! beside, one at a time for each name, however often it is asked for and however long the resolver hangs.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use redis_failover_core::{NodeAddr, Role};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;

/// How long an answer is waited for where the name was looked up before: then what it was must do.
pub(crate) const PATIENCE: Duration = Duration::from_millis(200);

/// Which of a node's addresses are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// Any that the node's name means now.
    ByName,
    /// That of the link by which the node is watched, where one stands: it leads to the node that was seen, and no
    /// resolver is needed.
    Beside,
}

/// What a lookup came to; an address has no port of its own.
type Answer = Result<Vec<SocketAddr>, Arc<io::Error>>;

/// How a host is looked up.
type Lookup =
    dyn Fn(String) -> Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>> + Send>> + Send + Sync;

/// The names of one group's nodes. Clones share what they know.
#[derive(Clone)]
pub(crate) struct Names {
    lookup: Arc<Lookup>,
    known: Arc<Mutex<Known>>,
}

#[derive(Debug, Default)]
struct Known {
    /// The group's nodes, as everybody is to spell them.
    nodes: Vec<NodeAddr>,
    /// What each host was last found to be.
    hosts: BTreeMap<String, Vec<SocketAddr>>,
    /// The hosts that were looked up only to tell who is who.
    asked_for: BTreeSet<String>,
    /// The lookups under way.
    asked: BTreeMap<String, watch::Receiver<Option<Answer>>>,
    /// Where a connection to a node stands now.
    standing: BTreeMap<NodeAddr, SocketAddr>,
}

impl fmt::Debug for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Names").field("known", &self.known).finish_non_exhaustive()
    }
}

impl Default for Names {
    fn default() -> Self {
        Self::new(|host| async move { Ok(tokio::net::lookup_host((host.as_str(), 0)).await?.collect()) })
    }
}

impl Names {
    /// No names yet, to be found by `lookup`.
    pub(crate) fn new<F>(lookup: impl Fn(String) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = io::Result<Vec<SocketAddr>>> + Send + 'static,
    {
        Self { lookup: Arc::new(move |host| Box::pin(lookup(host))), known: Arc::default() }
    }

    /// Says which nodes there are, in the spelling that counts. What only told who is who is looked up again.
    pub(crate) fn watch(&self, nodes: Vec<NodeAddr>) {
        let mut known = self.lock();
        known.nodes = nodes;
        known.asked_for.clear();
    }

    /// Where the node can be reached: what its name means now, or where another connection to it stands.
    ///
    /// # Errors
    /// When the resolver says that there is no such name, or fails.
    pub(crate) async fn addresses(&self, node: &NodeAddr, way: Way) -> io::Result<Vec<SocketAddr>> {
        let standing = self.lock().standing.get(node).copied();
        if let Some(address) = standing.filter(|_| way == Way::Beside) {
            return Ok(vec![address]);
        }
        let mut addresses = self.of_host(node.host()).await?;
        for address in &mut addresses {
            address.set_port(node.port());
        }
        Ok(addresses)
    }

    /// Whether the node, as far as it is known where its name leads now, is the server at `peer`.
    pub(crate) fn leads_to(&self, node: &NodeAddr, peer: SocketAddr) -> bool {
        self.lock().standing.get(node).is_none_or(|standing| *standing == peer)
    }

    /// Says where a connection to the node stands, for as long as what is returned is kept.
    pub(crate) fn stands(&self, node: &NodeAddr, at: SocketAddr) -> Standing {
        self.lock().standing.insert(node.clone(), at);
        Standing { names: self.clone(), node: node.clone() }
    }

    /// What `node` says of itself, with the master that it follows spelled as the group's nodes are, if it is one of
    /// them. Where a name was never looked up the answer is waited for once, for `limit` at most.
    pub(crate) async fn spelled(&self, node: &NodeAddr, role: Role, limit: Duration) -> Role {
        let Role::Replica { of: Some(of), link, received } = role else { return role };
        let mut lookups = JoinSet::new();
        for host in self.unasked(&of) {
            let mut answer = self.ask(&host);
            lookups.spawn(async move { drop(answer.wait_for(Option::is_some).await) });
        }
        // Who is late is known the next time.
        let _ = timeout(limit, async { while lookups.join_next().await.is_some() {} }).await;
        let of = self.lock().member(&of, node).unwrap_or(of);
        Role::Replica { of: Some(of), link, received }
    }

    /// Spells the replicas that `node` says it feeds as the group's nodes are, as far as names are known.
    pub(crate) fn spell(&self, node: &NodeAddr, feeds: &mut [NodeAddr]) {
        let known = self.lock();
        for replica in feeds {
            if let Some(member) = known.member(replica, node) {
                *replica = member;
            }
        }
    }

    /// Has the name by which a node calls its master looked up anew, beside, where it is none of ours.
    pub(crate) fn refresh(&self, role: &Role) {
        let Role::Replica { of: Some(of), .. } = role else { return };
        if of.host().parse::<IpAddr>().is_err() && !self.lock().nodes.contains(of) {
            drop(self.ask(of.host()));
        }
    }

    /// The hosts that must be looked up to tell whether `of` is a node of the group; each is named once.
    fn unasked(&self, of: &NodeAddr) -> Vec<String> {
        let mut known = self.lock();
        if known.nodes.contains(of) {
            return Vec::new();
        }
        let Known { nodes, hosts, asked_for, .. } = &mut *known;
        let host_names = nodes.iter().chain([of]).map(|node| node.host().to_owned());
        let unasked = host_names.filter(|host| host.parse::<IpAddr>().is_err() && !hosts.contains_key(host));
        unasked.filter(|host| asked_for.insert(host.clone())).collect()
    }

    /// The addresses of `host`, now, or, where the resolver hangs, as they were last found.
    async fn of_host(&self, host: &str) -> io::Result<Vec<SocketAddr>> {
        if let Ok(address) = host.parse::<IpAddr>() {
            return Ok(vec![(address, 0).into()]);
        }
        let mut answer = self.ask(host);
        let mut answer = std::pin::pin!(async move {
            let answer = answer.wait_for(Option::is_some).await.ok().and_then(|answer| answer.clone());
            // The lookup ended without an answer: it panicked, or the program ends.
            answer.unwrap_or_else(|| Err(Arc::new(io::ErrorKind::Interrupted.into())))
        });
        let last = self.lock().hosts.get(host).cloned();
        let found = match last {
            Some(last) => timeout(PATIENCE, answer.as_mut()).await.unwrap_or(Ok(last)),
            None => answer.await,
        };
        found.map_err(|error| io::Error::new(error.kind(), format!("{host}: {error}")))
    }

    /// Has `host` looked up, if that is not under way.
    fn ask(&self, host: &str) -> watch::Receiver<Option<Answer>> {
        let mut known = self.lock();
        // A lookup that panicked has closed its channel.
        if let Some(asked) = known.asked.get(host).filter(|asked| asked.has_changed().is_ok()) {
            return asked.clone();
        }
        let (told, answer) = watch::channel(None);
        known.asked.insert(host.to_owned(), answer.clone());
        let (names, host) = (self.clone(), host.to_owned());
        tokio::spawn(async move {
            let found = (names.lookup)(host.clone()).await.map_err(Arc::new);
            let mut known = names.lock();
            known.asked.remove(&host);
            if let Ok(addresses) = &found {
                known.hosts.insert(host, addresses.clone());
            }
            drop(known);
            told.send_replace(Some(found));
        });
        answer
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        // The state is whole between any two statements.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    /// The one node that is the server which `by` calls `of`.
    fn member(&self, of: &NodeAddr, by: &NodeAddr) -> Option<NodeAddr> {
        let mut addresses = self.addresses(of.host());
        if !addresses.is_empty() && addresses.iter().all(IpAddr::is_loopback) {
            // That is the server itself, whatever it is called elsewhere.
            addresses.extend(self.node_addresses(by));
        }
        let is_it =
            |node: &&NodeAddr| node.port() == of.port() && !self.node_addresses(node).is_disjoint(&addresses);
        let mut members = self.nodes.iter().filter(is_it);
        members.next().filter(|_| members.next().is_none()).cloned()
    }

    fn node_addresses(&self, node: &NodeAddr) -> BTreeSet<IpAddr> {
        let standing = self.standing.get(node).map(|address| address.ip().to_canonical());
        self.addresses(node.host()).into_iter().chain(standing).collect()
    }

    fn addresses(&self, host: &str) -> BTreeSet<IpAddr> {
        let literal = host.parse::<IpAddr>().ok();
        let found = self.hosts.get(host).into_iter().flatten().map(SocketAddr::ip);
        literal.into_iter().chain(found).map(|address| address.to_canonical()).collect()
    }
}

/// A connection to a node, as far as others need to know of it.
pub(crate) struct Standing {
    names: Names,
    node: NodeAddr,
}

impl Drop for Standing {
    fn drop(&mut self) {
        self.names.lock().standing.remove(&self.node);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use redis_failover_core::Link;
    use tokio::sync::Semaphore;
    use tokio::time::Instant;

    use super::*;

    fn address(text: &str) -> SocketAddr {
        (text.parse::<IpAddr>().expect(text), 0).into()
    }

    fn node(text: &str) -> NodeAddr {
        text.parse().expect(text)
    }

    /// Names by this table; all others do not exist.
    fn table(table: &'static [(&str, &[&str])]) -> Names {
        Names::new(move |host| async move {
            let found = table.iter().find(|(name, _)| *name == host);
            let addresses = found.map(|(_, addresses)| addresses.iter().map(|text| address(text)).collect());
            addresses.ok_or_else(|| io::Error::other("no such name"))
        })
    }

    /// A resolver that answers once for each permit, and counts what it is asked.
    fn slow(addresses: Vec<SocketAddr>) -> (Names, Arc<Semaphore>, Arc<AtomicUsize>) {
        let (gate, asked) = (Arc::new(Semaphore::new(0)), Arc::new(AtomicUsize::new(0)));
        let (theirs, count) = (Arc::clone(&gate), Arc::clone(&asked));
        let names = Names::new(move |_| {
            let (gate, addresses) = (Arc::clone(&theirs), addresses.clone());
            count.fetch_add(1, Ordering::SeqCst);
            async move {
                gate.acquire().await.expect("it is open").forget();
                Ok(addresses)
            }
        });
        (names, gate, asked)
    }

    async fn follows(names: &Names, by: &str, of: &str) -> String {
        let role = Role::Replica { of: Some(node(of)), link: Link::Up, received: 7 };
        match names.spelled(&node(by), role, PATIENCE).await {
            Role::Replica { of: Some(of), link: Link::Up, received: 7 } => of.to_string(),
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn a_master_is_spelled_as_the_group_spells_it_if_it_is_one_of_its_nodes() {
        let names = table(&[
            ("redis-1", &["10.0.0.1"]),
            ("redis-2", &["10.0.0.2", "fd00::2"]),
            ("alias", &["10.0.0.1"]),
            ("both", &["10.0.0.1", "10.0.0.2"]),
        ]);
        names.watch(["redis-1:6379", "redis-2:6379", "10.0.0.3:6379"].map(node).into());
        for (of, spelled) in [
            ("redis-1:6379", "redis-1:6379"),
            ("10.0.0.1:6379", "redis-1:6379"),
            ("[::ffff:10.0.0.1]:6379", "redis-1:6379"),
            ("alias:6379", "redis-1:6379"),
            ("[fd00::2]:6379", "redis-2:6379"),
            ("10.0.0.1:6380", "10.0.0.1:6380"),
            ("10.0.0.9:6379", "10.0.0.9:6379"),
            ("nowhere:6379", "nowhere:6379"),
            ("both:6379", "both:6379"),
        ] {
            assert_eq!(follows(&names, "10.0.0.3:6379", of).await, spelled, "{of}");
        }
        let mut feeds = ["10.0.0.1:6379", "10.0.0.9:6379", "10.0.0.3:6379"].map(node);
        names.spell(&node("redis-2:6379"), &mut feeds);
        assert_eq!(feeds, ["redis-1:6379", "10.0.0.9:6379", "10.0.0.3:6379"].map(node));
        let master = Role::Master { replicas: 1 };
        assert_eq!(names.spelled(&node("redis-1:6379"), master.clone(), PATIENCE).await, master);
    }

    #[tokio::test]
    async fn loopback_is_the_server_that_says_it() {
        let names = table(&[("localhost", &["127.0.0.1"]), ("one", &["10.0.0.1"]), ("two", &["10.0.0.2"])]);
        names.watch(["one:7001", "one:7002", "two:7001"].map(node).into());
        assert_eq!(follows(&names, "one:7002", "127.0.0.1:7001").await, "one:7001");
        assert_eq!(follows(&names, "two:7001", "localhost:7001").await, "two:7001", "itself");
        names.watch(["localhost:7001", "localhost:7002"].map(node).into());
        assert_eq!(follows(&names, "localhost:7002", "127.0.0.1:7001").await, "localhost:7001");
    }

    /// Asserts that somebody waited as long as is allowed, by a clock that stands still meanwhile.
    fn assert_waited(begun: Instant) {
        let waited = begun.elapsed();
        assert!((PATIENCE..PATIENCE * 2).contains(&waited), "{waited:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_resolver_that_hangs_is_asked_once_and_holds_nobody_up() {
        let (names, gate, asked) = slow(vec![address("10.0.0.1")]);
        names.watch(vec![node("hung:1"), node("10.0.0.1:1")]);
        for _ in 0..50 {
            let late = timeout(Duration::from_secs(1), names.addresses(&node("hung:1"), Way::ByName)).await;
            assert!(late.is_err());
        }
        assert_eq!(asked.load(Ordering::SeqCst), 1, "one question, however often it is asked");
        let begun = Instant::now();
        assert_eq!(follows(&names, "10.0.0.1:1", "other:1").await, "other:1");
        assert_waited(begun);
        names.refresh(&Role::Replica { of: Some(node("other:1")), link: Link::Up, received: 0 });
        assert_eq!(asked.load(Ordering::SeqCst), 2, "another name is another question");
        let begun = Instant::now();
        assert_eq!(follows(&names, "10.0.0.1:1", "other:1").await, "other:1");
        assert_eq!(begun.elapsed(), Duration::ZERO, "nobody waits for it twice");

        gate.add_permits(2);
        assert_eq!(names.of_host("hung").await.expect("an answer"), [address("10.0.0.1")]);
        gate.add_permits(1);
        assert!(names.of_host("hung").await.is_ok());
        assert!(asked.load(Ordering::SeqCst) > 2, "it is looked up again each time");
        let begun = Instant::now();
        assert_eq!(names.of_host("hung").await.expect("the last answer"), [address("10.0.0.1")]);
        assert_waited(begun);
    }

    #[tokio::test]
    async fn a_name_that_is_gone_is_not_believed_to_be_what_it_was() {
        let exists = Arc::new(AtomicUsize::new(1));
        let theirs = Arc::clone(&exists);
        let names = Names::new(move |_| {
            let exists = theirs.load(Ordering::SeqCst) == 1;
            async move { if exists { Ok(vec![address("10.0.0.1")]) } else { Err(io::Error::other("gone")) } }
        });
        assert!(names.of_host("a").await.is_ok());
        exists.store(0, Ordering::SeqCst);
        let error = names.of_host("a").await.expect_err("it is gone").to_string();
        assert_eq!(error, "a: gone");
    }

    #[tokio::test]
    async fn beside_a_standing_connection_no_name_is_looked_up() {
        let (names, _gate, asked) = slow(Vec::new());
        let (node, at) = (node("hung:6379"), SocketAddr::new(address("10.0.0.1").ip(), 6379));
        let standing = names.stands(&node, at);
        assert_eq!(names.addresses(&node, Way::Beside).await.expect("it is known"), [at]);
        assert_eq!(asked.load(Ordering::SeqCst), 0);
        drop(standing);
        let late = timeout(Duration::from_millis(50), names.addresses(&node, Way::Beside)).await;
        assert!(late.is_err() && asked.load(Ordering::SeqCst) == 1);
    }
}
