//! What the header says of the tokens, without keeping their texts.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};
use std::io::{Read, Seek};

use super::reader::{Input, Problem, broken};

/// Four times as many tokens as the largest vocabulary has.
const MAX_TOKENS: u64 = 1 << 20;
/// Longest text of a token. Real ones have a few hundred bytes; llama.cpp walks some vocabularies
/// in recursive functions, one call for each byte.
const MAX_TOKEN: u64 = 4096;
const TEXT: u32 = 8;
const ARRAY: u32 = 9;

/// A set of bytes.
pub(in crate::llama) type Bytes = [bool; 256];

/// What the checks need to know of the tokens.
#[derive(Debug)]
pub(in crate::llama) struct Tokens {
    /// How many there are.
    pub(in crate::llama) n: u64,
    /// Bytes with a token `<0xXX>`, or one that is just this byte.
    pub(in crate::llama) bytes: Bytes,
    /// Bytes with a token that is just this byte once RWKV's escapes are taken out.
    pub(in crate::llama) escaped_bytes: Bytes,
}

impl Tokens {
    /// Reads the array of the tokens' texts and refuses it where two are equal: llama.cpp asserts
    /// that they differ. As it has them, a text ends at its first zero byte and an empty one is
    /// named after its place.
    pub(super) fn read(input: &mut Input<impl Read + Seek>, kind: u32) -> Result<Self, Problem> {
        if kind != ARRAY || input.u32()? != TEXT {
            return broken("its header is broken: tokenizer.ggml.tokens is not an array of texts");
        }
        let n = input.u64()?;
        if n > MAX_TOKENS {
            return broken(format!("its header is broken: it claims {n} tokens"));
        }
        let mut tokens = Self { n, bytes: [false; 256], escaped_bytes: [false; 256] };
        // Only hashes are kept. Two texts that share one are as likely as a broken memory chip.
        let hasher = RandomState::new();
        let mut seen = HashSet::new();
        let mut text = Vec::new();
        for id in 0..n {
            input.raw_text(MAX_TOKEN, "a token's text", &mut text)?;
            if text.is_empty() {
                text.extend_from_slice(format!("[EMPTY_{id}]").as_bytes());
            }
            if !seen.insert(hasher.hash_one(&text)) {
                return broken(format!(
                    "its vocabulary is broken: token {id} ({:?}) is there twice, convert the \
                     model again",
                    String::from_utf8_lossy(&text)
                ));
            }
            tokens.note(&text);
        }
        Ok(tokens)
    }

    fn note(&mut self, text: &[u8]) {
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

/// The byte that `<0xXX>` stands for, with the capital digits that llama.cpp looks for.
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

/// The byte that a token of an RWKV vocabulary is, where it is a single one.
fn escaped_byte_of(text: &[u8]) -> Option<u8> {
    let hex = |digit: u8| char::from(digit).to_digit(16).and_then(|n| u8::try_from(n).ok());
    match *text {
        [b'\\'] | [b'\\', b'x'] => None,
        [b'\\', b't'] => Some(b'\t'),
        [b'\\', b'n'] => Some(b'\n'),
        [b'\\', b'r'] => Some(b'\r'),
        [byte] | [b'\\', byte] => Some(byte),
        // llama.cpp reads capital digits as other numbers.
        [b'\\', b'x', high, low] if !high.is_ascii_uppercase() && !low.is_ascii_uppercase() => {
            Some(hex(high)? << 4 | hex(low)?)
        }
        _ => None,
    }
}
