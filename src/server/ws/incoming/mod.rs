//! Counts and limits the bytes of a client's messages before tungstenite stores them (ADR-0040).
//!
//! [`Incoming`] wraps the byte stream of a WebSocket. It follows the frames, takes a charge of the
//! message budget for each part of a long message, and ends the stream if a message is too long or
//! is not complete in time. Frames of more than [`PIECE_BYTES`] are passed on as several fragments,
//! because tungstenite allocates the announced length of a frame at once.

mod header;
mod limits;
#[cfg(test)]
mod tests;

use std::io;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};
use tokio_util::bytes::{Buf, BytesMut};

use crate::server::budget::{BudgetShare, Charge};
use crate::server::options::RECEIVE_FACTOR;
use crate::server::socket::Socket;

use self::header::{FrameHead, HeadBytes};
pub(super) use self::limits::MessageLimits;
use super::READ_BUFFER_BYTES;

/// A byte stream whose WebSocket messages are charged and limited.
#[derive(Debug)]
pub(super) struct Incoming<S> {
    stream: S,
    /// What was received and not passed on.
    input: BytesMut,
    /// The head of the next frame, as far as it was received.
    received_head: HeadBytes,
    /// The frame that is being received.
    frame: Option<FrameHead>,
    /// The head of a fragment that is to be passed on.
    passed_head: HeadBytes,
    /// Bytes of the fragment that are to be passed on after its head.
    piece_rest: usize,
    /// What was passed on since other tasks had their turn, see [`TURN_BYTES`].
    passed: usize,
    message: IncomingMessage,
    limits: MessageLimits,
    share: Arc<BudgetShare>,
    last: LastMessage,
}

/// The message that is being received.
#[derive(Debug)]
struct IncomingMessage {
    /// Whether it has begun and its last frame has not ended.
    is_open: bool,
    /// Bytes that its frames have announced so far.
    announced: u64,
    /// Bytes that were let in so far.
    accepted: usize,
    charge: Charge,
    /// How long the server has waited for parts of it.
    waited: Duration,
    /// Since when the server waits for the next part.
    waiting_since: Option<Instant>,
    /// Ends the wait. Exists only while there was a wait.
    timer: Option<Pin<Box<Sleep>>>,
}

/// The charge of the message that was received last, for the reader that handles it.
#[derive(Debug, Clone, Default)]
pub(super) struct LastMessage(Arc<Mutex<Option<Charge>>>);

impl LastMessage {
    /// Takes the charge; `None` if it was taken already.
    pub(super) fn take_charge(&self) -> Option<Charge> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn set(&self, charge: Charge) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(charge);
    }
}

/// Why the server stops reading messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum IncomingError {
    /// The message is longer than allowed.
    #[error("the message is too long")]
    TooLong,
    /// The message is not complete in time.
    #[error("the message is not complete in time")]
    Overdue,
    /// A control frame is longer than RFC 6455 allows.
    #[error("a control frame is too long")]
    LongControlFrame,
}

impl IncomingError {
    /// The error of the stream as this type; `None` if it comes from the socket.
    pub(super) fn of(error: &io::Error) -> Option<Self> {
        error.get_ref()?.downcast_ref().copied()
    }
}

impl<S: Socket> Incoming<S> {
    /// Wraps `stream`, of which `early` has been read already.
    pub(super) fn new(
        stream: S,
        early: &[u8],
        limits: MessageLimits,
        share: Arc<BudgetShare>,
    ) -> Self {
        let message = IncomingMessage {
            is_open: false,
            announced: 0,
            accepted: 0,
            charge: share.empty(),
            waited: Duration::ZERO,
            waiting_since: None,
            timer: None,
        };
        Self {
            stream,
            input: BytesMut::from(early),
            received_head: HeadBytes::default(),
            frame: None,
            passed_head: HeadBytes::default(),
            piece_rest: 0,
            passed: 0,
            message,
            limits,
            share,
            last: LastMessage::default(),
        }
    }

    /// Where the charge of each complete message is put.
    pub(super) fn last_message(&self) -> LastMessage {
        self.last.clone()
    }

    /// The stream without its charge. What was received and not passed on is lost.
    pub(super) fn into_inner(self) -> S {
        self.stream
    }

    /// Waits for bytes, if there are none. False at the end of the stream.
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        if !self.input.is_empty() {
            return Poll::Ready(Ok(true));
        }
        // A long message is read with few system calls, after which its buffer is freed.
        let wanted = self.piece_rest.max(READ_BUFFER_BYTES);
        if wanted > self.input.capacity() || !self.is_within_message() {
            self.input = BytesMut::with_capacity(wanted);
        }
        self.input.clear();
        match pin!(self.stream.read_buf(&mut self.input)).poll(cx) {
            Poll::Ready(read) => {
                self.message.wait_ended();
                Poll::Ready(read.map(|n| n > 0))
            }
            Poll::Pending if self.is_within_message() => {
                self.message.poll_deadline(cx, self.limits.deadline).map(Err)
            }
            Poll::Pending => Poll::Pending,
        }
    }

    /// Whether a frame or a message has begun and is not complete.
    fn is_within_message(&self) -> bool {
        self.message.is_open || self.frame.is_some() || !self.received_head.is_empty()
    }

    /// Receives the head of the next frame. False at the end of the stream.
    fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        let head = loop {
            if !ready!(self.poll_fill(cx))? {
                return Poll::Ready(Ok(false));
            }
            let byte = self.input.get_u8();
            if let Some(head) = self.received_head.add(byte) {
                break head;
            }
        };
        self.received_head = HeadBytes::default();
        self.message.begin_frame(&head, self.limits.accepted_bytes())?;
        self.frame = Some(head);
        Poll::Ready(Ok(true))
    }

    /// Lets the next part of the frame in, which costs a charge if the message is long.
    fn poll_piece(&mut self, cx: &mut Context<'_>, mut head: FrameHead) -> Poll<()> {
        let piece = usize::try_from(head.rest).unwrap_or(usize::MAX).min(PIECE_BYTES);
        if !head.is_control() {
            ready!(self.message.poll_accept(cx, piece));
        }
        self.passed_head = head.take_piece(piece);
        self.piece_rest = piece;
        self.passed += FRAME_COST + piece;
        self.frame = Some(head);
        if piece == 0 {
            self.end_piece();
        }
        Poll::Ready(())
    }

    /// Ends a part that was passed on, and with the last part its frame and perhaps its message.
    fn end_piece(&mut self) {
        let Some(head) = self.frame.take_if(|head| head.rest == 0) else { return };
        if head.is_control() {
            if !self.message.is_open {
                self.message.reset_wait();
            }
        } else if head.is_final() {
            let charge = std::mem::replace(&mut self.message.charge, self.share.empty());
            self.last.set(charge);
            self.message.is_open = false;
            self.message.accepted = 0;
            self.message.reset_wait();
        }
    }

    /// Passes the head of a fragment on, as far as there is space for it.
    fn pass_head(&mut self, buf: &mut ReadBuf<'_>) {
        let head = self.passed_head.as_slice();
        let n = head.len().min(buf.remaining());
        buf.put_slice(&head[..n]);
        self.passed_head.advance(n);
    }
}

impl IncomingMessage {
    /// Checks the announced length of a frame.
    fn begin_frame(&mut self, head: &FrameHead, max_bytes: usize) -> io::Result<()> {
        if head.is_control() {
            let is_short = head.rest <= MAX_CONTROL_BYTES;
            return is_short.then_some(()).ok_or_else(|| error(IncomingError::LongControlFrame));
        }
        if !std::mem::replace(&mut self.is_open, true) {
            self.announced = 0;
        }
        self.announced = self.announced.saturating_add(head.rest);
        match self.announced > max_bytes as u64 {
            true => Err(error(IncomingError::TooLong)),
            false => Ok(()),
        }
    }

    /// Lets `piece` more bytes in. The first [`PIECE_BYTES`] of a message are free.
    fn poll_accept(&mut self, cx: &mut Context<'_>, piece: usize) -> Poll<()> {
        let n_pieces = (self.accepted + piece).div_ceil(PIECE_BYTES).saturating_sub(1);
        let wanted = n_pieces * PIECE_BYTES * RECEIVE_FACTOR;
        let more = wanted.saturating_sub(self.charge.bytes());
        if more > 0 {
            ready!(self.charge.poll_grow(cx, more));
        }
        self.accepted += piece;
        Poll::Ready(())
    }

    /// Whether the server has waited too long for this message; ready with the error if so.
    fn poll_deadline(&mut self, cx: &mut Context<'_>, deadline: Duration) -> Poll<io::Error> {
        let earned = self.accepted as u64 / MIN_BYTES_PER_SECOND;
        let limit = deadline + Duration::from_secs(earned);
        let since = *self.waiting_since.get_or_insert_with(Instant::now);
        let end = since + limit.saturating_sub(self.waited);
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(end)));
        if timer.deadline() != end {
            timer.as_mut().reset(end);
        }
        timer.as_mut().poll(cx).map(|()| error(IncomingError::Overdue))
    }

    /// A part of the message has come.
    fn wait_ended(&mut self) {
        if let Some(since) = self.waiting_since.take() {
            self.waited += since.elapsed();
        }
    }

    /// Nothing is incomplete.
    fn reset_wait(&mut self) {
        self.waited = Duration::ZERO;
        self.waiting_since = None;
        self.timer = None;
    }
}

fn error(why: IncomingError) -> io::Error {
    io::Error::other(why)
}

/// Passes on the bytes of at most one fragment at a time, so that its message is taken by the
/// reader before the next one begins.
impl<S: Socket> AsyncRead for Incoming<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        while this.passed_head.is_empty() && this.piece_rest == 0 {
            if this.passed >= TURN_BYTES {
                this.passed = 0;
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            if let Some(head) = this.frame {
                ready!(this.poll_piece(cx, head));
            } else if !ready!(this.poll_head(cx))? {
                return Poll::Ready(Ok(()));
            }
        }
        let before = buf.filled().len();
        this.pass_head(buf);
        if this.piece_rest > 0 && buf.remaining() > 0 {
            // With a part of the head passed on, there is no need to wait.
            if this.input.is_empty() && buf.filled().len() > before {
                return Poll::Ready(Ok(()));
            }
            if !ready!(this.poll_fill(cx))? {
                return Poll::Ready(Ok(()));
            }
            let n = this.input.len().min(this.piece_rest).min(buf.remaining());
            buf.put_slice(&this.input[..n]);
            this.input.advance(n);
            this.piece_rest -= n;
            if this.piece_rest == 0 {
                this.end_piece();
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: Socket> AsyncWrite for Incoming<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

/// Longest fragment that is passed on, in bytes. Also what an incomplete message may hold without a
/// charge. A multiple of four, so that the mask of a frame fits each of its parts.
const PIECE_BYTES: usize = 16 * 1024;

/// What one connection passes on before the other tasks have their turn, in bytes, so that clients
/// that send without pause delay the others little (ADR-0040).
const TURN_BYTES: usize = 32 * 1024;

/// What a frame counts for in a turn beside its content, in bytes: about the time to handle it.
const FRAME_COST: usize = 256;

/// A long message gets a second more for each of these bytes that were received (ADR-0040).
const MIN_BYTES_PER_SECOND: u64 = 64 * 1024;

/// Longest content of a control frame (RFC 6455, section 5.5).
const MAX_CONTROL_BYTES: u64 = 125;
