//! The tests of Jinja2 (`is sequence`, `is odd`) where minijinja's differ.

use minijinja::value::{Rest, Value, ValueKind};
use minijinja::{Environment, Error, State};

use super::arguments::refused;
use super::bound_methods::is_plain_map;
use super::order::check_order;
use super::views::is_view;
use super::{bounds, operators};

/// Adds the tests, and removes those that Jinja2 lacks.
pub(super) fn install(environment: &mut Environment<'_>) {
    for name in ["safe", "startingwith", "endingwith"] {
        environment.remove_test(name);
    }
    environment.add_test("sequence", |value: &Value| match value.kind() {
        ValueKind::String | ValueKind::Map | ValueKind::Seq | ValueKind::Undefined => true,
        ValueKind::Iterable => !is_view(value),
        _ => false,
    });
    environment.add_test("iterable", |value: &Value| {
        matches!(
            value.kind(),
            ValueKind::String
                | ValueKind::Map
                | ValueKind::Seq
                | ValueKind::Iterable
                | ValueKind::Undefined
        )
    });
    environment
        .add_test("mapping", |value: &Value| value.kind() == ValueKind::Map && is_plain_map(value));
    environment.add_test("callable", is_callable);
    environment.add_test("odd", |value: &Value| {
        let rest = parity(value)?;
        Ok::<_, Error>(rest == 1.0)
    });
    environment.add_test("even", |value: &Value| {
        let rest = parity(value)?;
        Ok::<_, Error>(rest == 0.0)
    });
    environment.add_test("divisibleby", |value: &Value, divisor: &Value| {
        parity(value)?;
        minijinja::tests::is_divisibleby(value, divisor)
            .then_some(true)
            .map_or_else(|| zero_divisor(divisor), Ok)
    });
    for (names, is_order, holds) in COMPARISONS {
        for name in names {
            environment.add_test(*name, move |state: &State<'_, '_>, values: Rest<Value>| {
                compare(state, &values, is_order, holds)
            });
        }
    }
    environment.add_test("in", operators::contains);
}

fn compare(
    state: &State<'_, '_>,
    values: &[Value],
    is_order: bool,
    holds: impl Fn(&Value, &Value) -> bool,
) -> Result<bool, Error> {
    let [a, b] = values else { return Err(refused("a comparison needs two values")) };
    bounds::check_all(state, values)?;
    if is_order {
        check_order(a, b)?;
    }
    Ok(holds(a, b))
}

/// False, unless a number was divided by zero.
fn zero_divisor(divisor: &Value) -> Result<bool, Error> {
    match parity(divisor) {
        Ok(_) if divisor.is_true() => Ok(false),
        _ => Err(refused("divisibleby needs a number that is not zero")),
    }
}

/// The remainder of a number divided by two.
fn parity(value: &Value) -> Result<f64, Error> {
    match value.kind() {
        ValueKind::Number if value.is_integer() => {
            let number = i128::try_from(value.clone())?;
            Ok(if number % 2 == 0 { 0.0 } else { 1.0 })
        }
        ValueKind::Number => Ok(f64::try_from(value.clone())?.rem_euclid(2.0)),
        ValueKind::Bool => Ok(if value.is_true() { 1.0 } else { 0.0 }),
        kind => Err(refused(format!("{kind} is no number"))),
    }
}

fn is_callable(value: &Value) -> bool {
    let type_name = value.as_object().map(|object| object.type_name()).unwrap_or_default();
    value.kind() == ValueKind::Plain || type_name.contains("::vm::") && type_name.ends_with("Macro")
}

/// Names of a comparison, whether it needs an order of its two values, and whether it holds.
type Comparison = (&'static [&'static str], bool, fn(&Value, &Value) -> bool);

const COMPARISONS: [Comparison; 6] = [
    (&["eq", "equalto", "=="], false, |a, b| a == b),
    (&["ne", "!="], false, |a, b| a != b),
    (&["lt", "lessthan", "<"], true, |a, b| a < b),
    (&["le", "<="], true, |a, b| a <= b),
    (&["gt", "greaterthan", ">"], true, |a, b| a > b),
    (&["ge", ">="], true, |a, b| a >= b),
];
