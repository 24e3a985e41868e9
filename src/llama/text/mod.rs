//! How text becomes tokens, how a conversation becomes text, and how tokens become text again.
//!
//! [`LlamaVocabulary`] is what the engine uses. A conversation is rendered by the model's chat
//! template ([`chat_template`]), the special tokens in the text are found in Rust ([`special`]),
//! and llama.cpp tokenizes the text between them, in chunks that bound its stack ([`chunks`]).

mod chat_template;
mod chunks;
mod special;
mod vocabulary;

pub(super) use self::vocabulary::LlamaVocabulary;
