//! The reading half of a connection: hears the client, and says nothing of its own accord.
//!
//! Frames are taken one by one in the order they came. What is to be said goes to the writer
//! through a bounded queue: a client that sends faster than it reads waits for itself.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use futures_util::stream::SplitStream;
use tokio::sync::{Semaphore, mpsc};
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::error::{CapacityError, ProtocolError};
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Error, Message, Utf8Bytes};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use crate::domain::{ConnectionId, Prompt, Request};
use crate::engine::Notifier;
use crate::protocol::{ClientFrame, Code, ErrorFrame, Infer, ServerFrame};

use super::connection::Socket;
use super::in_flight::InFlight;
use super::shared::Shared;
use super::submission::{SHORT_BYTES, Submission};
use super::writer::{PING_INTERVAL, Reply, log_refused};

/// How long a client may be silent, at least. It answers every ping, so this many of them were lost; also the
/// longest that a single message may take to arrive.
const SILENCE_LIMIT: Duration = PING_INTERVAL.saturating_mul(3);

/// Why there is nothing more to read.
#[derive(Debug)]
pub(super) enum Ending {
    /// The client said goodbye.
    Closed,
    /// The client is not there any more, in these words.
    Lost(&'static str),
    /// The client broke the protocol; to be told, and then closed.
    Broken {
        /// What is wrong, for clients that read frames.
        error: Option<ErrorFrame>,
        /// What is wrong, for WebSocket libraries.
        code: CloseCode,
    },
}

/// The reading half of a connection.
pub(super) struct Reader<S> {
    pub(super) stream: SplitStream<WebSocketStream<S>>,
    pub(super) shared: Arc<Shared>,
    pub(super) connection: ConnectionId,
    pub(super) replies: mpsc::Sender<Reply>,
    pub(super) notifier: Arc<Notifier>,
    pub(super) in_flight: Arc<InFlight>,
    /// Cancelled when the connection ends.
    pub(super) gone: CancellationToken,
    /// The right to have a long prompt in the making.
    pub(super) long_prompt: Arc<Semaphore>,
}

impl<S: Socket> Reader<S> {
    /// Reads until there is nothing more to read.
    pub(super) async fn run(&mut self) -> Ending {
        loop {
            if let Err(ending) = self.message().await {
                return ending;
            }
        }
    }

    /// Reads to the end without listening, so that a goodbye can be exchanged.
    pub(super) async fn discard(&mut self) {
        while let Some(Ok(_)) = self.stream.next().await {}
    }

    async fn message(&mut self) -> Result<(), Ending> {
        // Who may leave its text unread for so long may be silent for it, and was asked a while before.
        let limit = SILENCE_LIMIT.max(self.shared.options.write_grace + PING_INTERVAL);
        let message = timeout(limit, self.stream.next())
            .await
            .map_err(|_| Ending::Lost("it has been silent for too long"))?
            .ok_or(Ending::Closed)?
            .map_err(|error| self.ending(&error))?;
        let received = Instant::now();
        match message {
            Message::Text(text) => self.frame(text, received).await,
            Message::Binary(_) => {
                let message = "frames are JSON in text messages, not binary ones";
                let error = ErrorFrame::new(Code::BadFrame, message);
                self.count(&error);
                Err(Ending::Broken { error: Some(error), code: CloseCode::Unsupported })
            }
            Message::Close(_) => Err(Ending::Closed),
            // tungstenite has the answer ready, which leaves with the next write or read. A client that
            // pings and does not read waits for itself: answers that it does not take would pile up.
            Message::Ping(_) => self.reply(Reply::Flush).await,
            Message::Pong(_) | Message::Frame(_) => Ok(()),
        }
    }

    async fn frame(&mut self, text: Utf8Bytes, received: Instant) -> Result<(), Ending> {
        let n_bytes = text.len();
        let reply = match parse(text).await? {
            Ok(ClientFrame::Infer(infer)) => return self.infer(infer, n_bytes, received).await,
            Ok(ClientFrame::Abort { id }) => {
                if self.in_flight.abort(&id) {
                    return Ok(());
                }
                let message = match id {
                    Some(_) => "no request with this id is running",
                    None => "no request is running",
                };
                Reply::error(&ErrorFrame::new(Code::NotFound, message).about(id))
            }
            Ok(ClientFrame::SubscribeMetrics) => Reply::SubscribeMetrics,
            Ok(ClientFrame::UnsubscribeMetrics) => Reply::UnsubscribeMetrics,
            Ok(ClientFrame::Ping) => Reply::Frame(ServerFrame::Pong.text()),
            Err(error) => self.refusal(&error),
        };
        self.reply(reply).await
    }

    async fn infer(
        &mut self,
        infer: Infer,
        n_bytes: usize,
        received: Instant,
    ) -> Result<(), Ending> {
        let Infer { id, prompt, params } = infer;
        if let Err(error) = self.in_flight.enter(id.clone()) {
            return self.reply(self.refusal(&error)).await;
        }
        let submission = Submission {
            request: Request { connection: self.connection, prompt, params },
            id,
            received,
            notifier: self.notifier.clone(),
            in_flight: self.in_flight.clone(),
        };
        // How long a chat template takes is its own affair.
        let is_chat = matches!(submission.request.prompt, Prompt::Messages(_));
        if n_bytes <= SHORT_BYTES && !is_chat {
            return self.reply(submission.submit(&self.shared)).await;
        }
        let turn = self.long_prompt.clone().acquire_owned().await;
        let turn = turn.map_err(|_| Ending::Lost("it is being closed"))?;
        let submitting = submission.submit_apart(
            self.shared.clone(),
            self.replies.clone(),
            self.gone.clone(),
            turn,
        );
        self.shared.tasks.spawn(submitting.in_current_span());
        Ok(())
    }

    fn refusal(&self, error: &ErrorFrame) -> Reply {
        self.count(error);
        Reply::error(error)
    }

    /// Counts and logs a request that the engine never sees.
    fn count(&self, error: &ErrorFrame) {
        self.shared.engine.count_refused(error.code());
        log_refused(error);
    }

    async fn reply(&self, reply: Reply) -> Result<(), Ending> {
        self.replies.send(reply).await.map_err(|_| Ending::Lost("it is being closed"))
    }

    fn ending(&self, error: &Error) -> Ending {
        match error {
            Error::Capacity(CapacityError::MessageTooLong { .. }) => {
                let limit = self.shared.options.max_message_bytes;
                let message = format!("a message may have {limit} bytes: send a shorter one");
                let error = ErrorFrame::new(Code::BadFrame, message);
                self.count(&error);
                Ending::Broken { error: Some(error), code: CloseCode::Size }
            }
            Error::Utf8(_) => Ending::Broken { error: None, code: CloseCode::Invalid },
            Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => {
                Ending::Lost("it left without a goodbye")
            }
            Error::Protocol(_) => Ending::Broken { error: None, code: CloseCode::Protocol },
            _ => Ending::Lost("its socket failed"),
        }
    }
}

/// Reads a frame, a long one on a thread apart: 8 MiB take a tenth of a second, in which nobody else
/// would be heard.
async fn parse(text: Utf8Bytes) -> Result<Result<ClientFrame, ErrorFrame>, Ending> {
    if text.len() <= SHORT_BYTES {
        return Ok(ClientFrame::parse(&text));
    }
    let parsing = tokio::task::spawn_blocking(move || ClientFrame::parse(&text));
    parsing.await.map_err(|_| Ending::Lost("its message could not be read"))
}
