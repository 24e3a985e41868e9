//! Anthropic's API: `/v1/messages` and `/v1/messages/count_tokens`.
//!
//! `endpoint` serves the requests. `request` and `messages` translate a body into a conversation,
//! without what `attribution` describes. `stream` translates the answer into the events of a
//! message, and `error` gives errors the form of this API.

mod attribution;
mod endpoint;
mod error;
mod messages;
mod request;
mod stream;

pub(super) use self::endpoint::{is_path, routes};
pub(super) use self::error::error_response;
