//! The errors of describing, planning and loading a model. Each is one line that says what to do.

use std::path::PathBuf;

use thiserror::Error;

use crate::domain::LoadFailure;

/// Why a model cannot be served. Each variant has an exit code of its own.
#[derive(Debug, Error)]
pub enum LoadError {
    /// The file does not exist or cannot be read.
    #[error("cannot read {}: {}", one_line(&path.to_string_lossy()), one_line(reason))]
    Unreadable {
        /// Path of the file.
        path: PathBuf,
        /// Why, and what to do.
        reason: String,
    },
    /// The file is not a GGUF model that can generate text.
    #[error("{} cannot be used: {}", one_line(model), one_line(reason))]
    Unusable {
        /// Path of the file, or the name of the demo model.
        model: String,
        /// Why, and what to do.
        reason: String,
    },
    /// An option does not fit the model.
    #[error("{}", one_line(.0))]
    Options(String),
    /// The model is valid, but this machine has too little memory for it.
    #[error("{} does not fit this machine: {}", one_line(model), one_line(reason))]
    Resources {
        /// Path of the file, or the name of the demo model.
        model: String,
        /// What does not fit, and what to do.
        reason: String,
    },
    /// Loading was cancelled because the server is shutting down.
    #[error("loading was interrupted")]
    Interrupted,
}

impl LoadError {
    /// The exit code of a program that ends with this error, from sysexits.h.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Options(_) => 64,
            Self::Unusable { .. } => 65,
            Self::Unreadable { .. } => 66,
            Self::Interrupted => 70,
            Self::Resources { .. } => 71,
        }
    }
}

impl From<LoadError> for LoadFailure {
    fn from(error: LoadError) -> Self {
        Self { exit_code: error.exit_code(), message: error.to_string() }
    }
}

/// `text` with its control characters escaped, cut to [`MAX_LINE_BYTES`]. Strings from a file may
/// contain line breaks, terminal escape sequences and megabytes, while every message must be one
/// harmless line.
pub(super) fn one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len().min(MAX_LINE_BYTES));
    for c in text.chars() {
        if line.len() >= MAX_LINE_BYTES {
            line.push_str(" (shortened)");
            break;
        }
        match c {
            // Some programs treat U+2028 and U+2029 as line breaks.
            _ if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') => {
                line.extend(c.escape_default());
            }
            _ => line.push(c),
        }
    }
    line
}

/// Length in bytes after which a line is cut. No message of ours is that long.
const MAX_LINE_BYTES: usize = 1000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_escaped_and_long_texts_are_cut() {
        assert_eq!(one_line("é\u{1b}\n\u{2028}"), "é\\u{1b}\\n\\u{2028}");
        let line = one_line(&"\u{85}é".repeat(1 << 20));
        assert!(line.len() < MAX_LINE_BYTES + 30, "{} bytes", line.len());
        assert!(line.ends_with(" (shortened)"), "{line}");
    }
}
