//! What the header says about one tensor.
//!
//! The role of a tensor follows from its name. Whether ggml repacks it, and whether ggml can
//! compute with its type, is decided when the tensor table is read.

/// A tensor according to the header of its file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::llama) struct Tensor {
    /// The tensor's name, unique within a model.
    pub(in crate::llama) name: String,
    /// Number of weights.
    pub(in crate::llama) elements: u64,
    /// Size in bytes; `None` if this ggml does not know the type.
    pub(in crate::llama) bytes: Option<u64>,
    /// Index of the model's file that holds the tensor, from 0.
    pub(in crate::llama) file: usize,
    /// Offset of the tensor's data in that file.
    pub(in crate::llama) offset: u64,
    /// What the tensor is for.
    pub(in crate::llama) role: TensorRole,
    /// For a key projection (`attn_k`): its layer, and the number of values in the keys that it
    /// computes for a token, over all heads. `None` for other tensors.
    pub(in crate::llama) keys: Option<(usize, u64)>,
    /// Size in bytes of the repacked copy that ggml computes from on this CPU; `None` if ggml
    /// computes from the data in the file. Token embeddings are copied only if they also serve as
    /// the output matrix.
    pub(in crate::llama) repacked_bytes: Option<u64>,
    /// Whether llama.cpp aborts on this tensor unless repacking is turned off for the model.
    pub(in crate::llama) forbids_repacking: bool,
    /// Why ggml cannot compute with the tensor's type; `None` if it can.
    pub(in crate::llama) type_problem: Option<String>,
}

impl Tensor {
    /// A tensor of `bytes` bytes in a model with one file.
    #[cfg(test)]
    pub(in crate::llama) fn of(
        role: TensorRole,
        offset: u64,
        bytes: u64,
        repacked_bytes: Option<u64>,
    ) -> Self {
        Self {
            name: String::new(),
            elements: bytes,
            bytes: Some(bytes),
            file: 0,
            offset,
            role,
            keys: None,
            repacked_bytes,
            forbids_repacking: false,
            type_problem: None,
        }
    }

    /// Whether ggml needs only the repacked copy, so that the data in the file can be released.
    pub(in crate::llama) fn is_replaced_by_copy(&self) -> bool {
        self.repacked_bytes.is_some() && self.role != TensorRole::Embedding
    }
}

/// What a tensor is for, according to its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::llama) enum TensorRole {
    /// Part of a layer that every token uses.
    Layer(u32),
    /// Expert weights of a layer; a token uses a few of the experts.
    Experts(u32),
    /// The token embeddings.
    Embedding,
    /// Any other table that is looked up before the first layer, such as position embeddings.
    Input,
    /// The output matrix.
    Output,
    /// A tensor outside the layers: norms, RoPE factors.
    Other,
}

impl TensorRole {
    /// The role of the tensor called `name`.
    pub(super) fn from_name(name: &str) -> Self {
        match name {
            "token_embd.weight" => return Self::Embedding,
            "output.weight" => return Self::Output,
            "position_embd.weight" | "token_types.weight" | "per_layer_token_embd.weight" => {
                return Self::Input;
            }
            _ => {}
        }
        let layer = name.strip_prefix("blk.").and_then(|rest| rest.split_once('.'));
        let layer = layer.and_then(|(index, kind)| Some((index.parse().ok()?, kind)));
        match layer {
            Some((layer, kind)) if kind.contains("_exps") || kind.contains("_chexps") => {
                Self::Experts(layer)
            }
            Some((layer, _)) => Self::Layer(layer),
            None => Self::Other,
        }
    }
}
