//! An accepted request, as the writer serves it.
//!
//! [`ActiveRequest`] turns what the engine delivers into frames. It logs the end of the request
//! exactly once, even if the connection closes first, and removes the request from the requests in
//! flight just before its terminal frame is sent.

use std::time::Instant;

use tokio_tungstenite::tungstenite::Error;

use crate::domain::Outcome;
use crate::engine::{Delivery, Ticket};
use crate::protocol::{EndStats, ErrorFrame, RequestId, ServerFrame};

use super::in_flight::InFlight;
use super::log::{log_cancelled, log_ended};
use super::sink::FrameSink;
use super::socket::Socket;

/// A request that the engine has accepted. Dropping it cancels the request.
#[derive(Debug)]
pub(super) struct ActiveRequest {
    id: Option<RequestId>,
    ticket: Ticket,
    /// How the request ended; `None` while it runs and again once its terminal frame is built.
    outcome: Option<Outcome>,
    /// Whether the end of the request has been logged.
    is_logged: bool,
}

impl ActiveRequest {
    pub(super) fn new(id: Option<RequestId>, ticket: Ticket) -> Self {
        Self { id, ticket, outcome: None, is_logged: false }
    }

    /// Sends what the engine has delivered since the last call. Returns true if this included the
    /// terminal frame; the request has then been removed from `in_flight`.
    ///
    /// # Errors
    /// The errors of [`FrameSink::feed`].
    pub(super) async fn send_delivery<S: Socket>(
        &mut self,
        sink: &mut FrameSink<S>,
        in_flight: &InFlight,
    ) -> Result<bool, Error> {
        let Delivery { queued, progress, text, logprobs, outcome } = self.ticket.take();
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
            let frame = ServerFrame::Token { id, content: &text, logprobs: &logprobs };
            sink.text(frame.text()).await?;
        }
        if !text.is_empty() && self.ticket.ttft().is_none() {
            // The first text is flushed at once, and the time to first token ends when the
            // operating system has it.
            sink.flush().await?;
            self.ticket.text_sent(Instant::now());
        }
        let Some(terminal_frame) = self.terminal_frame() else { return Ok(false) };
        in_flight.remove(&self.id);
        sink.text(terminal_frame).await?;
        Ok(true)
    }

    /// Builds and logs the terminal frame; `None` if the outcome is not known or has been taken.
    fn terminal_frame(&mut self) -> Option<String> {
        let text = match self.outcome.take()? {
            Outcome::Finished { reason, usage } => {
                let stats = EndStats::new(&usage, self.ticket.ttft());
                let id = self.id.as_ref();
                ServerFrame::End { id, finish_reason: reason, stats }.text()
            }
            Outcome::Failed(failure) => {
                ServerFrame::Error(&ErrorFrame::from(failure).for_request(self.id.clone())).text()
            }
        };
        log_ended(&text);
        self.is_logged = true;
        Some(text)
    }
}

/// Logs a request that has no log line yet: every accepted request gets exactly one, however its
/// connection ends.
impl Drop for ActiveRequest {
    fn drop(&mut self) {
        if self.is_logged {
            return;
        }
        self.outcome = self.outcome.take().or_else(|| self.ticket.take().outcome);
        if self.terminal_frame().is_none() {
            // Dropping the ticket cancels the request; nothing waits for its statistics.
            log_cancelled(self.id.as_ref());
        }
    }
}
