//! Reads one call that is a JSON object, and the arguments of calls whose name stands before them.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::calls::{CallWriter, MAX_NAME_BYTES};
use super::json::{JsonScan, JsonScanner, is_json_space, push_escape};

/// Reads `{"name": …, "arguments": {…}}`, with the fields in any order and others between them.
#[derive(Debug)]
pub(super) struct JsonCall {
    at: JsonCallAt,
    scanner: JsonScanner,
    /// The key or value that is being read, unless it is told at once.
    text: String,
    key: CallKey,
    name: Option<String>,
    /// The arguments, unless they are told at once.
    arguments: Option<String>,
    /// The object that has name and arguments, in the form of OpenAI.
    function: Option<String>,
    /// Whether a mark has promised a call. Other objects are refused as soon as possible.
    is_marked: bool,
    streaming: ArgumentStream,
}

/// What [`JsonCall`] makes of a character.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum JsonCallStep {
    More,
    Complete,
    Broken(&'static str),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum JsonCallAt {
    Open,
    FirstKey,
    Key,
    KeyText,
    Colon,
    ValueStart,
    Value,
    Next,
}

/// Whether the arguments are told as they come, which needs the name before them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ArgumentStream {
    No,
    Running,
    Complete,
}

/// The fields of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum CallKey {
    Name,
    Arguments,
    Function,
    /// Known from other forms, and of no use.
    Known,
    Unknown,
}

impl CallKey {
    fn named(name: &str) -> Self {
        match name {
            "name" => Self::Name,
            "arguments" | "parameters" => Self::Arguments,
            "function" => Self::Function,
            "type" | "id" | "index" => Self::Known,
            _ => Self::Unknown,
        }
    }
}

impl JsonCall {
    pub(super) fn new(is_marked: bool) -> Self {
        Self {
            at: JsonCallAt::Open,
            scanner: JsonScanner::new(),
            text: String::new(),
            key: CallKey::Unknown,
            name: None,
            arguments: None,
            function: None,
            is_marked,
            streaming: ArgumentStream::No,
        }
    }

    /// Whether this is certainly meant as a call.
    pub(super) fn is_promised(&self) -> bool {
        self.is_marked || self.streaming != ArgumentStream::No
    }

    /// Reads the next character. The first has to be `{`.
    pub(super) fn push(&mut self, c: char, calls: &mut CallWriter<'_, '_>) -> JsonCallStep {
        match self.at {
            JsonCallAt::KeyText => return self.in_key(c),
            JsonCallAt::Value => return self.in_value(c, calls),
            JsonCallAt::Open => {}
            _ if is_json_space(c) => return JsonCallStep::More,
            _ => {}
        }
        self.at = match (self.at, c) {
            (JsonCallAt::Open, '{') => JsonCallAt::FirstKey,
            (JsonCallAt::FirstKey | JsonCallAt::Key, '"') => {
                self.begin_scan();
                self.at = JsonCallAt::KeyText;
                return self.in_key(c);
            }
            (JsonCallAt::Colon, ':') => JsonCallAt::ValueStart,
            (JsonCallAt::ValueStart, _) => {
                if let Err(reason) = self.begin_value(c, calls) {
                    return JsonCallStep::Broken(reason);
                }
                return self.in_value(c, calls);
            }
            (JsonCallAt::Next, ',') => JsonCallAt::Key,
            (JsonCallAt::Next | JsonCallAt::FirstKey, '}') => return self.complete(calls),
            _ => return JsonCallStep::Broken(NOT_JSON),
        };
        JsonCallStep::More
    }

    /// Ends a call of which only the last brace may be missing.
    pub(super) fn finish(&mut self, calls: &mut CallWriter<'_, '_>) -> Result<(), &'static str> {
        let has_all = self.arguments.is_some() || self.streaming == ArgumentStream::Complete;
        if self.at == JsonCallAt::Next && has_all {
            match self.complete(calls) {
                JsonCallStep::Complete => return Ok(()),
                JsonCallStep::Broken(reason) => return Err(reason),
                JsonCallStep::More => {}
            }
        }
        Err(CUT)
    }

    fn begin_scan(&mut self) {
        self.scanner = JsonScanner::new();
        self.text.clear();
    }

    fn in_key(&mut self, c: char) -> JsonCallStep {
        self.text.push(c);
        match self.scanner.push(c) {
            JsonScan::Part => JsonCallStep::More,
            JsonScan::End => {
                self.key = decoded(&self.text).map_or(CallKey::Unknown, |key| CallKey::named(&key));
                if !self.is_marked && self.key == CallKey::Unknown {
                    return JsonCallStep::Broken("it has other fields");
                }
                self.at = JsonCallAt::Colon;
                JsonCallStep::More
            }
            JsonScan::Control | JsonScan::EndBefore | JsonScan::Invalid => {
                JsonCallStep::Broken(NOT_JSON)
            }
        }
    }

    fn begin_value(&mut self, c: char, calls: &mut CallWriter<'_, '_>) -> Result<(), &'static str> {
        self.begin_scan();
        self.at = JsonCallAt::Value;
        if self.key != CallKey::Arguments {
            return Ok(());
        }
        if self.arguments.is_some() || self.streaming != ArgumentStream::No {
            return Err("it has arguments twice");
        }
        if c == '{'
            && let Some(name) = &self.name
        {
            calls.begin(name);
            self.streaming = ArgumentStream::Running;
        }
        Ok(())
    }

    fn in_value(&mut self, c: char, calls: &mut CallWriter<'_, '_>) -> JsonCallStep {
        let is_told = self.streaming == ArgumentStream::Running;
        let scan = self.scanner.push(c);
        match scan {
            JsonScan::Part | JsonScan::End if is_told => calls.argument(c),
            JsonScan::Part | JsonScan::End => self.text.push(c),
            JsonScan::Control if is_told => calls.control(c),
            JsonScan::Control => push_escape(&mut self.text, c),
            JsonScan::EndBefore => {}
            JsonScan::Invalid => return JsonCallStep::Broken(NOT_JSON),
        }
        if !matches!(scan, JsonScan::End | JsonScan::EndBefore) {
            return JsonCallStep::More;
        }
        if let Err(reason) = self.end_value() {
            return JsonCallStep::Broken(reason);
        }
        self.at = JsonCallAt::Next;
        if scan == JsonScan::EndBefore { self.push(c, calls) } else { JsonCallStep::More }
    }

    fn end_value(&mut self) -> Result<(), &'static str> {
        match self.key {
            CallKey::Name => self.name = Some(name_in(&self.text)?),
            CallKey::Arguments if self.streaming == ArgumentStream::Running => {
                self.streaming = ArgumentStream::Complete;
            }
            CallKey::Arguments => self.arguments = Some(self.text.clone()),
            CallKey::Function => self.function = Some(self.text.clone()),
            CallKey::Known | CallKey::Unknown => {}
        }
        Ok(())
    }

    fn complete(&mut self, calls: &mut CallWriter<'_, '_>) -> JsonCallStep {
        if self.streaming == ArgumentStream::Complete {
            calls.end();
            return JsonCallStep::Complete;
        }
        match self.parts() {
            Ok((name, arguments)) => {
                calls.whole(&name, &arguments);
                JsonCallStep::Complete
            }
            Err(reason) => JsonCallStep::Broken(reason),
        }
    }

    /// Name and arguments of a call that is complete.
    fn parts(&self) -> Result<(String, String), &'static str> {
        let mut name = self.name.clone();
        let mut arguments = self.arguments.clone();
        if let (None, Some(function)) = (&name, &self.function) {
            if function.starts_with('"') {
                name = Some(name_in(function)?);
            } else {
                let wrapped: WrappedCall<'_> =
                    serde_json::from_str(function).map_err(|_| "its function has no name")?;
                name = Some(name_in(wrapped.name.get())?);
                let wrapped = || wrapped.arguments.map(|raw| raw.get().to_owned());
                arguments = arguments.or_else(wrapped);
            }
        }
        let name = name.ok_or("it has no name")?;
        let arguments = match arguments {
            None if !self.is_marked => return Err("it has no arguments"),
            None => EMPTY.to_owned(),
            Some(text) => object_in(&text).ok_or("its arguments are not an object")?.into_owned(),
        };
        Ok((name, arguments))
    }
}

/// A call in the form of OpenAI.
#[derive(Deserialize)]
struct WrappedCall<'a> {
    #[serde(borrow)]
    name: &'a RawValue,
    #[serde(borrow, alias = "parameters")]
    arguments: Option<&'a RawValue>,
}

/// Reads arguments that are a JSON object, after the name of the tool.
#[derive(Debug)]
pub(super) struct JsonArguments(JsonScanner);

impl JsonArguments {
    pub(super) fn new() -> Self {
        Self(JsonScanner::new())
    }

    /// Reads the next character. The first has to be `{`. Ends the call with the last.
    pub(super) fn push(&mut self, c: char, calls: &mut CallWriter<'_, '_>) -> JsonCallStep {
        match self.0.push(c) {
            JsonScan::Part => calls.argument(c),
            JsonScan::Control => calls.control(c),
            JsonScan::End => {
                calls.argument(c);
                calls.end();
                return JsonCallStep::Complete;
            }
            JsonScan::EndBefore | JsonScan::Invalid => return JsonCallStep::Broken(NOT_JSON),
        }
        JsonCallStep::More
    }
}

/// The name in a JSON value.
fn name_in(json: &str) -> Result<String, &'static str> {
    let name = decoded(json).ok_or("its name is not a string")?;
    match name.len() {
        0 => Err("its name is empty"),
        1..=MAX_NAME_BYTES => Ok(name),
        _ => Err("its name is too long"),
    }
}

/// The text of the JSON object in a value: itself, the text of a string, or an empty one.
fn object_in(json: &str) -> Option<Cow<'_, str>> {
    match json.as_bytes().first()? {
        b'{' => Some(Cow::Borrowed(json)),
        b'n' => Some(Cow::Borrowed(EMPTY)),
        b'"' => {
            let text = decoded(json)?;
            let text = text.trim();
            if text.is_empty() {
                return Some(Cow::Borrowed(EMPTY));
            }
            let is_json = serde_json::from_str::<&RawValue>(text).is_ok();
            (is_json && text.starts_with('{')).then(|| Cow::Owned(text.to_owned()))
        }
        _ => None,
    }
}

/// The content of a JSON string; `None` for other values.
fn decoded(json: &str) -> Option<String> {
    serde_json::from_str(json).ok()
}

/// The arguments of a call that has none.
const EMPTY: &str = "{}";

/// Why most calls break.
pub(super) const NOT_JSON: &str = "it is not valid JSON";

/// Why calls break at the end of an answer.
pub(super) const CUT: &str = "the answer ends within it";
