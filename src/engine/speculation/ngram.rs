//! Guesses from the text itself: what followed the last few tokens when they stood there before.
//!
//! Prompt lookup decoding (A. Saxena, 2023), with one addition: the text is followed through its
//! earlier occurrence token by token, also while nothing is guessed, so that it is known for free
//! how often a guess would have been right.

use std::collections::HashMap;

use crate::domain::Token;

use super::acceptance::Record;

/// So many tokens make a place in a text: fewer stand in too many places, and more are seldom the
/// same in a rewritten one.
const N: usize = 3;

/// What a guess is taken for in a text of which nothing is known yet.
const UNKNOWN: f64 = 0.3;

/// Where a text has been before.
#[derive(Debug, Default)]
pub(in crate::engine) struct Lookup {
    /// The position behind the latest occurrence of each N tokens.
    after: HashMap<[Token; N], usize>,
    /// How many tokens of the text have been seen.
    seen: usize,
    /// The position that corresponds to the next one, if the text has been here before.
    earlier: Option<usize>,
    /// How many tokens have been the same since.
    followed: u32,
    record: Record,
}

impl Lookup {
    /// Looks at `text` from where it was last looked at. The first `n_prompt` tokens are the
    /// prompt, of which nothing would have been guessed.
    pub(in crate::engine) fn look(&mut self, text: &[Token], n_prompt: usize) {
        for end in self.seen..text.len() {
            if end >= n_prompt {
                self.compare(text, end);
            }
            if let Some(place) = place_before(text, end) {
                self.after.insert(place, end);
            }
        }
        self.seen = self.seen.max(text.len());
        if self.earlier.is_none() {
            self.followed = 0;
            self.earlier =
                place_before(text, text.len()).and_then(|place| self.after.get(&place).copied());
        }
    }

    /// Was the token at `end` the expected one?
    fn compare(&mut self, text: &[Token], end: usize) {
        let Some(earlier) = self.earlier else { return };
        let is_same = text[earlier] == text[end];
        self.record.add(is_same);
        if is_same {
            self.followed += 1;
            self.earlier = Some(earlier + 1);
        } else {
            self.earlier = None;
        }
    }

    /// The probability that the next guess is right; 0 where there is none.
    pub(in crate::engine) fn chance(&self) -> f64 {
        if self.earlier.is_none() {
            return 0.0;
        }
        // A text that came here by chance leaves soon: the longer it has followed, the longer it
        // will (Laplace's rule of succession).
        let followed = f64::from(self.followed);
        self.record.chance(UNKNOWN, 1.0).min((followed + 2.0) / (followed + 3.0))
    }

    /// The `n` tokens that should come next in `text`, which has been looked at.
    pub(in crate::engine) fn guess(&self, text: &[Token], n: usize) -> Vec<Token> {
        let Some(earlier) = self.earlier else { return Vec::new() };
        let mut guesses: Vec<Token> = Vec::with_capacity(n);
        for i in earlier..earlier + n {
            // Where a text goes round in a circle, its end is in the guess itself.
            let token = text.get(i).copied().or_else(|| guesses.get(i - text.len()).copied());
            guesses.extend(token);
        }
        guesses
    }
}

/// The N tokens before `end`.
fn place_before(text: &[Token], end: usize) -> Option<[Token; N]> {
    text[..end].last_chunk().copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn looked(text: &[Token], n_prompt: usize) -> Lookup {
        let mut lookup = Lookup::default();
        for n in n_prompt..=text.len() {
            lookup.look(&text[..n], n_prompt);
        }
        lookup
    }

    #[test]
    fn what_followed_before_is_guessed_again() {
        let text = [1, 2, 3, 4, 5, 6, 9, 1, 2, 3];
        let lookup = looked(&text, text.len());
        assert_eq!(lookup.guess(&text, 3), [4, 5, 6]);
    }

    #[test]
    fn a_new_text_is_not_guessed() {
        let lookup = looked(&[1, 2, 3, 4, 5], 2);
        assert_eq!(lookup.guess(&[1, 2, 3, 4, 5], 3), [0; 0]);
        assert_eq!(lookup.chance(), 0.0);
    }

    #[test]
    fn a_circle_is_guessed_beyond_its_end() {
        let text = [7, 1, 2, 1, 2, 1, 2];
        let lookup = looked(&text, 2);
        assert_eq!(lookup.guess(&text, 5), [1, 2, 1, 2, 1]);
    }

    #[test]
    fn the_chance_grows_with_every_token_that_was_foreseen_and_falls_with_others() {
        let mut text: Vec<Token> = (0..40).collect();
        let n_prompt = text.len();
        text.extend(10..13);
        let fresh = looked(&text, n_prompt).chance();
        text.extend(13..25);
        let followed = looked(&text, n_prompt).chance();
        assert!(fresh < 0.5 && followed > 0.8, "{fresh} {followed}");
        text.extend([99, 30, 31, 32]);
        let strayed = looked(&text, n_prompt).chance();
        assert!(strayed > 0.0 && strayed < followed, "{strayed}");
    }
}
