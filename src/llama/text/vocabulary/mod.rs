//! The model's vocabulary: text to tokens through llama.cpp, tokens to bytes from a table.
//!
//! The table is made once, so that turning a token into text costs no call into C. llama.cpp's
//! tokenizer is safe to use from several threads at once (`llama.h`, "Tokenization").

use std::borrow::Cow;
use std::slice;
use std::sync::Arc;

use llama_cpp_2::model::LlamaModel;
use llama_cpp_2::token::LlamaToken;
use llama_cpp_sys_2 as sys;

use crate::domain::{Message, Refusal, Token};
use crate::engine::Vocabulary;

use crate::llama::context;

use super::chat_template::ChatTemplate;
use super::chunks;
use super::special::{Guard, Part, Special, Specials};

/// The vocabulary of a loaded model.
pub(in crate::llama) struct LlamaVocabulary {
    model: Arc<LlamaModel>,
    /// The bytes of all pieces, one after the other.
    bytes: Vec<u8>,
    /// Where each piece ends in `bytes`.
    ends: Vec<u32>,
    is_end: Vec<bool>,
    /// Tokens that the model is never to say, by its file (`tokenizer.ggml.suppress_tokens`).
    suppressed: Vec<Token>,
    longest: usize,
    specials: Specials,
    /// Whether llama.cpp takes texts apart with regular expressions.
    has_regexes: bool,
    /// What the model wants before every text that does not begin with it already, and after it.
    before: Vec<Token>,
    after: Vec<Token>,
    template: Result<ChatTemplate, String>,
}

impl LlamaVocabulary {
    pub(in crate::llama) fn new(model: Arc<LlamaModel>) -> Self {
        let vocab = model.vocab();
        let n_tokens = usize::try_from(vocab.n_tokens()).unwrap_or(0);
        let mut bytes = Vec::new();
        let mut ends = Vec::with_capacity(n_tokens);
        let mut is_end = Vec::with_capacity(n_tokens);
        let mut longest = 1;
        for id in (0..).map(LlamaToken).take(n_tokens) {
            let piece = vocab.token_to_piece(id, false, None);
            // In a prompt a control token is written out, so its text counts as well.
            let written = vocab.text(id).map_or(0, |text| text.to_bytes().len());
            longest = longest.max(piece.len()).max(written);
            bytes.extend_from_slice(&piece);
            // A vocabulary of 4 GiB of text does not load.
            ends.push(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
            is_end.push(vocab.is_eog(id));
        }
        let text = |token: LlamaToken| {
            let is_known = usize::try_from(token.0).is_ok_and(|id| id < n_tokens);
            let text = is_known.then(|| vocab.text(token)).flatten();
            text.map(|text| text.to_string_lossy().into_owned()).unwrap_or_default()
        };
        let template = match model.meta_val_str("tokenizer.chat_template") {
            Ok(source) => ChatTemplate::new(source, text(vocab.bos()), text(vocab.eos())),
            Err(_) => Err("this model has no chat template: send `prompt` instead of `messages`, \
                           or use an instruction-tuned model"
                .to_owned()),
        };
        let around: Vec<Token> =
            vocab.tokenize(b"", true, false).iter().map(|token| token.0).collect();
        let n_before = around.len().min(usize::from(vocab.should_add_bos()));
        let (before, after) = (around[..n_before].to_vec(), around[n_before..].to_vec());
        let specials = specials(&model, n_tokens);
        // SAFETY: the model is loaded, and its vocabulary lives as long as it.
        let kind =
            unsafe { sys::llama_vocab_type(sys::llama_model_get_vocab(context::raw(&model))) };
        let has_regexes = kind == sys::LLAMA_VOCAB_TYPE_BPE;
        let suppressed = suppressed(&model);
        Self {
            model,
            bytes,
            ends,
            is_end,
            suppressed,
            longest,
            specials,
            has_regexes,
            before,
            after,
            template,
        }
    }

    /// Tokens that an answer may not have; the ends of a text where these are to be ignored.
    pub(in crate::llama) fn forbidden(&self, ignore_eos: bool) -> impl Iterator<Item = Token> + '_ {
        let ends = (0..).zip(&self.is_end).filter(move |&(_, &is_end)| is_end && ignore_eos);
        self.suppressed.iter().copied().chain(ends.map(|(id, _)| id))
    }

    /// The tokens of `text`, which special tokens may be written in.
    fn tokens(&self, text: &str, plain: impl Fn(&str) -> Cow<'_, str>) -> Vec<Token> {
        let vocab = self.model.vocab();
        let mut tokens = Vec::new();
        for part in self.specials.split(text) {
            match part {
                Part::Token(token) => tokens.push(token),
                Part::Text(text) => {
                    let tokenise = |text: &str| {
                        let tokens = vocab.tokenize(text.as_bytes(), false, false);
                        tokens.into_iter().map(|token| token.0).collect()
                    };
                    let text = plain(text);
                    // Others may put a space before each text that they are given.
                    tokens.extend(if self.has_regexes {
                        chunks::each(&text, tokenise)
                    } else {
                        tokenise(&text)
                    });
                }
            }
        }
        tokens
    }

    fn wrapped(&self, tokens: &[Token]) -> Vec<Token> {
        [self.before.as_slice(), tokens, &self.after].concat()
    }
}

/// The tokens that the model is never to say. llama.cpp's own server forbids them, its library does not.
fn suppressed(model: &LlamaModel) -> Vec<Token> {
    let mut n = 0;
    // SAFETY: the model is loaded, and its vocabulary lives as long as it; `n` lives for the call.
    let first = unsafe {
        sys::llama_vocab_get_suppress_tokens(
            sys::llama_model_get_vocab(context::raw(model)),
            &raw mut n,
        )
    };
    let mut tokens = match usize::try_from(n) {
        // SAFETY: llama.cpp has `n` of them there, in the vocabulary, for as long as the model lives.
        Ok(n @ 1..) if !first.is_null() => unsafe { slice::from_raw_parts(first, n) }.to_vec(),
        _ => Vec::new(),
    };
    // A file may name one as often as it likes, and each is looked at for each token that is drawn.
    tokens.sort_unstable();
    tokens.dedup();
    tokens
}

/// The tokens that llama.cpp looks for in a text, with their ways.
fn specials(model: &LlamaModel, n_tokens: usize) -> Specials {
    const SOUGHT: u32 = sys::LLAMA_TOKEN_ATTR_CONTROL
        | sys::LLAMA_TOKEN_ATTR_UNKNOWN
        | sys::LLAMA_TOKEN_ATTR_USER_DEFINED;
    const CONTROL: u32 = sys::LLAMA_TOKEN_ATTR_CONTROL | sys::LLAMA_TOKEN_ATTR_UNKNOWN;
    // SAFETY: the model is loaded, and its vocabulary lives as long as it.
    let raw = unsafe { sys::llama_model_get_vocab(context::raw(model)) };
    let vocab = model.vocab();
    let special = |token: LlamaToken| {
        // SAFETY: the token is one of the vocabulary, which llama.cpp asserts.
        let attributes = unsafe { sys::llama_vocab_get_attr(raw, token.0) };
        if attributes & SOUGHT == 0 {
            return None;
        }
        // A text that is not UTF-8 occurs in no prompt.
        let text = vocab.text(token)?.to_str().ok()?.to_owned();
        Some(Special {
            token: token.0,
            text,
            is_control: attributes & CONTROL != 0,
            strips_left: attributes & sys::LLAMA_TOKEN_ATTR_LSTRIP != 0,
            strips_right: attributes & sys::LLAMA_TOKEN_ATTR_RSTRIP != 0,
        })
    };
    Specials::new((0..).map(LlamaToken).take(n_tokens).filter_map(special).collect())
}

impl Vocabulary for LlamaVocabulary {
    fn tokenize(&self, text: &str) -> Vec<Token> {
        self.wrapped(&self.tokens(text, |text| Cow::Borrowed(text)))
    }

    fn tokenize_chat(&self, messages: &[Message]) -> Result<Vec<Token>, Refusal> {
        let invalid = |reason: &str| Refusal::InvalidParams {
            field: "messages".to_owned(),
            reason: reason.to_owned(),
        };
        let template = self.template.as_ref().map_err(|reason| invalid(reason))?;
        let contents: Vec<_> = messages.iter().map(|message| message.content.as_str()).collect();
        let guard = Guard::absent_from(&contents).ok_or_else(|| {
            invalid("must not use every noncharacter of Unicode from U+FDD0 to U+FDEF")
        })?;
        let guarded: Vec<_> = messages
            .iter()
            .map(|message| (message.role, self.specials.guarded(&message.content, guard)))
            .collect();
        let text = template.render(&guarded).map_err(|reason| invalid(&reason))?;
        let tokens = self.tokens(&text, |text| guard.lift(text));
        // Most templates write the begin-of-text token themselves; two of them spoil the answer.
        let has_bos = !self.before.is_empty() && tokens.starts_with(&self.before);
        // Whatever ends a text is not wanted before the assistant's answer.
        Ok(if has_bos { tokens } else { [self.before.as_slice(), &tokens].concat() })
    }

    fn piece(&self, token: Token) -> &[u8] {
        let Ok(id) = usize::try_from(token) else { return &[] };
        let Some(&end) = self.ends.get(id) else { return &[] };
        let start = if id == 0 { 0 } else { self.ends[id - 1] };
        &self.bytes[start as usize..end as usize]
    }

    fn is_end(&self, token: Token) -> bool {
        usize::try_from(token).is_ok_and(|id| self.is_end.get(id) == Some(&true))
    }

    fn n_tokens(&self) -> usize {
        self.ends.len()
    }

    fn longest_piece(&self) -> usize {
        self.longest
    }
}

#[cfg(test)]
mod tests;
