//! The file of `--api-key-file`: any text is a list of keys or is refused in one line.
//!
//! Keys that were read are read again when they are written, and an error quotes no value, since it
//! could be a key.

#![no_main]

use std::time::Duration;

use inference_core::server::rewrite_key_file;
use inference_core_fuzz::{Budget, assert_plain_line, bounded};
use libfuzzer_sys::fuzz_target;

/// The tree of the TOML parser takes most of it.
const BUDGET: Budget = Budget {
    bytes: 64 * 1024,
    bytes_per_byte: 512,
    time: Duration::from_millis(100),
    time_per_byte: Duration::from_micros(20),
};

/// Shortest word that may be a key or its hash. The names of fields are shorter.
const MIN_SECRET_BYTES: usize = 32;

fuzz_target!(|bytes: &[u8]| {
    let text = String::from_utf8_lossy(bytes);
    match bounded(BUDGET, text.len(), || rewrite_key_file(&text)) {
        Ok(written) => assert_eq!(rewrite_key_file(&written).as_ref(), Ok(&written)),
        Err(error) => {
            assert_plain_line(&error);
            let is_word = |c: char| c.is_ascii_alphanumeric() || "_-".contains(c);
            let words = text.split(|c| !is_word(c));
            // The names of keys are no secrets: metrics and logs have them.
            let is_name = |word: &str| {
                ["key ", "keys ", "and "]
                    .iter()
                    .any(|before| error.contains(&format!("{before}{word}")))
            };
            for word in words.filter(|word| word.len() >= MIN_SECRET_BYTES) {
                assert!(is_name(word) || !error.contains(word), "{error}");
            }
        }
    }
});
