//! The marker characters that are put into what clients wrote.

use std::borrow::Cow;

/// A marker character that hides control tokens in messages: one of the Unicode noncharacters
/// U+FDD0 to U+FDEF, which are not meant for text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::llama::text) struct ControlTokenGuard {
    marker: char,
}

/// Which of the noncharacters occur in texts, as they are or as the escapes (`\ufdd0`) that a
/// template writes for them.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::llama::text) struct UsedMarkers {
    /// A bit for each.
    bits: u32,
}

impl UsedMarkers {
    /// Remembers the noncharacters in `text`.
    pub(in crate::llama::text) fn see(&mut self, text: &str) {
        let escapes = text.match_indices("\\u").filter_map(|(at, escape)| {
            let digits = text.get(at + escape.len()..at + escape.len() + 4)?;
            char::from_u32(u32::from_str_radix(digits, 16).ok()?)
        });
        for c in text.chars().chain(escapes).filter(|c| (FIRST..=LAST).contains(c)) {
            self.bits |= 1 << (u32::from(c) - u32::from(FIRST));
        }
    }

    /// The noncharacters that did not occur.
    pub(in crate::llama::text) fn unused(self) -> impl Iterator<Item = char> {
        (FIRST..=LAST).enumerate().filter(move |(i, _)| self.bits & 1 << i == 0).map(|(_, c)| c)
    }
}

impl ControlTokenGuard {
    /// A guard with this marker, which must not occur in any text that it is put into.
    pub(in crate::llama::text) fn new(marker: char) -> Self {
        Self { marker }
    }

    /// The marker.
    pub(in crate::llama::text) fn marker(self) -> char {
        self.marker
    }

    /// `text` without markers.
    pub(in crate::llama::text) fn remove_markers(self, text: &str) -> Cow<'_, str> {
        if text.contains(self.marker) {
            Cow::Owned(text.replace(self.marker, ""))
        } else {
            Cow::Borrowed(text)
        }
    }

    /// `text` with markers in the place of the escapes that a template has written for them, as it
    /// does where it prints a dictionary.
    pub(in crate::llama::text) fn unescape_markers(self, text: String) -> String {
        let escape = format!("\\u{:04x}", u32::from(self.marker));
        if text.contains(&escape) { text.replace(&escape, &self.marker.to_string()) } else { text }
    }
}

/// The first of the noncharacters.
const FIRST: char = '\u{FDD0}';
/// The last of them.
const LAST: char = '\u{FDEF}';
