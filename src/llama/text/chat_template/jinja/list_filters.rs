//! The filters of Jinja2 that take a list or a map.

use std::borrow::Cow;

use minijinja::value::{Kwargs, Rest, Value, ValueKind, ValueOrKwargs};
use minijinja::{Environment, Error, State, filters};

use super::arguments::{Arguments, Given, expect_text, refused};
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
        check_keys(state, &list, &arguments, true)?;
        filters::sort(state, list, arguments.keywords())
    });
    environment.add_filter("min", |state: &mut State<'_, '_>, list: Value, rest: Given| {
        let arguments = Arguments::of(rest, &["case_sensitive", "attribute"])?;
        check_keys(state, &list, &arguments, false)?;
        filters::min(state, list, arguments.keywords())
    });
    environment.add_filter("max", |state: &mut State<'_, '_>, list: Value, rest: Given| {
        let arguments = Arguments::of(rest, &["case_sensitive", "attribute"])?;
        check_keys(state, &list, &arguments, false)?;
        filters::max(state, list, arguments.keywords())
    });
    environment.add_filter("unique", |state: &State<'_, '_>, list: Value, rest: Given| {
        let arguments = Arguments::of(rest, &["case_sensitive", "attribute"])?;
        bounds::check(state, &list)?;
        filters::unique(state, list, arguments.keywords())
    });
    environment.add_filter("groupby", |state: &mut State<'_, '_>, list: Value, rest: Given| {
        let mut arguments = Arguments::of(rest, &["attribute", "default", "case_sensitive"])?;
        if arguments.get("default").is_none() {
            check_keys(state, &list, &arguments, false)?;
        }
        bounds::check(state, &list)?;
        // The index of an item is an attribute as well.
        let attribute = print::text_of(arguments.required("attribute")?);
        arguments.set("attribute", Value::from(attribute));
        filters::groupby(list, None, arguments.keywords())
    });
    environment.add_filter("map", |state: &mut State<'_, '_>, list: Value, rest: Given| {
        check_given(state, &rest)?;
        filters::map(state, list, rest)
    });
    for (name, is_attribute) in
        [("select", false), ("reject", false), ("selectattr", true), ("rejectattr", true)]
    {
        environment.add_filter(name, move |state: &mut State<'_, '_>, list: Value, rest: Given| {
            check_given(state, &rest)?;
            choose(state, list, rest.into_values(), name.starts_with("reject"), is_attribute)
        });
    }
    environment.add_filter("dictsort", dictsort);
    environment.add_filter("sum", sum);
    environment.add_filter("join", join);
    environment.add_filter("list", list);
}

/// Checks what a function of minijinja is given.
fn check_given(state: &State<'_, '_>, given: &Given) -> Result<(), Error> {
    given.iter().try_for_each(|value| bounds::check(state, value))
}

/// The items of a list for which a test holds, or does not.
fn choose(
    state: &mut State<'_, '_>,
    list: Value,
    mut given: Vec<Value>,
    is_rejected: bool,
    is_attribute: bool,
) -> Result<Vec<Value>, Error> {
    let n_names = given.len().min(if is_attribute { 2 } else { 1 });
    let rest: Given = Rest(given.split_off(n_names).into_iter().map(ValueOrKwargs::from).collect());
    let mut names = given.iter().map(|name| expect_text(name).map(Cow::Borrowed));
    if !is_attribute {
        let test = names.next().transpose()?;
        return match is_rejected {
            true => filters::reject(state, list, test, rest),
            false => filters::select(state, list, test, rest),
        };
    }
    let attribute = names.next().ok_or_else(|| refused("an attribute is missing"))??;
    let test = names.next().transpose()?;
    match is_rejected {
        true => filters::rejectattr(state, list, attribute, test, rest),
        false => filters::selectattr(state, list, attribute, test, rest),
    }
}

/// The items of a list, or those of their attributes that the argument `attribute` names.
fn items(state: &mut State<'_, '_>, list: &Value, arguments: &Arguments) -> Result<Value, Error> {
    match arguments.get("attribute").filter(|name| !name.is_none()) {
        Some(name) => {
            let keywords = Kwargs::from_iter([("attribute", name.clone())]);
            state.apply_filter("map", &[list.clone(), Value::from(keywords)])
        }
        None => Ok(list.clone()),
    }
}

/// Fails if Python cannot put the items of a list, or their attributes, in an order. With
/// `allows_equal` it does not have to order equal ones.
fn check_keys(
    state: &mut State<'_, '_>,
    list: &Value,
    arguments: &Arguments,
    allows_equal: bool,
) -> Result<(), Error> {
    bounds::check(state, list)?;
    // Several attributes are compared one by one.
    let names = arguments.get("attribute").and_then(Value::as_str);
    if names.is_some_and(|names| names.contains(',')) {
        return Ok(());
    }
    let mut keys = items(state, list, arguments)?.try_iter()?;
    let Some(mut previous) = keys.next() else { return Ok(()) };
    for key in keys {
        if !allows_equal || previous != key {
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

fn sum(state: &mut State<'_, '_>, list: &Value, rest: Given) -> Result<Value, Error> {
    let arguments = Arguments::of(rest, &["attribute", "start"])?;
    bounds::check(state, list)?;
    let parts = items(state, list, &arguments)?;
    if parts.try_iter()?.any(|part| part.is_undefined()) {
        return Err(refused("an undefined value cannot be added"));
    }
    let start = arguments.get("start").cloned();
    filters::sum(state, parts, None, start, Kwargs::from_iter(Vec::<(String, Value)>::new()))
}

fn join(state: &mut State<'_, '_>, list: &Value, rest: Given) -> Result<String, Error> {
    let arguments = Arguments::of(rest, &["d", "attribute"])?;
    bounds::check(state, list)?;
    let separator = arguments.get("d").map_or(Ok(String::new()), |d| text_of(state, d))?;
    let parts = items(state, list, &arguments)?;
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
