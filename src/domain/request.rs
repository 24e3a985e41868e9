//! A request for text: who asks, the prompt, and how to continue it.

use serde::{Deserialize, Serialize};

use super::conversation::Conversation;
use super::params::Params;
use super::token::Token;

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
    /// Tokens, continued as they are.
    Tokens(Vec<Token>),
    /// A conversation, rendered with the chat template of the model.
    Chat(Box<Conversation>),
}

impl Prompt {
    /// About the bytes that it takes.
    pub fn n_bytes(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Tokens(tokens) => size_of_val(tokens.as_slice()),
            Self::Chat(conversation) => conversation.n_bytes(),
        }
    }
}
