//! The vocabulary of the scripted model.

use std::sync::LazyLock;

use crate::constraint::ConstraintCompiler;
use crate::domain::{
    AnswerStart, AnswerStyle, Constraint, Conversation, Message, Refusal, Role, ThinkingStyle,
    Token, ToolCallStyle,
};
use crate::engine::{AnswerConstraint, ChatTokens, Piece, PromptLimit, Visibility, Vocabulary};

/// The vocabulary: the 256 bytes and [`END_TOKEN`].
#[derive(Debug, Clone, Copy)]
pub struct ScriptedVocabulary;

/// What the last message of a conversation begins with if the rest of it is to be the answer.
const SAY: &str = "say ";

/// The token that ends an answer.
pub const END_TOKEN: Token = 256;

/// Compiles constraints for the vocabulary.
static COMPILER: LazyLock<ConstraintCompiler> = LazyLock::new(|| {
    let tokenize = |text: &str| text.bytes().map(Token::from).collect();
    ConstraintCompiler::new(&ScriptedVocabulary, Box::new(tokenize))
        .expect("the bytes are a vocabulary")
});

impl Vocabulary for ScriptedVocabulary {
    fn tokenize(&self, text: &str, limit: &PromptLimit) -> Result<Vec<Token>, Refusal> {
        limit.check()?;
        Ok(text.bytes().map(Token::from).collect())
    }

    fn tokenize_chat(
        &self,
        conversation: &Conversation,
        limit: &PromptLimit,
    ) -> Result<ChatTokens, Refusal> {
        let messages = &conversation.messages;
        let line = |m: &Message| format!("{}: {}\n", m.role.name(), m.content);
        let last = messages.last();
        let text = match (last.and_then(|last| last.content.strip_prefix(SAY)), last) {
            (Some(answer), _) => answer.to_owned(),
            // Repeating the conversation would repeat the call.
            (None, Some(result)) if result.role == Role::Tool => line(result),
            _ => messages.iter().map(line).collect(),
        };
        Ok(ChatTokens { tokens: self.tokenize(&text, limit)?, start: AnswerStart::default() })
    }

    fn chat_problem(&self) -> Option<&str> {
        None
    }

    fn answer_style(&self) -> AnswerStyle {
        let marks = ThinkingStyle::Marks { start: "<think>".into(), end: "</think>".into() };
        AnswerStyle { thinking: Some(marks), tool_calls: ToolCallStyle::Hermes }
    }

    fn constrain(
        &self,
        constraint: &Constraint,
        limit: &PromptLimit,
    ) -> Result<Box<dyn AnswerConstraint>, Refusal> {
        COMPILER.compile(constraint, limit)
    }

    fn constrain_calls(
        &self,
        conversation: &Conversation,
        limit: &PromptLimit,
    ) -> Result<Option<Box<dyn AnswerConstraint>>, Refusal> {
        COMPILER.compile_calls(conversation, self.answer_style().tool_calls, limit)
    }

    fn piece(&self, token: Token) -> Piece<'_> {
        const BYTES: [u8; 256] = {
            let mut bytes = [0; 256];
            let mut i = 0;
            while i < 256 {
                bytes[i] = i as u8;
                i += 1;
            }
            bytes
        };
        let bytes = usize::try_from(token).ok().and_then(|i| BYTES.get(i..=i)).unwrap_or_default();
        Piece { bytes, visibility: Visibility::Always }
    }

    fn is_end(&self, token: Token) -> bool {
        token == END_TOKEN
    }

    fn n_tokens(&self) -> usize {
        257
    }

    fn longest_piece(&self) -> usize {
        1
    }
}
