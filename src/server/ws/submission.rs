//! Hands a request to the runner, which tokenizes the prompt.
//!
//! Each connection has one long prompt or chat with the runner that is not tokenized. At the next
//! one the reader waits and reads nothing, not even an abort. A connection therefore holds at most
//! two such messages: the one being tokenized, and the one that its reader waits to submit. The
//! runner decides whose prompt is tokenized next.

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::{Notify, OwnedSemaphorePermit, mpsc};

use crate::domain::Request;
use crate::protocol::{ErrorFrame, RequestId, Warnings};
use crate::server::access::AccountRequest;
use crate::server::budget::Charge;
use crate::server::listing::RequestSource;
use crate::server::shared::Shared;

use super::divided::DividedAnswer;
use super::in_flight::InFlight;
use super::log::log_refused;
use super::reply::Reply;
use super::request::{ActiveRequest, SubmittedRequest};

/// A request that is in the table of requests in flight but has not been handed to the runner.
pub(super) struct Submission {
    pub(super) request: Request,
    /// Counts the request for its account.
    pub(super) account_request: AccountRequest,
    /// For the list of requests.
    pub(super) source: RequestSource,
    pub(super) id: Option<RequestId>,
    /// For the request's `end` frame.
    pub(super) warnings: Warnings,
    /// Divides the answer, if the request asks for that.
    pub(super) divided: Option<Box<DividedAnswer>>,
    /// For the memory that the request takes.
    pub(super) charge: Charge,
    /// When its frame was read.
    pub(super) received: Instant,
    /// Wakes the writer when the runner has delivered something.
    pub(super) deliveries: Arc<Notify>,
    pub(super) in_flight: Arc<InFlight>,
}

impl Submission {
    /// Submits the request. The writer must handle the returned reply.
    pub(super) fn submit(self, shared: &Shared) -> Reply {
        self.submit_and_settle(shared).0
    }

    /// Submits the request, sends the reply to the writer, and waits until the prompt is tokenized.
    /// `permit` is the connection's permit for a long prompt; it is held until then.
    pub(super) async fn submit_long(
        self,
        shared: Arc<Shared>,
        replies: mpsc::Sender<Reply>,
        permit: OwnedSemaphorePermit,
    ) {
        let _permit = permit;
        let (reply, settled) = self.submit_and_settle(&shared);
        // Fails if the connection has closed. The reply's ticket is then dropped, which cancels the
        // request.
        let _ = replies.send(reply).await;
        if let Some(settled) = settled {
            settled.await;
        }
    }

    /// Submits the request. Returns the reply for the writer, and a future that resolves once the
    /// prompt is tokenized; `None` if the request was refused.
    fn submit_and_settle(
        self,
        shared: &Shared,
    ) -> (Reply, Option<impl Future<Output = ()> + Send + use<>>) {
        let Self {
            request,
            mut account_request,
            source,
            id,
            warnings,
            divided,
            charge,
            received,
            deliveries,
            in_flight,
        } = self;
        match shared.model.submit(request, received, deliveries, in_flight.is_single()) {
            Ok(mut ticket) => {
                let settled = ticket.settled();
                in_flight.set_submitted(&id, ticket.canceller());
                let counts = shared.counts.clone();
                let record = shared.requests.begin(source, received, ticket.canceller());
                account_request.submitted(record);
                let submitted = SubmittedRequest { id, ticket, account_request, charge, divided };
                let request = ActiveRequest::new(submitted, warnings, received, counts);
                (Reply::Submitted(Box::new(request)), Some(settled))
            }
            Err(refusal) => {
                let error = ErrorFrame::from(refusal).for_request(id.clone());
                shared.counts.ended(error.code());
                log_refused(&error);
                (Reply::Refused(Box::new((id, error))), None)
            }
        }
    }
}
