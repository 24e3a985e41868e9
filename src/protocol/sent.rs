//! JSON values as the client wrote them, and what can be read out of them.
//!
//! A tree of values (`serde_json::Value`) takes up to a hundred times the memory of its text, so
//! none is built. [`Sent::check`] validates the whole message once. From then on a [`Sent`] is a
//! slice of the message, and each access parses that slice and builds only what was asked for.
//! Parsing therefore holds at most about three times the message; `tests/memory.rs` counts it
//! (ADR-0022).

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use serde_json::{Number, Value};

/// A JSON value in the client's own text, known to be valid. Its `Display` form is short whatever
/// was sent, so that an error message can quote it.
#[derive(Clone, Copy, Deserialize)]
#[serde(transparent)]
pub(super) struct Sent<'a>(#[serde(borrow)] &'a RawValue);

/// The first values of a JSON array.
pub(super) struct List<'a> {
    pub(super) items: Vec<Sent<'a>>,
    /// Number of values in the array, including those not in `items`.
    pub(super) len: usize,
}

/// Members of a JSON object, sorted by key. If a key occurs twice, the last value counts.
pub(super) struct Members<'a> {
    pub(super) items: BTreeMap<String, Sent<'a>>,
    /// Number of members in the object, including those not in `items`.
    pub(super) len: usize,
}

impl<'a> Sent<'a> {
    /// Validates a whole message, so that no later access can fail on malformed JSON.
    ///
    /// # Errors
    /// The same as `serde_json::from_str::<Value>(text)`, which includes nesting beyond 127 levels,
    /// numbers beyond `f64` and unpaired surrogates.
    pub(super) fn check(text: &'a str) -> serde_json::Result<Self> {
        serde_json::from_str::<Validated>(text)?;
        serde_json::from_str(text)
    }

    pub(super) fn is_null(self) -> bool {
        self.first_byte() == b'n'
    }

    /// The value as a boolean; `None` if it has another type.
    pub(super) fn flag(self) -> Option<bool> {
        match self.first_byte() {
            b't' => Some(true),
            b'f' => Some(false),
            _ => None,
        }
    }

    /// The value as a number; `None` if it has another type.
    pub(super) fn number(self) -> Option<Number> {
        match self.first_byte() {
            b'-' | b'0'..=b'9' => self.0.get().parse().ok(),
            _ => None,
        }
    }

    /// The value as a string, copied only if it contains escapes; `None` if it has another type.
    pub(super) fn text(self) -> Option<Cow<'a, str>> {
        match self.first_byte() {
            b'"' => serde_json::from_str(self.0.get()).ok().map(|Text(text)| text),
            _ => None,
        }
    }

    /// The value as an array, with its first `max` values; `None` if it has another type.
    pub(super) fn list(self, max: usize) -> Option<List<'a>> {
        let mut list = List { items: Vec::new(), len: 0 };
        self.for_each(b'[', |_, item| {
            if list.len < max {
                list.items.push(item);
            }
            list.len += 1;
        })?;
        Some(list)
    }

    /// The value as an object; `None` if it has another type. Once there are more than `max`
    /// distinct keys, further members are only counted.
    pub(super) fn members(self, max: usize) -> Option<Members<'a>> {
        let mut members = Members { items: BTreeMap::new(), len: 0 };
        self.for_each(b'{', |key, value| {
            if members.items.len() <= max {
                members.items.insert(key.into_owned(), value);
                members.len = members.items.len();
            } else {
                members.len += 1;
            }
        })?;
        Some(members)
    }

    /// The members of an object that have one of these names; `None` if the value has another
    /// type. If a key occurs twice, the last value counts.
    pub(super) fn fields(self, names: &[&'static str]) -> Option<BTreeMap<&'static str, Self>> {
        let mut fields = BTreeMap::new();
        self.for_each(b'{', |key, value| {
            if let Some(name) = names.iter().find(|&&name| name == key) {
                fields.insert(*name, value);
            }
        })?;
        Some(fields)
    }

    /// Calls `visit` with each value of an array (with an empty key) or member of an object;
    /// `None` if the value does not start with `first`. The type is checked by that byte because
    /// serde's own error for a wrong type would copy the whole value into its message.
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

impl fmt::Display for Sent<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.first_byte() {
            b'"' => Quoted(&self.text().ok_or(fmt::Error)?).fmt(f),
            b'[' => write!(f, "a list of {}", self.list(0).map_or(0, |list| list.len)),
            b'{' => f.write_str("an object"),
            _ => match self.number() {
                Some(number) => number.fmt(f),
                None => f.write_str(self.0.get()),
            },
        }
    }
}

/// Displays a string in quotes, cut to [`EXCERPT_CHARS`].
pub(super) struct Quoted<'a>(pub(super) &'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.char_indices().nth(EXCERPT_CHARS) {
            None => Value::from(self.0).fmt(f),
            Some((end, _)) => write!(f, "{} (shortened)", Value::from(&self.0[..end])),
        }
    }
}

/// A string that borrows from the message where it has no escapes.
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

/// Visitor that calls its function with every key and value, and keeps none of them.
struct ForEach<F>(F);

impl<'de, F: FnMut(Cow<'de, str>, Sent<'de>)> Visitor<'de> for ForEach<F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array or an object")
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut list: A) -> Result<(), A::Error> {
        while let Some(value) = list.next_element()? {
            (self.0)(Cow::Borrowed(""), value);
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut object: A) -> Result<(), A::Error> {
        while let Some((Text(key), value)) = object.next_entry()? {
            (self.0)(key, value);
        }
        Ok(())
    }
}

/// Any valid JSON value; keeps nothing of it. `serde::de::IgnoredAny` does not do: it accepts
/// numbers beyond `f64`, unpaired surrogates and any nesting depth.
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

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self, A::Error> {
        while list.next_element::<Self>()?.is_some() {}
        Ok(self)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Self, A::Error> {
        while object.next_entry::<Self, Self>()?.is_some() {}
        Ok(self)
    }
}

/// Longest excerpt of a string in an error message, in characters.
const EXCERPT_CHARS: usize = 40;
