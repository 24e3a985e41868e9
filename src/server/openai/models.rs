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
use super::parts::to_json;

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
    /// As Anthropic's API pages its list.
    has_more: bool,
    first_id: &'a str,
    last_id: &'a str,
}

/// A model.
#[derive(Debug, Serialize, JsonSchema)]
struct ModelBody<'a> {
    id: &'a str,
    object: &'static str,
    /// When the server was started, in seconds since 1970.
    created: u64,
    /// As Anthropic's API describes a model.
    r#type: &'static str,
    display_name: &'a str,
    /// As `created`, in the form of RFC 3339.
    created_at: String,
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
    let id = shared.planned().model_name();
    response(&ModelList {
        object: "list",
        data: [model(&shared)],
        has_more: false,
        first_id: id,
        last_id: id,
    })
}

/// One model.
async fn model_named(
    State(shared): State<Arc<Shared>>,
    name: Result<Path<String>, PathRejection>,
) -> Response {
    // A name that is not UTF-8 is none.
    let name = name.map_or_else(|_| "\u{fffd}".to_owned(), |Path(name)| name);
    let own = shared.planned().model_name();
    if name == own || slug(&name) == slug(own) {
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
    let created = shared.started_at;
    ModelBody {
        id: planned.model_name(),
        object: "model",
        created,
        r#type: "model",
        display_name: planned.model_name(),
        created_at: rfc3339(created),
        owned_by: "inference-core",
        max_model_len: shared.model.limits().ctx_size,
        architecture: ModelModalities { input_modalities: ["text"], output_modalities: ["text"] },
        meta: ModelMeta { n_params, size, n_ctx_train },
    }
}

/// A name for addresses: small letters and digits, with `-` in place of all else.
fn slug(name: &str) -> String {
    let words = name.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join("-").to_lowercase()
}

/// The date and the time in UTC, in the form of RFC 3339, of a number of seconds since 1970.
fn rfc3339(seconds: u64) -> String {
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    // Years that begin in March, so that a leap day is the last one of its year.
    let days = days + DAYS_TO_1970;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day_of_year = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = era * 400 + year + u64::from(month <= 2);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// Days from 1 March of the year 0 to 1 January 1970.
const DAYS_TO_1970: u64 = 719_468;

fn response(body: &impl Serialize) -> Response {
    ([(CONTENT_TYPE, "application/json")], to_json(body) + "\n").into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_is_written_as_in_rfc_3339() {
        for (seconds, expected) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_735_689_599, "2024-12-31T23:59:59Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
        ] {
            assert_eq!(rfc3339(seconds), expected);
        }
    }

    #[test]
    fn slug_has_no_spaces() {
        assert_eq!(slug("Smollm2 135M 8k (Mix1)"), "smollm2-135m-8k-mix1");
    }
}
