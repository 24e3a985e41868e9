//! [`Server`]: accepts connections, and closes them when the daemon shuts down.
//!
//! Each connection is served by its own task. A failed accept never ends the server, and closing
//! all connections has a deadline.

use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::domain::GpuReading;
use crate::pool::{self, Pool};
use crate::protocol::{Build, Hello, ServingInfo};
use crate::runner::{Client, RequestLimits};

use super::connections::ConnectionPermit;
use super::http;
use super::listener::{AcceptedConnection, Listener};
use super::metrics;
use super::options::{About, Options, SHORT_PARSE_BYTES};
use super::own_hosts::OwnHosts;
use super::shared::{MetricsFrame, Shared};

/// Serves HTTP pages and WebSockets; see [`Server::serve`].
pub struct Server {
    options: Options,
    model: Client,
    hello: Hello,
    readings: watch::Receiver<GpuReading>,
    /// Parses long messages.
    parsing: Pool,
}

impl Server {
    /// Creates a server that submits requests to `client` and publishes the GPU `readings`. Starts
    /// the threads that parse long messages.
    ///
    /// # Errors
    /// The system cannot start a thread.
    pub fn new(
        options: Options,
        client: Client,
        about: About,
        readings: watch::Receiver<GpuReading>,
    ) -> io::Result<Self> {
        let About { model, backend, gpu_layers, parallel, version, commit, llama_cpp, cpu_flags } =
            about;
        let build = Build { version, commit, llama_cpp, cpu_flags };
        let RequestLimits { ctx_size, max_tokens, .. } = client.limits();
        let serving = ServingInfo { backend, gpu_layers, parallel, ctx_size, max_tokens };
        let hello = Hello::new(build, model, serving);
        let max_waiting = options.max_connections;
        let parsing = Pool::start(pool::Options { max_waiting, ..PARSING })?;
        Ok(Self { options, model: client, hello, readings, parsing })
    }

    /// Serves until `closing` is cancelled, then closes all connections and returns.
    ///
    /// Each WebSocket first gets the terminal frames of its requests, then close code 1001. The
    /// caller should have ended all requests by then. Connections that do not close in time are
    /// abandoned.
    ///
    /// HTTP is served by `pages`, a runtime with a thread of its own, and WebSockets by the current
    /// runtime: so `/healthz` is answered at once however much the clients of WebSockets send.
    pub async fn serve(self, listeners: Vec<Listener>, pages: Handle, closing: CancellationToken) {
        let Self { options, model, hello, readings, parsing } = self;
        let (publish, metrics_frames) = watch::channel(MetricsFrame::default());
        let bound = listeners.iter().filter_map(Listener::address).collect();
        let hosts = OwnHosts::new(options.allowed_hosts.clone(), bound);
        let shared = Arc::new(Shared::new(
            (options, hosts),
            model,
            hello,
            metrics_frames,
            readings,
            parsing,
            closing.clone(),
        ));
        shared.tasks.spawn(metrics::broadcast(shared.clone(), publish));
        if shared.access.needs_key() {
            shared.tasks.spawn(shared.access.clone().report_attempts(closing.clone()));
        }
        let routes = http::routes(shared.clone());
        for listener in listeners {
            shared.tasks.spawn_on(accept(listener, routes.clone(), shared.clone()), &pages);
        }
        closing.cancelled().await;
        shared.tasks.close();
        if timeout(SHUTDOWN_DEADLINE, shared.tasks.wait()).await.is_err() {
            tracing::info!("{} connections did not close in time", shared.websockets.n_open());
        }
    }
}

/// Accepts connections until the server closes. No error ends the loop.
async fn accept(listener: Listener, routes: Router, shared: Arc<Shared>) {
    let closing = shared.closing.clone();
    let mut is_failing = false;
    while let Some(accepted) = closing.run_until_cancelled(listener.accept()).await {
        match accepted {
            Ok((accepted, peer)) => {
                is_failing = false;
                let permit = shared.connections.permit(peer);
                let Some(Some(permit)) = closing.run_until_cancelled(permit).await else { break };
                let serving = serve_accepted(accepted, permit, routes.clone(), closing.clone());
                shared.tasks.spawn(serving);
            }
            Err(error) => {
                // The loop retries ten times per second; only the first error is logged.
                if !std::mem::replace(&mut is_failing, true) {
                    tracing::warn!("cannot accept connections: {error}");
                }
                // Otherwise the client has disconnected before it was accepted.
                if error.kind() != ErrorKind::ConnectionAborted {
                    shared.connections.replace_oldest();
                }
                closing.run_until_cancelled(sleep(ACCEPT_PAUSE)).await;
            }
        }
    }
}

/// Completes the TLS handshake of a connection, if it needs one, and serves it.
async fn serve_accepted(
    accepted: AcceptedConnection,
    mut permit: ConnectionPermit,
    routes: Router,
    closing: CancellationToken,
) {
    let stream = match accepted {
        AcceptedConnection::Plain(stream) => stream,
        AcceptedConnection::Tls(stream, tls) => {
            permit.is_tls = true;
            let replaced = permit.replaced();
            let handshake = replaced.run_until_cancelled(tls.handshake(stream, permit.peer));
            match closing.run_until_cancelled(handshake).await {
                Some(Some(Some(stream))) => stream,
                _ => return,
            }
        }
    };
    http::serve(stream, permit, routes, closing).await;
}

/// Pause after a failed accept. The usual cause is a lack of file descriptors, if other parts of
/// the process need more than expected. It lasts until a connection has ended; without a pause the
/// loop would spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Time for all connections to close. Longer than a WebSocket's wait for terminal frames (2 s) and
/// for the client's close frame (2 s) together.
const SHUTDOWN_DEADLINE: Duration = Duration::from_secs(5);

/// The pool that parses long messages, of whose number the connections are the bound (ADR-0042).
/// [`Options::parsing_bytes`] counts its threads.
const PARSING: pool::Options = pool::Options {
    name: "parser",
    n_threads: 1,
    stack_bytes: 1 << 20,
    short_cost: SHORT_PARSE_BYTES,
    max_waiting: 0,
    max_cost: usize::MAX,
};
