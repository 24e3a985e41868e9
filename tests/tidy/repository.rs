//! The files that the checks read.

use std::fs;
use std::path::Path;
use std::sync::LazyLock;

use super::tree::Tree;

/// Folders with Rust code that is not `src`.
const OTHER_RUST: [&str; 3] = ["tests", "examples", "fuzz"];

/// Files and folders with text, in which private words are looked for.
const TEXTS: [&str; 21] = [
    ".cargo",
    ".ci",
    "BUILD.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "Cargo.toml",
    "Makefile",
    "README.md",
    "build.rs",
    "clippy.toml",
    "deny.toml",
    "docs",
    "examples",
    "fuzz",
    "packaging",
    "scripts",
    "src",
    "test_client.py",
    "tests",
    "toolchain",
    "tools",
];

/// Texts that may contain private words.
const EXEMPT: [&str; 12] = [
    // They state the rule, or quote earlier wording.
    "docs/STYLE.md",
    "docs/adr",
    "tests/tidy/allowed.rs",
    // Written by `make bench`.
    "docs/BENCHMARKS.md",
    "docs/benchmarks",
    // What the demo model learns.
    "tools/demo-model/corpus.py",
    "tools/demo-model/dialogues.py",
    "tools/demo-model/grammar.py",
    "tools/demo-model/knowledge.py",
    "tools/demo-model/stories.py",
    "tools/demo-model/words.py",
    // Code of GCC.
    "toolchain/include",
];

/// Endings of files that are no text for readers.
const NO_TEXT: [&str; 5] = ["gguf", "svg", "pyc", "lock", "png"];

/// Every file in `src`.
pub(crate) static SOURCES: LazyLock<Tree> = LazyLock::new(|| {
    let sources = rust_files(&["src"]);
    assert!(sources.len() > 30, "src has only {} files: did it move?", sources.len());
    Tree::new(&sources)
});

/// Path and text of every Rust file, wherever it is.
pub(crate) fn all_rust_files() -> Vec<(String, String)> {
    rust_files(&[&["src", "build.rs"][..], &OTHER_RUST].concat())
}

/// Path and text of the Rust files outside `src` that use the crate as a library.
pub(crate) fn other_rust_files() -> Vec<(String, String)> {
    rust_files(&OTHER_RUST)
}

/// Path and text of everything that people read.
pub(crate) fn texts() -> Vec<(String, String)> {
    let is_text = |path: &str| {
        let ending = path.rsplit('.').next().unwrap_or_default();
        !NO_TEXT.contains(&ending) && !EXEMPT.iter().any(|exempt| path.starts_with(exempt))
    };
    read_all(&TEXTS, &is_text)
}

/// The text of one file.
pub(crate) fn read(path: &str) -> String {
    let full = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    fs::read_to_string(full).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn rust_files(roots: &[&str]) -> Vec<(String, String)> {
    read_all(roots, &|path| path.ends_with(".rs"))
}

fn read_all(roots: &[&str], is_wanted: &dyn Fn(&str) -> bool) -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut paths = Vec::new();
    let mut pending: Vec<String> = roots.iter().map(|&path| path.to_owned()).collect();
    while let Some(path) = pending.pop() {
        let full = root.join(&path);
        if full.is_dir() {
            for entry in fs::read_dir(&full).unwrap() {
                let name = entry.unwrap().file_name().to_string_lossy().into_owned();
                if !name.starts_with('.') && !SKIPPED.contains(&&name[..]) {
                    pending.push(format!("{path}/{name}"));
                }
            }
        } else if full.is_file() && is_wanted(&path) {
            paths.push(path);
        }
    }
    paths.sort();
    paths.into_iter().map(|path| (path.clone(), read(&path))).collect()
}

/// Folders of what tools install or make.
const SKIPPED: [&str; 3] = ["__pycache__", "node_modules", "target"];
