//! Binds the arguments of a call to names, as Python does.

use minijinja::value::{Kwargs, Rest, Value, ValueKind, ValueOrKwargs};
use minijinja::{Error, ErrorKind};

/// What a function is called with beside its first values.
pub(super) type Given = Rest<ValueOrKwargs>;

/// The arguments of one call, in the order of the parameters' names.
pub(super) struct Arguments {
    names: &'static [&'static str],
    values: Vec<Option<Value>>,
}

impl Arguments {
    /// Binds what a function is called with. Errors as in [`Self::bind`].
    pub(super) fn of(given: Given, names: &'static [&'static str]) -> Result<Self, Error> {
        Self::bind(&given.into_values(), names)
    }

    /// Binds positional and keyword arguments to `names`.
    ///
    /// # Errors
    /// Too many arguments, an unknown name, or a name that is given twice.
    pub(super) fn bind(arguments: &[Value], names: &'static [&'static str]) -> Result<Self, Error> {
        let (positional, keywords) = split_keywords(arguments)?;
        if positional.len() > names.len() {
            return Err(Error::from(ErrorKind::TooManyArguments));
        }
        let mut values: Vec<_> = positional.iter().cloned().map(Some).collect();
        values.resize(names.len(), None);
        for name in keywords.args() {
            let slot = names.iter().position(|known| *known == name);
            let slot = slot.filter(|slot| values[*slot].is_none()).ok_or_else(|| {
                Error::new(ErrorKind::TooManyArguments, format!("unexpected argument {name}"))
            })?;
            values[slot] = Some(keywords.get(name)?);
        }
        Ok(Self { names, values })
    }

    /// The argument of a parameter, if it is given.
    pub(super) fn get(&self, name: &str) -> Option<&Value> {
        let slot = self.names.iter().position(|known| *known == name)?;
        self.values[slot].as_ref()
    }

    /// Replaces the argument of a parameter.
    pub(super) fn set(&mut self, name: &str, value: Value) {
        if let Some(slot) = self.names.iter().position(|known| *known == name) {
            self.values[slot] = Some(value);
        }
    }

    /// A required argument.
    pub(super) fn required(&self, name: &str) -> Result<&Value, Error> {
        self.get(name).ok_or_else(|| {
            Error::new(ErrorKind::MissingArgument, format!("the argument {name} is missing"))
        })
    }

    /// A required text.
    pub(super) fn text(&self, name: &str) -> Result<&str, Error> {
        expect_text(self.required(name)?)
    }

    /// A text, or `default` if it is not given.
    pub(super) fn text_or<'a>(&'a self, name: &str, default: &'a str) -> Result<&'a str, Error> {
        self.get(name).map_or(Ok(default), expect_text)
    }

    /// An integer, if the argument is given and not `None`.
    pub(super) fn integer(&self, name: &str) -> Result<Option<i64>, Error> {
        self.get(name).filter(|value| !value.is_none()).map(expect_integer).transpose()
    }

    /// Whether the argument is given and true.
    pub(super) fn flag(&self, name: &str) -> bool {
        self.get(name).is_some_and(Value::is_true)
    }

    /// The arguments that are given, as keyword arguments for a function of minijinja.
    pub(super) fn keywords(&self) -> Kwargs {
        let given = self.names.iter().zip(&self.values);
        given.filter_map(|(name, value)| Some((*name, value.clone()?))).collect()
    }
}

/// The positional arguments of a call, and the keyword arguments.
pub(super) fn split_keywords(arguments: &[Value]) -> Result<(&[Value], Kwargs), Error> {
    match arguments.split_last() {
        Some((last, positional)) if last.is_kwargs() => {
            Ok((positional, Kwargs::try_from(last.clone())?))
        }
        _ => Ok((arguments, Kwargs::from_iter(Vec::<(String, Value)>::new()))),
    }
}

/// The text of a value that has to be one.
pub(super) fn expect_text(value: &Value) -> Result<&str, Error> {
    value.as_str().ok_or_else(|| refused(format!("expected a string, not {}", value.kind())))
}

/// The integer of a value that has to be one. Integers beyond 64 bits become the nearest one.
pub(super) fn expect_integer(value: &Value) -> Result<i64, Error> {
    if !value.is_integer() && !matches!(value.kind(), ValueKind::Bool) {
        return Err(refused(format!("expected an integer, not {}", value.kind())));
    }
    let number = i128::try_from(value.clone()).unwrap_or(i128::MAX);
    Ok(i64::try_from(number).unwrap_or(if number < 0 { i64::MIN } else { i64::MAX }))
}

/// An operation that Python or Jinja2 refuses.
pub(super) fn refused(reason: impl Into<std::borrow::Cow<'static, str>>) -> Error {
    Error::new(ErrorKind::InvalidOperation, reason)
}
