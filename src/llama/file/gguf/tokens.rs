//! Summarizes the vocabulary's tokens without storing their texts.
//!
//! llama.cpp asserts that no two tokens have the same text, and for some tokenizers that every byte
//! has a token. The summary has what is needed to check both.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};
use std::io::{Read, Seek};

use super::metadata::{ARRAY, STRING};
use super::reader::{HeaderError, HeaderReader, invalid};

/// The properties of a vocabulary's tokens that [`crate::llama::file`] checks.
#[derive(Debug)]
pub(in crate::llama) struct TokenSummary {
    /// Number of tokens.
    pub(in crate::llama) n: u64,
    /// For each byte, whether a token `<0xXX>` or a token of just this byte exists.
    pub(in crate::llama) bytes: [bool; 256],
    /// For each byte, whether a token is just this byte after unescaping it as RWKV does.
    pub(in crate::llama) escaped_bytes: [bool; 256],
}

impl TokenSummary {
    /// Reads the array of token texts, of the GGUF type `type_id`.
    ///
    /// As in llama.cpp, a text ends at its first zero byte, and an empty text is replaced by a text
    /// that contains the token's id.
    ///
    /// # Errors
    /// [`HeaderError`], if two texts are equal, a limit is exceeded, the value is not an array of
    /// strings or the file ends too early.
    pub(super) fn read(
        reader: &mut HeaderReader<impl Read + Seek>,
        type_id: u32,
    ) -> Result<Self, HeaderError> {
        if type_id != ARRAY || reader.u32()? != STRING {
            return invalid(
                "its header is broken: tokenizer.ggml.tokens is not an array of strings",
            );
        }
        let n = reader.u64()?;
        if n > MAX_VOCABULARY_TOKENS {
            return invalid(format!("its header is broken: it claims to have {n} tokens"));
        }
        let mut summary = Self { n, bytes: [false; 256], escaped_bytes: [false; 256] };
        // Hashes save memory. Two texts with the same 64-bit hash are as likely as a memory fault.
        let hasher = RandomState::new();
        let mut seen = HashSet::new();
        let mut text = Vec::new();
        for id in 0..n {
            reader.raw_string(MAX_TOKEN_BYTES, "a token's text", &mut text)?;
            if text.is_empty() {
                text.extend_from_slice(format!("[EMPTY_{id}]").as_bytes());
            }
            if !seen.insert(hasher.hash_one(&text)) {
                return invalid(format!(
                    "its vocabulary is broken: the text of token {id} ({:?}) occurs twice; convert \
                     the model again",
                    String::from_utf8_lossy(&text)
                ));
            }
            summary.add(&text);
        }
        Ok(summary)
    }

    /// Records the bytes that a token with this text stands for.
    fn add(&mut self, text: &[u8]) {
        if let Some(byte) = byte_of(text) {
            self.bytes[usize::from(byte)] = true;
        }
        if let &[byte] = text {
            self.bytes[usize::from(byte)] = true;
        }
        if let Some(byte) = escaped_byte_of(text) {
            self.escaped_bytes[usize::from(byte)] = true;
        }
    }
}

/// The byte of a text `<0xXX>`, with the upper-case digits that llama.cpp looks for.
fn byte_of(text: &[u8]) -> Option<u8> {
    let digits = text.strip_prefix(b"<0x")?.strip_suffix(b">")?;
    let &[high, low] = digits else { return None };
    let digit = |digit: u8| match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    };
    Some(digit(high)? << 4 | digit(low)?)
}

/// The byte that a token of an RWKV vocabulary unescapes to; `None` if it is more than one byte.
fn escaped_byte_of(text: &[u8]) -> Option<u8> {
    let hex = |digit: u8| char::from(digit).to_digit(16).and_then(|n| u8::try_from(n).ok());
    match *text {
        [b'\\'] | [b'\\', b'x'] => None,
        [b'\\', b't'] => Some(b'\t'),
        [b'\\', b'n'] => Some(b'\n'),
        [b'\\', b'r'] => Some(b'\r'),
        [byte] | [b'\\', byte] => Some(byte),
        // llama.cpp computes other values from upper-case digits.
        [b'\\', b'x', high, low] if !high.is_ascii_uppercase() && !low.is_ascii_uppercase() => {
            Some(hex(high)? << 4 | hex(low)?)
        }
        _ => None,
    }
}

/// Maximum number of tokens of a vocabulary (ADR-0016).
const MAX_VOCABULARY_TOKENS: u64 = 1 << 20;
/// Longest token text in bytes; llama.cpp recurses once per byte in some vocabularies (ADR-0016).
const MAX_TOKEN_BYTES: u64 = 4096;
