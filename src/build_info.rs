//! Facts about this build, recorded by `build.rs`.

/// The version of this program.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
/// The git commit it was built from; `unknown` outside a git checkout.
pub const COMMIT: &str = env!("INFERENCE_CORE_COMMIT");
/// The llama.cpp backend it was built for: `cpu`, `cuda`, `vulkan`, `rocm` or `metal`.
pub const BACKEND: &str = env!("INFERENCE_CORE_BACKEND");
/// [`BACKEND`] of a build without GPU support.
pub const CPU_BACKEND: &str = "cpu";
/// The vector instructions it was built for. It does not run on a CPU that lacks one.
pub const CPU_FLAGS: &str = env!("INFERENCE_CORE_CPU_FLAGS");
