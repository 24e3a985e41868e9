//! Serves HTTP/1.1 on one connection.
//!
//! Deadlines limit how long a client can hold the connection: for the head of a request, between
//! two requests, and during shutdown. A new connection can end it earlier, by taking its permit.
//! After an upgrade `ws` serves the connection.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::server::connections::ConnectionPermit;
use crate::server::socket::AnySocket;

/// Serves HTTP requests until the client closes, a deadline expires, the server closes, the
/// connection is replaced, or it becomes a WebSocket. Handlers find `permit` among the extensions
/// of their request.
pub(in crate::server) async fn serve(
    stream: AnySocket,
    permit: ConnectionPermit,
    routes: Router,
    closing: CancellationToken,
) {
    let peer = permit.peer;
    let routes = TowerToHyperService::new(routes);
    // Each request restarts the activity deadline. Only requests that compute take longer than the
    // deadline. They keep the connection, and limit how long their client may leave them unread.
    let activity = Arc::new(Notify::new());
    let on_request = activity.clone();
    let replaced = permit.replaced();
    let computing = permit.clone();
    let service = service_fn(move |mut request: hyper::Request<Incoming>| {
        on_request.notify_one();
        permit.touch();
        request.extensions_mut().insert(permit.clone());
        routes.call(request)
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
            () = activity.notified() => {}
            () = sleep(ACTIVITY_DEADLINE) => {
                if computing.is_kept() {
                    continue;
                }
                return tracing::debug!(%peer, "connection dropped: the client does not read");
            }
            () = replaced.cancelled() => {
                return tracing::debug!(%peer, "connection dropped: too many are open");
            }
            () = closing.cancelled() => {
                connection.as_mut().graceful_shutdown();
                break timeout(LAST_RESPONSE_DEADLINE, connection).await.unwrap_or(Ok(()));
            }
        }
    };
    if let Err(error) = served {
        tracing::debug!(%peer, "HTTP connection ended: {error}");
    }
}

/// Time for a client to send the head of a request, counted from the start of the connection or the
/// end of the previous response. It also limits idle connections and clients that send a head byte
/// by byte (slow-loris).
const HEADER_DEADLINE: Duration = Duration::from_secs(10);

/// Longest head of a request. A browser with many cookies sends a few KiB.
const MAX_HEAD_BYTES: usize = 16 * 1024;

/// Longest time without a new request. It covers sending a page (about 20 KiB) to a slow client and
/// the idle time after it, and limits clients that request pages and do not read them.
const ACTIVITY_DEADLINE: Duration = Duration::from_secs(30);

/// Time for the response in progress when the server shuts down.
const LAST_RESPONSE_DEADLINE: Duration = Duration::from_secs(1);
