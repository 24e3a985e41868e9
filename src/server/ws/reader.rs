//! The reader task of a WebSocket connection: handles the client's messages in order.
//!
//! The reader never writes to the socket. Its replies go to the writer through a bounded channel,
//! so a client that sends faster than it reads blocks itself.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use tokio::sync::{Notify, Semaphore, mpsc, oneshot};
use tokio::task::yield_now;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::{Error, Message, Utf8Bytes};
use tracing::Instrument;

use crate::answer::AllowedCalls;
use crate::domain::{ApiKey, ConnectionId, Prompt, Request, Right};
use crate::pool::Task;
use crate::protocol::{ClientFrame, Code, ErrorFrame, Infer, RequestId, ServerFrame};
use crate::server::access::{AuthError, Session};
use crate::server::budget::{BudgetShare, Charge};
use crate::server::connections::ConnectionPermit;
use crate::server::listing::{RequestSource, Surface};
use crate::server::options::REQUEST_BYTES;
use crate::server::peer::Peer;
use crate::server::shared::Shared;
use crate::server::websockets::WebSocketPermit;

use super::close_reason::CloseReason;
use super::divided::DividedAnswer;
use super::in_flight::InFlight;
use super::incoming::{Incoming, IncomingError, LastMessage, MessageLimits};
use super::log::log_refused;
use super::reply::Reply;
use super::socket::{Socket, SocketStream};
use super::submission::Submission;
use super::{PING_INTERVAL, SHORT_MESSAGE_BYTES, UNAUTHENTICATED};

/// The reader of a connection: its half of the socket, and what it passes on to submissions.
pub(super) struct Reader<S> {
    pub(super) stream: SocketStream<Incoming<S>>,
    /// The charge of the message that was read last.
    pub(super) last_message: LastMessage,
    /// Those of the client's messages.
    pub(super) limits: MessageLimits,
    /// The connection's part of the message budget.
    pub(super) share: Arc<BudgetShare>,
    pub(super) shared: Arc<Shared>,
    pub(super) connection: ConnectionId,
    /// The client.
    pub(super) peer: Peer,
    /// What the client may do.
    pub(super) session: Arc<Session>,
    /// Counts once the client has sent its key.
    pub(super) permit: Arc<WebSocketPermit>,
    pub(super) tcp: ConnectionPermit,
    pub(super) replies: mpsc::Sender<Reply>,
    /// Wakes the writer when the runner has delivered something.
    pub(super) deliveries: Arc<Notify>,
    pub(super) in_flight: Arc<InFlight>,
    /// The connection's only permit to submit a long prompt or a chat.
    pub(super) long_prompt: Arc<Semaphore>,
    /// Whether messages are sent back instead of being handled.
    #[cfg(feature = "echo")]
    pub(super) is_echo: bool,
}

/// Why the reader ended.
#[derive(Debug)]
pub(super) enum ReadEnd {
    /// The client sent a close frame.
    Closed,
    /// The connection is unusable: the client is silent or disconnected, the writer has ended, or
    /// parsing panicked. The text says which.
    Lost(&'static str),
    /// The server does not go on with this connection, usually because the client violated the
    /// protocol. The writer sends `error`, if any, and a close frame with `reason`.
    Refused {
        /// The `error` frame; `None` if the close frame says enough.
        error: Option<ErrorFrame>,
        /// The content of the close frame.
        reason: CloseReason,
    },
}

impl<S: Socket> Reader<S> {
    /// Reads and handles messages until the connection ends.
    pub(super) async fn run(&mut self) -> ReadEnd {
        loop {
            if let Err(end) = self.handle_message().await {
                return end;
            }
            // One message at a time, so that clients that send without pause delay others little.
            yield_now().await;
        }
    }

    /// Waits for the next message and handles it.
    ///
    /// # Errors
    /// Why the reader ends, if it does.
    async fn handle_message(&mut self) -> Result<(), ReadEnd> {
        // A client that does not read for the write grace sends no pong in that time, so the limit
        // must be longer. One ping interval is added so that a ping was due.
        let limit = SILENCE_LIMIT.max(self.shared.options.write_grace + PING_INTERVAL);
        let message = timeout(limit, self.stream.next())
            .await
            .map_err(|_| ReadEnd::Lost("no message for too long"))?
            .ok_or(ReadEnd::Closed)?
            .map_err(|error| self.read_end(&error))?;
        let received = Instant::now();
        #[cfg(feature = "echo")]
        if self.is_echo && (message.is_text() || message.is_binary()) {
            return self.reply(Reply::Echo(Box::new(message))).await;
        }
        match message {
            Message::Text(text) => self.handle_text(text, received).await,
            Message::Binary(_) => {
                let message = "the message is binary: send each frame as a text message";
                let error = ErrorFrame::new(Code::BadFrame, message);
                self.record_refused(&error);
                Err(ReadEnd::Refused { error: Some(error), reason: CloseReason::BinaryMessage })
            }
            Message::Close(_) => Err(ReadEnd::Closed),
            // tungstenite queues a pong until the next write. Passing through the reply channel
            // blocks a client that pings without reading; otherwise its pongs would accumulate.
            Message::Ping(_) => self.reply(Reply::Flush).await,
            Message::Pong(_) | Message::Frame(_) => Ok(()),
        }
    }

    /// Parses and handles a text message that was received at `received`.
    async fn handle_text(&mut self, text: Utf8Bytes, received: Instant) -> Result<(), ReadEnd> {
        let n_bytes = text.len();
        let (parsed, mut charge) = self.parse(text).await?;
        let reply = match parsed.and_then(|frame| self.allowed(frame)) {
            Ok(ClientFrame::Auth { token }) => return self.authenticate(&token).await,
            Ok(ClientFrame::Infer(infer)) => {
                // The message is freed; the request holds at most as much.
                charge.set(n_bytes + REQUEST_BYTES);
                return self.handle_infer(*infer, n_bytes, charge, received).await;
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

    /// Returns `frame` if the client may send it.
    ///
    /// # Errors
    /// The `error` frame to reply with.
    fn allowed(&self, frame: ClientFrame) -> Result<ClientFrame, ErrorFrame> {
        let right = match &frame {
            ClientFrame::Auth { .. } => return Ok(frame),
            ClientFrame::Infer(_) => Some(Right::Infer),
            ClientFrame::SubscribeMetrics => Some(Right::Metrics),
            // Whoever has lost a right may still stop what it has started.
            ClientFrame::Abort { .. } | ClientFrame::UnsubscribeMetrics | ClientFrame::Ping => None,
        };
        match self.session.check(right) {
            Ok(()) => Ok(frame),
            Err(error) => Err(match frame {
                ClientFrame::Infer(infer) => error.for_request(infer.id),
                ClientFrame::Abort { id } => error.for_request(id),
                _ => error,
            }),
        }
    }

    /// Handles the key of an `auth` frame.
    async fn authenticate(&mut self, key: &ApiKey) -> Result<(), ReadEnd> {
        match self.session.authenticate(key).await {
            Ok(rights) => {
                let account = self.session.account().unwrap_or(UNAUTHENTICATED);
                if !self.permit.admit(account, &self.tcp) {
                    let reason = CloseReason::TooManyConnections;
                    return Err(ReadEnd::Refused { error: None, reason });
                }
                self.share.set_account(account);
                self.limits.set_authenticated();
                let rights: Vec<_> = rights.iter().collect();
                let frame = ServerFrame::Authenticated { rights: &rights };
                self.reply(Reply::Frame(frame.text())).await
            }
            Err(AuthError::Refused(error)) => self.reply(self.refused(&error)).await,
            Err(AuthError::TooMany(error)) => Err(self.too_many_connections(error)),
        }
    }

    /// How the reader ends if the account of the client has too many connections.
    pub(super) fn too_many_connections(&self, error: ErrorFrame) -> ReadEnd {
        // Not authenticated, but the owner of a valid key, or of an address that needs none.
        self.shared.counts.ended(error.code());
        log_refused(&error);
        ReadEnd::Refused { error: Some(error), reason: CloseReason::TooManyOfAccount }
    }

    /// Submits a request that came in a message of `n_bytes`. Waits while another long prompt or
    /// chat of this connection is being tokenized, if this one is long or a chat as well.
    async fn handle_infer(
        &mut self,
        infer: Infer,
        n_bytes: usize,
        charge: Charge,
        received: Instant,
    ) -> Result<(), ReadEnd> {
        let Infer { id, prompt, params, is_divided, warnings } = infer;
        let (account, account_request) = match self.session.admit(n_bytes) {
            Ok(admitted) => admitted,
            Err(error) => return self.reply(self.refused(&error.for_request(id))).await,
        };
        if let Err(error) = self.in_flight.insert(id.clone()) {
            return self.reply(self.refused(&error)).await;
        }
        let allowed = match &prompt {
            Prompt::Chat(conversation) if is_divided => AllowedCalls::of(conversation),
            Prompt::Chat(_) | Prompt::Text(_) | Prompt::Tokens(_) => None,
        };
        let divided = is_divided
            .then(|| Box::new(DividedAnswer::new(self.shared.model.answer_style(), allowed)));
        let key = self.session.key_name().map(str::to_owned);
        let submission = Submission {
            source: RequestSource { surface: Surface::Native, peer: self.peer, key, account },
            request: Request { connection: self.connection, account, prompt, params },
            account_request,
            id,
            warnings,
            divided,
            charge,
            received,
            deliveries: self.deliveries.clone(),
            in_flight: self.in_flight.clone(),
        };
        // A chat template may take long to render even if the messages are short.
        let is_chat = matches!(submission.request.prompt, Prompt::Chat(_));
        if n_bytes <= SHORT_MESSAGE_BYTES && !is_chat {
            return self.reply(submission.submit(&self.shared)).await;
        }
        // While this waits, the reader handles no other message.
        let permit = self.long_prompt.clone().acquire_owned().await;
        let permit = permit.map_err(|_| CLOSING)?;
        let submitting = submission.submit_long(self.shared.clone(), self.replies.clone(), permit);
        self.shared.tasks.spawn(submitting.in_current_span());
        Ok(())
    }

    /// Parses a message, and frees it. Returns its charge. A long message is parsed on the threads
    /// for that: 8 MiB take about 100 ms and would block all connections, since the runtime has one
    /// worker.
    async fn parse(
        &self,
        text: Utf8Bytes,
    ) -> Result<(Result<ClientFrame, ErrorFrame>, Charge), ReadEnd> {
        let charge = self.last_message.take_charge().unwrap_or_else(|| self.share.empty());
        if text.len() <= SHORT_MESSAGE_BYTES {
            return Ok((ClientFrame::parse(&text), charge));
        }
        let task = Task {
            key: self.shared.next_message(),
            account: self.session.account().unwrap_or(UNAUTHENTICATED),
            connection: self.connection,
            cost: text.len(),
        };
        let (parsed, result) = oneshot::channel();
        // The thread goes on if the connection closes, so it owns the charge.
        let parse = move || {
            let frame = ClientFrame::parse(&text);
            drop(text);
            // Fails if the connection has closed.
            let _ = parsed.send((frame, charge));
        };
        // Each connection has one message in the queue, which has space for all connections.
        let submitted = self.shared.parsing.submit(task, parse);
        submitted.map_err(|_| ReadEnd::Lost("too many long messages are being parsed"))?;
        result.await.map_err(|_| ReadEnd::Lost("parsing its message failed"))
    }

    /// Aborts the request `id`, or all requests if it is `None`.
    fn abort(&self, id: Option<RequestId>) -> Result<(), ErrorFrame> {
        if self.in_flight.abort(&id) {
            return Ok(());
        }
        let message = match id {
            Some(_) => "no request with this id is running: it has ended, or was never there",
            None => "no request is running: all have ended",
        };
        Err(ErrorFrame::new(Code::NotFound, message).for_request(id))
    }

    /// Records a refused request and returns the reply for it.
    fn refused(&self, error: &ErrorFrame) -> Reply {
        self.record_refused(error);
        Reply::error(error)
    }

    /// Counts a refused request, and logs it if the client is authenticated: others could fill the
    /// log. Their wrong keys are summed up.
    fn record_refused(&self, error: &ErrorFrame) {
        self.shared.counts.ended(error.code());
        if self.session.is_authenticated() {
            log_refused(error);
        }
    }

    /// Hands `reply` to the writer. Waits while the reply channel is full.
    async fn reply(&self, reply: Reply) -> Result<(), ReadEnd> {
        self.replies.send(reply).await.map_err(|_| CLOSING)
    }

    /// Why the reader ends after an error of the WebSocket stream.
    fn read_end(&self, error: &Error) -> ReadEnd {
        let incoming = match error {
            Error::Io(error) => IncomingError::of(error),
            _ => None,
        };
        match (incoming, error) {
            (Some(IncomingError::TooLong), _) => {
                let limit = self.limits.accepted_bytes();
                let message = if self.session.is_authenticated() {
                    format!(
                        "the message is longer than the limit of {limit} bytes: send a shorter one"
                    )
                } else {
                    format!(
                        "the message is longer than {limit} bytes, the limit for clients without \
                         an API key: send the key first"
                    )
                };
                self.refuse(Code::BadFrame, message, CloseReason::TooLong)
            }
            (Some(IncomingError::Overdue), _) => {
                let seconds = self.shared.options.message_deadline.as_secs();
                let message = format!(
                    "the message was not complete in time: the server waits {seconds} s for the \
                     parts of a message, and a second more for each 64 KiB"
                );
                self.shared.n_overdue.fetch_add(1, Relaxed);
                self.refuse(Code::BadFrame, message, CloseReason::Overdue)
            }
            (None, Error::Utf8(_)) => {
                ReadEnd::Refused { error: None, reason: CloseReason::InvalidUtf8 }
            }
            (None, Error::Protocol(ProtocolError::ResetWithoutClosingHandshake)) => {
                ReadEnd::Lost("the client disconnected without a close frame")
            }
            (Some(IncomingError::LongControlFrame), _) | (None, Error::Protocol(_)) => {
                ReadEnd::Refused { error: None, reason: CloseReason::Framing }
            }
            _ => ReadEnd::Lost("the socket failed"),
        }
    }

    /// Ends the reader because of a message that has no frame.
    fn refuse(&self, code: Code, message: String, reason: CloseReason) -> ReadEnd {
        let error = ErrorFrame::new(code, message);
        self.record_refused(&error);
        ReadEnd::Refused { error: Some(error), reason }
    }

    /// How the reader ends if the limit on connections is reached, and this one closes for another.
    pub(super) fn replaced(&self) -> ReadEnd {
        if !self.permit.is_busy() {
            return ReadEnd::Refused { error: None, reason: CloseReason::Idle };
        }
        self.in_flight.abort(&None);
        let message = "the server has its most connections, and this client has more of them than \
                       others: close some, or try again later";
        self.refuse(Code::Busy, message.to_owned(), CloseReason::MostConnections)
    }

    /// How the reader ends if the message budget is used up and this is the largest connection of
    /// the account that holds most.
    pub(super) fn evicted(&self) -> ReadEnd {
        let message = "the server has no memory left for messages, and this client uses most of \
                       it, over all its connections: read what the server sends, send shorter \
                       messages, or try again later";
        self.refuse(Code::Busy, message.to_owned(), CloseReason::MessageBudget)
    }
}

/// How the reader ends if the writer has ended before it.
const CLOSING: ReadEnd = ReadEnd::Lost("the connection is closing");

/// Lower bound of the time without a complete message after which the client is lost: three ping
/// intervals.
const SILENCE_LIMIT: Duration = PING_INTERVAL.saturating_mul(3);
