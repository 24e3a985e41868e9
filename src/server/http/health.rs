//! `/healthz` and `/readyz`: whether the model can be used.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use schemars::JsonSchema;
use serde::Serialize;

use super::respond::json;
use crate::server::shared::Shared;

/// Whether requests can be expected to finish. Routers send none if not, and a supervisor restarts
/// the daemon if that lasts.
pub(super) async fn healthz(State(shared): State<Arc<Shared>>) -> Response {
    let health = shared.model.health();
    let status = if health.is_alive() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let body = HealthBody { state: health.name(), cause: shared.model.cause() };
    json(status, to_json(&body))
}

/// Readiness: whether requests are computed now. A load balancer sends none if not.
pub(super) async fn readyz(State(shared): State<Arc<Shared>>) -> Response {
    let health = shared.model.health();
    if health.is_ready() {
        let body = ReadyBody { ready: true, reason: None, cause: None };
        json(StatusCode::OK, to_json(&body))
    } else {
        let body =
            ReadyBody { ready: false, reason: Some(health.name()), cause: shared.model.cause() };
        json(StatusCode::SERVICE_UNAVAILABLE, to_json(&body))
    }
}

/// The body of `/healthz`.
#[derive(Serialize, JsonSchema)]
pub(super) struct HealthBody {
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    cause: Option<String>,
}

/// The body of `/readyz`, with a reason if the answer is no.
#[derive(Serialize, JsonSchema)]
pub(super) struct ReadyBody {
    ready: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cause: Option<String>,
}

fn to_json(body: &impl Serialize) -> String {
    serde_json::to_string(body).expect("the bodies have string keys")
}
