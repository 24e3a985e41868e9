//! Reads one field after another out of a JSON object, and says plainly what is wrong with it.
//!
//! Every complaint names the field, the value that was sent and what is allowed. A field that is
//! `null` counts as absent.

use std::collections::BTreeMap;
use std::fmt::Display;

use serde_json::Number;

use crate::domain::{Range, Refusal};

use super::sent::Sent;

/// The fields of an object that this version knows.
pub(super) struct Fields<'a>(BTreeMap<&'static str, Sent<'a>>);

impl<'a> Fields<'a> {
    /// The fields of these names, if an object was sent.
    pub(super) fn of(sent: Sent<'a>, names: &'static [&'static str]) -> Option<Self> {
        sent.fields(names).map(Self)
    }

    /// A field as it was sent, be it `null`.
    pub(super) fn sent(&self, name: &str) -> Option<Sent<'a>> {
        self.0.get(name).copied()
    }

    /// A field, if it is there and not `null`.
    pub(super) fn get(&self, name: &str) -> Option<Sent<'a>> {
        self.sent(name).filter(|sent| !sent.is_null())
    }

    /// A number in `range`.
    pub(super) fn number(&self, name: &str, range: Range) -> Result<Option<f32>, Refusal> {
        let Some(sent) = self.get(name) else { return Ok(None) };
        number(name, sent, range).map(|number| Some(number as f32))
    }

    /// A whole number in `range`, which must lie within what an `f64` counts exactly.
    pub(super) fn integer(&self, name: &str, range: Range) -> Result<Option<i64>, Refusal> {
        let Some(sent) = self.get(name) else { return Ok(None) };
        integer(name, sent, range).map(Some)
    }

    /// `true` or `false`.
    pub(super) fn flag(&self, name: &str) -> Result<Option<bool>, Refusal> {
        let Some(sent) = self.get(name) else { return Ok(None) };
        sent.flag().map(Some).ok_or_else(|| expected(name, "true or false", sent))
    }
}

/// `sent` as a number in `range`.
pub(super) fn number(field: &str, sent: Sent<'_>, range: Range) -> Result<f64, Refusal> {
    let allowed = || format!("a number from {} to {}", range.min, range.max);
    match sent.number().as_ref().and_then(Number::as_f64) {
        Some(number) if range.contains(number) => Ok(number),
        _ => Err(expected(field, &allowed(), sent)),
    }
}

/// `sent` as a whole number in `range`; 40.0 is one, 40.5 is not.
pub(super) fn integer(field: &str, sent: Sent<'_>, range: Range) -> Result<i64, Refusal> {
    match sent.number().as_ref().and_then(Number::as_f64) {
        Some(number) if range.contains(number) && number.fract() == 0.0 => Ok(number as i64),
        _ => Err(expected(field, &whole_number(range), sent)),
    }
}

/// The words for the whole numbers in `range`.
pub(super) fn whole_number(range: Range) -> String {
    format!("a whole number from {} to {}", range.min, range.max)
}

/// The complaint about a value that is not what is allowed.
pub(super) fn expected(field: &str, allowed: &str, sent: impl Display) -> Refusal {
    invalid(field, format!("must be {allowed}, not {sent}"))
}

/// A complaint in free words.
pub(super) fn invalid(field: &str, reason: impl Into<String>) -> Refusal {
    Refusal::InvalidParams { field: field.to_owned(), reason: reason.into() }
}
