//! Checks for what the build of llama.cpp needs: cmake, make, a C++ compiler, libclang and its
//! headers.
//!
//! If something is missing, the build stops with one `error:` line that names it and the package
//! to install. If `CPATH` disables a workaround, there is a warning. The checks are never stricter
//! than those of llama.cpp's own build script, which runs later, and are skipped on systems other
//! than Linux and macOS.

use std::env;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The environment variables on which the result depends. `PATH` is left out on purpose: it
/// differs between a shell and an editor, and rerunning this script would rebuild the daemon.
const VARIABLES: [&str; 10] = [
    "BINDGEN_EXTRA_CLANG_ARGS",
    "CLANG_PATH",
    "CMAKE",
    "CMAKE_GENERATOR",
    "CPATH",
    "CXX",
    "LD_LIBRARY_PATH",
    "LIBCLANG_PATH",
    "LIBRARY_PATH",
    "LLVM_CONFIG_PATH",
];

/// Package managers: the command by which one is recognised, and how it installs.
const MANAGERS: [(&str, &str); 4] = [
    ("apt-get", "apt-get install"),
    ("dnf", "dnf install"),
    ("pacman", "pacman -S"),
    ("brew", "brew install"),
];

/// A missing tool and the packages that provide it, in the order of [`MANAGERS`].
struct Missing {
    name: String,
    packages: [&'static str; 4],
}

fn main() {
    for name in VARIABLES {
        println!("cargo::rerun-if-env-changed={name}");
    }
    println!("cargo::rerun-if-changed=build.rs");
    if !cfg!(any(target_os = "linux", target_os = "macos")) {
        return;
    }
    let missing: Vec<Missing> =
        [cmake(), make(), compiler(), libclang()].into_iter().flatten().collect();
    if !missing.is_empty() {
        println!("cargo::error={}", advice(&missing));
    }
    if let Some(warning) = amx_warning() {
        println!("cargo::warning={warning}");
    }
}

/// A warning if the CPU has AMX and `CPATH` lacks the folder with the corrected header of GCC.
/// `.cargo/config.toml` sets `CPATH` to that folder, unless the user has set it.
fn amx_warning() -> Option<String> {
    let has_amx = fs::read_to_string("/proc/cpuinfo").is_ok_and(|text| text.contains("amx_tile"));
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../toolchain/include");
    let folder = folder.canonicalize().ok()?;
    let path = variable("CPATH").unwrap_or_default();
    let is_named =
        env::split_paths(&path).any(|path| path.canonicalize().ok().as_ref() == Some(&folder));
    (has_amx && !is_named).then(|| {
        format!(
            "this CPU has AMX, for which GCC before 11.5, 12.4 and 13.3 miscompiles llama.cpp: \
             add {} to CPATH, or the daemon may crash at its first prompt",
            folder.display()
        )
    })
}

/// One line: what is missing, and how to install it on this machine.
fn advice(missing: &[Missing]) -> String {
    let names: Vec<&str> = missing.iter().map(|tool| tool.name.as_str()).collect();
    let is_any_found = MANAGERS.iter().any(|(command, _)| runs(command));
    let install: Vec<String> = MANAGERS
        .iter()
        .enumerate()
        .filter(|(_, (command, _))| !is_any_found || runs(command))
        .map(|(column, (_, install))| {
            let packages: Vec<&str> = missing.iter().map(|tool| tool.packages[column]).collect();
            format!("`{install} {}`", packages.join(" "))
        })
        .collect();
    format!("not found: {}. Install with {}", names.join(", "), install.join(" or "))
}

fn cmake() -> Option<Missing> {
    let found = variable("CMAKE").is_some() || runs("cmake");
    (!found).then(|| Missing { name: "cmake".into(), packages: ["cmake"; 4] })
}

fn make() -> Option<Missing> {
    let found = variable("CMAKE_GENERATOR").is_some() || runs("make") || runs("gmake");
    (!found).then(|| Missing { name: "make".into(), packages: ["make"; 4] })
}

fn compiler() -> Option<Missing> {
    let found =
        variable("CXX").is_some() || ["c++", "g++", "clang++"].iter().any(|name| runs(name));
    (!found).then(|| Missing {
        name: "a C++ compiler".into(),
        packages: ["g++", "gcc-c++", "gcc", "llvm"],
    })
}

/// Checks for libclang, which bindgen uses to read C headers, and for clang's own headers.
fn libclang() -> Option<Missing> {
    let packages = ["libclang-dev", "clang-devel", "clang", "llvm"];
    if let Some(path) = variable("LIBCLANG_PATH") {
        let path = PathBuf::from(path);
        let found = path.is_file() || contains(&path, is_libclang);
        return (!found).then(|| Missing {
            name: format!("libclang in LIBCLANG_PATH={}", path.display()),
            packages,
        });
    }
    let folders = library_folders();
    if !folders.iter().any(|folder| contains(folder, is_libclang)) {
        return Some(Missing { name: "libclang".into(), packages });
    }
    // Some distributions package the library without the headers (stddef.h and others). An
    // installed clang finds its own, and a user who sets these variables is trusted.
    let is_configured =
        variable("BINDGEN_EXTRA_CLANG_ARGS").is_some() || variable("CLANG_PATH").is_some();
    let has_headers =
        is_configured || runs("clang") || folders.iter().any(|folder| has_clang_headers(folder));
    (!has_headers).then(|| Missing { name: "libclang's own headers (stddef.h)".into(), packages })
}

/// Folders in which libclang may be installed, the most specific first.
fn library_folders() -> Vec<PathBuf> {
    let mut folders = Vec::new();
    let config = variable("LLVM_CONFIG_PATH").unwrap_or_else(|| "llvm-config".into());
    if let Some(folder) = printed_path(&config, &["--libdir"]) {
        folders.push(folder);
    }
    if let Some(folder) = printed_path("xcode-select", &["--print-path"]) {
        folders.push(folder.join("Toolchains/XcodeDefault.xctoolchain/usr/lib"));
        folders.push(folder.join("usr/lib"));
    }
    for name in ["LD_LIBRARY_PATH", "LIBRARY_PATH"] {
        folders.extend(env::split_paths(&env::var_os(name).unwrap_or_default()));
    }
    for root in ["/usr", "/usr/local"] {
        for library in children(Path::new(root), |name| name.starts_with("lib")) {
            with_two_levels(library, &mut folders);
        }
        for llvm in children(Path::new(root), |name| name.starts_with("llvm")) {
            folders.extend(children(&llvm, |name| name.starts_with("lib")));
        }
    }
    for homebrew in ["/usr/local/opt", "/opt/homebrew/opt", "/home/linuxbrew/.linuxbrew/opt"] {
        for llvm in children(Path::new(homebrew), |name| name.starts_with("llvm")) {
            with_two_levels(llvm.join("lib"), &mut folders);
        }
    }
    folders.push("/Library/Developer/CommandLineTools/usr/lib".into());
    folders
}

/// Adds `folder` and its children and grandchildren to `folders`.
fn with_two_levels(folder: PathBuf, folders: &mut Vec<PathBuf>) {
    for child in children(&folder, |_| true) {
        let grandchildren = children(&child, |_| true);
        folders.push(child);
        folders.extend(grandchildren);
    }
    folders.push(folder);
}

/// Whether this is the file name of libclang: `libclang.so`, `libclang.so.1`,
/// `libclang-14.so.14.0.6`, `libclang.dylib`, but not `libclang-cpp`.
fn is_libclang(name: &str) -> bool {
    let Some(rest) = name.strip_prefix("libclang") else { return false };
    !rest.starts_with("-cpp")
        && (rest == ".dylib"
            || ((rest.starts_with('.') || rest.starts_with('-'))
                && (rest.ends_with(".so") || rest.contains(".so."))))
}

/// Whether a folder of libraries contains clang's headers (`clang/14/include/stddef.h`).
fn has_clang_headers(folder: &Path) -> bool {
    children(&folder.join("clang"), |_| true)
        .iter()
        .any(|version| version.join("include/stddef.h").is_file())
}

/// Whether `folder` has an entry whose name is wanted.
fn contains(folder: &Path, wanted: fn(&str) -> bool) -> bool {
    names(folder).iter().any(|name| wanted(name))
}

/// The folders in `folder` whose names are wanted.
fn children(folder: &Path, wanted: fn(&str) -> bool) -> Vec<PathBuf> {
    let named = names(folder).into_iter().filter(|name| wanted(name));
    named.map(|name| folder.join(name)).filter(|path| path.is_dir()).collect()
}

/// The names of all entries of `folder`, none if it cannot be read.
fn names(folder: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect()
}

/// Whether a program of this name is in `PATH`.
fn runs(name: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path).any(|folder| folder.join(name).is_file())
}

/// The first line that a program prints, as a path.
fn printed_path(program: impl AsRef<OsStr>, arguments: &[&str]) -> Option<PathBuf> {
    let output = Command::new(program).args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let line = text.lines().next()?.trim();
    (!line.is_empty()).then(|| PathBuf::from(line))
}

/// The value of an environment variable that is set and not empty.
fn variable(name: &str) -> Option<std::ffi::OsString> {
    env::var_os(name).filter(|value| !value.is_empty())
}
