//! JSON values as the client wrote them, and what can be read out of them.
//!
//! A tree of values (`serde_json::Value`) can take a hundred times the memory of its text, so none
//! is built. [`JsonSlice::validate`] checks the whole message once. After that, each access parses
//! one slice of the message and builds only what it returns. Parsing a message therefore holds
//! at most about three times its size at once, which `tests/memory.rs` measures (ADR-0022).
//! `escapes` decodes strings.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::{self, Write};

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use serde_json::{Number, Value};

use crate::domain::JsonText;

use super::escapes::{FAULT, unescape, with_marked_faults, without_lone_surrogates};

/// A valid JSON value, as a slice of the client's message. Its `Display` form is short for every
/// value, so that error messages can quote it.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(transparent)]
pub struct JsonSlice<'a>(#[serde(borrow)] &'a RawValue);

/// A JSON array, cut to its first values.
#[derive(Debug)]
pub struct JsonArray<'a> {
    /// The first values.
    pub items: Vec<JsonSlice<'a>>,
    /// Number of values in the whole array.
    pub len: usize,
}

/// A JSON object, cut to its first members and sorted by key. Of equal keys the last one counts.
#[derive(Debug)]
pub struct JsonObject<'a> {
    /// The first members.
    pub items: BTreeMap<String, JsonSlice<'a>>,
    /// Number of members in the whole object. A key repeated among `items` counts once.
    pub len: usize,
}

impl<'a> JsonSlice<'a> {
    /// Checks a whole message, so that no later access finds malformed JSON.
    ///
    /// # Errors
    /// The same as `serde_json::from_str::<Value>`, which also refuses nesting beyond 127 levels
    /// and numbers beyond `f64`, except that lone surrogates are accepted.
    pub fn validate(text: &'a str) -> serde_json::Result<Self> {
        serde_json::from_str::<Validated>(&without_lone_surrogates(text))?;
        // Does not decode strings, so it accepts lone surrogates.
        serde_json::from_str(text)
    }

    /// Reads the string `name` of an object in a message that is not valid JSON; `None` if it
    /// stands behind the fault, is not a string or has the fault. Faults inside of other strings do
    /// not matter. Of equal keys the last one counts.
    pub(super) fn text_in_broken(message: &str, name: &str) -> Option<String> {
        if !message.trim_ascii_start().starts_with('{') {
            return None;
        }
        let message = with_marked_faults(message);
        let mut found = None;
        let visit = |key: Cow<'_, str>, value: JsonSlice<'_>| {
            if key == name {
                found = value.text().map(Cow::into_owned);
            }
        };
        // The result is the fault.
        let _ = serde_json::Deserializer::from_str(&message).deserialize_any(ForEach(visit));
        found.filter(|text| !text.contains(FAULT))
    }

    /// The text of the value, with U+FFFD for lone surrogates, for those who read it on their own.
    pub(super) fn to_json_text(self) -> JsonText {
        JsonText(without_lone_surrogates(self.0.get()).into_owned())
    }

    /// Whether the value is an object.
    pub(super) fn is_object(self) -> bool {
        self.first_byte() == b'{'
    }

    /// The value in JSON, with lone surrogates as U+FFFD.
    pub fn source(self) -> Cow<'a, str> {
        without_lone_surrogates(self.0.get())
    }

    /// Whether the value is `null`.
    pub fn is_null(self) -> bool {
        self.first_byte() == b'n'
    }

    /// The value as a boolean; `None` if it has another type.
    pub fn flag(self) -> Option<bool> {
        match self.first_byte() {
            b't' => Some(true),
            b'f' => Some(false),
            _ => None,
        }
    }

    /// The value as a number; `None` if it has another type.
    pub fn number(self) -> Option<Number> {
        match self.first_byte() {
            b'-' | b'0'..=b'9' => self.0.get().parse().ok(),
            _ => None,
        }
    }

    /// The value as a string, copied only if it has escapes; `None` if it has another type.
    pub fn text(self) -> Option<Cow<'a, str>> {
        match self.first_byte() {
            b'"' => self.0.get().get(1..self.0.get().len() - 1).map(unescape),
            _ => None,
        }
    }

    /// The value as an array, with its first `max` values; `None` if it has another type.
    pub fn array(self, max: usize) -> Option<JsonArray<'a>> {
        let mut array = JsonArray { items: Vec::new(), len: 0 };
        self.for_each(b'[', |_, item| {
            if array.len < max {
                array.items.push(item);
            }
            array.len += 1;
        })?;
        Some(array)
    }

    /// The value as an object; `None` if it has another type. Members after the first `max + 1`
    /// distinct keys are only counted.
    pub fn object(self, max: usize) -> Option<JsonObject<'a>> {
        let mut object = JsonObject { items: BTreeMap::new(), len: 0 };
        self.for_each(b'{', |key, value| {
            if object.items.len() <= max {
                object.items.insert(key.into_owned(), value);
                object.len = object.items.len();
            } else {
                object.len += 1;
            }
        })?;
        Some(object)
    }

    /// The members of an object whose keys are among `names`; `None` if the value has another
    /// type. Of equal keys the last one counts. `unknown` is called with all other members.
    pub(super) fn fields(
        self,
        names: &[&'static str],
        mut unknown: impl FnMut(&str, Self),
    ) -> Option<BTreeMap<&'static str, Self>> {
        let mut fields = BTreeMap::new();
        self.for_each(b'{', |key, value| match names.iter().find(|&&name| name == key) {
            Some(name) => drop(fields.insert(*name, value)),
            None => unknown(&key, value),
        })?;
        Some(fields)
    }

    /// Calls `visit` with each member of an object, or with an empty key and each value of an
    /// array; `None` if the value does not start with `first`. That byte is compared before
    /// parsing because serde's error about a wrong type would copy the whole value.
    fn for_each(self, first: u8, visit: impl FnMut(Cow<'a, str>, Self)) -> Option<()> {
        if self.first_byte() != first {
            return None;
        }
        let mut deserializer = serde_json::Deserializer::from_str(self.0.get());
        deserializer.deserialize_any(ForEach(visit)).ok()
    }

    /// The first byte, which tells the type.
    fn first_byte(self) -> u8 {
        self.0.get().as_bytes().first().copied().unwrap_or_default()
    }
}

impl fmt::Display for JsonSlice<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.first_byte() {
            b'"' => Quoted(&self.text().ok_or(fmt::Error)?).fmt(f),
            b'[' => write!(f, "a list of {}", self.array(0).map_or(0, |array| array.len)),
            b'{' => f.write_str("an object"),
            _ => match self.number() {
                Some(number) => number.fmt(f),
                None => f.write_str(self.0.get()),
            },
        }
    }
}

/// Displays a string in quotes, cut to a few words. Control characters are escaped.
#[derive(Debug)]
pub struct Quoted<'a>(pub &'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let end = self.0.char_indices().nth(EXCERPT_CHARS).map(|(end, _)| end);
        let excerpt = Value::from(&self.0[..end.unwrap_or(self.0.len())]);
        for c in excerpt.to_string().chars() {
            match c {
                // JSON allows them in strings. Terminals act on some, others break the line.
                '\u{7f}'..='\u{9f}' | '\u{2028}' | '\u{2029}' => {
                    write!(f, "\\u{:04x}", u32::from(c))?;
                }
                _ => f.write_char(c)?,
            }
        }
        f.write_str(if end.is_some() { " (shortened)" } else { "" })
    }
}

/// Calls its function with every key and value; see [`JsonSlice::for_each`].
struct ForEach<F>(F);

impl<'de, F: FnMut(Cow<'de, str>, JsonSlice<'de>)> Visitor<'de> for ForEach<F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array or an object")
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut array: A) -> Result<(), A::Error> {
        while let Some(value) = array.next_element()? {
            (self.0)(Cow::Borrowed(""), value);
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut object: A) -> Result<(), A::Error> {
        while let Some((key, value)) = object.next_entry::<JsonSlice<'de>, _>()? {
            (self.0)(key.text().unwrap_or_default(), value);
        }
        Ok(())
    }
}

/// Deserializes from every valid JSON value and stores nothing. `serde::de::IgnoredAny` is too
/// lenient: it accepts numbers beyond `f64` and any depth of nesting.
struct Validated;

impl<'de> Deserialize<'de> for Validated {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Self)
    }
}

impl<'de> Visitor<'de> for Validated {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }

    fn visit_unit<E>(self) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_str<E>(self, _: &str) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<Self, A::Error> {
        while array.next_element::<Self>()?.is_some() {}
        Ok(self)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Self, A::Error> {
        while object.next_entry::<Self, Self>()?.is_some() {}
        Ok(self)
    }
}

/// Longest excerpt of a string in an error message, in characters.
const EXCERPT_CHARS: usize = 40;
