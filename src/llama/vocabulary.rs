//! The model's vocabulary: text to tokens through llama.cpp, tokens to bytes from a table.
//!
//! The table is made once, so that turning a token into text costs no call into C. llama.cpp's
//! tokenizer is safe to use from several threads at once (`llama.h`, "Tokenization").

use std::sync::Arc;

use llama_cpp_2::model::LlamaModel;
use llama_cpp_2::token::LlamaToken;

use crate::domain::{Message, Refusal, Token};
use crate::engine::Vocabulary;

use super::template::ChatTemplate;

/// The vocabulary of a loaded model.
pub(super) struct LlamaVocabulary {
    model: Arc<LlamaModel>,
    /// The bytes of all pieces, one after the other.
    bytes: Vec<u8>,
    /// Where each piece ends in `bytes`.
    ends: Vec<u32>,
    is_end: Vec<bool>,
    longest: usize,
    adds_bos: bool,
    template: Result<ChatTemplate, String>,
}

impl LlamaVocabulary {
    pub(super) fn new(model: Arc<LlamaModel>) -> Self {
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
        let adds_bos = vocab.should_add_bos();
        Self { model, bytes, ends, is_end, longest, adds_bos, template }
    }

    pub(super) fn ends(&self) -> impl Iterator<Item = Token> + '_ {
        (0..).zip(&self.is_end).filter(|&(_, &is_end)| is_end).map(|(id, _)| id)
    }

    fn tokens(&self, text: &str, adds_special: bool) -> Vec<Token> {
        let tokens = self.model.vocab().tokenize(text.as_bytes(), adds_special, true);
        tokens.into_iter().map(|token| token.0).collect()
    }
}

impl Vocabulary for LlamaVocabulary {
    fn tokenize(&self, text: &str) -> Vec<Token> {
        self.tokens(text, true)
    }

    fn tokenize_chat(&self, messages: &[Message]) -> Result<Vec<Token>, Refusal> {
        let invalid = |reason: &str| Refusal::InvalidParams {
            field: "messages".to_owned(),
            reason: reason.to_owned(),
        };
        let template = self.template.as_ref().map_err(|reason| invalid(reason))?;
        let text = template.render(messages).map_err(|reason| invalid(&reason))?;
        // Most templates write the begin-of-text token themselves; two of them spoil the answer.
        let has_bos = !template.bos().is_empty() && text.starts_with(template.bos());
        Ok(self.tokens(&text, self.adds_bos && !has_bos))
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
