//! Where frames leave for a client, each write with a deadline of its own.
//!
//! A client on a slow line may take long for a round of many frames and is well all the same, so it
//! is each frame that has to make its way in time. One that takes none for so long is not there any
//! more, or does not want to be.

use std::io;
use std::time::Duration;

use futures_util::SinkExt;
use futures_util::stream::SplitSink;
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::{Error, Message};

use super::connection::Socket;

/// The half of a WebSocket that is written to.
pub(super) type Sink<S> = SplitSink<WebSocketStream<S>, Message>;

/// A [`Sink`] that does not wait for ever.
pub(super) struct Outlet<S> {
    sink: Sink<S>,
    /// How long one frame may be on its way to the operating system.
    grace: Duration,
}

impl<S: Socket> Outlet<S> {
    pub(super) fn new(sink: Sink<S>, grace: Duration) -> Self {
        Self { sink, grace }
    }

    /// Hands a message over, once there is room for it.
    ///
    /// # Errors
    /// The socket's, and [`io::ErrorKind::TimedOut`] where the client took nothing for the grace.
    pub(super) async fn feed(&mut self, message: Message) -> Result<(), Error> {
        in_time(self.grace, self.sink.feed(message)).await
    }

    /// The same for the text of a frame.
    ///
    /// # Errors
    /// Those of [`Self::feed`].
    pub(super) async fn text(&mut self, text: String) -> Result<(), Error> {
        self.feed(Message::text(text)).await
    }

    /// Waits until the operating system has all that was handed over.
    ///
    /// # Errors
    /// Those of [`Self::feed`].
    pub(super) async fn flush(&mut self) -> Result<(), Error> {
        in_time(self.grace, self.sink.flush()).await
    }

    pub(super) fn into_inner(self) -> Sink<S> {
        self.sink
    }
}

async fn in_time(
    grace: Duration,
    write: impl Future<Output = Result<(), Error>>,
) -> Result<(), Error> {
    let stuck = |_| Err(Error::Io(io::ErrorKind::TimedOut.into()));
    timeout(grace, write).await.unwrap_or_else(stuck)
}

/// Whether a write failed because the client took nothing for the grace, or for as long as the operating
/// system waits.
pub(super) fn is_stuck(error: &Error) -> bool {
    matches!(error, Error::Io(error) if error.kind() == io::ErrorKind::TimedOut)
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::StreamExt;
    use tokio::io::{AsyncReadExt, DuplexStream, duplex};
    use tokio::time::{Instant, sleep};
    use tokio_tungstenite::tungstenite::protocol::Role;

    const GRACE: Duration = Duration::from_secs(10);
    const FRAME: usize = 1000;

    /// One end of a line that holds a frame.
    async fn outlet() -> (Outlet<DuplexStream>, DuplexStream) {
        let (near, far) = duplex(FRAME);
        let socket = WebSocketStream::from_raw_socket(near, Role::Server, None).await;
        (Outlet::new(socket.split().0, GRACE), far)
    }

    #[tokio::test(start_paused = true)]
    async fn who_takes_a_frame_now_and_then_may_take_longer_than_the_grace_for_all() {
        let (mut outlet, mut far) = outlet().await;
        let began = Instant::now();
        let reader = tokio::spawn(async move {
            let mut frame = [0; FRAME];
            loop {
                sleep(GRACE / 2).await;
                far.read_exact(&mut frame).await.unwrap();
            }
        });
        for _ in 0..8 {
            outlet.text("x".repeat(FRAME)).await.unwrap();
            outlet.flush().await.unwrap();
        }
        assert!(began.elapsed() > 3 * GRACE);
        reader.abort();
    }

    #[tokio::test(start_paused = true)]
    async fn who_takes_nothing_for_the_grace_is_stuck() {
        let (mut outlet, _far) = outlet().await;
        let began = Instant::now();
        outlet.text("x".repeat(2 * FRAME)).await.unwrap();
        let error = outlet.flush().await.unwrap_err();
        assert!(is_stuck(&error) && began.elapsed() == GRACE, "{error}");
    }
}
