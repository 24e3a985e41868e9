//! The TLS handshakes of new connections.
//!
//! A handshake has a deadline, which slow-loris clients cannot extend. The thread that computes it
//! also serves the pages. So handshakes are computed one at a time, and after at most two of them
//! the thread does everything else that is ready (ADR-0037).

use std::future::poll_fn;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use rustls::ServerConfig;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::task::yield_now;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use crate::server::peer::Peer;
use crate::server::socket::{AnySocket, drain};

/// Completes handshakes.
#[derive(Debug)]
pub(super) struct Handshakes {
    /// The right to compute a part of a handshake.
    computing: Semaphore,
}

impl Default for Handshakes {
    fn default() -> Self {
        Self { computing: Semaphore::new(1) }
    }
}

impl Handshakes {
    /// Encrypts `stream`; `None` if the client cannot be served. A client that speaks HTTP without
    /// TLS is told so.
    pub(super) async fn complete(
        &self,
        mut stream: TcpStream,
        config: Arc<ServerConfig>,
        peer: Peer,
    ) -> Option<AnySocket> {
        let handshake = async {
            if is_plain_http(&stream).await? {
                refuse_plain_http(&mut stream).await?;
                return Err(io::Error::other("the client speaks HTTP without TLS"));
            }
            let accept = TlsAcceptor::from(config).accept_with(stream, |connection| {
                connection.set_buffer_limit(Some(MAX_BUFFERED_BYTES));
            });
            self.one_at_a_time(accept).await
        };
        match timeout(HANDSHAKE_DEADLINE, handshake).await {
            Ok(Ok(stream)) => return Some(Box::new(stream)),
            Ok(Err(error)) => tracing::debug!(%peer, "TLS handshake failed: {error}"),
            Err(_) => tracing::debug!(%peer, "TLS handshake took too long"),
        }
        None
    }

    /// Awaits `handshake`, and polls it only while no other one is polled.
    async fn one_at_a_time<T>(&self, handshake: impl Future<Output = T>) -> T {
        let mut handshake = pin!(handshake);
        loop {
            // Fails only if the semaphore is closed, which nobody does.
            let permit = self.computing.acquire().await;
            // Lets tasks run that are ready.
            yield_now().await;
            let polled = poll_fn(|context| Poll::Ready(handshake.as_mut().poll(context))).await;
            drop(permit);
            match polled {
                Poll::Ready(output) => return output,
                Poll::Pending => until_woken().await,
            }
        }
    }
}

/// Waits until what was polled before wakes the task.
async fn until_woken() {
    let mut has_waited = false;
    poll_fn(|_| match std::mem::replace(&mut has_waited, true) {
        true => Poll::Ready(()),
        false => Poll::Pending,
    })
    .await;
}

/// Whether the client begins with a letter, as every method of HTTP does. A TLS client begins with
/// the number of a record type.
async fn is_plain_http(stream: &TcpStream) -> io::Result<bool> {
    let mut first = [0];
    let n_read = stream.peek(&mut first).await?;
    Ok(n_read == 1 && first[0].is_ascii_uppercase())
}

/// Answers HTTP without TLS, and discards what the client sends.
async fn refuse_plain_http(stream: &mut TcpStream) -> io::Result<()> {
    stream.write_all(NOT_ENCRYPTED.as_bytes()).await?;
    drain(stream).await
}

/// The answer to HTTP without TLS.
const NOT_ENCRYPTED: &str = "HTTP/1.1 400 Bad Request\r\n\
     Content-Type: text/plain; charset=utf-8\r\n\
     X-Content-Type-Options: nosniff\r\n\
     Connection: close\r\n\
     Content-Length: 73\r\n\r\n\
     this port is encrypted: connect to https:// or wss:// instead of http://\n";

/// Time for a client to complete the handshake, of which a phone on a slow line needs about a
/// second.
const HANDSHAKE_DEADLINE: Duration = Duration::from_secs(10);

/// Most bytes that TLS collects for a client before the writer waits for it: one record. More would
/// hide that the client does not read (ADR-0013).
const MAX_BUFFERED_BYTES: usize = 16 * 1024;

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use tokio::task::JoinSet;

    use super::*;

    #[test]
    fn hint_for_plain_http_has_its_length() {
        let (head, body) = NOT_ENCRYPTED.split_once("\r\n\r\n").unwrap();
        assert!(head.ends_with(&format!("Content-Length: {}", body.len())), "{}", body.len());
    }

    #[tokio::test]
    async fn other_tasks_run_between_handshakes() {
        const N_HANDSHAKES: usize = 8;
        let handshakes = Arc::new(Handshakes::default());
        let order = Arc::new(Mutex::new(Vec::new()));
        let mut tasks = JoinSet::new();
        for _ in 0..N_HANDSHAKES {
            let (handshakes, order) = (handshakes.clone(), order.clone());
            let handshake = async move { order.lock().unwrap().push("handshake") };
            tasks.spawn(async move { handshakes.one_at_a_time(handshake).await });
        }
        let done = order.clone();
        let n_done = move || done.lock().unwrap().iter().filter(|name| **name != "other").count();
        let others = order.clone();
        tasks.spawn(async move {
            while n_done() < N_HANDSHAKES {
                others.lock().unwrap().push("other");
                yield_now().await;
            }
        });
        tasks.join_all().await;
        let order = order.lock().unwrap();
        // One can be the last of a round through the ready tasks, and one the first of the next.
        let in_a_row = order.windows(3).any(|three| three == ["handshake"; 3]);
        assert!(!in_a_row, "{order:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn handshake_goes_on_when_it_is_woken() {
        let handshakes = Handshakes::default();
        let slow = async {
            tokio::time::sleep(HANDSHAKE_DEADLINE / 2).await;
            "done"
        };
        let (first, second) =
            tokio::join!(handshakes.one_at_a_time(slow), handshakes.one_at_a_time(async { 1 }));
        assert_eq!((first, second), ("done", 1));
    }
}
