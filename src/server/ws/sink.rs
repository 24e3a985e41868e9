//! Writes frames to a socket, each with a deadline.
//!
//! The deadline applies to each frame, not to a whole round of frames: a client on a slow line may
//! take long for many frames, but a client that takes no frame within the grace is disconnected or
//! stuck.

use std::io;
use std::time::Duration;

use futures_util::SinkExt;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::{Error, Message};

use crate::server::budget::Charge;

use super::WRITE_BUFFER_BYTES;
use super::socket::{Socket, SocketSink};

/// The writing half of a socket, with a deadline for each frame.
pub(super) struct FrameSink<S> {
    sink: SocketSink<S>,
    /// How long one frame may take to reach the operating system.
    grace: Duration,
    /// For long frames that the operating system does not have yet.
    charge: Charge,
}

impl<S: Socket> FrameSink<S> {
    /// A sink whose frames may take `grace`, and that grows `charge`, which is empty.
    pub(super) fn new(sink: SocketSink<S>, grace: Duration, charge: Charge) -> Self {
        Self { sink, grace, charge }
    }

    /// Queues a message, waiting until the buffer has space for it.
    ///
    /// # Errors
    /// The errors of the socket, and [`io::ErrorKind::TimedOut`] if the client took nothing for the
    /// grace.
    pub(super) async fn feed(&mut self, message: Message) -> Result<(), Error> {
        if message.len() > WRITE_BUFFER_BYTES {
            self.charge.set(self.charge.bytes() + message.len() * SEND_FACTOR);
        }
        within(self.grace, self.sink.feed(message)).await
    }

    /// Queues a text message.
    ///
    /// # Errors
    /// Those of [`Self::feed`].
    pub(super) async fn text(&mut self, text: String) -> Result<(), Error> {
        self.feed(Message::text(text)).await
    }

    /// Waits until the operating system has all queued messages.
    ///
    /// # Errors
    /// Those of [`Self::feed`].
    pub(super) async fn flush(&mut self) -> Result<(), Error> {
        within(self.grace, self.sink.flush()).await?;
        self.charge.set(0);
        Ok(())
    }

    pub(super) fn into_inner(self) -> SocketSink<S> {
        self.sink
    }
}

/// Whether a write failed because the client took nothing for the grace, or for the timeout of the
/// operating system.
pub(super) fn is_stalled(error: &Error) -> bool {
    matches!(error, Error::Io(error) if error.kind() == io::ErrorKind::TimedOut)
}

/// Awaits `write` for at most `grace`.
async fn within(
    grace: Duration,
    write: impl Future<Output = Result<(), Error>>,
) -> Result<(), Error> {
    let stalled = |_| Err(Error::Io(io::ErrorKind::TimedOut.into()));
    timeout(grace, write).await.unwrap_or_else(stalled)
}

/// Memory that a frame takes while it is sent, as a multiple of its length: its text, and
/// tungstenite's copy.
const SEND_FACTOR: usize = 2;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::AccountId;
    use crate::server::budget::MessageBudget;
    use futures_util::StreamExt;
    use tokio::io::{AsyncReadExt, DuplexStream, duplex};
    use tokio::time::{Instant, sleep};
    use tokio_tungstenite::WebSocketStream;
    use tokio_tungstenite::tungstenite::protocol::Role;

    const GRACE: Duration = Duration::from_secs(10);
    const FRAME_BYTES: usize = 1000;

    /// A sink, and the client's end of its socket, which buffers one frame.
    async fn sink() -> (FrameSink<DuplexStream>, DuplexStream) {
        let (server, client) = duplex(FRAME_BYTES);
        let socket = WebSocketStream::from_raw_socket(server, Role::Server, None).await;
        let charge = MessageBudget::new(1 << 20).share(AccountId(1)).empty();
        (FrameSink::new(socket.split().0, GRACE, charge), client)
    }

    #[tokio::test(start_paused = true)]
    async fn slow_client_may_exceed_the_grace_in_total() {
        let (mut sink, mut client) = sink().await;
        let began = Instant::now();
        let reader = tokio::spawn(async move {
            let mut frame = [0; FRAME_BYTES];
            loop {
                sleep(GRACE / 2).await;
                client.read_exact(&mut frame).await.unwrap();
            }
        });
        for _ in 0..8 {
            sink.text("x".repeat(FRAME_BYTES)).await.unwrap();
            sink.flush().await.unwrap();
        }
        assert!(began.elapsed() > 3 * GRACE);
        reader.abort();
    }

    #[tokio::test(start_paused = true)]
    async fn client_that_takes_nothing_for_the_grace_is_stalled() {
        let (mut sink, _client) = sink().await;
        let began = Instant::now();
        sink.text("x".repeat(2 * FRAME_BYTES)).await.unwrap();
        let error = sink.flush().await.unwrap_err();
        assert!(is_stalled(&error) && began.elapsed() == GRACE, "{error}");
    }
}
