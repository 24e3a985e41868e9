//! Python's operators where minijinja's differ: `%` on strings, `~`, `<`, `in`, slices and others.
//!
//! minijinja has no hook for operators. But a compiled template is a list of instructions, and an
//! operator is an instruction that takes its operands from the stack, as a call of a function does.
//! [`rewrite`] puts calls of the functions in [`install`] in their place. Their names are no
//! identifiers, so a template can neither use nor hide them.

use minijinja::machinery::{Instruction, Instructions};
use minijinja::value::{Rest, Value, ValueKind};
use minijinja::{Environment, Error, State};

use super::arguments::refused;
use super::keys::check_key;
use super::macros::{self, MacroPlan};
use super::numbers::integer;
use super::order::check_order;
use super::text_filters::escape;
use super::{bound_methods, bounds, percent, print, slices};

/// Adds the functions that stand for operators.
pub(super) fn install(environment: &mut Environment<'_>) {
    type Operands<'a> = (&'a Value, &'a Value);
    environment.add_function("%", remainder);
    environment.add_function("~", concatenate);
    environment.add_function("-", negate);
    environment.add_function("+", addends);
    environment.add_function(".changed()", changed);
    environment.add_function("==", |state: &State<'_, '_>, a: &Value, b: &Value| {
        visited(state, (a, b)).map(|(a, b): Operands<'_>| a == b)
    });
    environment.add_function("!=", |state: &State<'_, '_>, a: &Value, b: &Value| {
        visited(state, (a, b)).map(|(a, b): Operands<'_>| a != b)
    });
    environment.add_function("<", |state: &State<'_, '_>, a: &Value, b: &Value| {
        ordered(state, (a, b)).map(|(a, b): Operands<'_>| a < b)
    });
    environment.add_function("<=", |state: &State<'_, '_>, a: &Value, b: &Value| {
        ordered(state, (a, b)).map(|(a, b): Operands<'_>| a <= b)
    });
    environment.add_function(">", |state: &State<'_, '_>, a: &Value, b: &Value| {
        ordered(state, (a, b)).map(|(a, b): Operands<'_>| a > b)
    });
    environment.add_function(">=", |state: &State<'_, '_>, a: &Value, b: &Value| {
        ordered(state, (a, b)).map(|(a, b): Operands<'_>| a >= b)
    });
    // Before a link of a chain such as `a < b < c`, which minijinja compares.
    environment.add_function("==, ==", |state: &State<'_, '_>, a: &Value, b: &Value| {
        visited(state, (a, b)).map(|(a, b): Operands<'_>| vec![b.clone(), a.clone()])
    });
    environment.add_function("<, <", |state: &State<'_, '_>, a: &Value, b: &Value| {
        ordered(state, (a, b)).map(|(a, b): Operands<'_>| vec![b.clone(), a.clone()])
    });
    environment.add_function("in", contains);
    environment.add_function("[]", item);
    environment.add_function("[:]", slices::slice);
    environment.add_function("{}", map);
    environment.add_function("iter", iterable);
    bound_methods::install(environment);
    macros::install(environment);
}

/// The instructions with calls in the place of operators.
pub(super) fn rewrite<'a>(old: &Instructions<'a>) -> Instructions<'a> {
    let mut new = Instructions::new(old.name(), old.source());
    let mut plan = MacroPlan::new(old);
    let mut addresses = Vec::new();
    let mut n_new = 0;
    let mut follows_name = false;
    for index in 0.. {
        addresses.push(n_new);
        let Some(instruction) = old.get(index) else { break };
        let line = old.get_line(index).and_then(|line| u16::try_from(line).ok()).unwrap_or(0);
        for part in plan.replace(index, replacement(instruction, follows_name)) {
            new.add_with_line(part, line);
            n_new += 1;
        }
        follows_name =
            matches!(instruction, Instruction::LoadConst(value) if value.as_str().is_some());
    }
    for index in 0..n_new {
        if let Some(
            Instruction::Iterate(target)
            | Instruction::Jump(target)
            | Instruction::JumpIfFalse(target)
            | Instruction::JumpIfFalseOrPop(target)
            | Instruction::JumpIfTrueOrPop(target)
            | Instruction::BuildMacro(_, target, _),
        ) = new.get_mut(index)
        {
            *target = addresses.get(*target as usize).copied().unwrap_or(*target);
        }
    }
    new
}

/// What stands for one instruction. `follows_name` says that its last operand is a string that is
/// written in the template.
fn replacement<'a>(old: &Instruction<'a>, follows_name: bool) -> Vec<Instruction<'a>> {
    use Instruction as I;
    let call = |name, n| vec![I::CallFunction(name, Some(n))];
    match old {
        I::Rem => call("%", 2),
        I::StringConcat => call("~", 2),
        I::Neg => call("-", 1),
        I::Add => vec![I::CallFunction("+", Some(2)), I::UnpackList(2), old.clone()],
        I::CallMethod("changed", Some(2)) => call(".changed()", 2),
        // Comparing with such a string visits no parts, and it can be a key.
        I::Eq if !follows_name => call("==", 2),
        I::Ne if !follows_name => call("!=", 2),
        I::GetItem if !follows_name => call("[]", 2),
        I::Lt => call("<", 2),
        I::Lte => call("<=", 2),
        I::Gt => call(">", 2),
        I::Gte => call(">=", 2),
        I::CompareAndPreserve(operator) => {
            // The numbers of `<`, `<=`, `>` and `>=` in an enumeration that is not public.
            let is_order = (2..=5).contains(&(*operator as u8));
            let check = if is_order { "<, <" } else { "==, ==" };
            vec![I::CallFunction(check, Some(2)), I::UnpackList(2), old.clone()]
        }
        I::In => call("in", 2),
        I::Slice => call("[:]", 4),
        I::BuildMap(n) if *n <= MAX_LITERAL_PAIRS => call("{}", 2 * *n as u16),
        I::PushLoop(_) => vec![I::CallFunction("iter", Some(1)), old.clone()],
        I::GetAttr(name) => bound_methods::function(name)
            .map_or_else(|| vec![old.clone()], |function| call(function, 1)),
        _ => vec![old.clone()],
    }
}

/// The operands, whose parts may be visited.
fn visited<'a>(
    state: &State<'_, '_>,
    (a, b): (&'a Value, &'a Value),
) -> Result<(&'a Value, &'a Value), Error> {
    bounds::check(state, a)?;
    bounds::check(state, b)?;
    if let (Some(a), Some(b)) = (a.as_str(), b.as_str()) {
        bounds::pay(state, a.len().min(b.len()) / BYTES_PER_COMPARED_BYTE)?;
    }
    Ok((a, b))
}

/// The operands, which Python can order.
fn ordered<'a>(
    state: &State<'_, '_>,
    operands: (&'a Value, &'a Value),
) -> Result<(&'a Value, &'a Value), Error> {
    let (a, b) = visited(state, operands)?;
    check_order(a, b)?;
    Ok((a, b))
}

/// `a % b`: the remainder of numbers, or a formatted string.
fn remainder(state: &State<'_, '_>, a: &Value, b: &Value) -> Result<Value, Error> {
    if let Some(pattern) = a.as_str() {
        return percent::format(state, pattern, b).map(Value::from);
    }
    let (Some(x), Some(y)) = (number(a), number(b)) else {
        return Err(refused(format!("% cannot be used on {} and {}", a.kind(), b.kind())));
    };
    match (x, y) {
        (Number::Integer(x), Number::Integer(y)) => {
            let rest = x.checked_rem(y).ok_or_else(|| refused("modulo by zero"))?;
            Ok(integer(if rest != 0 && (rest < 0) != (y < 0) { rest + y } else { rest }))
        }
        (x, y) => {
            let (x, y) = (x.float(), y.float());
            if y == 0.0 {
                return Err(refused("modulo by zero"));
            }
            let rest = x % y;
            let differs = rest != 0.0 && (rest < 0.0) != (y < 0.0);
            Ok(Value::from(if differs { rest + y } else { rest.abs().copysign(y) }))
        }
    }
}

/// The operands of `a + b` in reverse. What is added to a safe string is escaped.
fn addends(state: &State<'_, '_>, a: Value, b: Value) -> Result<Vec<Value>, Error> {
    if a.is_safe() != b.is_safe() && a.as_str().is_some() && b.as_str().is_some() {
        let escaped = |value: Value| match value.is_safe() {
            true => Ok(value),
            false => escape(state, &value),
        };
        return Ok(vec![escaped(b)?, escaped(a)?]);
    }
    if a.kind() == ValueKind::Iterable {
        state.consume_fuel(LIST_SUM_FUEL)?;
    }
    if b.kind() == ValueKind::Iterable && b.len().is_some() {
        // minijinja makes a tree of sums of lists. Only its left side may be a sum, or going
        // through it would take exponential time.
        bounds::pay(state, b.len().unwrap_or(0).saturating_mul(size_of::<Value>()))?;
        let items: Vec<Value> = b.try_iter()?.collect();
        return Ok(vec![Value::from(items), a]);
    }
    Ok(vec![b, a])
}

/// `loop.changed(value)`, which compares the value with the one before.
fn changed(state: &mut State<'_, '_>, object: &Value, value: Value) -> Result<Value, Error> {
    bounds::check(state, &value)?;
    object.call_method(state, "changed", &[value])
}

/// `-a`
fn negate(value: &Value) -> Result<Value, Error> {
    match number(value) {
        Some(Number::Integer(n)) => {
            n.checked_neg().map(integer).ok_or_else(|| refused("an integer is too large"))
        }
        Some(Number::Float(n)) => Ok(Value::from(-n)),
        None => Err(refused(format!("{} cannot be negated", value.kind()))),
    }
}

/// A number as Python calculates with it. Booleans are numbers.
enum Number {
    Integer(i128),
    Float(f64),
}

impl Number {
    fn float(&self) -> f64 {
        match self {
            Self::Integer(n) => *n as f64,
            Self::Float(n) => *n,
        }
    }
}

fn number(value: &Value) -> Option<Number> {
    match value.kind() {
        ValueKind::Bool => Some(Number::Integer(i128::from(value.is_true()))),
        ValueKind::Number if value.is_integer() => {
            i128::try_from(value.clone()).ok().map(Number::Integer)
        }
        ValueKind::Number => f64::try_from(value.clone()).ok().map(Number::Float),
        _ => None,
    }
}

/// `a ~ b`
fn concatenate(state: &State<'_, '_>, a: &Value, b: &Value) -> Result<Value, Error> {
    let (a, b) = visited(state, (a, b))?;
    if let (Some(a), Some(b)) = (a.as_str(), b.as_str()) {
        bounds::pay(state, a.len() + b.len())?;
        return Ok(Value::from([a, b].concat()));
    }
    let mut text = print::text_of(a);
    print::write_text(&mut text, b);
    bounds::pay(state, text.len())?;
    Ok(Value::from(text))
}

/// `value in container`
pub(super) fn contains(
    state: &State<'_, '_>,
    value: &Value,
    container: &Value,
) -> Result<bool, Error> {
    let (value, container) = visited(state, (value, container))?;
    match container.kind() {
        ValueKind::Undefined => Ok(false),
        ValueKind::String => match (value.as_str(), container.as_str()) {
            (Some(part), Some(text)) => {
                bounds::pay(state, text.len())?;
                Ok(text.contains(part))
            }
            _ => Err(refused(format!("{} cannot be in a string", value.kind()))),
        },
        ValueKind::Map => {
            check_key(state, value)?;
            minijinja::tests::is_in(state, value, container)
        }
        ValueKind::Seq | ValueKind::Iterable => minijinja::tests::is_in(state, value, container),
        kind => Err(refused(format!("nothing can be in {kind}"))),
    }
}

/// `value[key]`
fn item(state: &State<'_, '_>, value: &Value, key: &Value) -> Result<Value, Error> {
    let is_usable = match value.kind() {
        ValueKind::Map if key.is_tuple() || key.as_object().is_none() => {
            check_key(state, key)?;
            true
        }
        ValueKind::Map => false,
        ValueKind::Undefined => true,
        _ => key.is_integer() || matches!(key.kind(), ValueKind::String | ValueKind::Bool),
    };
    if !is_usable {
        return Ok(Value::UNDEFINED);
    }
    if value.kind() == ValueKind::Iterable {
        // The items before it are visited.
        state.consume_fuel(value.len().unwrap_or(MAX_VISITED) as u64 / 2)?;
    }
    if let Some(text) = value.as_str() {
        bounds::pay(state, text.len())?;
    }
    if key.kind() == ValueKind::Bool {
        return value.get_item(&Value::from(i64::from(key.is_true())));
    }
    value.get_item(key)
}

/// `{key: value, …}`
fn map(state: &State<'_, '_>, parts: Rest<Value>) -> Result<Value, Error> {
    let mut parts = parts.0.into_iter();
    let mut pairs = Vec::with_capacity(parts.len() / 2);
    while let (Some(key), Some(value)) = (parts.next(), parts.next()) {
        check_key(state, &key)?;
        pairs.push((key, value));
    }
    Ok(Value::from_pairs(pairs))
}

/// What a loop goes through. For minijinja a loop over a string has no length and no last item.
fn iterable(state: &State<'_, '_>, value: &Value) -> Result<Value, Error> {
    if let Some(text) = value.as_str() {
        bounds::pay(state, text.len().saturating_mul(size_of::<Value>()))?;
        return Ok(text.chars().map(Value::from).collect());
    }
    match value.kind() {
        ValueKind::None | ValueKind::Bool | ValueKind::Number => {
            Err(refused(format!("a loop cannot go through {}", value.kind())))
        }
        _ => Ok(value.clone()),
    }
}

/// Largest map literal that is built by a call, whose number of operands has 16 bits.
const MAX_LITERAL_PAIRS: usize = 1000;
/// Fuel for adding to a sum of lists, which visits its parts (ADR-0017).
const LIST_SUM_FUEL: u64 = 200;
/// Comparing texts is faster than making them by this factor.
const BYTES_PER_COMPARED_BYTE: usize = 4;
/// Items of a list without a length that are paid for.
const MAX_VISITED: usize = 100_000;
