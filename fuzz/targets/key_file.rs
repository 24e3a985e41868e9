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

/// Shortest word that may be a key or its hash.
const MIN_SECRET_BYTES: usize = 16;

/// The names of fields that are as long.
const LONG_FIELDS: [&str; 2] = ["tokens_per_minute", "compute_seconds_per_minute"];

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
            let rest = LONG_FIELDS.iter().fold(error.clone(), |rest, name| rest.replace(name, ""));
            for word in words.filter(|word| word.len() >= MIN_SECRET_BYTES) {
                assert!(is_name(word) || !rest.contains(word), "{error}");
            }
        }
    }
});
