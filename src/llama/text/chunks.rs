//! Cuts a text into pieces that llama.cpp's tokenizer can take without running out of stack.
//!
//! Its pre-tokenisers of byte-pair vocabularies are regular expressions, and `std::regex` recurses
//! for every character of a match: 320 bytes of stack each with every expression that llama.cpp
//! has (libstdc++, x86-64). A match is no longer than the text it is looked for in, so a bounded
//! text needs a bounded stack, whatever is in it.
//!
//! A text within [`MOST_BYTES`] is taken whole. A longer one is cut at the end of a line, between
//! characters that no pre-tokeniser but `superbpe` joins over it, and so has the same tokens with all
//! others; where there is no such line end, between two words; and inside of what has neither.

use std::io;
use std::thread;

/// Longest piece on the caller's stack, of which it takes 1.3 MiB.
const ON_THE_SPOT: usize = 4 * 1024;

/// Longest piece: a text of some 30,000 tokens, and a stack that is easily had.
const MOST_BYTES: usize = 128 * 1024;

/// Stack for the longest piece: what was measured, and half of it again.
const STACK_BYTES: usize = MOST_BYTES * 512;

/// The results of `tokenise` for all pieces of `text`, one after the other.
pub(in crate::llama) fn each<T: Send>(
    text: &str,
    tokenise: impl Fn(&str) -> Vec<T> + Sync,
) -> Vec<T> {
    let all = |most| pieces(text, most).flat_map(&tokenise).collect();
    if text.len() <= ON_THE_SPOT {
        return all(ON_THE_SPOT);
    }
    let apart = || all(MOST_BYTES);
    let taken: io::Result<thread::Result<Vec<T>>> = thread::scope(|scope| {
        let thread = thread::Builder::new().name("tokeniser".to_owned()).stack_size(STACK_BYTES);
        Ok(thread.spawn_scoped(scope, apart)?.join())
    });
    match taken {
        Ok(Ok(tokens)) => tokens,
        Ok(Err(panic)) => std::panic::resume_unwind(panic),
        Err(error) => {
            tracing::warn!("no thread to tokenise a long text, which is cut up: {error}");
            all(ON_THE_SPOT)
        }
    }
}

/// `text` in pieces of at most `most` bytes, at least one.
fn pieces(text: &str, most: usize) -> impl Iterator<Item = &str> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let text = rest?;
        if text.len() <= most {
            return rest.take();
        }
        let (piece, after) = text.split_at(cut(text, most));
        rest = Some(after);
        Some(piece)
    })
}

/// Where the first piece of a longer text ends.
fn cut(text: &str, most: usize) -> usize {
    let end = text.floor_char_boundary(most);
    // What follows has to be whole as well, to be looked at.
    let before = |at: usize| text[..at].chars().next_back();
    let after = |at: usize| text[at..].chars().next();
    let ends_line = |&(at, _): &(usize, &str)| {
        before(at).is_some_and(|c| !c.is_whitespace())
            && after(at + 1).is_some_and(char::is_alphanumeric)
    };
    if let Some((at, _)) = text[..end].rmatch_indices('\n').find(ends_line) {
        return at + 1;
    }
    let is_between_words = |&(at, _): &(usize, &str)| {
        before(at).is_some_and(char::is_alphabetic)
            && after(at + 1).is_some_and(char::is_alphabetic)
    };
    text[..end].rmatch_indices(' ').find(is_between_words).map_or(end, |(at, _)| at)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn cut_up(text: &str, most: usize) -> Vec<&str> {
        pieces(text, most).collect()
    }

    #[test]
    fn a_long_text_is_cut_behind_a_line_or_between_words_or_anywhere() {
        assert_eq!(cut_up("one two\nsix ten", 12), ["one two\n", "six ten"]);
        assert_eq!(cut_up("one two\n\nsix ten", 12), ["one", " two\n\nsix", " ten"]);
        assert_eq!(cut_up("a\n/b\nc", 5), ["a\n/b\n", "c"]);
        assert_eq!(cut_up("éééé", 3), ["é", "é", "é", "é"]);
        assert_eq!(cut_up("", 3), [""]);
    }

    proptest! {
        #[test]
        fn pieces_are_short_and_joined_the_text(text in "[ab é🦊\n/]{0,60}", most in 4_usize..20) {
            let pieces = cut_up(&text, most);
            prop_assert!(pieces.iter().all(|piece| piece.len() <= most));
            prop_assert_eq!(pieces.concat(), text);
        }
    }

    #[test]
    fn what_is_done_with_the_pieces_is_joined_in_their_order() {
        let text = "word ".repeat(MOST_BYTES);
        let lengths = each(&text, |piece| vec![piece.len()]);
        assert!(lengths.len() > 4);
        assert_eq!(lengths.iter().sum::<usize>(), text.len());
        assert_eq!(each(&text, |piece| piece.as_bytes().to_vec()), text.as_bytes());
    }
}
