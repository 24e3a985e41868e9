//! A conversation as chat templates see it.

use minijinja::value::Value;

use super::fuel::TemplateSize;
use super::json::TemplateJson;
use super::message::{ChangeText, TemplateMessage, dictionary};

/// What a chat template renders.
#[derive(Debug, Clone)]
pub(in crate::llama::text) struct TemplateConversation {
    pub(in crate::llama::text) messages: Vec<TemplateMessage>,
    pub(in crate::llama::text) tools: Vec<TemplateTool>,
    pub(in crate::llama::text) documents: Vec<TemplateJson>,
    /// More variables, by name.
    pub(in crate::llama::text) variables: Vec<(String, TemplateJson)>,
    /// Whether the template writes what comes before an answer.
    pub(in crate::llama::text) adds_generation_prompt: bool,
}

/// A tool that the model may call.
#[derive(Debug, Clone)]
pub(in crate::llama::text) struct TemplateTool {
    pub(in crate::llama::text) name: String,
    pub(in crate::llama::text) description: String,
    /// The JSON schema of its arguments.
    pub(in crate::llama::text) parameters: TemplateJson,
}

impl From<Vec<TemplateMessage>> for TemplateConversation {
    fn from(messages: Vec<TemplateMessage>) -> Self {
        let (tools, documents, variables) = (Vec::new(), Vec::new(), Vec::new());
        Self { messages, tools, documents, variables, adds_generation_prompt: true }
    }
}

impl TemplateConversation {
    /// The same conversation with other texts.
    pub(in crate::llama::text) fn map_texts(&self, change: ChangeText<'_>) -> Self {
        let messages = self.messages.iter().map(|message| message.map_texts(change)).collect();
        let change = &mut |text: &str| change(text, false);
        let of_json =
            |json: &TemplateJson, change: &mut dyn FnMut(&str) -> String| json.map_texts(change);
        Self {
            messages,
            tools: self.tools.iter().map(|tool| tool.map_texts(change)).collect(),
            documents: self.documents.iter().map(|json| of_json(json, change)).collect(),
            variables: self
                .variables
                .iter()
                .map(|(name, json)| (name.clone(), of_json(json, change)))
                .collect(),
            adds_generation_prompt: self.adds_generation_prompt,
        }
    }

    pub(super) fn size(&self) -> TemplateSize {
        let json = |json: &TemplateJson| TemplateSize {
            n_parts: 1,
            n_values: json.n_values(),
            n_bytes: json.n_bytes(),
        };
        let messages = self.messages.iter().map(TemplateMessage::size);
        let tools = self.tools.iter().map(|tool| {
            let n_bytes = tool.name.len() + tool.description.len();
            json(&tool.parameters).plus(TemplateSize { n_parts: 0, n_values: 0, n_bytes })
        });
        let others = self.variables.iter().map(|(_, value)| value);
        let others = self.documents.iter().chain(others).map(json);
        messages.chain(tools).chain(others).fold(TemplateSize::default(), TemplateSize::plus)
    }

    /// The variables that a template reads.
    pub(super) fn variables(&self, has_tool_list: bool) -> Vec<(Value, Value)> {
        let none = || Value::from(());
        let tools: Vec<_> = self.tools.iter().map(TemplateTool::to_value).collect();
        let documents: Vec<_> = self.documents.iter().map(TemplateJson::to_value).collect();
        let messages: Vec<_> = self.messages.iter().map(TemplateMessage::to_value).collect();
        let own = self.variables.iter().map(|(name, value)| (name.into(), value.to_value()));
        let has_tools = !tools.is_empty() || has_tool_list;
        let standard = [
            ("messages".into(), messages.into()),
            ("tools".into(), if has_tools { tools.into() } else { none() }),
            ("documents".into(), if documents.is_empty() { none() } else { documents.into() }),
            ("add_generation_prompt".into(), self.adds_generation_prompt.into()),
        ];
        own.chain(standard).collect()
    }
}

impl TemplateTool {
    fn map_texts(&self, change: &mut dyn FnMut(&str) -> String) -> Self {
        Self {
            name: change(&self.name),
            description: change(&self.description),
            parameters: self.parameters.map_texts(change),
        }
    }

    /// The dictionary that transformers passes to a template.
    fn to_value(&self) -> Value {
        let function = dictionary(&[
            ("name", (&self.name).into()),
            ("description", (&self.description).into()),
            ("parameters", self.parameters.to_value()),
        ]);
        dictionary(&[("type", "function".into()), ("function", function)])
    }
}
