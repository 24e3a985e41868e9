//! The way of one request from its frame to the engine.
//!
//! Tokenising takes time in proportion to the prompt. A short one is done on the spot; a long one
//! on a thread of its own, while the reader goes on answering pings and hearing aborts. One long
//! prompt of a connection is in the making at a time, so a connection holds at most two messages:
//! that one, and the one its reader waits with.

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio_util::sync::CancellationToken;

use crate::domain::{Refusal, Request};
use crate::engine::Notifier;
use crate::protocol::{ErrorFrame, RequestId};

use super::in_flight::InFlight;
use super::shared::Shared;
use super::writer::{Reply, Running, log_left, log_refused};

/// A message up to this size is tokenised on the spot: 16 KiB take about 5 ms.
pub(super) const SHORT_BYTES: usize = 16 * 1024;

/// A request that is entered in [`InFlight`] and not yet with the engine.
pub(super) struct Submission {
    pub(super) request: Request,
    pub(super) id: Option<RequestId>,
    /// When its frame was read.
    pub(super) received: Instant,
    pub(super) notifier: Arc<Notifier>,
    pub(super) in_flight: Arc<InFlight>,
}

impl Submission {
    /// Hands it to the engine; the reply is the writer's to send.
    pub(super) fn submit(self, shared: &Shared) -> Reply {
        let Self { request, id, received, notifier, in_flight } = self;
        match shared.engine.submit(request, received, notifier, in_flight.is_single()) {
            Ok(ticket) => {
                in_flight.accepted(&id, ticket.canceller());
                Reply::Accepted(Box::new(Running::new(id, ticket)))
            }
            Err(refusal) => refused(id, refusal),
        }
    }

    /// The same on a thread of its own, as soon as one may be used. `turn` is this connection's
    /// right to have a long prompt in the making.
    pub(super) async fn submit_apart(
        self,
        shared: Arc<Shared>,
        replies: mpsc::Sender<Reply>,
        gone: CancellationToken,
        turn: OwnedSemaphorePermit,
    ) {
        let id = self.id.clone();
        let permit = gone.run_until_cancelled(shared.long_prompts.clone().acquire_owned()).await;
        let Some(Ok(permit)) = permit else { return log_left(id.as_ref()) };
        let engine = shared.engine.clone();
        let span = tracing::Span::current();
        let thread = tokio::task::spawn_blocking(move || {
            // Both are held as long as the thread computes, whether or not anybody waits for it.
            let _rights = (permit, turn);
            span.in_scope(|| self.submit(&shared))
        });
        let reply = thread.await.unwrap_or_else(|error| {
            tracing::error!("tokenising a prompt failed: {error}");
            engine.count_refused(Refusal::EngineFailed.code());
            refused(id, Refusal::EngineFailed)
        });
        // A connection that is gone wants no reply; a ticket in it is dropped and so cancelled.
        let _ = replies.send(reply).await;
    }
}

fn refused(id: Option<RequestId>, refusal: Refusal) -> Reply {
    let error = ErrorFrame::from(refusal).about(id.clone());
    log_refused(&error);
    Reply::Refused(Box::new((id, error)))
}
