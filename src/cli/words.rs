//! What is said of arguments that cannot be used, in one line each.

use std::ffi::OsString;

use clap::error::{ContextKind, ContextValue};

/// The options that count tokens are named so by clap.
const TOKENS: &str = "<TOKENS>";

/// What others call the port.
const PORT_OPTIONS: [&str; 2] = ["--port", "-p"];

/// How Rust says that a text is no whole number.
const NO_NUMBERS: [&str; 2] =
    ["invalid digit found in string", "cannot parse integer from empty string"];

/// How clap says that a number is out of its range.
const NOT_IN: &str = " is not in ";

/// How it says that there is no upper bound.
const NO_LIMIT: &str = "4294967295";

/// The arguments, where a value that begins with a minus and a digit is joined to its option: clap
/// would take it for an option and say nothing of the one that it was meant for.
pub(super) fn joined(args: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let mut joined: Vec<OsString> = Vec::new();
    for arg in args {
        let is_negative = arg
            .as_encoded_bytes()
            .strip_prefix(b"-")
            .is_some_and(|rest| rest.first().is_some_and(u8::is_ascii_digit));
        match joined.last_mut().filter(|last| is_negative && is_bare_option(last)) {
            Some(option) => {
                option.push("=");
                option.push(arg);
            }
            None => joined.push(arg),
        }
    }
    joined
}

/// Whether this is an option without a value.
fn is_bare_option(arg: &OsString) -> bool {
    let bytes = arg.as_encoded_bytes();
    bytes.starts_with(b"-")
        && bytes.last().is_some_and(u8::is_ascii_alphabetic)
        && !bytes.contains(&b'=')
}

/// The right order for a command that is misspelt or stands behind the model; `None` where neither
/// is so.
pub(super) fn misplaced(positional: &[OsString]) -> Option<String> {
    let [first, second, ..] = positional else { return None };
    let shown = first.to_string_lossy();
    if second == "plan" {
        return Some(format!("plan comes first: `inference-core plan {shown}`"));
    }
    // A model file has an ending or a folder, and a port has neither.
    let is_path = |word: &str| word.contains(['.', '/']);
    let model = second.to_string_lossy();
    let is_port = !shown.is_empty() && shown.bytes().all(|byte| byte.is_ascii_digit());
    let port = if is_port { format!(" {shown}") } else { String::new() };
    (!is_path(&shown) && is_path(&model)).then(|| {
        format!(
            "{shown} is neither a model file nor plan: use `inference-core plan {model}` or \
             `inference-core {model}{port}`"
        )
    })
}

/// What clap says, without its headings and the rest of its hints.
pub(super) fn one_line(error: &clap::Error) -> String {
    let text = error.render().to_string();
    let paragraph = text.split("\n\n").next().unwrap_or_default();
    let words: Vec<&str> = paragraph.split_whitespace().collect();
    let mut line = words.join(" ").trim_start_matches("error: ").to_owned();
    let no_number = NO_NUMBERS.iter().find_map(|words| line.strip_suffix(words));
    if let Some(before) = no_number {
        line = format!("{before}it must be a whole number{}", example(error, before));
    }
    if let Some(bounded) = in_words(&line) {
        line = bounded;
    }
    let argument = match error.get(ContextKind::InvalidArg) {
        Some(ContextValue::String(argument)) => argument.as_str(),
        _ => "",
    };
    match suggestion(error) {
        _ if PORT_OPTIONS.contains(&argument) => {
            format!("{line} (the port is the last argument: inference-core MODEL 4000)")
        }
        Some(meant) => format!("{line} (did you mean {meant}?)"),
        None => line,
    }
}

/// The line of a number out of its range, which clap writes as Rust does: `0 is not in 1..=64`.
fn in_words(line: &str) -> Option<String> {
    let (said, range) = line.rsplit_once(NOT_IN)?;
    let (least, most) = range.split_once("..=")?;
    let (before, _) = said.rsplit_once("': ")?;
    Some(match most {
        NO_LIMIT => format!("{before}': it must be {least} or more"),
        _ => format!("{before}': it must be from {least} to {most}"),
    })
}

/// What clap holds for the nearest to what was typed.
fn suggestion(error: &clap::Error) -> Option<&str> {
    let kinds = [ContextKind::SuggestedArg, ContextKind::SuggestedValue];
    kinds.into_iter().find_map(|kind| match error.get(kind)? {
        ContextValue::String(text) => Some(text.as_str()),
        ContextValue::Strings(texts) => texts.first().map(String::as_str),
        _ => None,
    })
}

/// A number that would do, where there is a good one.
fn example(error: &clap::Error, before: &str) -> String {
    let Some(ContextValue::String(typed)) = error.get(ContextKind::InvalidValue) else {
        return String::new();
    };
    let thousands = typed.strip_suffix(['k', 'K']).and_then(|digits| digits.parse::<u32>().ok());
    match thousands.and_then(|n| n.checked_mul(1024)) {
        Some(n) => format!(" such as {n}"),
        None if before.contains(TOKENS) => " such as 8192".to_owned(),
        None => String::new(),
    }
}
