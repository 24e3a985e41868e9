//! A message as chat templates see it.

use minijinja::value::Value;

use crate::domain::Role;

use super::fuel::TemplateSize;
use super::json::TemplateJson;

/// A message for a chat template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::llama::text) struct TemplateMessage {
    pub(in crate::llama::text) role: Role,
    pub(in crate::llama::text) content: TemplateContent,
    /// What the model thought, apart from the content.
    pub(in crate::llama::text) reasoning: Option<String>,
    /// The tools that the model called.
    pub(in crate::llama::text) tool_calls: Vec<TemplateCall>,
    /// Which call a message of a tool answers.
    pub(in crate::llama::text) tool_call_id: Option<String>,
    /// The name of the author or the tool.
    pub(in crate::llama::text) name: Option<String>,
}

/// The content of a message, in the form that the template expects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::llama::text) enum TemplateContent {
    /// `none`, in messages that are nothing but calls of tools.
    None,
    /// A string.
    Text(String),
    /// A list with one part, as models with other inputs than text expect it:
    /// `[{"type":"text","text":…}]`.
    Parts(String),
}

/// A call of a tool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::llama::text) struct TemplateCall {
    pub(in crate::llama::text) id: String,
    pub(in crate::llama::text) name: String,
    pub(in crate::llama::text) arguments: TemplateArguments,
}

/// The arguments of a call, in the form that the template expects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::llama::text) enum TemplateArguments {
    /// A dictionary.
    Mapping(TemplateJson),
    /// The text of a JSON object.
    Text(String),
}

/// Changes a text, and is told whether it is an answer.
pub(in crate::llama::text) type ChangeText<'c> = &'c mut dyn FnMut(&str, bool) -> String;

impl TemplateMessage {
    /// A message without anything but content.
    pub(in crate::llama::text) fn new(role: Role, content: TemplateContent) -> Self {
        let (reasoning, tool_call_id, name) = (None, None, None);
        Self { role, content, reasoning, tool_calls: Vec::new(), tool_call_id, name }
    }

    /// The text of its content.
    pub(in crate::llama::text) fn text(&self) -> &str {
        match &self.content {
            TemplateContent::None => "",
            TemplateContent::Text(text) | TemplateContent::Parts(text) => text,
        }
    }

    pub(super) fn map_texts(&self, change: ChangeText<'_>) -> Self {
        let is_answer = self.role == Role::Assistant;
        let content = match &self.content {
            TemplateContent::None => TemplateContent::None,
            TemplateContent::Text(text) => TemplateContent::Text(change(text, is_answer)),
            TemplateContent::Parts(text) => TemplateContent::Parts(change(text, is_answer)),
        };
        let calls = self.tool_calls.iter().map(|call| call.map_texts(change)).collect();
        let mut plain = |text: &Option<String>| text.as_ref().map(|text| change(text, false));
        Self {
            role: self.role,
            content,
            reasoning: plain(&self.reasoning),
            tool_call_id: plain(&self.tool_call_id),
            name: plain(&self.name),
            tool_calls: calls,
        }
    }

    pub(super) fn size(&self) -> TemplateSize {
        let length = |text: &Option<String>| text.as_ref().map_or(0, String::len);
        let own = [&self.reasoning, &self.tool_call_id, &self.name].map(length);
        let n_bytes = self.text().len() + own.iter().sum::<usize>();
        let own = TemplateSize { n_parts: 1, n_values: 0, n_bytes };
        self.tool_calls.iter().map(TemplateCall::size).fold(own, TemplateSize::plus)
    }

    /// The dictionary that a template reads. Templates know three names for what the model thought.
    pub(super) fn to_value(&self) -> Value {
        let content = match &self.content {
            TemplateContent::None => Value::from(()),
            TemplateContent::Text(text) => Value::from(text.as_str()),
            TemplateContent::Parts(text) => {
                Value::from(vec![dictionary(&[("type", "text".into()), ("text", text.into())])])
            }
        };
        let mut fields = vec![("role", self.role.name().into()), ("content", content)];
        if let Some(reasoning) = &self.reasoning {
            fields.extend(REASONING_FIELDS.map(|name| (name, reasoning.into())));
        }
        if !self.tool_calls.is_empty() {
            let calls = self.tool_calls.iter().map(TemplateCall::to_value).collect();
            fields.push(("tool_calls", calls));
        }
        let others = [("tool_call_id", &self.tool_call_id), ("name", &self.name)];
        for (name, text) in others {
            fields.extend(text.as_ref().map(|text| (name, text.into())));
        }
        dictionary(&fields)
    }
}

impl TemplateCall {
    fn map_texts(&self, change: ChangeText<'_>) -> Self {
        let mut change = |text: &str| change(text, false);
        Self {
            id: change(&self.id),
            name: change(&self.name),
            arguments: match &self.arguments {
                TemplateArguments::Mapping(json) => {
                    TemplateArguments::Mapping(json.map_texts(&mut change))
                }
                TemplateArguments::Text(text) => TemplateArguments::Text(change(text)),
            },
        }
    }

    fn size(&self) -> TemplateSize {
        let (n_values, n_bytes) = match &self.arguments {
            TemplateArguments::Mapping(json) => (json.n_values(), json.n_bytes()),
            TemplateArguments::Text(text) => (0, text.len()),
        };
        let n_bytes = self.id.len() + self.name.len() + n_bytes;
        TemplateSize { n_parts: 1, n_values, n_bytes }
    }

    fn to_value(&self) -> Value {
        let arguments = match &self.arguments {
            TemplateArguments::Mapping(json) => json.to_value(),
            TemplateArguments::Text(text) => text.into(),
        };
        let function = dictionary(&[("name", (&self.name).into()), ("arguments", arguments)]);
        dictionary(&[
            ("id", (&self.id).into()),
            ("type", "function".into()),
            ("function", function),
        ])
    }
}

/// A dictionary of these fields, in their order.
pub(super) fn dictionary(fields: &[(&'static str, Value)]) -> Value {
    Value::from_pairs(fields.iter().cloned())
}

/// The fields of DeepSeek and Qwen, of gpt-oss, and of some others.
const REASONING_FIELDS: [&str; 3] = ["reasoning_content", "thinking", "reasoning"];
