//! The model's vocabulary: text to tokens with llama.cpp, tokens to bytes with a table.
//!
//! The table is built once, so that converting a token to text costs no call into C. llama.cpp's
//! tokenizer can be used by several threads at once (`llama.h`, "Tokenization").

use std::borrow::Cow;
use std::slice;
use std::sync::Arc;

use llama_cpp_2::model::LlamaModel;
use llama_cpp_2::token::LlamaToken;
use llama_cpp_2::vocab::LlamaVocab;
use llama_cpp_sys_2 as sys;

use crate::domain::{Message, Refusal, Token};
use crate::engine::Vocabulary;
use crate::llama::model_ptr::model_ptr;

use super::chat_template::ChatTemplate;
use super::chunks::tokenize_in_chunks;
use super::special::{ControlTokenGuard, Segment, SpecialToken, SpecialTokens};

/// The vocabulary of a loaded model.
pub(in crate::llama) struct LlamaVocabulary {
    model: Arc<LlamaModel>,
    pieces: PieceTable,
    /// Tokens that the model must never generate, according to its file
    /// (`tokenizer.ggml.suppress_tokens`); sorted and unique.
    suppressed: Vec<Token>,
    /// The special tokens that texts are split at.
    specials: SpecialTokens,
    /// Whether llama.cpp splits texts with regular expressions before it tokenizes them.
    has_regexes: bool,
    /// Tokens that the model wants before every text (begin-of-text).
    prefix: Vec<Token>,
    /// Tokens that the model wants after every text.
    suffix: Vec<Token>,
    /// The compiled chat template, or why the model has no usable one.
    template: Result<ChatTemplate, String>,
}

/// The bytes of every token, and which tokens end a generation.
struct PieceTable {
    /// The bytes of all tokens, one after the other.
    bytes: Vec<u8>,
    /// Where the bytes of each token end in `bytes`.
    ends: Vec<u32>,
    /// For each token, whether it ends a generation.
    is_end_of_generation: Vec<bool>,
    /// Length in bytes of the longest token text, written in a prompt or generated.
    longest: usize,
}

impl LlamaVocabulary {
    /// Reads the vocabulary of `model` and compiles its chat template.
    pub(in crate::llama) fn new(model: Arc<LlamaModel>) -> Self {
        let vocab = model.vocab();
        let n_tokens = usize::try_from(vocab.n_tokens()).unwrap_or(0);
        let pieces = PieceTable::read(&vocab, n_tokens);
        let added: Vec<Token> =
            vocab.tokenize(b"", true, false).iter().map(|token| token.0).collect();
        let n_before = added.len().min(usize::from(vocab.should_add_bos()));
        let (prefix, suffix) = (added[..n_before].to_vec(), added[n_before..].to_vec());
        let template = chat_template(&model, n_tokens);
        let specials = special_tokens(&model, n_tokens);
        let has_regexes = has_regexes(&model);
        let suppressed = suppressed_tokens(&model);
        Self { model, pieces, suppressed, specials, has_regexes, prefix, suffix, template }
    }

    /// Tokens that must not be generated: the suppressed tokens, and with `ignore_eos` all tokens
    /// that end a generation.
    pub(in crate::llama) fn forbidden(&self, ignore_eos: bool) -> impl Iterator<Item = Token> + '_ {
        let ends = (0..).zip(&self.pieces.is_end_of_generation);
        let ends = ends.filter(move |&(_, &is_end)| is_end && ignore_eos).map(|(id, _)| id);
        self.suppressed.iter().copied().chain(ends)
    }

    /// The tokens of `text`, in which special tokens may be written out. `restore` is applied to
    /// the text between them before it is tokenized.
    fn tokens(&self, text: &str, restore: impl Fn(&str) -> Cow<'_, str>) -> Vec<Token> {
        let vocab = self.model.vocab();
        let mut tokens = Vec::new();
        for segment in self.specials.split(text) {
            match segment {
                Segment::Token(token) => tokens.push(token),
                Segment::Text(text) => {
                    let tokenize = |text: &str| {
                        let tokens = vocab.tokenize(text.as_bytes(), false, false);
                        tokens.into_iter().map(|token| token.0).collect()
                    };
                    let text = restore(text);
                    // Other tokenizers may add a space before each text, so they get it whole.
                    tokens.extend(if self.has_regexes {
                        tokenize_in_chunks(&text, tokenize)
                    } else {
                        tokenize(&text)
                    });
                }
            }
        }
        tokens
    }
}

impl Vocabulary for LlamaVocabulary {
    fn tokenize(&self, text: &str) -> Vec<Token> {
        let tokens = self.tokens(text, |text| Cow::Borrowed(text));
        [self.prefix.as_slice(), &tokens, &self.suffix].concat()
    }

    fn tokenize_chat(&self, messages: &[Message]) -> Result<Vec<Token>, Refusal> {
        let invalid = |reason: &str| Refusal::InvalidParams {
            field: "messages".to_owned(),
            reason: reason.to_owned(),
        };
        let template = self.template.as_ref().map_err(|reason| invalid(reason))?;
        let contents: Vec<_> = messages.iter().map(|message| message.content.as_str()).collect();
        let guard = ControlTokenGuard::absent_from(&contents).ok_or_else(|| {
            invalid("must not contain all of the Unicode noncharacters U+FDD0 to U+FDEF")
        })?;
        let hidden: Vec<_> = messages
            .iter()
            .map(|message| {
                (message.role, self.specials.hide_control_tokens(&message.content, guard))
            })
            .collect();
        let text = template.render(&hidden).map_err(|reason| invalid(&reason))?;
        let tokens = self.tokens(&text, |text| guard.remove_markers(text));
        // Most templates write the begin-of-text token; a second one would degrade the answer. The
        // suffix is left out, since the assistant's answer follows.
        let has_prefix = !self.prefix.is_empty() && tokens.starts_with(&self.prefix);
        Ok(if has_prefix { tokens } else { [self.prefix.as_slice(), &tokens].concat() })
    }

    fn piece(&self, token: Token) -> &[u8] {
        self.pieces.get(token)
    }

    fn is_end(&self, token: Token) -> bool {
        usize::try_from(token)
            .is_ok_and(|id| self.pieces.is_end_of_generation.get(id) == Some(&true))
    }

    fn n_tokens(&self) -> usize {
        self.pieces.ends.len()
    }

    fn longest_piece(&self) -> usize {
        self.pieces.longest
    }
}

impl PieceTable {
    /// Reads the bytes of the first `n_tokens` tokens.
    fn read(vocab: &LlamaVocab<'_>, n_tokens: usize) -> Self {
        let mut table = Self {
            bytes: Vec::new(),
            ends: Vec::with_capacity(n_tokens),
            is_end_of_generation: Vec::with_capacity(n_tokens),
            longest: 1,
        };
        for id in (0..).map(LlamaToken).take(n_tokens) {
            let piece = vocab.token_to_piece(id, false, None);
            // A generated control token has no bytes, but a prompt contains it as text.
            let written = vocab.text(id).map_or(0, |text| text.to_bytes().len());
            table.longest = table.longest.max(piece.len()).max(written);
            table.bytes.extend_from_slice(&piece);
            // Saturation does not occur: a vocabulary with 4 GiB of text does not load.
            table.ends.push(u32::try_from(table.bytes.len()).unwrap_or(u32::MAX));
            table.is_end_of_generation.push(vocab.is_eog(id));
        }
        table
    }

    /// The bytes of `token`; empty for an id out of range.
    fn get(&self, token: Token) -> &[u8] {
        let Ok(id) = usize::try_from(token) else { return &[] };
        let Some(&end) = self.ends.get(id) else { return &[] };
        let start = if id == 0 { 0 } else { self.ends[id - 1] };
        &self.bytes[start as usize..end as usize]
    }
}

/// The model's chat template, compiled.
///
/// # Errors
/// Why the model has no usable template.
fn chat_template(model: &LlamaModel, n_tokens: usize) -> Result<ChatTemplate, String> {
    let vocab = model.vocab();
    let text = |token: LlamaToken| {
        let is_known = usize::try_from(token.0).is_ok_and(|id| id < n_tokens);
        let text = is_known.then(|| vocab.text(token)).flatten();
        text.map(|text| text.to_string_lossy().into_owned()).unwrap_or_default()
    };
    match model.meta_val_str("tokenizer.chat_template") {
        Ok(source) => ChatTemplate::new(source, text(vocab.bos()), text(vocab.eos())),
        Err(_) => Err("this model has no chat template: send `prompt` instead of `messages`, or \
                       use an instruction-tuned model"
            .to_owned()),
    }
}

/// Whether llama.cpp splits texts with regular expressions, as it does for byte-pair vocabularies.
fn has_regexes(model: &LlamaModel) -> bool {
    // SAFETY: the model is loaded, and its vocabulary lives as long as it.
    let kind = unsafe { sys::llama_vocab_type(sys::llama_model_get_vocab(model_ptr(model))) };
    kind == sys::LLAMA_VOCAB_TYPE_BPE
}

/// The tokens that the model must never generate. llama.cpp's server excludes them, but its library
/// does not.
fn suppressed_tokens(model: &LlamaModel) -> Vec<Token> {
    let mut n = 0;
    // SAFETY: the model is loaded, and its vocabulary lives as long as it; `n` lives for the call.
    let first = unsafe {
        sys::llama_vocab_get_suppress_tokens(
            sys::llama_model_get_vocab(model_ptr(model)),
            &raw mut n,
        )
    };
    let mut tokens = match usize::try_from(n) {
        // SAFETY: llama.cpp points to `n` tokens of the vocabulary, which live as long as the
        // model.
        Ok(n @ 1..) if !first.is_null() => unsafe { slice::from_raw_parts(first, n) }.to_vec(),
        _ => Vec::new(),
    };
    // A file may repeat a token, and sampling looks at each of them for every generated token.
    tokens.sort_unstable();
    tokens.dedup();
    tokens
}

/// The tokens that llama.cpp searches for in a text, with their attributes.
fn special_tokens(model: &LlamaModel, n_tokens: usize) -> SpecialTokens {
    const SPECIAL: u32 = CONTROL | sys::LLAMA_TOKEN_ATTR_USER_DEFINED;
    const CONTROL: u32 = sys::LLAMA_TOKEN_ATTR_CONTROL | sys::LLAMA_TOKEN_ATTR_UNKNOWN;
    // SAFETY: the model is loaded, and its vocabulary lives as long as it.
    let raw = unsafe { sys::llama_model_get_vocab(model_ptr(model)) };
    let vocab = model.vocab();
    let special = |token: LlamaToken| {
        // SAFETY: llama.cpp asserts that the token is one of the vocabulary, and it is.
        let attributes = unsafe { sys::llama_vocab_get_attr(raw, token.0) };
        if attributes & SPECIAL == 0 {
            return None;
        }
        // A text that is not UTF-8 cannot occur in a prompt.
        let text = vocab.text(token)?.to_str().ok()?.to_owned();
        Some(SpecialToken {
            token: token.0,
            text,
            is_control: attributes & CONTROL != 0,
            strips_left: attributes & sys::LLAMA_TOKEN_ATTR_LSTRIP != 0,
            strips_right: attributes & sys::LLAMA_TOKEN_ATTR_RSTRIP != 0,
        })
    };
    SpecialTokens::new((0..).map(LlamaToken).take(n_tokens).filter_map(special).collect())
}

#[cfg(test)]
mod tests;
