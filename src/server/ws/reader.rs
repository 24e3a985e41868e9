//! The reading half of a connection: takes the client's messages one by one, in order.
//!
//! The reader never writes to the socket. Its replies go to the writer through a bounded channel,
//! so a client that sends faster than it reads blocks itself.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use tokio::sync::{Semaphore, mpsc};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::error::{CapacityError, ProtocolError};
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Error, Message, Utf8Bytes};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use crate::domain::{ConnectionId, Prompt, Request};
use crate::engine::Notifier;
use crate::protocol::{ClientFrame, Code, ErrorFrame, Infer, RequestId, ServerFrame};
use crate::server::shared::Shared;

use super::PING_INTERVAL;
use super::in_flight::InFlight;
use super::log::log_refused;
use super::reply::Reply;
use super::socket::{Socket, SocketStream};
use super::submission::{SHORT_MESSAGE_BYTES, Submission};

/// The reading half of a connection.
pub(super) struct Reader<S> {
    pub(super) stream: SocketStream<S>,
    pub(super) shared: Arc<Shared>,
    pub(super) connection: ConnectionId,
    pub(super) replies: mpsc::Sender<Reply>,
    pub(super) notifier: Arc<Notifier>,
    pub(super) in_flight: Arc<InFlight>,
    /// Cancelled when the connection ends.
    pub(super) closed: CancellationToken,
    /// The connection's one permit to submit a long prompt.
    pub(super) long_prompt: Arc<Semaphore>,
}

/// Why the reader ended.
#[derive(Debug)]
pub(super) enum ReadEnd {
    /// The client sent a close frame.
    Closed,
    /// The client cannot be reached any more, for the given reason.
    Lost(&'static str),
    /// The client violated the protocol. The connection is closed with an explanation.
    Violation {
        /// The `error` frame to send; `None` for broken framing and invalid UTF-8, which only the
        /// close code reports.
        error: Option<ErrorFrame>,
        /// The code of the close frame.
        code: CloseCode,
    },
}

impl<S: Socket> Reader<S> {
    /// Reads and handles messages until one of them, or the lack of one, ends the connection.
    pub(super) async fn run(&mut self) -> ReadEnd {
        loop {
            if let Err(end) = self.handle_message().await {
                return end;
            }
        }
    }

    async fn handle_message(&mut self) -> Result<(), ReadEnd> {
        // A client whose text may stay unread for the write grace may be silent for as long. The
        // ping interval on top makes sure that it was pinged before the end of that time.
        let limit = SILENCE_LIMIT.max(self.shared.options.write_grace + PING_INTERVAL);
        let message = timeout(limit, self.stream.next())
            .await
            .map_err(|_| ReadEnd::Lost("no message for too long"))?
            .ok_or(ReadEnd::Closed)?
            .map_err(|error| self.read_end(&error))?;
        let received = Instant::now();
        match message {
            Message::Text(text) => self.handle_text(text, received).await,
            Message::Binary(_) => {
                let message = "frames are JSON in text messages, not binary ones";
                let error = ErrorFrame::new(Code::BadFrame, message);
                self.record_refused(&error);
                Err(ReadEnd::Violation { error: Some(error), code: CloseCode::Unsupported })
            }
            Message::Close(_) => Err(ReadEnd::Closed),
            // tungstenite queues the pong and sends it with the next write or read. The reply makes
            // a client that pings without reading block itself, or its pongs would pile up.
            Message::Ping(_) => self.reply(Reply::Flush).await,
            Message::Pong(_) | Message::Frame(_) => Ok(()),
        }
    }

    async fn handle_text(&mut self, text: Utf8Bytes, received: Instant) -> Result<(), ReadEnd> {
        let n_bytes = text.len();
        let reply = match parse(text).await? {
            Ok(ClientFrame::Infer(infer)) => {
                return self.handle_infer(infer, n_bytes, received).await;
            }
            Ok(ClientFrame::Abort { id }) => match self.abort(id) {
                Ok(()) => return Ok(()),
                Err(error) => Reply::error(&error),
            },
            Ok(ClientFrame::SubscribeMetrics) => Reply::SubscribeMetrics,
            Ok(ClientFrame::UnsubscribeMetrics) => Reply::UnsubscribeMetrics,
            Ok(ClientFrame::Ping) => Reply::Frame(ServerFrame::Pong.text()),
            Err(error) => self.refused(&error),
        };
        self.reply(reply).await
    }

    async fn handle_infer(
        &mut self,
        infer: Infer,
        n_bytes: usize,
        received: Instant,
    ) -> Result<(), ReadEnd> {
        let Infer { id, prompt, params } = infer;
        if let Err(error) = self.in_flight.insert(id.clone()) {
            return self.reply(self.refused(&error)).await;
        }
        let submission = Submission {
            request: Request { connection: self.connection, prompt, params },
            id,
            received,
            notifier: self.notifier.clone(),
            in_flight: self.in_flight.clone(),
        };
        // A chat template may take long to render, however short the messages are.
        let is_chat = matches!(submission.request.prompt, Prompt::Messages(_));
        if n_bytes <= SHORT_MESSAGE_BYTES && !is_chat {
            return self.reply(submission.submit(&self.shared)).await;
        }
        let permit = self.long_prompt.clone().acquire_owned().await;
        let permit = permit.map_err(|_| CLOSING)?;
        let submitting = submission.submit_in_background(
            self.shared.clone(),
            self.replies.clone(),
            self.closed.clone(),
            permit,
        );
        self.shared.tasks.spawn(submitting.in_current_span());
        Ok(())
    }

    /// Aborts the request `id`, or all requests if it is `None`.
    fn abort(&self, id: Option<RequestId>) -> Result<(), ErrorFrame> {
        if self.in_flight.abort(&id) {
            return Ok(());
        }
        let message = match id {
            Some(_) => "no request with this id is running",
            None => "no request is running",
        };
        Err(ErrorFrame::new(Code::NotFound, message).about(id))
    }

    /// Counts and logs a refused request and returns the reply for it.
    fn refused(&self, error: &ErrorFrame) -> Reply {
        self.record_refused(error);
        Reply::error(error)
    }

    fn record_refused(&self, error: &ErrorFrame) {
        self.shared.refusals.count(error.code());
        log_refused(error);
    }

    async fn reply(&self, reply: Reply) -> Result<(), ReadEnd> {
        self.replies.send(reply).await.map_err(|_| CLOSING)
    }

    /// Converts an error of the WebSocket stream.
    fn read_end(&self, error: &Error) -> ReadEnd {
        match error {
            Error::Capacity(CapacityError::MessageTooLong { .. }) => {
                let limit = self.shared.options.max_message_bytes;
                let message = format!("a message may have {limit} bytes: send a shorter one");
                let error = ErrorFrame::new(Code::BadFrame, message);
                self.record_refused(&error);
                ReadEnd::Violation { error: Some(error), code: CloseCode::Size }
            }
            Error::Utf8(_) => ReadEnd::Violation { error: None, code: CloseCode::Invalid },
            Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => {
                ReadEnd::Lost("the client disconnected without a close frame")
            }
            Error::Protocol(_) => ReadEnd::Violation { error: None, code: CloseCode::Protocol },
            _ => ReadEnd::Lost("the socket failed"),
        }
    }
}

/// Parses a message. A long one is parsed on a blocking thread, because 8 MiB take about 100 ms, in
/// which no other task of this thread would run.
async fn parse(text: Utf8Bytes) -> Result<Result<ClientFrame, ErrorFrame>, ReadEnd> {
    if text.len() <= SHORT_MESSAGE_BYTES {
        return Ok(ClientFrame::parse(&text));
    }
    let parsing = tokio::task::spawn_blocking(move || ClientFrame::parse(&text));
    parsing.await.map_err(|_| ReadEnd::Lost("parsing its message failed"))
}

/// How the reader ends if the writer has ended before it.
const CLOSING: ReadEnd = ReadEnd::Lost("the connection is closing");

/// Least limit on the time that a client may be silent, and so on the time that one message may
/// take to arrive. Three pings are unanswered by then.
const SILENCE_LIMIT: Duration = PING_INTERVAL.saturating_mul(3);
