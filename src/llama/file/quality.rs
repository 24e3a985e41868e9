//! Faults of a model's file that make its answers worse, although llama.cpp loads it.
//!
//! llama.cpp only logs them while it loads the model. They are found in the header, so that the
//! start screen and a plan can show them. What needs the loaded vocabulary is in `text/quality`.

use serde::{Deserialize, Serialize};

use super::arch_metadata::ArchMetadata;

/// What the header says about the quality of answers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::llama) struct QualityFacts {
    /// Whether the header should name a pre-tokenizer and does not.
    lacks_pre_tokenizer: bool,
    /// Tokens in a sliding window that llama.cpp does not use; 0 if there is none.
    unused_window: u64,
    /// Whether llama.cpp leaves out a part of the attention without flash attention.
    needs_flash_attention: bool,
}

impl QualityFacts {
    /// Reads the facts from a header that has been checked.
    pub(super) fn read(meta: ArchMetadata<'_>) -> Self {
        let tokenizer = meta.header().string("tokenizer.ggml.model").unwrap_or_default();
        let pre_tokenizer = meta.header().string("tokenizer.ggml.pre").unwrap_or_default();
        let window = meta.unsigned("attention.sliding_window").unwrap_or(0);
        Self {
            lacks_pre_tokenizer: BYTE_PAIR.contains(&tokenizer) && pre_tokenizer.is_empty(),
            unused_window: if meta.arch() == "phi3" { window } else { 0 },
            needs_flash_attention: meta.arch() == "minimax-m3",
        }
    }

    /// A sentence for each fault that matters for requests of up to `ctx_size` tokens.
    pub(super) fn warnings(&self, ctx_size: u64, flash_attention: bool) -> Vec<String> {
        let mut warnings = Vec::new();
        if self.lacks_pre_tokenizer {
            warnings.push(
                "the file names no pre-tokenizer (tokenizer.ggml.pre), so texts are split as for \
                 GPT-2 and answers may be bad: convert or download the model again"
                    .to_owned(),
            );
        }
        if self.unused_window > 0 && self.unused_window < ctx_size {
            warnings.push(format!(
                "llama.cpp does not use the sliding window of this model, so answers may get \
                 worse after {} tokens: use --ctx-size {0} for the best ones",
                self.unused_window
            ));
        }
        if self.needs_flash_attention && !flash_attention {
            warnings.push(
                "without flash attention the answers of this model are worse: leave out \
                 --flash-attn off"
                    .to_owned(),
            );
        }
        warnings
    }
}

/// The tokenizers for which llama.cpp reads the name of a pre-tokenizer.
const BYTE_PAIR: [&str; 3] = ["gpt2", "hybriddna", "whitespace"];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::llama::file::gguf::{Header, MetadataValue};

    fn warnings(
        arch: &str,
        entries: &[(&str, MetadataValue)],
        flash_attention: bool,
    ) -> Vec<String> {
        let header = Header::of(entries);
        QualityFacts::read(ArchMetadata::new(&header, arch)).warnings(4096, flash_attention)
    }

    fn text(text: &str) -> MetadataValue {
        MetadataValue::String(text.to_owned())
    }

    #[test]
    fn missing_pre_tokenizer_is_named_for_byte_pair_vocabularies() {
        let model = "tokenizer.ggml.model";
        let pre = "tokenizer.ggml.pre";
        for entries in [vec![(model, text("gpt2"))], vec![(model, text("gpt2")), (pre, text(""))]] {
            let found = warnings("llama", &entries, true);
            assert!(found.len() == 1 && found[0].contains(pre), "{found:?}");
        }
        for entries in [
            vec![(model, text("gpt2")), (pre, text("default"))],
            vec![(model, text("llama"))],
            vec![(model, text("gemma4"))],
        ] {
            assert_eq!(warnings("llama", &entries, true), [""; 0]);
        }
    }

    #[test]
    fn unused_window_matters_only_for_longer_contexts() {
        let window = |n| [("phi3.attention.sliding_window", MetadataValue::Integer(n))];
        let found = warnings("phi3", &window(2047), true);
        assert!(found.len() == 1 && found[0].contains("--ctx-size 2047"), "{found:?}");
        assert_eq!(warnings("phi3", &window(262_144), true), [""; 0]);
        assert_eq!(warnings("phi3", &window(0), true), [""; 0]);
    }

    #[test]
    fn missing_flash_attention_matters_only_where_a_model_needs_it() {
        assert_eq!(warnings("minimax-m3", &[], true), [""; 0]);
        assert_eq!(warnings("minimax-m3", &[], false).len(), 1);
        assert_eq!(warnings("llama", &[], false), [""; 0]);
    }
}
