//! What a client sent, as text, and what can be read out of it.
//!
//! A tree of values takes up to a hundred times the memory of its text, so none is built. The
//! whole message is checked once; from there on a [`Sent`] is a piece of that text, and reading
//! it builds what is asked for and skips the rest. Memory stays within some three times the message;
//! `tests/memory.rs` counts it.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, de};
use serde_json::value::RawValue;
use serde_json::{Number, Value};

/// Characters of a string that a complaint quotes.
const EXCERPT_CHARS: usize = 40;

/// A JSON value as the client wrote it, known to be sound. It is displayed in few words, so that
/// a complaint stays small whatever was sent.
#[derive(Clone, Copy, Deserialize)]
#[serde(transparent)]
pub(super) struct Sent<'a>(#[serde(borrow)] &'a RawValue);

/// The first values of a list.
pub(super) struct List<'a> {
    pub(super) items: Vec<Sent<'a>>,
    /// Values in all, these included.
    pub(super) len: usize,
}

/// Entries of an object, sorted; of equal keys the last.
pub(super) struct Entries<'a> {
    pub(super) items: BTreeMap<String, Sent<'a>>,
    /// Entries in all, these included.
    pub(super) len: usize,
}

impl<'a> Sent<'a> {
    /// Checks a whole message: what is sound here can be read without an error later.
    pub(super) fn check(text: &'a str) -> serde_json::Result<Self> {
        serde_json::from_str::<Sound>(text)?;
        serde_json::from_str(text)
    }

    pub(super) fn is_null(self) -> bool {
        self.first() == b'n'
    }

    /// `true` or `false`.
    pub(super) fn flag(self) -> Option<bool> {
        match self.first() {
            b't' => Some(true),
            b'f' => Some(false),
            _ => None,
        }
    }

    /// A number.
    pub(super) fn number(self) -> Option<Number> {
        match self.first() {
            b'-' | b'0'..=b'9' => self.0.get().parse().ok(),
            _ => None,
        }
    }

    /// Shows a string to `read`, without its quotes and escapes. Saves the copy of [`Self::text`].
    pub(super) fn with_text<T>(self, read: impl FnOnce(&str) -> T) -> Option<T> {
        self.read(b'"', ReadText(read))
    }

    /// A string.
    pub(super) fn text(self) -> Option<String> {
        self.with_text(str::to_owned)
    }

    /// A list: its length, and its values up to `most`.
    pub(super) fn list(self, most: usize) -> Option<List<'a>> {
        self.read(b'[', ReadList { most })
    }

    /// An object by its entries. Once more than `most` are kept, the rest is counted only.
    pub(super) fn entries(self, most: usize) -> Option<Entries<'a>> {
        self.read(b'{', ReadEntries { most })
    }

    /// An object by the fields that have one of these names; of equal ones the last.
    pub(super) fn fields(
        self,
        names: &'static [&'static str],
    ) -> Option<BTreeMap<&'static str, Self>> {
        self.read(b'{', ReadFields { names })
    }

    /// Reads a value that starts with `first`. The start is looked at first because serde's
    /// complaint about another type would quote the whole value.
    fn read<V: Visitor<'a>>(self, first: u8, visitor: V) -> Option<V::Value> {
        if self.first() != first {
            return None;
        }
        let mut deserializer = serde_json::Deserializer::from_str(self.0.get());
        deserializer.deserialize_any(visitor).ok()
    }

    /// The first byte, which tells the type.
    fn first(self) -> u8 {
        self.0.get().as_bytes().first().copied().unwrap_or_default()
    }
}

impl fmt::Display for Sent<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.first() {
            b'"' => self.with_text(|text| Quoted(text).fmt(f)).unwrap_or(Err(fmt::Error)),
            b'[' => write!(f, "a list of {}", self.list(0).map_or(0, |list| list.len)),
            b'{' => f.write_str("an object"),
            _ => match self.number() {
                Some(number) => number.fmt(f),
                None => f.write_str(self.0.get()),
            },
        }
    }
}

/// A string in quotes, shortened if it is long.
pub(super) struct Quoted<'a>(pub(super) &'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.char_indices().nth(EXCERPT_CHARS) {
            None => Value::from(self.0).fmt(f),
            Some((end, _)) => write!(f, "{} (shortened)", Value::from(&self.0[..end])),
        }
    }
}

/// Any value, read as if it were wanted but not kept. [`IgnoredAny`] looks at less: it takes
/// numbers beyond every float, halves of characters and any nesting.
struct Sound;

impl<'de> Deserialize<'de> for Sound {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Self)
    }
}

impl<'de> Visitor<'de> for Sound {
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

struct ReadText<F>(F);

impl<T, F: FnOnce(&str) -> T> Visitor<'_> for ReadText<F> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_str<E>(self, text: &str) -> Result<T, E> {
        Ok(self.0(text))
    }
}

struct ReadList {
    most: usize,
}

impl<'de> Visitor<'de> for ReadList {
    type Value = List<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<List<'de>, A::Error> {
        let mut items = Vec::new();
        while items.len() < self.most {
            match list.next_element()? {
                Some(item) => items.push(item),
                None => break,
            }
        }
        let mut len = items.len();
        while list.next_element::<IgnoredAny>()?.is_some() {
            len += 1;
        }
        Ok(List { items, len })
    }
}

struct ReadEntries {
    most: usize,
}

impl<'de> Visitor<'de> for ReadEntries {
    type Value = Entries<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Entries<'de>, A::Error> {
        let mut items = BTreeMap::new();
        while items.len() <= self.most {
            match object.next_entry()? {
                Some((key, value)) => items.insert(key, value),
                None => break,
            };
        }
        let mut len = items.len();
        while object.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {
            len += 1;
        }
        Ok(Entries { items, len })
    }
}

struct ReadFields {
    names: &'static [&'static str],
}

impl<'de> Visitor<'de> for ReadFields {
    type Value = BTreeMap<&'static str, Sent<'de>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Self::Value, A::Error> {
        let mut fields = BTreeMap::new();
        while let Some(known) = object.next_key_seed(ReadName { names: self.names })? {
            match known {
                Some(name) => {
                    fields.insert(name, object.next_value()?);
                }
                None => {
                    object.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(fields)
    }
}

/// Reads a key; `None` if it is none of the names.
struct ReadName {
    names: &'static [&'static str],
}

impl<'de> DeserializeSeed<'de> for ReadName {
    type Value = Option<&'static str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for ReadName {
    type Value = Option<&'static str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: de::Error>(self, key: &str) -> Result<Self::Value, E> {
        Ok(self.names.iter().find(|&&name| name == key).copied())
    }
}
