//! The fields of a request that the server does not know. It accepts and ignores them, and names
//! them in a header of the response.

use axum::http::{HeaderName, HeaderValue};
use axum::response::Response;

/// The names of ignored fields, each with its path, without the positions in lists.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(in crate::server) struct IgnoredFields {
    names: Vec<String>,
    /// Whether there were more than [`MAX_FIELDS`].
    has_more: bool,
}

impl IgnoredFields {
    /// Adds the field at `path`, such as `messages.3.audio` or `input[3].audio`.
    pub(in crate::server) fn add(&mut self, path: &str) {
        if self.has_more {
            return;
        }
        let mut name = String::new();
        for part in path.split(['.', '[', ']']).filter(|part| !["", "?"].contains(part)) {
            if part.bytes().all(|byte| byte.is_ascii_digit()) {
                name.push_str("[]");
                continue;
            }
            if !name.is_empty() {
                name.push('.');
            }
            let is_plain = |char: &char| char.is_ascii_alphanumeric() || "_-".contains(*char);
            name.extend(part.chars().take(MAX_NAME_CHARS).filter(is_plain));
        }
        self.push(name);
    }

    /// Adds a value that the server cannot use, with its `kind`, such as a web search in `tools`.
    pub(in crate::server) fn add_kind(&mut self, path: &str, kind: &str) {
        let is_plain = |c: &char| c.is_ascii_graphic() && *c != ',';
        let kind: String = kind.chars().take(MAX_NAME_CHARS).filter(is_plain).collect();
        self.push(format!("{path} ({kind})"));
    }

    /// The names.
    pub(in crate::server) fn names(&self) -> &[String] {
        &self.names
    }

    fn push(&mut self, name: String) {
        if name.is_empty() || self.names.contains(&name) {
            return;
        }
        if self.names.len() == MAX_FIELDS {
            self.has_more = true;
        } else {
            self.names.push(name);
        }
    }

    /// The content of the header; `None` if nothing was ignored.
    pub(in crate::server) fn header(&self) -> Option<String> {
        let more = self.has_more.then_some("...");
        let names: Vec<&str> = self.names.iter().map(String::as_str).chain(more).collect();
        (!names.is_empty()).then(|| names.join(", "))
    }

    /// Adds the names of the parameters in the `query` of an address that are not `known`.
    pub(in crate::server) fn add_query(&mut self, query: &str, known: &[&str]) {
        let names = query.split('&').map(|pair| pair.split('=').next().unwrap_or_default());
        names.filter(|name| !known.contains(name)).for_each(|name| self.add(name));
    }

    /// Adds the names to those that the header of `response` has already.
    pub(in crate::server) fn extend(&self, response: &mut Response) {
        let Some(own) = self.header() else { return };
        let others = response.headers().get(IGNORED).and_then(|value| value.to_str().ok());
        let all = others.map_or_else(|| own.clone(), |others| format!("{others}, {own}"));
        if let Ok(value) = HeaderValue::from_str(&all) {
            response.headers_mut().insert(IGNORED, value);
        }
    }

    /// Adds the header to `response`, if something was ignored.
    pub(in crate::server) fn add_to(&self, response: &mut Response) {
        let value = self.header().and_then(|text| HeaderValue::from_str(&text).ok());
        if let Some(value) = value {
            response.headers_mut().insert(IGNORED, value);
        }
    }
}

/// The header with the names of the ignored fields.
const IGNORED: HeaderName = HeaderName::from_static("x-inference-core-ignored");

/// Most fields that are named.
const MAX_FIELDS: usize = 16;

/// Most characters of a part of a name.
const MAX_NAME_CHARS: usize = 40;

#[cfg(test)]
mod tests {
    use super::*;

    fn header(paths: &[&str]) -> Option<String> {
        let mut ignored = IgnoredFields::default();
        paths.iter().for_each(|path| ignored.add(path));
        ignored.header()
    }

    #[test]
    fn each_field_is_named_once_and_safely() {
        assert_eq!(header(&[]), None);
        assert_eq!(
            header(&["?.user", "messages.0.a", "messages[17].a"]).unwrap(),
            "user, messages[].a"
        );
        assert_eq!(header(&["a\r\nb: c", "\u{e9}"]).unwrap(), "abc");
        let mut ignored = IgnoredFields::default();
        ignored.add_kind("tools[1]", "web_search,\r\n");
        assert_eq!(ignored.header().unwrap(), "tools[1] (web_search)");
    }

    #[test]
    fn parameters_of_the_address_are_named_after_the_fields() {
        let mut response = Response::default();
        let mut ignored = IgnoredFields::default();
        ignored.add("audio");
        ignored.add_to(&mut response);
        let mut ignored = IgnoredFields::default();
        ignored.add_query("limit=3&beta=true&&x", &["limit"]);
        ignored.extend(&mut response);
        assert_eq!(response.headers()[IGNORED], "audio, beta, x");
    }

    #[test]
    fn header_is_bounded() {
        let names: Vec<String> = (0..1000).map(|i| format!("{}{i}", "x".repeat(1000))).collect();
        let paths: Vec<&str> = names.iter().map(String::as_str).collect();
        assert!(header(&paths).unwrap().len() < 1000);
    }
}
