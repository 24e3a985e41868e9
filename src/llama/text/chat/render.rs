//! Renders one conversation, in which everything that clients wrote is guarded.

use std::borrow::Cow;

use crate::domain::{AnswerStart, Conversation, Message, Role, ToolChoice};
use crate::engine::PromptLimit;

use super::super::chat_template::{
    TemplateContent, TemplateConversation, TemplateJson, TemplateMessage,
};
use super::super::special::{ControlTokenGuard, SpecialTokens, UsedMarkers};
use super::answer::AnswerFormat;
use super::thinking::{is_continued_within, is_within};
use super::tools::template_tools;
use super::{Chat, RenderedChat, RoleSupport};

/// A conversation that is being rendered.
pub(super) struct Rendering<'r> {
    pub(super) chat: &'r Chat,
    pub(super) conversation: &'r Conversation,
    /// The messages, as the template can write them.
    pub(super) messages: Cow<'r, [Message]>,
    pub(super) specials: &'r SpecialTokens,
    pub(super) limit: &'r PromptLimit,
}

/// Hides the control tokens in a text, and is told whether it is an answer.
type Hide<'h> = &'h dyn Fn(&str, bool) -> String;

impl Rendering<'_> {
    /// Renders the conversation up to where the assistant's answer begins or goes on.
    ///
    /// # Errors
    /// Why it cannot be rendered.
    pub(super) fn render(&self) -> Result<RenderedChat, String> {
        let Self { chat, specials, .. } = self;
        let is_always_split = chat.format != AnswerFormat::Marks || chat.probed.doubles_marks;
        let whole = self.template_conversation(is_always_split)?;
        let (mut used, mut has_starts) = (UsedMarkers::default(), false);
        // What this returns is not used.
        _ = whole.map_texts(&mut |text, _| {
            used.see(text);
            has_starts |= specials.has_start(text);
            String::new()
        });
        let mut unused = used.unused();
        let (Some(marker), Some(tag)) = (unused.next(), unused.next()) else {
            return Err("a conversation must not contain all of the Unicode noncharacters U+FDD0 \
                        to U+FDEF"
                .to_owned());
        };
        let guard = ControlTokenGuard::new(marker);
        let render = |hide: Hide<'_>| match self.render_hidden(&whole, guard, tag, hide) {
            Err(_) if !is_always_split && self.has_marked_answers() => {
                self.render_hidden(&self.template_conversation(true)?, guard, tag, hide)
            }
            rendered => rendered,
        };
        let rendered = render(&|text, is_answer| {
            specials.hide_control_tokens(text, guard, is_answer).into_owned()
        })?;
        // The template may have joined or changed texts so that they became a token.
        if has_starts {
            let safe = render(&|text, is_answer| {
                specials.hide_starts(text, guard, is_answer).into_owned()
            })?;
            if specials.control_tokens(&safe.text) != specials.control_tokens(&rendered.text) {
                return Ok(safe);
            }
        }
        Ok(rendered)
    }

    fn render_hidden(
        &self,
        conversation: &TemplateConversation,
        guard: ControlTokenGuard,
        tag: char,
        hide: Hide<'_>,
    ) -> Result<RenderedChat, String> {
        let mut hidden = conversation.map_texts(&mut |text, is_answer| hide(text, is_answer));
        let style = self.chat.style.thinking.as_ref();
        if !self.conversation.continues_last {
            let text = self.chat.template.render_within(&hidden, self.limit)?;
            let text = guard.unescape_markers(text);
            let start = AnswerStart { is_thinking: is_within(style, &text) };
            return Ok(RenderedChat { text, guard, start });
        }
        let last = hidden.messages.last_mut();
        let last = last.ok_or("there is no message to continue")?;
        let content = last.text().to_owned();
        let continues_thought = content.is_empty() && last.reasoning.is_some();
        add_tag(last, tag, continues_thought);
        let text = self.chat.template.render_within(&hidden, self.limit)?;
        let mut text = guard.unescape_markers(text);
        cut_at_tag(&mut text, tag)?;
        let is_thinking = continues_thought || is_continued_within(style, &text, &content);
        Ok(RenderedChat { text, guard, start: AnswerStart { is_thinking } })
    }

    /// Whether an answer in the conversation has parts that could be separated.
    fn has_marked_answers(&self) -> bool {
        let mut answers = self.messages.iter().filter(|message| message.role == Role::Assistant);
        answers.any(|answer| self.chat.format.split(&answer.content).is_some())
    }

    /// The conversation as the template gets it. `splits` separates the parts of answers.
    fn template_conversation(&self, splits: bool) -> Result<TemplateConversation, String> {
        let Conversation { tools, tool_choice, documents, continues_last, .. } = self.conversation;
        let has_tools = self.chat.tools.is_some() && *tool_choice != ToolChoice::None;
        let tools = if has_tools { template_tools(tools)? } else { Vec::new() };
        let documents = documents.iter().enumerate().map(|(i, document)| {
            let json = TemplateJson::parse(&document.0).ok().filter(TemplateJson::is_object);
            json.ok_or_else(|| format!("document {} is no JSON object", i + 1))
        });
        let (variables, adds_generation_prompt) = self.variables()?;
        let messages = self.messages.iter();
        Ok(TemplateConversation {
            messages: messages.map(|message| self.template_message(message, splits)).collect(),
            tools,
            documents: documents.collect::<Result<_, String>>()?,
            variables,
            adds_generation_prompt: adds_generation_prompt.unwrap_or(!continues_last),
        })
    }

    /// The variables for the template, without `add_generation_prompt`, and that one.
    #[expect(clippy::type_complexity, reason = "used once")]
    fn variables(&self) -> Result<(Vec<(String, TemplateJson)>, Option<bool>), String> {
        let mut adds_generation_prompt = None;
        let mut variables = Vec::new();
        for (name, value) in &self.conversation.template_variables {
            let value = TemplateJson::parse(&value.0)
                .map_err(|error| format!("the template variable {name} is no JSON: {error}"))?;
            if OWN_VARIABLES.contains(&&**name) {
                return Err(format!("{name} is no variable that a request can give a template"));
            }
            if name != "add_generation_prompt" {
                variables.push((name.clone(), value));
                continue;
            }
            let is_added = value.as_bool();
            let is_added = is_added.ok_or("add_generation_prompt has to be true or false")?;
            if is_added && self.conversation.continues_last {
                return Err("the last message cannot be continued if add_generation_prompt is \
                            true: leave one of both out"
                    .to_owned());
            }
            adds_generation_prompt = Some(is_added);
        }
        Ok((variables, adds_generation_prompt))
    }

    /// The message as the template gets it. `splits` separates the parts of answers.
    fn template_message(&self, message: &Message, splits: bool) -> TemplateMessage {
        let Chat { probed, format, tools, .. } = self.chat;
        let Message { role, content, reasoning, tool_call_id, name, .. } = message;
        let is_answer = *role == Role::Assistant;
        let whole =
            if is_answer { probed.with_opening(content) } else { Cow::Borrowed(&**content) };
        let is_split = splits && is_answer && reasoning.is_none();
        let parts = if is_split { format.split(&whole) } else { None };
        let (text, reasoning) = match &parts {
            Some(parts) => (&*parts.content, parts.reasoning.as_deref()),
            None => (&*whole, reasoning.as_deref()),
        };
        let of_tools = tools.as_ref().and_then(|tools| tools.content(message, text));
        let content = of_tools.unwrap_or_else(|| match probed.support(*role) {
            RoleSupport::Parts => TemplateContent::Parts(text.to_owned()),
            _ => TemplateContent::Text(text.to_owned()),
        });
        TemplateMessage {
            role: probed.written_role(*role),
            content,
            reasoning: reasoning.map(str::to_owned),
            tool_calls: tools.as_ref().map_or_else(Vec::new, |tools| tools.calls(message)),
            tool_call_id: tool_call_id.clone(),
            name: name.clone(),
        }
    }
}

/// Puts `tag` behind what is to be continued. The space after it shows whether the template keeps
/// the white space at the end.
fn add_tag(message: &mut TemplateMessage, tag: char, is_in_reasoning: bool) {
    let text = match (&mut message.content, &mut message.reasoning) {
        (_, Some(reasoning)) if is_in_reasoning => reasoning,
        (TemplateContent::Text(text) | TemplateContent::Parts(text), _) => text,
        (TemplateContent::None, _) => return,
    };
    text.push(tag);
    text.push(' ');
}

/// Cuts a rendered conversation at `tag`, as transformers does.
fn cut_at_tag(text: &mut String, tag: char) -> Result<(), String> {
    let at = text
        .rfind(tag)
        .ok_or("the chat template leaves out the last message: it cannot be continued")?;
    let keeps_spaces = text[at + tag.len_utf8()..].starts_with(' ');
    text.truncate(if keeps_spaces { at } else { text[..at].trim_end().len() });
    Ok(())
}

/// The variables that the conversation and the model set.
const OWN_VARIABLES: [&str; 5] = ["messages", "tools", "documents", "bos_token", "eos_token"];
