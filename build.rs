//! Records what the program is built from and for, which `--version` and `hello` report.
//!
//! This script runs after the build of llama.cpp. `tools/preflight`, whose build script runs before
//! it, checks for cmake and libclang.

use std::process::Command;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed=CXXFLAGS");
    for name in ["HEAD", "logs/HEAD"] {
        // If the file were missing, cargo would run this script on every build.
        if std::path::Path::new(".git").join(name).exists() {
            println!("cargo:rerun-if-changed=.git/{name}");
        }
    }
    println!("cargo:rustc-env=INFERENCE_CORE_COMMIT={}", commit());
    println!("cargo:rustc-env=INFERENCE_CORE_BACKEND={}", backend());
    println!("cargo:rustc-env=INFERENCE_CORE_CPU_FLAGS={}", cpu_flags());
}

fn commit() -> String {
    let output = Command::new("git").args(["rev-parse", "--short=12", "HEAD"]).output().ok();
    output
        .filter(|output| output.status.success())
        .and_then(|output| String::from_utf8(output.stdout).ok())
        .map_or_else(|| "unknown".to_owned(), |text| text.trim().to_owned())
}

fn backend() -> String {
    let has = |feature: &str| std::env::var_os(format!("CARGO_FEATURE_{feature}")).is_some();
    let gpu = ["CUDA", "ROCM", "METAL", "VULKAN"].into_iter().find(|feature| has(feature));
    gpu.unwrap_or("CPU").to_lowercase()
}

fn cpu_flags() -> String {
    let flags: Vec<String> = std::env::var("CARGO_CFG_TARGET_FEATURE")
        .unwrap_or_default()
        .split(',')
        .filter(|flag| KNOWN_FLAGS.contains(flag) && !is_turned_off(flag))
        .map(str::to_uppercase)
        .collect();
    if flags.is_empty() { "none".to_owned() } else { flags.join(" ") }
}

/// Whether ggml's C++ is compiled without an instruction set that the CPU has
/// (`-U__AVX512FP16__`).
fn is_turned_off(flag: &str) -> bool {
    let option = format!("-U__{}__", flag.to_uppercase());
    std::env::var("CXXFLAGS").is_ok_and(|flags| flags.split_whitespace().any(|word| word == option))
}

/// The instruction sets for which llama.cpp has kernels.
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
