//! Reads the JSON objects of HTTP requests, field by field.
//!
//! A field that nobody reads is not refused: [`JsonFields::ignored`] names it. A field with `null`
//! is absent. Errors name the path of the field, the value and what is allowed.

use std::borrow::Cow;
use std::collections::BTreeMap;

use thiserror::Error;

use crate::domain::{JsonText, Range};
use crate::protocol::JsonSlice;

/// A field that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{path}: {reason}")]
pub(in crate::server) struct InvalidField {
    /// Where the field is, such as `input[2].role`.
    pub(in crate::server) path: String,
    /// What is wrong, with which value, and what is allowed.
    pub(in crate::server) reason: String,
}

impl InvalidField {
    pub(in crate::server) fn new(path: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { path: path.into(), reason: reason.into() }
    }
}

/// The fields of one object that have not been read.
#[derive(Debug, Default)]
pub(in crate::server) struct JsonFields<'a> {
    /// The path of the object with a dot behind it; empty for the body.
    path: String,
    fields: BTreeMap<String, JsonSlice<'a>>,
}

impl<'a> JsonFields<'a> {
    /// The fields of the object `sent`, which is at `path`; the path of the body is empty.
    ///
    /// # Errors
    /// [`InvalidField`], if `sent` is no object or has too many fields.
    pub(in crate::server) fn of(path: &str, sent: JsonSlice<'a>) -> Result<Self, InvalidField> {
        let name = if path.is_empty() { "the body" } else { path };
        let object = sent
            .object(MAX_FIELDS)
            .ok_or_else(|| InvalidField::new(name, format!("must be an object, not {sent}")))?;
        if object.len > MAX_FIELDS {
            let reason = format!("must have at most {MAX_FIELDS} fields, not {}", object.len);
            return Err(InvalidField::new(name, reason));
        }
        let path = if path.is_empty() { String::new() } else { format!("{path}.") };
        Ok(Self { path, fields: object.items })
    }

    /// The path of the field `name`.
    pub(in crate::server) fn path(&self, name: &str) -> String {
        format!("{}{name}", self.path)
    }

    /// The error for the field `name`.
    pub(in crate::server) fn invalid(&self, name: &str, reason: impl Into<String>) -> InvalidField {
        InvalidField::new(self.path(name), reason)
    }

    /// Takes a value of any type; `None` if it is absent or `null`.
    pub(in crate::server) fn take(&mut self, name: &str) -> Option<JsonSlice<'a>> {
        self.fields.remove(name).filter(|sent| !sent.is_null())
    }

    /// Takes a string.
    pub(in crate::server) fn text(
        &mut self,
        name: &str,
    ) -> Result<Option<Cow<'a, str>>, InvalidField> {
        let Some(sent) = self.take(name) else { return Ok(None) };
        sent.text()
            .map(Some)
            .ok_or_else(|| self.invalid(name, format!("must be a string, not {sent}")))
    }

    /// Takes a string that has to be there.
    pub(in crate::server) fn required_text(&mut self, name: &str) -> Result<String, InvalidField> {
        let text = self.text(name)?.ok_or_else(|| self.invalid(name, "is missing"))?;
        Ok(text.into_owned())
    }

    /// Takes a boolean.
    pub(in crate::server) fn flag(&mut self, name: &str) -> Result<Option<bool>, InvalidField> {
        let Some(sent) = self.take(name) else { return Ok(None) };
        let flag = sent.flag();
        flag.map(Some)
            .ok_or_else(|| self.invalid(name, format!("must be true or false, not {sent}")))
    }

    /// Takes a number in `range`.
    pub(in crate::server) fn number(
        &mut self,
        name: &str,
        range: Range,
    ) -> Result<Option<f32>, InvalidField> {
        let Some(sent) = self.take(name) else { return Ok(None) };
        match sent.number().and_then(|number| number.as_f64()) {
            Some(number) if range.contains(number) => Ok(Some(number as f32)),
            _ => {
                let allowed = format!("a number from {} to {}", range.min, range.max);
                Err(self.invalid(name, format!("must be {allowed}, not {sent}")))
            }
        }
    }

    /// Takes a whole number in `range`, which must stay within ±2⁵³.
    pub(in crate::server) fn integer(
        &mut self,
        name: &str,
        range: Range,
    ) -> Result<Option<i64>, InvalidField> {
        let Some(sent) = self.take(name) else { return Ok(None) };
        match sent.number().and_then(|number| number.as_f64()) {
            Some(number) if range.contains(number) && number.fract() == 0.0 => {
                Ok(Some(number as i64))
            }
            _ => {
                let allowed = format!("a whole number from {} to {}", range.min, range.max);
                Err(self.invalid(name, format!("must be {allowed}, not {sent}")))
            }
        }
    }

    /// Takes an object.
    pub(in crate::server) fn object(&mut self, name: &str) -> Result<Option<Self>, InvalidField> {
        let Some(sent) = self.take(name) else { return Ok(None) };
        Self::of(&self.path(name), sent).map(Some)
    }

    /// Takes a list, with the path of each of its values.
    pub(in crate::server) fn list(
        &mut self,
        name: &str,
    ) -> Result<Option<Vec<(String, JsonSlice<'a>)>>, InvalidField> {
        let Some(sent) = self.take(name) else { return Ok(None) };
        values_of(&self.path(name), sent).map(Some)
    }

    /// Takes the JSON text of an object.
    pub(in crate::server) fn object_text(
        &mut self,
        name: &str,
    ) -> Result<Option<JsonText>, InvalidField> {
        let Some(sent) = self.take(name) else { return Ok(None) };
        if sent.object(0).is_none() {
            return Err(self.invalid(name, format!("must be an object, not {sent}")));
        }
        Ok(Some(JsonText(sent.source().into_owned())))
    }

    /// Names the fields that nobody has read, except those with `null`.
    pub(in crate::server) fn ignored(self, ignored: &mut UnusedFields) {
        let Self { path, fields } = self;
        for (name, sent) in fields {
            if !sent.is_null() {
                ignored.add(format!("{path}{name}"));
            }
        }
    }
}

/// The values of the list `sent` with their paths.
///
/// # Errors
/// [`InvalidField`], if `sent` is no list or too long.
pub(in crate::server) fn values_of<'a>(
    path: &str,
    sent: JsonSlice<'a>,
) -> Result<Vec<(String, JsonSlice<'a>)>, InvalidField> {
    let array = sent
        .array(MAX_VALUES)
        .ok_or_else(|| InvalidField::new(path, format!("must be a list, not {sent}")))?;
    if array.len > MAX_VALUES {
        let reason = format!("must have at most {MAX_VALUES} values, not {}", array.len);
        return Err(InvalidField::new(path, reason));
    }
    let values = array.items.into_iter().enumerate();
    Ok(values.map(|(i, value)| (format!("{path}[{i}]"), value)).collect())
}

/// The names of what a request has that has no effect, for the client. They are plain ASCII, short
/// and few.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::server) struct UnusedFields(Vec<String>);

impl UnusedFields {
    /// Adds a name, unless it is there already or there are many. What is not plain ASCII in it
    /// becomes `?`.
    pub(in crate::server) fn add(&mut self, name: impl AsRef<str>) {
        let is_plain = |c: char| c.is_ascii_graphic() || c == ' ';
        let plain = |c: char| if is_plain(c) && c != ',' { c } else { '?' };
        let name: String = name.as_ref().chars().map(plain).take(MAX_NAME_CHARS).collect();
        if self.0.len() < MAX_IGNORED && !self.0.contains(&name) {
            self.0.push(name);
        }
    }

    /// The names.
    pub(in crate::server) fn names(&self) -> &[String] {
        &self.0
    }
}

/// Most fields of an object. No request of the known APIs has a quarter of them.
const MAX_FIELDS: usize = 256;

/// Most values of a list. The longest conversations of agents have some thousand items.
const MAX_VALUES: usize = 16 * 1024;

/// Most names of ignored fields that a client is told.
const MAX_IGNORED: usize = 16;

/// Most characters of such a name.
const MAX_NAME_CHARS: usize = 80;

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(text: &str) -> JsonFields<'_> {
        JsonFields::of("", JsonSlice::validate(text).unwrap()).unwrap()
    }

    #[test]
    fn unread_fields_are_named_with_their_path_unless_they_are_null() {
        let mut body = fields(r#"{"a":1,"b":{"c":true,"d":null,"né,":1}}"#);
        let mut inner = body.object("b").unwrap().unwrap();
        assert_eq!(inner.flag("c"), Ok(Some(true)));
        let mut ignored = UnusedFields::default();
        inner.ignored(&mut ignored);
        body.ignored(&mut ignored);
        assert_eq!(ignored.names(), ["b.n??", "a"]);
    }

    #[test]
    fn value_of_the_wrong_type_or_range_is_refused_with_its_path() {
        let range = Range { min: 0.0, max: 2.0 };
        let text = r#"{"o":{"t":3,"n":4.5,"f":"x","l":{}}}"#;
        let mut inner = fields(text).object("o").unwrap().unwrap();
        for (error, expected) in [
            (inner.text("t").err(), "o.t: must be a string, not 3"),
            (inner.number("n", range).err(), "o.n: must be a number from 0 to 2, not 4.5"),
            (inner.flag("f").err(), "o.f: must be true or false, not \"x\""),
            (inner.list("l").err(), "o.l: must be a list, not an object"),
            (inner.required_text("q").err(), "o.q: is missing"),
        ] {
            assert_eq!(error.unwrap().to_string(), expected);
        }
    }

    #[test]
    fn object_with_too_many_fields_is_refused() {
        let many: Vec<String> = (0..=MAX_FIELDS).map(|i| format!("\"f{i}\":0")).collect();
        let text = format!("{{{}}}", many.join(","));
        let error = JsonFields::of("", JsonSlice::validate(&text).unwrap()).unwrap_err();
        assert_eq!(error.to_string(), "the body: must have at most 256 fields, not 257");
    }
}
