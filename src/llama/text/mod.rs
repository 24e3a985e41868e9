//! How text becomes tokens, how a conversation becomes text, and how tokens become text again.
//!
//! [`LlamaVocabulary`] is what the engine uses. A conversation ([`chat`]) is rendered by the
//! model's chat template ([`chat_template`]), the special tokens in the text are found in Rust
//! ([`special`]), and the text between them is tokenized ([`plain`]): by an own tokenizer
//! ([`sentencepiece`]), or by llama.cpp in chunks that bound its stack ([`chunks`]).

mod chat;
mod chat_template;
mod chunks;
#[cfg(feature = "fuzzing")]
mod fuzzing;
mod plain;
mod quality;
mod sentencepiece;
mod special;
mod stack;
mod vocabulary;

pub use self::chat::{BUILTIN_CHAT_TEMPLATES, builtin_chat_template};
#[cfg(feature = "fuzzing")]
pub use self::fuzzing::{FuzzedTokenizer, render_with};
pub(super) use self::quality::vocabulary_warnings;
pub(super) use self::vocabulary::LlamaVocabulary;
