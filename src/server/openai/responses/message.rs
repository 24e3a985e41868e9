//! The messages of a client on a WebSocket.

use std::time::Instant;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::protocol::{JsonSlice, Quoted};
use crate::server::json::{IgnoredFields, InvalidField, JsonError, Kept, read_body};

use super::request::ResponsesRequest;

/// A message of a client.
#[derive(Debug)]
pub(super) enum ClientMessage {
    /// It asks for a response.
    Create {
        request: Box<ResponsesRequest>,
        stream_id: Option<String>,
        n_bytes: usize,
        received: Instant,
    },
    /// It cancels a response.
    Cancel { response_id: String },
}

/// Why a message cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum MessageError {
    /// It is not JSON, for this reason.
    NotJson(String),
    /// The name of its lane cannot be one.
    InvalidStreamId(String),
    /// A field cannot be used.
    Field {
        /// The lane of the request, if it has a usable one.
        stream_id: Option<String>,
        error: InvalidField,
    },
}

/// What every message has. Nothing here is checked before its lane is known.
#[derive(Debug, Deserialize)]
struct MessageHead {
    r#type: Option<Kept<String>>,
    stream_id: Option<Box<RawValue>>,
    response_id: Option<Kept<String>>,
}

impl ClientMessage {
    /// Reads a message that was received at `received`.
    ///
    /// # Errors
    /// [`MessageError`].
    pub(super) fn read(text: &str, received: Instant) -> Result<Self, MessageError> {
        let head = read_body::<MessageHead>(text);
        let (head, _) = head.map_err(|error| MessageError::of(error, None))?;
        let stream_id = head.stream_id.map(|raw| lane_name(&raw)).transpose()?;
        let lane = stream_id.clone();
        let in_lane = |error| MessageError::of(error, lane.clone());
        let text_of = |path: &str, sent: Option<Kept<String>>| {
            let sent = sent.ok_or_else(|| InvalidField::new(path, "is missing"));
            let text = sent.and_then(|sent| sent.read(path, &mut IgnoredFields::default()));
            text.map_err(|field| in_lane(field.into()))
        };
        match &*text_of("type", head.r#type)? {
            "response.create" => {
                let (body, ignored) = read_body(text).map_err(in_lane)?;
                let request = ResponsesRequest::new(body, ignored);
                let request = Box::new(request.map_err(|field| in_lane(field.into()))?);
                Ok(Self::Create { request, stream_id, n_bytes: text.len(), received })
            }
            "response.cancel" => {
                let response_id = text_of("response_id", head.response_id)?;
                Ok(Self::Cancel { response_id })
            }
            other => {
                let allowed = "must be response.create or response.cancel";
                let reason = format!("{allowed}, not {}", Quoted(other));
                Err(in_lane(InvalidField::new("type", reason).into()))
            }
        }
    }
}

impl MessageError {
    fn of(error: JsonError, stream_id: Option<String>) -> Self {
        match error {
            JsonError::NotJson(reason) => Self::NotJson(reason),
            JsonError::Field(error) => Self::Field { stream_id, error },
        }
    }
}

/// The name of a lane.
fn lane_name(sent: &RawValue) -> Result<String, MessageError> {
    let name: Option<String> = serde_json::from_str(sent.get()).ok();
    name.filter(|name| super::lanes::check_name(name).is_ok()).ok_or_else(|| {
        let quoted = JsonSlice::validate(sent.get()).map(|sent| sent.to_string());
        MessageError::InvalidStreamId(quoted.unwrap_or_default())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> MessageError {
        ClientMessage::read(text, Instant::now()).unwrap_err()
    }

    #[test]
    fn message_creates_or_cancels_a_response() {
        let text = r#"{"type":"response.create","stream_id":"a","input":"hi","stream":true}"#;
        let message = ClientMessage::read(text, Instant::now()).unwrap();
        let ClientMessage::Create { request, stream_id, n_bytes, .. } = message else { panic!() };
        assert_eq!((stream_id.as_deref(), n_bytes), (Some("a"), text.len()));
        assert!(request.ignored.names().is_empty(), "{:?}", request.ignored);
        let text = r#"{"type":"response.cancel","response_id":"resp_1"}"#;
        let message = ClientMessage::read(text, Instant::now()).unwrap();
        assert!(
            matches!(message, ClientMessage::Cancel { response_id } if response_id == "resp_1")
        );
    }

    #[test]
    fn unusable_message_is_refused_in_its_lane() {
        let field = |stream_id: Option<&str>, path: &str, reason: &str| MessageError::Field {
            stream_id: stream_id.map(str::to_owned),
            error: InvalidField::new(path, reason),
        };
        assert!(matches!(error("{"), MessageError::NotJson(_)));
        assert_eq!(error("3"), field(None, "the body", "must be an object, not 3"));
        assert_eq!(error("{}"), field(None, "type", "is missing"));
        assert_eq!(
            error(r#"{"type":"session.update","stream_id":"a"}"#),
            field(
                Some("a"),
                "type",
                "must be response.create or response.cancel, not \"session.update\""
            )
        );
        assert_eq!(
            error(r#"{"type":"response.create","stream_id":"a","metadata":5}"#),
            field(Some("a"), "metadata", "must be an object of at most 16 members, not 5")
        );
        assert_eq!(
            error(r#"{"type":"response.create","stream_id":"a b"}"#),
            MessageError::InvalidStreamId("\"a b\"".to_owned())
        );
        assert_eq!(
            error(r#"{"type":"response.create","stream_id":7}"#),
            MessageError::InvalidStreamId("7".to_owned())
        );
    }
}
