//! `/v1/models`: the model of this server, as the only entry of a list and by its name.

use std::sync::Arc;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use schemars::JsonSchema;
use serde::Serialize;

use crate::server::openapi::Operation;
use crate::server::shared::Shared;

use super::error::{ApiError, ErrorBody};
use super::parts::{now, to_json};

/// How models are listed.
pub(super) fn listing() -> Operation {
    Operation::get(models, "Lists the model").answers::<ModelList<'_>>().of_api::<ErrorBody<'_>>()
}

/// How a model is asked for by its name.
pub(super) fn naming() -> Operation {
    Operation::get(model_named, "Describes the model")
        .answers::<ModelBody<'_>>()
        .of_api::<ErrorBody<'_>>()
}

/// The list of models.
#[derive(Debug, Serialize, JsonSchema)]
struct ModelList<'a> {
    object: &'static str,
    data: [ModelBody<'a>; 1],
}

/// A model.
#[derive(Debug, Serialize, JsonSchema)]
struct ModelBody<'a> {
    id: &'a str,
    object: &'static str,
    /// Seconds since 1970.
    created: u64,
    owned_by: &'static str,
    /// Most tokens of a prompt and its answer.
    max_model_len: usize,
    architecture: ModelModalities,
    meta: ModelMeta,
}

#[derive(Debug, Serialize, JsonSchema)]
struct ModelModalities {
    input_modalities: [&'static str; 1],
    output_modalities: [&'static str; 1],
}

#[derive(Debug, Serialize, JsonSchema)]
struct ModelMeta {
    n_params: u64,
    size: u64,
    n_ctx_train: u32,
}

/// The list of models.
async fn models(State(shared): State<Arc<Shared>>) -> Response {
    response(&ModelList { object: "list", data: [model(&shared)] })
}

/// One model.
async fn model_named(
    State(shared): State<Arc<Shared>>,
    name: Result<Path<String>, PathRejection>,
) -> Response {
    // A name that is not UTF-8 is none.
    let name = name.map_or_else(|_| "\u{fffd}".to_owned(), |Path(name)| name);
    let own = shared.planned().model_name();
    if name == own {
        return response(&model(&shared));
    }
    let name: String = name.chars().take(100).collect();
    let message = format!("there is no model {name:?}: the model of this server is {own:?}");
    ApiError::of_status(StatusCode::NOT_FOUND, message).into_response()
}

/// What is known about the model.
fn model(shared: &Shared) -> ModelBody<'_> {
    let planned = shared.planned();
    let (n_params, size, n_ctx_train) = planned.model_sizes();
    let created = now().saturating_sub(shared.model.uptime().as_secs());
    ModelBody {
        id: planned.model_name(),
        object: "model",
        created,
        owned_by: "inference-core",
        max_model_len: shared.model.limits().ctx_size,
        architecture: ModelModalities { input_modalities: ["text"], output_modalities: ["text"] },
        meta: ModelMeta { n_params, size, n_ctx_train },
    }
}

fn response(body: &impl Serialize) -> Response {
    ([(CONTENT_TYPE, "application/json")], to_json(body) + "\n").into_response()
}
