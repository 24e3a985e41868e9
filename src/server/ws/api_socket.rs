//! A WebSocket for an HTTP API, whose messages are not frames of the protocol.
//!
//! It has the same limits as every WebSocket: messages are charged and bounded before they are
//! stored, each message that is written has a deadline, and so has the closing handshake. One task
//! reads and writes: while the client does not read, nothing of it is read either.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use futures_util::StreamExt;
use hyper::upgrade::OnUpgrade;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_tungstenite::tungstenite::{Bytes, Error, Message, Utf8Bytes};

use crate::server::budget::{BudgetShare, Charge};
use crate::server::shared::Shared;
use crate::server::socket::AnySocket;

use super::close_reason::CloseReason;
use super::closing;
use super::incoming::{Incoming, IncomingError, LastMessage, MessageLimits};
use super::reader::ReadEnd;
use super::sink::FrameSink;
use super::socket::{self, SocketStream};
use super::writer::WriteEnd;
use super::{PING_INTERVAL, UPGRADE_DEADLINE};

/// An open WebSocket.
pub(in crate::server) struct ApiSocket {
    shared: Arc<Shared>,
    stream: SocketStream<Incoming<AnySocket>>,
    sink: FrameSink<Incoming<AnySocket>>,
    last_message: LastMessage,
    share: Arc<BudgetShare>,
    max_message_bytes: usize,
    /// Until when a message of any kind has to come.
    silence_deadline: Instant,
    /// When to send the next ping.
    ping_due: Instant,
}

/// What comes from the client.
#[derive(Debug)]
pub(in crate::server) enum ApiMessage {
    /// A text message with what it is charged.
    Text(Utf8Bytes, Charge),
    /// The connection has to end: the client has closed it, or is lost, or did wrong.
    End(ApiSocketEnd),
}

/// How a WebSocket ends.
#[derive(Debug)]
pub(in crate::server) enum ApiSocketEnd {
    /// The client has sent a close frame.
    Closed,
    /// The client is disconnected, or silent for too long.
    Lost,
    /// The server closes, and has said this before, if anything.
    Refused(CloseReason, Option<String>),
}

impl ApiSocket {
    /// Takes the connection over from HTTP; `None` if the client has disconnected. Messages are
    /// charged to `share`.
    pub(in crate::server) async fn open(
        upgrade: OnUpgrade,
        shared: &Arc<Shared>,
        share: &Arc<BudgetShare>,
    ) -> Option<Self> {
        let upgraded = timeout(UPGRADE_DEADLINE, upgrade).await.ok()?.ok()?;
        let options = &shared.options;
        let max_message_bytes = options.max_message_bytes;
        let limits = MessageLimits::new(max_message_bytes, options.message_deadline, true);
        let (socket, last_message) = socket::from_upgraded(upgraded, limits, share.clone()).await?;
        let (sink, stream) = socket.split();
        let sink = FrameSink::new(sink, options.write_grace, share.empty());
        let now = Instant::now();
        Some(Self {
            shared: shared.clone(),
            stream,
            sink,
            last_message,
            share: share.clone(),
            max_message_bytes,
            silence_deadline: now + silence_limit(shared),
            ping_due: now + PING_INTERVAL,
        })
    }

    /// Waits for the next message, and answers pings meanwhile. Cancelling the wait loses nothing.
    pub(in crate::server) async fn next(&mut self) -> ApiMessage {
        loop {
            let message = tokio::select! {
                message = self.stream.next() => message,
                () = sleep_until(self.ping_due) => {
                    self.ping_due = Instant::now() + PING_INTERVAL;
                    if self.write(Message::Ping(Bytes::new())).await.is_err() {
                        return ApiMessage::End(ApiSocketEnd::Lost);
                    }
                    continue;
                }
                () = sleep_until(self.silence_deadline) => None,
            };
            self.silence_deadline = Instant::now() + silence_limit(&self.shared);
            let end = match message {
                Some(Ok(Message::Text(text))) => {
                    let charge = self.last_message.take_charge();
                    return ApiMessage::Text(text, charge.unwrap_or_else(|| self.share.empty()));
                }
                // tungstenite has queued a pong.
                Some(Ok(Message::Ping(_))) if self.flush().await.is_ok() => continue,
                Some(Ok(Message::Pong(_) | Message::Frame(_))) => continue,
                Some(Ok(Message::Binary(_))) => {
                    let message = "the message is binary: send JSON in a text message";
                    ApiSocketEnd::Refused(CloseReason::BinaryMessage, Some(message.to_owned()))
                }
                Some(Ok(Message::Close(_))) => ApiSocketEnd::Closed,
                Some(Ok(Message::Ping(_))) | None => ApiSocketEnd::Lost,
                Some(Err(error)) => self.end_of(&error),
            };
            return ApiMessage::End(end);
        }
    }

    /// Queues a text message. Waits until the buffer has space for it.
    ///
    /// # Errors
    /// The connection is lost, or the client takes nothing.
    pub(in crate::server) async fn send(&mut self, text: String) -> Result<(), ApiSocketEnd> {
        self.sink.text(text).await.map_err(|error| lost(&error))
    }

    /// Waits until the operating system has all that was sent.
    ///
    /// # Errors
    /// The connection is lost, or the client takes nothing.
    pub(in crate::server) async fn flush(&mut self) -> Result<(), ApiSocketEnd> {
        self.sink.flush().await.map_err(|error| lost(&error))
    }

    /// Ends the connection with the closing handshake that `end` needs.
    pub(in crate::server) async fn close(mut self, end: ApiSocketEnd) {
        let (read_end, write_end) = match end {
            ApiSocketEnd::Closed => (ReadEnd::Closed, WriteEnd::Aborted),
            ApiSocketEnd::Lost => (ReadEnd::Lost("the connection is lost"), WriteEnd::Aborted),
            ApiSocketEnd::Refused(reason, _) => {
                let frame = Message::Close(Some(reason.frame()));
                let is_sent = self.write(frame).await.is_ok();
                let write_end = if is_sent { WriteEnd::CloseSent } else { WriteEnd::Aborted };
                (ReadEnd::Refused { error: None, reason }, write_end)
            }
        };
        closing::finish(self.stream, self.sink.into_inner(), Some(read_end), write_end).await;
    }

    async fn write(&mut self, message: Message) -> Result<(), ApiSocketEnd> {
        self.sink.feed(message).await.map_err(|error| lost(&error))?;
        self.flush().await
    }

    /// How the connection ends after an error of the stream.
    fn end_of(&self, error: &Error) -> ApiSocketEnd {
        let incoming = match error {
            Error::Io(error) => IncomingError::of(error),
            _ => None,
        };
        match (incoming, error) {
            (Some(IncomingError::TooLong), _) => {
                let max = self.max_message_bytes;
                let message = format!(
                    "the message is longer than the limit of {max} bytes: send a shorter one"
                );
                ApiSocketEnd::Refused(CloseReason::TooLong, Some(message))
            }
            (Some(IncomingError::Overdue), _) => {
                self.shared.n_overdue.fetch_add(1, Relaxed);
                let seconds = self.shared.options.message_deadline.as_secs();
                let message = format!(
                    "the message was not complete in time: the server waits {seconds} s for the \
                     parts of a message, and a second more for each 64 KiB"
                );
                ApiSocketEnd::Refused(CloseReason::Overdue, Some(message))
            }
            (None, Error::Utf8(_)) => ApiSocketEnd::Refused(CloseReason::InvalidUtf8, None),
            (Some(IncomingError::LongControlFrame), _) | (None, Error::Protocol(_)) => {
                ApiSocketEnd::Refused(CloseReason::Framing, None)
            }
            _ => ApiSocketEnd::Lost,
        }
    }
}

fn lost(error: &Error) -> ApiSocketEnd {
    tracing::debug!("cannot write: {error}");
    ApiSocketEnd::Lost
}

/// Time without a complete message after which the client is lost. A client that does not read for
/// the write grace sends no pong in that time, so the limit is longer.
fn silence_limit(shared: &Shared) -> Duration {
    PING_INTERVAL.saturating_mul(3).max(shared.options.write_grace + PING_INTERVAL)
}
