//! Reads one field after another out of a JSON object, and says plainly what is wrong with it.
//!
//! Every complaint names the field, the value that was sent and what is allowed. A field that is
//! `null` counts as absent. Sent values are quoted in excerpts, so that an error frame stays
//! small whatever was sent.

use serde_json::{Map, Value};

use crate::domain::{Range, Refusal};

/// Characters of a string that a complaint quotes.
const EXCERPT_CHARS: usize = 40;

/// The fields of `params` that have not been read yet.
pub(super) struct Fields(pub(super) Map<String, Value>);

impl Fields {
    /// Removes a field, if it is there and not `null`.
    pub(super) fn take(&mut self, name: &str) -> Option<Value> {
        self.0.remove(name).filter(|value| !value.is_null())
    }

    /// A number in `range`.
    pub(super) fn number(&mut self, name: &str, range: Range) -> Result<Option<f32>, Refusal> {
        let Some(value) = self.take(name) else { return Ok(None) };
        number(name, &value, range).map(|number| Some(number as f32))
    }

    /// A whole number in `range`, which must lie within what an `f64` counts exactly.
    pub(super) fn integer(&mut self, name: &str, range: Range) -> Result<Option<i64>, Refusal> {
        let Some(value) = self.take(name) else { return Ok(None) };
        integer(name, &value, range).map(Some)
    }

    /// `true` or `false`.
    pub(super) fn flag(&mut self, name: &str) -> Result<Option<bool>, Refusal> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::Bool(flag)) => Ok(Some(flag)),
            Some(other) => Err(expected(name, "true or false", &other)),
        }
    }
}

/// `value` as a number in `range`.
pub(super) fn number(field: &str, value: &Value, range: Range) -> Result<f64, Refusal> {
    let allowed = || format!("a number from {} to {}", range.min, range.max);
    match value.as_f64() {
        Some(number) if range.contains(number) => Ok(number),
        _ => Err(expected(field, &allowed(), value)),
    }
}

/// `value` as a whole number in `range`; 40.0 is one, 40.5 is not.
pub(super) fn integer(field: &str, value: &Value, range: Range) -> Result<i64, Refusal> {
    let allowed = || format!("a whole number from {} to {}", range.min, range.max);
    match value.as_f64() {
        Some(number) if range.contains(number) && number.fract() == 0.0 => Ok(number as i64),
        _ => Err(expected(field, &allowed(), value)),
    }
}

/// The complaint about a value that is not what is allowed.
pub(super) fn expected(field: &str, allowed: &str, sent: &Value) -> Refusal {
    invalid(field, format!("must be {allowed}, not {}", excerpt(sent)))
}

/// A complaint in free words.
pub(super) fn invalid(field: &str, reason: impl Into<String>) -> Refusal {
    Refusal::InvalidParams { field: field.to_owned(), reason: reason.into() }
}

/// A value in few words.
pub(super) fn excerpt(value: &Value) -> String {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => value.to_string(),
        Value::String(text) => match text.char_indices().nth(EXCERPT_CHARS) {
            None => value.to_string(),
            Some((end, _)) => format!("{} (shortened)", Value::from(&text[..end])),
        },
        Value::Array(items) => format!("a list of {}", items.len()),
        Value::Object(_) => "an object".to_owned(),
    }
}
