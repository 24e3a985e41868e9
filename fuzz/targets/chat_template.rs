//! Chat templates: any source renders a conversation or is refused in one line, within limits.
//!
//! The input is the source of the template and, behind a zero byte, what the user says.

#![no_main]

use std::time::Duration;

use inference_core::domain::{Conversation, JsonText, Message, Role, Tool, ToolCall};
use inference_core::llama::render_with;
use inference_core_fuzz::{Budget, assert_plain_line, bounded};
use libfuzzer_sys::fuzz_target;

/// The limits of ADR-0017: fuel bounds what a rendering creates to 32 MB, of which several copies
/// may exist. Probing renders a template up to sixty times.
const BUDGET: Budget = Budget {
    bytes: 512 << 20,
    bytes_per_byte: 4096,
    time: Duration::from_secs(10),
    time_per_byte: Duration::from_millis(1),
};

fuzz_target!(|bytes: &[u8]| {
    let text = String::from_utf8_lossy(bytes);
    let (source, content) = text.split_once('\0').unwrap_or((&text, "Hello! How are you?"));
    let message = |role, content: &str| Message::text(role, content);
    let conversation = [
        message(Role::System, "Be kind."),
        message(Role::User, "Hi"),
        message(Role::Assistant, "<think>A greeting.</think>Hello!"),
        message(Role::User, content),
    ];
    let mut called = message(Role::Assistant, "");
    called.tool_calls = vec![ToolCall {
        id: "call_1".to_owned(),
        name: "weather".to_owned(),
        arguments: JsonText("{\"town\": \"Rome\"}".to_owned()),
    }];
    let result =
        Message { tool_call_id: Some("call_1".to_owned()), ..message(Role::Tool, content) };
    let with_tools = Conversation {
        tools: vec![Tool { name: "weather".to_owned(), description: None, parameters: None }],
        ..Conversation::of(vec![message(Role::User, "Hi"), called, result])
    };
    let without = [&conversation[..], &conversation[3..]];
    let without = without.map(|messages| Conversation::of(messages.to_vec()));
    for conversation in without.iter().chain([&with_tools]) {
        let rendered = bounded(BUDGET, text.len(), || render_with(source, conversation));
        if let Err(reason) = rendered {
            assert!(!reason.contains("panicked"), "{reason}");
            assert_plain_line(&reason);
        }
    }
});
