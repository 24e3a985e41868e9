//! Refuses the numbers of a header that llama.cpp asserts on or cannot compute with.

use super::super::gguf::Header;
use super::super::layers::{self, MAX_LAYERS};

/// Most experts llama.cpp has room for (`LLAMA_MAX_EXPERTS`).
const MAX_EXPERTS: u64 = 1024;
/// The ways to stretch a context that llama.cpp knows; it asserts that the name is one of these.
const ROPE_SCALINGS: [&str; 4] = ["none", "linear", "yarn", "longrope"];
/// For these llama.cpp rotates by sections of a position, and asserts that one is not empty.
const SECTIONED: [&str; 6] =
    ["paddleocr", "qwen2vl", "qwen35", "qwen35moe", "qwen3vl", "qwen3vlmoe"];
/// For these llama.cpp takes one expert for none at all.
const ONE_EXPERT_IS_NONE: [&str; 2] = ["hunyuan_vl", "hunyuan-dense"];

/// For these llama.cpp asserts that there are experts. Others without are refused in its words.
const ALWAYS_EXPERTS: [&str; 5] = ["bailingmoe2", "glm4moe", "grovemoe", "lfm2moe", "smallthinker"];
/// For these llama.cpp sets up no KV cache, and asserts at the first step that it is an encoder's.
const EMBEDDING: [&str; 10] = [
    "bert",
    "modern-bert",
    "nomic-bert",
    "nomic-bert-moe",
    "neo-bert",
    "jina-bert-v2",
    "jina-bert-v3",
    "eurobert",
    "gemma-embedding",
    "wavtokenizer-dec",
];
/// These compute no text: decisions about tokens, for which llama.cpp sets up no KV cache either, and the
/// half of a voice.
const NO_TEXT: [&str; 2] = ["clef", "pockettts"];

/// For these llama.cpp divides a state's width by the number of its groups and of its time steps.
const GROUPED_STATES: [&str; 4] = ["mamba2", "granitehybrid", "nemotron_h", "nemotron_h_moe"];

/// What counts or measures something, which llama.cpp reads as 32 bits without a sign.
const SIZES: [&str; 14] = [
    "attention.head_count",
    "attention.head_count_kv",
    "attention.key_length",
    "attention.key_length_swa",
    "attention.sliding_window",
    "attention.value_length",
    "attention.value_length_swa",
    "embedding_length",
    "expert_feed_forward_length",
    "expert_used_count",
    "feed_forward_length",
    "shortconv.l_cache",
    "ssm.inner_size",
    "ssm.state_size",
];

/// The hyperparameters of an architecture.
struct Numbers<'a> {
    header: &'a Header,
    arch: &'a str,
}

/// Checks all of them. `n_layers` is the block count, which is known to be above zero.
///
/// # Errors
/// One line on the value and what it must be.
pub(in crate::llama::file) fn check(
    header: &Header,
    arch: &str,
    n_layers: u64,
) -> Result<(), String> {
    if EMBEDDING.contains(&arch) {
        return Err(format!(
            "it is an embedding model ({arch}); this server generates text token by token"
        ));
    }
    if NO_TEXT.contains(&arch) {
        return Err(format!(
            "it is a model that writes no text ({arch}); this server generates text token by token"
        ));
    }
    let numbers = Numbers { header, arch };
    numbers.check_sizes()?;
    numbers.check_states()?;
    numbers.check_layers(n_layers)?;
    numbers.check_experts()?;
    numbers.check_heads()?;
    numbers.check_rope()?;
    numbers.check_floats()?;
    layers::check(header, arch, n_layers)
        .map_err(|(key, value, rule)| numbers.wrong(key, value, rule.as_str()))?;
    if header.boolean(&format!("{arch}.attention.causal")) == Some(false) {
        return Err(
            "its attention looks ahead (attention.causal is false), so it is an embedding \
                    model; this server generates text token by token"
                .to_owned(),
        );
    }
    Ok(())
}

impl Numbers<'_> {
    fn get(&self, key: &str) -> Option<u64> {
        self.header.unsigned(&format!("{}.{key}", self.arch))
    }

    fn list(&self, key: &str) -> &[i128] {
        self.header.numbers(&format!("{}.{key}", self.arch))
    }

    /// The sentence on a value that cannot be.
    fn wrong(&self, key: &str, value: impl std::fmt::Display, rule: &str) -> String {
        format!(
            "its header says that {}.{key} is {value}; {rule}, convert or download it again",
            self.arch
        )
    }

    fn check_sizes(&self) -> Result<(), String> {
        let beyond = |key: &&str| {
            let number = self.list(key).iter().find(|&&n| u32::try_from(n).is_err());
            number.map(|n| self.wrong(key, n, "it must fit into 32 bits without a sign"))
        };
        SIZES.iter().find_map(beyond).map_or(Ok(()), Err)
    }

    /// llama.cpp divides by these before it looks at them.
    fn check_states(&self) -> Result<(), String> {
        let of_state: &[&str] = match GROUPED_STATES.contains(&self.arch) {
            true => &["ssm.group_count", "ssm.time_step_rank"],
            false => &[],
        };
        let parts = [("wkv.head_size", "embedding_length")].into_iter();
        for (key, whole) in parts.chain(of_state.iter().map(|&key| (key, "ssm.inner_size"))) {
            let (Some(n), Some(whole_n)) = (self.get(key), self.get(whole)) else { continue };
            if whole_n > 0 && (n == 0 || !whole_n.is_multiple_of(n)) {
                let rule = format!("it must be above zero and divide {whole}, {whole_n}");
                return Err(self.wrong(key, n, &rule));
            }
        }
        Ok(())
    }

    fn check_layers(&self, n_layers: u64) -> Result<(), String> {
        if n_layers > MAX_LAYERS {
            let rule = format!("llama.cpp supports {MAX_LAYERS}");
            return Err(self.wrong("block_count", n_layers, &rule));
        }
        let n_tensors = self.header.tensors.len() as u64;
        if n_layers > n_tensors {
            let rule = format!("it has {n_tensors} tensors");
            return Err(self.wrong("block_count", n_layers, &rule));
        }
        match self.get("nextn_predict_layers") {
            Some(n) if n >= n_layers => {
                let rule = format!("it must be less than the {n_layers} layers there are");
                Err(self.wrong("nextn_predict_layers", n, &rule))
            }
            _ => Ok(()),
        }
    }

    fn check_experts(&self) -> Result<(), String> {
        let mut count = self.get("expert_count").unwrap_or(0);
        let most_used = self.list("expert_used_count").iter().copied().max().unwrap_or(0);
        let mut used = u64::try_from(most_used).unwrap_or(0);
        let groups = self.get("expert_group_count").unwrap_or(0);
        let used_groups = self.get("expert_group_used_count").unwrap_or(0);
        if count <= 1 && ONE_EXPERT_IS_NONE.contains(&self.arch) {
            (count, used) = (0, 0);
        }
        if count == 0 && ALWAYS_EXPERTS.contains(&self.arch) {
            return Err(self.wrong("expert_count", count, "such a model has experts"));
        }
        if count > MAX_EXPERTS {
            let rule = format!("llama.cpp supports {MAX_EXPERTS}");
            return Err(self.wrong("expert_count", count, &rule));
        }
        if used > count || (used == 0 && count > 0) {
            let rule = match count {
                0 => "it must be 0 without experts".to_owned(),
                _ => format!("it must be from 1 to the {count} experts there are"),
            };
            return Err(self.wrong("expert_used_count", used, &rule));
        }
        // One group or none is all the experts together.
        if groups > 0 && (groups >= count || !count.is_multiple_of(groups)) {
            let rule =
                format!("it must be less than the {count} experts there are, and divide them");
            return Err(self.wrong("expert_group_count", groups, &rule));
        }
        if groups > 1 && !(1..groups).contains(&used_groups) {
            let rule = format!("it must be from 1 to less than the {groups} groups there are");
            return Err(self.wrong("expert_group_used_count", used_groups, &rule));
        }
        Ok(())
    }

    /// Heads of keys are shared by equally many heads of queries.
    fn check_heads(&self) -> Result<(), String> {
        let heads = self.list("attention.head_count");
        let shared = self.list("attention.head_count_kv");
        let of = |list: &[i128], i: usize| match list {
            [one] => *one,
            _ => list.get(i).copied().unwrap_or(0),
        };
        for i in 0..heads.len().max(shared.len()) {
            let (n, n_shared) = (of(heads, i), of(shared, i));
            // Some layers of mixed models have no attention.
            let is_none = n == 0 || (n_shared == 0 && shared.len() != 1);
            if !is_none && (n_shared <= 0 || n % n_shared != 0) {
                let rule = format!("it must divide the {n} heads there are");
                return Err(self.wrong("attention.head_count_kv", n_shared, &rule));
            }
        }
        self.check_keys(shared)
    }

    /// Where the layers differ, those that are there must fit: of many architectures llama.cpp
    /// looks at the first layer alone when it loads, and at each one when it computes.
    fn check_keys(&self, shared: &[i128]) -> Result<(), String> {
        if shared.iter().all(|n| Some(n) == shared.first()) {
            return Ok(());
        }
        for (layer, length) in self.header.tensors.iter().filter_map(|tensor| tensor.keys) {
            let Some(&n) = shared.get(layer) else { continue };
            let is_whole = n > 0 && i128::from(length) % n == 0;
            let size = if is_whole { i128::from(length) / n } else { 0 };
            if !is_whole || !self.head_sizes().any(|known| i128::from(known) == size) {
                let rule = format!("the keys of layer {layer} have {length} numbers");
                return Err(self.wrong("attention.head_count_kv", n, &rule));
            }
        }
        Ok(())
    }

    /// How many numbers a key has: there are two kinds of layers in some models.
    fn head_sizes(&self) -> impl Iterator<Item = u64> {
        let heads = self.list("attention.head_count").first().copied();
        let heads = heads.and_then(|n| u64::try_from(n).ok()).filter(|&n| n > 0);
        let width = self.get("embedding_length").unwrap_or(0);
        let own = self.get("attention.key_length").or_else(|| heads.map(|n| width / n));
        own.into_iter().chain(self.get("attention.key_length_swa"))
    }

    /// Rotations turn pairs of numbers within a head.
    fn check_rope(&self) -> Result<(), String> {
        let key = format!("{}.rope.scaling.type", self.arch);
        if let Some(name) = self.header.text(&key).filter(|name| !ROPE_SCALINGS.contains(name)) {
            let rule = format!("llama.cpp knows {}", ROPE_SCALINGS.join(", "));
            return Err(self.wrong("rope.scaling.type", name, &rule));
        }
        if self.header.has(&key) && self.header.text(&key).is_none() {
            return Err(self.wrong("rope.scaling.type", "not a name", "it must be one"));
        }
        let sections = self.list("rope.dimension_sections");
        if SECTIONED.contains(&self.arch) && sections.iter().take(3).all(|&n| n <= 0) {
            return Err(self.wrong("rope.dimension_sections", "empty", "one must be above zero"));
        }
        let heads = self.list("attention.head_count").first().copied();
        let Some(heads) = heads.and_then(|n| u64::try_from(n).ok()).filter(|&n| n > 0) else {
            return Ok(());
        };
        let width = self.get("embedding_length").unwrap_or(0) / heads;
        let head = self.get("attention.key_length").unwrap_or(width);
        self.check_rotation("rope.dimension_count", head)?;
        let head = self.get("attention.key_length_swa").unwrap_or(head);
        self.check_rotation("rope.dimension_count_swa", head)
    }

    fn check_rotation(&self, key: &str, head: u64) -> Result<(), String> {
        match self.get(key) {
            Some(n) if n > head || n % 2 != 0 => {
                let rule = format!("it must be even and at most the head's size, {head}");
                Err(self.wrong(key, n, &rule))
            }
            _ => Ok(()),
        }
    }

    fn check_floats(&self) -> Result<(), String> {
        let prefix = format!("{}.", self.arch);
        let own = self.header.floats().filter_map(|(key, n)| Some((key.strip_prefix(&prefix)?, n)));
        for (key, value) in own {
            let (is_right, rule) = if key.ends_with("epsilon") {
                // ggml asserts it at the first step.
                (value.is_finite() && value >= 0.0, "it must be a number, zero or more")
            } else if key.ends_with("rope.freq_base") || key.ends_with("rope.freq_base_swa") {
                (value.is_finite() && value > 0.0, "it must be a number above zero")
            } else {
                (!value.is_nan(), "it must be a number")
            };
            if !is_right {
                return Err(self.wrong(key, value, rule));
            }
        }
        Ok(())
    }
}
