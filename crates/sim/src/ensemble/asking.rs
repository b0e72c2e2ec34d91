//! What operators leave for the leader. Their session is never lost.

use redis_failover_core::{Request, RequestId};

use super::Ensemble;

impl Ensemble {
    /// Leaves a request.
    pub(crate) fn ask(&mut self, request: &Request) -> Option<RequestId> {
        self.model.ask(self.observer, &self.group, request)
    }

    /// Takes it back.
    pub(crate) fn take_back(&mut self, request: RequestId) {
        self.model.take_back(&self.group, request);
    }

    /// Whether nobody has answered it yet.
    pub(crate) fn is_open(&self, request: RequestId) -> bool {
        self.model.requests(&self.group).contains_key(&request)
    }
}
