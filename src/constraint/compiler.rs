//! From a constraint to a compiled one.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;

use llguidance::api::{ParserLimits, TopLevelGrammar};
use llguidance::earley::SlicedBiasComputer;
use llguidance::toktrie::{InferenceCapabilities, TokEnv};
use llguidance::{Matcher, ParserFactory};
use serde_json::Value;

use crate::domain::{Constraint, Conversation, Refusal, ToolCallStyle};
use crate::engine::{AnswerConstraint, PromptLimit, Vocabulary};

use super::calls::{callable_tools, calls_grammar, parameters, tool_fault};
use super::compiled::CompiledConstraint;
use super::fault::GrammarFault;
use super::grammar::grammar_of;
use super::lark_ends::{LarkToken, check_ends};
use super::reason::{WRONG_REGEX, plain_reason};
use super::schema;
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
        let mut factory = made.map_err(|error| plain_reason(&error.to_string()))?;
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
        let compiled = on_large_stack(|| self.compile_one(constraint));
        let compiled = compiled.map_err(|fault| refusal("format", &fault))?;
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
        let mut refused = None;
        let compiled = on_large_stack(|| {
            let compiled = self.compile_call_grammar(conversation, style);
            compiled.map_err(|(field, reason)| {
                refused = Some(Refusal::InvalidParams { field, reason });
                GrammarFault::Empty
            })
        });
        let compiled =
            compiled.map_err(|fault| refused.unwrap_or_else(|| refusal("tools", &fault)))?;
        let Some(compiled) = compiled else { return Ok(None) };
        limit.check()?;
        Ok(Some(Box::new(compiled)))
    }

    /// Compiles a constraint.
    fn compile_one(&self, constraint: &Constraint) -> Result<CompiledConstraint, GrammarFault> {
        if let Constraint::JsonSchema(text) = constraint {
            return self.compile_schema(&schema::prepare(text)?);
        }
        if let Constraint::Lark(grammar) = constraint {
            let trie = self.factory.tok_env().tok_trie();
            let ends = trie.eos_tokens();
            check_ends(grammar, &|token| match token {
                LarkToken::Named(name) => {
                    trie.get_special_token(name).is_some_and(|id| ends.contains(&id))
                }
                LarkToken::Numbered(first, last) => {
                    ends.iter().any(|id| (first..=last).contains(id))
                }
            })?;
        }
        self.compile_grammar(grammar_of(constraint)?).map_err(|reason| {
            // The place is in the grammar that was made of the expression.
            let reason = match (constraint, reason.find(WRONG_REGEX)) {
                (Constraint::Regex(_), Some(at)) => reason[at..].to_owned(),
                _ => reason,
            };
            GrammarFault::Invalid(reason)
        })
    }

    /// Compiles the grammar of the calls that `conversation` requires; `None` if it has none.
    ///
    /// # Errors
    /// The field that has a fault, and what is wrong with it.
    fn compile_call_grammar(
        &self,
        conversation: &Conversation,
        style: ToolCallStyle,
    ) -> Result<Option<CompiledConstraint>, (String, String)> {
        let trie = self.factory.tok_env().tok_trie();
        let special = |text: &str| trie.get_special_token(text);
        let Some(grammar) = calls_grammar(conversation, style, special)? else { return Ok(None) };
        let compiled = self.compile_grammar(TopLevelGrammar::from_lark(grammar));
        compiled.map(Some).map_err(|reason| {
            let fault = callable_tools(conversation).into_iter().find_map(|(i, tool)| {
                let schema = parameters(i, tool).ok()?;
                Some(tool_fault(i, tool, &self.compile_schema(&schema).err()?))
            });
            let unnamed = || ("tools".to_owned(), GrammarFault::Invalid(reason).to_string());
            fault.unwrap_or_else(unnamed)
        })
    }

    /// Compiles a schema that was prepared.
    fn compile_schema(&self, schema: &Value) -> Result<CompiledConstraint, GrammarFault> {
        let compile = |schema| self.compile_grammar(TopLevelGrammar::from_json_schema(schema));
        compile(schema.clone()).map_err(|reason| {
            let compile = |schema| compile(schema).err();
            GrammarFault::Invalid(schema::located(&reason, schema, &compile))
        })
    }

    /// Compiles a grammar, and computes how an answer may begin.
    fn compile_grammar(&self, grammar: TopLevelGrammar) -> Result<CompiledConstraint, String> {
        let matcher = Matcher::new(self.factory.create_parser(grammar));
        let mut compiled = CompiledConstraint::new(matcher);
        compiled.allowed()?;
        compiled.check_forced()?;
        Ok(compiled)
    }
}

/// Calls `compile` on a thread with a large stack: llguidance calls itself for each rule that a
/// rule mentions and for each reference.
fn on_large_stack<T: Send>(
    compile: impl FnOnce() -> Result<T, GrammarFault> + Send,
) -> Result<T, GrammarFault> {
    thread::scope(|scope| {
        let thread = thread::Builder::new().name("grammar".to_owned()).stack_size(STACK_BYTES);
        let failed = |reason: &str| Err(GrammarFault::Invalid(reason.to_owned()));
        match thread.spawn_scoped(scope, compile) {
            Ok(thread) => {
                thread.join().unwrap_or_else(|_| failed("the compiler of grammars panicked"))
            }
            Err(_) => failed("there is no memory to compile it"),
        }
    })
}

/// The refusal of a constraint in `field`.
fn refusal(field: &str, fault: &GrammarFault) -> Refusal {
    Refusal::InvalidParams { field: field.to_owned(), reason: fault.to_string() }
}

/// What one constraint may take (ADR-0045).
fn limits() -> ParserLimits {
    ParserLimits {
        max_items_in_row: 10_000,
        initial_lexer_fuel: 800_000,
        max_lexer_states: 20_000,
        max_grammar_size: 200_000,
        verbose_errors: false,
        ..ParserLimits::default()
    }
}

/// Bytes of stack to compile a constraint. Memory is taken for what is used of it.
const STACK_BYTES: usize = 64 << 20;

#[cfg(test)]
mod tests;
