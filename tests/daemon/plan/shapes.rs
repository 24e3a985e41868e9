//! Shapes of models whose plan is compared with llama.cpp: dense models and mixtures of experts,
//! sliding windows, tied and separate output matrices, all kinds of heads.

use crate::fixture::{Experts, Shape};

/// A model with sliding windows in most layers.
pub const WINDOWED: Shape = Shape {
    n_layers: 7,
    n_kv_heads: 1,
    head_size: 64,
    window: Some(128),
    is_tied: true,
    ..Shape { arch: "gemma3", ..DENSE }
};

const DENSE: Shape = Shape {
    arch: "llama",
    n_layers: 3,
    n_embd: 256,
    n_ff: 704,
    n_heads: 8,
    n_kv_heads: 2,
    head_size: 32,
    experts: None,
    window: None,
    is_tied: false,
};

/// The shapes with their names.
pub fn shapes() -> Vec<(&'static str, Shape)> {
    let experts = |n, n_used, n_ff| Some(Experts { n, n_used, n_ff });
    vec![
        ("dense", DENSE),
        ("multi-query", Shape { n_kv_heads: 1, is_tied: true, ..DENSE }),
        ("multi-head", Shape { n_kv_heads: 8, n_layers: 2, ..DENSE }),
        ("narrow feed-forward", Shape { n_embd: 512, n_ff: 512, head_size: 64, ..DENSE }),
        (
            "wide and shallow",
            Shape { n_layers: 2, n_embd: 512, n_ff: 1024, head_size: 64, ..DENSE },
        ),
        ("biased", Shape { arch: "qwen2", is_tied: true, n_ff: 1216, ..DENSE }),
        ("mixtral", Shape { experts: experts(8, 2, 704), ..DENSE }),
        ("shared expert", Shape { arch: "qwen2moe", experts: experts(16, 4, 96), ..DENSE }),
        (
            "experts only",
            Shape { arch: "qwen3moe", experts: experts(16, 4, 96), head_size: 64, ..DENSE },
        ),
        ("many small experts", Shape { arch: "qwen3moe", experts: experts(64, 8, 32), ..DENSE }),
        (
            "wide experts",
            Shape { arch: "qwen3moe", n_embd: 512, experts: experts(16, 8, 128), ..DENSE },
        ),
        (
            "large shared expert",
            Shape { arch: "qwen2moe", n_ff: 1408, experts: experts(16, 4, 176), ..DENSE },
        ),
        ("windows", WINDOWED),
        ("half windows", Shape { arch: "gemma2", window: Some(256), ..WINDOWED }),
    ]
}
