//! Values that stay JSON text, and those that nobody reads.

use std::borrow::Cow;
use std::marker::PhantomData;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{DeserializeOwned, Error, Unexpected};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

use crate::domain::JsonText;

use super::ignored::IgnoredFields;
use super::read::{InvalidField, JsonError, read_at};

/// A value that is kept as the client sent it, since a response repeats it, and read as `T`.
#[derive(Debug)]
pub(in crate::server) struct Kept<T> {
    raw: Box<RawValue>,
    read_as: PhantomData<fn() -> T>,
}

impl<T> Kept<T> {
    /// Reads the value, which is at `path`.
    ///
    /// # Errors
    /// [`InvalidField`], with the path of what is wrong.
    pub(in crate::server) fn read(
        &self,
        path: &str,
        ignored: &mut IgnoredFields,
    ) -> Result<T, InvalidField>
    where
        T: DeserializeOwned,
    {
        self.read_as(path, ignored)
    }

    /// The field `type` of the value, which is an object at `path`.
    ///
    /// # Errors
    /// [`InvalidField`], if it is no object or its type is no string.
    pub(in crate::server) fn kind(&self, path: &str) -> Result<Option<String>, InvalidField> {
        #[derive(Deserialize)]
        struct KindOnly {
            r#type: Option<String>,
        }
        self.read_as::<KindOnly>(path, &mut IgnoredFields::default()).map(|value| value.r#type)
    }

    /// Reads the value as `U`, one of several types that it may have.
    ///
    /// # Errors
    /// [`InvalidField`], with the path of what is wrong.
    pub(in crate::server) fn read_as<U: DeserializeOwned>(
        &self,
        path: &str,
        ignored: &mut IgnoredFields,
    ) -> Result<U, InvalidField> {
        read_at(self.raw.get(), path, ignored).map_err(|error| match error {
            JsonError::Field(field) => field,
            JsonError::NotJson(reason) => InvalidField::new(path, reason),
        })
    }
}

impl<T> Clone for Kept<T> {
    fn clone(&self) -> Self {
        Self { raw: self.raw.clone(), read_as: PhantomData }
    }
}

impl<'de, T> Deserialize<'de> for Kept<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        Ok(Self { raw, read_as: PhantomData })
    }
}

impl<T> Serialize for Kept<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.raw.serialize(serializer)
    }
}

impl<T: JsonSchema> JsonSchema for Kept<T> {
    fn inline_schema() -> bool {
        T::inline_schema()
    }

    fn schema_name() -> Cow<'static, str> {
        T::schema_name()
    }

    fn schema_id() -> Cow<'static, str> {
        T::schema_id()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        T::json_schema(generator)
    }
}

/// The schema of an object whose field `type` is one of `kinds`, and which is otherwise `schema`.
pub(in crate::server) fn tagged(kinds: &[&str], schema: &Schema) -> Schema {
    json_schema!({
        "allOf": [schema, { "properties": { "type": { "enum": kinds } } }],
        "required": ["type"],
    })
}

/// The schema of an object whose field `type` is none of `kinds`, so that it is ignored.
pub(in crate::server) fn tagged_otherwise(kinds: &[&str]) -> Schema {
    json_schema!({
        "description": "Ignored, and named in the header x-inference-core-ignored.",
        "type": "object",
        "properties": { "type": { "type": "string", "not": { "enum": kinds } } },
        "required": ["type"],
    })
}

/// An object that stays text.
#[derive(Debug, Clone)]
pub(in crate::server) struct ObjectText(Box<RawValue>);

impl ObjectText {
    pub(in crate::server) fn into_text(self) -> JsonText {
        JsonText(Box::<str>::from(self.0).into_string())
    }
}

impl<'de> Deserialize<'de> for ObjectText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        if raw.get().starts_with('{') {
            return Ok(Self(raw));
        }
        let sent = match raw.get().starts_with('[') {
            true => Unexpected::Seq,
            false => Unexpected::Other(raw.get()),
        };
        Err(D::Error::invalid_type(sent, &"an object"))
    }
}

impl JsonSchema for ObjectText {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Object".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "object" })
    }
}

/// A field that is known and changes nothing, so that it is not named as ignored.
#[derive(Debug, Clone, Copy)]
pub(in crate::server) struct Unused;

impl<'de> Deserialize<'de> for Unused {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // Takes no memory. `IgnoredAny` would name the field.
        <&RawValue>::deserialize(deserializer).map(|_| Self)
    }
}

impl JsonSchema for Unused {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Unused".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "description": "Changes nothing." })
    }
}

/// A field for what the server does not have: it may be `false` or absent.
#[derive(Debug, Clone, Copy)]
pub(in crate::server) struct Unsupported;

impl<'de> Deserialize<'de> for Unsupported {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match <&RawValue>::deserialize(deserializer)?.get() {
            "false" => Ok(Self),
            _ => Err(D::Error::custom("is not supported: leave it out")),
        }
    }
}

impl JsonSchema for Unsupported {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Unsupported".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "description": "Not supported.", "const": false })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::json::read_body;

    #[derive(Debug, Deserialize)]
    struct SentRaw {
        object: Option<ObjectText>,
        unused: Option<Unused>,
        unsupported: Option<Unsupported>,
        kept: Option<Kept<Vec<u8>>>,
    }

    #[test]
    fn values_stay_text_and_are_not_named_as_ignored() {
        let text = r#"{"object":{"a":[]},"unused":{"b":1},"unsupported":false,"kept":[1,2]}"#;
        let (sent, mut ignored) = read_body::<SentRaw>(text).unwrap();
        assert_eq!(sent.object.unwrap().into_text().0, r#"{"a":[]}"#);
        assert!(sent.unused.is_some() && sent.unsupported.is_some());
        let kept = sent.kept.unwrap();
        assert_eq!(serde_json::to_string(&kept).unwrap(), "[1,2]");
        assert_eq!(kept.read("kept", &mut ignored), Ok(vec![1, 2]));
        assert!(ignored.names().is_empty());
    }

    #[test]
    fn values_of_the_wrong_type_are_refused() {
        for (text, expected) in [
            (r#"{"object":"x"}"#, "object must be an object, not \"x\""),
            (r#"{"object":[]}"#, "object must be an object, not a list"),
            (r#"{"unsupported":true}"#, "unsupported is not supported: leave it out"),
        ] {
            assert_eq!(read_body::<SentRaw>(text).unwrap_err().to_string(), expected);
        }
        let (sent, mut ignored) = read_body::<SentRaw>(r#"{"kept":[1,"a"]}"#).unwrap();
        let error = sent.kept.unwrap().read("kept", &mut ignored).unwrap_err();
        assert_eq!(error.to_string(), "kept[1] must be a whole number, not \"a\"");
    }
}
