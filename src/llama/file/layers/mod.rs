//! What the layers of a model keep of the tokens before, as the header says.
//!
//! Most keep the keys and values of every token in the KV cache, some those of a window, some a
//! state of fixed size for each sequence, and some use what an earlier layer keeps. The rules are
//! llama.cpp's own (`load_arch_hparams` in `src/models`, `llama_model::create_memory`), and a
//! header that runs into one of its assertions on them is refused. Bytes are left to
//! [`crate::llama::fit`].

use super::gguf::Header;

/// Most layers llama.cpp has room for (`LLAMA_MAX_LAYERS`).
pub(in crate::llama) const MAX_LAYERS: u64 = 512;

/// What one layer keeps.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::llama) struct Kept {
    /// Numbers of a token's keys in the KV cache; none where the layer has no part in it.
    pub(in crate::llama) keys: u64,
    /// Numbers of its values.
    pub(in crate::llama) values: u64,
    /// Whether it sees only a window.
    pub(in crate::llama) is_windowed: bool,
    /// Numbers of the state of a sequence.
    pub(in crate::llama) state: u64,
}

/// What all layers keep.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::llama) struct Memory {
    pub(in crate::llama) layers: Vec<Kept>,
    /// Tokens that windowed layers see.
    pub(in crate::llama) window: u64,
    /// Numbers of one head's keys, in the layers that see everything.
    pub(in crate::llama) head: u64,
    /// Numbers of a head's keys and values, in each kind of layer there is.
    lengths: Vec<u64>,
}

impl Memory {
    /// Reads it for `n_layers` layers. Numbers beyond 32 bits have been refused before.
    pub(in crate::llama) fn read(header: &Header, arch: &str, n_layers: u32) -> Self {
        let numbers = Numbers { header, arch };
        let n = n_layers as usize;
        let windows = windows(header, arch, n);
        let heads = numbers.each("attention.head_count", 0).unwrap_or(1).max(1);
        let head = numbers.one("embedding_length").unwrap_or(0) / heads;
        let all = Lengths::read(&numbers, "", Lengths { keys: head, values: head });
        let windowed = Lengths::read(&numbers, "_swa", all);
        // Latent attention computes the values from the keys it keeps.
        let is_latent = ["attention.key_length_mla", "attention.value_length_mla"]
            .iter()
            .all(|key| numbers.one(key).unwrap_or(0) > 0);
        let state = state(&numbers, heads);
        let layers = (0..n).map(|i| {
            let is_windowed = windows.as_ref().is_some_and(|windows| windows.is_in(i));
            let own_heads = numbers.each("attention.head_count", i).unwrap_or(heads);
            let kv_heads = numbers.each("attention.head_count_kv", i).unwrap_or(own_heads);
            let lengths = if is_windowed { windowed } else { all };
            let (has_cache, has_state) = numbers.kinds(i, n, kv_heads, state);
            Kept {
                keys: if has_cache { kv_heads * lengths.keys } else { 0 },
                values: if has_cache && !is_latent { kv_heads * lengths.values } else { 0 },
                is_windowed,
                state: if has_state { state } else { 0 },
            }
        });
        let layers: Vec<_> = layers.collect();
        let mut lengths = vec![all.keys, all.values];
        if layers.iter().any(|layer| layer.is_windowed) {
            lengths.extend([windowed.keys, windowed.values]);
        }
        Self { layers, window: windows.map_or(0, |windows| windows.size), head: all.keys, lengths }
    }

    /// Whether the keys and the values of every head are a multiple of `n` numbers.
    pub(in crate::llama) fn fills_blocks_of(&self, n: u64) -> bool {
        self.lengths.iter().all(|length| length.is_multiple_of(n))
    }
}

/// Refuses what llama.cpp asserts on: windows that no layer has, shared caches that are not there.
///
/// # Errors
/// The key, its value and the rule it breaks.
pub(in crate::llama) fn check(
    header: &Header,
    arch: &str,
    n_layers: u64,
) -> Result<(), (&'static str, u64, String)> {
    let numbers = Numbers { header, arch };
    let n = n_layers.min(MAX_LAYERS) as usize;
    if FULL_EVERY.iter().any(|(name, _)| *name == arch)
        && numbers.one("full_attention_interval") == Some(0)
    {
        return Err(("full_attention_interval", 0, "it must be above zero".to_owned()));
    }
    let Some(windows) = windows(header, arch, n) else { return Ok(()) };
    if !(0..n).any(|i| windows.is_in(i)) {
        let rule = format!("{arch} is a model of windows, and no layer has one by that");
        let period = numbers.one(PATTERN).unwrap_or(0);
        return Err((PATTERN, period, rule));
    }
    let Some(kept) = numbers.layers_with_own_cache(n) else { return Ok(()) };
    let shares = |is_windowed: bool| (kept..n).any(|i| windows.is_in(i) == is_windowed);
    let has_source = |back: usize, is_windowed: bool| {
        kept.checked_sub(back).is_some_and(|i| windows.is_in(i) == is_windowed)
    };
    if kept < n
        && (kept < 2
            || (shares(true) && !has_source(2, true))
            || (shares(false) && !has_source(1, false)))
    {
        let rule = "the last two layers before those that share must be one with a window and \
                    one without"
            .to_owned();
        return Err(("attention.shared_kv_layers", (n - kept) as u64, rule));
    }
    Ok(())
}

const PATTERN: &str = "attention.sliding_window_pattern";

/// The window llama.cpp gives to models of these architectures that do not say theirs.
const FIXED_WINDOWS: [(&str, u64); 3] = [("gemma2", 4096), ("llama4", 8192), ("exaone4", 4096)];

/// Architectures whose windowed layers llama.cpp takes from a rule where the file has no list:
/// every so many layers one sees everything (`load_swa_pattern`).
const PERIODS: [(&str, usize); 16] = [
    ("afmoe", 4),
    ("cohere2", 4),
    ("cohere2moe", 4),
    ("exaone-moe", 4),
    ("exaone4", 4),
    ("gemma2", 2),
    ("gemma3", 6),
    ("gemma3n", 5),
    ("gpt-oss", 2),
    ("laguna", 4),
    ("llama4", 4),
    ("mellum", 4),
    ("muse-glimmer", 4),
    ("olmo2", 4),
    ("plamo3", 8),
    ("smallthinker", 4),
];

/// Of these every period's first layer sees everything, of others the last.
const WHOLE_FIRST: [&str; 3] = ["cohere2moe", "laguna", "smallthinker"];

/// Of these all layers with attention have the window.
const ALWAYS_WINDOWED: [&str; 2] = ["lfm2", "lfm2moe"];

/// Architectures with a state in all layers but every so manieth, and how many that is where the
/// file does not say.
const FULL_EVERY: [(&str, u64); 5] =
    [("qwen3next", 4), ("qwen35", 4), ("qwen35moe", 4), ("qwen4exp", 4), ("minimax-01", 8)];

/// Architectures without attention.
const WITHOUT_ATTENTION: [&str; 6] = ["mamba", "mamba2", "rwkv6", "rwkv6qwen2", "rwkv7", "arwkv7"];

/// Layers of gemma3n that have a cache of their own.
const GEMMA3N_CACHES: usize = 20;

/// The windowed layers.
struct Windows {
    size: u64,
    layers: Vec<bool>,
}

impl Windows {
    fn is_in(&self, layer: usize) -> bool {
        self.layers.get(layer).copied().unwrap_or(false)
    }
}

/// The windowed layers of a model; `None` where every layer sees everything.
fn windows(header: &Header, arch: &str, n_layers: usize) -> Option<Windows> {
    let numbers = Numbers { header, arch };
    let said = numbers.one("attention.sliding_window");
    let fixed = FIXED_WINDOWS.iter().find(|(name, _)| *name == arch).map(|&(_, window)| window);
    let size = match (arch, said, fixed) {
        // llama.cpp reads these windows and does without.
        ("phi3", ..) | ("llama4", Some(0), _) => return None,
        ("llama4", _, fixed) => fixed?,
        ("exaone4", ..) if n_layers != 64 => return None,
        (_, said, fixed) => said.or(fixed)?,
    };
    let period = PERIODS.iter().find(|(name, _)| *name == arch).map(|&(_, period)| period);
    let layers = if ALWAYS_WINDOWED.contains(&arch) {
        vec![true; n_layers]
    } else if let Some(list) = header.list(&format!("{arch}.{PATTERN}")) {
        list.iter().take(n_layers).map(|&windowed| windowed != 0).collect()
    } else {
        let said = numbers.one(PATTERN).and_then(|n| usize::try_from(n).ok());
        let period = said.filter(|_| period.is_some()).or(period)?;
        let whole = if WHOLE_FIRST.contains(&arch) { 0 } else { period.saturating_sub(1) };
        // A period of nothing is one that never ends.
        (0..n_layers).map(|i| period == 0 || i % period != whole).collect()
    };
    (size > 0).then_some(Windows { size, layers })
}

/// Numbers of one head.
#[derive(Clone, Copy)]
struct Lengths {
    keys: u64,
    values: u64,
}

impl Lengths {
    fn read(numbers: &Numbers<'_>, kind: &str, otherwise: Self) -> Self {
        let length = |of: &str| numbers.one(&format!("attention.{of}_length{kind}"));
        Self {
            keys: length("key").unwrap_or(otherwise.keys),
            values: length("value").unwrap_or(otherwise.values),
        }
    }
}

/// Numbers of the state of a sequence in a layer that has one, as `n_embd_r` and `n_embd_s` in
/// `llama-hparams.cpp` count them.
fn state(numbers: &Numbers<'_>, heads: u64) -> u64 {
    let number = |key: &str| numbers.one(key).unwrap_or(0);
    let width = number("embedding_length");
    let (wkv, short) = (number("wkv.head_size"), number("shortconv.l_cache"));
    let (kda, kernel) = (number("kda.head_dim"), number("ssm.conv_kernel"));
    let (inner, size) = (number("ssm.inner_size"), number("ssm.state_size"));
    if wkv > 0 {
        width.saturating_mul(numbers.one("token_shift_count").unwrap_or(2).saturating_add(wkv))
    } else if short > 0 {
        width.saturating_mul(short - 1)
    } else if kda > 0 {
        let kernel = if kernel > 0 { kernel - 1 } else { 3 };
        heads.saturating_mul(kda).saturating_mul(kernel.saturating_mul(3).saturating_add(kda))
    } else {
        let groups = number("ssm.group_count").saturating_mul(size).saturating_mul(2);
        let convolved = kernel.saturating_sub(1).saturating_mul(inner.saturating_add(groups));
        convolved.saturating_add(inner.saturating_mul(size))
    }
}

/// How many of the layers are computed here. Those behind them guess ahead (`nextn`), and llama.cpp loads
/// them only where it is to guess with them (`load_mtp`).
pub(in crate::llama) fn n_computed(header: &Header, arch: &str, n_layers: usize) -> usize {
    let guessing = header.unsigned(&format!("{arch}.nextn_predict_layers")).unwrap_or(0);
    n_layers.saturating_sub(usize::try_from(guessing).unwrap_or(0))
}

/// The numbers of an architecture.
struct Numbers<'a> {
    header: &'a Header,
    arch: &'a str,
}

impl Numbers<'_> {
    fn one(&self, key: &str) -> Option<u64> {
        self.header.unsigned(&format!("{}.{key}", self.arch))
    }

    /// The number of a layer, where one stands for all or each layer has its own.
    fn each(&self, key: &str, layer: usize) -> Option<u64> {
        let numbers = self.header.numbers(&format!("{}.{key}", self.arch));
        let number = numbers.get(layer).or_else(|| numbers.last());
        number.and_then(|&n| u64::try_from(n).ok())
    }

    /// Layers with a cache of their own, where the others use theirs.
    fn layers_with_own_cache(&self, n_layers: usize) -> Option<usize> {
        match self.arch {
            "gemma3n" => Some(GEMMA3N_CACHES.min(n_layers)),
            "gemma4" => {
                let sharing = self.one("attention.shared_kv_layers").unwrap_or(0);
                Some(n_layers.saturating_sub(usize::try_from(sharing).unwrap_or(usize::MAX)))
            }
            _ => None,
        }
    }

    /// Whether a layer has a part in the KV cache, and whether it has a state.
    fn kinds(&self, layer: usize, n_layers: usize, kv_heads: u64, state: u64) -> (bool, bool) {
        let arch = self.arch;
        let is_without = |kept: usize| layer >= kept;
        if layer >= n_computed(self.header, arch, n_layers)
            || self.layers_with_own_cache(n_layers).is_some_and(is_without)
        {
            return (false, false);
        }
        if WITHOUT_ATTENTION.contains(&arch) {
            return (false, true);
        }
        if arch == "falcon-h1" {
            return (true, true);
        }
        if let Some(&(_, every)) = FULL_EVERY.iter().find(|(name, _)| *name == arch) {
            let list = self.header.list(&format!("{arch}.attention.recurrent_layers"));
            let every = self.one("full_attention_interval").unwrap_or(every).max(1);
            let has_state = match list {
                Some(list) => list.get(layer).is_some_and(|&is| is != 0),
                None => !(layer as u64 + 1).is_multiple_of(every),
            };
            return (!has_state, has_state);
        }
        // Some layers of these only feed forward.
        let feeds = arch.starts_with("nemotron_h")
            && self.each("feed_forward_length", layer).unwrap_or(0) > 0;
        (kv_heads > 0 && !feeds, kv_heads == 0 && state > 0 && !feeds)
    }
}

#[cfg(test)]
mod tests;
