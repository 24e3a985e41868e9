//! The grammar for each kind of constraint.

use llguidance::api::TopLevelGrammar;
use serde_json::value::RawValue;

use crate::domain::{Constraint, JsonText};

use super::fault::{GrammarFault, MAX_BYTES, MAX_CHOICES, check_size, literal};
use super::gbnf::lark_of;
use super::regex::{RegexScope, translate};
use super::schema;

/// The grammar for `constraint`.
///
/// # Errors
/// It is too large, or has a fault that is found without compiling it.
pub(super) fn grammar_of(constraint: &Constraint) -> Result<TopLevelGrammar, GrammarFault> {
    match constraint {
        Constraint::Json => Ok(TopLevelGrammar::from_json_schema(schema::any_object())),
        Constraint::JsonSchema(text) => {
            Ok(TopLevelGrammar::from_json_schema(schema::prepare(text)?))
        }
        Constraint::Regex(regex) => {
            check_size(regex)?;
            let regex = translate(regex, RegexScope::Whole).map_err(GrammarFault::Invalid)?;
            Ok(TopLevelGrammar::from_regex(&regex))
        }
        Constraint::Choice(choices) => choice(choices),
        Constraint::Lark(grammar) => {
            check_size(grammar)?;
            Ok(TopLevelGrammar::from_lark(with_prepared_schemas(grammar)?))
        }
        Constraint::Gbnf(grammar) => {
            check_size(grammar)?;
            let lark = lark_of(grammar).map_err(GrammarFault::Invalid)?;
            Ok(TopLevelGrammar::from_lark(lark))
        }
    }
}

/// The grammar of one of `choices`.
fn choice(choices: &[String]) -> Result<TopLevelGrammar, GrammarFault> {
    if choices.is_empty() || choices.iter().any(String::is_empty) {
        return Err(GrammarFault::Empty);
    }
    if choices.len() > MAX_CHOICES {
        return Err(GrammarFault::TooManyChoices { n: choices.len() });
    }
    let n_bytes = choices.iter().map(String::len).sum();
    if n_bytes > MAX_BYTES {
        return Err(GrammarFault::TooLong { n_bytes });
    }
    let literals: Vec<String> = choices.iter().map(|choice| literal(choice)).collect();
    // One terminal, so that a choice may begin with another one.
    Ok(TopLevelGrammar::from_lark(format!("start: CHOICE\nCHOICE: {}\n", literals.join(" | "))))
}

/// The Lark `grammar` with the schemas in it (`%json {…}`) checked and changed like others.
fn with_prepared_schemas(grammar: &str) -> Result<String, GrammarFault> {
    let mut prepared = String::new();
    let mut rest = grammar;
    while let Some(at) = rest.find(JSON) {
        let (before, schema) = rest.split_at(at + JSON.len());
        prepared.push_str(before);
        rest = schema;
        let mut values = serde_json::Deserializer::from_str(schema).into_iter::<&RawValue>();
        if let Some(Ok(value)) = values.next()
            && value.get().starts_with('{')
        {
            let schema = schema::prepare(&JsonText(value.get().to_owned()))?;
            prepared.push_str(&format!(" {schema}"));
            rest = &rest[values.byte_offset()..];
        }
    }
    prepared.push_str(rest);
    Ok(prepared)
}

/// Begins a schema in a Lark grammar.
const JSON: &str = "%json";
