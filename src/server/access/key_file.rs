//! The file of `--api-key-file`: a TOML table per key, with its hash, its rights and its limits.
//!
//! Errors name the line. They never quote a value, since somebody may have written a key into the
//! file where its hash belongs.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde::Deserialize;
use thiserror::Error;
use toml::Spanned;

use crate::domain::{AccountLimits, Right, Rights};

use super::key_hash::{KeyHash, MIN_KEY_BYTES};
use super::limit::Limit;

/// What a key file says about one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct KeyEntry {
    pub(super) name: String,
    pub(super) hash: KeyHash,
    pub(super) rights: Rights,
    pub(super) limits: AccountLimits,
}

/// What is wrong with the text of a key file.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("line {line}: {reason}")]
pub(super) struct KeyFileError {
    /// Counted from 1.
    line: usize,
    reason: String,
}

/// The whole file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyFile {
    #[serde(default)]
    keys: BTreeMap<String, Spanned<KeyTable>>,
}

/// The table of one key.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyTable {
    hash: Spanned<String>,
    rights: Vec<Right>,
    #[serde(default)]
    limits: AccountLimits,
}

/// The keys in the text of a file, in the order of their names.
///
/// # Errors
/// [`KeyFileError`] for the first thing that is wrong.
pub(super) fn parse(text: &str) -> Result<Vec<KeyEntry>, KeyFileError> {
    let error = |at: usize, reason: String| {
        let before = text.as_bytes().get(..at).unwrap_or_default();
        KeyFileError { line: 1 + before.iter().filter(|&&byte| byte == b'\n').count(), reason }
    };
    let file: KeyFile = toml::from_str(text).map_err(|found| {
        error(found.span().map_or(0, |span| span.start), without_values(found.message()))
    })?;
    if file.keys.len() > MAX_KEYS {
        return Err(error(0, format!("{} keys, at most {MAX_KEYS}", file.keys.len())));
    }
    let mut entries: Vec<KeyEntry> = Vec::with_capacity(file.keys.len());
    for (name, table) in file.keys {
        let at = table.span().start;
        let KeyTable { hash, rights, limits } = table.into_inner();
        check_name(&name).map_err(|reason| error(at, reason))?;
        let parsed = hash
            .as_ref()
            .parse()
            .map_err(|found| error(hash.span().start, format!("key {name}: {found}")))?;
        let entry = KeyEntry { name, hash: parsed, rights: rights.into_iter().collect(), limits };
        if let Some(same) = entries.iter().find(|other| other.hash == entry.hash) {
            let reason = format!("keys {} and {} have the same hash", same.name, entry.name);
            return Err(error(hash.span().start, reason));
        }
        entries.push(entry);
    }
    Ok(entries)
}

/// The table of a key, as text to append to a file.
pub(super) fn table(entry: &KeyEntry) -> String {
    let KeyEntry { name, hash, rights, limits } = entry;
    let rights: Vec<String> = rights.iter().map(|right| format!("\"{}\"", right.name())).collect();
    let mut text = format!("[keys.{name}]\nhash = \"{hash}\"\nrights = [{}]\n", rights.join(", "));
    let limits: Vec<String> = limit_values(limits)
        .into_iter()
        .filter_map(|(limit, value)| Some(format!("{} = {}", limit.name(), value?)))
        .collect();
    if !limits.is_empty() {
        // Writing to a string does not fail.
        let _ = writeln!(text, "limits = {{ {} }}", limits.join(", "));
    }
    text
}

/// Checks the name of a key, which is a label in metrics and a bare key in TOML.
///
/// # Errors
/// What is allowed.
pub(super) fn check_name(name: &str) -> Result<(), String> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    if name.is_empty() || name.len() > MAX_NAME_BYTES || !name.bytes().all(is_plain) {
        return Err(format!(
            "the name of a key has 1 to {MAX_NAME_BYTES} letters, digits, hyphens and underscores"
        ));
    }
    if name == SIMPLE_KEY {
        return Err(format!("{SIMPLE_KEY} is the name of the key of --api-key: choose another"));
    }
    Ok(())
}

/// The limits and their values.
fn limit_values(limits: &AccountLimits) -> [(Limit, Option<u64>); Limit::ALL.len()] {
    let small = |value: Option<std::num::NonZeroU32>| value.map(|value| u64::from(value.get()));
    [
        (Limit::Connections, small(limits.connections)),
        (Limit::Requests, small(limits.requests)),
        (Limit::Waiting, small(limits.waiting)),
        (Limit::Tokens, small(limits.tokens_per_minute)),
        (Limit::Computing, small(limits.compute_seconds_per_minute)),
        (Limit::Bytes, limits.bytes.map(std::num::NonZeroU64::get)),
    ]
}

/// One line of a message of the TOML parser, without the values that it quotes: texts in double
/// quotes, between backticks what cannot be the name of a field or a right, and every word that may
/// be a key. Characters that a terminal would act on become spaces.
fn without_values(message: &str) -> String {
    let line = without_quoted(message, '"', |_| false);
    let line = without_quoted(&line, '`', is_name);
    let words = line.split_inclusive(|char: char| !is_of_name(char));
    let shortened = words.map(|word| match word.trim_end_matches(|c| !is_of_name(c)) {
        name if is_name(name) => word,
        _ => "… ",
    });
    let is_plain = |char: char| !char.is_control() && !"\u{2028}\u{2029}".contains(char);
    let plain = shortened.collect::<String>().replace(|char| !is_plain(char), " ");
    let mut line = plain.split_whitespace().collect::<Vec<_>>().join(" ");
    for (type_name, description) in NUMBERS {
        line = line.replace(type_name, description);
    }
    line
}

/// `text` with an ellipsis for everything between two `quote`s for which `is_kept` is false.
fn without_quoted(text: &str, quote: char, is_kept: impl Fn(&str) -> bool) -> String {
    let parts = text.split(quote).enumerate();
    let parts: Vec<&str> =
        parts.map(|(i, part)| if i % 2 == 0 || is_kept(part) { part } else { "…" }).collect();
    parts.join(quote.encode_utf8(&mut [0; 4]))
}

/// Whether `text` is the name of a limit, or has the form of a name and is too short to be a key.
fn is_name(text: &str) -> bool {
    Limit::ALL.iter().any(|limit| limit.name() == text)
        || text.len() < MIN_KEY_BYTES && text.chars().all(is_of_name)
}

/// Whether names and keys contain `char`.
fn is_of_name(char: char) -> bool {
    char.is_alphanumeric() || "_-".contains(char)
}

/// The name of the key of `--api-key`.
pub(super) const SIMPLE_KEY: &str = "api-key";

/// Most keys of a file. Every key that a client sends is compared with all of them.
pub(super) const MAX_KEYS: usize = 1024;

/// Longest name of a key.
const MAX_NAME_BYTES: usize = 64;

/// What the TOML parser calls the numbers of limits, and what a user does.
const NUMBERS: [(&str, &str); 2] = [
    ("a nonzero u32", "a whole number from 1 to 4294967295"),
    ("a nonzero u64", "a whole number from 1"),
];

#[cfg(test)]
mod tests {
    use std::num::{NonZeroU32, NonZeroU64};

    use proptest::prelude::*;

    use super::*;
    use crate::domain::ApiKey;

    const HASH: &str = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    #[test]
    fn keys_have_rights_and_limits() {
        let text = format!(
            "[keys.web]\nhash = \"{HASH}\"\nrights = [\"infer\", \"metrics\"]\n\n\
             [keys.web.limits]\nrequests = 4\nbytes = 1000000\n"
        );
        let limits = AccountLimits {
            requests: NonZeroU32::new(4),
            bytes: NonZeroU64::new(1_000_000),
            ..AccountLimits::default()
        };
        let rights = [Right::Infer, Right::Metrics].into_iter().collect();
        let hash = HASH.parse().unwrap();
        assert_eq!(
            parse(&text),
            Ok(vec![KeyEntry { name: "web".to_owned(), hash, rights, limits }])
        );
        assert_eq!(parse("# no keys yet\n"), Ok(Vec::new()));
    }

    #[test]
    fn mistake_is_reported_with_its_line_and_without_the_value() {
        let table = |body: &str| format!("# keys\n[keys.web]\n{body}\n");
        let valid = format!("hash = \"{HASH}\"\nrights = []");
        let cases = [
            (table(&format!("{valid}\nlimit = 4")), 5, "limit"),
            (table("hash = \"ic_secret\"\nrights = []"), 3, "key web: hash must be sha256:"),
            (table("hash = 7\nrights = []"), 3, "string"),
            (table(&format!("hash = \"{HASH}\"")), 2, "rights"),
            (table(&format!("hash = \"{HASH}\"\nrights = [\"root\"]")), 4, "root"),
            (table(&format!("{valid}\nlimits = {{ requests = 0 }}")), 5, "a whole number from 1"),
            (table(&format!("{valid}\nlimits = {{ requests = 4294967296 }}")), 5, "to 4294967295"),
            (table(&format!("{valid}\nlimits = {{ bytes = -1 }}")), 5, "a whole number from 1"),
            (table(&format!("{valid}\nlimits = {{ tokens = 1 }}")), 5, "`tokens_per_minute`"),
            (table(&format!("{valid}\nlimits = {{ request = 1 }}")), 5, "requests"),
            (table(&format!("{valid}\n[keys.web]")), 5, "duplicate"),
            (format!("[keys.api-key]\n{valid}"), 1, "--api-key"),
            (format!("[keys.\"a b\"]\n{valid}"), 1, "letters, digits"),
            (format!("{}\n[keys.app]\n{valid}", table(&valid)), 3, "the same hash"),
            ("[keys]\nweb = \"ic_secret\"".to_owned(), 2, "invalid type"),
            ("[keys]\nweb = ic_secret".to_owned(), 2, ""),
            ("key = 1".to_owned(), 1, "keys"),
        ];
        for (text, line, part) in cases {
            let error = parse(&text).expect_err(&text);
            assert_eq!(error.line, line, "{text}: {error}");
            assert!(error.reason.contains(part), "{text}: {error}");
            assert!(!error.to_string().contains("secret"), "{error}");
            assert!(!error.to_string().contains('\n'), "{error}");
        }
    }

    #[test]
    fn wrong_right_is_named_only_if_it_looks_like_a_name() {
        let message =
            |right: &str| without_values(&format!("unknown variant `{right}`, expected `infer`"));
        assert_eq!(message("infr"), "unknown variant `infr`, expected `infer`");
        assert_eq!(message("a b\u{85}c"), "unknown variant `…`, expected `infer`");
        assert_eq!(message(&"a b".repeat(1000)), "unknown variant `…`, expected `infer`");
    }

    #[test]
    fn message_loses_quoted_texts_and_words_that_may_be_keys() {
        for n in [16, 40] {
            let long = "x".repeat(n);
            let message = format!("invalid \"a b\" and `{long}` {long},\nexpected `short`");
            assert_eq!(without_values(&message), "invalid \"…\" and `…` … expected `short`");
        }
        let message = "expected one of `tokens_per_minute`, `compute_seconds_per_minute`";
        assert_eq!(without_values(message), message);
        assert_eq!(without_values("unknown `tokens_per_minut3`"), "unknown `…`");
    }

    #[test]
    fn key_as_a_field_or_a_right_is_not_quoted() {
        let key = "0123456789abcdef";
        for text in [
            format!("{key} = 1"),
            format!("[keys.web]\n{key} = 1"),
            format!("[keys.web]\nhash = \"{HASH}\"\nrights = [\"{key}\"]"),
            format!("[keys.web]\nhash = {key}"),
            format!("[keys.web]\nhash = \"{HASH}\"\nrights = []\nlimits = {{ {key} = 1 }}"),
        ] {
            let error = parse(&text).expect_err(&text).to_string();
            assert!(!error.contains(key), "{error}");
        }
    }

    fn entries() -> impl Strategy<Value = KeyEntry> {
        let number = || prop::option::of(1..=u32::MAX);
        let limits = (number(), number(), number(), number(), number(), prop::option::of(1_i64..));
        let rights = prop::collection::vec(prop::sample::select(&Right::ALL[..]), 0..4);
        ("[A-Za-z0-9_-]{1,64}", "[!-~]{1,80}", rights, limits).prop_map(
            |(name, key, rights, limits)| KeyEntry {
                name,
                hash: KeyHash::of(&ApiKey::new(key)),
                rights: rights.into_iter().collect(),
                limits: AccountLimits {
                    connections: limits.0.and_then(NonZeroU32::new),
                    requests: limits.1.and_then(NonZeroU32::new),
                    waiting: limits.2.and_then(NonZeroU32::new),
                    tokens_per_minute: limits.3.and_then(NonZeroU32::new),
                    compute_seconds_per_minute: limits.4.and_then(NonZeroU32::new),
                    bytes: limits.5.and_then(|n| NonZeroU64::new(n.unsigned_abs())),
                },
            },
        )
    }

    proptest! {
        #[test]
        fn written_table_is_read_as_it_was(entry in entries()) {
            prop_assume!(entry.name != SIMPLE_KEY);
            prop_assert_eq!(parse(&table(&entry)), Ok(vec![entry]));
        }

        #[test]
        fn any_text_is_read_or_refused_in_one_line(text in "\\PC{0,200}") {
            if let Err(error) = parse(&text) {
                prop_assert!(!error.to_string().contains('\n'));
            }
        }

        #[test]
        fn damaged_file_is_read_or_refused_in_one_line(
            entry in entries(), at in any::<prop::sample::Index>(), byte in any::<u8>(),
        ) {
            let mut bytes = table(&entry).into_bytes();
            let at = at.index(bytes.len());
            bytes[at] = byte;
            if let Err(error) = parse(&String::from_utf8_lossy(&bytes)) {
                prop_assert!(!error.to_string().contains('\n'));
            }
        }
    }
}
