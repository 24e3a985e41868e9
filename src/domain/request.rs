//! A request for text: who asks, the prompt, and how to continue it.

use serde::{Deserialize, Serialize};

use super::params::Params;

/// What a client asks the model to do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Request {
    /// The connection that the request came from.
    pub connection: ConnectionId,
    /// Whom the work counts for.
    pub account: AccountId,
    /// The text to continue.
    pub prompt: Prompt,
    /// How to continue it.
    pub params: Params,
}

/// Identifies a connection for the life of the process. The queue is fair between connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ConnectionId(pub u64);

/// Identifies whom requests count for, for the life of the process: the owner of a key, or a
/// client's address where there are no keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct AccountId(pub u64);

/// The text to continue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Prompt {
    /// Raw text, continued as it is.
    Text(String),
    /// A conversation, rendered with the chat template of the model. Never empty.
    Messages(Vec<Message>),
}

/// One message of a conversation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// The author.
    pub role: Role,
    /// The text.
    pub content: String,
    /// What the model thought before it wrote the text, if that is known apart from the text.
    pub reasoning: Option<String>,
}

impl Message {
    /// Bytes of its texts.
    pub fn n_bytes(&self) -> usize {
        self.content.len() + self.reasoning.as_ref().map_or(0, String::len)
    }
}

/// The author of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Role {
    /// The application, with instructions to the model.
    System,
    /// The human.
    User,
    /// The model.
    Assistant,
}

impl Role {
    /// The name in chat templates and on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::User => "user",
            Self::Assistant => "assistant",
        }
    }
}
