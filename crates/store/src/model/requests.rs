//! The requests of operators, and who else queues for the lead. It answers none by itself.

use redis_failover_core::{Answer, Leadership, Request, RequestId, Requests, Term};

use super::tree::Change;
use super::{CampaignId, Candidate, Link, Model, SessionId};
use crate::wire::{answered_bytes, parse_request, request_bytes};
use crate::znodes::{PREDECESSORS, Znodes, request_id};
use crate::{CommitError, GroupPath, StoreError};

/// Requests.
impl Model {
    /// Leaves a request for the leader of `group`, for as long as the session lives. `None` where it is not connected.
    pub fn ask(&mut self, session: SessionId, group: &GroupPath, request: &Request) -> Option<RequestId> {
        let owner = self.sessions.get(&session).filter(|session| session.link == Link::Connected)?.owner;
        let znodes = Znodes::new(group.to_string());
        self.tree.ensure(&znodes.requests);
        let data = request_bytes(request);
        let path = self.tree.create_sequential(&znodes.request_prefix(), &data, owner).ok()?;
        request_id(path.rsplit('/').next()?)
    }

    /// The request's answer, if it has one.
    ///
    /// # Errors
    /// Where the request is gone.
    pub fn answer_of(&self, group: &GroupPath, request: RequestId) -> Result<Option<Answer>, StoreError> {
        let znode = Znodes::new(group.to_string()).request(request);
        match self.tree.get(&znode) {
            Some((bytes, _)) => Ok(parse_request(bytes).1),
            None => Err(StoreError::Failed { znode, why: "the request is gone".to_owned() }),
        }
    }

    /// Takes the request back, answered or not.
    pub fn take_back(&mut self, group: &GroupPath, request: RequestId) {
        let path = Znodes::new(group.to_string()).request(request);
        // It may have vanished with its session.
        let _ = self.tree.transact(&[Change::Delete { path: &path }]);
    }

    /// The requests that nobody has answered yet.
    pub fn requests(&self, group: &GroupPath) -> Requests {
        let znodes = Znodes::new(group.to_string());
        let open = |name: &String| {
            let id = request_id(name)?;
            let (bytes, _) = self.tree.get(&znodes.request(id))?;
            let (request, answer) = parse_request(bytes);
            answer.is_none().then_some((id, request))
        };
        self.tree.children(&znodes.requests).iter().filter_map(open).collect()
    }

    /// Answers a request if the campaign leads in `term`.
    ///
    /// # Errors
    /// [`CommitError::Fenced`]; [`CommitError::Conflict`] where it is answered or gone.
    pub fn answer(
        &mut self,
        campaign: CampaignId,
        term: Term,
        request: RequestId,
        answer: &Answer,
    ) -> Result<(), CommitError> {
        let leads = |candidate: &&Candidate| candidate.leadership == Leadership::Leading(term);
        let candidate = self.campaigns.get(&campaign).filter(leads).ok_or(CommitError::Fenced)?;
        let lock = candidate.lock.as_deref().ok_or(CommitError::Fenced)?;
        let path = Znodes::new(candidate.group.to_string()).request(request);
        let (bytes, _) = self.tree.get(&path).ok_or(CommitError::Conflict)?;
        let data = answered_bytes(bytes, answer);
        let (path, data) = (path.as_str(), data.as_slice());
        // A request is written once before it is answered.
        let transaction =
            [Change::Check { path: lock, version: 0 }, Change::Set { path, data, version: Some(0) }];
        self.tree.transact(&transaction).map(drop).map_err(|(part, _)| match part {
            0 => CommitError::Fenced,
            _ => CommitError::Conflict,
        })
    }

    /// The predecessor's monitors, as they queue for their lead.
    pub fn predecessors(&self) -> Vec<String> {
        self.tree.children(PREDECESSORS).iter().map(|name| format!("{PREDECESSORS}/{name}")).collect()
    }
}
