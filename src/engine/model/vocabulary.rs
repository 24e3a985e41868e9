//! Text to tokens and back.

use crate::domain::{AnswerStart, AnswerStyle, Constraint, Conversation, Refusal, Token};

use super::constraint::AnswerConstraint;
use super::prompt_limit::PromptLimit;

/// The vocabulary of a model. All threads share it and may call it at the same time.
pub trait Vocabulary: Send + Sync {
    /// The tokens of a raw prompt, with the begin-of-text token if the model wants one.
    ///
    /// # Errors
    /// Those of [`PromptLimit::check`], which is to be called often.
    fn tokenize(&self, text: &str, limit: &PromptLimit) -> Result<Vec<Token>, Refusal>;

    /// The tokens of a conversation, rendered with the chat template of the model up to where the
    /// answer of the assistant begins.
    ///
    /// # Errors
    /// [`Refusal::InvalidParams`] if the model has no chat template or the template rejects the
    /// conversation, and those of [`PromptLimit::check`].
    fn tokenize_chat(
        &self,
        conversation: &Conversation,
        limit: &PromptLimit,
    ) -> Result<ChatTokens, Refusal>;

    /// Why conversations cannot be tokenized; `None` if they can.
    fn chat_problem(&self) -> Option<&str>;

    /// How the model marks the parts of its answers to conversations.
    fn answer_style(&self) -> AnswerStyle;

    /// Compiles `constraint` for an answer. The default refuses all constraints.
    ///
    /// # Errors
    /// [`Refusal::InvalidParams`] if the constraint cannot be enforced, and those of
    /// [`PromptLimit::check`].
    fn constrain(
        &self,
        constraint: &Constraint,
        limit: &PromptLimit,
    ) -> Result<Box<dyn AnswerConstraint>, Refusal> {
        let _ = (constraint, limit);
        Err(Refusal::InvalidParams {
            field: "format".to_owned(),
            reason: "is not supported by this model".to_owned(),
        })
    }

    /// Compiles the constraint that makes an answer call the tools that the conversation requires.
    /// `None` if it requires no call, or if the calls of this model cannot be forced, which the
    /// default says of all models.
    ///
    /// # Errors
    /// Those of [`Self::constrain`].
    fn constrain_calls(
        &self,
        conversation: &Conversation,
        limit: &PromptLimit,
    ) -> Result<Option<Box<dyn AnswerConstraint>>, Refusal> {
        let _ = (conversation, limit);
        Ok(None)
    }

    /// What `token` is written as.
    fn piece(&self, token: Token) -> Piece<'_>;

    /// Whether `token` ends an answer.
    fn is_end(&self, token: Token) -> bool;

    /// Number of tokens in the vocabulary. Valid ids are smaller.
    fn n_tokens(&self) -> usize;

    /// Most bytes of text that one token can stand for, in a prompt or in an answer. A text thus
    /// has at least its length divided by this number of tokens.
    fn longest_piece(&self) -> usize;
}

/// A conversation as tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChatTokens {
    /// The tokens.
    pub tokens: Vec<Token>,
    /// How the answer begins after them.
    pub start: AnswerStart,
}

/// What a token is written as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Piece<'v> {
    /// The bytes, which are not necessarily whole characters.
    pub bytes: &'v [u8],
    /// Which answers contain them.
    pub visibility: Visibility,
}

/// Which answers contain the bytes of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Visibility {
    /// All: it is text.
    Always,
    /// Those that show marks: a special token that separates parts of an answer, such as thinking
    /// from what follows it.
    Mark,
    /// None: a special token that begins, ends or fills texts.
    Never,
}

impl<'v> Piece<'v> {
    /// The bytes that the token adds to an answer.
    pub fn shown(self, shows_marks: bool) -> &'v [u8] {
        match self.visibility {
            Visibility::Always => self.bytes,
            Visibility::Mark if shows_marks => self.bytes,
            Visibility::Mark | Visibility::Never => &[],
        }
    }
}
