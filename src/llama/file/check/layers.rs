//! Rejects headers that violate llama.cpp's assertions about layer caches.
//!
//! The rules concern hybrid models, sliding windows, and layers that use the KV cache of an earlier
//! layer.

use crate::llama::file::arch_metadata::ArchMetadata;
use crate::llama::file::layers::{PATTERN_KEY, Windows, is_hybrid, n_cached};

/// A value of the header that llama.cpp asserts against.
#[derive(Debug)]
pub(super) struct RuleViolation {
    /// The key, without the architecture.
    pub(super) key: &'static str,
    /// The value that violates the rule.
    pub(super) value: u64,
    /// What the value must be.
    pub(super) rule: String,
}

/// Checks that some layer is windowed if the model has a window, and that layers without a cache of
/// their own find one to share. `n_layers` is at most `LLAMA_MAX_LAYERS`.
pub(super) fn check(meta: ArchMetadata<'_>, n_layers: usize) -> Result<(), RuleViolation> {
    let violation = |key, value, rule| Err(RuleViolation { key, value, rule });
    if is_hybrid(meta.arch()) && meta.unsigned("full_attention_interval") == Some(0) {
        return violation("full_attention_interval", 0, "it must be above zero".to_owned());
    }
    let Some(windows) = Windows::read(meta, n_layers) else { return Ok(()) };
    if !(0..n_layers).any(|i| windows.contains(i)) {
        let rule =
            format!("with it no layer has a sliding window, which {} models need", meta.arch());
        return violation(PATTERN_KEY, meta.unsigned(PATTERN_KEY).unwrap_or(0), rule);
    }
    let Some(n_cached) = n_cached(meta, n_layers) else { return Ok(()) };
    let is_shared =
        |is_windowed: bool| (n_cached..n_layers).any(|i| windows.contains(i) == is_windowed);
    // A sharing layer uses the second-last cache if it is windowed, else the last one.
    let has_source = |back: usize, is_windowed: bool| {
        n_cached.checked_sub(back).is_some_and(|i| windows.contains(i) == is_windowed)
    };
    if n_cached < n_layers
        && (n_cached < 2
            || (is_shared(true) && !has_source(2, true))
            || (is_shared(false) && !has_source(1, false)))
    {
        let rule =
            "the last two layers with a cache of their own must be one with a sliding window \
                    and, after it, one without"
                .to_owned();
        return violation("attention.shared_kv_layers", (n_layers - n_cached) as u64, rule);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::llama::file::gguf::{Header, MetadataValue};

    fn number(n: i128) -> MetadataValue {
        MetadataValue::Integer(n)
    }

    fn list(numbers: &[i128]) -> MetadataValue {
        MetadataValue::Integers(numbers.to_vec())
    }

    /// Checks a model with an embedding length of 256, 8 heads and 2 KV heads.
    fn check_entries(
        arch: &str,
        n_layers: usize,
        more: &[(&str, MetadataValue)],
    ) -> Result<(), RuleViolation> {
        let usual = [
            ("embedding_length", number(256)),
            ("attention.head_count", number(8)),
            ("attention.head_count_kv", number(2)),
        ];
        let entries: Vec<_> = usual
            .iter()
            .chain(more)
            .map(|(key, value)| (format!("{arch}.{key}"), value.clone()))
            .collect();
        let entries: Vec<_> =
            entries.iter().map(|(key, value)| (key.as_str(), value.clone())).collect();
        check(ArchMetadata::new(&Header::of(&entries), arch), n_layers)
    }

    #[test]
    fn layer_that_shares_the_cache_of_another_kind_is_rejected() {
        let check = |n_shared| {
            let entries = [
                ("attention.sliding_window", number(128)),
                (PATTERN_KEY, list(&[1, 1, 0, 1, 0])),
                ("attention.shared_kv_layers", number(n_shared)),
            ];
            check_entries("gemma4", 5, &entries)
        };
        // The fifth layer has no window, but the last cached layer has one.
        let violation = check(1).unwrap_err();
        assert_eq!((violation.key, violation.value), ("attention.shared_kv_layers", 1));
        assert!(check(2).is_ok());
    }

    #[test]
    fn values_that_llama_cpp_asserts_against_are_rejected_by_key() {
        let window = ("attention.sliding_window", number(128));
        let none = check_entries("gemma3", 2, &[window, (PATTERN_KEY, list(&[0, 0]))]);
        assert_eq!(none.unwrap_err().key, PATTERN_KEY);
        let never = check_entries("qwen35", 2, &[("full_attention_interval", number(0))]);
        assert_eq!(never.unwrap_err().key, "full_attention_interval");
        assert!(check_entries("llama", 2, &[]).is_ok());
    }
}
