//! What a request for a message asks for, from its body.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::domain::{Constraint, Conversation, JsonText, Message, Params, Role, Tool, ToolChoice};
use crate::protocol::Quoted;
use crate::server::json::{
    AtMost, BoundedText, IgnoredFields, InvalidField, ObjectText, Probability, Real, Temperature,
    TokenLimit, TopK, Unused, Whole, words,
};

use super::messages::{BlockContent, SentMessage, add_messages, system};

/// The body of `POST /v1/messages`.
#[derive(Debug, Deserialize, JsonSchema)]
pub(super) struct MessagesBody {
    /// The conversation to answer. A message of the assistant at its end is continued.
    messages: AtMost<SentMessage, MAX_MESSAGES>,
    /// What the model is told before the conversation.
    system: Option<BlockContent>,
    /// What the model may call.
    tools: Option<AtMost<SentTool, MAX_TOOLS>>,
    tool_choice: Option<SentChoice>,
    thinking: Option<ThinkingFields>,
    output_config: Option<OutputConfig>,
    /// The older name of `output_config.format`.
    output_format: Option<OutputFormat>,
    /// Most tokens of the answer; -1 is no limit.
    max_tokens: Option<Whole<TokenLimit>>,
    temperature: Option<Real<Temperature>>,
    top_p: Option<Real<Probability>>,
    /// -1 and 0 keep all tokens.
    top_k: Option<Whole<TopK>>,
    /// Texts before which the answer ends.
    stop_sequences: Option<StopSequences>,
    /// Whether the answer is sent as it comes, in server-sent events.
    stream: Option<bool>,
    /// Changes nothing: the server has one model.
    #[serde(rename = "model")]
    _model: Option<Unused>,
    #[serde(rename = "metadata")]
    _metadata: Option<Unused>,
    #[serde(rename = "service_tier")]
    _service_tier: Option<Unused>,
    #[serde(rename = "cache_control")]
    _cache_control: Option<Unused>,
}

/// Texts before which an answer ends.
type StopSequences = AtMost<BoundedText<{ Params::MAX_STOP_BYTES }>, { Params::MAX_STOPS }>;

/// A tool. Those with a type other than `custom` are ignored and named.
#[derive(Debug, Deserialize, JsonSchema)]
struct SentTool {
    r#type: Option<String>,
    name: Option<String>,
    description: Option<String>,
    /// The JSON schema of the arguments.
    input_schema: Option<ObjectText>,
    #[serde(rename = "cache_control")]
    _cache_control: Option<Unused>,
}

words! {
    /// How the model uses the tools.
    enum ChoiceKind {
        Auto = "auto",
        Any = "any",
        Tool = "tool",
        None = "none",
    }
}

/// Whether the model may or must call tools.
#[derive(Debug, Deserialize, JsonSchema)]
struct SentChoice {
    r#type: ChoiceKind,
    /// The tool to call, if the type is `tool`.
    name: Option<String>,
    disable_parallel_tool_use: Option<bool>,
}

words! {
    /// Whether the model thinks.
    enum ThinkingKind {
        Enabled = "enabled",
        Adaptive = "adaptive",
        Disabled = "disabled",
    }
}

/// How the model thinks.
#[derive(Debug, Deserialize, JsonSchema)]
struct ThinkingFields {
    r#type: ThinkingKind,
    /// Most tokens of thinking.
    budget_tokens: Option<Whole<TokenLimit>>,
    #[serde(rename = "display")]
    _display: Option<Unused>,
}

/// How the answer is made.
#[derive(Debug, Deserialize, JsonSchema)]
struct OutputConfig {
    /// For the chat template.
    effort: Option<String>,
    format: Option<OutputFormat>,
}

words! {
    /// The kinds of formats of an answer.
    enum OutputFormatKind {
        JsonSchema = "json_schema",
    }
}

/// What the answer has to be.
#[derive(Debug, Deserialize, JsonSchema)]
struct OutputFormat {
    #[serde(rename = "type")]
    _type: OutputFormatKind,
    schema: ObjectText,
}

/// What a client asks for.
#[derive(Debug)]
pub(super) struct MessagesRequest {
    pub(super) conversation: Conversation,
    pub(super) params: Params,
    /// Whether the events are sent as they come.
    pub(super) is_stream: bool,
    /// What has no effect.
    pub(super) ignored: IgnoredFields,
}

impl MessagesRequest {
    /// Reads a body, which has the fields `ignored` beside those that are known. Lines about
    /// billing are left out, unless `keeps_attribution`.
    ///
    /// # Errors
    /// [`InvalidField`], with what is wrong.
    pub(super) fn new(
        body: MessagesBody,
        mut ignored: IgnoredFields,
        keeps_attribution: bool,
    ) -> Result<Self, InvalidField> {
        if body.messages.0.is_empty() {
            return Err(InvalidField::new("messages", "must have at least one message"));
        }
        let system = body.system.map(|sent| system(sent, keeps_attribution));
        let mut messages: Vec<Message> = system.transpose()?.flatten().into_iter().collect();
        add_messages(body.messages.0, &mut messages)?;
        // As in Anthropic's API, the model goes on with what the client lets it say.
        let continues_last = messages
            .last()
            .is_some_and(|last| last.role == Role::Assistant && last.tool_calls.is_empty());
        let tools = tools(body.tools.map(|tools| tools.0).unwrap_or_default(), &mut ignored)?;
        let mut conversation = Conversation { tools, continues_last, ..Conversation::of(messages) };
        if let Some(choice) = body.tool_choice {
            choose(choice, &mut conversation)?;
        }
        let default = Params::default();
        let mut params = Params {
            temp: body.temperature.map_or(default.temp, |number| number.get()),
            top_p: body.top_p.map_or(default.top_p, |number| number.get()),
            top_k: body.top_k.map_or(default.top_k, |number| number.unless_negative().unwrap_or(0)),
            max_tokens: body.max_tokens.and_then(|number| number.unless_negative()),
            stop: body.stop_sequences.into_iter().flat_map(|texts| texts.0).map(|t| t.0).collect(),
            ..default
        };
        if let Some(ThinkingFields { r#type, budget_tokens, .. }) = body.thinking {
            let is_enabled = r#type != ThinkingKind::Disabled;
            let budget = budget_tokens.filter(|_| is_enabled);
            params.reasoning_budget = budget.and_then(|number| number.unless_negative());
            set_variable(&mut conversation, "enable_thinking", is_enabled.to_string());
        }
        let mut format = ("output_format", body.output_format);
        if let Some(config) = body.output_config {
            if let Some(effort) = config.effort {
                let effort = serde_json::to_string(&effort).expect("a string is always JSON");
                set_variable(&mut conversation, "reasoning_effort", effort);
            }
            if config.format.is_some() {
                format = ("output_config.format", config.format);
            }
        }
        if let (name, Some(format)) = format {
            params.constraint = Some(Box::new(Constraint::JsonSchema(format.schema.into_text())));
            params.constraint_field = Some(format!("{name}.schema"));
        }
        let is_stream = body.stream.unwrap_or(false);
        Ok(Self { conversation, params, is_stream, ignored })
    }
}

/// Reads `tools`. Tools that Anthropic defines or runs itself are named in `ignored`.
fn tools(sent: Vec<SentTool>, ignored: &mut IgnoredFields) -> Result<Vec<Tool>, InvalidField> {
    let mut tools: Vec<Tool> = Vec::new();
    for (i, SentTool { r#type, name, description, input_schema, .. }) in
        sent.into_iter().enumerate()
    {
        if let Some(kind) = r#type.filter(|kind| kind != "custom") {
            ignored.add_kind(&format!("tools[{i}]"), &kind);
            continue;
        }
        let invalid = |reason: String| InvalidField::new(format!("tools[{i}].name"), reason);
        let name = name.ok_or_else(|| invalid("is missing".to_owned()))?;
        if name.is_empty() {
            return Err(invalid("must not be empty".to_owned()));
        }
        if tools.iter().any(|tool| tool.name == name) {
            return Err(invalid(format!("{} occurs twice", Quoted(&name))));
        }
        let parameters = input_schema.map(ObjectText::into_text);
        tools.push(Tool { name, description, parameters });
    }
    Ok(tools)
}

/// Reads `tool_choice`.
fn choose(sent: SentChoice, conversation: &mut Conversation) -> Result<(), InvalidField> {
    if sent.disable_parallel_tool_use == Some(true) {
        conversation.parallel_tool_calls = false;
    }
    conversation.tool_choice = match sent.r#type {
        ChoiceKind::Auto => ToolChoice::Auto,
        ChoiceKind::None => ToolChoice::None,
        ChoiceKind::Any if conversation.tools.is_empty() => {
            return Err(InvalidField::new("tool_choice.type", "is any, but there are no tools"));
        }
        ChoiceKind::Any => ToolChoice::Required,
        ChoiceKind::Tool => {
            let invalid = |reason: String| InvalidField::new("tool_choice.name", reason);
            let name = sent.name.ok_or_else(|| invalid("is missing".to_owned()))?;
            if !conversation.tools.iter().any(|tool| tool.name == name) {
                return Err(invalid(format!("{} is none of the tools", Quoted(&name))));
            }
            ToolChoice::Named(name)
        }
    };
    Ok(())
}

fn set_variable(conversation: &mut Conversation, name: &str, json: String) {
    conversation.template_variables.push((name.to_owned(), JsonText(json)));
}

/// Most messages of a conversation.
const MAX_MESSAGES: usize = 16 * 1024;

/// Most tools of a request.
const MAX_TOOLS: usize = 1024;

#[cfg(test)]
mod tests;
