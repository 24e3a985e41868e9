//! Defaults that depend on the machine and its environment.

/// Number of physical cores that this process may use, at least 1.
pub(super) fn physical_cores() -> u32 {
    u32::try_from(num_cpus::get_physical().min(num_cpus::get())).unwrap_or(1).max(1)
}

/// The value of `CUDA_VISIBLE_DEVICES`; `None` if it is not set.
pub(super) fn visible_gpus() -> Option<String> {
    std::env::var_os("CUDA_VISIBLE_DEVICES").map(|value| value.to_string_lossy().into_owned())
}
