//! The filters of Jinja2 that take a list or a map.

use minijinja::value::{Kwargs, Value, ValueKind};
use minijinja::{Environment, Error, State, filters};

use super::arguments::{Arguments, Given, refused};
use super::order::check_order;
use super::text_filters::text_of;
use super::{bounds, print};

/// Adds the filters, and removes those that Jinja2 lacks.
pub(super) fn install(environment: &mut Environment<'_>) {
    for name in ["chain", "zip"] {
        environment.remove_filter(name);
    }
    environment.add_filter("sort", |state: &mut State<'_, '_>, list: Value, rest: Given| {
        let arguments = Arguments::of(rest, &["reverse", "case_sensitive", "attribute"])?;
        check_keys(state, &list, &arguments)?;
        filters::sort(state, list, arguments.keywords())
    });
    environment.add_filter("min", |state: &mut State<'_, '_>, list: Value, rest: Given| {
        let arguments = Arguments::of(rest, &["case_sensitive", "attribute"])?;
        check_keys(state, &list, &arguments)?;
        filters::min(state, list, arguments.keywords())
    });
    environment.add_filter("max", |state: &mut State<'_, '_>, list: Value, rest: Given| {
        let arguments = Arguments::of(rest, &["case_sensitive", "attribute"])?;
        check_keys(state, &list, &arguments)?;
        filters::max(state, list, arguments.keywords())
    });
    environment.add_filter("unique", |state: &State<'_, '_>, list: Value, rest: Given| {
        let arguments = Arguments::of(rest, &["case_sensitive", "attribute"])?;
        bounds::check(state, &list)?;
        filters::unique(state, list, arguments.keywords())
    });
    environment.add_filter("groupby", |state: &State<'_, '_>, list: Value, rest: Given| {
        let arguments = Arguments::of(rest, &["attribute", "default", "case_sensitive"])?;
        bounds::check(state, &list)?;
        filters::groupby(list, None, arguments.keywords())
    });
    environment.add_filter("dictsort", dictsort);
    environment.add_filter("join", join);
    environment.add_filter("list", list);
}

/// Fails if Python cannot put the items of a list, or their attributes, in an order.
fn check_keys(state: &mut State<'_, '_>, list: &Value, arguments: &Arguments) -> Result<(), Error> {
    bounds::check(state, list)?;
    let keys = match arguments.get("attribute").filter(|name| !name.is_none()) {
        // Several attributes are compared one by one.
        Some(names) if names.as_str().is_some_and(|names| names.contains(',')) => return Ok(()),
        Some(name) => {
            let keywords = Kwargs::from_iter([("attribute", name.clone())]);
            state.apply_filter("map", &[list.clone(), Value::from(keywords)])?
        }
        None => list.clone(),
    };
    let mut keys = keys.try_iter()?;
    let Some(mut previous) = keys.next() else { return Ok(()) };
    for key in keys {
        if previous != key {
            check_order(&previous, &key)?;
        }
        previous = key;
    }
    Ok(())
}

fn dictsort(state: &State<'_, '_>, map: &Value, rest: Given) -> Result<Value, Error> {
    let arguments = Arguments::of(rest, &["case_sensitive", "by", "reverse"])?;
    if !matches!(arguments.text_or("by", "key")?, "key" | "value") {
        return Err(refused("dictsort sorts by 'key' or 'value'"));
    }
    bounds::check(state, map)?;
    filters::dictsort(map, arguments.keywords())
}

fn join(state: &mut State<'_, '_>, list: &Value, rest: Given) -> Result<String, Error> {
    let arguments = Arguments::of(rest, &["d", "attribute"])?;
    bounds::check(state, list)?;
    let separator = arguments.get("d").map_or(Ok(String::new()), |d| text_of(state, d))?;
    let parts = match arguments.get("attribute").filter(|name| !name.is_none()) {
        Some(name) => {
            let keywords = Kwargs::from_iter([("attribute", name.clone())]);
            state.apply_filter("map", &[list.clone(), Value::from(keywords)])?
        }
        None => list.clone(),
    };
    if matches!(parts.kind(), ValueKind::None) {
        return Err(refused("none cannot be joined"));
    }
    let mut out = String::new();
    let mut n_paid = 0;
    for (index, part) in parts.try_iter()?.enumerate() {
        bounds::pay(state, separator.len())?;
        if index > 0 {
            out.push_str(&separator);
        }
        print::write_text(&mut out, &part);
        bounds::pay(state, out.len() - n_paid)?;
        n_paid = out.len();
    }
    Ok(out)
}

fn list(state: &State<'_, '_>, value: Value) -> Result<Value, Error> {
    match value.kind() {
        ValueKind::None | ValueKind::Bool | ValueKind::Number => {
            Err(refused(format!("{} is no list", value.kind())))
        }
        _ => filters::list(state, value),
    }
}
