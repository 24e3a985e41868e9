//! Reads the body of `POST /v1/messages`.

use crate::domain::{
    Constraint, Conversation, JsonText, Message, Params, Range, Role, Tool, ToolChoice,
};
use crate::protocol::{JsonSlice, Quoted};
use crate::server::json_fields::{InvalidField, JsonFields, UnusedFields, values_of};

use super::messages::{read_messages, system};

/// What a client asks for.
#[derive(Debug)]
pub(super) struct MessagesRequest {
    pub(super) conversation: Conversation,
    pub(super) params: Params,
    /// Whether the events are sent as they come.
    pub(super) is_stream: bool,
    /// What has no effect.
    pub(super) ignored: UnusedFields,
}

impl MessagesRequest {
    /// Reads a body. Lines about billing are left out, unless `keeps_attribution`.
    ///
    /// # Errors
    /// [`InvalidField`], with what is wrong.
    pub(super) fn read(
        mut fields: JsonFields<'_>,
        keeps_attribution: bool,
    ) -> Result<Self, InvalidField> {
        let mut ignored = UnusedFields::default();
        let mut messages: Vec<Message> = Vec::new();
        if let Some(sent) = fields.take("system") {
            messages.extend(system(sent, keeps_attribution)?);
        }
        let sent =
            fields.take("messages").ok_or_else(|| fields.invalid("messages", "is missing"))?;
        let n_before = messages.len();
        read_messages(sent, &mut messages)?;
        if messages.len() == n_before {
            return Err(fields.invalid("messages", "must have at least one message"));
        }
        // As in Anthropic's API, the model goes on with what the client lets it say.
        let continues_last = messages
            .last()
            .is_some_and(|last| last.role == Role::Assistant && last.tool_calls.is_empty());
        let tools = match fields.take("tools") {
            Some(sent) => tools(sent, &mut ignored)?,
            None => Vec::new(),
        };
        let mut conversation = Conversation { tools, continues_last, ..Conversation::of(messages) };
        if let Some(choice) = fields.object("tool_choice")? {
            read_choice(choice, &mut conversation)?;
        }
        let mut params = sampling(&mut fields)?;
        if let Some(thinking) = fields.object("thinking")? {
            read_thinking(thinking, &mut conversation, &mut params)?;
        }
        read_output_config(&mut fields, &mut conversation, &mut params, &mut ignored)?;
        let is_stream = fields.flag("stream")?.unwrap_or(false);
        // They say nothing that changes the answer here.
        for name in ["model", "metadata", "service_tier", "cache_control"] {
            fields.take(name);
        }
        fields.ignored(&mut ignored);
        Ok(Self { conversation, params, is_stream, ignored })
    }
}

/// Reads `tools`. Tools that Anthropic defines or runs itself are named in `ignored`.
fn tools(sent: JsonSlice<'_>, ignored: &mut UnusedFields) -> Result<Vec<Tool>, InvalidField> {
    let mut tools: Vec<Tool> = Vec::new();
    let values = values_of("tools", sent)?;
    if values.len() > MAX_TOOLS {
        let reason = format!("must be at most {MAX_TOOLS}, not {}", values.len());
        return Err(InvalidField::new("tools", reason));
    }
    for (path, value) in values {
        let mut fields = JsonFields::of(&path, value)?;
        if let Some(kind) = fields.text("type")?.filter(|kind| kind != "custom") {
            ignored.add(format!("{path} ({kind})"));
            continue;
        }
        let name = fields.required_text("name")?;
        if tools.iter().any(|tool| tool.name == name) {
            return Err(fields.invalid("name", format!("{} occurs twice", Quoted(&name))));
        }
        let description = fields.text("description")?.map(|text| text.into_owned());
        let parameters = fields.object_text("input_schema")?;
        tools.push(Tool { name, description, parameters });
    }
    Ok(tools)
}

/// Reads `tool_choice`.
fn read_choice(
    mut fields: JsonFields<'_>,
    conversation: &mut Conversation,
) -> Result<(), InvalidField> {
    if fields.flag("disable_parallel_tool_use")? == Some(true) {
        conversation.parallel_tool_calls = false;
    }
    conversation.tool_choice = match &*fields.required_text("type")? {
        "auto" => ToolChoice::Auto,
        "none" => ToolChoice::None,
        "any" if conversation.tools.is_empty() => {
            return Err(fields.invalid("type", "is any, but there are no tools"));
        }
        "any" => ToolChoice::Required,
        "tool" => {
            let name = fields.required_text("name")?;
            if !conversation.tools.iter().any(|tool| tool.name == name) {
                let reason = format!("{} is none of the tools", Quoted(&name));
                return Err(fields.invalid("name", reason));
            }
            ToolChoice::Named(name)
        }
        other => {
            let reason = format!("must be auto, any, tool or none, not {}", Quoted(other));
            return Err(fields.invalid("type", reason));
        }
    };
    Ok(())
}

/// The parameters of generation.
fn sampling(fields: &mut JsonFields<'_>) -> Result<Params, InvalidField> {
    let default = Params::default();
    let count = |number: i64| u32::try_from(number).ok();
    Ok(Params {
        temp: fields.number("temperature", Params::TEMP)?.unwrap_or(default.temp),
        top_p: fields.number("top_p", Params::PROBABILITY)?.unwrap_or(default.top_p),
        top_k: fields.integer("top_k", Params::TOP_K)?.and_then(count).unwrap_or(default.top_k),
        max_tokens: fields.integer("max_tokens", TOKENS)?.and_then(count),
        stop: stop_sequences(fields)?,
        ..default
    })
}

fn stop_sequences(fields: &mut JsonFields<'_>) -> Result<Vec<String>, InvalidField> {
    let values = fields.list("stop_sequences")?.unwrap_or_default();
    if values.len() > Params::MAX_STOPS {
        let max = Params::MAX_STOPS;
        let reason = format!("must be at most {max} texts, not {}", values.len());
        return Err(fields.invalid("stop_sequences", reason));
    }
    let max = Params::MAX_STOP_BYTES;
    let read = |(path, value): (String, JsonSlice<'_>)| match value.text() {
        Some(text) if !text.is_empty() && text.len() <= max => Ok(text.into_owned()),
        Some(text) => {
            let reason = format!("must have 1 to {max} bytes, not {}", text.len());
            Err(InvalidField::new(path, reason))
        }
        None => Err(InvalidField::new(path, format!("must be a string, not {value}"))),
    };
    values.into_iter().map(read).collect()
}

/// Reads `thinking`.
fn read_thinking(
    mut fields: JsonFields<'_>,
    conversation: &mut Conversation,
    params: &mut Params,
) -> Result<(), InvalidField> {
    let is_enabled = match &*fields.required_text("type")? {
        "disabled" => false,
        "enabled" | "adaptive" => true,
        other => {
            let reason = format!("must be enabled, adaptive or disabled, not {}", Quoted(other));
            return Err(fields.invalid("type", reason));
        }
    };
    if is_enabled {
        let budget = fields.integer("budget_tokens", TOKENS)?;
        params.reasoning_budget = budget.and_then(|budget| u32::try_from(budget).ok());
    }
    set_variable(conversation, "enable_thinking", is_enabled.to_string());
    Ok(())
}

/// Reads `output_config` and the older `output_format`: the effort, and the schema of the answer.
fn read_output_config(
    fields: &mut JsonFields<'_>,
    conversation: &mut Conversation,
    params: &mut Params,
    ignored: &mut UnusedFields,
) -> Result<(), InvalidField> {
    let mut format = fields.object("output_format")?;
    if let Some(mut config) = fields.object("output_config")? {
        if let Some(effort) = config.text("effort")? {
            let effort = serde_json::to_string(&effort).expect("a string is always JSON");
            set_variable(conversation, "reasoning_effort", effort);
        }
        format = config.object("format")?.or(format);
        config.ignored(ignored);
    }
    let Some(mut format) = format else { return Ok(()) };
    match &*format.required_text("type")? {
        "json_schema" => {
            let schema = format.object_text("schema")?;
            let schema = schema.ok_or_else(|| format.invalid("schema", "is missing"))?;
            params.constraint = Some(Box::new(Constraint::JsonSchema(schema)));
            params.constraint_field = Some(format.path("schema"));
            Ok(())
        }
        other => {
            let reason = format!("must be json_schema, not {}", Quoted(other));
            Err(format.invalid("type", reason))
        }
    }
}

fn set_variable(conversation: &mut Conversation, name: &str, json: String) {
    conversation.template_variables.push((name.to_owned(), JsonText(json)));
}

/// Range of the numbers of tokens.
const TOKENS: Range = Range { min: 0.0, max: Params::MAX_TOKENS.max };

/// Most tools of a request.
const MAX_TOOLS: usize = 1024;

#[cfg(test)]
mod tests;
