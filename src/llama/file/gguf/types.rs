//! Which ggml types a tensor may have, by how ggml computes with it.
//!
//! llama.cpp loads a tensor of any type. If the operation that uses it does not support the type,
//! the first step aborts or calls a null kernel. Converters follow the rules below, so a file that
//! breaks them is damaged or was made by hand.

use std::ffi::CStr;

use llama_cpp_sys_2 as sys;

/// Why ggml cannot compute with the tensor `name` of `n_dims` dimensions in the type `type_id`;
/// `None` if it can. A type that ggml does not know passes, since llama.cpp rejects it.
pub(super) fn problem(name: &str, n_dims: u32, type_id: u32) -> Option<String> {
    if type_id >= sys::GGML_TYPE_COUNT || type_id == sys::GGML_TYPE_F32 {
        return None;
    }
    let operand = operand(name);
    if INDICES.contains(&operand) {
        return None;
    }
    let reason = if is_elementwise(name, operand, n_dims) {
        "norms, biases and other vectors must be f32"
    } else if !has_dot_product(type_id) {
        "ggml cannot multiply matrices of this type"
    } else {
        return None;
    };
    Some(format!(
        "its tensor {name} has the type {}, but {reason}; convert the model again or download \
         another file of it",
        type_name(type_id)
    ))
}

/// The part of a tensor's name between layer and suffix: `attn_q` in `blk.3.attn_q.weight`.
fn operand(name: &str) -> &str {
    let name = name.strip_suffix(".weight").unwrap_or(name);
    let layer = name.strip_prefix("blk.").and_then(|rest| rest.split_once('.'));
    layer.map_or(name, |(_, operand)| operand)
}

/// Whether ggml uses the tensor element by element, so that its type must be F32.
fn is_elementwise(name: &str, operand: &str, n_dims: u32) -> bool {
    let is_vector = n_dims <= 1 && !ONE_ROW_MATRICES.contains(&operand);
    // Matches `attn_norm_2` and `hc_norm`, but not `ffn_norm_exps`, which may be a matrix.
    let is_norm =
        operand.trim_end_matches(|c: char| c.is_ascii_digit() || c == '_').ends_with("norm");
    let is_suffixed = [".bias", ".scale"].iter().any(|suffix| name.ends_with(suffix));
    is_vector || is_norm || is_suffixed || ELEMENTWISE.contains(&operand)
}

/// Whether ggml can multiply matrices of the type on the CPU.
fn has_dot_product(type_id: u32) -> bool {
    // SAFETY: the id is below the number of types, which is the length of ggml's table; the table
    // is constant.
    unsafe {
        let traits = sys::ggml_get_type_traits_cpu(type_id as sys::ggml_type);
        traits.as_ref().is_some_and(|traits| traits.vec_dot.is_some())
    }
}

/// ggml's name of the type, or its number if it has no name.
fn type_name(type_id: u32) -> String {
    // SAFETY: the id is below the number of types, and names are static C strings or null.
    unsafe {
        let name = sys::ggml_type_name(type_id as sys::ggml_type);
        if name.is_null() {
            return type_id.to_string();
        }
        CStr::from_ptr(name).to_string_lossy().into_owned()
    }
}

/// Tensors that hold indices instead of weights. The models that use them check their types.
const INDICES: [&str; 3] = ["ffn_gate_tid2eid", "d2t", "masked_embd_ordering"];
/// One-row matrices that are stored as vectors: the gate of shared experts.
const ONE_ROW_MATRICES: [&str; 1] = ["ffn_gate_inp_shexp"];
/// Tensors of any shape that are added, multiplied element by element or passed to an operation
/// that asserts F32. Vectors need no entry here.
const ELEMENTWISE: [&str; 4] = ["ssm_a", "ssm_d", "ssm_conv1d", "shortconv.conv"];

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
    fn matrix_may_have_any_type_that_ggml_multiplies() {
        let refused: Vec<u32> = [9, 15].into_iter().chain(24..=28).collect();
        for name in MATRICES {
            for type_id in 0..sys::GGML_TYPE_COUNT {
                // Numbers of removed types, which have no kernels.
                let is_removed = matches!(type_id, 4 | 5 | 31..=33 | 36..=38);
                let has_problem = problem(name, 2, type_id).is_some();
                let expected = refused.contains(&type_id) || is_removed;
                assert_eq!(has_problem, expected, "{name}: {type_id}");
            }
        }
    }

    #[test]
    fn vector_must_be_f32() {
        for name in VECTORS {
            assert_eq!(problem(name, 1, sys::GGML_TYPE_F32), None);
            for type_id in 1..sys::GGML_TYPE_COUNT {
                let message = problem(name, 1, type_id).unwrap_or_default();
                assert!(message.contains(name) && message.contains("f32"), "{name}: {message}");
            }
        }
        let f16 = sys::GGML_TYPE_F16;
        // Norms and the tensors of a state-space scan, even if they are stored as matrices.
        for name in ["blk.0.attn_q_norm.weight", "blk.0.ssm_conv1d.weight", "blk.0.ssm_a"] {
            assert!(problem(name, 2, f16).is_some(), "{name}");
        }
    }

    #[test]
    fn gates_indices_stacks_and_unknown_types_are_accepted() {
        let (f16, i32, i64) = (sys::GGML_TYPE_F16, sys::GGML_TYPE_I32, sys::GGML_TYPE_I64);
        assert_eq!(problem("blk.0.ffn_gate_inp_shexp.weight", 1, f16), None);
        assert_eq!(problem("blk.0.ffn_gate_tid2eid.weight", 2, i32), None);
        assert_eq!(problem("d2t", 1, i64), None);
        assert_eq!(problem("blk.0.attn_k_b.weight", 3, f16), None);
        assert_eq!(problem("token_embd.weight", 2, sys::GGML_TYPE_COUNT), None);
    }
}
