//! `/plan`: reads the options in the address, and answers with the plan.

use std::borrow::Cow;
use std::sync::Arc;

use axum::extract::{RawQuery, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use percent_encoding::percent_decode_str;

use crate::domain::Code;
use crate::server::http::json;
use crate::server::openai::ApiError;
use crate::server::shared::Shared;

/// The response to `GET /plan`.
pub(in crate::server) async fn plan_page(
    State(shared): State<Arc<Shared>>,
    RawQuery(query): RawQuery,
) -> Response {
    let Some(planner) = &shared.options.planner else {
        let message = "this server cannot plan";
        return ApiError::of_status(StatusCode::NOT_FOUND, message).into_response();
    };
    let invalid = |message| ApiError::new(Code::InvalidParams, message).into_response();
    let changes = match parse_query(query.as_deref().unwrap_or_default()) {
        Ok(changes) => changes,
        Err(message) => return invalid(message),
    };
    match planner.plan(changes).await {
        Some(Ok(plan)) => json(StatusCode::OK, plan),
        Some(Err(message)) => invalid(message),
        None => {
            let message = "the plan could not be computed";
            ApiError::of_status(StatusCode::INTERNAL_SERVER_ERROR, message).into_response()
        }
    }
}

/// The names and values in the query of an address.
///
/// # Errors
/// What is wrong with it.
fn parse_query(query: &str) -> Result<Vec<(String, String)>, String> {
    let decode = |text: &str| {
        let text = text.replace('+', " ");
        percent_decode_str(&text).decode_utf8().map(Cow::into_owned)
    };
    let pairs = query.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        match (decode(name), decode(value)) {
            (Ok(name), Ok(value)) => Ok((name, value)),
            _ => Err("the parameters must be UTF-8".to_owned()),
        }
    });
    pairs.collect()
}

/// The fields of the address.
pub(in crate::server) const PLAN_PARAMETERS: &[&str] = &[
    "ctx_size",
    "parallel",
    "kv_size",
    "kv_type",
    "gpu_layers",
    "vram",
    "vram_reserve",
    "cache_ram",
    "ubatch",
    "flash_attn",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn query_is_decoded_as_forms_are() {
        let parsed = parse_query("ctx_size=8192&&vram=3+GB%2C8GB&x&y=a=b").unwrap();
        let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        let expected =
            [("ctx_size", "8192"), ("vram", "3 GB,8GB"), ("x", ""), ("y", "a=b")].map(owned);
        assert_eq!(parsed, expected);
        assert!(parse_query("").unwrap().is_empty());
        assert!(parse_query("a=%ff").is_err());
    }
}
