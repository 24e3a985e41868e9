//! What a client may say.
//!
//! A frame is JSON, an object, has a known `op`, and its fields have the right types; in this
//! order, and the first thing that is wrong is reported. Unknown fields are ignored. If the frame
//! has a usable `id`, the complaint carries it.

use crate::domain::{Message, Params, Prompt, Refusal, Role};

use super::error::{Code, ErrorFrame};
use super::fields::{Fields, expected, invalid};
use super::id::RequestId;
use super::params;
use super::sent::{List, Quoted, Sent};

/// The fields of a frame. What is not named here is skipped before it is read.
const NAMES: [&str; 5] = ["op", "id", "prompt", "messages", "params"];

/// Most messages of a conversation. With 64 tokens each, which is a short turn, they fill a
/// context of a million; and what the chat template makes of each takes far more memory than its
/// text.
const MAX_MESSAGES: usize = 16_384;

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
        let sent = Sent::check(text).map_err(|error| {
            ErrorFrame::new(Code::BadJson, format!("the frame is not valid JSON: {error}"))
        })?;
        let fields = Fields::of(sent, &NAMES)
            .ok_or_else(|| bad_frame(format!("a frame is a JSON object, not {sent}")))?;
        let id = fields.sent("id").and_then(RequestId::read);
        Self::from_fields(&fields, id.clone()).map_err(|error| error.about(id))
    }

    fn from_fields(fields: &Fields<'_>, id: Option<RequestId>) -> Result<Self, ErrorFrame> {
        let sent = fields.sent("op").ok_or_else(|| bad_frame("a frame needs an op"))?;
        let op = sent.text().ok_or_else(|| wrong_type("op", "a string", sent))?;
        Self::from_op(&op, fields, id)
    }

    fn from_op(op: &str, fields: &Fields<'_>, id: Option<RequestId>) -> Result<Self, ErrorFrame> {
        match op {
            "infer" => {
                check_id(fields, id.as_ref())?;
                let prompt = prompt(fields)?;
                let params = match fields.get("params") {
                    None => Params::default(),
                    Some(sent) => params::parse(sent)
                        .ok_or_else(|| wrong_type("params", "an object", sent))??,
                };
                Ok(Self::Infer(Infer { id, prompt, params }))
            }
            "abort" => {
                check_id(fields, id.as_ref())?;
                Ok(Self::Abort { id })
            }
            "subscribe_metrics" => Ok(Self::SubscribeMetrics),
            "unsubscribe_metrics" => Ok(Self::UnsubscribeMetrics),
            "ping" => Ok(Self::Ping),
            other => {
                let message = format!(
                    "there is no op {}: send infer, abort, subscribe_metrics, \
                     unsubscribe_metrics or ping",
                    Quoted(other)
                );
                Err(ErrorFrame::new(Code::UnknownOp, message))
            }
        }
    }
}

/// Refuses an id that was sent and is none.
fn check_id(fields: &Fields<'_>, id: Option<&RequestId>) -> Result<(), ErrorFrame> {
    match (fields.get("id"), id) {
        (Some(sent), None) => {
            let allowed = format!("a string of at most {} bytes", RequestId::MAX_BYTES);
            Err(wrong_type("id", &allowed, sent))
        }
        _ => Ok(()),
    }
}

fn prompt(fields: &Fields<'_>) -> Result<Prompt, ErrorFrame> {
    match (fields.get("prompt"), fields.get("messages")) {
        (Some(sent), None) => match sent.text() {
            Some(text) => Ok(Prompt::Text(text.into_owned())),
            None => Err(wrong_type("prompt", "a string", sent)),
        },
        (None, Some(sent)) => match sent.list(MAX_MESSAGES) {
            Some(list) => Ok(Prompt::Messages(messages(&list)?)),
            None => Err(wrong_type("messages", "a list", sent)),
        },
        (Some(_), Some(_)) => Err(bad_frame("send prompt or messages, not both")),
        (None, None) => Err(bad_frame("infer needs a prompt or messages")),
    }
}

fn messages(list: &List<'_>) -> Result<Vec<Message>, Refusal> {
    if list.len == 0 {
        return Err(invalid("messages", "must not be empty: send at least one"));
    }
    if list.len > MAX_MESSAGES {
        let reason = format!("must be at most {MAX_MESSAGES} messages, not {}", list.len);
        return Err(invalid("messages", reason));
    }
    list.items.iter().enumerate().map(|(index, &item)| message(index, item)).collect()
}

fn message(index: usize, sent: Sent<'_>) -> Result<Message, Refusal> {
    let field = |name: &str| format!("messages[{index}]{name}");
    let fields = Fields::of(sent, &["role", "content"])
        .ok_or_else(|| expected(&field(""), "an object with role and content", sent))?;
    let Some(role) = fields.sent("role") else {
        let reason = "is missing: send \"system\", \"user\" or \"assistant\"";
        return Err(invalid(&field(".role"), reason));
    };
    let Some(content) = fields.sent("content") else {
        return Err(invalid(&field(".content"), "is missing: send a string"));
    };
    Ok(Message {
        role: role.text().and_then(|name| named(&name)).ok_or_else(|| {
            expected(&field(".role"), "\"system\", \"user\" or \"assistant\"", role)
        })?,
        content: content
            .text()
            .ok_or_else(|| expected(&field(".content"), "a string", content))?
            .into_owned(),
    })
}

fn named(name: &str) -> Option<Role> {
    [Role::System, Role::User, Role::Assistant].into_iter().find(|role| role.name() == name)
}

fn wrong_type(field: &str, allowed: &str, sent: Sent<'_>) -> ErrorFrame {
    bad_frame(format!("{field} must be {allowed}, not {sent}"))
}

fn bad_frame(message: impl Into<String>) -> ErrorFrame {
    ErrorFrame::new(Code::BadFrame, message)
}
