//! The tokenizer for text without special tokens: an own one for SentencePiece vocabularies,
//! llama.cpp's for all others.
//!
//! llama.cpp's tokenizer can be used by several threads at once (`llama.h`, "Tokenization"), but
//! one call cannot be stopped. So long texts for byte-pair vocabularies are split into chunks.

use std::sync::Arc;

use llama_cpp_2::model::LlamaModel;
use llama_cpp_2::token::LlamaToken;
use llama_cpp_2::vocab::LlamaVocab;
use llama_cpp_sys_2 as sys;

use crate::domain::{Refusal, Token};
use crate::engine::PromptLimit;
use crate::llama::model_ptr::model_ptr;

use super::chunks::tokenize_in_chunks;
use super::sentencepiece::{SentencePiece, SentencePieceToken};

/// Tokenizes text without special tokens.
pub(super) enum PlainTokenizer {
    /// The tokenizer of llama.cpp for byte-pair vocabularies, whose regular expressions need a
    /// large stack.
    BytePairs(Arc<LlamaModel>),
    SentencePiece(Box<SentencePiece>),
    /// The tokenizers of llama.cpp for RWKV and PLaMo 2.
    Other(Arc<LlamaModel>),
}

impl PlainTokenizer {
    /// The tokenizer for the vocabulary of `model`. Text never becomes one of the tokens for which
    /// `is_control` is true, if that depends on this program.
    pub(super) fn new(model: &Arc<LlamaModel>, is_control: impl Fn(Token) -> bool) -> Self {
        // SAFETY: the model is loaded, and its vocabulary lives as long as it.
        let kind = unsafe { sys::llama_vocab_type(sys::llama_model_get_vocab(model_ptr(model))) };
        match kind {
            sys::LLAMA_VOCAB_TYPE_SPM => {
                Self::SentencePiece(Box::new(sentencepiece(&model.vocab(), is_control)))
            }
            sys::LLAMA_VOCAB_TYPE_BPE => Self::BytePairs(model.clone()),
            _ => Self::Other(model.clone()),
        }
    }

    /// Whether the tokenizer finds user-defined tokens in the text.
    pub(super) fn finds_user_defined(&self) -> bool {
        !matches!(self, Self::SentencePiece(_))
    }

    /// Appends the tokens of `text` to `tokens`.
    ///
    /// # Errors
    /// Those of [`PromptLimit::check`].
    pub(super) fn tokenize(
        &self,
        text: &str,
        limit: &PromptLimit,
        tokens: &mut Vec<Token>,
    ) -> Result<(), Refusal> {
        match self {
            Self::SentencePiece(tokenizer) => tokenizer.tokenize(text, limit, tokens)?,
            Self::BytePairs(model) => {
                let vocab = model.vocab();
                let tokenize = |text: &str| tokens_of(&vocab, text);
                tokens.append(&mut tokenize_in_chunks(text, limit, tokenize)?);
            }
            // llama.cpp may add a space before each text, so it is not split.
            Self::Other(model) => tokens.append(&mut tokens_of(&model.vocab(), text)),
        }
        Ok(())
    }
}

/// The tokenizer of a SentencePiece vocabulary.
fn sentencepiece(vocab: &LlamaVocab<'_>, is_control: impl Fn(Token) -> bool) -> SentencePiece {
    let ids = || (0..vocab.n_tokens()).map(LlamaToken);
    let text = |token| vocab.text(token).and_then(|text| text.to_str().ok());
    let mut bytes = [0; 256];
    for token in ids() {
        if let Some(byte) = text(token).and_then(byte_of) {
            bytes[usize::from(byte)] = token.0;
        }
    }
    // A text that is not UTF-8 cannot come from merging characters.
    let tokens = ids().filter(|token| !is_control(token.0)).filter_map(|token| {
        Some(SentencePieceToken { token: token.0, text: text(token)?, score: vocab.score(token) })
    });
    // No vocabulary has this character: it becomes its bytes, after the space that is added.
    let adds_space = tokens_of(vocab, NONCHARACTER).len() > NONCHARACTER.len();
    SentencePiece::new(tokens, bytes, adds_space)
}

/// The byte for which a token with this text stands, which is written as `<0x0A>`.
fn byte_of(text: &str) -> Option<u8> {
    let digits = text.strip_prefix("<0x")?.strip_suffix('>')?;
    let is_digit = |c| matches!(c, b'0'..=b'9' | b'A'..=b'F');
    let is_written_so = digits.len() == 2 && digits.bytes().all(is_digit);
    is_written_so.then(|| u8::from_str_radix(digits, 16).ok()).flatten()
}

/// The tokens of `text`, in which llama.cpp finds user-defined tokens only.
fn tokens_of(vocab: &LlamaVocab<'_>, text: &str) -> Vec<Token> {
    // llama.cpp would tokenize the text again if there were too little space.
    let mut tokens = Vec::with_capacity(text.len() + MAX_ADDED_TOKENS);
    vocab.tokenize_into(text.as_bytes(), &mut tokens, false, false);
    tokens.into_iter().map(|token| token.0).collect()
}

/// A character that is not meant for text.
const NONCHARACTER: &str = "\u{FDD0}";

/// Tokens that llama.cpp may add to a text: for a space before it.
const MAX_ADDED_TOKENS: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn token_of_a_byte_is_known_by_its_text() {
        assert_eq!(byte_of("<0x0A>"), Some(10));
        for text in ["<0x0a>", "<0x+A>", "<0x00A>", "0x0A", "<0xG0>"] {
            assert_eq!(byte_of(text), None, "{text}");
        }
    }
}
