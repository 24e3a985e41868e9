//! Text to tokens, and a conversation to text.

mod chat_template;
mod chunks;
mod special;
mod vocabulary;

pub(super) use self::vocabulary::LlamaVocabulary;
