//! The HTTP APIs: OpenAI's chat completions, completions, responses and models.
//!
//! `http` routes a request here after it has checked the host, the origin and the key. `serve`
//! (`call`) then moves it to the runtime of the WebSockets, where an endpoint reads the body
//! (`body`), asks the model (`generation`) and writes the answer, whole or as server-sent events
//! (`sse`, `chunks`). `client` is who asked. [`ApiError`] is the only form of an error.
//!
//! `fields` has the fields of requests, `forms` those with several forms and `token_forms` those
//! with tokens. `sampling` turns them into the
//! parameters of a request to the model, `conversation` into its messages and tools, and
//! `constraint` into what the answer has to be. `chat` and `completions` are the endpoints that
//! generate, and `models` tells about the model. `responses` is the Responses API.

mod answers;
pub(in crate::server) mod body;
pub(in crate::server) mod call;
mod chat;
mod chunks;
pub(in crate::server) mod client;
mod completions;
mod constraint;
mod conversation;
mod error;
pub(in crate::server) mod field_names;
mod fields;
mod forms;
pub(in crate::server) mod generation;
mod models;
pub(in crate::server) mod parts;
pub(in crate::server) mod responses;
mod sampling;
pub(in crate::server) mod sse;
mod token_forms;
mod tokens;

use crate::server::openapi::DescribedRoutes;

pub(in crate::server) use self::error::{ApiError, ErrorBody};

/// The routes of these APIs.
pub(in crate::server) fn routes() -> DescribedRoutes {
    DescribedRoutes::default()
        .route("/v1/chat/completions", [chat::operation()])
        .route("/v1/completions", [completions::operation()])
        .route("/tokenize", [tokens::tokenizing()])
        .route("/detokenize", [tokens::detokenizing()])
        .route("/apply-template", [tokens::rendering()])
        .route("/v1/models", [models::listing()])
        .route("/v1/models/{*name}", [models::naming()])
        // For clients whose base address lacks /v1.
        .route("/chat/completions", [chat::operation()])
        .route("/completions", [completions::operation()])
        .route("/models", [models::listing()])
        .merge(responses::routes())
}

/// The parameters that the address of an endpoint on `path` may have.
pub(in crate::server) fn known_parameters(path: &str) -> &'static [&'static str] {
    match path.strip_prefix("/v1/responses/") {
        Some(rest) if rest.ends_with("/input_items") => &["limit", "order", "after"],
        Some(_) => &["stream"],
        None => &[],
    }
}

/// Whether errors on `path` have the form of these APIs.
pub(in crate::server) fn is_api_path(path: &str) -> bool {
    let is_below = |root: &str| {
        path.strip_prefix(root).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    API_PATHS.into_iter().any(is_below)
}

/// The paths of these APIs, and of those that clients look for here.
const API_PATHS: [&str; 8] = [
    "/v1",
    "/api",
    "/tokenize",
    "/detokenize",
    "/apply-template",
    "/chat/completions",
    "/completions",
    "/models",
];
