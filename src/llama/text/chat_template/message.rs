//! A message as chat templates see it.

use minijinja::value::Value;

use crate::domain::Role;

/// A message for a chat template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::llama::text) struct TemplateMessage {
    pub(in crate::llama::text) role: Role,
    pub(in crate::llama::text) content: TemplateContent,
    /// What the model thought, apart from the content.
    pub(in crate::llama::text) reasoning: Option<String>,
}

/// The content of a message, in the form that the template expects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::llama::text) enum TemplateContent {
    /// A string.
    Text(String),
    /// A list with one part, as models with other inputs than text expect it:
    /// `[{"type":"text","text":…}]`.
    Parts(String),
}

impl TemplateMessage {
    /// The text of its content.
    pub(in crate::llama::text) fn text(&self) -> &str {
        let (TemplateContent::Text(text) | TemplateContent::Parts(text)) = &self.content;
        text
    }

    /// Bytes of its texts.
    pub(super) fn n_bytes(&self) -> usize {
        self.text().len() + self.reasoning.as_ref().map_or(0, String::len)
    }

    /// The dictionary that a template reads. Templates know three names for what the model thought.
    pub(super) fn to_value(&self) -> Value {
        let content = match &self.content {
            TemplateContent::Text(text) => Value::from(text.as_str()),
            TemplateContent::Parts(text) => {
                Value::from(vec![dictionary(&[("type", "text".into()), ("text", text.into())])])
            }
        };
        let mut fields = vec![("role", self.role.name().into()), ("content", content)];
        if let Some(reasoning) = &self.reasoning {
            fields.extend(REASONING_FIELDS.map(|name| (name, reasoning.into())));
        }
        dictionary(&fields)
    }
}

fn dictionary(fields: &[(&'static str, Value)]) -> Value {
    Value::from_pairs(fields.iter().cloned())
}

/// The fields of DeepSeek and Qwen, of gpt-oss, and of some others.
const REASONING_FIELDS: [&str; 3] = ["reasoning_content", "thinking", "reasoning"];
