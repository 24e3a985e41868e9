//! A request for a response as it comes: in the body of a `POST`, or in a message.

use std::time::Instant;

use serde::de::Error;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::protocol::JsonSlice;
use crate::server::json_fields::{InvalidField, JsonFields};

use super::request::ResponsesRequest;

/// The body of a `POST`: a request, or why it is none.
#[derive(Debug)]
pub(super) struct ResponsesBody(pub(super) Result<ResponsesRequest, InvalidField>);

impl<'de> Deserialize<'de> for ResponsesBody {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        let sent = JsonSlice::validate(raw.get()).map_err(D::Error::custom)?;
        let fields = JsonFields::of("", sent);
        Ok(Self(fields.and_then(|fields| ResponsesRequest::read(fields, true))))
    }
}

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

impl ClientMessage {
    /// Reads a message that was received at `received`.
    ///
    /// # Errors
    /// [`MessageError`].
    pub(super) fn read(text: &str, received: Instant) -> Result<Self, MessageError> {
        let sent =
            JsonSlice::validate(text).map_err(|error| MessageError::NotJson(error.to_string()))?;
        let without_lane = |error| MessageError::Field { stream_id: None, error };
        let mut fields = JsonFields::of("", sent).map_err(without_lane)?;
        let stream_id = fields.take("stream_id");
        let stream_id = match stream_id.map(|sent| (sent, sent.text())) {
            None => None,
            Some((_, Some(name))) if super::lanes::check_name(&name).is_ok() => {
                Some(name.into_owned())
            }
            Some((sent, _)) => return Err(MessageError::InvalidStreamId(sent.to_string())),
        };
        let lane = stream_id.clone();
        let in_lane = |error| MessageError::Field { stream_id: lane, error };
        let kind = fields.required_text("type");
        let read = match kind.as_deref() {
            Ok("response.create") => {
                ResponsesRequest::read(fields, true).map(|request| Self::Create {
                    request: Box::new(request),
                    stream_id,
                    n_bytes: text.len(),
                    received,
                })
            }
            Ok("response.cancel") => {
                fields.required_text("response_id").map(|response_id| Self::Cancel { response_id })
            }
            Ok(other) => {
                let reason = format!(
                    "must be response.create or response.cancel, not {}",
                    crate::protocol::Quoted(other)
                );
                Err(InvalidField::new("type", reason))
            }
            Err(error) => Err(error.clone()),
        };
        read.map_err(in_lane)
    }
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
            error(r#"{"type":"response.create","stream_id":"a b"}"#),
            MessageError::InvalidStreamId("\"a b\"".to_owned())
        );
        assert_eq!(
            error(r#"{"type":"response.create","stream_id":7}"#),
            MessageError::InvalidStreamId("7".to_owned())
        );
    }
}
