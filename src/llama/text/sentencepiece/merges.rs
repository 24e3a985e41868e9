//! Merges the characters of a text into the texts of tokens, best pair first.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use crate::domain::{Refusal, Token};
use crate::engine::PromptLimit;

/// A token and its score.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scored {
    pub(super) token: Token,
    pub(super) score: f32,
}

/// The state of the merges of one text. It is used for one text after the other, so that its
/// memory is allocated once.
#[derive(Debug, Default)]
pub(super) struct Merges {
    symbols: Vec<Symbol>,
    pairs: BinaryHeap<Pair>,
}

/// A run of characters, which is a node of a linked list.
#[derive(Debug, Clone, Copy)]
struct Symbol {
    start: u32,
    /// 0 if it was merged into the symbol before it.
    len: u32,
    previous: u32,
    next: u32,
}

/// Two neighbours that are a token together.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Pair {
    score: f32,
    left: u32,
    right: u32,
    /// Length of both together. If it has changed, one of them was merged with another one.
    len: u32,
}

impl Merges {
    /// Merges the characters of `text`; `find` finds the token with a text.
    ///
    /// # Errors
    /// Those of [`PromptLimit::check`].
    pub(super) fn run(
        &mut self,
        text: &str,
        find: impl Fn(&str) -> Option<Scored>,
        limit: &PromptLimit,
    ) -> Result<(), Refusal> {
        self.split(text);
        for right in 1..self.symbols.len() as u32 {
            self.add(text, &find, right - 1, right);
            if right.is_multiple_of(CHECK_INTERVAL) {
                limit.check()?;
            }
        }
        let mut n_pairs = 0_u32;
        while let Some(Pair { left, right, len, .. }) = self.pairs.pop() {
            n_pairs = n_pairs.wrapping_add(1);
            if n_pairs.is_multiple_of(CHECK_INTERVAL) {
                limit.check()?;
            }
            let (merged, dropped) = (self.symbols[left as usize], self.symbols[right as usize]);
            if merged.len == 0 || dropped.len == 0 || merged.len + dropped.len != len {
                continue;
            }
            let next = dropped.next;
            self.symbols[left as usize] = Symbol { len, next, ..merged };
            self.symbols[right as usize].len = 0;
            if next != NONE {
                self.symbols[next as usize].previous = left;
                self.add(text, &find, left, next);
            }
            if merged.previous != NONE {
                self.add(text, &find, merged.previous, left);
            }
        }
        Ok(())
    }

    /// What the characters of `text` were merged to.
    pub(super) fn symbols<'t>(&self, text: &'t str) -> impl Iterator<Item = &'t str> {
        let symbols = self.symbols.iter().filter(|symbol| symbol.len > 0);
        symbols.map(|symbol| symbol.of(text))
    }

    /// Begins with one symbol for each character.
    fn split(&mut self, text: &str) {
        self.pairs.clear();
        self.symbols.clear();
        let characters = text.char_indices().enumerate();
        self.symbols.extend(characters.map(|(i, (start, c))| Symbol {
            start: start as u32,
            len: c.len_utf8() as u32,
            previous: (i as u32).wrapping_sub(1),
            next: i as u32 + 1,
        }));
        if let Some(last) = self.symbols.last_mut() {
            last.next = NONE;
        }
    }

    /// Adds two neighbours to the queue if they are a token together.
    fn add(&mut self, text: &str, find: &impl Fn(&str) -> Option<Scored>, left: u32, right: u32) {
        let (first, second) = (self.symbols[left as usize], self.symbols[right as usize]);
        let len = first.len + second.len;
        let both = Symbol { len, ..first };
        if let Some(Scored { score, .. }) = find(both.of(text)) {
            self.pairs.push(Pair { score, left, right, len });
        }
    }
}

impl Symbol {
    /// The characters of the symbol, of the text that it is a part of.
    fn of(self, text: &str) -> &str {
        &text[self.start as usize..(self.start + self.len) as usize]
    }
}

impl Eq for Pair {}

impl Ord for Pair {
    /// The greatest pair is merged first: the one with the highest score, of equal ones the
    /// leftmost.
    fn cmp(&self, other: &Self) -> Ordering {
        let by_score = self.score.partial_cmp(&other.score).unwrap_or(Ordering::Equal);
        by_score.then(other.left.cmp(&self.left))
    }
}

impl PartialOrd for Pair {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Stands for no symbol.
const NONE: u32 = u32::MAX;

/// Pairs between two looks at the limit: about a millisecond of work.
const CHECK_INTERVAL: u32 = 4096;
