//! The memory for parsing a message is bounded, as counted by a global allocator (ADR-0022).

#![allow(clippy::unwrap_used, reason = "a test panics when it cannot continue")]
#![allow(unsafe_code, reason = "a counting allocator implements an unsafe trait")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use inference_core::protocol::{ClientFrame, Code, ErrorFrame};

/// The longest message of the default settings.
const MESSAGE_BYTES: usize = 8 << 20;

/// Most memory that parsing may hold at once, as a multiple of the message. A string with escapes
/// takes three times its length: it is decoded into a buffer that doubles when it is full, and then
/// copied.
const MAX_MESSAGES: usize = 3;

/// Allowance in bytes for what does not grow with the message: short strings, the error.
const SMALL_BYTES: usize = 4096;

thread_local! {
    /// Bytes that this thread holds, and their peak. Each test runs on a thread of its own.
    static HELD: Cell<usize> = const { Cell::new(0) };
    static PEAK: Cell<usize> = const { Cell::new(0) };
}

struct Counting;

impl Counting {
    fn add(bytes: usize) {
        HELD.set(HELD.get() + bytes);
        PEAK.set(PEAK.get().max(HELD.get()));
    }

    /// A thread may free memory of another thread, so the count stops at zero.
    fn remove(bytes: usize) {
        HELD.set(HELD.get().saturating_sub(bytes));
    }
}

// SAFETY: every call is passed to the system's allocator unchanged. The counters are plain cells
// that neither allocate nor have a destructor.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        Self::add(layout.size());
        // SAFETY: `System.alloc` has the same contract, which the caller fulfils.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        Self::remove(layout.size());
        // SAFETY: `pointer` came from the system's allocator with this layout.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        Self::remove(layout.size());
        Self::add(size);
        // SAFETY: `pointer` came from the system's allocator with this layout.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The longest message of `head`, comma-separated `item`s and `tail`.
fn filled(head: &str, item: &str, tail: &str) -> String {
    let n = (MESSAGE_BYTES - head.len() - tail.len() + 1) / (item.len() + 1);
    let mut text = String::with_capacity(MESSAGE_BYTES);
    text.push_str(head);
    for i in 0..n {
        text.push_str(if i == 0 { "" } else { "," });
        text.push_str(item);
    }
    text.push_str(tail);
    text
}

/// The longest message of `head`, fields of an object with different keys, and `tail`.
fn with_fields(head: &str, tail: &str) -> String {
    let mut text = String::with_capacity(MESSAGE_BYTES);
    text.push_str(head);
    for i in 0.. {
        let field = format!("{}\"{i:x}\":0", if i == 0 { "" } else { "," });
        if text.len() + field.len() + tail.len() > MESSAGE_BYTES {
            break;
        }
        text.push_str(&field);
    }
    text.push_str(tail);
    text
}

/// The longest message of `head`, a string that ends with an escape, and `tail`.
fn escaped(head: &str, tail: &str) -> String {
    let n = MESSAGE_BYTES - head.len() - tail.len() - 4;
    format!("{head}\"{}\\n\"{tail}", "x".repeat(n))
}

/// Parses `text`, asserts that the memory is bounded, and returns the code of the error, if any.
fn parse_bounded(name: &str, text: &str) -> Option<Code> {
    assert!(text.len() <= MESSAGE_BYTES && text.len() > MESSAGE_BYTES - 2000, "{}", text.len());
    let before = HELD.get();
    PEAK.set(before);
    let parsed = ClientFrame::parse(text);
    let peak = PEAK.get() - before;
    assert!(peak <= MAX_MESSAGES * text.len() + SMALL_BYTES, "{name} took {peak} bytes");
    parsed.as_ref().map_err(ErrorFrame::code).err()
}

/// The most expensive value in a parsed tree: an object with one field.
const SMALL_OBJECT: &str = r#"{"":0}"#;

#[test]
fn ignored_fields_stay_within_the_memory_bound() {
    let objects = filled(r#"{"op":"ping","x":["#, SMALL_OBJECT, "]}");
    assert_eq!(parse_bounded("objects in an unknown field", &objects), None);
    let keys = with_fields(r#"{"op":"ping","#, "}");
    assert_eq!(parse_bounded("unknown fields", &keys), None);
    let same = filled(r#"{"op":"ping","#, r#""x":0"#, "}");
    assert_eq!(parse_bounded("one unknown field, repeated", &same), None);
    let text = escaped(r#"{"op":"ping","x":"#, "}");
    assert_eq!(parse_bounded("a long string in an unknown field", &text), None);
    let head = r#"{"op":"infer","prompt":"x","params":{"#;
    assert_eq!(parse_bounded("unknown parameters", &with_fields(head, "}}")), None);
    let x = format!(r#"{head}"x":["#);
    assert_eq!(parse_bounded("objects in a parameter", &filled(&x, SMALL_OBJECT, "]}}")), None);
    let head = r#"{"op":"infer","messages":[{"role":"user","content":"","x":["#;
    assert_eq!(parse_bounded("objects in a message", &filled(head, SMALL_OBJECT, "]}]}")), None);
    let head = r#"{"op":"infer","messages":[{"role":"user","content":"","#;
    assert_eq!(parse_bounded("unknown fields of a message", &with_fields(head, "}]}")), None);
}

#[test]
fn field_of_a_wrong_type_stays_within_the_memory_bound() {
    for (field, code) in [
        ("op", Code::BadFrame),
        ("id", Code::BadFrame),
        ("prompt", Code::BadFrame),
        ("messages", Code::InvalidParams),
        ("params", Code::BadFrame),
    ] {
        let head = format!(r#"{{"op":"infer","prompt":"x","{field}":["#);
        let head = match field {
            "messages" => head.replace(r#""prompt":"x","#, ""),
            _ => head,
        };
        let text = filled(&head, SMALL_OBJECT, "]}");
        assert_eq!(parse_bounded(&format!("objects in {field}"), &text), Some(code), "{field}");
        let head = format!(r#"{{"op":"infer","{field}":{{"#);
        let found = parse_bounded(&format!("an object in {field}"), &with_fields(&head, "}}"));
        assert_eq!(found, Some(Code::BadFrame), "{field}");
    }
}

#[test]
fn parameter_of_a_wrong_type_stays_within_the_memory_bound() {
    for field in ["temp", "ignore_eos", "stop", "logit_bias"] {
        let head = format!(r#"{{"op":"infer","prompt":"x","params":{{"{field}":"#);
        let texts = [
            ("objects", filled(&format!("{head}["), SMALL_OBJECT, "]}}")),
            ("lists", filled(&format!("{head}["), "[0,0]", "]}}")),
            ("lists in a list", filled(&format!("{head}[["), "[]", "]]}}")),
            ("an object", with_fields(&format!("{head}{{"), "}}}")),
            ("a string", escaped(&head, "}}")),
        ];
        for (what, text) in texts {
            let found = parse_bounded(&format!("{what} in {field}"), &text);
            assert_eq!(found, Some(Code::InvalidParams), "{what} in {field}");
        }
    }
}

#[test]
fn long_string_stays_within_the_memory_bound() {
    let text = escaped(r#"{"op":"#, "}");
    assert_eq!(parse_bounded("op", &text), Some(Code::UnknownOp));
    let text = escaped(r#"{"op":"abort","id":"#, "}");
    assert_eq!(parse_bounded("id", &text), Some(Code::BadFrame));
    let text = escaped(r#"{"op":"infer","prompt":"#, "}");
    assert_eq!(parse_bounded("prompt", &text), None);
    let text = escaped(r#"{"op":"infer","messages":[{"role":"user","content":"#, "}]}");
    assert_eq!(parse_bounded("content", &text), None);
    let text = escaped(r#"{"op":"infer","messages":[{"role":"#, "}]}");
    assert_eq!(parse_bounded("role", &text), Some(Code::InvalidParams));
    let text = escaped(r#"{"op":"infer","prompt":"x","params":{"logit_bias":{"#, ":0}}}");
    assert_eq!(parse_bounded("a token id", &text), Some(Code::InvalidParams));
    let text = filled(r#"{"op":"infer","prompt":""#, r"\u0001", r#""}"#);
    assert_eq!(parse_bounded("a prompt of escapes", &text), None);
    let control = filled(r#"{"op":"infer","prompt":"x","params":{"temp":""#, r"\u0001", r#""}}"#);
    assert_eq!(parse_bounded("a temperature of escapes", &control), Some(Code::InvalidParams));
}

#[test]
fn faulty_strings_stay_within_the_memory_bound() {
    for surrogate in [r"\ud83e", r"\udd8a"] {
        let text = filled(r#"{"op":"infer","prompt":""#, surrogate, r#""}"#);
        assert_eq!(parse_bounded("a prompt of lone surrogates", &text), None);
        let head = r#"{"op":"infer","messages":[{"role":"user","content":""#;
        let text = filled(head, surrogate, r#""}]}"#);
        assert_eq!(parse_bounded("a message of lone surrogates", &text), None);
        let text = filled(r#"{"op":"infer","prompt":"x",""#, surrogate, r#"":0}"#);
        assert_eq!(parse_bounded("a name of lone surrogates", &text), None);
        let text = filled(r#"{"op":"infer","id":""#, surrogate, r#""}"#);
        assert_eq!(parse_bounded("an id of lone surrogates", &text), Some(Code::BadFrame));
    }
    for fault in [r"\x", "\n", r"\u12", r"\ud83e"] {
        for head in [r#"{"op":"infer","prompt":"x",""#, r#"{"op":"infer","id":"q","id":""#, "\""] {
            let text = filled(head, fault, r#"\n\x","id":"x"}"#);
            assert_eq!(parse_bounded("faults", &text), Some(Code::BadJson), "{head}{fault}");
        }
    }
}

#[test]
fn many_chat_messages_stay_within_the_memory_bound() {
    let head = r#"{"op":"infer","messages":["#;
    let text = filled(head, r#"{"role":"user","content":""}"#, "]}");
    parse_bounded("empty messages", &text);
    assert_eq!(
        parse_bounded("numbers as messages", &filled(head, "0", "]}")),
        Some(Code::InvalidParams)
    );
    let content = "x".repeat(1000);
    let message = format!(r#"{{"role":"user","content":"{content}"}}"#);
    assert_eq!(parse_bounded("a long conversation", &filled(head, &message, "]}")), None);
}

#[test]
fn tools_and_their_calls_stay_within_the_memory_bound() {
    let calls = [r#"{"name":"a"}"#; 64].join(",");
    let message = format!(r#"{{"role":"assistant","tool_calls":[{calls}]}}"#);
    let text = filled(r#"{"op":"infer","messages":["#, &message, "]}");
    let found = parse_bounded("calls", &text);
    assert_eq!(found, Some(Code::InvalidParams));
    let head = r#"{"op":"infer","messages":[{"role":"user","content":""}],"#;
    for field in ["tools", "documents", "chat_template_kwargs"] {
        let text = filled(&format!(r#"{head}"{field}":["#), SMALL_OBJECT, "]}");
        assert_eq!(parse_bounded(field, &text), Some(Code::InvalidParams), "{field}");
    }
    let head = format!(r#"{head}"tools":[{{"name":"f","parameters":{{"x":""#);
    let text = filled(&head, r"\ud83e", r#""}}]}"#);
    assert_eq!(parse_bounded("a schema of lone surrogates", &text), None);
}

#[test]
fn message_that_is_not_a_frame_stays_within_the_memory_bound() {
    for (what, text, code) in [
        ("a list", filled("[", SMALL_OBJECT, "]"), Code::BadFrame),
        ("a string", escaped("", ""), Code::BadFrame),
        ("a number", format!("0.{}1", "0".repeat(MESSAGE_BYTES - 3)), Code::BadFrame),
        ("an open list", filled(r#"{"op":"ping","x":["#, SMALL_OBJECT, ""), Code::BadJson),
        ("open lists", "[".repeat(MESSAGE_BYTES), Code::BadJson),
        ("open objects", r#"{"":"#.repeat(MESSAGE_BYTES / 4), Code::BadJson),
        ("spaces", " ".repeat(MESSAGE_BYTES), Code::BadJson),
    ] {
        assert_eq!(parse_bounded(what, &text), Some(code), "{what}");
    }
}
