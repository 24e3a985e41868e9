//! Faults on demand, for tests of what happens when llama.cpp fails. Only in debug builds.
//!
//! An environment variable names a file. As soon as the file exists, the next step removes it and
//! does what it says: `abort`, `hang` (asleep), `spin` (computing), `fail`, or `escape`, which
//! tries to reach what a confined runner must not reach.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

#[cfg(target_os = "linux")]
use super::escape;

/// Aborts or hangs if the file of the variable for steps says so. Returns why the step is to fail,
/// if it is.
pub(in crate::llama) fn due_in_step() -> Option<String> {
    static FILE: OnceLock<Option<PathBuf>> = OnceLock::new();
    due(FILE.get_or_init(|| std::env::var_os(STEP_VARIABLE).map(PathBuf::from)).as_ref()?)
}

/// Aborts or hangs if the file of the variable for loads says so.
pub(in crate::llama) fn due_in_load() {
    if let Some(file) = std::env::var_os(LOAD_VARIABLE) {
        let _ = due(&PathBuf::from(file));
    }
}

/// The folders in which the files would be. A confined process must be allowed to read them.
pub fn fault_folders() -> Vec<PathBuf> {
    let files = [STEP_VARIABLE, LOAD_VARIABLE].into_iter().filter_map(std::env::var_os);
    files.filter_map(|file| Some(Path::new(&file).parent()?.to_owned())).collect()
}

fn due(file: &Path) -> Option<String> {
    let kind = fs::read_to_string(file).ok()?;
    fs::remove_file(file).ok()?;
    match kind.trim() {
        "abort" => std::process::abort(),
        "hang" => loop {
            std::thread::park();
        },
        "spin" => loop {
            std::hint::spin_loop();
        },
        #[cfg(target_os = "linux")]
        "escape" => {
            escape::attempt_all();
            None
        }
        _ => Some("a test asked for a failure".to_owned()),
    }
}

/// The variable that names the file for steps.
const STEP_VARIABLE: &str = "INFERENCE_CORE_TEST_FAULT";

/// The variable that names the file for loads.
const LOAD_VARIABLE: &str = "INFERENCE_CORE_TEST_LOAD_FAULT";
