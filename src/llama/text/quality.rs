//! Faults of a loaded vocabulary that make answers worse.
//!
//! llama.cpp corrects some of what a file says about its tokens, and logs the rest. So the loaded
//! vocabulary is examined here, and not the header.

use llama_cpp_2::model::LlamaModel;
use llama_cpp_2::token::LlamaToken;
use llama_cpp_2::token_type::LlamaTokenAttr;
use llama_cpp_2::vocab::LlamaVocab;

use crate::llama::error::one_line;

/// A sentence for each fault of the vocabulary of `model`.
pub(in crate::llama) fn vocabulary_warnings(model: &LlamaModel) -> Vec<String> {
    let vocab = model.vocab();
    let mut warnings = Vec::new();
    let tokens = || (0..vocab.n_tokens()).map(LlamaToken);
    if !tokens().any(|token| vocab.is_eog(token)) {
        warnings.push(
            "the file names no token that ends an answer, so every answer runs to its limit: send \
             max_tokens or stop"
                .to_owned(),
        );
    }
    let ordinary = |token| ordinary_text(&vocab, token);
    let ends = [vocab.eos(), vocab.eot()].into_iter().filter(|&token| vocab.is_eog(token));
    if let Some(text) = ends.into_iter().find_map(ordinary) {
        warnings.push(format!(
            "by its file this model ends answers with the ordinary text {text}, so they may stop \
             early: convert or download the model again"
        ));
    }
    if vocab.should_add_bos()
        && let Some(text) = ordinary(vocab.bos())
    {
        warnings.push(format!(
            "by its file every prompt begins with the ordinary text {text}, so answers may be bad: \
             convert or download the model again"
        ));
    }
    warnings
}

/// The quoted text of `token`, if a person could have written it. Tokens that structure a text have
/// a type of their own, or their text is in brackets.
fn ordinary_text(vocab: &LlamaVocab<'_>, token: LlamaToken) -> Option<String> {
    use LlamaTokenAttr::{Control, Unknown, UserDefined};
    if !(0..vocab.n_tokens()).contains(&token.0)
        || vocab.attr(token).intersects(Control | UserDefined | Unknown)
    {
        return None;
    }
    let text = vocab.text(token)?.to_string_lossy().into_owned();
    let is_in = |first, last| text.len() > 1 && text.starts_with(first) && text.ends_with(last);
    let is_bracketed = is_in('<', '>') || is_in('[', ']');
    (!is_bracketed).then(|| format!("{:?}", one_line(&text)))
}
