//! One TCP connection, as long as it speaks HTTP.

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpStream;
use tokio::sync::{Notify, OwnedSemaphorePermit};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

/// How long a client may take to send the head of a request, and how long a connection may idle
/// between two: a browser's page needs a few milliseconds, and whoever drips bytes is gone soon.
const HEADER_DEADLINE: Duration = Duration::from_secs(10);

/// Most bytes of a request's head; a browser with many cookies sends a few KiB.
const MAX_HEAD_BYTES: usize = 16 * 1024;

/// Longest from one request to the next: a page of 20 KiB on its way to a slow client, and its idling
/// afterwards. Who asks and does not read keeps a connection from others for so long.
const PAGE_DEADLINE: Duration = Duration::from_secs(30);

/// How long a page may take that is under way when the server closes.
const CLOSE_GRACE: Duration = Duration::from_secs(1);

/// The TCP connection a request came over. As long as one is held, the connection counts.
#[derive(Debug, Clone)]
pub(super) struct Lease {
    pub(super) peer: SocketAddr,
    _permit: Arc<OwnedSemaphorePermit>,
}

impl Lease {
    pub(super) fn new(peer: SocketAddr, permit: OwnedSemaphorePermit) -> Self {
        Self { peer, _permit: Arc::new(permit) }
    }
}

/// Serves pages until the client leaves, idles too long, or becomes a WebSocket.
pub(super) async fn serve(
    stream: TcpStream,
    lease: Lease,
    pages: Router,
    closing: CancellationToken,
) {
    let peer = lease.peer;
    // Tokens are small frames that must not wait for one another.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%peer, "cannot set TCP_NODELAY: {error}");
    }
    let pages = TowerToHyperService::new(pages);
    let asked = Arc::new(Notify::new());
    let asks = asked.clone();
    let service = service_fn(move |mut request: hyper::Request<Incoming>| {
        asks.notify_one();
        request.extensions_mut().insert(lease.clone());
        pages.call(request)
    });
    let mut connection = pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEADER_DEADLINE)
            .max_buf_size(MAX_HEAD_BYTES)
            .serve_connection(TokioIo::new(stream), service)
            .with_upgrades()
    );
    let served = loop {
        tokio::select! {
            served = connection.as_mut() => break served,
            () = asked.notified() => {}
            () = sleep(PAGE_DEADLINE) => {
                return tracing::debug!(%peer, "the client does not read its page; it is dropped");
            }
            () = closing.cancelled() => {
                connection.as_mut().graceful_shutdown();
                break timeout(CLOSE_GRACE, connection).await.unwrap_or(Ok(()));
            }
        }
    };
    if let Err(error) = served {
        tracing::debug!(%peer, "HTTP connection ended: {error}");
    }
}
