//! Frames of clients: any text is a valid frame or a frame that says what is wrong.
//!
//! serde_json's tree of values is the reference: what it accepts is never `bad_json`, its `id` is
//! the one of the error, and the frame is the same after the tree has been written again.

#![no_main]

use std::time::Duration;

use inference_core::domain::Prompt;
use inference_core::protocol::{ClientFrame, Code, ErrorFrame, RequestId, ServerFrame};
use inference_core_fuzz::{Budget, assert_plain_line, bounded};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

/// Three times the message, and an allowance (ADR-0022).
const BUDGET: Budget = Budget {
    bytes: 4096,
    bytes_per_byte: 3,
    time: Duration::from_millis(50),
    time_per_byte: Duration::from_micros(2),
};

/// Longest message of an error in bytes, whatever was sent (ADR-0022).
const MAX_ERROR_BYTES: usize = 400;

fuzz_target!(|bytes: &[u8]| {
    // A message that is not UTF-8 never gets to the parser.
    let text = String::from_utf8_lossy(bytes);
    let parsed = bounded(BUDGET, text.len(), || ClientFrame::parse(&text));
    match &parsed {
        Err(error) => check_error(error),
        Ok(ClientFrame::Infer(infer)) => {
            let texts = bounded(BUDGET, text.len(), || infer.warnings.texts());
            texts.iter().for_each(|text| assert_plain_line(text));
        }
        Ok(_) => {}
    }
    // It refuses lone surrogates, which the parser replaces.
    let Ok(tree) = serde_json::from_str::<Value>(&text) else { return };
    check_id(&tree, &parsed);
    // Numbers that are not integers lose their last digits when they are written again.
    if !has_fraction(&tree) {
        check_rewritten(&tree, &parsed);
    }
});

fn check_error(error: &ErrorFrame) {
    assert_plain_line(error.message());
    assert!(error.message().len() < MAX_ERROR_BYTES, "{}", error.message());
    let text = ServerFrame::Error(error).text();
    let sent: Value = serde_json::from_str(&text).expect("an error frame is JSON");
    assert_eq!(sent["op"], "error");
    assert_eq!(sent["code"], error.code().as_str());
}

/// An error of a frame with a usable `id` has that id.
fn check_id(tree: &Value, parsed: &Result<ClientFrame, ErrorFrame>) {
    let id = tree.get("id").and_then(Value::as_str);
    let id = id.filter(|id| id.len() <= RequestId::MAX_BYTES);
    match parsed {
        Err(error) => {
            assert_ne!(error.code(), Code::BadJson, "{}", error.message());
            assert_eq!(error.id().map(RequestId::as_str), id);
        }
        Ok(ClientFrame::Infer(infer)) => {
            assert_eq!(infer.id.as_ref().map(RequestId::as_str), id);
        }
        Ok(_) => {}
    }
}

/// The order of fields, repeated fields, spaces and escapes do not matter.
fn check_rewritten(tree: &Value, parsed: &Result<ClientFrame, ErrorFrame>) {
    let rewritten = ClientFrame::parse(&tree.to_string());
    match (parsed, rewritten) {
        (Ok(ClientFrame::Infer(one)), Ok(ClientFrame::Infer(other))) => {
            assert_eq!(one.id, other.id);
            assert_eq!(one.params, other.params);
            if !has_json_text(&one.prompt) {
                assert_eq!(one.prompt, other.prompt);
            }
        }
        (Ok(one), Ok(other)) => assert_eq!(*one, other),
        (Err(one), Err(other)) => assert_eq!(one.id(), other.id()),
        (one, other) => panic!("{one:?} became {other:?}"),
    }
}

/// Whether a conversation has JSON as it was written, such as the schema of a tool.
fn has_json_text(prompt: &Prompt) -> bool {
    let Prompt::Chat(chat) = prompt else { return false };
    let has_calls = chat.messages.iter().any(|message| !message.tool_calls.is_empty());
    let has_values = !chat.documents.is_empty() || !chat.template_variables.is_empty();
    has_calls || has_values || !chat.tools.is_empty()
}

fn has_fraction(tree: &Value) -> bool {
    match tree {
        Value::Number(number) => number.is_f64(),
        Value::Array(items) => items.iter().any(has_fraction),
        Value::Object(members) => members.values().any(has_fraction),
        Value::Null | Value::Bool(_) | Value::String(_) => false,
    }
}
