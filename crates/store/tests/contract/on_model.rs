//! The cases' store as a plain struct. Its sessions attend whenever somebody looks, and never before: what a session
//! does in between it does with what it knew.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fmt::Debug;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use redis_failover_core::{
    Answer, Entry, Instant as Moment, Leadership, MonitorId, Report, Request, RequestId, Requests, Term,
    Topology, Version,
};
use redis_failover_store::model::{CampaignId, Model, SessionId, Stat};
use redis_failover_store::{
    CommitError, Contact, Glance, GroupPath, Leader, Recorded, SeenReport, Sight, StoreError,
};

use super::subject::{Asked, Candidate, Group, Reports, Shows, Subject};
use super::world::path;

#[derive(Clone)]
pub(crate) struct OnModel(Rc<RefCell<World>>);

struct World {
    model: Model,
    now: Moment,
    /// When every report was seen: the model reads no clock.
    seen_at: Instant,
}

impl OnModel {
    fn with<T>(&self, work: impl FnOnce(&mut Model, Moment) -> T) -> T {
        let world = &mut *self.0.borrow_mut();
        work(&mut world.model, world.now)
    }

    fn shows<T>(&self, look: impl Fn(&mut Model) -> T + 'static) -> View<T> {
        View { world: self.clone(), look: Box::new(look), seen: None }
    }
}

impl Subject for OnModel {
    type Session = SessionId;
    type Group = ModelGroup;

    async fn start() -> Self {
        Self(Rc::new(RefCell::new(World {
            model: Model::default(),
            now: Moment::from_millis(0),
            seen_at: Instant::now(),
        })))
    }

    fn open(&self, _: Duration) -> SessionId {
        self.with(|model, _| model.open())
    }

    async fn close(&self, session: &SessionId) {
        self.with(|model, _| model.close(*session));
    }

    fn group(&self, session: &SessionId, group: &str) -> ModelGroup {
        ModelGroup { world: self.clone(), session: *session, group: path(group) }
    }

    fn cut(&mut self, session: &SessionId) {
        self.with(|model, _| model.disconnect(*session));
    }

    async fn expire(&mut self, session: &SessionId) {
        self.with(|model, _| model.expire(*session));
    }

    fn mend(&mut self, session: &SessionId) {
        self.with(|model, _| model.reconnect(*session));
    }

    async fn put(&self, znode: &str, data: &str) {
        self.with(|model, _| model.put(znode, data.as_bytes()));
    }

    async fn delete(&self, znode: &str) {
        self.with(|model, _| model.delete(znode));
    }

    async fn get(&self, znode: &str) -> Option<(String, Stat)> {
        let text = |(data, stat): (&[u8], Stat)| (String::from_utf8(data.to_owned()).unwrap(), stat);
        self.with(|model, _| model.get(znode).map(text))
    }

    async fn children(&self, znode: &str) -> Vec<String> {
        self.with(|model, _| model.children(znode))
    }

    fn transaction(&self) -> i64 {
        self.with(|model, _| model.transaction())
    }
}

pub(crate) struct ModelGroup {
    world: OnModel,
    session: SessionId,
    group: GroupPath,
}

impl Group for ModelGroup {
    type Campaign = ModelCampaign;

    fn record(&self) -> impl Shows<Sight> + use<> {
        let (session, group) = (self.session, self.group.clone());
        self.world.shows(move |model| {
            let read = model.look(session, &group);
            Sight { read: read.map(|read| read.map_err(Arc::new)), at: None }
        })
    }

    /// Every look here is a fresh one.
    fn reread(&self) {}

    fn published(&self) -> impl Shows<Glance> + use<> {
        let group = self.group.clone();
        self.world.shows(move |model| model.publication(&group))
    }

    fn reports(&self) -> impl Shows<Reports> + use<> {
        let (group, seen_at) = (self.group.clone(), self.world.0.borrow().seen_at);
        self.world.shows(move |model| {
            let seen = |(id, (report, order))| (id, SeenReport { report, order, seen_at });
            Arc::new(model.reports(&group).into_iter().map(seen).collect())
        })
    }

    fn publish(&self, report: Report) {
        self.world.with(|model, now| model.publish(self.session, &self.group, report, now));
    }

    fn requests(&self) -> impl Shows<Arc<Requests>> + use<> {
        let group = self.group.clone();
        self.world.shows(move |model| Arc::new(model.requests(&group)))
    }

    fn leave(&self, request: &Request) -> impl Asked + use<> {
        let id = self.world.with(|model, _| model.ask(self.session, &self.group, request)).unwrap();
        ModelRequest { world: self.world.clone(), group: self.group.clone(), id }
    }

    fn predecessors(&self) -> impl Shows<Option<Arc<Vec<String>>>> + use<> {
        self.world.shows(|model| Some(Arc::new(model.predecessors())))
    }

    fn withdraw(&self) {
        self.world.with(|model, _| model.withdraw(self.session, &self.group));
    }

    async fn remaining(&self, me: &MonitorId) -> BTreeSet<MonitorId> {
        let standing = self.world.with(|model, now| {
            model.settle(now);
            model.remaining(&self.group)
        });
        assert!(!standing.contains(me), "nothing happens by itself: if not now, then never");
        standing
    }

    async fn history(&self) -> Vec<Recorded> {
        self.world.with(|model, _| model.history(&self.group))
    }

    fn campaign(&self, me: &MonitorId, contact: Option<&Contact>) -> ModelCampaign {
        let id = self.world.with(|model, _| model.campaign(self.session, &self.group, me, contact));
        ModelCampaign { world: self.world.clone(), group: self.group.clone(), id }
    }
}

struct ModelRequest {
    world: OnModel,
    group: GroupPath,
    id: RequestId,
}

impl Asked for ModelRequest {
    async fn answer(&mut self) -> Result<Answer, StoreError> {
        let answer = self.world.with(|model, _| model.answer_of(&self.group, self.id))?;
        Ok(answer.expect("nothing happens by itself: if not now, then never"))
    }
}

impl Drop for ModelRequest {
    fn drop(&mut self) {
        self.world.with(|model, _| model.take_back(&self.group, self.id));
    }
}

pub(crate) struct ModelCampaign {
    world: OnModel,
    group: GroupPath,
    id: CampaignId,
}

impl Candidate for ModelCampaign {
    fn leadership(&self) -> impl Shows<Leadership> + use<> {
        let id = self.id;
        self.world.shows(move |model| model.leadership(id))
    }

    fn leader(&self) -> impl Shows<Option<Leader>> + use<> {
        let id = self.id;
        self.world.shows(move |model| model.leader(id).cloned())
    }

    async fn depose(&self, term: Term) {
        self.world.with(|model, _| model.depose(&self.group, term));
    }

    fn holds(&self, term: Term) -> bool {
        self.world.with(|model, _| model.leadership(self.id)) == Leadership::Leading(term)
    }

    async fn commit_with(
        &self,
        term: Term,
        expected: Version,
        record: &Topology,
        entry: Option<&Entry>,
    ) -> Result<Version, CommitError> {
        self.world.with(|model, _| model.commit(self.id, term, expected, record, entry))
    }

    async fn amend(&self, term: Term, entry: &Entry) -> Result<(), CommitError> {
        self.world.with(|model, _| model.amend(self.id, term, entry))
    }

    async fn confirm(&self, term: Term) -> Result<(), CommitError> {
        self.world.with(|model, _| model.confirm(self.id, term))
    }

    async fn answer(&self, term: Term, request: RequestId, answer: &Answer) -> Result<(), CommitError> {
        self.world.with(|model, _| model.answer(self.id, term, request, answer))
    }

    fn stand(&self, stands: bool) {
        self.world.with(|model, _| model.stand(self.id, stands));
    }

    async fn resign(&self) {
        self.world.with(|model, _| model.resign(self.id));
    }
}

impl Drop for ModelCampaign {
    fn drop(&mut self) {
        self.world.with(|model, _| model.resign(self.id));
    }
}

/// Something of the model that is looked at anew each time.
struct View<T> {
    world: OnModel,
    look: Box<dyn Fn(&mut Model) -> T>,
    seen: Option<String>,
}

impl<T: Debug> Shows<T> for View<T> {
    fn latest(&self) -> T {
        self.world.with(|model, now| {
            model.settle(now);
            (self.look)(model)
        })
    }

    async fn until<U>(&mut self, what: &str, mut pick: impl FnMut(&T) -> Option<U>) -> U {
        let value = self.latest();
        self.seen = Some(format!("{value:?}"));
        // Nothing happens by itself: if not now, then never.
        pick(&value).unwrap_or_else(|| panic!("not so: {what}; it is {value:?}"))
    }

    async fn stays(&mut self, what: &str, span: Duration) {
        let now = self.world.with(|_, now| now + span);
        self.world.0.borrow_mut().now = now;
        let value = format!("{:?}", self.latest());
        assert!(self.seen.as_ref() == Some(&value), "{what}; it became {value}");
    }
}
