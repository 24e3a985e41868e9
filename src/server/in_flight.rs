//! The requests of one connection that have not ended, by name.
//!
//! The reader enters a request before it is submitted, so that a frame right behind it finds it;
//! the writer strikes it out just before its terminal frame goes to the socket, so that a client
//! that has read the frame may use the name again.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::engine::Canceller;
use crate::protocol::{Code, ErrorFrame, RequestId};

/// Requests that one connection may have at a time. More than any person or agent has going, and
/// little enough that a single connection cannot fill the queue by itself for long.
const MAX_REQUESTS: usize = 64;

/// The requests of one connection. `None` names the one that has no name.
#[derive(Debug, Default)]
pub(super) struct InFlight(Mutex<HashMap<Option<RequestId>, Stage>>);

#[derive(Debug)]
enum Stage {
    /// On its way to the engine.
    Submitting { is_aborted: bool },
    /// With the engine.
    Accepted(Canceller),
}

impl InFlight {
    /// Enters a request.
    ///
    /// # Errors
    /// The `error` frame, where the name is taken or there are too many.
    pub(super) fn enter(&self, id: Option<RequestId>) -> Result<(), ErrorFrame> {
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
            return Err(error.about(id));
        }
        if requests.len() >= MAX_REQUESTS {
            return Err(ErrorFrame::too_many_requests(MAX_REQUESTS).about(id));
        }
        requests.insert(id, Stage::Submitting { is_aborted: false });
        Ok(())
    }

    /// The engine has accepted it; an abort that came meanwhile takes effect.
    pub(super) fn accepted(&self, id: &Option<RequestId>, canceller: Canceller) {
        if let Some(stage) = self.lock().get_mut(id) {
            if matches!(stage, Stage::Submitting { is_aborted: true }) {
                canceller.cancel();
            }
            *stage = Stage::Accepted(canceller);
        }
    }

    /// It has ended.
    pub(super) fn strike(&self, id: &Option<RequestId>) {
        self.lock().remove(id);
    }

    /// Stops the request `id`, or all where that is `None`; false if there is nothing to stop.
    pub(super) fn abort(&self, id: &Option<RequestId>) -> bool {
        let mut requests = self.lock();
        if id.is_none() {
            requests.values_mut().for_each(Stage::abort);
            return !requests.is_empty();
        }
        requests.get_mut(id).map(Stage::abort).is_some()
    }

    /// Whether there is one and no other.
    pub(super) fn is_single(&self) -> bool {
        self.lock().len() == 1
    }

    /// Whether nothing runs.
    pub(super) fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Option<RequestId>, Stage>> {
        // The map is valid after every statement; a panic elsewhere cannot have broken it.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Stage {
    fn abort(&mut self) {
        match self {
            Self::Submitting { is_aborted } => *is_aborted = true,
            Self::Accepted(canceller) => canceller.cancel(),
        }
    }
}
