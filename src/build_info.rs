//! What this program was built from and for, recorded by `build.rs`.

/// The version of this program.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
/// The commit it was built from, `unknown` outside a checkout.
pub const COMMIT: &str = env!("INFERENCE_CORE_COMMIT");
/// The backend that computes: `cpu`, `cuda`, `vulkan`, …
pub const BACKEND: &str = env!("INFERENCE_CORE_BACKEND");
/// The vector instructions it was built for; it does not run on a machine that lacks one.
pub const CPU_FLAGS: &str = env!("INFERENCE_CORE_CPU_FLAGS");
