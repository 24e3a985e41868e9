//! Says in the words of JSON why serde cannot read a value.

/// What is wrong with a value.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Fault {
    /// The field of the value that is wrong, if it is not the value itself.
    pub(super) field: Option<String>,
    /// What is wrong with it, and what is allowed.
    pub(super) reason: String,
}

/// The fault that `error` is about.
pub(super) fn fault_of(error: &serde_json::Error) -> Fault {
    let message = error.to_string();
    let place = format!(" at line {} column {}", error.line(), error.column());
    let message = message.strip_suffix(&place).unwrap_or(&message);
    let named = |prefix: &str| {
        message.strip_prefix(prefix).and_then(|rest| rest.split('`').next()).map(str::to_owned)
    };
    if let Some(field) = named("missing field `") {
        return Fault { field: Some(field), reason: "is missing".to_owned() };
    }
    if let Some(field) = named("duplicate field `") {
        return Fault { field: Some(field), reason: "is there twice".to_owned() };
    }
    let reason = match message.split_once(": ").zip(message.rsplit_once(", expected ")) {
        Some((("invalid type" | "invalid value", _), (found, expected))) => {
            let (_, found) = found.split_once(": ").unwrap_or(("", found));
            format!("must be {}, not {}", plain_type(expected), plain_value(found))
        }
        _ => shortened(message).to_owned(),
    };
    Fault { field: None, reason }
}

/// What serde expects, for people who write JSON.
fn plain_type(expected: &str) -> &str {
    match expected.split(' ').next().unwrap_or_default() {
        "f64" | "f32" => "a number",
        "i32" | "u32" | "i64" | "u64" | "u8" | "usize" => "a whole number",
        "struct" => "an object",
        _ => match expected {
            "a boolean" => "true or false",
            "a sequence" => "a list",
            "a map" => "an object",
            _ => expected,
        },
    }
}

/// What serde found, as JSON where it is short.
fn plain_value(found: &str) -> String {
    match found {
        "map" => return "an object".to_owned(),
        "sequence" => return "a list".to_owned(),
        _ => {}
    }
    let quoted = found.split_once('`').and_then(|(_, rest)| rest.strip_suffix('`'));
    let value = found.strip_prefix("string ").or(quoted).unwrap_or(found);
    match value.char_indices().nth(MAX_VALUE_CHARS) {
        Some((end, _)) => format!("{} (shortened)", &value[..end]),
        None => value.to_owned(),
    }
}

/// The first characters of a text that may quote the client.
pub(super) fn shortened(text: &str) -> &str {
    let end = text.char_indices().nth(MAX_REASON_CHARS).map_or(text.len(), |(end, _)| end);
    &text[..end]
}

/// Most characters of a value that an error quotes.
const MAX_VALUE_CHARS: usize = 100;

/// Most characters of the reason why a text cannot be read.
const MAX_REASON_CHARS: usize = 300;
