//! The environment variables that a runner gets.
//!
//! An environment can hold secrets: API keys, tokens of cloud services. A runner gets only what
//! drivers, OpenMP, the C library and llama.cpp read.

use std::ffi::{OsStr, OsString};

/// Those of `variables` that a runner gets. `is_confined` says whether it is confined; otherwise it
/// gets all but the options of the daemon, which can be secrets.
pub fn runner_environment(
    variables: impl Iterator<Item = (OsString, OsString)>,
    is_confined: bool,
) -> Vec<(OsString, OsString)> {
    let is_passed = |name: &OsStr| match name.to_str() {
        Some(name) if is_for_tests(name) => true,
        Some(name) if is_confined => is_needed(name),
        Some(name) => !name.starts_with(OPTIONS),
        None => !is_confined,
    };
    variables.filter(|(name, _)| is_passed(name)).collect()
}

/// Whether a confined runner needs this variable.
fn is_needed(name: &str) -> bool {
    let is_secret = SECRETS.iter().any(|part| name.contains(part));
    !is_secret && (NAMES.contains(&name) || PREFIXES.iter().any(|prefix| name.starts_with(prefix)))
}

/// Whether tests disturb a runner through this variable, which only debug builds allow.
fn is_for_tests(name: &str) -> bool {
    cfg!(debug_assertions) && name.starts_with("INFERENCE_CORE_TEST_")
}

/// What the options of the daemon begin with.
const OPTIONS: &str = "INFERENCE_CORE_";

/// Variables of the C library, the dynamic linker, Rust and the desktop's folders.
const NAMES: [&str; 17] = [
    "DYLD_LIBRARY_PATH",
    "GLIBC_TUNABLES",
    "HOME",
    "LANG",
    "LD_LIBRARY_PATH",
    "LD_PRELOAD",
    "PATH",
    "RUST_BACKTRACE",
    "RUST_LIB_BACKTRACE",
    "TMPDIR",
    "TZ",
    "USER",
    "XDG_CACHE_HOME",
    "XDG_CONFIG_DIRS",
    "XDG_CONFIG_HOME",
    "XDG_DATA_DIRS",
    "XDG_DATA_HOME",
];

/// What the names of secrets contain, also among those of drivers: `NVIDIA_API_KEY`.
const SECRETS: [&str; 4] = ["KEY", "PASSWORD", "SECRET", "TOKEN"];

/// What the variables of drivers and libraries begin with.
const PREFIXES: [&str; 32] = [
    "AMD_",
    "ANV_",
    "ASAN_",
    "CUBLAS",
    "CUDA_",
    "GGML_",
    "GOMP_",
    "GPU_",
    "HIPBLASLT_",
    "HIP_",
    "HSA_",
    "KMP_",
    "LC_",
    "LIBOMP_",
    "LLAMA_",
    "LLVM_PROFILE_",
    "LSAN_",
    "MALLOC_",
    "MESA_",
    "MKL_",
    "NVIDIA_",
    "OMP_",
    "OPENBLAS_",
    "RADV_",
    "ROCBLAS_",
    "ROCM_",
    "ROCR_",
    "TSAN_",
    "UBSAN_",
    "VK_",
    "__GL_",
    "__NV_",
];

#[cfg(test)]
mod tests {
    use super::*;

    const VARIABLES: [&str; 10] = [
        "INFERENCE_CORE_API_KEY",
        "INFERENCE_CORE_LOG",
        "AWS_SECRET_ACCESS_KEY",
        "HF_TOKEN",
        "NVIDIA_API_KEY",
        "LLAMA_API_KEY",
        "HOME",
        "CUDA_VISIBLE_DEVICES",
        "OMP_WAIT_POLICY",
        "LC_ALL",
    ];

    fn passed(is_confined: bool) -> Vec<String> {
        let variables = VARIABLES.map(|name| (name.into(), "value".into()));
        let passed = runner_environment(variables.into_iter(), is_confined);
        passed.into_iter().map(|(name, _)| name.into_string().unwrap()).collect()
    }

    #[test]
    fn confined_runner_gets_no_secret_and_what_drivers_need() {
        assert_eq!(passed(true), VARIABLES[6..]);
    }

    #[test]
    fn runner_without_sandbox_gets_all_but_the_options_of_the_daemon() {
        assert_eq!(passed(false), VARIABLES[2..]);
    }
}
