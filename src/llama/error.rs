//! Why a model cannot be served, in one line each that says what to do.

use std::path::PathBuf;

use thiserror::Error;

/// Why a model cannot be served. The variants are told apart by the process's exit code.
#[derive(Debug, Error)]
pub enum LoadError {
    /// There is no such file, or it cannot be read.
    #[error("cannot read {}: {reason}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why, and what to do.
        reason: String,
    },
    /// The file is not a GGUF that can generate text.
    #[error("{model} cannot be served: {reason}")]
    Unusable {
        /// The file's path, or the demo model's name.
        model: String,
        /// Why, and what to do.
        reason: String,
    },
    /// The options do not fit the model.
    #[error("{0}")]
    Options(String),
    /// The model is sound, but the machine has too little for it.
    #[error("{model} does not fit this machine: {reason}")]
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
