//! The server itself: takes connections in, and says goodbye to them.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::domain::GpuReading;
use crate::engine::EngineHandle;
use crate::protocol::{Build, Hello, ServingInfo};
use crate::watchdog::Watchdog;

use super::broadcast;
use super::http::{self, Lease};
use super::options::{About, Options};
use super::pages;
use super::shared::{Published, Shared};

/// Pause after a failed accept. The usual cause is a lack of file descriptors, which lasts until
/// a connection ends; without a pause the loop would spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How long connections may take to close. Longer than the writer's wait for last frames and the
/// connection's for the client's goodbye together; who takes longer does not read.
const CLOSE_GRACE: Duration = Duration::from_secs(5);

/// Serves WebSockets and pages.
pub struct Server {
    options: Options,
    engine: EngineHandle,
    hello: Hello,
    watchdog: Watchdog,
    readings: watch::Receiver<GpuReading>,
}

impl Server {
    /// A server that hands requests to `engine` and shows what `readings` says of the cards.
    pub fn new(
        options: Options,
        engine: EngineHandle,
        about: About,
        watchdog: Watchdog,
        readings: watch::Receiver<GpuReading>,
    ) -> Self {
        let About { model, backend, gpu_layers, parallel, version, commit, llama_cpp, cpu_flags } =
            about;
        let build = Build { version, commit, llama_cpp, cpu_flags };
        let serving = ServingInfo { backend, gpu_layers, parallel, ctx_size: engine.ctx_size() };
        let hello = Hello::new(build, model, serving);
        Self { options, engine, hello, watchdog, readings }
    }

    /// Serves until `closing` is cancelled and every connection has been closed: each gets the
    /// last frames of its requests and then close code 1001. Requests should have come to an end
    /// by then; those that have not are dropped after a short grace.
    pub async fn serve(self, listeners: Vec<TcpListener>, closing: CancellationToken) {
        let Self { options, engine, hello, watchdog, readings } = self;
        let (publish, metrics) = watch::channel(Published::default());
        let shared = Arc::new(Shared::new(
            options,
            engine,
            watchdog,
            hello,
            metrics,
            readings,
            closing.clone(),
        ));
        shared.tasks.spawn(broadcast::run(shared.clone(), publish));
        let pages = pages::router(shared.clone());
        for listener in listeners {
            shared.tasks.spawn(accept(listener, pages.clone(), shared.clone()));
        }
        closing.cancelled().await;
        shared.tasks.close();
        if timeout(CLOSE_GRACE, shared.tasks.wait()).await.is_err() {
            tracing::info!("{} connections did not close in time", shared.n_websockets());
        }
    }
}

/// Takes in connections until the server closes. Nothing that goes wrong ends the loop.
async fn accept(listener: TcpListener, pages: Router, shared: Arc<Shared>) {
    let closing = shared.closing.clone();
    let mut is_failing = false;
    while let Some(accepted) = closing.run_until_cancelled(listener.accept()).await {
        match accepted {
            Ok((stream, peer)) => {
                is_failing = false;
                let Some(permit) = shared.socket() else {
                    tracing::debug!(%peer, "dropped: too many connections");
                    continue;
                };
                let lease = Lease::new(peer, permit);
                let serving = http::serve(stream, lease, pages.clone(), closing.clone());
                shared.tasks.spawn(serving);
            }
            Err(error) => {
                // Said once and not ten times a second.
                if !std::mem::replace(&mut is_failing, true) {
                    tracing::warn!("cannot accept connections: {error}");
                }
                closing.run_until_cancelled(sleep(ACCEPT_PAUSE)).await;
            }
        }
    }
}
