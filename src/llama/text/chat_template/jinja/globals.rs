//! The functions of Jinja2 and of transformers: `range`, `namespace`, `raise_exception` and others.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};

use minijinja::value::{Kwargs, Object, ObjectRepr, Rest, Value, ValueKind};
use minijinja::{Environment, Error, ErrorKind, State, functions};

use super::arguments::{Arguments, Given, expect_integer, expect_text, refused, split_keywords};
use super::range::NumberRange;
use super::{bounds, print};

/// Adds the functions.
pub(super) fn install(environment: &mut Environment<'_>) {
    environment.remove_global("debug");
    environment.add_function("range", range);
    environment.add_function("dict", dict);
    environment.add_function("namespace", namespace);
    environment.add_function("cycler", cycler);
    environment.add_function("joiner", minijinja_contrib::globals::joiner);
    environment.add_function("raise_exception", raise_exception);
    environment.add_function("strftime_now", strftime_now);
}

fn raise_exception(state: &State<'_, '_>, reason: &Value) -> Result<Value, Error> {
    bounds::check(state, reason)?;
    Err(refused(print::text_of(reason)))
}

/// The local time in a format such as `%Y-%m-%d`. A conversation that continues on another day
/// therefore has another prefix, and the prefix cache does not help.
fn strftime_now(format: &Value) -> Result<String, Error> {
    let format = expect_text(format)?;
    if format.len() > MAX_DATE_FORMAT_BYTES {
        return Err(refused(format!("strftime_now: more than {MAX_DATE_FORMAT_BYTES} bytes")));
    }
    jiff::fmt::strtime::format(format, &jiff::ZonedDateTime::now())
        .map_err(|error| refused(format!("strftime_now: {error}")))
}

/// The pairs of a map, or of a list of pairs, and keyword arguments.
fn pairs(state: &State<'_, '_>, arguments: &[Value]) -> Result<Vec<(Value, Value)>, Error> {
    bounds::check_all(state, arguments)?;
    let (positional, keywords) = split_keywords(arguments)?;
    let mut pairs = Vec::new();
    match positional {
        [] => {}
        [map] if map.kind() == ValueKind::Map => {
            for key in map.try_iter()? {
                pairs.push((key.clone(), map.get_item(&key)?));
            }
        }
        [list] => {
            for pair in list.try_iter()? {
                let parts: Vec<_> = pair.try_iter()?.collect();
                let [key, value] = &parts[..] else { return Err(refused("expected pairs")) };
                pairs.push((key.clone(), value.clone()));
            }
        }
        _ => return Err(Error::from(ErrorKind::TooManyArguments)),
    }
    for name in keywords.args() {
        pairs.push((Value::from(name), keywords.get(name)?));
    }
    Ok(pairs)
}

fn dict(state: &State<'_, '_>, arguments: Given) -> Result<Value, Error> {
    Ok(Value::from_pairs(pairs(state, &arguments.into_values())?))
}

fn namespace(state: &State<'_, '_>, arguments: Given) -> Result<Value, Error> {
    let pairs = pairs(state, &arguments.into_values())?;
    let named: Result<Kwargs, Error> =
        pairs.iter().map(|(key, value)| Ok((expect_text(key)?, value.clone()))).collect();
    functions::namespace(Some(Value::from(named?).into()))
}

/// Whether a value is a namespace, which has attributes but no methods.
pub(super) fn is_namespace(value: &Value) -> bool {
    static TYPE_NAME: LazyLock<Option<&'static str>> = LazyLock::new(|| {
        functions::namespace(None).ok()?.as_object().map(|object| object.type_name())
    });
    value.as_object().map(|object| object.type_name()) == *TYPE_NAME
}

fn cycler(items: Rest<Value>) -> Result<Value, Error> {
    if items.is_empty() {
        return Err(refused("cycler needs at least one value"));
    }
    Ok(Value::from_object(Cycler { items: items.0, index: AtomicUsize::new(0) }))
}

/// Goes through its items again and again.
#[derive(Debug)]
struct Cycler {
    items: Vec<Value>,
    index: AtomicUsize,
}

impl Object for Cycler {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        let current = || self.items[self.index.load(Ordering::Relaxed)].clone();
        (key.as_str()? == "current").then(current)
    }

    fn call_method(
        self: &Arc<Self>,
        _: &mut State<'_, '_>,
        method: &str,
        args: &[Value],
    ) -> Result<Value, Error> {
        Arguments::bind(args, &[])?;
        let index = self.index.load(Ordering::Relaxed);
        match method {
            "next" => {
                self.index.store((index + 1) % self.items.len(), Ordering::Relaxed);
                Ok(self.items[index].clone())
            }
            "reset" => {
                self.index.store(0, Ordering::Relaxed);
                Ok(Value::from(()))
            }
            _ => Err(Error::from(ErrorKind::UnknownMethod)),
        }
    }
}

fn range(arguments: Rest<Value>) -> Result<Value, Error> {
    let numbers = arguments.0.into_iter().map(|number| expect_integer(&number));
    let numbers = numbers.collect::<Result<Vec<_>, _>>()?;
    let (start, stop, step) = match numbers[..] {
        [stop] => (0, stop, 1),
        [start, stop] => (start, stop, 1),
        [start, stop, step] => (start, stop, step),
        _ => return Err(refused("range needs one to three integers")),
    };
    if step == 0 {
        return Err(refused("the step of a range is zero"));
    }
    let range = NumberRange { start, stop, step };
    if range.len() > MAX_RANGE {
        return Err(refused(format!("a range has more than {MAX_RANGE} numbers")));
    }
    Ok(Value::from_object(range))
}

/// Longest range, as in Jinja2's sandbox.
const MAX_RANGE: usize = 100_000;
/// Longest date format in bytes. Each field may ask for 255 characters, so a long format would
/// bypass the limits on text (ADR-0017).
const MAX_DATE_FORMAT_BYTES: usize = 128;
