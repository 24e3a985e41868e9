//! The conversation that every surface translates its requests into, and that the model's chat
//! template renders.

use serde::{Deserialize, Serialize};

/// A conversation, and how the model is to go on with it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Conversation {
    /// The messages. Never empty.
    pub messages: Vec<Message>,
    /// The tools that the model may call.
    pub tools: Vec<Tool>,
    /// Whether the model may call tools, or has to.
    pub tool_choice: ToolChoice,
    /// Whether the model may call several tools in one answer.
    pub parallel_tool_calls: bool,
    /// Documents for templates that read them, one JSON object each.
    pub documents: Vec<JsonText>,
    /// More variables for the template, such as `enable_thinking` and `reasoning_effort`, by name.
    pub template_variables: Vec<(String, JsonText)>,
    /// Whether the last message, which is one of the assistant, is continued instead of answered.
    pub continues_last: bool,
}

impl Conversation {
    /// A conversation without tools that the model is to answer.
    pub fn of(messages: Vec<Message>) -> Self {
        Self { messages, parallel_tool_calls: true, ..Self::default() }
    }

    /// Whether the model may call tools.
    pub fn may_call_tools(&self) -> bool {
        !self.tools.is_empty() && self.tool_choice != ToolChoice::None
    }

    /// Whether the answer has to call a tool.
    pub fn requires_call(&self) -> bool {
        matches!(self.tool_choice, ToolChoice::Required | ToolChoice::Named(_))
    }

    /// Bytes of its texts.
    pub fn n_bytes(&self) -> usize {
        let Self { messages, tools, documents, template_variables, .. } = self;
        let of_variable = |(name, value): &(String, JsonText)| name.len() + value.0.len();
        messages.iter().map(Message::n_bytes).sum::<usize>()
            + tools.iter().map(Tool::n_bytes).sum::<usize>()
            + documents.iter().map(|document| document.0.len()).sum::<usize>()
            + template_variables.iter().map(of_variable).sum::<usize>()
    }
}

/// One message of a conversation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// The author.
    pub role: Role,
    /// The text.
    pub content: String,
    /// What the model thought before it wrote the text, if that is known apart from the text.
    pub reasoning: Option<String>,
    /// The tools that the model called, in messages of the assistant.
    pub tool_calls: Vec<ToolCall>,
    /// Which call a message of a tool answers.
    pub tool_call_id: Option<String>,
    /// The name of the author or, in messages of a tool, of the tool.
    pub name: Option<String>,
}

impl Message {
    /// A message of `role` that is nothing but text.
    pub fn text(role: Role, content: impl Into<String>) -> Self {
        Self {
            role,
            content: content.into(),
            reasoning: None,
            tool_calls: Vec::new(),
            tool_call_id: None,
            name: None,
        }
    }

    /// Bytes of its texts.
    pub fn n_bytes(&self) -> usize {
        let of = |text: &Option<String>| text.as_ref().map_or(0, String::len);
        let calls: usize = self.tool_calls.iter().map(ToolCall::n_bytes).sum();
        let Self { content, reasoning, tool_call_id, name, .. } = self;
        content.len() + of(reasoning) + of(tool_call_id) + of(name) + calls
    }
}

/// The author of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Role {
    /// The application, with instructions to the model.
    System,
    /// The same under the name that OpenAI gives it. Templates that do not know the name get
    /// `system`.
    Developer,
    /// The human.
    User,
    /// The model.
    Assistant,
    /// A tool, with the result of a call.
    Tool,
}

impl Role {
    /// The name in chat templates and on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::Developer => "developer",
            Self::User => "user",
            Self::Assistant => "assistant",
            Self::Tool => "tool",
        }
    }
}

/// A function that the model may call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tool {
    /// Its name, which calls repeat.
    pub name: String,
    /// What it does and when to call it.
    pub description: Option<String>,
    /// The JSON schema of its arguments, which are an object; `None` if it has none.
    pub parameters: Option<JsonText>,
}

impl Tool {
    /// Bytes of its texts.
    pub fn n_bytes(&self) -> usize {
        self.name.len()
            + self.description.as_ref().map_or(0, String::len)
            + self.parameters.as_ref().map_or(0, |schema| schema.0.len())
    }
}

/// A call of a tool by the model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolCall {
    /// Identifies the call within the conversation.
    pub id: String,
    /// The name of the tool.
    pub name: String,
    /// The arguments: the text of a JSON object.
    pub arguments: JsonText,
}

impl ToolCall {
    /// Bytes of its texts.
    pub fn n_bytes(&self) -> usize {
        self.id.len() + self.name.len() + self.arguments.0.len()
    }
}

/// Whether the model may call tools.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToolChoice {
    /// The model decides.
    #[default]
    Auto,
    /// It must not.
    None,
    /// It has to call at least one.
    Required,
    /// It has to call the one with this name.
    Named(String),
}

/// The text of a JSON value. The format of the link cannot carry values of any type.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JsonText(pub String);

/// What an answer has to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Constraint {
    /// Any JSON object.
    Json,
    /// JSON that fits this schema.
    JsonSchema(JsonText),
    /// Text that this regular expression matches as a whole.
    Regex(String),
    /// One of these texts.
    Choice(Vec<String>),
    /// Text of this grammar, in the dialect of Lark that llguidance reads.
    Lark(String),
    /// Text of this grammar, in llama.cpp's notation.
    Gbnf(String),
}

/// How a model marks the parts of its answers, found out by trying its chat template.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AnswerStyle {
    /// How thinking is told apart from the answer; `None` if the model does not think.
    pub thinking: Option<ThinkingStyle>,
    /// How calls of tools are written.
    pub tool_calls: ToolCallStyle,
}

/// How thinking is told apart from the answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ThinkingStyle {
    /// It is between two marks, such as `<think>` and `</think>`.
    Marks {
        /// Before it.
        start: String,
        /// After it.
        end: String,
    },
    /// It is in messages of their own, in the channel `analysis` (gpt-oss).
    Harmony,
}

/// How calls of tools are written in an answer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToolCallStyle {
    /// The template knows no tools. An instruction asks for the form of [`Self::Hermes`].
    #[default]
    Unknown,
    /// `<tool_call>{"name": …, "arguments": …}</tool_call>` (Hermes, Qwen 2.5 and 3).
    Hermes,
    /// `<tool_call><function=NAME><parameter=KEY>VALUE</parameter></function></tool_call>` (Qwen 3
    /// Coder).
    QwenXml,
    /// `{"name": …, "parameters": …}`, perhaps after `<|python_tag|>` (Llama 3).
    LlamaJson,
    /// `[name(key="value")]` (Llama 3.2 and 4, LFM 2).
    Pythonic,
    /// `[TOOL_CALLS][{"name": …, "arguments": …}]`, or `[TOOL_CALLS]name[ARGS]{…}` (Mistral).
    Mistral,
    /// `<|tool_call>call:name{key:value}<tool_call|>` (Gemma 4), or a block `tool_code` (Gemma 3).
    Gemma,
    /// Messages to `functions.NAME` in the channel `commentary` (gpt-oss).
    Harmony,
    /// `<｜tool▁call▁begin｜>function<｜tool▁sep｜>NAME…` (DeepSeek R1, V3 and V3.1).
    DeepSeek,
    /// `<tool_call>NAME<arg_key>KEY</arg_key><arg_value>VALUE</arg_value></tool_call>` (GLM 4.5).
    Glm,
    /// `<|tool_call|>[{"name": …, "arguments": …}]` (Granite).
    Granite,
}

/// How an answer begins, which depends on the rendered conversation.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AnswerStart {
    /// Whether the prompt ends within thinking, so that the answer begins with it.
    pub is_thinking: bool,
}
