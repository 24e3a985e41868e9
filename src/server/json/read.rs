//! Reads a text as JSON of a type.

use serde::de::DeserializeOwned;
use thiserror::Error;

use crate::protocol::without_lone_surrogates;

use super::ignored::IgnoredFields;
use super::objects::ObjectsOnly;
use super::reason::{Fault, fault_of, shortened};

/// A field that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{path} {reason}")]
pub(in crate::server) struct InvalidField {
    /// Where the field is, such as `input[2].role`; `the body` for the whole.
    pub(in crate::server) path: String,
    /// What is wrong, with which value, and what is allowed.
    pub(in crate::server) reason: String,
}

impl InvalidField {
    pub(in crate::server) fn new(path: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { path: path.into(), reason: reason.into() }
    }

    /// The path of the field; `None` for the whole body.
    pub(in crate::server) fn param(&self) -> Option<&str> {
        Some(self.path.as_str()).filter(|path| *path != BODY)
    }
}

/// Why a text cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(in crate::server) enum JsonError {
    /// It is not JSON, for this reason.
    #[error("{0}")]
    NotJson(String),
    /// A field cannot be used.
    #[error(transparent)]
    Field(#[from] InvalidField),
}

/// Reads a body as JSON of type `T`, which must be an object.
///
/// # Errors
/// [`JsonError`], with the field that is wrong.
pub(in crate::server) fn read_body<T: DeserializeOwned>(
    text: &str,
) -> Result<(T, IgnoredFields), JsonError> {
    // Halves of characters, which JavaScript programs send, become U+FFFD.
    let text = without_lone_surrogates(text);
    if text.trim_start().is_empty() {
        return Err(JsonError::NotJson("it is empty".to_owned()));
    }
    let mut ignored = IgnoredFields::default();
    let value = read_at(&text, "", &mut ignored)?;
    Ok((value, ignored))
}

/// Reads JSON of type `T` that is at `path` of a body.
pub(super) fn read_at<T: DeserializeOwned>(
    text: &str,
    path: &str,
    ignored: &mut IgnoredFields,
) -> Result<T, JsonError> {
    let mut json = serde_json::Deserializer::from_str(text);
    let mut track = serde_path_to_error::Track::new();
    let tracked = serde_path_to_error::Deserializer::new(&mut json, &mut track);
    let mut add = |inner: serde_ignored::Path<'_>| ignored.add(&format!("{path}.{inner}"));
    let value = T::deserialize(ObjectsOnly(serde_ignored::Deserializer::new(tracked, &mut add)));
    let value = value.and_then(|value: T| json.end().map(|()| value));
    value.map_err(|error| {
        if !error.is_data() {
            return JsonError::NotJson(shortened(&error.to_string()).to_owned());
        }
        let inner = track.path().to_string();
        let at = match inner.as_str() {
            "." | "?" => path.to_owned(),
            _ if path.is_empty() || inner.starts_with('[') => format!("{path}{inner}"),
            _ => format!("{path}.{inner}"),
        };
        let Fault { field, reason } = fault_of(&error);
        let at = match (field, at.is_empty()) {
            (None, true) => BODY.to_owned(),
            (None, false) => at,
            (Some(field), true) => field,
            (Some(field), false) => format!("{at}.{field}"),
        };
        InvalidField::new(at, reason).into()
    })
}

/// What errors call the whole.
const BODY: &str = "the body";

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    struct SentBody {
        items: Vec<SentItem>,
    }

    #[derive(Debug, Deserialize)]
    struct SentItem {
        size: u32,
        name: Option<String>,
    }

    fn error(text: &str) -> JsonError {
        read_body::<SentBody>(text).unwrap_err()
    }

    #[test]
    fn wrong_field_is_named_with_its_path_its_value_and_what_is_allowed() {
        for (text, expected) in [
            (
                r#"{"items":[{"size":1},{"size":"a"}]}"#,
                "items[1].size must be a whole number, not \"a\"",
            ),
            (
                r#"{"items":[{"size":1,"name":{}}]}"#,
                "items[0].name must be a string, not an object",
            ),
            (r#"{"items":[[1,"a"]]}"#, "items[0] must be an object, not a list"),
            (r#"{"items":[3]}"#, "items[0] must be an object, not 3"),
            (r#"{"items":[{}]}"#, "items[0].size is missing"),
            (r#"{"items":true}"#, "items must be a list, not true"),
            (r#"{"items":[],"items":[]}"#, "items is there twice"),
            ("{}", "items is missing"),
            ("3", "the body must be an object, not 3"),
            ("[[]]", "the body must be an object, not a list"),
        ] {
            let JsonError::Field(field) = error(text) else { panic!("{text}") };
            assert_eq!(field.to_string(), expected, "{text}");
        }
    }

    #[test]
    fn text_that_is_no_json_is_refused() {
        for text in ["", "{", "{\"items\":[]} x", "\u{fe}"] {
            assert!(matches!(error(text), JsonError::NotJson(_)), "{text}");
        }
        let deep = format!("{{\"items\":{}", "[".repeat(100_000));
        assert!(error(&deep).to_string().len() < 400);
    }

    #[test]
    fn half_of_a_character_becomes_a_replacement() {
        let (item, _) = read_body::<SentItem>(r#"{"size":1,"name":"a\ud83d"}"#).unwrap();
        assert_eq!((item.size, item.name.as_deref()), (1, Some("a\u{fffd}")));
    }

    #[test]
    fn long_values_are_not_quoted_in_full() {
        let error = error(&format!(r#"{{"items":"{}"}}"#, "x".repeat(10_000)));
        assert!(error.to_string().len() < 400, "{error:?}");
    }

    #[test]
    fn fields_that_nobody_reads_are_listed() {
        let text = r#"{"items":[{"size":1,"a":2},{"size":1,"a":3}],"user":"x"}"#;
        let (sent, ignored) = read_body::<SentBody>(text).unwrap();
        assert_eq!(sent.items.len(), 2);
        assert_eq!(ignored.names(), ["items[].a", "user"]);
    }
}
