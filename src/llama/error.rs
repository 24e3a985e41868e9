//! Why a model cannot be served, in one line each that says what to do.

use std::path::PathBuf;

use thiserror::Error;

/// Why a model cannot be served. The variants are told apart by the process's exit code.
#[derive(Debug, Error)]
pub enum LoadError {
    /// There is no such file, or it cannot be read.
    #[error("cannot read {}: {}", one_line(&path.to_string_lossy()), one_line(reason))]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why, and what to do.
        reason: String,
    },
    /// The file is not a GGUF that can generate text.
    #[error("{} cannot be used: {}", one_line(model), one_line(reason))]
    Unusable {
        /// The file's path, or the demo model's name.
        model: String,
        /// Why, and what to do.
        reason: String,
    },
    /// The options do not fit the model.
    #[error("{}", one_line(.0))]
    Options(String),
    /// The model is sound, but the machine has too little for it.
    #[error("{} does not fit this machine: {}", one_line(model), one_line(reason))]
    Resources {
        /// The file's path, or the demo model's name.
        model: String,
        /// What is missing, and what to do.
        reason: String,
    },
    /// Loading was given up because the server is leaving.
    #[error("loading was interrupted")]
    Interrupted,
}

/// `text` with its control characters spelled out. Names and words out of a file may hold line
/// breaks and a terminal's escapes, and programs read the messages line by line.
pub(super) fn one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            // The last two end a line for some readers.
            _ if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') => {
                line.extend(c.escape_default());
            }
            _ => line.push(c),
        }
    }
    line
}
