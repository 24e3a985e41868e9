//! Records what the program is built from and for, which `--version` and `hello` report, and lists
//! the files of the web page, which the program contains (ADR-0052).
//!
//! This script runs after the build of llama.cpp. `tools/preflight`, whose build script runs before
//! it, checks for cmake and libclang.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

fn main() -> io::Result<()> {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed=CXXFLAGS");
    for name in ["HEAD", "logs/HEAD"] {
        // If the file were missing, cargo would run this script on every build.
        if Path::new(".git").join(name).exists() {
            println!("cargo:rerun-if-changed=.git/{name}");
        }
    }
    println!("cargo:rustc-env=INFERENCE_CORE_COMMIT={}", commit());
    println!("cargo:rustc-env=INFERENCE_CORE_BACKEND={}", backend());
    println!("cargo:rustc-env=INFERENCE_CORE_CPU_FLAGS={}", cpu_flags());
    write_web_files()
}

/// Writes the table of the web page's files for `src/server/web/files.rs`. It is empty before
/// `make web`.
fn write_web_files() -> io::Result<()> {
    let dist = Path::new("web/dist");
    // The folder above it changes when `make web` has run for the first time.
    for folder in [dist, Path::new("web")] {
        if folder.exists() {
            println!("cargo:rerun-if-changed={}", folder.display());
            break;
        }
    }
    let mut paths = Vec::new();
    if dist.exists() {
        find_files(&fs::canonicalize(dist)?, &mut paths)?;
    }
    paths.sort();
    let root = fs::canonicalize(dist).unwrap_or_default();
    let is_plain = |path: &&PathBuf| ![Some("br"), Some("gz")].contains(&extension(path));
    let rows: String = paths.iter().filter(is_plain).map(|path| web_file(path, &root)).collect();
    let out = std::env::var_os("OUT_DIR").ok_or(io::ErrorKind::NotFound)?;
    fs::write(Path::new(&out).join("web_files.rs"), format!("&[\n{rows}]\n"))
}

/// Adds the paths of all files below `folder` to `paths`.
fn find_files(folder: &Path, paths: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() { find_files(&path, paths)? } else { paths.push(path) }
    }
    Ok(())
}

fn extension(path: &Path) -> Option<&str> {
    path.extension().and_then(|extension| extension.to_str())
}

/// The row for the file at `path`, below `root`, with its compressed forms if they exist.
fn web_file(path: &Path, root: &Path) -> String {
    let parts = path.strip_prefix(root).unwrap_or(path).iter().map(|part| part.to_string_lossy());
    let name = parts.collect::<Vec<_>>().join("/");
    let form = |extension: &str| {
        let mut path = path.as_os_str().to_owned();
        path.push(extension);
        match Path::new(&path).exists() {
            true => format!("Some(include_bytes!({path:?}) as &[u8])"),
            false => "None".to_owned(),
        }
    };
    format!(
        "WebFile {{ path: {name:?}, plain: include_bytes!({path:?}), brotli: {}, gzip: {} }},\n",
        form(".br"),
        form(".gz")
    )
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
