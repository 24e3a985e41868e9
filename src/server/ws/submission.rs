//! Hands a request to the engine, which tokenizes the prompt on the calling thread.
//!
//! The time of tokenizing is proportional to the length of the prompt, and a chat template can take
//! longer. So a short prompt is tokenized on the reader's task, a long prompt or a chat on a
//! blocking thread, while the reader continues to read pings and aborts. Each connection submits
//! one long prompt or chat at a time. At the next one the reader waits and reads nothing, not even
//! an abort. A connection therefore holds at most two such messages: the one being submitted, and
//! the one that its reader waits to submit.

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio_util::sync::CancellationToken;

use crate::domain::{Refusal, Request};
use crate::engine::Notifier;
use crate::protocol::{ErrorFrame, RequestId};
use crate::server::shared::Shared;

use super::in_flight::InFlight;
use super::log::{log_cancelled, log_refused};
use super::reply::Reply;
use super::request::ActiveRequest;

/// A request that is in the table of requests in flight but has not been handed to the engine.
pub(super) struct Submission {
    pub(super) request: Request,
    pub(super) id: Option<RequestId>,
    /// When its frame was read.
    pub(super) received: Instant,
    pub(super) notifier: Arc<Notifier>,
    pub(super) in_flight: Arc<InFlight>,
}

impl Submission {
    /// Submits the request to the engine. The writer must handle the returned reply.
    pub(super) fn submit(self, shared: &Shared) -> Reply {
        let Self { request, id, received, notifier, in_flight } = self;
        match shared.engine.submit(request, received, notifier, in_flight.is_single()) {
            Ok(ticket) => {
                in_flight.set_accepted(&id, ticket.canceller());
                Reply::Accepted(Box::new(ActiveRequest::new(id, ticket)))
            }
            Err(refusal) => refused(id, ErrorFrame::from(refusal)),
        }
    }

    /// Submits the request on a blocking thread, once the server has a permit for one more long
    /// prompt, and sends the reply to the writer. `connection_permit` is the connection's permit
    /// for a long prompt; it is held until the thread is done.
    pub(super) async fn submit_in_background(
        self,
        shared: Arc<Shared>,
        replies: mpsc::Sender<Reply>,
        closed: CancellationToken,
        connection_permit: OwnedSemaphorePermit,
    ) {
        let id = self.id.clone();
        let permit = closed.run_until_cancelled(shared.long_prompts.clone().acquire_owned()).await;
        let Some(Ok(server_permit)) = permit else { return log_cancelled(id.as_ref()) };
        let counts = shared.clone();
        let span = tracing::Span::current();
        let thread = tokio::task::spawn_blocking(move || {
            // Held while the thread computes, even if the connection has closed.
            let _permits = (server_permit, connection_permit);
            span.in_scope(|| self.submit(&shared))
        });
        let reply = thread.await.unwrap_or_else(|error| {
            tracing::error!("tokenizing a prompt failed: {error}");
            let error = ErrorFrame::from(Refusal::EngineFailed);
            counts.refusals.count(error.code());
            refused(id, error)
        });
        // Fails if the connection has closed. The reply's ticket is then dropped, which cancels the
        // request.
        let _ = replies.send(reply).await;
    }
}

/// Logs a refused request and returns the reply for it.
fn refused(id: Option<RequestId>, error: ErrorFrame) -> Reply {
    let error = error.for_request(id.clone());
    log_refused(&error);
    Reply::Refused(Box::new((id, error)))
}
