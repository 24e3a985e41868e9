//! A submitted request, as the writer serves it.
//!
//! [`ActiveRequest`] turns what the runner delivers into frames. It logs and counts the end of the
//! request exactly once, even if the connection closes first, and removes the request from the
//! requests in flight just before its terminal frame is sent.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio_tungstenite::tungstenite::Error;

use crate::domain::{Code, Delivery, Outcome};
use crate::protocol::{EndStats, ErrorFrame, RequestId, ServerFrame, Warnings};
use crate::runner::Ticket;
use crate::server::budget::Charge;
use crate::server::metrics::RequestCounts;

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
    ticket: Ticket,
    /// For the memory that the request takes.
    charge: Charge,
    /// When the server received the request.
    received: Instant,
    /// From the receipt of the request until its first text was handed to the socket.
    ttft: Option<Duration>,
    counts: Arc<RequestCounts>,
    /// How the request ended; `None` while it runs and again once its terminal frame is built.
    outcome: Option<Outcome>,
    /// Whether the end of the request has been logged and counted.
    has_ended: bool,
}

impl ActiveRequest {
    pub(super) fn new(
        id: Option<RequestId>,
        warnings: Warnings,
        ticket: Ticket,
        charge: Charge,
        received: Instant,
        counts: Arc<RequestCounts>,
    ) -> Self {
        Self {
            id,
            warnings,
            ticket,
            charge,
            received,
            ttft: None,
            counts,
            outcome: None,
            has_ended: false,
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
        let Delivery { queued, is_started: _, progress, text, logprobs, outcome } =
            self.ticket.take();
        // Stored before the first write: if that fails, the log still learns the outcome.
        self.outcome = outcome;
        let id = self.id.as_ref();
        if let Some(position) = queued {
            sink.text(ServerFrame::Queued { id, position }.text()).await?;
        }
        if let Some((processed, total)) = progress {
            sink.text(ServerFrame::Progress { id, processed, total }.text()).await?;
        }
        if !text.is_empty() || !logprobs.is_empty() {
            // The prompt is freed with the first text.
            self.charge.set(REQUEST_BYTES);
            let frame = ServerFrame::Token { id, content: &text, logprobs: &logprobs };
            sink.text(frame.text()).await?;
        }
        if !text.is_empty() && self.ttft.is_none() {
            // The first text is flushed at once, and the time to first token ends when the
            // operating system has it.
            sink.flush().await?;
            let ttft = self.received.elapsed();
            self.ttft = Some(ttft);
            self.counts.first_text(ttft);
        }
        let Some(terminal_frame) = self.terminal_frame() else { return Ok(false) };
        in_flight.remove(&self.id);
        sink.text(terminal_frame).await?;
        Ok(true)
    }

    /// Builds, logs and counts the terminal frame; `None` if the outcome is not known or has been
    /// taken.
    fn terminal_frame(&mut self) -> Option<String> {
        let outcome = self.outcome.take()?;
        self.has_ended = true;
        self.counts.ended(outcome.code());
        Some(match outcome {
            Outcome::Finished { reason, usage } => {
                let stats = EndStats::new(&usage, self.ttft);
                let id = self.id.as_ref();
                // The warnings may quote the client, so the log gets the frame without them.
                let frame =
                    |warnings| ServerFrame::End { id, finish_reason: reason, stats, warnings };
                let text = frame(&[]).text();
                log_ended(&text);
                let warnings = self.warnings.texts();
                if warnings.is_empty() { text } else { frame(&warnings).text() }
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
}

/// Logs and counts a request that has not ended: every request gets exactly one log line and one
/// count, however its connection ends.
impl Drop for ActiveRequest {
    fn drop(&mut self) {
        if self.has_ended {
            return;
        }
        self.outcome = self.outcome.take().or_else(|| self.ticket.take().outcome);
        if self.terminal_frame().is_none() {
            // Dropping the ticket cancels the request; nothing waits for its statistics.
            self.counts.ended(Code::Abort);
            log_cancelled(self.id.as_ref());
        }
    }
}

/// What a request is charged beside its message, until it ends: its entries in tables, and the text
/// that its client has not read, which the credit of the link limits to 32 KiB (ADR-0040).
pub(super) const REQUEST_BYTES: usize = 40 * 1024;
