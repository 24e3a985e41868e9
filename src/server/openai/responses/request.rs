//! What a request for a response asks for, from its body.

use crate::domain::{Constraint, Conversation, JsonText, Params, ToolChoice};
use crate::server::json::{IgnoredFields, InvalidField, Kept, ObjectText};
use crate::server::openai::conversation::check_variable;

use super::body::{
    Metadata, ReasoningFields, ResponsesBody, TextFields, TextFormat, TextFormatKind, ToolList,
};
use super::input::{InputItem, input_items};
use super::items::{ResponseItem, messages_of};
use super::tools::{RequestTools, ResponseToolChoice, ToolNames, tools};

/// What a client asks for.
#[derive(Debug)]
pub(super) struct ResponsesRequest {
    pub(super) input: Vec<InputItem>,
    /// Whether the request has the field.
    has_input: bool,
    /// Whether the events are sent as they come.
    pub(super) is_stream: bool,
    /// Whether there is to be an answer, or only a warm-up of the prefix cache.
    pub(super) generates: bool,
    pub(super) params: Params,
    pub(super) names: ToolNames,
    /// What the response repeats.
    pub(super) settings: ResponseSettings,
    /// What has no effect.
    pub(super) ignored: IgnoredFields,
    /// The conversation but for its messages.
    frame: Conversation,
}

/// The settings of a request, which its response repeats.
#[derive(Debug, Clone)]
pub(super) struct ResponseSettings {
    pub(super) instructions: Option<String>,
    pub(super) max_output_tokens: Option<u32>,
    pub(super) metadata: Metadata,
    pub(super) parallel_tool_calls: bool,
    pub(super) previous_response_id: Option<String>,
    pub(super) reasoning: Option<Kept<ReasoningFields>>,
    /// Whether the response can be retrieved and continued by any connection of the account.
    pub(super) store: bool,
    pub(super) temperature: f32,
    pub(super) text: Option<Kept<TextFields>>,
    pub(super) tool_choice: Option<Kept<ResponseToolChoice>>,
    pub(super) tools: Option<Kept<ToolList>>,
    pub(super) top_p: f32,
    pub(super) presence_penalty: f32,
    pub(super) frequency_penalty: f32,
}

impl ResponsesRequest {
    /// Reads a body, which has the fields `ignored` beside those that are known.
    ///
    /// # Errors
    /// [`InvalidField`], with what is wrong.
    pub(super) fn new(
        mut body: ResponsesBody,
        mut ignored: IgnoredFields,
    ) -> Result<Self, InvalidField> {
        let (RequestTools { tools, names }, tool_choice) = read_tools(&body, &mut ignored)?;
        let parallel_tool_calls = body.parallel_tool_calls.unwrap_or(true);
        let has_input = body.input.is_some();
        let input = match body.input.take() {
            Some(sent) => input_items(sent, &names, &mut ignored)?,
            None => Vec::new(),
        };
        let frame = Conversation {
            tools,
            tool_choice,
            parallel_tool_calls,
            template_variables: template_variables(&mut body, &mut ignored)?,
            ..Conversation::of(Vec::new())
        };
        let constraint = match &body.text {
            Some(sent) => constraint(sent.read("text", &mut ignored)?)?,
            None => None,
        };
        let mut params = Params {
            constraint: constraint.map(Box::new),
            constraint_field: Some("text.format.schema".to_owned()),
            ..sampling(&body)
        };
        name_unused(&body, &mut ignored);
        let generates = body.generate.unwrap_or(true);
        let is_stream = body.stream.unwrap_or(false);
        let settings = ResponseSettings {
            instructions: body.instructions,
            max_output_tokens: params.max_tokens,
            metadata: body.metadata.unwrap_or_default(),
            parallel_tool_calls,
            previous_response_id: body.previous_response_id,
            reasoning: body.reasoning,
            store: body.store.unwrap_or(true),
            temperature: params.temp,
            text: body.text,
            tool_choice: body.tool_choice,
            tools: body.tools,
            top_p: params.top_p,
            presence_penalty: params.presence_penalty,
            frequency_penalty: params.frequency_penalty,
        };
        if !generates {
            params.max_tokens = Some(0);
        }
        Ok(Self { input, has_input, is_stream, generates, params, names, settings, ignored, frame })
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
            let reason = match self.has_input {
                true => "has no item that the model can use: send a message",
                false => "is missing: send a string or a list of items",
            };
            return Err(InvalidField::new("input", reason));
        }
        Ok(Conversation { messages, ..self.frame.clone() })
    }
}

/// The tools, and which of them the model may or must call.
fn read_tools(
    body: &ResponsesBody,
    ignored: &mut IgnoredFields,
) -> Result<(RequestTools, ToolChoice), InvalidField> {
    let mut tools = match &body.tools {
        Some(sent) => tools(&sent.read("tools", ignored)?, ignored)?,
        None => RequestTools::default(),
    };
    let choice = match &body.tool_choice {
        Some(sent) => tools.choose(sent.read("tool_choice", ignored)?)?,
        None => ToolChoice::Auto,
    };
    if choice == ToolChoice::Required && tools.tools.is_empty() {
        let reason = "is required, but there are no functions in tools";
        return Err(InvalidField::new("tool_choice", reason));
    }
    Ok((tools, choice))
}

/// The parameters of generation.
fn sampling(body: &ResponsesBody) -> Params {
    let default = Params::default();
    Params {
        temp: body.temperature.map_or(default.temp, |number| number.get()),
        top_p: body.top_p.map_or(default.top_p, |number| number.get()),
        min_p: body.min_p.map_or(default.min_p, |number| number.get()),
        top_k: body.top_k.map_or(default.top_k, |number| number.unless_negative().unwrap_or(0)),
        repeat_penalty: body.repeat_penalty.map_or(default.repeat_penalty, |number| number.get()),
        presence_penalty: body
            .presence_penalty
            .map_or(default.presence_penalty, |number| number.get()),
        frequency_penalty: body
            .frequency_penalty
            .map_or(default.frequency_penalty, |number| number.get()),
        seed: body.seed.and_then(|seed| seed.get()),
        max_tokens: body.max_output_tokens.and_then(|number| number.unless_negative()),
        reasoning_budget: body.reasoning_budget.and_then(|number| number.unless_negative()),
        ..default
    }
}

/// The variables for the template: of `reasoning` and of `chat_template_kwargs`.
fn template_variables(
    body: &mut ResponsesBody,
    ignored: &mut IgnoredFields,
) -> Result<Vec<(String, JsonText)>, InvalidField> {
    let mut variables = Vec::new();
    let mut set = |name: &str, value: String| {
        variables.retain(|(known, _)| known != name);
        variables.push((name.to_owned(), JsonText(value)));
    };
    let reasoning = body.reasoning.as_ref().map(|sent| sent.read("reasoning", ignored));
    // `none` switches thinking off.
    match reasoning.transpose()?.and_then(|reasoning| reasoning.effort).map(|effort| effort.json())
    {
        None => {}
        Some(None) => set("enable_thinking", "false".to_owned()),
        Some(Some(effort)) => {
            set("enable_thinking", "true".to_owned());
            set("reasoning_effort", effort.to_owned());
        }
    }
    for (name, value) in body.chat_template_kwargs.take().map(|all| all.0).unwrap_or_default() {
        check_variable(&name)?;
        set(&name, value.get().to_owned());
    }
    Ok(variables)
}

/// What the answer has to be.
fn constraint(text: TextFields) -> Result<Option<Constraint>, InvalidField> {
    let Some(TextFormat { r#type, schema, .. }) = text.format else { return Ok(None) };
    match r#type {
        TextFormatKind::Text => Ok(None),
        TextFormatKind::JsonObject => Ok(Some(Constraint::Json)),
        TextFormatKind::JsonSchema => match schema.map(ObjectText::into_text) {
            Some(schema) => Ok(Some(Constraint::JsonSchema(schema))),
            None => Err(InvalidField::new("text.format.schema", "is missing")),
        },
    }
}

/// Names the values that have no effect.
fn name_unused(body: &ResponsesBody, ignored: &mut IgnoredFields) {
    if body.truncation.as_ref().is_some_and(|text| text != "disabled") {
        ignored.add("truncation");
    }
    for (i, name) in body.include.iter().flat_map(|names| &names.0).enumerate() {
        ignored.add_kind(&format!("include[{i}]"), name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Message, Role};
    use crate::server::json::read_body;

    fn read(text: &str) -> Result<ResponsesRequest, String> {
        let (body, ignored) = read_body(text).map_err(|error| error.to_string())?;
        ResponsesRequest::new(body, ignored).map_err(|error| error.to_string())
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
        let ignored = ["mystery", "reasoning.summary", "include[0] (reasoning.encrypted_content)"];
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
                "temperature must be a number from 0 to 10, not 11",
            ),
            (r#"{"input":"a","metadata":{"a":5}}"#, "metadata.a must be a string, not 5"),
            (r#"{"input":"a","background":true}"#, "background is not supported: leave it out"),
            (
                r#"{"input":"a","tool_choice":"required"}"#,
                "tool_choice is required, but there are no functions in tools",
            ),
            (
                r#"{"input":"a","text":{"format":{"type":"json_schema"}}}"#,
                "text.format.schema is missing",
            ),
            (
                r#"{"input":"a","reasoning":{"effort":"huge"}}"#,
                "reasoning.effort must be none, minimal, low, medium, high or xhigh, not \"huge\"",
            ),
            (
                r#"{"input":"a","max_output_tokens":1.5}"#,
                "max_output_tokens must be a whole number from -1 to 2147483647, not 1.5",
            ),
        ] {
            assert_eq!(read(text).unwrap_err(), expected, "{text}");
        }
        let empty = read("{}").unwrap().conversation([]).unwrap_err();
        assert_eq!(empty.to_string(), "input is missing: send a string or a list of items");
    }
}
