//! What a client may say.
//!
//! A frame is JSON, an object, has a known `op`, and its fields have the right types; in this
//! order, and the first thing that is wrong is reported. Unknown fields are ignored. If the frame
//! has a usable `id`, the complaint carries it.

use serde_json::{Map, Value};

use crate::domain::{Message, Params, Prompt, Refusal, Role};

use super::error::{Code, ErrorFrame};
use super::fields::{excerpt, expected, invalid};
use super::id::RequestId;
use super::params;

/// One frame of a client.
#[derive(Debug, Clone, PartialEq)]
pub enum ClientFrame {
    /// Generate text.
    Infer(Infer),
    /// Stop one request, or all of this connection.
    Abort {
        /// The request; `None` means all.
        id: Option<RequestId>,
    },
    /// Send metrics, as is done from the start.
    SubscribeMetrics,
    /// Send no metrics.
    UnsubscribeMetrics,
    /// Answer with `pong`.
    Ping,
}

/// A request for text.
#[derive(Debug, Clone, PartialEq)]
pub struct Infer {
    /// Its name, where the client gave one.
    pub id: Option<RequestId>,
    /// What to continue.
    pub prompt: Prompt,
    /// How to continue it.
    pub params: Params,
}

impl ClientFrame {
    /// Reads a frame.
    ///
    /// # Errors
    /// The `error` frame to answer with.
    pub fn parse(text: &str) -> Result<Self, ErrorFrame> {
        let value = serde_json::from_str(text).map_err(|error| {
            ErrorFrame::new(Code::BadJson, format!("the frame is not valid JSON: {error}"))
        })?;
        let Value::Object(object) = value else {
            let message = format!("a frame is a JSON object, not {}", excerpt(&value));
            return Err(ErrorFrame::new(Code::BadFrame, message));
        };
        let id = object.get("id").and_then(RequestId::from_value);
        Self::from_object(object, id.clone()).map_err(|error| error.about(id))
    }

    fn from_object(
        mut object: Map<String, Value>,
        id: Option<RequestId>,
    ) -> Result<Self, ErrorFrame> {
        let op = match object.get("op") {
            Some(Value::String(op)) => op.as_str(),
            None => return Err(bad_frame("a frame needs an op")),
            Some(other) => {
                return Err(bad_frame(format!("op must be a string, not {}", excerpt(other))));
            }
        };
        match op {
            "infer" => {
                check_id(&object)?;
                let prompt = prompt(&mut object)?;
                let params = match take(&mut object, "params") {
                    None => Params::default(),
                    Some(Value::Object(fields)) => params::parse(fields)?,
                    Some(other) => return Err(wrong_type("params", "an object", &other)),
                };
                Ok(Self::Infer(Infer { id, prompt, params }))
            }
            "abort" => {
                check_id(&object)?;
                Ok(Self::Abort { id })
            }
            "subscribe_metrics" => Ok(Self::SubscribeMetrics),
            "unsubscribe_metrics" => Ok(Self::UnsubscribeMetrics),
            "ping" => Ok(Self::Ping),
            other => {
                let message = format!(
                    "there is no op {}: send infer, abort, subscribe_metrics, \
                     unsubscribe_metrics or ping",
                    excerpt(&Value::from(other))
                );
                Err(ErrorFrame::new(Code::UnknownOp, message))
            }
        }
    }
}

fn check_id(object: &Map<String, Value>) -> Result<(), ErrorFrame> {
    match object.get("id") {
        None | Some(Value::Null) => Ok(()),
        Some(value) if RequestId::from_value(value).is_some() => Ok(()),
        Some(value) => {
            let allowed = format!("a string of at most {} bytes", RequestId::MAX_BYTES);
            Err(wrong_type("id", &allowed, value))
        }
    }
}

fn prompt(object: &mut Map<String, Value>) -> Result<Prompt, ErrorFrame> {
    match (take(object, "prompt"), take(object, "messages")) {
        (Some(Value::String(text)), None) => Ok(Prompt::Text(text)),
        (None, Some(Value::Array(items))) => Ok(Prompt::Messages(messages(items)?)),
        (Some(_), Some(_)) => Err(bad_frame("send prompt or messages, not both")),
        (Some(other), None) => Err(wrong_type("prompt", "a string", &other)),
        (None, Some(other)) => Err(wrong_type("messages", "a list", &other)),
        (None, None) => Err(bad_frame("infer needs a prompt or messages")),
    }
}

fn messages(items: Vec<Value>) -> Result<Vec<Message>, Refusal> {
    if items.is_empty() {
        return Err(invalid("messages", "must not be empty: send at least one"));
    }
    items
        .into_iter()
        .enumerate()
        .map(|(index, item)| {
            let field = |name: &str| format!("messages[{index}]{name}");
            let Value::Object(mut message) = item else {
                return Err(expected(&field(""), "an object with role and content", &item));
            };
            let sent_role = message.get("role").unwrap_or(&Value::Null);
            let role = [Role::System, Role::User, Role::Assistant]
                .into_iter()
                .find(|role| sent_role.as_str() == Some(role.name()))
                .ok_or_else(|| {
                    expected(&field(".role"), "\"system\", \"user\" or \"assistant\"", sent_role)
                })?;
            match message.remove("content").unwrap_or(Value::Null) {
                Value::String(content) => Ok(Message { role, content }),
                other => Err(expected(&field(".content"), "a string", &other)),
            }
        })
        .collect()
}

/// Removes a field, if it is there and not `null`.
fn take(object: &mut Map<String, Value>, name: &str) -> Option<Value> {
    object.remove(name).filter(|value| !value.is_null())
}

fn wrong_type(field: &str, allowed: &str, sent: &Value) -> ErrorFrame {
    bad_frame(format!("{field} must be {allowed}, not {}", excerpt(sent)))
}

fn bad_frame(message: impl Into<String>) -> ErrorFrame {
    ErrorFrame::new(Code::BadFrame, message)
}
