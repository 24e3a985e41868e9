//! Lists and objects of a request that have a bound, so that what they take in memory is bounded as
//! well: an element can take a hundred times the memory of its text.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{Error, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

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
                return Err(A::Error::custom(format_args!("more than {N} values")));
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
                return Err(A::Error::custom(format_args!("more than {N} members")));
            }
            members.push(member);
        }
        Ok(MembersAtMost(members))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn longer_lists_and_objects_are_refused() {
        let list = |text| serde_json::from_str::<AtMost<u8, 2>>(text).map(|list| list.0);
        assert_eq!(list("[1,2]").unwrap(), [1, 2]);
        assert!(list("[1,2,3]").unwrap_err().to_string().starts_with("more than 2 values"));
        assert!(list("1").unwrap_err().to_string().contains("a list of at most 2 values"));
        let object = |text| serde_json::from_str::<MembersAtMost<u8, 1>>(text).map(|o| o.0);
        assert_eq!(object(r#"{"b":1}"#).unwrap(), [("b".to_owned(), 1)]);
        assert!(object(r#"{"b":1,"a":2}"#).is_err());
    }
}
