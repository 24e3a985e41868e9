//! Reads the body of a request: bounded, charged to the message budget, within a deadline, and into
//! a type whose fields bound what parsing takes.
//!
//! A tree of JSON values can take a hundred times the memory of its text (ADR-0022). So no body is
//! read into one: nested values of any type stay text, and lists have a bound (`bounded`).

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use axum::body::{Body, BodyDataStream, Bytes};
use axum::http::HeaderMap;
use axum::http::StatusCode;
use axum::http::header::CONTENT_LENGTH;
use futures_util::StreamExt;
use serde::de::DeserializeOwned;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout};

use crate::domain::Code;
use crate::pool::Task;
use crate::protocol::without_lone_surrogates;
use crate::server::budget::Charge;
use crate::server::options::RECEIVE_FACTOR;

use super::client::ApiClient;
use super::error::ApiError;
use super::ignored::IgnoredFields;

/// A body that was read.
#[derive(Debug)]
pub(in crate::server) struct ParsedBody<T> {
    pub(in crate::server) value: T,
    /// The fields that `T` does not have.
    pub(in crate::server) ignored: IgnoredFields,
    /// Length of the body in bytes.
    pub(in crate::server) n_bytes: usize,
    /// For the memory of the body and of what was read from it.
    pub(in crate::server) charge: Charge,
}

/// Reads `body` as JSON of type `T`.
///
/// # Errors
/// The body is too long, not complete in time, not JSON or not a `T`, or the client was
/// interrupted. The error has been counted.
pub(in crate::server) async fn read_json<T: DeserializeOwned + Send + 'static>(
    client: &Arc<ApiClient>,
    headers: &HeaderMap,
    body: Body,
) -> Result<ParsedBody<T>, ApiError> {
    let read = async {
        let (bytes, charge) = read_bytes(client, headers, body).await?;
        parse_charged(client, bytes, charge).await
    };
    let result = tokio::select! {
        result = read => result,
        error = client.interrupted() => Err(error),
    };
    result.inspect_err(|error| client.refused(error))
}

/// Reads the whole body.
async fn read_bytes(
    client: &ApiClient,
    headers: &HeaderMap,
    body: Body,
) -> Result<(Vec<u8>, Charge), ApiError> {
    let options = &client.shared.options;
    let max = options.max_message_bytes;
    let announced = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok());
    let mut charge = client.share.empty();
    let mut bytes = Vec::new();
    let mut waited = Duration::ZERO;
    let mut body = body.into_data_stream();
    if announced.and_then(|text| text.parse().ok()).is_some_and(|n: u64| n > max as u64) {
        return Err(too_long(max, &mut body).await);
    }
    loop {
        let earned = Duration::from_secs(bytes.len() as u64 / MIN_BYTES_PER_SECOND);
        let limit = (options.message_deadline + earned).saturating_sub(waited);
        let since = Instant::now();
        let Ok(chunk) = timeout(limit, next_chunk(&mut body)).await else {
            client.shared.n_overdue.fetch_add(1, Relaxed);
            return Err(ApiError::of_status(
                StatusCode::REQUEST_TIMEOUT,
                format!(
                    "the body was not complete in time: the server waits {} s for its parts, and \
                     a second more for each 64 KiB",
                    options.message_deadline.as_secs()
                ),
            ));
        };
        waited += since.elapsed();
        let Some(chunk) = chunk? else { return Ok((bytes, charge)) };
        if bytes.len() + chunk.len() > max {
            return Err(too_long(max, &mut body).await);
        }
        let wanted = (bytes.len() + chunk.len()) * RECEIVE_FACTOR;
        let more = wanted.saturating_sub(charge.bytes());
        poll_fn(|cx| charge.poll_grow(cx, more)).await;
        bytes.extend_from_slice(&chunk);
    }
}

/// The next part of the body; `None` at its end.
async fn next_chunk(body: &mut BodyDataStream) -> Result<Option<Bytes>, ApiError> {
    let chunk = body.next().await.transpose();
    chunk.map_err(|_| ApiError::new(Code::BadFrame, "the body is not complete"))
}

/// The error for a body of more than `max` bytes. Discards the rest for a moment: a client that is
/// still sending when the connection closes may not see the response.
async fn too_long(max: usize, body: &mut BodyDataStream) -> ApiError {
    let discard = async {
        let mut n_bytes = 0;
        while n_bytes < MAX_DISCARDED_BYTES
            && let Ok(Some(chunk)) = next_chunk(body).await
        {
            n_bytes += chunk.len();
        }
    };
    // The response is the same if there is more.
    let _ = timeout(DISCARD_DEADLINE, discard).await;
    let message = format!("the body is longer than the limit of {max} bytes: send a shorter one");
    ApiError::of_status(StatusCode::PAYLOAD_TOO_LARGE, message)
}

/// Parses a body, and frees it. A long one is parsed on the threads for that, since it would block
/// all connections of this runtime.
async fn parse_charged<T: DeserializeOwned + Send + 'static>(
    client: &ApiClient,
    bytes: Vec<u8>,
    charge: Charge,
) -> Result<ParsedBody<T>, ApiError> {
    let n_bytes = bytes.len();
    if n_bytes <= SHORT_BODY_BYTES {
        let (value, ignored) = parse(&bytes)?;
        return Ok(ParsedBody { value, ignored, n_bytes, charge });
    }
    let task = Task {
        key: client.shared.next_message(),
        account: client.account(),
        connection: client.connection,
        cost: n_bytes,
    };
    let (parsed, result) = oneshot::channel();
    // The thread goes on if the client disconnects, so it owns the charge.
    let work = move || {
        let result = parse(&bytes);
        drop(bytes);
        // Fails if the client has disconnected.
        let _ = parsed.send((result, charge));
    };
    client.shared.parsing.submit(task, work).map_err(|full| {
        let message =
            format!("{} long messages wait to be parsed: try again later", full.n_waiting);
        ApiError::new(Code::Busy, message)
    })?;
    let (result, charge) = result.await.map_err(|_| {
        ApiError::of_status(StatusCode::INTERNAL_SERVER_ERROR, "parsing the body failed")
    })?;
    let (value, ignored) = result?;
    Ok(ParsedBody { value, ignored, n_bytes, charge })
}

/// Parses JSON of type `T`. The error names the field that is wrong.
pub(super) fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<(T, IgnoredFields), ApiError> {
    let text = std::str::from_utf8(bytes)
        .map_err(|error| ApiError::new(Code::BadJson, format!("the body is not UTF-8: {error}")))?;
    // Halves of characters, which JavaScript programs send, become U+FFFD.
    let text = without_lone_surrogates(text);
    match text.trim_start().bytes().next() {
        None => return Err(ApiError::new(Code::BadJson, "the body is empty: send a JSON object")),
        // Else its values would count as the fields in the order of their declaration.
        Some(b'[') => {
            let message = "the body must be a JSON object, not a list";
            return Err(ApiError::new(Code::InvalidParams, message));
        }
        Some(_) => {}
    }
    let mut json = serde_json::Deserializer::from_str(&text);
    let mut track = serde_path_to_error::Track::new();
    let mut ignored = IgnoredFields::default();
    let tracked = serde_path_to_error::Deserializer::new(&mut json, &mut track);
    let value = serde_ignored::deserialize(tracked, |path| ignored.add(&path.to_string()));
    let value = value.and_then(|value: T| json.end().map(|()| value));
    value.map(|value| (value, ignored)).map_err(|error| {
        if !error.is_data() {
            let message = format!("the body is not valid JSON: {}", shortened(&error.to_string()));
            return ApiError::new(Code::BadJson, message);
        }
        let path = track.path().to_string();
        let reason = plain_types(shortened(&error.to_string()));
        match path.as_str() {
            "." | "?" => ApiError::new(Code::InvalidParams, format!("the body is wrong: {reason}")),
            _ => ApiError::invalid(path, format_args!("is wrong: {reason}")),
        }
    })
}

/// A message of serde with names of types that people know who write JSON.
fn plain_types(reason: &str) -> String {
    let Some((found, expected)) = reason.split_once(", expected ") else {
        return reason.to_owned();
    };
    let plain = match expected.split(' ').next().unwrap_or_default() {
        "f64" | "f32" => "a number",
        "i32" | "u32" | "i64" | "u64" | "u8" | "usize" => "a whole number",
        "struct" => "an object",
        _ => return reason.to_owned(),
    };
    // The rest is the place, as a line and a column.
    let place = expected.split_once(" at line ").map_or("", |(_, place)| place);
    match place {
        "" => format!("{found}, expected {plain}"),
        _ => format!("{found}, expected {plain} at line {place}"),
    }
}

/// The first characters of a text that may quote the client.
fn shortened(text: &str) -> &str {
    let end = text.char_indices().nth(MAX_REASON_CHARS).map_or(text.len(), |(end, _)| end);
    &text[..end]
}

/// Longest body that is parsed on the thread of the connections, in bytes (ADR-0013).
const SHORT_BODY_BYTES: usize = 16 * 1024;

/// A long body gets a second more for each of these bytes that were received (ADR-0040).
const MIN_BYTES_PER_SECOND: u64 = 64 * 1024;

/// Most bytes of a body that is too long that are discarded before its response.
const MAX_DISCARDED_BYTES: usize = 64 * 1024 * 1024;

/// How long a body that is too long is discarded before its response.
const DISCARD_DEADLINE: Duration = Duration::from_secs(1);

/// Most characters of the reason why a body cannot be read.
const MAX_REASON_CHARS: usize = 300;

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    struct SentBody {
        items: Vec<SentItem>,
    }

    #[derive(Debug, Deserialize)]
    struct SentItem {
        size: u32,
    }

    fn error(text: &str) -> ApiError {
        parse::<SentBody>(text.as_bytes()).unwrap_err()
    }

    #[test]
    fn wrong_field_is_named_with_its_path() {
        let error = error(r#"{"items":[{"size":1},{"size":"a"}]}"#);
        assert_eq!(error.param.as_deref(), Some("items[1].size"));
        assert!(error.message.starts_with("items[1].size is wrong: invalid type"), "{error:?}");
        assert!(error.message.contains("expected a whole number at line 1"), "{error:?}");
        assert_eq!(error.code, Code::InvalidParams);
    }

    #[test]
    fn text_that_is_no_json_is_refused() {
        for text in ["", "{", "{\"items\":[]} x", "\u{fe}"] {
            assert_eq!(error(text).code, Code::BadJson, "{text}");
        }
        assert_eq!(parse::<SentBody>(b"\"\xff\"").unwrap_err().code, Code::BadJson);
        let deep = "[".repeat(100_000);
        assert!(error(&deep).message.len() < 400);
    }

    #[test]
    fn list_is_not_taken_as_the_fields_in_their_order() {
        assert_eq!(error("[[]]").message, "the body must be a JSON object, not a list");
    }

    #[test]
    fn half_of_a_character_becomes_a_replacement() {
        let text = parse::<String>(br#""a\ud83d""#).unwrap().0;
        assert_eq!(text, "a\u{fffd}");
    }

    #[test]
    fn long_values_are_not_quoted_in_full() {
        let error = error(&format!(r#"{{"items":"{}"}}"#, "x".repeat(10_000)));
        assert!(error.message.len() < 400, "{error:?}");
    }

    #[test]
    fn fields_that_nobody_reads_are_listed() {
        let text = r#"{"items":[{"size":1,"a":2},{"size":1,"a":3}],"user":"x"}"#;
        let (sent, ignored) = parse::<SentBody>(text.as_bytes()).unwrap();
        assert_eq!(sent.items.iter().map(|item| item.size).sum::<u32>(), 2);
        assert_eq!(ignored.header().unwrap(), "items[].a, user");
    }
}
