//! Looks for what the build of llama.cpp needs: cmake, make, a C++ compiler, libclang and its headers.
//!
//! Everything there: silence. Something missing: one `error:` line that names it and the package
//! to install, and the build stops. A variable in the way of a workaround: a warning. The search is
//! never stricter than the one that llama.cpp's build script makes later, and systems whose habits are
//! not known here pass unjudged.

use std::env;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Read here, and able to change the verdict. `PATH` is left out on purpose: it differs between
/// a shell and an editor, and a rerun after a success would rebuild the daemon for nothing.
const READ: [&str; 10] = [
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

/// Package managers: the command that shows which one is here, and how it installs.
const MANAGERS: [(&str, &str); 4] = [
    ("apt-get", "apt-get install"),
    ("dnf", "dnf install"),
    ("pacman", "pacman -S"),
    ("brew", "brew install"),
];

/// A missing thing and its packages, in the order of [`MANAGERS`].
struct Missing {
    name: String,
    packages: [&'static str; 4],
}

fn main() {
    for name in READ {
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
    if let Some(warning) = unmended() {
        println!("cargo::warning={warning}");
    }
}

/// What to say where `.cargo/config.toml` could not put its folder of headers into `CPATH`, because
/// that is set, on a processor that needs them.
fn unmended() -> Option<String> {
    let has_amx = fs::read_to_string("/proc/cpuinfo").is_ok_and(|text| text.contains("amx_tile"));
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../toolchain/include");
    let folder = folder.canonicalize().ok()?;
    let path = variable("CPATH").unwrap_or_default();
    let is_named =
        env::split_paths(&path).any(|path| path.canonicalize().ok().as_ref() == Some(&folder));
    (has_amx && !is_named).then(|| {
        format!(
            "this processor has AMX, for which GCC before 11.5, 12.4 and 13.3 miscompiles \
             llama.cpp: add {} to CPATH, or the daemon may die at its first prompt",
            folder.display()
        )
    })
}

/// One line: what is missing, and how this machine gets it.
fn advice(missing: &[Missing]) -> String {
    let names: Vec<&str> = missing.iter().map(|thing| thing.name.as_str()).collect();
    let here = MANAGERS.iter().any(|(command, _)| runs(command));
    let install: Vec<String> = MANAGERS
        .iter()
        .enumerate()
        .filter(|(_, (command, _))| !here || runs(command))
        .map(|(column, (_, install))| {
            let packages: Vec<&str> = missing.iter().map(|thing| thing.packages[column]).collect();
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

/// The library that reads C headers for the bindings, and the headers it brings along.
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
    let places = places();
    if !places.iter().any(|place| contains(place, is_libclang)) {
        return Some(Missing { name: "libclang".into(), packages });
    }
    // Some distributions split the library from the headers (stddef.h and the like). A clang
    // that runs knows its own, and who passes arguments by hand is taken at their word.
    let told = variable("BINDGEN_EXTRA_CLANG_ARGS").is_some() || variable("CLANG_PATH").is_some();
    let headers = told || runs("clang") || places.iter().any(|place| has_headers(place));
    (!headers).then(|| Missing { name: "libclang's own headers (stddef.h)".into(), packages })
}

/// Folders in which libclang may lie, most telling first.
fn places() -> Vec<PathBuf> {
    let mut places = Vec::new();
    let config = variable("LLVM_CONFIG_PATH").unwrap_or_else(|| "llvm-config".into());
    if let Some(folder) = answer(&config, &["--libdir"]) {
        places.push(folder);
    }
    if let Some(folder) = answer("xcode-select", &["--print-path"]) {
        places.push(folder.join("Toolchains/XcodeDefault.xctoolchain/usr/lib"));
        places.push(folder.join("usr/lib"));
    }
    for name in ["LD_LIBRARY_PATH", "LIBRARY_PATH"] {
        places.extend(env::split_paths(&env::var_os(name).unwrap_or_default()));
    }
    for root in ["/usr", "/usr/local"] {
        for library in children(Path::new(root), |name| name.starts_with("lib")) {
            with_two_levels(library, &mut places);
        }
        for llvm in children(Path::new(root), |name| name.starts_with("llvm")) {
            places.extend(children(&llvm, |name| name.starts_with("lib")));
        }
    }
    for homebrew in ["/usr/local/opt", "/opt/homebrew/opt", "/home/linuxbrew/.linuxbrew/opt"] {
        for llvm in children(Path::new(homebrew), |name| name.starts_with("llvm")) {
            with_two_levels(llvm.join("lib"), &mut places);
        }
    }
    places.push("/Library/Developer/CommandLineTools/usr/lib".into());
    places
}

fn with_two_levels(folder: PathBuf, places: &mut Vec<PathBuf>) {
    for child in children(&folder, |_| true) {
        let grandchildren = children(&child, |_| true);
        places.push(child);
        places.extend(grandchildren);
    }
    places.push(folder);
}

/// `libclang.so`, `libclang.so.1`, `libclang-14.so.14.0.6`, `libclang.dylib`; not `libclang-cpp`.
fn is_libclang(name: &str) -> bool {
    let Some(rest) = name.strip_prefix("libclang") else { return false };
    !rest.starts_with("-cpp")
        && (rest == ".dylib"
            || ((rest.starts_with('.') || rest.starts_with('-'))
                && (rest.ends_with(".so") || rest.contains(".so."))))
}

/// Whether a folder of libraries has clang's headers in it (`clang/14/include/stddef.h`).
fn has_headers(place: &Path) -> bool {
    children(&place.join("clang"), |_| true)
        .iter()
        .any(|version| version.join("include/stddef.h").is_file())
}

fn contains(folder: &Path, wanted: fn(&str) -> bool) -> bool {
    names(folder).iter().any(|name| wanted(name))
}

fn children(folder: &Path, wanted: fn(&str) -> bool) -> Vec<PathBuf> {
    let named = names(folder).into_iter().filter(|name| wanted(name));
    named.map(|name| folder.join(name)).filter(|path| path.is_dir()).collect()
}

fn names(folder: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect()
}

/// Whether a program of this name is on the `PATH`.
fn runs(name: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path).any(|folder| folder.join(name).is_file())
}

/// What a program prints, as a path.
fn answer(program: impl AsRef<OsStr>, arguments: &[&str]) -> Option<PathBuf> {
    let output = Command::new(program).args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let line = text.lines().next()?.trim();
    (!line.is_empty()).then(|| PathBuf::from(line))
}

/// A variable that is set and not empty.
fn variable(name: &str) -> Option<std::ffi::OsString> {
    env::var_os(name).filter(|value| !value.is_empty())
}
