//! Which of llama.cpp's two ways to compute attention suits a model on a CPU.

/// llama.cpp's flash attention on a CPU computes this many numbers of a head at once, and those
/// beyond a multiple of it one by one (`GGML_F16_STEP` in `ggml-cpu/simd-mappings.h`).
pub(super) const HEAD_STEP: u64 = 32;

/// Whether to use flash attention; `None` leaves it to llama.cpp, which uses it where the backend
/// can. `is_elsewhere` is said where layers lie on a card; `is_packed` where the KV cache is not of
/// floats, which only flash attention reads.
pub(super) fn choice(
    asked: Option<bool>,
    has_odd_heads: bool,
    is_elsewhere: bool,
    is_packed: bool,
) -> Option<bool> {
    asked.or((has_odd_heads && !is_elsewhere && !is_packed).then_some(false))
}
