//! A request that waits for its answer in the embedded store. It answers nothing itself.

use redis_failover_core::{Answer, RequestId};
use tokio::sync::watch;

use super::Shared;
use crate::{GroupPath, StoreError};

/// A request that stands until this is dropped.
pub(super) struct Asked<'a> {
    pub(super) shared: &'a Shared,
    pub(super) group: &'a GroupPath,
    pub(super) id: RequestId,
}

impl Asked<'_> {
    /// Its answer; it is looked for whenever there is `news`.
    pub(super) async fn answered(self, mut news: watch::Receiver<()>) -> Result<Answer, StoreError> {
        loop {
            if let Some(answer) = self.shared.lock().model.answer_of(self.group, self.id)? {
                return Ok(answer);
            }
            if news.changed().await.is_err() {
                return Err(StoreError::Closed);
            }
        }
    }
}

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        self.shared.change(|model, _| model.take_back(self.group, self.id));
    }
}
