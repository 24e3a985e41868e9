//! Tokens of texts: those that llama.cpp finds in the whole text, with any vocabulary.
//!
//! `FUZZ_VOCABULARIES` names GGUF files, separated by colons. The input is a list of pieces, each
//! with the number of its repetitions, so that short inputs make texts that are longer than the
//! parts into which the daemon divides them.

#![no_main]

use std::path::Path;
use std::sync::LazyLock;
use std::time::Duration;

use inference_core::llama::FuzzedTokenizer;
use inference_core_fuzz::{Budget, bounded};
use libfuzzer_sys::fuzz_target;

/// The vocabularies, with the paths of their files.
static VOCABULARIES: LazyLock<Vec<(String, FuzzedTokenizer)>> = LazyLock::new(|| {
    let paths = std::env::var("FUZZ_VOCABULARIES").expect("FUZZ_VOCABULARIES names GGUF files");
    let load = |path: &str| {
        let tokenizer = FuzzedTokenizer::load(Path::new(path));
        (path.to_owned(), tokenizer.unwrap_or_else(|error| panic!("{path}: {error}")))
    };
    paths.split(':').map(load).collect()
});

/// Several lists of tokens of four bytes, of which there may be one for each byte. The time is that
/// of llama.cpp, which compiles its regular expressions for each part between special tokens: 5 ms
/// with the rule of gpt-4o.
const BUDGET: Budget = Budget {
    bytes: 1 << 20,
    bytes_per_byte: 64,
    time: Duration::from_millis(500),
    time_per_byte: Duration::from_millis(1),
};

/// Longest text in bytes of one input in eight: longer than the parts of SentencePiece texts and of
/// texts that are tokenized on the caller's stack, 4 KiB each.
const MAX_LONG_BYTES: usize = 6_000;

/// Longest text in bytes of the other inputs.
const MAX_SHORT_BYTES: usize = 500;

fuzz_target!(
    init: {
        LazyLock::force(&VOCABULARIES);
    },
    |bytes: &[u8]| {
        let Some((&which, pieces)) = bytes.split_first() else { return };
        let (path, tokenizer) = &VOCABULARIES[usize::from(which >> 3) % VOCABULARIES.len()];
        let text = text_of(pieces, if which % 8 == 7 { MAX_LONG_BYTES } else { MAX_SHORT_BYTES });
        let tokens = bounded(BUDGET, text.len(), || tokenizer.tokens(&text));
        // llama.cpp stops at the first NUL in some places and not in others.
        if !text.contains('\0') {
            let expected = tokenizer.reference_tokens(&text);
            assert!(tokens == expected, "{path}: {text:?}: {tokens:?} and not {expected:?}");
        }
    }
);

/// The text, of at most `max_bytes`, of pieces that are separated by 0xFF. The first byte of a
/// piece is the number of its repetitions.
fn text_of(pieces: &[u8], max_bytes: usize) -> String {
    let mut text = String::new();
    for piece in pieces.split(|&byte| byte == 0xFF) {
        let Some((&n, piece)) = piece.split_first() else { continue };
        let piece = String::from_utf8_lossy(piece);
        let n = usize::from(n).min(max_bytes.saturating_sub(text.len()) / piece.len().max(1));
        text.push_str(&piece.repeat(n));
    }
    text
}
