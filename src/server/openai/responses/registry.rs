//! The responses of the daemon: those that run, and those that are stored.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::SetOnce;
use tokio_util::sync::CancellationToken;

use crate::domain::AccountId;

use super::items::ResponseItem;
use super::object::ResponseFacts;
use super::store::{ResponseStore, StoredTurn};

/// All responses that clients can refer to.
#[derive(Debug, Default)]
pub(in crate::server) struct Responses {
    pub(super) store: ResponseStore,
    running: Mutex<HashMap<String, RunningResponse>>,
}

/// A response that is being generated.
#[derive(Debug, Clone)]
struct RunningResponse {
    account: AccountId,
    /// What its account may retrieve; `None` if the response is not to be stored.
    shown: Option<ShownResponse>,
    cancelled: CancellationToken,
    ended: Arc<SetOnce<Arc<str>>>,
}

/// What can be retrieved of a response while it runs.
#[derive(Debug, Clone)]
pub(super) struct ShownResponse {
    pub(super) facts: Arc<ResponseFacts>,
    /// The turns before it.
    pub(super) turns: Vec<Arc<StoredTurn>>,
    pub(super) input: Arc<Vec<ResponseItem>>,
}

/// Keeps a response in the table of those that run, until it is dropped.
#[derive(Debug)]
pub(super) struct RunningGuard {
    responses: Arc<Responses>,
    id: String,
    response: RunningResponse,
}

impl Responses {
    /// Adds a response that begins.
    pub(super) fn begin(
        self: &Arc<Self>,
        id: &str,
        account: AccountId,
        shown: Option<ShownResponse>,
    ) -> RunningGuard {
        let cancelled = CancellationToken::new();
        let response = RunningResponse { account, shown, cancelled, ended: Arc::default() };
        self.lock().insert(id.to_owned(), response.clone());
        RunningGuard { responses: self.clone(), id: id.to_owned(), response }
    }

    /// What can be retrieved of a response of `account` that runs.
    pub(super) fn running(&self, id: &str, account: AccountId) -> Option<ShownResponse> {
        let responses = self.lock();
        responses.get(id).filter(|running| running.account == account)?.shown.clone()
    }

    /// Cancels a running response of `account`. The future gives the response in JSON, or `None` if
    /// it ended without one. Returns `None` if there is none.
    pub(super) fn cancel(
        &self,
        id: &str,
        account: AccountId,
    ) -> Option<impl Future<Output = Arc<str>> + Send + use<>> {
        let running = self.lock().get(id).filter(|running| running.account == account).cloned()?;
        running.cancelled.cancel();
        Some(async move { running.ended.wait().await.clone() })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, RunningResponse>> {
        // The table is valid after every statement, so a panic cannot have broken it.
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl RunningGuard {
    /// Waits until somebody cancels the response.
    pub(super) async fn cancelled(&self) {
        self.response.cancelled.cancelled().await;
    }

    /// Tells those who wait how the response ended.
    pub(super) fn ended(&self, json: Arc<str>) {
        // Fails if it ended before, which it does once.
        let _ = self.response.ended.set(json);
    }
}

impl Drop for RunningGuard {
    fn drop(&mut self) {
        self.responses.lock().remove(&self.id);
        // Whoever waits gets an answer, even if the response never ended.
        self.ended("{}".into());
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[test]
    fn running_response_is_cancelled_by_its_account_only() {
        let responses = Arc::new(Responses::default());
        let guard = responses.begin("a", AccountId(1), None);
        assert!(responses.cancel("a", AccountId(2)).is_none());
        assert!(guard.cancelled().now_or_never().is_none());
        let ended = responses.cancel("a", AccountId(1)).unwrap();
        assert!(guard.cancelled().now_or_never().is_some());
        guard.ended("x".into());
        drop(guard);
        assert_eq!(ended.now_or_never().as_deref(), Some("x"));
        assert!(responses.cancel("a", AccountId(1)).is_none());
    }
}
