//! The field `format`: what the answer has to be.

use std::borrow::Cow;

use crate::domain::{Constraint, Refusal};

use super::fields::{Fields, expected, invalid};
use super::json::JsonSlice;
use super::warnings::{Place, Warnings};

/// Reads `format`. Whether the constraint can be enforced is checked by the engine.
pub(super) fn parse(sent: JsonSlice<'_>, warnings: &mut Warnings) -> Result<Constraint, Refusal> {
    if let Some(name) = sent.text() {
        return match name.as_ref() {
            "json" => Ok(Constraint::Json),
            _ => Err(expected("format", ALLOWED, sent)),
        };
    }
    let fields = Fields::of(sent, Place::Format, warnings)
        .ok_or_else(|| expected("format", ALLOWED, sent))?;
    let kind = fields.get("type").ok_or_else(|| missing("type", KINDS))?;
    match kind.text().as_deref() {
        Some("json") => Ok(Constraint::Json),
        Some("json_schema") => {
            let schema = fields.get("schema").ok_or_else(|| missing("schema", "a JSON schema"))?;
            Ok(Constraint::JsonSchema(schema.to_json_text()))
        }
        Some("regex") => Ok(Constraint::Regex(text(&fields, "pattern")?)),
        Some("choice") => choices(&fields).map(Constraint::Choice),
        Some("grammar") => {
            let grammar = text(&fields, "grammar")?;
            let syntax = fields.get("syntax").ok_or_else(|| missing("syntax", SYNTAXES))?;
            match syntax.text().as_deref() {
                Some("lark") => Ok(Constraint::Lark(grammar)),
                Some("gbnf") => Ok(Constraint::Gbnf(grammar)),
                _ => Err(expected("format.syntax", SYNTAXES, syntax)),
            }
        }
        _ => Err(expected("format.type", KINDS, kind)),
    }
}

/// The string `name`.
fn text(fields: &Fields<'_>, name: &str) -> Result<String, Refusal> {
    let sent = fields.get(name).ok_or_else(|| missing(name, "a string"))?;
    let text = sent.text().map(Cow::into_owned);
    text.ok_or_else(|| expected(&format!("format.{name}"), "a string", sent))
}

/// The strings of `choices`.
fn choices(fields: &Fields<'_>) -> Result<Vec<String>, Refusal> {
    const ALLOWED: &str = "a list of strings that are not empty";
    let sent = fields.get("choices").ok_or_else(|| missing("choices", ALLOWED))?;
    let refused = |sent: JsonSlice<'_>| expected("format.choices", ALLOWED, sent);
    let array = sent.array(MAX_CHOICES).ok_or_else(|| refused(sent))?;
    if array.len == 0 || array.len > MAX_CHOICES {
        let reason = format!("must have 1 to {MAX_CHOICES} strings, not {}", array.len);
        return Err(invalid("format.choices", reason));
    }
    let choice = |item: JsonSlice<'_>| {
        let text = item.text().filter(|text| !text.is_empty()).map(Cow::into_owned);
        text.ok_or_else(|| refused(item))
    };
    array.items.into_iter().map(choice).collect()
}

/// The error for a member of `format` that is absent.
fn missing(name: &str, allowed: &str) -> Refusal {
    invalid(&format!("format.{name}"), format!("is missing: send {allowed}"))
}

const ALLOWED: &str = "\"json\" or an object with a type";

const KINDS: &str = "\"json\", \"json_schema\", \"regex\", \"choice\" or \"grammar\"";

const SYNTAXES: &str = "\"lark\" or \"gbnf\"";

/// Most choices.
const MAX_CHOICES: usize = 1024;
