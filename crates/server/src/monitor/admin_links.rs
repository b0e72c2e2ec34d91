//! The connections over which a leader commands the nodes: one a node, fenced by its term, and kept warm. It commands
//! nothing but that older ones end.
//!
//! A connection bears its term in its name. It is used only after the node has listed it, and the store has confirmed
//! the lead after that. Whoever leads later finds it in the node's list, and ends it before reading anything there;
//! whoever led before and has not opened it yet is not confirmed. So no command of a deposed leader is carried out
//! after the next one has begun to look, wherever it was held up.

use std::collections::BTreeMap;
use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex as StdMutex, MutexGuard, PoisonError};
use std::time::Duration;

use redis_failover_core::{Leadership, NodeAddr, Term};
use redis_failover_store::Campaign;
use tokio::sync::{Mutex, OwnedMappedMutexGuard, OwnedMutexGuard, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::redis_admin::{self, AdminError};
use crate::names::{Names, Way};
use crate::redis_link::{Credentials, Limits, RedisLink};

/// How long opening a connection may take. A server that stands still has accepted it, and lets us in when it wakes.
const LIMITS: Limits = Limits { connect: Duration::from_secs(1), greet: Duration::from_secs(30) };

/// The rest after a connection could not be opened.
const REST: Duration = Duration::from_millis(200);

/// Tells connections apart.
static OPENED: AtomicU64 = AtomicU64::new(0);

/// The connections of one monitor of one group. Clones are the same.
pub(super) struct AdminLinks<C> {
    campaign: Arc<C>,
    names: Names,
    credentials: Credentials,
    /// What all leaders of the group have in their names, before their terms.
    mark: Arc<str>,
    /// Who we are, for people who look at CLIENT LIST.
    name: Arc<str>,
    doors: Arc<StdMutex<BTreeMap<NodeAddr, Arc<Door>>>>,
}

/// What keeps a leader's connections warm. Dropping it ends that, and closes them.
pub(super) struct Keepers<C> {
    links: AdminLinks<C>,
    term: Option<Term>,
    nodes: Vec<NodeAddr>,
    tasks: JoinSet<()>,
}

// Derived, it would ask for `C: Clone`.
impl<C> Clone for AdminLinks<C> {
    fn clone(&self) -> Self {
        Self {
            campaign: self.campaign.clone(),
            names: self.names.clone(),
            credentials: self.credentials.clone(),
            mark: self.mark.clone(),
            name: self.name.clone(),
            doors: self.doors.clone(),
        }
    }
}

/// Where one node is entered, by one visitor at a time.
#[derive(Debug, Default)]
struct Door {
    /// How many wait to enter: the keeper steps aside for them.
    visitors: watch::Sender<usize>,
    link: Arc<Mutex<Option<AdminLink>>>,
}

/// A fenced connection.
#[derive(Debug)]
struct AdminLink {
    link: RedisLink,
    term: Term,
    number: u64,
}

/// A fenced connection that nobody else uses meanwhile.
#[derive(Debug)]
pub(super) struct Entered(OwnedMappedMutexGuard<Option<AdminLink>, AdminLink>);

impl Entered {
    /// Which connection it is: no other ever has this number.
    pub(super) fn number(&self) -> u64 {
        self.0.number
    }
}

impl Deref for Entered {
    type Target = RedisLink;

    fn deref(&self) -> &RedisLink {
        &self.0.link
    }
}

impl DerefMut for Entered {
    fn deref_mut(&mut self) -> &mut RedisLink {
        &mut self.0.link
    }
}

impl<C: Campaign> Keepers<C> {
    /// Those of `links`; nothing is kept yet.
    pub(super) fn of(links: AdminLinks<C>) -> Self {
        Self { links, term: None, nodes: Vec::new(), tasks: JoinSet::new() }
    }

    /// Keeps connections to `nodes` for as long as this monitor leads in the present term.
    pub(super) fn keep(&mut self, leadership: Leadership, nodes: Vec<NodeAddr>) {
        let term = match leadership {
            Leadership::Leading(term) => Some(term),
            // The same term may go on.
            Leadership::Suspended => self.term,
            Leadership::Following => None,
        };
        if (self.term, &self.nodes) == (term, &nodes) {
            return;
        }
        let same = self.term == term;
        self.links.lock().retain(|node, _| same && nodes.contains(node));
        (self.term, self.nodes) = (term, nodes);
        self.tasks.abort_all();
        while self.tasks.try_join_next().is_some() {}
        let Some(term) = term else { return };
        for node in self.nodes.clone() {
            let links = self.links.clone();
            self.tasks.spawn(async move { links.keep_warm(&node, term).await });
        }
    }
}

impl<C: Campaign> AdminLinks<C> {
    /// The connections of monitor `id`, which stands in `campaign` for the lead of `group`.
    pub(super) fn new(
        campaign: Arc<C>,
        names: Names,
        credentials: Credentials,
        (group, id): (&str, &str),
    ) -> Self {
        let mark = format!(":admin:{}:", printable(group));
        let name = format!("redis-failover:{}{mark}", printable(id));
        Self { campaign, names, credentials, mark: mark.into(), name: name.into(), doors: Arc::default() }
    }

    /// What comes of a visit to a node that answers others, within `limit`.
    ///
    /// Where it takes longer the connection is used no more: after packets were lost TCP may rest for as long again
    /// before it goes on. The next one that is opened ends it.
    ///
    /// # Errors
    /// The visit's, and [`AdminError::Late`].
    pub(super) async fn within<T>(
        &self,
        limit: Duration,
        node: &NodeAddr,
        visit: impl Future<Output = Result<T, AdminError>>,
    ) -> Result<T, AdminError> {
        if let Ok(outcome) = timeout(limit, visit).await {
            return outcome;
        }
        // Where somebody is there he finds out himself.
        if let Ok(mut link) = self.door(node).link.try_lock() {
            *link = None;
        }
        Err(AdminError::Late)
    }

    /// The connection to `node` in `term`, which is opened where it does not stand.
    ///
    /// # Errors
    /// See [`AdminError`]; nothing was commanded.
    pub(super) async fn enter(&self, node: &NodeAddr, term: Term) -> Result<Entered, AdminError> {
        if !self.campaign.holds(term) {
            return Err(AdminError::Deposed);
        }
        let door = self.door(node);
        let _visitor = Visitor::of(&door);
        let mut link = door.link.clone().lock_owned().await;
        if !self.stands(node, term, link.as_ref()) {
            // Dropped first: a server with few connections left has room for the new one then.
            *link = None;
            *link = Some(self.open(node, term).await?);
        }
        let entered = OwnedMutexGuard::try_map(link, Option::as_mut).map_err(|_| AdminError::Deposed)?;
        Ok(Entered(entered))
    }

    /// Keeps the connection open, but for when a visitor opens it.
    async fn keep_warm(&self, node: &NodeAddr, term: Term) {
        let door = self.door(node);
        let mut visitors = door.visitors.subscribe();
        loop {
            let ended = {
                let mut link = door.link.lock().await;
                if !self.stands(node, term, link.as_ref()) {
                    *link = None;
                    tokio::select! {
                        biased;
                        // The door lives for as long as this does.
                        _ = visitors.wait_for(|waiting| *waiting > 0) => {}
                        opened = self.open(node, term) => match opened {
                            Ok(opened) => *link = Some(opened),
                            Err(error) => tracing::debug!(%node, "no connection to command it: {error}"),
                        },
                    }
                }
                link.as_ref().map(|link| link.link.end())
            };
            match ended {
                Some(ended) => ended.await,
                None => sleep(REST).await,
            }
        }
    }

    fn stands(&self, node: &NodeAddr, term: Term, link: Option<&AdminLink>) -> bool {
        link.is_some_and(|it| {
            it.term == term && !it.link.is_ended() && self.names.leads_to(node, it.link.peer())
        })
    }

    /// Opens a connection: named, listed, confirmed, and then the only one of its kind.
    async fn open(&self, node: &NodeAddr, term: Term) -> Result<AdminLink, AdminError> {
        let name = format!("{}{term}", self.name);
        let way = (node, Way::Beside);
        let mut link = RedisLink::open(way, &self.names, &self.credentials, &name, LIMITS).await?;
        let others = redis_admin::other_leaders(&mut link, &name, &self.mark).await?;
        // Those that were listed were there before this: none of them is a later leader's.
        self.campaign.confirm(term).await.map_err(AdminError::Unconfirmed)?;
        redis_admin::end(&mut link, &others).await?;
        Ok(AdminLink { link, term, number: OPENED.fetch_add(1, Ordering::Relaxed) })
    }

    fn door(&self, node: &NodeAddr) -> Arc<Door> {
        self.lock().entry(node.clone()).or_default().clone()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<NodeAddr, Arc<Door>>> {
        // Whole between any two statements.
        self.doors.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One who waits at a door, until this is dropped.
struct Visitor<'a>(&'a Door);

impl<'a> Visitor<'a> {
    fn of(door: &'a Door) -> Self {
        door.visitors.send_modify(|waiting| *waiting += 1);
        Self(door)
    }
}

impl Drop for Visitor<'_> {
    fn drop(&mut self) {
        self.0.visitors.send_modify(|waiting| *waiting -= 1);
    }
}

/// As Redis allows it in a connection's name.
fn printable(name: &str) -> String {
    name.chars().map(|letter| if letter.is_ascii_graphic() { letter } else { '_' }).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use redis_failover_core::Evidence;
    use redis_failover_lab::Redis;
    use redis_failover_store::{Embedded, EmbeddedCampaign, EmbeddedSession, Store};

    use super::*;

    /// Longer than anything here takes, even on a busy machine.
    const LONG: Duration = Duration::from_secs(20);

    /// A monitor that leads, or waits to.
    struct Candidate {
        links: AdminLinks<EmbeddedCampaign>,
        session: EmbeddedSession,
    }

    impl Candidate {
        fn new(store: &Embedded, id: &str) -> Self {
            let session = store.session();
            let group = session.group(&"/g".parse().expect("a path"));
            let campaign = Arc::new(group.campaign(&id.parse().expect("an id"), None));
            let links = AdminLinks::new(campaign, Names::default(), Credentials::default(), ("g", id));
            Self { links, session }
        }

        async fn term(&self) -> Term {
            let mut leadership = self.links.campaign.leadership();
            let leads = async {
                loop {
                    if let Leadership::Leading(term) = leadership.next().await {
                        return term;
                    }
                }
            };
            timeout(LONG, leads).await.expect("it leads")
        }

        /// Its session ends, and it has not been told: as if it stood still.
        fn depose(&self, store: &Embedded) {
            store.meddle(|model| model.expire(self.session.id()));
        }
    }

    async fn read(links: &AdminLinks<EmbeddedCampaign>, node: &NodeAddr, term: Term) -> Evidence {
        let mut link = links.enter(node, term).await.expect("it is entered");
        redis_admin::look(&mut link).await.expect("it answers")
    }

    /// It looked whether it leads, and stood still before it sent its command: the next leader came between.
    #[tokio::test]
    async fn a_leader_that_stood_still_between_its_last_look_and_its_command_changes_nothing() {
        let (redis, store) = (Redis::start(), Embedded::new());
        let node: NodeAddr = redis.addr().parse().expect("an address");
        let (first, second) = (Candidate::new(&store, "m1"), Candidate::new(&store, "m2"));
        let mut late = first.links.enter(&node, first.term().await).await.expect("it leads");
        let looked = || true;
        first.depose(&store);
        let term = second.term().await;
        let before = read(&second.links, &node, term).await;
        assert!(redis_admin::freeze(&mut late, &looked, true, false).await.is_err());
        assert!(redis_admin::promote(&mut late, &looked, true, false).await.is_err());
        assert_eq!(read(&second.links, &node, term).await, before);
    }

    #[tokio::test]
    async fn who_was_deposed_before_it_was_listed_is_not_let_in() {
        let (redis, store) = (Redis::start(), Embedded::new());
        let node: NodeAddr = redis.addr().parse().expect("an address");
        let first = Candidate::new(&store, "m1");
        let term = first.term().await;
        first.depose(&store);
        let refused = first.links.enter(&node, term).await.expect_err("it leads no more");
        assert!(matches!(refused, AdminError::Deposed), "{refused}");
        // As if it had stood still after that look.
        let refused = first.links.open(&node, term).await.expect_err("it leads no more");
        assert!(matches!(refused, AdminError::Unconfirmed(_)), "{refused}");
    }

    /// What an own connection has sent that was given up may still be on its way.
    #[tokio::test]
    async fn an_older_connection_of_the_same_term_is_ended_too_and_other_groups_are_left_alone() {
        let (redis, store) = (Redis::start(), Embedded::new());
        let node: NodeAddr = redis.addr().parse().expect("an address");
        let candidate = Candidate::new(&store, "m1");
        let term = candidate.term().await;
        let other = AdminLinks {
            mark: ":admin:h:".into(),
            name: "redis-failover:m1:admin:h:".into(),
            doors: Arc::default(),
            ..candidate.links.clone()
        };
        let again = AdminLinks { doors: Arc::default(), ..candidate.links.clone() };
        let of_another_group = other.enter(&node, term).await.expect("it leads");
        let older = candidate.links.enter(&node, term).await.expect("it leads");
        let newer = again.enter(&node, term).await.expect("it leads");
        timeout(LONG, older.end()).await.expect("it is ended");
        assert!(!newer.is_ended() && !of_another_group.is_ended());
        drop(older);
        let reopened = candidate.links.enter(&node, term).await.expect("another is opened");
        assert!(reopened.number() > newer.number());
    }

    #[tokio::test]
    async fn a_connection_is_kept_warm_and_a_visitor_does_not_wait_for_its_keeper() {
        let (mut redis, store) = (Redis::start(), Embedded::new());
        let node: NodeAddr = redis.addr().parse().expect("an address");
        let candidate = Candidate::new(&store, "m1");
        let term = candidate.term().await;
        let mut keepers = Keepers::of(candidate.links.clone());
        keepers.keep(Leadership::Leading(term), vec![node.clone()]);
        let door = candidate.links.door(&node);
        let warm = async {
            // The keeper holds the door for as long as it opens.
            while door.link.lock().await.is_none() {
                tokio::task::yield_now().await;
            }
        };
        timeout(LONG, warm).await.expect("it is opened though nobody asked for it");
        let link = candidate.links.enter(&node, term).await.expect("it leads");
        redis.stop();
        let ended = link.end();
        drop(link);
        // The server that stands still lets nobody in: the keeper waits for it, and so does a visitor, not in a row.
        candidate.links.door(&node).link.lock().await.take();
        timeout(LONG, ended).await.expect("it was closed");
        let entering = timeout(Duration::from_millis(300), candidate.links.enter(&node, term)).await;
        assert!(entering.is_err(), "it stands still");
        redis.cont();
        timeout(LONG, candidate.links.enter(&node, term)).await.expect("in time").expect("it goes on");
        let entered = candidate.links.enter(&node, term).await.expect("it leads");
        let (number, ended) = (entered.number(), entered.end());
        let hangs = async {
            let _entered = entered;
            std::future::pending().await
        };
        let late: Result<(), _> = candidate.links.within(Duration::from_millis(10), &node, hangs).await;
        assert!(matches!(late, Err(AdminError::Late)), "{late:?}");
        timeout(LONG, ended).await.expect("a connection over which a visit was late is closed");
        let another = candidate.links.enter(&node, term).await.expect("it leads");
        assert!(another.number() > number, "and nobody uses it again");
        drop(another);
        keepers.keep(Leadership::Following, vec![node.clone()]);
        assert!(candidate.links.lock().is_empty(), "who does not lead keeps nothing");
        redis.kill();
    }
}
