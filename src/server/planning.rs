//! `/plan`: what the plan of the model's memory is, and what it would be with other options.
//!
//! The daemon gives the server a function for it, the [`Planner`], which computes one plan at a
//! time.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use axum::extract::{RawQuery, State};
use axum::http::StatusCode;
use axum::response::Response;
use percent_encoding::percent_decode_str;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

use super::http::{error_json, json};
use super::shared::Shared;

/// Computes plans: from names and values of options to JSON.
#[derive(Clone)]
pub struct Planner {
    compute: Arc<PlanFn>,
    /// The permit to compute.
    turn: Arc<Semaphore>,
}

/// Takes names and values of options. Returns the plan as JSON, or what is wrong with them.
type PlanFn = dyn Fn(&[(String, String)]) -> Result<String, String> + Send + Sync;

impl Planner {
    /// A planner that calls `compute` on a thread for blocking work.
    pub fn new(
        compute: impl Fn(&[(String, String)]) -> Result<String, String> + Send + Sync + 'static,
    ) -> Self {
        Self { compute: Arc::new(compute), turn: Arc::new(Semaphore::new(1)) }
    }

    /// The plan with these values of options; `None` if computing it panicked.
    async fn plan(&self, changes: Vec<(String, String)>) -> Option<Result<String, String>> {
        let turn = self.turn.clone().acquire_owned().await.ok()?;
        let compute = self.compute.clone();
        let computed = spawn_blocking(move || {
            let _turn = turn;
            compute(&changes)
        });
        computed.await.ok()
    }
}

impl fmt::Debug for Planner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Planner")
    }
}

/// The response to `GET /plan`.
pub(super) async fn plan_page(
    State(shared): State<Arc<Shared>>,
    RawQuery(query): RawQuery,
) -> Response {
    let Some(planner) = &shared.options.planner else {
        return error_json(StatusCode::NOT_FOUND, "this server cannot plan");
    };
    let changes = match parse_query(query.as_deref().unwrap_or_default()) {
        Ok(changes) => changes,
        Err(message) => return error_json(StatusCode::BAD_REQUEST, &message),
    };
    match planner.plan(changes).await {
        Some(Ok(plan)) => json(StatusCode::OK, plan),
        Some(Err(message)) => error_json(StatusCode::BAD_REQUEST, &message),
        None => error_json(StatusCode::INTERNAL_SERVER_ERROR, "the plan could not be computed"),
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
