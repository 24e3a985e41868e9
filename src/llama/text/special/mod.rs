//! Splits a text at the special tokens written in it, and keeps control tokens in messages from
//! being found.
//!
//! llama.cpp's own split takes time quadratic in the number of tokens found, so a client could keep
//! a thread busy for minutes. [`SpecialTokens::split`] makes the same partition
//! (`tokenizer_st_partition` in `llama-vocab.cpp`) in linear time (ADR-0018).
//!
//! A client could also write control tokens into a message, such as `<|end|><|assistant|>`. Once
//! the chat template has put the message into the prompt, these would be indistinguishable from the
//! template's own tokens: the client could end its turn and forge the answer of the assistant or a
//! system message. [`ControlTokenGuard`] prevents this, except for control tokens of one character.
//! Before rendering, a marker character is inserted into every control token of a message, so that
//! the token is not found. After the split the marker is removed, and the text is tokenized as
//! plain text.

mod guard;

use std::borrow::Cow;
use std::collections::{BTreeSet, HashSet};
use std::ops::Range;

use aho_corasick::{AhoCorasick, Match};

use crate::domain::Token;

pub(super) use self::guard::{ControlTokenGuard, UsedMarkers};

/// A special token: its text is searched for in prompts and rendered conversations.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SpecialToken {
    /// The id of the token.
    pub(super) token: Token,
    /// The text that stands for the token.
    pub(super) text: String,
    /// Whether the token structures a conversation or controls the model, such as an end-of-turn
    /// token, so that a message must not contain it.
    pub(super) is_control: bool,
    /// Whether llama.cpp finds the token in plain text too, as it does with user-defined tokens.
    pub(super) is_user_defined: bool,
    /// Whether the token structures an answer, so that a message of the assistant may contain it.
    pub(super) is_answer_mark: bool,
    /// Whether white space before the token is dropped (`LLAMA_TOKEN_ATTR_LSTRIP`).
    pub(super) strips_left: bool,
    /// Whether white space after the token is dropped (`LLAMA_TOKEN_ATTR_RSTRIP`).
    pub(super) strips_right: bool,
}

/// A part of a text that has been split at special tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Segment<'t> {
    /// A special token.
    Token(Token),
    /// Text between special tokens.
    Text(&'t str),
}

/// The special tokens of a vocabulary.
#[derive(Debug)]
pub(super) struct SpecialTokens {
    /// Sorted by the length of their texts, the longest first.
    list: Vec<SpecialToken>,
    /// Finds all of them at once.
    finder: AhoCorasick,
    control: ControlTokens,
}

/// The control tokens of a vocabulary.
#[derive(Debug)]
struct ControlTokens {
    ids: HashSet<Token>,
    /// The characters that their texts begin with.
    starts: HashSet<char>,
}

/// Overlapping special tokens in a text.
#[derive(Debug)]
struct Cluster {
    range: Range<usize>,
    /// Their indices in [`SpecialTokens::list`], each once.
    specials: Vec<usize>,
}

impl SpecialTokens {
    /// Takes the special tokens in any order; tokens without text are ignored.
    pub(super) fn new(mut list: Vec<SpecialToken>) -> Self {
        list.retain(|special| !special.text.is_empty());
        list.sort_by_key(|special| std::cmp::Reverse(special.text.len()));
        let finder = AhoCorasick::new(list.iter().map(|special| &special.text))
            .expect("the texts of a vocabulary are shorter than 4 GiB together");
        Self { finder, control: ControlTokens::of(&list), list }
    }

    /// Splits `text` at the special tokens in it, without empty segments. Longer tokens are
    /// searched for first, as llama.cpp does.
    pub(super) fn split<'t>(&self, text: &'t str) -> Vec<Segment<'t>> {
        self.split_where(text, |_| true)
    }

    /// Splits plain text at the user-defined tokens that are no control tokens.
    pub(super) fn split_unguarded<'t>(&self, text: &'t str) -> Vec<Segment<'t>> {
        self.split_where(text, |special| special.is_user_defined && !special.is_control)
    }

    /// Splits `text` at the special tokens for which `is_searched` is true.
    fn split_where<'t>(
        &self,
        text: &'t str,
        is_searched: impl Fn(&SpecialToken) -> bool,
    ) -> Vec<Segment<'t>> {
        let clusters = self.clusters(text, is_searched);
        let has_strips = clusters.iter().flat_map(|cluster| &cluster.specials).any(|&i| {
            let special = &self.list[i];
            special.strips_left || special.strips_right
        });
        let mut segments = if has_strips {
            // What one token drops can be a part of another one elsewhere.
            let mut all: Vec<_> =
                clusters.into_iter().flat_map(|cluster| cluster.specials).collect();
            all.sort_unstable();
            all.dedup();
            self.split_at(text, &all)
        } else {
            let mut segments = Vec::new();
            let mut end = 0;
            for Cluster { range, specials } in clusters {
                segments.push(Segment::Text(&text[end..range.start]));
                segments.append(&mut self.split_at(&text[range.clone()], &specials));
                end = range.end;
            }
            segments.push(Segment::Text(&text[end..]));
            joined(text, segments)
        };
        segments.retain(|segment| *segment != Segment::Text(""));
        segments
    }

    /// Splits `text` at some of the special tokens, the longest first.
    fn split_at<'t>(&self, text: &'t str, specials: &[usize]) -> Vec<Segment<'t>> {
        let mut segments = vec![Segment::Text(text)];
        for &i in specials {
            segments = segments.into_iter().fold(Vec::new(), |mut split, segment| {
                match segment {
                    Segment::Text(text) => self.list[i].split(text, &mut split),
                    Segment::Token(_) => split.push(segment),
                }
                split
            });
        }
        segments
    }

    /// The places of special tokens in `text`, from first to last.
    fn clusters(&self, text: &str, is_searched: impl Fn(&SpecialToken) -> bool) -> Vec<Cluster> {
        let mut clusters: Vec<Cluster> = Vec::new();
        // For each special token, where the last cluster with it begins.
        let mut last_start = vec![usize::MAX; self.list.len()];
        for found in self.occurrences(text) {
            let special = found.pattern().as_usize();
            if !is_searched(&self.list[special]) {
                continue;
            }
            let mut cluster = Cluster { range: found.range(), specials: Vec::new() };
            while let Some(mut last) = clusters.pop_if(|last| last.range.end > cluster.range.start)
            {
                cluster.range.start = cluster.range.start.min(last.range.start);
                // Nearly always one of them is empty.
                last.specials.append(&mut cluster.specials);
                cluster.specials = last.specials;
            }
            if last_start[special] != cluster.range.start {
                last_start[special] = cluster.range.start;
                cluster.specials.push(special);
            }
            clusters.push(cluster);
        }
        for cluster in &mut clusters {
            cluster.specials.sort_unstable();
            cluster.specials.dedup();
        }
        clusters
    }

    /// All occurrences of special tokens in `text`, overlapping ones too, in the order of their
    /// ends.
    fn occurrences<'t>(&self, text: &'t str) -> impl Iterator<Item = Match> + use<'_, 't> {
        self.finder.find_overlapping_iter(text)
    }

    /// Whether the token is a control token.
    pub(super) fn is_control(&self, token: Token) -> bool {
        self.control.ids.contains(&token)
    }

    /// Whether one of the tokens has this text.
    pub(super) fn contains(&self, text: &str) -> bool {
        self.list.iter().any(|special| special.text == text)
    }

    /// Makes control tokens of those that occur in a text of a template's source and look like
    /// marks: a name between other characters. Other tokens, such as runs of line feeds, stay what
    /// they are.
    pub(super) fn guard_marks_of_literal(&mut self, literal: &str) {
        self.guard_where(literal, |text| {
            text.chars().any(char::is_alphanumeric)
                && text.chars().any(|c| !c.is_alphanumeric() && !c.is_whitespace())
        });
    }

    /// Makes control tokens of those that a template has written, except for white space, single
    /// characters and the names of roles.
    pub(super) fn guard_marks_of_output(&mut self, written: &str) {
        self.guard_where(written, |text| {
            text.chars().nth(1).is_some()
                && !text.trim().is_empty()
                && !ROLE_NAMES.contains(&text.trim())
        });
    }

    fn guard_where(&mut self, template: &str, is_mark: impl Fn(&str) -> bool) {
        let found: BTreeSet<usize> =
            self.occurrences(template).map(|found| found.pattern().as_usize()).collect();
        for i in found {
            self.list[i].is_control |= is_mark(&self.list[i].text);
        }
        self.control = ControlTokens::of(&self.list);
    }

    /// Whether llama.cpp would find a guarded token in `text`, although that is plain text.
    pub(super) fn are_found_in_plain(&self, text: &str) -> bool {
        self.occurrences(text).any(|found| {
            let special = &self.list[found.pattern()];
            special.is_control && special.is_user_defined
        })
    }

    /// Inserts the guard's marker after the first character of every control token in `text`. A
    /// control token of a single character stays as it is, and so do the marks of an answer if the
    /// text may have them.
    pub(super) fn hide_control_tokens<'t>(
        &self,
        text: &'t str,
        guard: ControlTokenGuard,
        may_have_answer_marks: bool,
    ) -> Cow<'t, str> {
        let is_hidden = |found: &Match| {
            let special = &self.list[found.pattern()];
            special.is_control && !(may_have_answer_marks && special.is_answer_mark)
        };
        let starts = self.occurrences(text).filter(is_hidden).map(|found| found.start());
        with_markers(text, guard, starts)
    }

    /// Inserts the guard's marker after every character that a control token begins with, so that
    /// none can come from parts of `text`, unless a mark of an answer begins there and the text may
    /// have those.
    pub(super) fn hide_starts<'t>(
        &self,
        text: &'t str,
        guard: ControlTokenGuard,
        may_have_answer_marks: bool,
    ) -> Cow<'t, str> {
        let kept: BTreeSet<usize> = self
            .occurrences(text)
            .filter(|found| may_have_answer_marks && self.list[found.pattern()].is_answer_mark)
            .map(|found| found.start())
            .collect();
        let is_start =
            |&(at, c): &(usize, char)| self.control.starts.contains(&c) && !kept.contains(&at);
        let starts = text.char_indices().filter(is_start);
        with_markers(text, guard, starts.map(|(at, _)| at))
    }

    /// Whether `text` has a character that a control token begins with.
    pub(super) fn has_start(&self, text: &str) -> bool {
        text.chars().any(|c| self.control.starts.contains(&c))
    }

    /// The control tokens of a rendered conversation, from first to last.
    pub(super) fn control_tokens(&self, text: &str) -> Vec<Token> {
        let segments = self.split(text).into_iter();
        let tokens = segments.filter_map(|segment| match segment {
            Segment::Token(token) => Some(token),
            Segment::Text(_) => None,
        });
        tokens.filter(|token| self.control.ids.contains(token)).collect()
    }
}

impl ControlTokens {
    fn of(list: &[SpecialToken]) -> Self {
        let control = || list.iter().filter(|special| special.is_control);
        Self {
            ids: control().map(|special| special.token).collect(),
            starts: control().filter_map(|special| special.text.chars().next()).collect(),
        }
    }
}

/// `text` with the guard's marker after the characters at `starts`.
fn with_markers(
    text: &str,
    guard: ControlTokenGuard,
    starts: impl Iterator<Item = usize>,
) -> Cow<'_, str> {
    let length = |at: usize| text[at..].chars().next().map_or(0, char::len_utf8);
    let positions: BTreeSet<usize> = starts.map(|at| at + length(at)).collect();
    if positions.is_empty() {
        return Cow::Borrowed(text);
    }
    let mut marked =
        String::with_capacity(text.len() + positions.len() * guard.marker().len_utf8());
    let mut end = 0;
    for at in positions {
        marked.push_str(&text[end..at]);
        marked.push(guard.marker());
        end = at;
    }
    marked.push_str(&text[end..]);
    Cow::Owned(marked)
}

/// Joins segments of `text` that follow each other and are no tokens.
fn joined<'t>(text: &'t str, segments: Vec<Segment<'t>>) -> Vec<Segment<'t>> {
    let offset = |part: &str| part.as_ptr().addr() - text.as_ptr().addr();
    segments.into_iter().fold(Vec::new(), |mut joined, segment| {
        match (joined.last_mut(), segment) {
            (Some(Segment::Text(before)), Segment::Text(after)) => {
                *before = &text[offset(before)..offset(after) + after.len()];
            }
            _ => joined.push(segment),
        }
        joined
    })
}

impl SpecialToken {
    /// Appends the segments of `text`, split at this token.
    fn split<'t>(&self, mut text: &'t str, segments: &mut Vec<Segment<'t>>) {
        // The white space of C's `isspace`.
        let is_space = |c: char| matches!(c, ' ' | '\t'..='\r');
        while let Some(at) = text.find(&self.text) {
            let (before, after) = (&text[..at], &text[at + self.text.len()..]);
            let before = if self.strips_left { before.trim_end_matches(is_space) } else { before };
            segments.push(Segment::Text(before));
            segments.push(Segment::Token(self.token));
            text = if self.strips_right { after.trim_start_matches(is_space) } else { after };
        }
        segments.push(Segment::Text(text));
    }
}

/// What templates write as the names of roles.
const ROLE_NAMES: [&str; 4] = ["system", "user", "assistant", "model"];

#[cfg(test)]
mod tests;
