//! The methods of Python's lists, tuples and maps.

use minijinja::value::{Tuple, Value, ValueKind};
use minijinja::{Error, ErrorKind, State};

use super::arguments::{Arguments, refused};
use super::bounds;
use super::keys::check_key;
use super::views::MapView;

/// Calls a method of a list, tuple or map.
///
/// # Errors
/// Python has no such method or refuses the arguments, or the method would change the value.
pub(super) fn method(
    state: &State<'_, '_>,
    value: &Value,
    name: &str,
    arguments: &[Value],
) -> Result<Value, Error> {
    bounds::check_all(state, arguments)?;
    match (value.kind(), name) {
        (ValueKind::Map, "items" | "keys" | "values") => {
            Arguments::bind(arguments, &[])?;
            view(state, value, name)
        }
        (ValueKind::Map, "get") => {
            let arguments = Arguments::bind(arguments, &["key", "default"])?;
            let key = arguments.required("key")?;
            check_key(state, key)?;
            let found = value.get_item(key)?;
            let default = || arguments.get("default").cloned().unwrap_or_else(|| Value::from(()));
            Ok(if found.is_undefined() { default() } else { found })
        }
        (ValueKind::Map, "copy") => Ok(value.clone()),
        (ValueKind::Map, "fromkeys") => {
            let arguments = Arguments::bind(arguments, &["iterable", "value"])?;
            let keys = arguments.required("iterable")?.try_iter()?;
            let value = arguments.get("value").cloned().unwrap_or_else(|| Value::from(()));
            bounds::pay(state, arguments.required("iterable")?.len().unwrap_or(0) * ITEM_BYTES)?;
            Ok(Value::from_pairs(keys.map(|key| (key, value.clone()))))
        }
        (ValueKind::Seq | ValueKind::Iterable, "count" | "index") => {
            search(state, value, name, arguments)
        }
        (ValueKind::Seq | ValueKind::Iterable, "copy") if !value.is_tuple() => Ok(value.clone()),
        (
            kind,
            "append" | "extend" | "insert" | "pop" | "remove" | "sort" | "reverse" | "clear"
            | "update" | "setdefault" | "popitem",
        ) => Err(refused(format!("{name} would change a {kind}, which templates may not"))),
        (kind, _) => {
            Err(Error::new(ErrorKind::UnknownMethod, format!("a {kind} has no method {name}")))
        }
    }
}

fn search(
    state: &State<'_, '_>,
    list: &Value,
    name: &str,
    arguments: &[Value],
) -> Result<Value, Error> {
    let arguments = Arguments::bind(arguments, &["value", "start", "stop"])?;
    let wanted = arguments.required("value")?;
    bounds::check(state, list)?;
    let items: Vec<_> = list.try_iter()?.collect();
    if name == "count" {
        return Ok(Value::from(items.iter().filter(|item| *item == wanted).count()));
    }
    let limit = |name, default: usize| -> Result<usize, Error> {
        let Some(index) = arguments.integer(name)? else { return Ok(default) };
        let n = i64::try_from(items.len()).unwrap_or(i64::MAX);
        let index = if index < 0 { index.saturating_add(n).max(0) } else { index };
        Ok(usize::try_from(index).unwrap_or(usize::MAX).min(items.len()))
    };
    let (start, stop) = (limit("start", 0)?, limit("stop", items.len())?);
    let found = (start..stop).find(|index| items[*index] == *wanted);
    found.map(Value::from).ok_or_else(|| refused("the value is not in the list"))
}

fn view(state: &State<'_, '_>, map: &Value, name: &str) -> Result<Value, Error> {
    let keys: Vec<_> = map.try_iter()?.collect();
    bounds::pay(state, keys.len().saturating_mul(ITEM_BYTES))?;
    let name = match name {
        "keys" => "dict_keys",
        "values" => "dict_values",
        _ => "dict_items",
    };
    let items = keys.into_iter().map(|key| match name {
        "dict_keys" => Ok(key),
        "dict_values" => map.get_item(&key),
        _ => Ok(Value::from(Tuple::from([key.clone(), map.get_item(&key)?]))),
    });
    Ok(Value::from_object(MapView { name, items: items.collect::<Result<_, Error>>()? }))
}

/// Bytes that an item of a new map or view takes.
const ITEM_BYTES: usize = 64;
