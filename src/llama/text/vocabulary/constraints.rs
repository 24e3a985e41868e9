//! What compiles constraints for a vocabulary, made when the first one arrives.

use std::sync::{Arc, OnceLock};

use crate::constraint::ConstraintCompiler;
use crate::domain::Refusal;
use crate::engine::{PromptLimit, Vocabulary};
use crate::llama::text::plain::PlainTokenizer;

/// Compiles constraints, or says why it cannot.
#[derive(Default)]
pub(super) struct VocabularyConstraints(OnceLock<Result<ConstraintCompiler, String>>);

impl VocabularyConstraints {
    /// The compiler for `vocabulary`, whose plain text `plain` tokenizes.
    ///
    /// # Errors
    /// The vocabulary cannot be used.
    pub(super) fn compiler(
        &self,
        vocabulary: &dyn Vocabulary,
        plain: &Arc<PlainTokenizer>,
    ) -> Result<&ConstraintCompiler, Refusal> {
        let make = || {
            let plain = plain.clone();
            let tokenize = move |text: &str| {
                let mut tokens = Vec::new();
                // Without a limit nothing ends it early.
                let _ = plain.tokenize(text, &PromptLimit::none(), &mut tokens);
                tokens
            };
            ConstraintCompiler::new(vocabulary, Box::new(tokenize))
        };
        self.0.get_or_init(make).as_ref().map_err(|reason| Refusal::InvalidParams {
            field: "format".to_owned(),
            reason: format!("cannot be enforced with this model: {reason}"),
        })
    }
}
