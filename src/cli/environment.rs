//! Defaults that depend on the environment.

/// The value of `CUDA_VISIBLE_DEVICES`; `None` if it is not set.
pub(super) fn visible_gpus() -> Option<String> {
    std::env::var_os("CUDA_VISIBLE_DEVICES").map(|value| value.to_string_lossy().into_owned())
}
