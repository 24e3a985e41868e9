//! How text becomes tokens, how a conversation becomes text, and how tokens become text again.
//!
//! [`LlamaVocabulary`] is what the engine uses. A conversation ([`chat`]) is rendered by the
//! model's chat template ([`chat_template`]), the special tokens in the text are found in Rust
//! ([`special`]), and llama.cpp tokenizes the text between them, in chunks that bound its stack
//! ([`chunks`]) or its time ([`sentencepiece`]).

mod chat;
mod chat_template;
mod chunks;
#[cfg(feature = "fuzzing")]
mod fuzzing;
mod quality;
mod sentencepiece;
mod special;
mod vocabulary;

pub use self::chat::{BUILTIN_CHAT_TEMPLATES, builtin_chat_template};
#[cfg(feature = "fuzzing")]
pub use self::fuzzing::{FuzzedTokenizer, render_with};
pub(super) use self::quality::vocabulary_warnings;
pub(super) use self::vocabulary::LlamaVocabulary;
