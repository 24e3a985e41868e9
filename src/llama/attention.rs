//! Which of llama.cpp's two ways to compute attention suits a model on this machine.

use llama_cpp_2::model::LlamaModel;

/// llama.cpp's flash attention on a CPU computes this many numbers of a head at once, and those
/// beyond a multiple of it one by one (`GGML_F16_STEP` in `ggml-cpu/simd-mappings.h`).
const HEAD_STEP: u32 = 32;

/// Whether flash attention computes heads of this model's size slowly on a CPU.
pub(super) fn is_slow(model: &LlamaModel) -> bool {
    let head = u32::try_from(model.n_embd()).unwrap_or(0) / model.n_head().max(1);
    !head.is_multiple_of(HEAD_STEP)
}

/// Whether to use flash attention; `None` leaves it to llama.cpp.
pub(super) fn choice(model: &LlamaModel) -> Option<bool> {
    is_slow(model).then_some(false)
}
