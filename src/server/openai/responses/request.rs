//! Reads the body of `POST /v1/responses`, which is also a `response.create` event.

use std::borrow::Cow;

use serde_json::value::RawValue;

use crate::domain::{Constraint, Conversation, JsonText, Params, Range, ToolChoice};
use crate::protocol::{JsonSlice, Quoted};
use crate::server::json_fields::{InvalidField, JsonFields, UnusedFields};

use super::input::{InputItem, input_items};
use super::items::{ResponseItem, messages_of};
use super::tools::{RequestTools, ToolNames, tools};

/// What a client asks for.
#[derive(Debug)]
pub(super) struct ResponsesRequest {
    pub(super) input: Vec<InputItem>,
    /// Whether the events are sent as they come.
    pub(super) is_stream: bool,
    /// Whether there is to be an answer, or only a warm-up of the prefix cache.
    pub(super) generates: bool,
    pub(super) params: Params,
    pub(super) names: ToolNames,
    /// What the response repeats.
    pub(super) settings: ResponseSettings,
    /// What has no effect.
    pub(super) ignored: UnusedFields,
    /// The conversation but for its messages.
    frame: Conversation,
}

/// The settings of a request, which its response repeats.
#[derive(Debug, Clone)]
pub(super) struct ResponseSettings {
    pub(super) instructions: Option<String>,
    pub(super) max_output_tokens: Option<u32>,
    pub(super) metadata: Option<Box<RawValue>>,
    pub(super) parallel_tool_calls: bool,
    pub(super) previous_response_id: Option<String>,
    pub(super) reasoning: Option<Box<RawValue>>,
    /// Whether the response can be retrieved and continued by any connection of the account.
    pub(super) store: bool,
    pub(super) temperature: f32,
    pub(super) text: Option<Box<RawValue>>,
    pub(super) tool_choice: Option<Box<RawValue>>,
    pub(super) tools: Option<Box<RawValue>>,
    pub(super) top_p: f32,
    pub(super) presence_penalty: f32,
    pub(super) frequency_penalty: f32,
}

impl ResponsesRequest {
    /// Reads the body `sent`. `is_stored` is the default of `store`.
    ///
    /// # Errors
    /// [`InvalidField`], with what is wrong.
    pub(super) fn read(mut fields: JsonFields<'_>, is_stored: bool) -> Result<Self, InvalidField> {
        let mut ignored = UnusedFields::default();
        let fields = &mut fields;
        let sent = SentTools::take(fields, &mut ignored)?;
        let RequestTools { tools, names } = sent.tools;
        let parallel_tool_calls = fields.flag("parallel_tool_calls")?.unwrap_or(true);
        let input = match fields.take("input") {
            Some(sent) => input_items(sent, &names, &mut ignored)?,
            None => Vec::new(),
        };
        let reasoning = fields.take("reasoning");
        let frame = Conversation {
            tools,
            tool_choice: sent.choice,
            parallel_tool_calls,
            template_variables: template_variables(reasoning, fields, &mut ignored)?,
            ..Conversation::of(Vec::new())
        };
        let text = fields.take("text");
        let constraint = text.map(|sent| read_text(sent, &mut ignored)).transpose()?.flatten();
        let mut params = Params { constraint: constraint.map(Box::new), ..sampling(fields)? };
        params.constraint_field = Some("text.format.schema".to_owned());
        let settings = ResponseSettings {
            instructions: fields.text("instructions")?.map(Cow::into_owned),
            max_output_tokens: params.max_tokens,
            metadata: fields.take("metadata").map(raw_value),
            parallel_tool_calls,
            previous_response_id: fields.text("previous_response_id")?.map(Cow::into_owned),
            reasoning: reasoning.map(raw_value),
            store: fields.flag("store")?.unwrap_or(is_stored),
            temperature: params.temp,
            text: text.map(raw_value),
            tool_choice: sent.raw_choice,
            tools: sent.raw_tools,
            top_p: params.top_p,
            presence_penalty: params.presence_penalty,
            frequency_penalty: params.frequency_penalty,
        };
        let generates = fields.flag("generate")?.unwrap_or(true);
        if !generates {
            params.max_tokens = Some(0);
        }
        let is_stream = fields.flag("stream")?.unwrap_or(false);
        read_rest(fields, &mut ignored)?;
        Ok(Self { input, is_stream, generates, params, names, settings, ignored, frame })
    }

    /// The conversation of `items`, which are those of earlier responses and of this request.
    ///
    /// # Errors
    /// [`InvalidField`], if there is nothing to answer.
    pub(super) fn conversation<'a>(
        &self,
        items: impl IntoIterator<Item = &'a ResponseItem>,
    ) -> Result<Conversation, InvalidField> {
        let messages = messages_of(self.settings.instructions.as_deref(), items);
        if messages.is_empty() {
            return Err(InvalidField::new("input", "is missing: send a string or a list of items"));
        }
        Ok(Conversation { messages, ..self.frame.clone() })
    }
}

/// The tools of a request, and what the client sent for them.
struct SentTools {
    tools: RequestTools,
    choice: ToolChoice,
    raw_tools: Option<Box<RawValue>>,
    raw_choice: Option<Box<RawValue>>,
}

impl SentTools {
    fn take(fields: &mut JsonFields<'_>, ignored: &mut UnusedFields) -> Result<Self, InvalidField> {
        let sent_tools = fields.take("tools");
        let sent_choice = fields.take("tool_choice");
        let mut tools = match sent_tools {
            Some(sent) => tools(sent, ignored)?,
            None => RequestTools::default(),
        };
        let choice = match sent_choice {
            Some(sent) => tools.choose(sent)?,
            None => ToolChoice::Auto,
        };
        if choice == ToolChoice::Required && tools.tools.is_empty() {
            let reason = "is required, but there are no functions in tools";
            return Err(InvalidField::new("tool_choice", reason));
        }
        let raw_tools = sent_tools.map(raw_value);
        Ok(Self { tools, choice, raw_tools, raw_choice: sent_choice.map(raw_value) })
    }
}

/// The parameters of generation.
fn sampling(fields: &mut JsonFields<'_>) -> Result<Params, InvalidField> {
    let default = Params::default();
    let penalty = Params::PENALTY;
    let max_tokens = fields.integer("max_output_tokens", MAX_OUTPUT_TOKENS)?;
    let seed = fields.integer("seed", Params::SEED)?;
    let count = |number: i64| u32::try_from(number).ok();
    Ok(Params {
        temp: fields.number("temperature", Params::TEMP)?.unwrap_or(default.temp),
        top_p: fields.number("top_p", Params::PROBABILITY)?.unwrap_or(default.top_p),
        min_p: fields.number("min_p", Params::PROBABILITY)?.unwrap_or(default.min_p),
        top_k: fields.integer("top_k", Params::TOP_K)?.and_then(count).unwrap_or(default.top_k),
        repeat_penalty: fields
            .number("repeat_penalty", Params::REPEAT_PENALTY)?
            .unwrap_or(default.repeat_penalty),
        presence_penalty: fields
            .number("presence_penalty", penalty)?
            .unwrap_or(default.presence_penalty),
        frequency_penalty: fields
            .number("frequency_penalty", penalty)?
            .unwrap_or(default.frequency_penalty),
        seed: seed.and_then(count),
        max_tokens: max_tokens.and_then(count),
        reasoning_budget: fields.integer("reasoning_budget", MAX_OUTPUT_TOKENS)?.and_then(count),
        ..default
    })
}

/// The variables for the template: of `reasoning` and of `chat_template_kwargs`.
fn template_variables(
    reasoning: Option<JsonSlice<'_>>,
    fields: &mut JsonFields<'_>,
    ignored: &mut UnusedFields,
) -> Result<Vec<(String, JsonText)>, InvalidField> {
    let mut variables = Vec::new();
    if let Some(sent) = reasoning {
        read_reasoning(sent, &mut variables, ignored)?;
    }
    read_more_variables(fields, &mut variables)?;
    Ok(variables)
}

/// Reads `reasoning`: the effort goes to the template, `none` switches thinking off.
fn read_reasoning(
    sent: JsonSlice<'_>,
    variables: &mut Vec<(String, JsonText)>,
    ignored: &mut UnusedFields,
) -> Result<(), InvalidField> {
    let mut fields = JsonFields::of("reasoning", sent)?;
    match fields.text("effort")?.as_deref() {
        None => {}
        Some("none") => {
            variables.push(("enable_thinking".to_owned(), JsonText("false".to_owned())));
        }
        Some(effort @ ("minimal" | "low" | "medium" | "high" | "xhigh")) => {
            variables.push(("enable_thinking".to_owned(), JsonText("true".to_owned())));
            variables.push(("reasoning_effort".to_owned(), JsonText(format!("\"{effort}\""))));
        }
        Some(other) => {
            let reason =
                format!("must be none, minimal, low, medium, high or xhigh, not {}", Quoted(other));
            return Err(fields.invalid("effort", reason));
        }
    }
    fields.ignored(ignored);
    Ok(())
}

/// Reads `chat_template_kwargs`, more variables for the template.
fn read_more_variables(
    fields: &mut JsonFields<'_>,
    variables: &mut Vec<(String, JsonText)>,
) -> Result<(), InvalidField> {
    let Some(sent) = fields.take("chat_template_kwargs") else { return Ok(()) };
    let object = sent.object(MAX_TEMPLATE_VARIABLES);
    let Some(object) = object.filter(|object| object.len <= MAX_TEMPLATE_VARIABLES) else {
        let reason = format!("must be an object with at most {MAX_TEMPLATE_VARIABLES} fields");
        return Err(fields.invalid("chat_template_kwargs", reason));
    };
    for (name, value) in object.items {
        variables.retain(|(known, _)| *known != name);
        variables.push((name, JsonText(value.source().into_owned())));
    }
    Ok(())
}

/// Reads `text`: the format of the answer.
fn read_text(
    sent: JsonSlice<'_>,
    ignored: &mut UnusedFields,
) -> Result<Option<Constraint>, InvalidField> {
    let mut fields = JsonFields::of("text", sent)?;
    let constraint = match fields.object("format")? {
        None => None,
        Some(mut format) => match &*format.required_text("type")? {
            "text" => None,
            "json_object" => Some(Constraint::Json),
            "json_schema" => {
                let schema = format.object_text("schema")?;
                Some(Constraint::JsonSchema(
                    schema.ok_or_else(|| format.invalid("schema", "is missing"))?,
                ))
            }
            other => {
                let reason =
                    format!("must be text, json_object or json_schema, not {}", Quoted(other));
                return Err(format.invalid("type", reason));
            }
        },
    };
    fields.ignored(ignored);
    Ok(constraint)
}

/// Reads what has no effect, and refuses what would have one that this server does not have.
fn read_rest(fields: &mut JsonFields<'_>, ignored: &mut UnusedFields) -> Result<(), InvalidField> {
    for name in ["background", "conversation", "prompt"] {
        let Some(sent) = fields.take(name) else { continue };
        if sent.flag() != Some(false) {
            return Err(fields.invalid(name, "is not supported: leave it out"));
        }
    }
    if fields.text("truncation")?.is_some_and(|text| text != "disabled") {
        ignored.add("truncation");
    }
    // They say nothing that changes the answer here.
    for name in ["model", "type", "stream_id", "user", "safety_identifier", "client_metadata"] {
        fields.take(name);
    }
    for name in ["prompt_cache_key", "prompt_cache_retention", "service_tier", "stream_options"] {
        fields.take(name);
    }
    for (path, sent) in fields.list("include")?.unwrap_or_default() {
        let name = sent.text().unwrap_or_default();
        ignored.add(format!("{path} ({name})"));
    }
    std::mem::take(fields).ignored(ignored);
    Ok(())
}

/// The value with its own memory.
fn raw_value(sent: JsonSlice<'_>) -> Box<RawValue> {
    RawValue::from_string(sent.source().into_owned()).expect("a valid value was read")
}

/// Range of the numbers of tokens.
const MAX_OUTPUT_TOKENS: Range = Range { min: 0.0, max: Params::MAX_TOKENS.max };

/// Most variables that a request gives to the template.
const MAX_TEMPLATE_VARIABLES: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Message, Role};

    fn read(text: &str) -> Result<ResponsesRequest, String> {
        let fields = JsonFields::of("", JsonSlice::validate(text).unwrap()).unwrap();
        ResponsesRequest::read(fields, true).map_err(|error| error.to_string())
    }

    fn conversation(request: &ResponsesRequest) -> Conversation {
        let items: Vec<&ResponseItem> = request
            .input
            .iter()
            .filter_map(|item| match item {
                InputItem::Given(item) => Some(item),
                InputItem::Reference { .. } => None,
            })
            .collect();
        request.conversation(items).unwrap()
    }

    #[test]
    fn request_of_an_agent_becomes_a_conversation_and_parameters() {
        let request = read(
            r#"{"model":"x","instructions":"be short","input":[{"role":"user","content":"hi"}],
            "tools":[{"type":"function","name":"f","parameters":{"type":"object"}}],
            "tool_choice":"auto","parallel_tool_calls":false,"reasoning":{"effort":"low","summary":"auto"},
            "store":false,"stream":true,"include":["reasoning.encrypted_content"],
            "prompt_cache_key":"k","client_metadata":{"a":"b"},"max_output_tokens":7,
            "temperature":0.5,"top_p":null,"service_tier":"auto","mystery":1}"#,
        )
        .unwrap();
        assert!(request.is_stream && !request.settings.store && request.generates);
        assert_eq!((request.params.temp, request.params.max_tokens), (0.5, Some(7)));
        let conversation = conversation(&request);
        let expected = [Message::text(Role::System, "be short"), Message::text(Role::User, "hi")];
        assert_eq!(conversation.messages, expected);
        assert_eq!(conversation.tools.len(), 1);
        assert!(!conversation.parallel_tool_calls);
        let variables = conversation.template_variables.iter();
        let variables: Vec<_> = variables.map(|(name, value)| (&**name, &*value.0)).collect();
        assert_eq!(variables, [("enable_thinking", "true"), ("reasoning_effort", "\"low\"")]);
        let ignored = ["reasoning.summary", "include[0] (reasoning.encrypted_content)", "mystery"];
        assert_eq!(request.ignored.names(), ignored);
    }

    #[test]
    fn format_of_the_text_is_a_constraint() {
        for (format, expected) in [
            (r#"{"type":"text"}"#, None),
            (r#"{"type":"json_object"}"#, Some(Constraint::Json)),
            (
                r#"{"type":"json_schema","name":"n","strict":true,"schema":{"type":"null"}}"#,
                Some(Constraint::JsonSchema(JsonText(r#"{"type":"null"}"#.to_owned()))),
            ),
        ] {
            let text = format!(r#"{{"input":"hi","text":{{"format":{format}}}}}"#);
            assert_eq!(read(&text).unwrap().params.constraint.map(|c| *c), expected, "{format}");
        }
    }

    #[test]
    fn warm_up_generates_no_token_and_repeats_the_limit_of_its_answer() {
        let request = read(r#"{"input":"hi","generate":false,"max_output_tokens":9}"#).unwrap();
        assert_eq!(request.params.max_tokens, Some(0));
        assert_eq!(request.settings.max_output_tokens, Some(9));
    }

    #[test]
    fn unusable_request_is_refused_with_the_path_of_the_field() {
        for (text, expected) in [
            (
                r#"{"input":"a","temperature":11}"#,
                "temperature: must be a number from 0 to 10, not 11",
            ),
            (r#"{"input":"a","background":true}"#, "background: is not supported: leave it out"),
            (
                r#"{"input":"a","tool_choice":"required"}"#,
                "tool_choice: is required, but there are no functions in tools",
            ),
            (
                r#"{"input":"a","text":{"format":{"type":"json_schema"}}}"#,
                "text.format.schema: is missing",
            ),
            (
                r#"{"input":"a","reasoning":{"effort":"huge"}}"#,
                "reasoning.effort: must be none, minimal, low, medium, high or xhigh, not \"huge\"",
            ),
            (
                r#"{"input":"a","max_output_tokens":1.5}"#,
                "max_output_tokens: must be a whole number from 0 to 2147483647, not 1.5",
            ),
        ] {
            assert_eq!(read(text).unwrap_err(), expected, "{text}");
        }
        let empty = read("{}").unwrap().conversation([]).unwrap_err();
        assert_eq!(empty.to_string(), "input: is missing: send a string or a list of items");
    }
}
