//! The items of a conversation, and how they become messages.
//!
//! What the model writes in one answer is several items: reasoning, a message, and calls of tools.
//! Together they are one message of the assistant for the chat template.

use crate::domain::{Message, Role, ToolCall};

/// One item of a conversation, of the client or of the model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ResponseItem {
    /// A message.
    Message { role: Role, text: String },
    /// What the model thought.
    Reasoning(String),
    /// The model calls a tool, under the name that it knows.
    Call(ToolCall),
    /// What a tool gave back for a call.
    CallOutput { call_id: String, output: String },
}

impl ResponseItem {
    /// Bytes of its texts.
    pub(super) fn n_bytes(&self) -> usize {
        match self {
            Self::Message { text, .. } | Self::Reasoning(text) => text.len(),
            Self::Call(call) => call.n_bytes(),
            Self::CallOutput { call_id, output } => call_id.len() + output.len(),
        }
    }
}

/// The messages of a conversation with these `instructions` and `items`.
///
/// Instructions and the system or developer messages at the beginning become one message, because
/// many templates allow no second one.
pub(super) fn messages_of<'a>(
    instructions: Option<&str>,
    items: impl IntoIterator<Item = &'a ResponseItem>,
) -> Vec<Message> {
    let mut builder = MessageBuilder::default();
    if let Some(text) = instructions.filter(|text| !text.is_empty()) {
        builder.messages.push(Message::text(Role::System, text));
    }
    for item in items {
        builder.add(item);
    }
    builder.messages
}

#[derive(Debug, Default)]
struct MessageBuilder {
    messages: Vec<Message>,
}

impl MessageBuilder {
    fn add(&mut self, item: &ResponseItem) {
        match item {
            ResponseItem::Message { role: role @ (Role::System | Role::Developer), text }
                if self.has_only_instructions() =>
            {
                self.add_instructions(*role, text);
            }
            ResponseItem::Message { role: Role::Assistant, text } => {
                let has_text = |message: &Message| {
                    !message.content.is_empty() || !message.tool_calls.is_empty()
                };
                self.assistant(|message| !has_text(message)).content.push_str(text);
            }
            ResponseItem::Message { role, text } => {
                self.messages.push(Message::text(*role, text.as_str()));
            }
            ResponseItem::Reasoning(text) => {
                let message = self.assistant(|message| {
                    message.content.is_empty() && message.tool_calls.is_empty()
                });
                message.reasoning.get_or_insert_default().push_str(text);
            }
            ResponseItem::Call(call) => self.assistant(|_| true).tool_calls.push(call.clone()),
            ResponseItem::CallOutput { call_id, output } => self.add_output(call_id, output),
        }
    }

    /// Whether there is nothing yet but one message with instructions.
    fn has_only_instructions(&self) -> bool {
        let [only] = &self.messages[..] else { return false };
        matches!(only.role, Role::System | Role::Developer)
    }

    fn add_instructions(&mut self, role: Role, text: &str) {
        let Some(first) = self.messages.first_mut() else { return };
        if role == Role::System {
            first.role = Role::System;
        }
        first.content.push_str("\n\n");
        first.content.push_str(text);
    }

    /// The last message, if it is one of the assistant that `may_grow`, or a new one.
    fn assistant(&mut self, may_grow: impl Fn(&Message) -> bool) -> &mut Message {
        let grows = |last: &Message| last.role == Role::Assistant && may_grow(last);
        if !self.messages.last().is_some_and(grows) {
            self.messages.push(Message::text(Role::Assistant, ""));
        }
        self.messages.last_mut().expect("a message was just added if there was none")
    }

    fn add_output(&mut self, call_id: &str, output: &str) {
        let calls = self.messages.iter().rev().flat_map(|message| &message.tool_calls);
        let name = calls.into_iter().find(|call| call.id == call_id).map(|call| call.name.clone());
        let tool_call_id = Some(call_id.to_owned());
        let message = Message::text(Role::Tool, output);
        self.messages.push(Message { tool_call_id, name, ..message });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::JsonText;

    fn message(role: Role, text: &str) -> ResponseItem {
        ResponseItem::Message { role, text: text.to_owned() }
    }

    fn call(id: &str) -> ToolCall {
        ToolCall { id: id.to_owned(), name: "f".to_owned(), arguments: JsonText("{}".to_owned()) }
    }

    #[test]
    fn instructions_and_leading_system_messages_become_one_message() {
        let items = [
            message(Role::Developer, "b"),
            message(Role::User, "hi"),
            message(Role::Developer, "c"),
        ];
        let system = Message::text(Role::System, "a\n\nb");
        let user = Message::text(Role::User, "hi");
        let developer = Message::text(Role::Developer, "c");
        assert_eq!(messages_of(Some("a"), &items), [system, user.clone(), developer.clone()]);
        let first = Message::text(Role::Developer, "b");
        assert_eq!(messages_of(None, &items), [first, user, developer]);
    }

    #[test]
    fn items_of_one_answer_become_one_message_of_the_assistant() {
        let items = [
            ResponseItem::Reasoning("hm".to_owned()),
            message(Role::Assistant, "ok"),
            ResponseItem::Call(call("1")),
            ResponseItem::Call(call("2")),
            ResponseItem::CallOutput { call_id: "2".to_owned(), output: "two".to_owned() },
            ResponseItem::Reasoning("so".to_owned()),
            message(Role::Assistant, "done"),
            message(Role::Assistant, "more"),
        ];
        let messages = messages_of(None, &items);
        assert_eq!(messages.len(), 4, "{messages:?}");
        assert_eq!(messages[0].reasoning.as_deref(), Some("hm"));
        assert_eq!(messages[0].content, "ok");
        assert_eq!(messages[0].tool_calls, [call("1"), call("2")]);
        assert_eq!((messages[1].role, messages[1].name.as_deref()), (Role::Tool, Some("f")));
        assert_eq!(messages[2].reasoning.as_deref(), Some("so"));
        assert_eq!((&*messages[2].content, &*messages[3].content), ("done", "more"));
    }
}
