//! One request for text.

use super::Params;

/// Names a connection for as long as the process lives; fairness is counted by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnectionId(pub u64);

/// What a client asks the model to do.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// Who asks.
    pub connection: ConnectionId,
    /// What to continue.
    pub prompt: Prompt,
    /// How to continue it.
    pub params: Params,
}

/// The text to continue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Prompt {
    /// Raw text, completed as it stands.
    Text(String),
    /// A conversation, rendered with the model's own chat template. Never empty.
    Messages(Vec<Message>),
}

/// One turn of a conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Who speaks.
    pub role: Role,
    /// What is said.
    pub content: String,
}

/// Who speaks in a conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Instructions to the model.
    System,
    /// The person.
    User,
    /// The model.
    Assistant,
}

impl Role {
    /// The name that chat templates and the wire use.
    pub fn name(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::User => "user",
            Self::Assistant => "assistant",
        }
    }
}
