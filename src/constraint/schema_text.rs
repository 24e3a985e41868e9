//! Reads the text of a JSON schema.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use super::schema_path::SchemaPath;

/// Reads JSON in which no object has a name twice, which would be ambiguous.
///
/// # Errors
/// What is wrong, and where.
pub(super) fn read(text: &str) -> Result<Value, String> {
    let mut path = SchemaPath::default();
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let read = JsonSeed(&mut path).deserialize(&mut deserializer);
    let read = read.and_then(|value| deserializer.end().map(|()| value));
    read.map_err(|error| {
        let reason = error.to_string();
        match reason.split_once(" at line ") {
            Some((reason, _)) if !path.0.is_empty() => format!("at {path}: {reason}"),
            _ => reason,
        }
    })
}

/// Reads a value at a place, and leaves the place where a fault is.
struct JsonSeed<'a>(&'a mut SchemaPath);

impl<'de> DeserializeSeed<'de> for JsonSeed<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for JsonSeed<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        let number = Number::from_f64(value);
        number.map(Value::from).ok_or_else(|| E::custom("number out of range"))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut read = Vec::new();
        loop {
            let next = |path: &mut SchemaPath| items.next_element_seed(JsonSeed(path));
            match self.0.enter(read.len().to_string(), next)? {
                Some(item) => read.push(item),
                None => return Ok(Value::Array(read)),
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut read = Map::new();
        while let Some(name) = members.next_key::<String>()? {
            if read.contains_key(&name) {
                self.0.0.push(name);
                return Err(A::Error::custom("this name occurs twice in its object"));
            }
            let value = self.0.enter(&name, |path| members.next_value_seed(JsonSeed(path)))?;
            read.insert(name, value);
        }
        Ok(Value::Object(read))
    }
}
