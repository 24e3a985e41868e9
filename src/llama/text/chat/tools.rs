//! What a template does with tools, and the messages in the form that it needs.

use std::collections::HashMap;

use crate::domain::{JsonText, Message, Role, Tool, ToolCall, ToolCallStyle};

use super::super::chat_template::{
    TemplateArguments, TemplateCall, TemplateContent, TemplateConversation, TemplateJson,
    TemplateMessage, TemplateTool,
};
use super::probe::{FIRST, PROBE, Prober, RoleSupport};
use super::tool_style::{ARGUMENT, CALLED, VALUE, style_of};
use super::tool_text::{CallNames, NO_PARAMETERS, call_text};

/// How a template that knows tools wants them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct NativeTools {
    /// How the model writes calls.
    pub(super) style: ToolCallStyle,
    form: CallForm,
    /// Whether it writes the content of a message with calls.
    writes_content: bool,
    /// Whether it writes several calls of one message.
    writes_several: bool,
}

/// The form in which a template gets calls and results.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct CallForm {
    /// Whether arguments are the text of a JSON object instead of a dictionary.
    has_text_arguments: bool,
    /// Whether ids have to be nine letters or digits (Mistral).
    has_short_ids: bool,
    /// Whether the content of a message that is nothing but calls has to be `none`.
    has_no_content: bool,
    /// Whether the calls are a part of the content, as the model wrote them (Granite).
    is_in_content: bool,
    result: RoleSupport,
}

/// Finds out what a template does with tools; `None` if it leaves out tools, calls or results, or
/// writes calls in a form that cannot be read in answers. `questions` is a conversation up to the
/// first answer.
pub(super) fn probe_tools(
    prober: &mut Prober<'_>,
    questions: &[TemplateMessage],
) -> Option<NativeTools> {
    if !prober.writes(conversation(questions.to_vec()), &[TOOL]) {
        return None;
    }
    let names_granite_calls = prober.can_write("<|tool_call|>");
    let mut forms = forms().filter(|form| names_granite_calls || !form.is_in_content);
    let (form, style) = forms.find_map(|form| {
        let messages = [questions, &form.call("", &["call_1"])].concat();
        let text = prober.render(conversation(messages))?;
        let style = style_of(text.split_once(FIRST)?.1)?;
        let is_written = has_all(&text, &[CALLED, ARGUMENT, VALUE, RESULT]);
        let is_quoted_twice = text.contains(&format!("\\\"{ARGUMENT}\\\""));
        (is_written && !is_quoted_twice).then_some((form, style))
    })?;
    let with_content = [questions, &form.call(PROBE, &["call_1"])].concat();
    let several = [questions, &form.call("", &["call_1", "call_2"])].concat();
    let both = prober.render(conversation(several));
    Some(NativeTools {
        style,
        form,
        writes_content: prober.writes(conversation(with_content), &[PROBE, VALUE]),
        writes_several: both.is_some_and(|text| {
            text.matches(CALLED).count() >= 2 && text.matches(RESULT).count() >= 2
        }),
    })
}

/// The forms to try, the most common first.
fn forms() -> impl Iterator<Item = CallForm> {
    let results = [RoleSupport::Text, RoleSupport::Parts].into_iter();
    let plain = results.flat_map(|result| {
        (0..8).map(move |bits| CallForm {
            has_no_content: bits & 1 != 0,
            has_short_ids: bits & 2 != 0,
            has_text_arguments: bits & 4 != 0,
            is_in_content: false,
            result,
        })
    });
    plain.chain([CallForm {
        has_no_content: false,
        has_short_ids: false,
        has_text_arguments: false,
        is_in_content: true,
        result: RoleSupport::Text,
    }])
}

/// A conversation with a tool.
fn conversation(messages: Vec<TemplateMessage>) -> TemplateConversation {
    let parameters = TemplateJson::parse(SCHEMA);
    let parameters = parameters.expect("the schema of the probe is JSON");
    let description = "Does it.".to_owned();
    TemplateConversation {
        tools: vec![TemplateTool { name: TOOL.to_owned(), description, parameters }],
        ..TemplateConversation::from(messages)
    }
}

fn has_all(text: &str, words: &[&str]) -> bool {
    words.iter().all(|word| text.contains(word))
}

impl CallForm {
    /// A message with calls of these ids, and the results.
    fn call(self, content: &str, ids: &[&str]) -> Vec<TemplateMessage> {
        let arguments = || JsonText(format!("{{\"{ARGUMENT}\": \"{VALUE}\"}}"));
        let call = |id: &&str| ToolCall {
            id: (*id).to_owned(),
            name: CALLED.to_owned(),
            arguments: arguments(),
        };
        let mut message = Message::text(Role::Assistant, content);
        message.tool_calls = ids.iter().map(call).collect();
        let result = |id: &&str| Message {
            tool_call_id: Some((*id).to_owned()),
            ..Message::text(Role::Tool, RESULT)
        };
        let mut messages = vec![message];
        messages.extend(ids.iter().map(result));
        self.adapt(&mut messages);
        messages.iter().map(|message| self.template_message(message)).collect()
    }

    /// A message of the probe.
    fn template_message(self, message: &Message) -> TemplateMessage {
        let content = match message.role {
            Role::Tool => self.result.content(&message.content),
            _ => {
                self.content(message).unwrap_or_else(|| RoleSupport::Text.content(&message.content))
            }
        };
        TemplateMessage {
            tool_calls: self.calls(message),
            tool_call_id: message.tool_call_id.clone(),
            name: message.name.clone(),
            ..TemplateMessage::new(message.role, content)
        }
    }

    /// The content of a message, if its calls ask for a special one.
    fn content(self, message: &Message) -> Option<TemplateContent> {
        let is_empty = message.content.is_empty() && !message.tool_calls.is_empty();
        (is_empty && self.has_no_content).then_some(TemplateContent::None)
    }

    fn calls(self, message: &Message) -> Vec<TemplateCall> {
        let call = |ToolCall { id, name, arguments }: &ToolCall| TemplateCall {
            id: id.clone(),
            name: name.clone(),
            arguments: self.arguments(&arguments.0),
        };
        message.tool_calls.iter().map(call).collect()
    }

    fn arguments(self, text: &str) -> TemplateArguments {
        let text = if text.trim().is_empty() { "{}" } else { text };
        // A client may send what is no object, such as a call that the model broke off.
        let parsed = TemplateJson::parse(text).ok().filter(TemplateJson::is_object);
        match parsed {
            Some(json) if !self.has_text_arguments => TemplateArguments::Mapping(json),
            _ => TemplateArguments::Text(text.to_owned()),
        }
    }

    /// Gives each result the name of its tool, and each call an id that the template accepts.
    fn adapt(self, messages: &mut [Message]) {
        let mut names = CallNames::default();
        let mut ids: HashMap<String, String> = HashMap::new();
        for message in messages {
            names.complete(message);
            if self.has_short_ids {
                let own = message.tool_calls.iter_mut().map(|call| &mut call.id);
                own.chain(&mut message.tool_call_id).for_each(|id| shorten(id, &mut ids));
            }
            if self.is_in_content {
                write_granite_calls(message);
            }
        }
    }
}

/// Replaces an id by nine digits if it is not nine letters and digits.
fn shorten(id: &mut String, ids: &mut HashMap<String, String>) {
    if id.len() == 9 && id.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return;
    }
    let n = ids.len();
    *id = ids.entry(std::mem::take(id)).or_insert_with(|| format!("{n:09}")).clone();
}

/// Puts the calls of a message into its content, as Granite writes them.
fn write_granite_calls(message: &mut Message) {
    let calls = std::mem::take(&mut message.tool_calls);
    if !calls.is_empty() {
        let calls: Vec<_> =
            calls.iter().map(|call| call_text(&call.name, &call.arguments)).collect();
        message.content.push_str(&format!("<|tool_call|>[{}]", calls.join(", ")));
    }
}

impl NativeTools {
    /// The messages in the order and with the parts that the template writes.
    pub(super) fn arranged(&self, messages: &[Message]) -> Vec<Message> {
        let mut arranged = Vec::with_capacity(messages.len());
        let mut rest = messages;
        while let [message, after @ ..] = rest {
            rest = after;
            let mut message = message.clone();
            if !self.writes_content && !message.content.is_empty() && !message.tool_calls.is_empty()
            {
                let tool_calls = std::mem::take(&mut message.tool_calls);
                arranged.push(message);
                message = Message { tool_calls, ..Message::text(Role::Assistant, "") };
            }
            if self.writes_several || message.tool_calls.len() < 2 {
                arranged.push(message);
                continue;
            }
            let n = rest.iter().take_while(|message| message.role == Role::Tool).count();
            let (results, after) = rest.split_at(n);
            rest = after;
            push_one_by_one(&mut arranged, message, results);
        }
        self.form.adapt(&mut arranged);
        arranged
    }

    /// The content of a message in the form that the template reads, if tools ask for a special
    /// one.
    pub(super) fn content(&self, message: &Message, content: &str) -> Option<TemplateContent> {
        match message.role {
            Role::Tool => Some(self.form.result.content(content)),
            _ => self.form.content(message),
        }
    }

    /// The calls of a message in the form that the template reads.
    pub(super) fn calls(&self, message: &Message) -> Vec<TemplateCall> {
        self.form.calls(message)
    }
}

/// Adds a message with several calls as a message for each call, followed by its result.
fn push_one_by_one(arranged: &mut Vec<Message>, mut message: Message, results: &[Message]) {
    let calls = std::mem::take(&mut message.tool_calls);
    let mut left: Vec<&Message> = results.iter().collect();
    for call in calls {
        let is_answer = |result: &&Message| result.tool_call_id.as_ref() == Some(&call.id);
        let (answers, others): (Vec<_>, Vec<_>) = left.into_iter().partition(is_answer);
        left = others;
        message.tool_calls = vec![call];
        arranged.push(std::mem::replace(&mut message, Message::text(Role::Assistant, "")));
        arranged.extend(answers.into_iter().cloned());
    }
    arranged.extend(left.into_iter().cloned());
}

/// The tools as the template gets them.
///
/// # Errors
/// Which tool has a schema that is not JSON.
pub(super) fn template_tools(tools: &[Tool]) -> Result<Vec<TemplateTool>, String> {
    let tool = |tool: &Tool| {
        let parameters = tool.parameters.as_ref().map_or(NO_PARAMETERS, |schema| &schema.0);
        let parameters = TemplateJson::parse(parameters).map_err(|error| {
            format!("the parameters of the tool {} are no JSON: {error}", tool.name)
        })?;
        let description = tool.description.clone().unwrap_or_default();
        Ok(TemplateTool { name: tool.name.clone(), description, parameters })
    };
    tools.iter().map(tool).collect()
}

// Words that no template contains.
const TOOL: &str = "qtoolzx";
const RESULT: &str = "qresultzx";
const SCHEMA: &str = r#"{"type": "object", "properties": {"qargumentzx": {"type": "string",
    "description": "What."}}, "required": ["qargumentzx"]}"#;
