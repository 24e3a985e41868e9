//! `/v1/models`: the model of this server, as the only entry of a list and by its name.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use crate::server::shared::Shared;

use super::error::ApiError;
use super::parts::now;

/// The list of models.
pub(super) async fn models(State(shared): State<Arc<Shared>>) -> Response {
    response(&json!({ "object": "list", "data": [model(&shared)] }))
}

/// One model.
pub(super) async fn model_named(
    State(shared): State<Arc<Shared>>,
    Path(name): Path<String>,
) -> Response {
    let own = shared.planned().model_name();
    if name == own {
        return response(&model(&shared));
    }
    let name: String = name.chars().take(100).collect();
    let message = format!("there is no model {name:?}: the model of this server is {own:?}");
    ApiError::of_status(StatusCode::NOT_FOUND, message).into_response()
}

/// What is known about the model.
fn model(shared: &Shared) -> Value {
    let planned = shared.planned();
    let (n_params, size, n_ctx_train) = planned.model_sizes();
    let created = now().saturating_sub(shared.model.uptime().as_secs());
    json!({
        "id": planned.model_name(),
        "object": "model",
        "created": created,
        "owned_by": "inference-core",
        "max_model_len": shared.model.limits().ctx_size,
        "architecture": { "input_modalities": ["text"], "output_modalities": ["text"] },
        "meta": { "n_params": n_params, "size": size, "n_ctx_train": n_ctx_train },
    })
}

fn response(body: &Value) -> Response {
    ([(CONTENT_TYPE, "application/json")], format!("{body}\n")).into_response()
}
