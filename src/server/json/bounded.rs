//! Lists and objects of a request that have a bound, so that what they take in memory is bounded as
//! well: an element can take a hundred times the memory of its text.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Error, MapAccess, SeqAccess, Unexpected, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A list of at most `N` values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::server) struct AtMost<T, const N: usize>(pub(in crate::server) Vec<T>);

impl<T, const N: usize> Default for AtMost<T, N> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'de, T: Deserialize<'de>, const N: usize> Deserialize<'de> for AtMost<T, N> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(ListVisitor(PhantomData))
    }
}

struct ListVisitor<T, const N: usize>(PhantomData<T>);

impl<'de, T: Deserialize<'de>, const N: usize> Visitor<'de> for ListVisitor<T, N> {
    type Value = AtMost<T, N>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a list of at most {N} values")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = list.next_element()? {
            if values.len() == N {
                return Err(A::Error::custom(format_args!("must have at most {N} values")));
            }
            values.push(value);
        }
        Ok(AtMost(values))
    }
}

/// An object of at most `N` members, in their order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::server) struct MembersAtMost<T, const N: usize>(
    pub(in crate::server) Vec<(String, T)>,
);

impl<T, const N: usize> Default for MembersAtMost<T, N> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'de, T: Deserialize<'de>, const N: usize> Deserialize<'de> for MembersAtMost<T, N> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(MembersVisitor(PhantomData))
    }
}

struct MembersVisitor<T, const N: usize>(PhantomData<T>);

impl<'de, T: Deserialize<'de>, const N: usize> Visitor<'de> for MembersVisitor<T, N> {
    type Value = MembersAtMost<T, N>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an object of at most {N} members")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Self::Value, A::Error> {
        let mut members: Vec<(String, T)> = Vec::new();
        while let Some(member) = object.next_entry()? {
            if members.len() == N {
                return Err(A::Error::custom(format_args!("must have at most {N} members")));
            }
            members.push(member);
        }
        Ok(MembersAtMost(members))
    }
}

impl<T: Serialize, const N: usize> Serialize for MembersAtMost<T, N> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, value) in &self.0 {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

/// A text of 1 to `N` bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::server) struct BoundedText<const N: usize>(pub(in crate::server) String);

impl<'de, const N: usize> Deserialize<'de> for BoundedText<N> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        match text.len() {
            0 => {
                let allowed = format!("a text of 1 to {N} bytes");
                Err(D::Error::invalid_value(Unexpected::Str(""), &allowed.as_str()))
            }
            len if len > N => {
                Err(D::Error::custom(format_args!("must have 1 to {N} bytes, not {len}")))
            }
            _ => Ok(Self(text)),
        }
    }
}

impl<T: JsonSchema, const N: usize> JsonSchema for AtMost<T, N> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("{}List", T::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let items = generator.subschema_for::<T>();
        json_schema!({ "type": "array", "items": items, "maxItems": N })
    }
}

impl<T: JsonSchema, const N: usize> JsonSchema for MembersAtMost<T, N> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("{}Members", T::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let values = generator.subschema_for::<T>();
        json_schema!({ "type": "object", "additionalProperties": values, "maxProperties": N })
    }
}

impl<const N: usize> JsonSchema for BoundedText<N> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "BoundedText".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "minLength": 1, "maxLength": N })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn longer_lists_and_objects_are_refused() {
        let list = |text| serde_json::from_str::<AtMost<u8, 2>>(text).map(|list| list.0);
        assert_eq!(list("[1,2]").unwrap(), [1, 2]);
        assert!(list("[1,2,3]").unwrap_err().to_string().starts_with("must have at most 2 values"));
        assert!(list("1").unwrap_err().to_string().contains("a list of at most 2 values"));
        let object = |text| serde_json::from_str::<MembersAtMost<u8, 1>>(text).map(|o| o.0);
        assert_eq!(object(r#"{"b":1}"#).unwrap(), [("b".to_owned(), 1)]);
        assert!(object(r#"{"b":1,"a":2}"#).is_err());
    }
}
