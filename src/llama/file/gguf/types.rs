//! Which types of numbers a tensor may have, by what is computed with it.
//!
//! llama.cpp loads a tensor of any type. At the first step it aborts, or jumps to a kernel that is
//! not there, where ggml's operation does not know the type. Converters follow the rules below, so
//! what breaks them is damaged or was made by hand.

use std::ffi::CStr;

use llama_cpp_sys_2 as sys;

/// Tensors that are indices and not weights. Models with them check their types themselves.
const INDICES: [&str; 3] = ["ffn_gate_tid2eid", "d2t", "masked_embd_ordering"];

/// Matrices of one row, which are written as vectors: the gate of shared experts.
const ONE_ROW: [&str; 1] = ["ffn_gate_inp_shexp"];

/// Tensors that are added, multiplied element by element or handed to an operation that asserts
/// F32, whatever their shape. Vectors need no name.
const ELEMENTWISE: [&str; 4] = ["ssm_a", "ssm_d", "ssm_conv1d", "shortconv.conv"];

/// Says what is wrong where ggml cannot compute with a tensor `name` of `n_dims` dimensions in the
/// type `kind`. A type that ggml does not know is left to llama.cpp, which refuses it.
pub(super) fn complaint(name: &str, n_dims: u32, kind: u32) -> Option<String> {
    if kind >= sys::GGML_TYPE_COUNT || kind == sys::GGML_TYPE_F32 {
        return None;
    }
    let role = role(name);
    if INDICES.contains(&role) {
        return None;
    }
    let reason = if is_elementwise(name, role, n_dims) {
        "norms, biases and other vectors must be f32"
    } else if !has_dot_product(kind) {
        "no matrix can be multiplied in it"
    } else {
        return None;
    };
    Some(format!(
        "its tensor {name} has the type {}, and {reason}: convert the model again, or download \
         another file of it",
        type_name(kind)
    ))
}

/// The part of a name between layer and suffix: `attn_q` of `blk.3.attn_q.weight`.
fn role(name: &str) -> &str {
    let name = name.strip_suffix(".weight").unwrap_or(name);
    let layer = name.strip_prefix("blk.").and_then(|rest| rest.split_once('.'));
    layer.map_or(name, |(_, role)| role)
}

fn is_elementwise(name: &str, role: &str, n_dims: u32) -> bool {
    let is_vector = n_dims <= 1 && !ONE_ROW.contains(&role);
    // `attn_norm_2`, `hc_norm`; not `ffn_norm_exps`, which nothing forbids to be a matrix.
    let is_norm = role.trim_end_matches(|c: char| c.is_ascii_digit() || c == '_').ends_with("norm");
    let is_suffixed = [".bias", ".scale"].iter().any(|suffix| name.ends_with(suffix));
    is_vector || is_norm || is_suffixed || ELEMENTWISE.contains(&role)
}

fn has_dot_product(kind: u32) -> bool {
    // SAFETY: the id is below the number of types, which is what ggml's table is indexed by; the
    // table is constant.
    unsafe {
        let traits = sys::ggml_get_type_traits_cpu(kind as sys::ggml_type);
        traits.as_ref().is_some_and(|traits| traits.vec_dot.is_some())
    }
}

fn type_name(kind: u32) -> String {
    // SAFETY: the id is below the number of types, and names are static C strings or null.
    unsafe {
        let name = sys::ggml_type_name(kind as sys::ggml_type);
        if name.is_null() {
            return kind.to_string();
        }
        CStr::from_ptr(name).to_string_lossy().into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MATRICES: [&str; 5] = [
        "token_embd.weight",
        "output.weight",
        "blk.0.attn_q.weight",
        "blk.11.ffn_down_exps.weight",
        "blk.0.ffn_gate_inp.weight",
    ];
    const VECTORS: [&str; 6] = [
        "output_norm.weight",
        "blk.0.attn_norm.weight",
        "blk.0.attn_norm_2.weight",
        "blk.0.attn_q.bias",
        "blk.0.exp_probs_b.bias",
        "rope_freqs.weight",
    ];

    #[test]
    fn a_matrix_may_have_whatever_ggml_multiplies() {
        let bad: Vec<u32> = [9, 15].into_iter().chain(24..=28).collect();
        for name in MATRICES {
            for kind in 0..sys::GGML_TYPE_COUNT {
                // Numbers of types that ggml has given up stay for llama.cpp to refuse.
                let is_gone = matches!(kind, 4 | 5 | 31..=33 | 36..=38);
                let is_refused = complaint(name, 2, kind).is_some();
                assert_eq!(is_refused, bad.contains(&kind) || is_gone, "{name}: {kind}");
            }
        }
    }

    #[test]
    fn a_vector_is_f32() {
        for name in VECTORS {
            assert_eq!(complaint(name, 1, sys::GGML_TYPE_F32), None);
            for kind in 1..sys::GGML_TYPE_COUNT {
                let message = complaint(name, 1, kind).unwrap_or_default();
                assert!(message.contains(name) && message.contains("f32"), "{name}: {message}");
            }
        }
        let f16 = sys::GGML_TYPE_F16;
        // A norm is one also where it is written as a matrix, and so is what scans a state.
        for name in ["blk.0.attn_q_norm.weight", "blk.0.ssm_conv1d.weight", "blk.0.ssm_a"] {
            assert!(complaint(name, 2, f16).is_some(), "{name}");
        }
    }

    #[test]
    fn what_models_have_besides_is_taken() {
        let (f16, i32, i64) = (sys::GGML_TYPE_F16, sys::GGML_TYPE_I32, sys::GGML_TYPE_I64);
        assert_eq!(complaint("blk.0.ffn_gate_inp_shexp.weight", 1, f16), None);
        assert_eq!(complaint("blk.0.ffn_gate_tid2eid.weight", 2, i32), None);
        assert_eq!(complaint("d2t", 1, i64), None);
        assert_eq!(complaint("blk.0.attn_k_b.weight", 3, f16), None);
        assert_eq!(complaint("token_embd.weight", 2, sys::GGML_TYPE_COUNT), None);
    }
}
