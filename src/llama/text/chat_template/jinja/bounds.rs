//! Limits the size and depth of a template's values.
//!
//! minijinja counts a template's steps, the bytes it creates and the items it visits. Two things
//! escape its count. Writing, comparing or hashing a value visits all of its parts, a repeated part
//! each time, and recurses into nested parts, which can take unlimited time and stack. And the
//! functions of these files create texts and lists. So operators, filters and methods first measure
//! the values that they visit ([`check`]), and pay for what they create before they create it
//! ([`pay`]).

use minijinja::value::{Value, ValueKind};
use minijinja::{Error, State};

use super::arguments::refused;

/// Checks that `value` may be written, compared or hashed, and uses fuel for the work.
pub(super) fn check(state: &State<'_, '_>, value: &Value) -> Result<(), Error> {
    // Texts and numbers used fuel when they were created.
    if value.as_object().is_none() {
        return Ok(());
    }
    let mut remaining = MAX_UNITS;
    let result = walk(value, 0, &mut remaining);
    state.consume_fuel(((MAX_UNITS - remaining) / UNITS_PER_FUEL) as u64)?;
    result
}

/// Checks several values.
pub(super) fn check_all(state: &State<'_, '_>, values: &[Value]) -> Result<(), Error> {
    values.iter().try_for_each(|value| check(state, value))
}

/// Uses fuel for `n_bytes` of text that are about to be created.
pub(super) fn pay(state: &State<'_, '_>, n_bytes: usize) -> Result<(), Error> {
    if n_bytes > MAX_TEXT_BYTES {
        return Err(refused("a text is too long"));
    }
    state.consume_fuel((n_bytes / BYTES_PER_FUEL) as u64)
}

/// Subtracts the units of `value` from `remaining`. A part that occurs several times counts each
/// time, because it is visited each time.
fn walk(value: &Value, depth: usize, remaining: &mut usize) -> Result<(), Error> {
    let n = 1 + value.as_str().map_or(0, str::len) / BYTES_PER_UNIT;
    *remaining = remaining.checked_sub(n).ok_or_else(|| refused("a value is too large"))?;
    if value.as_object().is_none() {
        return Ok(());
    }
    if depth > MAX_DEPTH {
        return Err(refused("a value is nested too deeply"));
    }
    let is_map = value.kind() == ValueKind::Map;
    if !is_map && !matches!(value.kind(), ValueKind::Seq | ValueKind::Iterable) {
        return Ok(());
    }
    for part in value.try_iter()? {
        if is_map {
            walk(&value.get_item(&part)?, depth + 1, remaining)?;
        }
        walk(&part, depth + 1, remaining)?;
    }
    Ok(())
}

/// Maximum depth of a value's nesting (ADR-0017).
const MAX_DEPTH: usize = 64;
/// Maximum size of a value in units: one for each part, and one for every [`BYTES_PER_UNIT`] of
/// text (ADR-0017).
const MAX_UNITS: usize = 1 << 19;
/// Bytes of text that count as one unit.
const BYTES_PER_UNIT: usize = 32;
/// Units that are measured for one unit of fuel.
const UNITS_PER_FUEL: usize = 4;
/// Bytes of text that one unit of fuel pays for, as in minijinja.
const BYTES_PER_FUEL: usize = 64;
/// Longest text that a function may create, in bytes.
pub(super) const MAX_TEXT_BYTES: usize = MAX_UNITS * BYTES_PER_UNIT;
