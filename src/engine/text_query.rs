//! Answers questions about the vocabulary, on the thread that asks.

use crate::domain::{Refusal, TextQuery, TextReply, Token};

use super::handle::{EngineHandle, check_tokens};
use super::model::{CancelFlag, Vocabulary};

impl EngineHandle {
    /// Answers a question about the vocabulary. Setting `flag` ends the work on it.
    ///
    /// # Errors
    /// The model is not loaded, the prompt could not be a request, or there is no such token.
    pub fn answer(&self, query: &TextQuery, flag: &CancelFlag) -> Result<TextReply, Refusal> {
        let vocabulary = self.vocabulary()?;
        match query {
            TextQuery::Tokenize(prompt) => {
                self.tokenize(prompt, vocabulary, flag).map(|chat| TextReply::Tokens(chat.tokens))
            }
            TextQuery::Detokenize(tokens) => text(tokens, vocabulary).map(TextReply::Text),
        }
    }
}

/// The text of `tokens`.
fn text(tokens: &[Token], vocabulary: &dyn Vocabulary) -> Result<String, Refusal> {
    check_tokens(tokens, "tokens", vocabulary)?;
    let mut bytes = Vec::new();
    for &token in tokens {
        bytes.extend_from_slice(vocabulary.piece(token).bytes);
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
