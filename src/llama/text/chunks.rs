//! Splits a long text into chunks that llama.cpp can tokenize within a bounded stack (ADR-0019).
//!
//! llama.cpp splits text with regular expressions before byte-pair encoding, and `std::regex`
//! recurses once per character of a match. A match is no longer than the text, so a bounded chunk
//! needs a bounded stack, whatever the text contains.
//!
//! A text of up to [`MAX_CHUNK_BYTES`] is a single chunk. A longer one is split after a line
//! end that no pre-tokenizer except `superbpe` joins with the next line, which leaves the tokens
//! unchanged for all others. Without such a line end it is split between two words, and without
//! these within a word; tokens may then differ at the split.

use crate::domain::Refusal;
use crate::engine::PromptLimit;

use super::stack::{StackError, on_large_stack};

/// Calls `tokenize` for each chunk of `text` and joins the results. A text longer than
/// [`MAX_INLINE_CHUNK_BYTES`] is tokenized on a large stack.
///
/// # Errors
/// Those of [`PromptLimit::check`], between two chunks, and [`Refusal::NotTokenized`] if
/// `tokenize` panics.
pub(super) fn tokenize_in_chunks<T>(
    text: &str,
    limit: &PromptLimit,
    tokenize: impl Fn(&str) -> Vec<T>,
) -> Result<Vec<T>, Refusal> {
    let all = |max_bytes| {
        let mut tokens = Vec::new();
        for chunk in chunks(text, max_bytes) {
            limit.check()?;
            tokens.append(&mut tokenize(chunk));
        }
        Ok(tokens)
    };
    if text.len() <= MAX_INLINE_CHUNK_BYTES {
        return all(MAX_INLINE_CHUNK_BYTES);
    }
    match on_large_stack(CHUNK_STACK_BYTES, || all(MAX_CHUNK_BYTES)) {
        Ok(tokens) => tokens,
        Err(StackError::Panicked) => {
            Err(Refusal::NotTokenized { reason: "the tokenizer panicked".to_owned() })
        }
        Err(error) => {
            tracing::warn!(
                "cannot tokenize a long text as a whole, so it is split into short chunks: {error}"
            );
            all(MAX_INLINE_CHUNK_BYTES)
        }
    }
}

/// The chunks of `text`, each of at most `max_bytes`; at least one, even for an empty text.
fn chunks(text: &str, max_bytes: usize) -> impl Iterator<Item = &str> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let text = rest?;
        if text.len() <= max_bytes {
            return rest.take();
        }
        let (chunk, after) = text.split_at(split_point(text, max_bytes));
        rest = Some(after);
        Some(chunk)
    })
}

/// Where the first chunk of a text longer than `max_bytes` ends.
fn split_point(text: &str, max_bytes: usize) -> usize {
    let end = text.floor_char_boundary(max_bytes);
    // `after` looks into the whole text, since the next chunk starts beyond `end`.
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

/// Longest chunk that is tokenized on the caller's stack, in bytes (ADR-0019).
const MAX_INLINE_CHUNK_BYTES: usize = 4 * 1024;
/// Longest chunk in bytes (ADR-0019).
const MAX_CHUNK_BYTES: usize = 128 * 1024;
/// Stack for the longest chunk in bytes, with a margin of half (ADR-0019).
const CHUNK_STACK_BYTES: usize = MAX_CHUNK_BYTES * 512;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn split(text: &str, max_bytes: usize) -> Vec<&str> {
        chunks(text, max_bytes).collect()
    }

    #[test]
    fn long_text_is_split_after_a_line_or_between_words_or_anywhere() {
        assert_eq!(split("one two\nsix ten", 12), ["one two\n", "six ten"]);
        assert_eq!(split("one two\n\nsix ten", 12), ["one", " two\n\nsix", " ten"]);
        assert_eq!(split("a\n/b\nc", 5), ["a\n/b\n", "c"]);
        assert_eq!(split("éééé", 3), ["é", "é", "é", "é"]);
        assert_eq!(split("", 3), [""]);
    }

    proptest! {
        #[test]
        fn chunks_are_short_and_join_to_the_text(
            text in "[ab é🦊\n/]{0,60}",
            max_bytes in 4_usize..20,
        ) {
            let chunks = split(&text, max_bytes);
            prop_assert!(chunks.iter().all(|chunk| chunk.len() <= max_bytes));
            prop_assert_eq!(chunks.concat(), text);
        }
    }

    #[test]
    fn results_of_chunks_are_joined_in_order() {
        let text = "word ".repeat(MAX_CHUNK_BYTES);
        let limit = PromptLimit::none();
        let lengths = tokenize_in_chunks(&text, &limit, |chunk| vec![chunk.len()]).unwrap();
        assert!(lengths.len() > 4);
        assert_eq!(lengths.iter().sum::<usize>(), text.len());
        let bytes = tokenize_in_chunks(&text, &limit, |chunk| chunk.as_bytes().to_vec());
        assert_eq!(bytes.unwrap(), text.as_bytes());
    }
}
