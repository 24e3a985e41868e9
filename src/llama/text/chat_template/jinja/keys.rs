//! What Python can use as a key of a map.

use minijinja::value::{Value, ValueKind};
use minijinja::{Error, State};

use super::arguments::refused;
use super::bounds;

/// Fails if Python cannot use `key` in a map, and uses fuel for looking it up.
pub(super) fn check_key(state: &State<'_, '_>, key: &Value) -> Result<(), Error> {
    match key.kind() {
        ValueKind::String => bounds::pay(state, key.as_str().map_or(0, str::len)),
        ValueKind::Map | ValueKind::Iterable => Err(refused("a key cannot be a list or map")),
        ValueKind::Seq if !key.is_tuple() => Err(refused("a key cannot be a list")),
        _ => bounds::check(state, key),
    }
}
