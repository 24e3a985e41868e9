//! From a constraint to a compiled one.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use llguidance::api::{ParserLimits, TopLevelGrammar};
use llguidance::earley::SlicedBiasComputer;
use llguidance::toktrie::{InferenceCapabilities, TokEnv};
use llguidance::{Matcher, ParserFactory};

use crate::domain::{Constraint, Conversation, Refusal, ToolCallStyle};
use crate::engine::{AnswerConstraint, PromptLimit, Vocabulary};

use super::calls::calls_grammar;
use super::compiled::{CompiledConstraint, first_line};
use super::fault::GrammarFault;
use super::grammar::grammar_of;
use super::tokens::{Tokenize, VocabularyTokens};

/// Compiles constraints for one vocabulary. Threads can share it.
pub struct ConstraintCompiler {
    factory: ParserFactory,
}

impl ConstraintCompiler {
    /// A compiler for `vocabulary`, whose text is tokenized by `tokenize`. Takes some hundred
    /// milliseconds for a vocabulary of 152,000 tokens.
    ///
    /// # Errors
    /// The reason, if llguidance cannot use the vocabulary.
    pub fn new(vocabulary: &dyn Vocabulary, tokenize: Tokenize) -> Result<Self, String> {
        let make = || {
            let tokens: TokEnv = Arc::new(VocabularyTokens::new(vocabulary, tokenize));
            let abilities = InferenceCapabilities { ff_tokens: true, ..Default::default() };
            let slices = SlicedBiasComputer::general_slices();
            ParserFactory::new(&tokens, abilities, &slices)
        };
        let made = catch_unwind(AssertUnwindSafe(make));
        let made = made.map_err(|_| "the vocabulary cannot be read".to_owned())?;
        let mut factory = made.map_err(|error| first_line(&error.to_string()))?;
        factory.quiet();
        *factory.limits_mut() = limits();
        Ok(Self { factory })
    }

    /// Compiles `constraint`.
    ///
    /// # Errors
    /// [`Refusal::InvalidParams`] about the field `format` if the constraint cannot be enforced, is
    /// too large or has a fault, and those of [`PromptLimit::check`].
    pub fn compile(
        &self,
        constraint: &Constraint,
        limit: &PromptLimit,
    ) -> Result<Box<dyn AnswerConstraint>, Refusal> {
        limit.check()?;
        let grammar = grammar_of(constraint).map_err(|fault| refusal("format", &fault))?;
        let compiled = self.compile_grammar(grammar).map_err(|reason| {
            let reason = match constraint {
                Constraint::JsonSchema(schema) => super::schema::located(&reason, schema),
                _ => reason,
            };
            refusal("format", &GrammarFault::Invalid(reason))
        })?;
        limit.check()?;
        Ok(Box::new(compiled))
    }

    /// Compiles the constraint that makes the answer to `conversation` consist of calls of tools in
    /// this `style`; `None` if the conversation requires none, or if calls of the style cannot be
    /// forced.
    ///
    /// # Errors
    /// [`Refusal::InvalidParams`] about the field `tools` or `tool_choice`, and those of
    /// [`PromptLimit::check`].
    pub fn compile_calls(
        &self,
        conversation: &Conversation,
        style: ToolCallStyle,
        limit: &PromptLimit,
    ) -> Result<Option<Box<dyn AnswerConstraint>>, Refusal> {
        limit.check()?;
        let trie = self.factory.tok_env().tok_trie();
        let special = |text: &str| trie.get_special_token(text);
        let grammar = match calls_grammar(conversation, style, special) {
            Ok(Some(grammar)) => grammar,
            Ok(None) => return Ok(None),
            Err((field, fault)) => return Err(refusal(&field, &fault)),
        };
        let compiled = self.compile_grammar(TopLevelGrammar::from_lark(grammar));
        let compiled =
            compiled.map_err(|reason| refusal("tools", &GrammarFault::Invalid(reason)))?;
        limit.check()?;
        Ok(Some(Box::new(compiled)))
    }

    /// Compiles a grammar, and computes how an answer may begin.
    fn compile_grammar(&self, grammar: TopLevelGrammar) -> Result<CompiledConstraint, String> {
        let compile = || {
            let matcher = Matcher::new(self.factory.create_parser(grammar));
            let mut compiled = CompiledConstraint::new(matcher);
            if let Err(reason) = compiled.allowed() {
                // The name of a state of llguidance.
                let nothing_fits = reason == "NoExtensionBias";
                return Err(if nothing_fits { "no text fits it".to_owned() } else { reason });
            }
            Ok(compiled)
        };
        catch_unwind(AssertUnwindSafe(compile))
            .unwrap_or_else(|_| Err("the compiler of grammars panicked".to_owned()))
    }
}

/// The refusal of a constraint in `field`.
fn refusal(field: &str, fault: &GrammarFault) -> Refusal {
    Refusal::InvalidParams { field: field.to_owned(), reason: fault.to_string() }
}

/// What one constraint may take (ADR-0045).
fn limits() -> ParserLimits {
    ParserLimits {
        initial_lexer_fuel: 300_000,
        max_lexer_states: 20_000,
        max_grammar_size: 200_000,
        verbose_errors: false,
        ..ParserLimits::default()
    }
}

#[cfg(test)]
mod tests;
