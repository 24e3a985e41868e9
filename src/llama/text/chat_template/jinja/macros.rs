//! Macros that use `varargs` and `kwargs`, and defaults that use an earlier parameter.
//!
//! minijinja has neither. A macro is a part of the compiled template, which begins by storing the
//! arguments from the stack, the last one first. [`MacroPlan`] says what to insert there.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use minijinja::machinery::{Instruction, Instructions};
use minijinja::value::{Object, ObjectRepr, Tuple, Value};
use minijinja::{Environment, Error, ErrorKind, State};

use super::arguments::split_keywords;

/// Adds the functions that the inserted instructions call.
pub(super) fn install(environment: &mut Environment<'_>) {
    environment.add_function("macro", |inner: Value, has_varargs: bool, has_kwargs: bool| {
        Value::from_object(RestMacro { inner, has_varargs, has_kwargs })
    });
    environment
        .add_function("reversed", |list: Vec<Value>| list.into_iter().rev().collect::<Vec<_>>());
}

/// What to insert for the macros of a template.
#[derive(Default)]
pub(super) struct MacroPlan<'a> {
    /// Instructions before the one with this index, where a macro begins.
    before: HashMap<u32, Vec<Instruction<'a>>>,
    /// Names of parameters in the place of those that the instruction with this index loads.
    names: HashMap<u32, Value>,
    /// Instructions after the one with this index, which builds a macro.
    after: HashMap<u32, Vec<Instruction<'a>>>,
}

impl<'a> MacroPlan<'a> {
    pub(super) fn new(instructions: &Instructions<'a>) -> Self {
        let mut plan = Self::default();
        for index in 0.. {
            match instructions.get(index) {
                Some(Instruction::BuildMacro(_, start, _)) => plan.add(instructions, index, *start),
                Some(_) => {}
                None => break,
            }
        }
        plan
    }

    /// What stands for the instruction with an index, whose usual replacement is `usual`.
    pub(super) fn replace(
        &mut self,
        index: u32,
        usual: Vec<Instruction<'a>>,
    ) -> Vec<Instruction<'a>> {
        let mut parts = self.before.remove(&index).unwrap_or_default();
        match self.names.remove(&index) {
            Some(names) => parts.push(Instruction::LoadConst(names)),
            None => parts.extend(usual),
        }
        parts.extend(self.after.remove(&index).unwrap_or_default());
        parts
    }

    /// Plans for the macro that the instruction `build` builds and that begins at `start`.
    fn add(&mut self, instructions: &Instructions<'a>, build: u32, start: u32) {
        use Instruction as I;
        let Some(I::LoadConst(names)) = build.checked_sub(1).and_then(|at| instructions.get(at))
        else {
            return;
        };
        let Ok(mut names) = names.try_iter().map(Iterator::collect::<Vec<_>>) else { return };
        let n_names = names.len();
        let body = || (start..).map_while(|at| instructions.get(at));
        let body = || body().take_while(|instruction| !matches!(instruction, I::Return));
        let looks_up =
            |wanted: &str| body().any(|part| matches!(part, I::Lookup(name) if *name == wanted));
        let mut inserted = Vec::new();
        let (has_varargs, has_kwargs) = (looks_up("varargs"), looks_up("kwargs"));
        if has_varargs || has_kwargs {
            inserted.extend([I::StoreLocal("kwargs"), I::StoreLocal("varargs")]);
        }
        inserted.extend(early_stores(body(), n_names));
        if has_varargs || has_kwargs {
            names.extend(["varargs", "kwargs"].map(Value::from));
            self.names.insert(build - 1, Value::from(names));
            let flags = [has_varargs, has_kwargs].map(|flag| I::LoadConst(Value::from(flag)));
            let [varargs, kwargs] = flags;
            self.after.insert(build, vec![varargs, kwargs, I::CallFunction("macro", Some(3))]);
        }
        self.before.insert(start, inserted);
    }
}

/// Instructions that store all arguments before the defaults are computed, if a default uses one.
fn early_stores<'a: 'b, 'b>(
    body: impl Iterator<Item = &'b Instruction<'a>>,
    n_names: usize,
) -> Vec<Instruction<'a>> {
    use Instruction as I;
    let mut stored = Vec::new();
    let mut used = Vec::new();
    for part in body {
        match part {
            I::StoreLocal(name) => stored.push(*name),
            I::Lookup(name) => used.push(*name),
            _ => {}
        }
        if stored.len() == n_names {
            break;
        }
    }
    stored.reverse();
    if stored.len() < n_names || !used.iter().any(|name| stored.contains(name)) {
        return Vec::new();
    }
    let mut parts = vec![I::BuildList(Some(n_names)), I::DupTop, I::UnpackList(n_names)];
    parts.extend(stored.into_iter().map(I::StoreLocal));
    parts.extend([I::CallFunction("reversed", Some(1)), I::UnpackList(n_names)]);
    parts
}

/// A macro whose last two parameters take what the others do not.
#[derive(Debug)]
struct RestMacro {
    inner: Value,
    has_varargs: bool,
    has_kwargs: bool,
}

impl Object for RestMacro {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.inner.get_item(key).ok().filter(|value| !value.is_undefined())
    }

    fn call(self: &Arc<Self>, state: &mut State<'_, '_>, args: &[Value]) -> Result<Value, Error> {
        let (positional, keywords) = split_keywords(args)?;
        let mut names: Vec<_> = self.inner.get_attr("arguments")?.try_iter()?.collect();
        names.truncate(names.len().saturating_sub(2));
        if positional.len() > names.len() && !self.has_varargs {
            return Err(Error::from(ErrorKind::TooManyArguments));
        }
        let n_bound = positional.len().min(names.len());
        let mut values = positional[..n_bound].to_vec();
        values.resize(names.len(), Value::UNDEFINED);
        let mut rest = Vec::new();
        let mut caller = None;
        for name in keywords.args() {
            let value: Value = keywords.get(name)?;
            match names.iter().position(|known| known.as_str() == Some(name)) {
                Some(slot) if slot >= n_bound => values[slot] = value,
                None if name == "caller" => caller = Some(value),
                None if self.has_kwargs => rest.push((name, value)),
                _ => return Err(Error::from(ErrorKind::TooManyArguments)),
            }
        }
        values.push(Value::from(Tuple::from(&positional[n_bound..])));
        values.push(Value::from_pairs(rest));
        if let Some(caller) = caller {
            let keywords = minijinja::value::Kwargs::from_iter([("caller", caller)]);
            values.push(Value::from(keywords));
        }
        self.inner.call(state, &values)
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.inner)
    }
}
