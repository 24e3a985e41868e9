//! Records commit, backend and CPU flags of the build, which `--version` and `hello` report.
//!
//! `tools/preflight` checks for cmake and libclang. Its build script runs before llama.cpp is
//! built, this one afterwards.

use std::process::Command;

/// Instruction sets for which llama.cpp has kernels.
const KNOWN_FLAGS: [&str; 11] = [
    "avx",
    "avx2",
    "f16c",
    "fma",
    "avx512f",
    "avx512vnni",
    "avx512bf16",
    "avx512fp16",
    "neon",
    "dotprod",
    "i8mm",
];

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed=CXXFLAGS");
    for name in ["HEAD", "logs/HEAD"] {
        // If the file did not exist, cargo would run this script on every build.
        if std::path::Path::new(".git").join(name).exists() {
            println!("cargo:rerun-if-changed=.git/{name}");
        }
    }
    let flags: Vec<String> = std::env::var("CARGO_CFG_TARGET_FEATURE")
        .unwrap_or_default()
        .split(',')
        .filter(|flag| KNOWN_FLAGS.contains(flag) && !is_hidden(flag))
        .map(str::to_uppercase)
        .collect();
    let flags = if flags.is_empty() { "none".to_owned() } else { flags.join(" ") };
    println!("cargo:rustc-env=INFERENCE_CORE_COMMIT={}", commit());
    let has = |feature: &str| std::env::var_os(format!("CARGO_FEATURE_{feature}")).is_some();
    let backend = ["CUDA", "ROCM", "METAL", "VULKAN"].into_iter().find(|feature| has(feature));
    let backend = backend.unwrap_or("CPU").to_lowercase();
    println!("cargo:rustc-env=INFERENCE_CORE_BACKEND={backend}");
    println!("cargo:rustc-env=INFERENCE_CORE_CPU_FLAGS={flags}");
}

/// Whether `CXXFLAGS` hides an instruction set of the CPU from ggml, as `-U__AVX512FP16__` does.
fn is_hidden(flag: &str) -> bool {
    let hidden = format!("-U__{}__", flag.to_uppercase());
    std::env::var("CXXFLAGS").is_ok_and(|flags| flags.split_whitespace().any(|word| word == hidden))
}

/// Abbreviated commit id, or `unknown` outside a git checkout.
fn commit() -> String {
    let output = Command::new("git").args(["rev-parse", "--short=12", "HEAD"]).output().ok();
    output
        .filter(|output| output.status.success())
        .and_then(|output| String::from_utf8(output.stdout).ok())
        .map_or_else(|| "unknown".to_owned(), |text| text.trim().to_owned())
}
