//! The error for arguments that cannot be used, in one line.

use clap::error::{ContextKind, ContextValue};
use thiserror::Error;

/// Arguments that cannot be used. The text is one line: what is wrong, with which value, and what
/// to do.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0}; see --help")]
pub struct UsageError(pub(super) String);

impl From<clap::Error> for UsageError {
    /// Takes clap's first paragraph, without the usage and the tips after it, and adds the most
    /// useful tip in parentheses.
    fn from(error: clap::Error) -> Self {
        let text = error.render().to_string();
        let paragraph = text.split("\n\n").next().unwrap_or_default();
        let words: Vec<&str> = paragraph.trim_start_matches("error: ").split_whitespace().collect();
        let line = words.join(" ");
        Self(match tip(&error) {
            Some(tip) => format!("{line} ({tip})"),
            None => line,
        })
    }
}

/// What the user probably meant.
fn tip(error: &clap::Error) -> Option<String> {
    if let Some(ContextValue::String(option)) = error.get(ContextKind::InvalidArg)
        && let Some((_, tip)) = OTHER_PROGRAMS.iter().find(|(names, _)| names.contains(&&**option))
    {
        return Some((*tip).to_owned());
    }
    let kinds = [ContextKind::SuggestedArg, ContextKind::SuggestedValue];
    let meant = kinds.into_iter().find_map(|kind| match error.get(kind)? {
        ContextValue::String(text) => Some(text),
        ContextValue::Strings(texts) => texts.first(),
        _ => None,
    })?;
    Some(format!("did you mean {meant}?"))
}

/// Options that llama.cpp's programs and others have, and what to type here. clap reports `-ngl 99`
/// as `-n`.
const OTHER_PROGRAMS: [(&[&str], &str); 4] = [
    (&["--port", "-p"], "the port is the last argument: inference-core MODEL 4000"),
    (&["--model", "-m"], "the model is an argument without a name: inference-core model.gguf"),
    (&["-c"], "did you mean --ctx-size?"),
    (
        &["-n", "--n-gpu-layers"],
        "layers on GPUs are --gpu-layers, tokens of an answer --max-tokens",
    ),
];
