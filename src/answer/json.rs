//! Checks a JSON value as it arrives, character by character.
//!
//! It accepts what `serde_json` accepts, and one thing more: control characters in strings, which
//! small models write unescaped. The caller escapes them ([`JsonScan::Control`]).

/// Checks one JSON value.
#[derive(Debug)]
pub(super) struct JsonScanner {
    /// The objects and lists around the next character.
    open: Vec<JsonContainer>,
    state: JsonState,
}

/// What a character is for a [`JsonScanner`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum JsonScan {
    /// It is part of the value.
    Part,
    /// It is a control character in a string: part of the value, if it is escaped.
    Control,
    /// It is the last of the value.
    End,
    /// The value, a number, has ended before it.
    EndBefore,
    /// It cannot be part of JSON.
    Invalid,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum JsonContainer {
    Object,
    List,
}

/// What is due next.
#[derive(Debug, Clone, Copy)]
enum JsonState {
    Value,
    /// A value, or the end of the list.
    FirstItem,
    Key,
    /// A key, or the end of the object.
    FirstKey,
    Colon,
    /// A comma, or the end of the object or list.
    Next,
    Text(JsonQuoted),
    Escape(JsonQuoted),
    /// The digits of a `\u` escape: how many there were, and their value.
    Hex(JsonQuoted, u8, u32),
    Number(JsonNumber),
    /// The rest of `true`, `false` or `null`.
    Literal(&'static str),
    Done,
}

/// A string.
#[derive(Debug, Clone, Copy)]
struct JsonQuoted {
    is_key: bool,
    /// Whether the last escape was the first half of a surrogate pair.
    is_half: bool,
}

/// The part of a number that was read last.
#[derive(Debug, Clone, Copy)]
enum JsonNumber {
    Minus,
    Zero,
    Digits,
    Point,
    Fraction,
    Exponent,
    Sign,
    Power,
}

impl JsonScanner {
    pub(super) fn new() -> Self {
        Self { open: Vec::new(), state: JsonState::Value }
    }

    /// Checks the next character.
    pub(super) fn push(&mut self, c: char) -> JsonScan {
        match self.state {
            JsonState::Text(text) => self.in_text(text, c),
            JsonState::Escape(text) => self.in_escape(text, c),
            JsonState::Hex(text, n, code) => self.in_hex(text, n, code, c),
            JsonState::Number(number) => self.in_number(number, c),
            JsonState::Literal(rest) => self.in_literal(rest, c),
            JsonState::Done => JsonScan::Invalid,
            _ if is_json_space(c) => JsonScan::Part,
            JsonState::FirstItem if c == ']' => self.close(JsonContainer::List),
            JsonState::Value | JsonState::FirstItem => self.value(c),
            JsonState::FirstKey if c == '}' => self.close(JsonContainer::Object),
            JsonState::FirstKey | JsonState::Key => match c {
                '"' => self.go(JsonState::Text(JsonQuoted { is_key: true, is_half: false })),
                _ => JsonScan::Invalid,
            },
            JsonState::Colon if c == ':' => self.go(JsonState::Value),
            JsonState::Colon => JsonScan::Invalid,
            JsonState::Next => self.next(c),
        }
    }

    fn go(&mut self, state: JsonState) -> JsonScan {
        self.state = state;
        JsonScan::Part
    }

    /// The first character of a value.
    fn value(&mut self, c: char) -> JsonScan {
        match c {
            '{' => self.open(JsonContainer::Object, JsonState::FirstKey),
            '[' => self.open(JsonContainer::List, JsonState::FirstItem),
            '"' => self.go(JsonState::Text(JsonQuoted { is_key: false, is_half: false })),
            '-' => self.go(JsonState::Number(JsonNumber::Minus)),
            '0' => self.go(JsonState::Number(JsonNumber::Zero)),
            '1'..='9' => self.go(JsonState::Number(JsonNumber::Digits)),
            't' => self.go(JsonState::Literal("rue")),
            'f' => self.go(JsonState::Literal("alse")),
            'n' => self.go(JsonState::Literal("ull")),
            _ => JsonScan::Invalid,
        }
    }

    fn open(&mut self, container: JsonContainer, state: JsonState) -> JsonScan {
        if self.open.len() == MAX_JSON_DEPTH {
            return JsonScan::Invalid;
        }
        self.open.push(container);
        self.go(state)
    }

    fn close(&mut self, container: JsonContainer) -> JsonScan {
        if self.open.pop() != Some(container) {
            return JsonScan::Invalid;
        }
        self.end_value()
    }

    fn end_value(&mut self) -> JsonScan {
        if self.open.is_empty() {
            self.state = JsonState::Done;
            JsonScan::End
        } else {
            self.go(JsonState::Next)
        }
    }

    fn next(&mut self, c: char) -> JsonScan {
        match (c, self.open.last()) {
            (',', Some(JsonContainer::Object)) => self.go(JsonState::Key),
            (',', Some(JsonContainer::List)) => self.go(JsonState::Value),
            ('}', _) => self.close(JsonContainer::Object),
            (']', _) => self.close(JsonContainer::List),
            _ => JsonScan::Invalid,
        }
    }

    fn in_text(&mut self, text: JsonQuoted, c: char) -> JsonScan {
        match c {
            '\\' => self.go(JsonState::Escape(text)),
            _ if text.is_half => JsonScan::Invalid,
            '"' if text.is_key => self.go(JsonState::Colon),
            '"' => self.end_value(),
            '\0'..' ' => JsonScan::Control,
            _ => JsonScan::Part,
        }
    }

    fn in_escape(&mut self, text: JsonQuoted, c: char) -> JsonScan {
        match c {
            'u' => self.go(JsonState::Hex(text, 0, 0)),
            _ if text.is_half => JsonScan::Invalid,
            '"' | '\\' | '/' | 'b' | 'f' | 'n' | 'r' | 't' => self.go(JsonState::Text(text)),
            _ => JsonScan::Invalid,
        }
    }

    fn in_hex(&mut self, text: JsonQuoted, n: u8, code: u32, c: char) -> JsonScan {
        let Some(digit) = c.to_digit(16) else { return JsonScan::Invalid };
        let code = code * 16 + digit;
        if n < 3 {
            return self.go(JsonState::Hex(text, n + 1, code));
        }
        let is_half = match code {
            0xdc00..=0xdfff if text.is_half => false,
            _ if text.is_half => return JsonScan::Invalid,
            0xdc00..=0xdfff => return JsonScan::Invalid,
            _ => (0xd800..0xdc00).contains(&code),
        };
        self.go(JsonState::Text(JsonQuoted { is_half, ..text }))
    }

    fn in_number(&mut self, number: JsonNumber, c: char) -> JsonScan {
        use JsonNumber::{Digits, Exponent, Fraction, Minus, Point, Power, Sign, Zero};
        let next = match (number, c) {
            (Minus, '0') => Zero,
            (Minus, '1'..='9') | (Digits, '0'..='9') => Digits,
            (Zero | Digits, '.') => Point,
            (Point | Fraction, '0'..='9') => Fraction,
            (Zero | Digits | Fraction, 'e' | 'E') => Exponent,
            (Exponent, '+' | '-') => Sign,
            (Exponent | Sign | Power, '0'..='9') => Power,
            (Minus | Point | Exponent | Sign, _) => return JsonScan::Invalid,
            (Zero | Digits | Fraction | Power, _) if self.open.is_empty() => {
                self.state = JsonState::Done;
                return JsonScan::EndBefore;
            }
            (Zero | Digits | Fraction | Power, _) => {
                self.state = JsonState::Next;
                return self.push(c);
            }
        };
        self.go(JsonState::Number(next))
    }

    fn in_literal(&mut self, rest: &'static str, c: char) -> JsonScan {
        match rest.strip_prefix(c) {
            Some("") => self.end_value(),
            Some(rest) => self.go(JsonState::Literal(rest)),
            None => JsonScan::Invalid,
        }
    }
}

/// Whether JSON allows `c` between two values.
pub(super) fn is_json_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | '\r')
}

/// Adds the escape of a control character to the text of a JSON string.
pub(super) fn push_escape(text: &mut String, c: char) {
    match c {
        '\n' => text.push_str("\\n"),
        '\r' => text.push_str("\\r"),
        '\t' => text.push_str("\\t"),
        _ => text.push_str(&format!("\\u{:04x}", u32::from(c))),
    }
}

/// Adds a JSON string to `json`.
pub(super) fn push_json_string(json: &mut String, text: &str) {
    json.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => json.extend(['\\', c]),
            '\0'..' ' => push_escape(json, c),
            _ => json.push(c),
        }
    }
    json.push('"');
}

/// Most objects and lists within each other. `serde_json` reads 127.
const MAX_JSON_DEPTH: usize = 100;
