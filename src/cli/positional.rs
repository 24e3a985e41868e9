//! The arguments without a name: `[MODEL] [PORT]` and `plan [MODEL]`.
//!
//! A single number is a port, and `plan` as the first word is a command. A file with such a name is
//! written `./3000` or `./plan`.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use super::error::UsageError;

/// The port that is used if none is given.
pub const DEFAULT_PORT: u16 = 3000;

/// Whether the arguments ask for a plan.
pub(super) fn is_plan(positional: &[OsString]) -> bool {
    positional.first().is_some_and(|word| word == "plan")
}

/// Refuses `model.gguf plan`, `4101 model.gguf` and a misspelt `paln model.gguf`, with the right
/// order.
pub(super) fn check_order(positional: &[OsString]) -> Result<(), UsageError> {
    let [first, second, ..] = positional else { return Ok(()) };
    let port = if is_number(first) { format!(" {}", first.display()) } else { String::new() };
    let (first, second) = (first.to_string_lossy(), second.to_string_lossy());
    // A model file has an extension or a folder, a port or a command has neither.
    let is_path = |word: &str| word.contains(['.', '/']);
    if second == "plan" {
        Err(UsageError(format!("plan must come first: `inference-core plan {first}`")))
    } else if !is_path(&first) && is_path(&second) {
        Err(UsageError(format!(
            "{first} is neither a model file nor plan: use `inference-core plan {second}` or \
             `inference-core {second}{port}`"
        )))
    } else {
        Ok(())
    }
}

/// The model and the port to serve; no model is the demo model.
pub(super) fn model_and_port(
    positional: &[OsString],
    demo: bool,
) -> Result<(Option<PathBuf>, u16), UsageError> {
    match (demo, positional) {
        (_, []) => Ok((None, DEFAULT_PORT)),
        (_, [port]) if is_number(port) => Ok((None, parse_port(port)?)),
        (true, [model, ..]) => Err(UsageError(format!(
            "--demo serves the built-in model, so {} cannot be served too",
            model.display()
        ))),
        (false, [model]) => Ok((Some(model.into()), DEFAULT_PORT)),
        (false, [model, port]) => Ok((Some(model.into()), parse_port(port)?)),
        (false, [_, _, extra, ..]) => Err(UsageError(format!(
            "unexpected argument {}: only a model and a port are expected",
            extra.display()
        ))),
    }
}

/// The model to plan for, from the arguments after `plan`; `None` is the demo model.
pub(super) fn model_to_plan(
    positional: &[OsString],
    demo: bool,
) -> Result<Option<PathBuf>, UsageError> {
    if let Some(port) = positional.iter().find(|word| parse_port(word).is_ok()) {
        return Err(UsageError(format!(
            "{0} is a port, and a plan needs none; for a file of that name write ./{0}",
            port.display()
        )));
    }
    Ok(model_and_port(positional, demo)?.0)
}

/// The error for `--vram` or `--json` without `plan`, with the command that was probably meant.
pub(super) fn plan_options_without_plan(positional: &[OsString]) -> UsageError {
    let model = positional.first().filter(|word| parse_port(word).is_err());
    let model = model.map_or_else(|| "--demo".into(), |model| model.to_string_lossy());
    UsageError(format!("--vram and --json need plan: `inference-core plan {model}`"))
}

/// Parses a port, from 0 to 65535. 0 picks any free port.
fn parse_port(word: &OsStr) -> Result<u16, UsageError> {
    let digits = word.to_str().filter(|_| is_number(word));
    digits.and_then(|text| text.parse().ok()).ok_or_else(|| {
        UsageError(format!("{} is not a port: it must be a number from 0 to 65535", word.display()))
    })
}

/// Whether `word` consists of ASCII digits.
fn is_number(word: &OsStr) -> bool {
    word.to_str()
        .is_some_and(|text| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()))
}
