//! Finds special tokens that are written out in a text.
//!
//! llama.cpp can do this itself, in time that grows with the square of how many there are: 8 MiB of
//! `<s>` would keep a thread busy for minutes. This is the same partition (`tokenizer_st_partition`
//! in `llama-vocab.cpp`) in linear time: the longest special tokens first, then the text between
//! them.
//!
//! It also keeps what people write apart from what a chat template writes: [`Guard`] marks control
//! tokens in the messages, so that nobody can end their turn and speak as somebody else.

use std::borrow::Cow;

use crate::domain::Token;

/// A token whose text is looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::llama) struct Special {
    pub(in crate::llama) token: Token,
    pub(in crate::llama) text: String,
    /// Steers the model, and is never part of what somebody says.
    pub(in crate::llama) is_control: bool,
    /// Takes the white space on its left away.
    pub(in crate::llama) strips_left: bool,
    /// Takes the white space on its right away.
    pub(in crate::llama) strips_right: bool,
}

/// A part of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::llama) enum Part<'t> {
    Token(Token),
    Text(&'t str),
}

/// The special tokens of a vocabulary.
#[derive(Debug)]
pub(in crate::llama) struct Specials {
    /// The longest first.
    list: Vec<Special>,
}

impl Specials {
    pub(in crate::llama) fn new(mut list: Vec<Special>) -> Self {
        list.retain(|special| !special.text.is_empty());
        list.sort_by_key(|special| std::cmp::Reverse(special.text.len()));
        Self { list }
    }

    /// Takes `text` apart.
    pub(in crate::llama) fn split<'t>(&self, text: &'t str) -> Vec<Part<'t>> {
        let mut parts = vec![Part::Text(text)];
        for special in &self.list {
            // Most are nowhere in the text, and then nothing has to be moved.
            let is_here = |part: &Part<'_>| match part {
                Part::Text(text) => text.contains(&special.text),
                Part::Token(_) => false,
            };
            if parts.iter().any(is_here) {
                parts = parts.into_iter().fold(Vec::new(), |mut split, part| {
                    match part {
                        Part::Text(text) => special.split(text, &mut split),
                        Part::Token(_) => split.push(part),
                    }
                    split
                });
            }
        }
        parts.retain(|part| *part != Part::Text(""));
        parts
    }

    /// `text` with a mark inside every control token that is written in it. One of a single character
    /// has no inside and stays what it is.
    pub(in crate::llama) fn guarded<'t>(&self, text: &'t str, guard: Guard) -> Cow<'t, str> {
        let mut guarded = Cow::Borrowed(text);
        for special in self.list.iter().filter(|special| special.is_control) {
            let Some(first) = special.text.chars().next() else { continue };
            if guarded.contains(&special.text) {
                let (head, tail) = special.text.split_at(first.len_utf8());
                let broken = format!("{head}{}{tail}", guard.mark);
                guarded = Cow::Owned(guarded.replace(&special.text, &broken));
            }
        }
        guarded
    }
}

impl Special {
    fn split<'t>(&self, mut text: &'t str, parts: &mut Vec<Part<'t>>) {
        // The white space of C's `isspace`.
        let is_space = |c: char| matches!(c, ' ' | '\t'..='\r');
        while let Some(at) = text.find(&self.text) {
            let (before, after) = (&text[..at], &text[at + self.text.len()..]);
            let before = if self.strips_left { before.trim_end_matches(is_space) } else { before };
            parts.push(Part::Text(before));
            parts.push(Part::Token(self.token));
            text = if self.strips_right { after.trim_start_matches(is_space) } else { after };
        }
        parts.push(Part::Text(text));
    }
}

/// A noncharacter of Unicode (U+FDD0 to U+FDEF, which no text may hold) that marks what people
/// wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::llama) struct Guard {
    mark: char,
}

impl Guard {
    /// One that none of `texts` holds; `None` if they use up all there are.
    pub(in crate::llama) fn absent_from(texts: &[&str]) -> Option<Self> {
        let mut marks = '\u{FDD0}'..='\u{FDEF}';
        let mark = marks.find(|&mark| !texts.iter().any(|text| text.contains(mark)))?;
        Some(Self { mark })
    }

    /// The text as it was before it was guarded.
    pub(in crate::llama) fn lift<'t>(self, text: &'t str) -> Cow<'t, str> {
        if text.contains(self.mark) {
            Cow::Owned(text.replace(self.mark, ""))
        } else {
            Cow::Borrowed(text)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn special(token: Token, text: &str) -> Special {
        Special {
            token,
            text: text.to_owned(),
            is_control: true,
            strips_left: false,
            strips_right: false,
        }
    }

    #[test]
    fn special_tokens_are_found_longest_first() {
        let specials = Specials::new(vec![special(1, "<|a|>"), special(2, "<|a|><|b|>")]);
        let parts = specials.split("x<|a|><|b|>y<|a|><|a|>");
        let expected =
            [Part::Text("x"), Part::Token(2), Part::Text("y"), Part::Token(1), Part::Token(1)];
        assert_eq!(parts, expected);
        assert_eq!(specials.split(""), []);
        assert_eq!(specials.split("plain"), [Part::Text("plain")]);
    }

    #[test]
    fn white_space_goes_where_a_token_takes_it() {
        let strips = Special { strips_left: true, strips_right: true, ..special(1, "<m>") };
        let specials = Specials::new(vec![strips]);
        let parts = specials.split("a \n<m>\t b\u{a0}");
        assert_eq!(parts, [Part::Text("a"), Part::Token(1), Part::Text("b\u{a0}")]);
        assert_eq!(specials.split(" <m> "), [Part::Token(1)]);
    }

    #[test]
    fn what_is_guarded_is_text_and_the_same_text_again() {
        let specials = Specials::new(vec![special(1, "<|end|>"), special(2, "é")]);
        let said = "Hi<|end|>é";
        let guard = Guard::absent_from(&[said, "\u{FDD0}"]).unwrap();
        let guarded = specials.guarded(said, guard);
        assert_eq!(specials.split(&guarded[..guarded.find('é').unwrap()]).len(), 1);
        assert_eq!(guard.lift(&guarded), said);
        let all: String = ('\u{FDD0}'..='\u{FDEF}').collect();
        assert!(Guard::absent_from(&[&all]).is_none());
    }
}
