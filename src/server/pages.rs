//! What a plain `GET` finds, and the gate before everything.
//!
//! Every request passes [`gate`]: it must name this machine as its host, and one that asks for a
//! WebSocket, on whatever path, gets it here or a reason why not.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use hyper::upgrade;

use super::connection;
use super::handshake;
use super::http::Lease;
use super::origin::{check_origin, own_host};
use super::prometheus;
use super::shared::Shared;

/// Everything that is served over HTTP.
pub(super) fn router(shared: Arc<Shared>) -> Router {
    Router::new()
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .fallback(nothing)
        .layer(from_fn_with_state(shared.clone(), gate))
        .with_state(shared)
}

async fn gate(State(shared): State<Arc<Shared>>, mut request: Request, next: Next) -> Response {
    let host = match own_host(request.headers()) {
        Ok(host) => host,
        Err(reason) => return plain(StatusCode::FORBIDDEN, reason),
    };
    if !handshake::is_wanted(&request) {
        return next.run(request).await;
    }
    if let Err(reason) = check_origin(request.headers(), &host, &shared.options.allowed_origins) {
        return plain(StatusCode::FORBIDDEN, reason);
    }
    let answer = match handshake::answer(&request) {
        Ok(answer) => answer,
        Err(refusal) => return refusal.into_response(),
    };
    let Some(lease) = request.extensions_mut().remove::<Lease>() else {
        return plain(StatusCode::INTERNAL_SERVER_ERROR, "the connection cannot be upgraded");
    };
    let upgraded = upgrade::on(&mut request);
    shared.tasks.spawn(connection::open(upgraded, lease, shared.clone()));
    answer
}

/// Whether the engine gets on, for whoever restarts it otherwise.
async fn healthz(State(shared): State<Arc<Shared>>) -> Response {
    let health = shared.health();
    let status = if health.is_alive() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    json(status, format!(r#"{{"state":"{}"}}"#, health.name()))
}

/// Whether a request would be taken now, for whoever sends them.
async fn readyz(State(shared): State<Arc<Shared>>) -> Response {
    let health = shared.health();
    if health.is_ready() {
        json(StatusCode::OK, r#"{"ready":true}"#.to_owned())
    } else {
        let body = format!(r#"{{"ready":false,"reason":"{}"}}"#, health.name());
        json(StatusCode::SERVICE_UNAVAILABLE, body)
    }
}

/// Everything that is counted, for Prometheus.
async fn metrics(State(shared): State<Arc<Shared>>) -> Response {
    prometheus::page(&shared)
        .unwrap_or_else(|_| plain(StatusCode::INTERNAL_SERVER_ERROR, "cannot write the metrics"))
}

async fn nothing() -> Response {
    plain(
        StatusCode::NOT_FOUND,
        "nothing here: connect a WebSocket to this address, or get /healthz, /readyz or /metrics",
    )
}

/// One line, so that a terminal's next prompt stands below it.
fn json(status: StatusCode, body: String) -> Response {
    (status, [(CONTENT_TYPE, "application/json")], body + "\n").into_response()
}

/// One line of text.
pub(super) fn plain(status: StatusCode, line: &str) -> Response {
    (status, format!("{line}\n")).into_response()
}
