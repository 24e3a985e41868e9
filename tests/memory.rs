//! Memory that parsing a message takes, counted by a global allocator.

#![allow(clippy::unwrap_used, reason = "a test panics when it cannot continue")]
#![allow(unsafe_code, reason = "an allocator that counts has to be an allocator")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use inference_core::protocol::{ClientFrame, Code, ErrorFrame};

/// The longest message of the default settings.
const MESSAGE_BYTES: usize = 8 << 20;

/// Most memory that parsing may hold at once, as a multiple of the message. A string with escapes is
/// decoded into a buffer that doubles as it grows and is then copied, which makes three.
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

    /// Memory of another thread may be freed here, so the count stops at zero.
    fn remove(bytes: usize) {
        HELD.set(HELD.get().saturating_sub(bytes));
    }
}

// SAFETY: every call is passed to the system's allocator unchanged. The counters are plain cells
// that neither allocate nor have a destructor.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        Self::add(layout.size());
        // SAFETY: the caller keeps the contract of `alloc`, which is the same.
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

/// `head`, as many comma-separated `item`s as fit, `tail`.
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

/// Like [`filled`], with the fields of an object, each with a different key.
fn entries(head: &str, tail: &str) -> String {
    let mut text = String::with_capacity(MESSAGE_BYTES);
    text.push_str(head);
    for i in 0.. {
        let entry = format!("{}\"{i:x}\":0", if i == 0 { "" } else { "," });
        if text.len() + entry.len() + tail.len() > MESSAGE_BYTES {
            break;
        }
        text.push_str(&entry);
    }
    text.push_str(tail);
    text
}

/// `head`, the longest string that fits, with an escape at its end, `tail`.
fn escaped(head: &str, tail: &str) -> String {
    let n = MESSAGE_BYTES - head.len() - tail.len() - 4;
    format!("{head}\"{}\\n\"{tail}", "x".repeat(n))
}

/// Parses `text`, checks the memory it took and returns the code of the error, if any.
fn code_of(name: &str, text: &str) -> Option<Code> {
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
    assert_eq!(code_of("objects in an unknown field", &objects), None);
    let keys = entries(r#"{"op":"ping","#, "}");
    assert_eq!(code_of("unknown fields", &keys), None);
    let same = filled(r#"{"op":"ping","#, r#""x":0"#, "}");
    assert_eq!(code_of("one unknown field again and again", &same), None);
    let text = escaped(r#"{"op":"ping","x":"#, "}");
    assert_eq!(code_of("a long string in an unknown field", &text), None);
    let head = r#"{"op":"infer","prompt":"x","params":{"#;
    assert_eq!(code_of("unknown parameters", &entries(head, "}}")), None);
    let x = format!(r#"{head}"x":["#);
    assert_eq!(code_of("objects in a parameter", &filled(&x, SMALL_OBJECT, "]}}")), None);
    let head = r#"{"op":"infer","messages":[{"role":"user","content":"","x":["#;
    assert_eq!(code_of("objects in a message", &filled(head, SMALL_OBJECT, "]}]}")), None);
    let head = r#"{"op":"infer","messages":[{"role":"user","content":"","#;
    assert_eq!(code_of("unknown fields of a message", &entries(head, "}]}")), None);
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
        assert_eq!(code_of(&format!("objects in {field}"), &text), Some(code), "{field}");
        let head = format!(r#"{{"op":"infer","{field}":{{"#);
        let found = code_of(&format!("an object in {field}"), &entries(&head, "}}"));
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
            ("an object", entries(&format!("{head}{{"), "}}}")),
            ("a string", escaped(&head, "}}")),
        ];
        for (what, text) in texts {
            let found = code_of(&format!("{what} in {field}"), &text);
            assert_eq!(found, Some(Code::InvalidParams), "{what} in {field}");
        }
    }
}

#[test]
fn long_string_stays_within_the_memory_bound() {
    let text = escaped(r#"{"op":"#, "}");
    assert_eq!(code_of("op", &text), Some(Code::UnknownOp));
    let text = escaped(r#"{"op":"abort","id":"#, "}");
    assert_eq!(code_of("id", &text), Some(Code::BadFrame));
    let text = escaped(r#"{"op":"infer","prompt":"#, "}");
    assert_eq!(code_of("prompt", &text), None);
    let text = escaped(r#"{"op":"infer","messages":[{"role":"user","content":"#, "}]}");
    assert_eq!(code_of("content", &text), None);
    let text = escaped(r#"{"op":"infer","messages":[{"role":"#, "}]}");
    assert_eq!(code_of("role", &text), Some(Code::InvalidParams));
    let text = escaped(r#"{"op":"infer","prompt":"x","params":{"logit_bias":{"#, ":0}}}");
    assert_eq!(code_of("a token id", &text), Some(Code::InvalidParams));
    let text = filled(r#"{"op":"infer","prompt":""#, r"\u0001", r#""}"#);
    assert_eq!(code_of("a prompt of escapes", &text), None);
    let control = filled(r#"{"op":"infer","prompt":"x","params":{"temp":""#, r"\u0001", r#""}}"#);
    assert_eq!(code_of("a temperature of escapes", &control), Some(Code::InvalidParams));
}

#[test]
fn many_chat_messages_stay_within_the_memory_bound() {
    let head = r#"{"op":"infer","messages":["#;
    let text = filled(head, r#"{"role":"user","content":""}"#, "]}");
    code_of("empty messages", &text);
    assert_eq!(code_of("numbers as messages", &filled(head, "0", "]}")), Some(Code::InvalidParams));
    let content = "x".repeat(1000);
    let message = format!(r#"{{"role":"user","content":"{content}"}}"#);
    assert_eq!(code_of("a long conversation", &filled(head, &message, "]}")), None);
}

#[test]
fn message_that_is_no_frame_stays_within_the_memory_bound() {
    for (what, text, code) in [
        ("a list", filled("[", SMALL_OBJECT, "]"), Code::BadFrame),
        ("a string", escaped("", ""), Code::BadFrame),
        ("a number", format!("0.{}1", "0".repeat(MESSAGE_BYTES - 3)), Code::BadFrame),
        ("an open list", filled(r#"{"op":"ping","x":["#, SMALL_OBJECT, ""), Code::BadJson),
        ("open lists", "[".repeat(MESSAGE_BYTES), Code::BadJson),
        ("open objects", r#"{"":"#.repeat(MESSAGE_BYTES / 4), Code::BadJson),
        ("spaces", " ".repeat(MESSAGE_BYTES), Code::BadJson),
    ] {
        assert_eq!(code_of(what, &text), Some(code), "{what}");
    }
}
