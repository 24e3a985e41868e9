//! The frames that a client may send.
//!
//! [`ClientFrame::parse`] checks in this order and reports the first error: valid JSON, an object,
//! a known `op`, fields of the right types. Unknown fields are ignored; the warnings of an `infer`
//! name them. An error carries the frame's `id` if it can be read.

use crate::domain::{ApiKey, Params, Prompt, Refusal};

use super::conversation;
use super::error::{Code, ErrorFrame};
use super::fields::{Fields, invalid};
use super::format;
use super::id::RequestId;
use super::json::{JsonSlice, Quoted};
use super::names::CONVERSATION_FIELDS;
use super::params;
use super::warnings::{Place, Warnings};

/// One frame of a client.
#[derive(Debug, Clone, PartialEq)]
pub enum ClientFrame {
    /// Generate text.
    Infer(Box<Infer>),
    /// Abort one request, or all requests of this connection.
    Abort {
        /// The request; `None` means all.
        id: Option<RequestId>,
    },
    /// Send `metrics` frames. New connections start in this state.
    SubscribeMetrics,
    /// Stop sending `metrics` frames.
    UnsubscribeMetrics,
    /// Reply with `pong`.
    Ping,
    /// Use the connection with this API key.
    Auth {
        /// The key.
        token: ApiKey,
    },
}

/// A request to generate text.
#[derive(Debug, Clone, PartialEq)]
pub struct Infer {
    /// The request's id, if the client chose one.
    pub id: Option<RequestId>,
    /// The text or conversation to continue.
    pub prompt: Prompt,
    /// Sampling and output parameters.
    pub params: Params,
    /// Whether thinking and calls of tools are sent in frames of their own: the request has
    /// `tools`, or asks for `reasoning`.
    pub is_divided: bool,
    /// What the frame has that is ignored, for the `end` frame.
    pub warnings: Warnings,
}

impl ClientFrame {
    /// Parses one message.
    ///
    /// # Errors
    /// The `error` frame to reply with.
    pub fn parse(text: &str) -> Result<Self, ErrorFrame> {
        let sent = JsonSlice::validate(text).map_err(|error| {
            let message = format!("the frame is not valid JSON: {error}");
            let id = JsonSlice::text_in_broken(text, "id").and_then(|id| RequestId::new(&id));
            ErrorFrame::new(Code::BadJson, message).for_request(id)
        })?;
        let mut warnings = Warnings::default();
        let fields = Fields::of(sent, Place::Frame, &mut warnings)
            .ok_or_else(|| bad_frame(format!("the frame must be a JSON object, not {sent}")))?;
        let id = fields.raw("id").and_then(RequestId::from_json);
        Self::from_fields(&fields, id.clone(), warnings).map_err(|error| error.for_request(id))
    }

    /// Reads a frame whose `id` has been parsed, from its fields.
    fn from_fields(
        fields: &Fields<'_>,
        id: Option<RequestId>,
        mut warnings: Warnings,
    ) -> Result<Self, ErrorFrame> {
        let sent =
            fields.raw("op").ok_or_else(|| bad_frame(format!("op is missing: send {OPS}")))?;
        let op = sent.text().ok_or_else(|| wrong_type("op", "a string", sent))?;
        match op.as_ref() {
            "infer" => {
                check_id(fields, id.as_ref())?;
                if fields.get("token").is_some() {
                    warnings.add_unknown(Place::Frame, "token");
                }
                Infer::from_fields(fields, id, warnings).map(|infer| Self::Infer(Box::new(infer)))
            }
            "abort" => {
                check_id(fields, id.as_ref())?;
                Ok(Self::Abort { id })
            }
            "subscribe_metrics" => Ok(Self::SubscribeMetrics),
            "unsubscribe_metrics" => Ok(Self::UnsubscribeMetrics),
            "ping" => Ok(Self::Ping),
            "auth" => {
                // The value is not quoted: it is a key, or a part of one.
                let token = fields.raw("token").and_then(JsonSlice::text);
                let token =
                    token.ok_or_else(|| bad_frame("token must be a string: the API key"))?;
                Ok(Self::Auth { token: ApiKey::new(token) })
            }
            other => {
                let message = format!("there is no op {}: send {OPS}", Quoted(other));
                Err(ErrorFrame::new(Code::UnknownOp, message))
            }
        }
    }
}

impl Infer {
    /// Reads a request whose `id` has been checked. `warnings` has those about the frame.
    fn from_fields(
        fields: &Fields<'_>,
        id: Option<RequestId>,
        mut warnings: Warnings,
    ) -> Result<Self, ErrorFrame> {
        let prompt = prompt(fields, &mut warnings)?;
        let mut params = match fields.get("params") {
            None => Params::default(),
            Some(sent) => params::parse(sent, &mut warnings)
                .ok_or_else(|| wrong_type("params", "an object", sent))??,
        };
        if let Some(sent) = fields.get("format") {
            params.constraint = Some(Box::new(format::parse(sent, &mut warnings)?));
        }
        let has_tools = matches!(&prompt, Prompt::Chat(chat) if !chat.tools.is_empty());
        let is_divided = fields.flag("reasoning")?.unwrap_or(false) || has_tools;
        if is_divided && params.special == Some(false) {
            let reason = "must not be false in requests with tools or reasoning: the marks of the \
                          answer are needed to divide it";
            return Err(invalid("special", reason).into());
        }
        Ok(Self { id, prompt, params, is_divided, warnings })
    }
}

/// Refuses a frame whose `id` field is not a valid id. `id` is the parsed field.
fn check_id(fields: &Fields<'_>, id: Option<&RequestId>) -> Result<(), ErrorFrame> {
    match (fields.get("id"), id) {
        (Some(sent), None) => {
            let allowed = format!("a string of at most {} bytes", RequestId::MAX_BYTES);
            Err(wrong_type("id", &allowed, sent))
        }
        _ => Ok(()),
    }
}

/// Reads `prompt` or `messages`. A frame must have exactly one of them.
fn prompt(fields: &Fields<'_>, warnings: &mut Warnings) -> Result<Prompt, ErrorFrame> {
    match (fields.get("prompt"), fields.get("messages")) {
        (Some(sent), None) => match sent.text() {
            Some(text) => {
                refuse_without_messages(fields)?;
                Ok(Prompt::Text(text.into_owned()))
            }
            None => Err(wrong_type("prompt", "a string", sent)),
        },
        (None, Some(sent)) => {
            let conversation = conversation::parse(sent, fields, warnings)
                .ok_or_else(|| wrong_type("messages", "a list", sent))??;
            Ok(Prompt::Chat(Box::new(conversation)))
        }
        (Some(_), Some(_)) => {
            Err(bad_frame("prompt and messages are both there: send one of them"))
        }
        (None, None) => Err(bad_frame("prompt is missing: send it, or messages")),
    }
}

/// Refuses fields of conversations beside a `prompt`.
fn refuse_without_messages(fields: &Fields<'_>) -> Result<(), Refusal> {
    match CONVERSATION_FIELDS.iter().find(|name| fields.get(name).is_some()) {
        Some(name) => Err(invalid(name, "needs messages: a prompt is continued as it is")),
        None => Ok(()),
    }
}

/// The error for a `field` that has another type than the `allowed` one.
fn wrong_type(field: &str, allowed: &str, sent: JsonSlice<'_>) -> ErrorFrame {
    bad_frame(format!("{field} must be {allowed}, not {sent}"))
}

/// The values of `op`, for messages.
const OPS: &str = "infer, abort, subscribe_metrics, unsubscribe_metrics, ping or auth";

/// A `bad_frame` error that belongs to no request yet.
fn bad_frame(message: impl Into<String>) -> ErrorFrame {
    ErrorFrame::new(Code::BadFrame, message)
}
