//! A submitted request, as the writer serves it.
//!
//! [`ActiveRequest`] turns what the runner delivers into frames. It logs and counts the end of the
//! request exactly once, even if the connection closes first, and removes the request from the
//! requests in flight just before its terminal frame is sent.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Error;

use crate::domain::{Code, Delivery, FinishReason, Outcome, TokenLogprobs};
use crate::protocol::{
    EndLimit, EndReason, EndStats, ErrorFrame, RequestId, ServerFrame, Warnings,
};
use crate::runner::Ticket;
use crate::server::access::{AccountRequest, SETTLE_DEADLINE};
use crate::server::budget::Charge;
use crate::server::metrics::RequestCounts;
use crate::server::options::REQUEST_BYTES;

use super::divided::DividedAnswer;
use super::in_flight::InFlight;
use super::log::{log_cancelled, log_ended, log_refused};
use super::sink::FrameSink;
use super::socket::Socket;

/// A request that was submitted. Dropping it cancels the request.
#[derive(Debug)]
pub(super) struct ActiveRequest {
    id: Option<RequestId>,
    /// What the `infer` frame had that is ignored.
    warnings: Warnings,
    /// Divides the answer, if the request asks for that.
    divided: Option<Box<DividedAnswer>>,
    ticket: Ticket,
    /// For the memory that the request takes.
    charge: Charge,
    /// Counts the request for its account.
    account_request: AccountRequest,
    /// When the server received the request.
    received: Instant,
    /// From the receipt of the request until its first text was handed to the socket.
    ttft: Option<Duration>,
    counts: Arc<RequestCounts>,
    /// How the request ended; `None` while it runs and again once its terminal frame is built.
    outcome: Option<Outcome>,
    /// Whether the end of the request has been logged and counted.
    has_ended: bool,
    /// Whether what the request used was added to its account.
    is_usage_added: bool,
}

/// A request that the runner has been asked for.
#[derive(Debug)]
pub(super) struct SubmittedRequest {
    pub(super) id: Option<RequestId>,
    pub(super) ticket: Ticket,
    pub(super) account_request: AccountRequest,
    pub(super) charge: Charge,
    pub(super) divided: Option<Box<DividedAnswer>>,
}

impl ActiveRequest {
    pub(super) fn new(
        submitted: SubmittedRequest,
        warnings: Warnings,
        received: Instant,
        counts: Arc<RequestCounts>,
    ) -> Self {
        let SubmittedRequest { id, ticket, account_request, charge, divided } = submitted;
        Self {
            id,
            warnings,
            divided,
            ticket,
            charge,
            account_request,
            received,
            ttft: None,
            counts,
            outcome: None,
            has_ended: false,
            is_usage_added: false,
        }
    }

    /// Sends what the runner has delivered since the last call. Returns true if this included the
    /// terminal frame; the request has then been removed from `in_flight`.
    ///
    /// # Errors
    /// The errors of [`FrameSink::feed`].
    pub(super) async fn send_delivery<S: Socket>(
        &mut self,
        sink: &mut FrameSink<S>,
        in_flight: &InFlight,
    ) -> Result<bool, Error> {
        let delivery = self.ticket.take();
        self.account_request.delivered(&delivery);
        let Delivery { queued, answer_start, progress, text, logprobs, outcome, .. } = delivery;
        // Stored before the first write: if that fails, the log still learns the outcome.
        self.outcome = outcome;
        let id = self.id.as_ref();
        if let Some(position) = queued {
            sink.text(ServerFrame::Queued { id, position }.text()).await?;
        }
        if let Some((processed, total)) = progress {
            sink.text(ServerFrame::Progress { id, processed, total }.text()).await?;
        }
        if let (Some(divided), Some(start)) = (&mut self.divided, answer_start) {
            divided.begin(start);
        }
        let is_shown = self.send_text(&text, &logprobs, sink).await?;
        if is_shown && self.ttft.is_none() {
            // The first text is flushed at once, and the time to first token ends when the
            // operating system has it.
            sink.flush().await?;
            let ttft = self.received.elapsed();
            self.ttft = Some(ttft);
            self.counts.first_text(ttft);
        }
        if self.is_over() && self.outcome.is_none() {
            self.ticket.canceller().cancel();
        }
        let Some(terminal_frame) = self.terminal_frame() else { return Ok(false) };
        in_flight.remove(&self.id);
        sink.text(terminal_frame).await?;
        Ok(true)
    }

    /// Sends new text, whole or divided. Returns whether the client can show something.
    async fn send_text<S: Socket>(
        &mut self,
        text: &str,
        logprobs: &[TokenLogprobs],
        sink: &mut FrameSink<S>,
    ) -> Result<bool, Error> {
        let id = self.id.as_ref();
        let is_empty = text.is_empty() && logprobs.is_empty();
        if !is_empty {
            // The prompt is freed with the first text.
            self.charge.set(REQUEST_BYTES);
        }
        if let Some(divided) = &mut self.divided {
            let frames = divided.frames(id, text, logprobs, self.outcome.is_some());
            let has_frames = !frames.is_empty();
            if !is_empty {
                // A call that is held back can be long.
                self.charge.set(REQUEST_BYTES + divided.held_bytes());
            }
            for frame in frames {
                sink.text(frame).await?;
            }
            return Ok(has_frames);
        }
        if !is_empty {
            sink.text(ServerFrame::Token { id, content: text, logprobs }.text()).await?;
        }
        Ok(!text.is_empty())
    }

    /// Builds, logs and counts the terminal frame; `None` if the outcome is not known or has been
    /// taken.
    fn terminal_frame(&mut self) -> Option<String> {
        let outcome = self.outcome.take()?;
        let outcome = if self.is_over() { outcome.ended_by_call() } else { outcome };
        self.has_ended = true;
        self.counts.ended(outcome.code());
        self.add_usage(&outcome);
        Some(match outcome {
            Outcome::Finished { reason, stop, usage } => {
                let stats = EndStats::new(&usage, self.ttft);
                let id = self.id.as_ref();
                // The stop string and the warnings may quote the client, so the log gets the frame
                // without them.
                let (finish_reason, limit) = self.end_of(reason);
                let stop = stop.as_deref().filter(|_| self.divided.is_some());
                let frame = |stop, warnings| ServerFrame::End {
                    id,
                    finish_reason,
                    limit,
                    stop,
                    stats,
                    warnings,
                };
                let logged = frame(None, &[]).text();
                log_ended(&logged);
                let mut warnings = self.warnings.texts();
                if let Some(divided) = &self.divided {
                    warnings.extend_from_slice(divided.warnings());
                }
                match stop.is_none() && warnings.is_empty() {
                    true => logged,
                    false => frame(stop, &warnings).text(),
                }
            }
            Outcome::Failed(failure) => {
                let error = ErrorFrame::from(failure).for_request(self.id.clone());
                let text = ServerFrame::Error(&error).text();
                log_ended(&text);
                text
            }
            Outcome::Refused(refusal) => {
                let error = ErrorFrame::from(refusal).for_request(self.id.clone());
                log_refused(&error);
                ServerFrame::Error(&error).text()
            }
        })
    }

    /// Whether the answer ends with a call that is complete, whatever the runner does.
    fn is_over(&self) -> bool {
        self.divided.as_ref().is_some_and(|divided| divided.is_over())
    }

    /// How the `end` frame tells a reason. Limits and calls are told in divided answers only.
    fn end_of(&self, reason: FinishReason) -> (EndReason, Option<EndLimit>) {
        match &self.divided {
            Some(divided) if divided.has_calls() && reason == FinishReason::Stop => {
                (EndReason::ToolCalls, None)
            }
            Some(_) => (reason.into(), EndLimit::of(reason)),
            None => (reason.into(), None),
        }
    }

    /// Logs, counts and cancels a request that has not ended, because its connection has closed.
    fn disconnected(&mut self) {
        if std::mem::replace(&mut self.has_ended, true) {
            return;
        }
        self.outcome = self.outcome.take().or_else(|| self.ticket.take().outcome);
        if self.terminal_frame().is_none() {
            self.counts.ended(Code::Abort);
            log_cancelled(self.id.as_ref());
            self.ticket.canceller().cancel();
        }
    }

    /// Adds what the request used to its account.
    fn add_usage(&mut self, outcome: &Outcome) {
        self.is_usage_added = true;
        self.account_request.ended(outcome);
    }

    /// Takes what the runner has delivered after the connection has closed. Returns whether what
    /// the request used is known.
    fn is_settled(&mut self) -> bool {
        if self.is_usage_added {
            return true;
        }
        let Some(outcome) = self.ticket.take().outcome else { return false };
        self.add_usage(&outcome);
        true
    }
}

/// Cancels requests whose connection has closed, and waits until each has ended, so that what it
/// used counts for its account; waits at most `SETTLE_DEADLINE`. `deliveries` tells when there is
/// something.
pub(super) async fn settle(mut requests: Vec<ActiveRequest>, deliveries: Arc<Notify>) {
    for request in &mut requests {
        request.disconnected();
    }
    let settled = async {
        loop {
            requests.retain_mut(|request| !request.is_settled());
            if requests.is_empty() {
                return;
            }
            deliveries.notified().await;
        }
    };
    // What a runner uses that takes longer is not known.
    let _ = timeout(SETTLE_DEADLINE, settled).await;
}

/// Logs and counts a request that has not ended: every request gets exactly one log line and one
/// count, however its connection ends.
impl Drop for ActiveRequest {
    fn drop(&mut self) {
        self.disconnected();
    }
}
