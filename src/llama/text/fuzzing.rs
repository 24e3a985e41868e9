//! What the fuzz targets of chat templates and tokenizers use.

use std::path::Path;
use std::sync::{Arc, LazyLock};

use llama_cpp_2::llama_backend::LlamaBackend;
use llama_cpp_2::model::LlamaModel;
use llama_cpp_2::model::params::LlamaModelParams;

use crate::domain::{Conversation, Token};
use crate::engine::{PromptLimit, Vocabulary};

use super::chat::Chat;
use super::special::SpecialTokens;
use super::vocabulary::LlamaVocabulary;
use super::vocabulary::hostile::hostile_texts;

/// Compiles and probes the template `source` and renders a conversation with it.
///
/// # Errors
/// One line that says why the template cannot be used, or why it refuses the conversation.
pub fn render_with(source: &str, conversation: &Conversation) -> Result<String, String> {
    let mut specials = SpecialTokens::new(Vec::new());
    let chat = Chat::new(source, "<s>".to_owned(), "</s>".to_owned(), &mut specials)?;
    let rendered = chat.render(conversation, &specials, &PromptLimit::none());
    rendered.map(|rendered| rendered.text)
}

static BACKEND: LazyLock<LlamaBackend> =
    LazyLock::new(|| LlamaBackend::init().expect("nothing else initializes llama.cpp"));

/// The vocabulary of a model, without its weights.
pub struct FuzzedTokenizer {
    model: Arc<LlamaModel>,
    vocabulary: LlamaVocabulary,
}

impl FuzzedTokenizer {
    /// Loads the vocabulary of the file at `path`.
    ///
    /// # Errors
    /// One line of llama.cpp's binding.
    pub fn load(path: &Path) -> Result<Self, String> {
        let params = LlamaModelParams::default().with_vocab_only(true);
        let model = LlamaModel::load_from_file(&BACKEND, path, &params);
        let model = Arc::new(model.map_err(|error| error.to_string())?);
        let no_template = Err("not used".to_owned());
        Ok(Self { vocabulary: LlamaVocabulary::new(&model, no_template), model })
    }

    /// The tokens of `text` as the daemon computes them.
    ///
    /// # Panics
    /// If the text is refused, although there is no limit.
    pub fn tokens(&self, text: &str) -> Vec<Token> {
        let tokens = self.vocabulary.tokenize(text, &PromptLimit::none());
        tokens.expect("without a limit, every text is tokenized")
    }

    /// Texts of about `n_bytes` that are chosen to be slow to tokenize with this vocabulary, each
    /// with its name.
    pub fn hostile_texts(&self, n_bytes: usize) -> Vec<(String, String)> {
        let texts = hostile_texts(&self.model, &self.vocabulary, n_bytes);
        texts.into_iter().map(|hostile| (hostile.name, hostile.text)).collect()
    }

    /// The tokens of `text` as llama.cpp computes them, all at once.
    pub fn reference_tokens(&self, text: &str) -> Vec<Token> {
        let vocab = self.model.vocab();
        vocab.tokenize(text.as_bytes(), true, true).into_iter().map(|token| token.0).collect()
    }
}
