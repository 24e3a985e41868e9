//! The requests of one connection that have not ended, by id.
//!
//! The reader inserts a request before it submits it, so that an `abort` in the next frame finds
//! it. The writer removes it just before its terminal frame goes to the socket, so that a client
//! that has read the frame may use the id again.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::protocol::{Code, ErrorFrame, RequestId};
use crate::runner::Canceller;
use crate::server::websockets::WebSocketPermit;

/// The table of requests in flight. The key `None` is the one request without an id.
#[derive(Debug)]
pub(super) struct InFlight {
    requests: Mutex<HashMap<Option<RequestId>, Stage>>,
    /// Learns whether the connection has requests.
    permit: Arc<WebSocketPermit>,
}

#[derive(Debug)]
enum Stage {
    /// Not yet submitted.
    Submitting { is_aborted: bool },
    /// Submitted.
    Submitted(Canceller),
}

impl InFlight {
    /// The empty table of the connection with this `permit`.
    pub(super) fn new(permit: Arc<WebSocketPermit>) -> Self {
        Self { requests: Mutex::default(), permit }
    }

    /// Inserts a request that is about to be submitted.
    ///
    /// # Errors
    /// The `error` frame to reply with, if the id is in use or the connection has too many
    /// requests.
    pub(super) fn insert(&self, id: Option<RequestId>) -> Result<(), ErrorFrame> {
        let mut requests = self.lock();
        if requests.contains_key(&id) {
            let error = match id {
                None => ErrorFrame::new(
                    Code::RequestInFlight,
                    "a request is running already: wait for its end, abort it, or give each \
                     request an id",
                ),
                Some(_) => ErrorFrame::new(
                    Code::DuplicateId,
                    "a request with this id is running already: choose another id",
                ),
            };
            return Err(error.for_request(id));
        }
        if requests.len() >= MAX_REQUESTS {
            return Err(ErrorFrame::too_many_requests(MAX_REQUESTS).for_request(id));
        }
        requests.insert(id, Stage::Submitting { is_aborted: false });
        self.permit.set_busy(true);
        Ok(())
    }

    /// Records that the request was submitted. If it was aborted in the meantime, cancels
    /// it now.
    pub(super) fn set_submitted(&self, id: &Option<RequestId>, canceller: Canceller) {
        if let Some(stage) = self.lock().get_mut(id) {
            if matches!(stage, Stage::Submitting { is_aborted: true }) {
                canceller.cancel();
            }
            *stage = Stage::Submitted(canceller);
        }
    }

    /// Removes a request that has ended or was refused.
    pub(super) fn remove(&self, id: &Option<RequestId>) {
        let mut requests = self.lock();
        requests.remove(id);
        self.permit.set_busy(!requests.is_empty());
    }

    /// Aborts the request with this id, or all requests if `id` is `None`. Returns false if there
    /// was nothing to abort.
    pub(super) fn abort(&self, id: &Option<RequestId>) -> bool {
        let mut requests = self.lock();
        if id.is_none() {
            requests.values_mut().for_each(Stage::abort);
            return !requests.is_empty();
        }
        requests.get_mut(id).map(Stage::abort).is_some()
    }

    /// Whether exactly one request is in flight.
    pub(super) fn is_single(&self) -> bool {
        self.lock().len() == 1
    }

    /// Whether no request is in flight.
    pub(super) fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Option<RequestId>, Stage>> {
        // The map is valid after every statement, so a panic elsewhere cannot have broken it.
        self.requests.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Stage {
    fn abort(&mut self) {
        match self {
            Self::Submitting { is_aborted } => *is_aborted = true,
            Self::Submitted(canceller) => canceller.cancel(),
        }
    }
}

/// Requests that one connection may have in flight. More than a person or an agent needs, and few
/// enough that one connection does not fill the queue for long.
const MAX_REQUESTS: usize = 64;
