//! The questions about the vocabulary that a runner has not answered.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use crate::domain::{Refusal, TextReply};
use crate::runner::frames::{QueryFrame, RequestKey};

/// The table of open questions.
#[derive(Debug, Default)]
pub(super) struct Queries(Mutex<QueryTable>);

#[derive(Debug, Default)]
struct QueryTable {
    next: RequestKey,
    unsent: VecDeque<QueryFrame>,
    open: BTreeMap<RequestKey, oneshot::Sender<Result<TextReply, Refusal>>>,
}

impl Queries {
    /// Adds a question, whose key is set here. The answer never comes if the runner ends before.
    ///
    /// # Errors
    /// [`Refusal::Busy`], if there are too many.
    pub(super) fn add(
        &self,
        mut query: QueryFrame,
    ) -> Result<oneshot::Receiver<Result<TextReply, Refusal>>, Refusal> {
        let mut table = self.lock();
        // Nobody waits any more for some.
        table.open.retain(|_, answer| !answer.is_closed());
        if table.open.len() >= MAX_QUERIES {
            return Err(Refusal::Busy { queued: table.open.len() });
        }
        query.key = table.next;
        table.next += 1;
        let (answer, answered) = oneshot::channel();
        table.open.insert(query.key, answer);
        table.unsent.push_back(query);
        Ok(answered)
    }

    /// The next question to send.
    pub(super) fn take_unsent(&self) -> Option<QueryFrame> {
        let mut table = self.lock();
        loop {
            let query = table.unsent.pop_front()?;
            if table.open.get(&query.key).is_some_and(|answer| !answer.is_closed()) {
                return Some(query);
            }
        }
    }

    /// Hands the answer to who asked.
    pub(super) fn answered(&self, key: RequestKey, result: Result<TextReply, Refusal>) {
        if let Some(answer) = self.lock().open.remove(&key) {
            // Fails if nobody waits any more.
            let _ = answer.send(result);
        }
    }

    /// The runner has ended: nothing will be answered.
    pub(super) fn clear(&self) {
        let mut table = self.lock();
        table.unsent.clear();
        table.open.clear();
    }

    fn lock(&self) -> MutexGuard<'_, QueryTable> {
        // The table is valid after every statement, so a panic cannot have broken it.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Most questions that are open.
const MAX_QUERIES: usize = 64;
