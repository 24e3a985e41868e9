//! The grammar for each kind of constraint.

use llguidance::api::TopLevelGrammar;

use crate::domain::Constraint;

use super::fault::{GrammarFault, MAX_BYTES, MAX_CHOICES, check_size, literal};
use super::gbnf::lark_of;
use super::schema;

/// The grammar for `constraint`.
///
/// # Errors
/// It is too large, or has a fault that is found without compiling it.
pub(super) fn grammar_of(constraint: &Constraint) -> Result<TopLevelGrammar, GrammarFault> {
    match constraint {
        Constraint::Json => {
            let object = serde_json::json!({"type": "object"});
            Ok(TopLevelGrammar::from_json_schema(schema::compact(object)?))
        }
        Constraint::JsonSchema(text) => {
            Ok(TopLevelGrammar::from_json_schema(schema::compact(schema::parse(text)?)?))
        }
        Constraint::Regex(regex) => {
            check_size(regex)?;
            Ok(TopLevelGrammar::from_regex(without_anchors(regex)))
        }
        Constraint::Choice(choices) => choice(choices),
        Constraint::Lark(grammar) => {
            check_size(grammar)?;
            Ok(TopLevelGrammar::from_lark(grammar.clone()))
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

/// `regex` without the anchors around it: it has to match the whole answer anyway. They stay where
/// they belong to an alternative only.
fn without_anchors(regex: &str) -> &str {
    if regex.contains('|') {
        return regex;
    }
    let regex = regex.strip_prefix('^').unwrap_or(regex);
    match regex.strip_suffix('$') {
        Some(rest) if rest.bytes().rev().take_while(|&byte| byte == b'\\').count() % 2 == 0 => rest,
        _ => regex,
    }
}
