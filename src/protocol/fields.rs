//! Typed access to the fields of a JSON object, with errors a person can act on.
//!
//! Every error names the field, the value that was sent and what is allowed. A field that is `null`
//! counts as absent.

use std::collections::BTreeMap;
use std::fmt::Display;

use serde_json::Number;

use crate::domain::{Range, Refusal};

use super::json::JsonSlice;
use super::warnings::{Place, Warnings};

/// The known fields of a JSON object.
pub(super) struct Fields<'a>(BTreeMap<&'static str, JsonSlice<'a>>);

impl<'a> Fields<'a> {
    /// The known fields of `sent`, which is at `place` in a frame; `None` if `sent` is not an
    /// object. `warnings` gets the unknown fields.
    pub(super) fn of(sent: JsonSlice<'a>, place: Place, warnings: &mut Warnings) -> Option<Self> {
        let unknown = |name: &str, sent: JsonSlice<'_>| {
            if !sent.is_null() {
                warnings.add_unknown(place, name);
            }
        };
        sent.fields(place.fields(), unknown).map(Self)
    }

    /// A field as it was sent, which may be `null`.
    pub(super) fn raw(&self, name: &str) -> Option<JsonSlice<'a>> {
        self.0.get(name).copied()
    }

    /// A field; `None` if it is absent or `null`.
    pub(super) fn get(&self, name: &str) -> Option<JsonSlice<'a>> {
        self.raw(name).filter(|sent| !sent.is_null())
    }

    /// A number in `range`.
    pub(super) fn number(&self, name: &str, range: Range) -> Result<Option<f32>, Refusal> {
        let Some(sent) = self.get(name) else { return Ok(None) };
        number(name, sent, range).map(|number| Some(number as f32))
    }

    /// A whole number in `range`. The range must stay within ±2⁵³, where `f64` is exact.
    pub(super) fn integer(&self, name: &str, range: Range) -> Result<Option<i64>, Refusal> {
        let Some(sent) = self.get(name) else { return Ok(None) };
        integer(name, sent, range).map(Some)
    }

    /// A boolean.
    pub(super) fn flag(&self, name: &str) -> Result<Option<bool>, Refusal> {
        let Some(sent) = self.get(name) else { return Ok(None) };
        sent.flag().map(Some).ok_or_else(|| expected(name, "true or false", sent))
    }
}

/// Reads `sent` as a number in `range`.
pub(super) fn number(field: &str, sent: JsonSlice<'_>, range: Range) -> Result<f64, Refusal> {
    let allowed = || format!("a number from {} to {}", range.min, range.max);
    match sent.number().as_ref().and_then(Number::as_f64) {
        Some(number) if range.contains(number) => Ok(number),
        _ => Err(expected(field, &allowed(), sent)),
    }
}

/// Reads `sent` as a whole number in `range`. 40.0 is accepted, 40.5 is refused.
pub(super) fn integer(field: &str, sent: JsonSlice<'_>, range: Range) -> Result<i64, Refusal> {
    match sent.number().as_ref().and_then(Number::as_f64) {
        Some(number) if range.contains(number) && number.fract() == 0.0 => Ok(number as i64),
        _ => Err(expected(field, &whole_number(range), sent)),
    }
}

/// Describes the whole numbers in `range` for an error message.
pub(super) fn whole_number(range: Range) -> String {
    format!("a whole number from {} to {}", range.min, range.max)
}

/// The `invalid_params` error for a value of `field` that is not `allowed`.
pub(super) fn expected(field: &str, allowed: &str, sent: impl Display) -> Refusal {
    invalid(field, format!("must be {allowed}, not {sent}"))
}

/// An `invalid_params` error about `field`.
pub(super) fn invalid(field: &str, reason: impl Into<String>) -> Refusal {
    Refusal::InvalidParams { field: field.to_owned(), reason: reason.into() }
}
