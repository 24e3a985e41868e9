//! Text to tokens and back.

use crate::domain::{Message, Refusal, Token};

/// The vocabulary of a model. All threads share it and may call it at the same time.
pub trait Vocabulary: Send + Sync {
    /// The tokens of a raw prompt, with the begin-of-text token if the model wants one.
    fn tokenize(&self, text: &str) -> Vec<Token>;

    /// The tokens of a conversation, rendered with the chat template of the model up to where the
    /// answer of the assistant begins.
    ///
    /// # Errors
    /// [`Refusal::InvalidParams`] if the model has no chat template or the template rejects the
    /// conversation.
    fn tokenize_chat(&self, messages: &[Message]) -> Result<Vec<Token>, Refusal>;

    /// The bytes that `token` adds to the text: empty for control tokens, and not necessarily
    /// whole characters.
    fn piece(&self, token: Token) -> &[u8];

    /// Whether `token` ends an answer.
    fn is_end(&self, token: Token) -> bool;

    /// Number of tokens in the vocabulary. Valid ids are smaller.
    fn n_tokens(&self) -> usize;

    /// Most bytes of text that one token can stand for, in a prompt or in an answer. A text thus
    /// has at least its length divided by this number of tokens.
    fn longest_piece(&self) -> usize;
}
