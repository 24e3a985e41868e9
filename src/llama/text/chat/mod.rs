//! How a conversation becomes a text, in which the control tokens are the template's own.
//!
//! A template is tried before it is trusted: [`probe`] renders conversations of marker words when
//! the model is loaded. It finds out which form of content the template reads, and which messages
//! it would lose. A conversation with such a message is refused, because the model would answer
//! something else than what was asked.
//!
//! What clients wrote is guarded ([`super::special`]): nobody can end a turn or begin a role by
//! typing. The marks that a model writes in its answer, such as `</think>`, count as marks in
//! messages of the assistant, so that an answer can go back as it came. Some templates want the
//! parts of an answer as separate fields; [`answer`] separates them.

mod answer;
mod builtin;
mod probe;

use std::borrow::Cow;

use crate::domain::{Message, Role};
use crate::engine::PromptLimit;
use crate::llama::error::one_line;

use super::chat_template::{ChatTemplate, TemplateContent, TemplateMessage};
use super::special::{ControlTokenGuard, SpecialTokens};

use self::answer::AnswerFormat;
use self::probe::{Probed, RoleSupport};

pub(super) use self::answer::is_answer_mark;
pub use self::builtin::{BUILTIN_CHAT_TEMPLATES, builtin_chat_template};

/// The chat format of a model.
pub(super) struct Chat {
    template: ChatTemplate,
    probed: Probed,
    format: AnswerFormat,
}

/// A rendered conversation.
#[derive(Debug)]
pub(super) struct RenderedChat {
    /// The text, in which control tokens of the messages are hidden by `guard`.
    pub(super) text: String,
    pub(super) guard: ControlTokenGuard,
}

impl Chat {
    /// Compiles and probes a template. `bos` and `eos` are the texts of the begin-of-text and
    /// end-of-text tokens. Tells `specials` which of them the template writes.
    ///
    /// # Errors
    /// One line that says why the model cannot chat with this template.
    pub(super) fn new(
        source: &str,
        bos: String,
        eos: String,
        specials: &mut SpecialTokens,
    ) -> Result<Self, String> {
        let line = |error: String| one_line(&error);
        let mut template = ChatTemplate::new(source.to_owned(), bos, eos).map_err(line)?;
        let (probed, written) = match probe::probe(&template) {
            Ok(found) => found,
            Err(problem) => {
                template = template.with_tool_list();
                probe::probe(&template).map_err(|_| line(problem))?
            }
        };
        for literal in template.literals() {
            specials.guard_marks_of_literal(&literal);
        }
        for text in written {
            specials.guard_marks_of_output(&text);
        }
        let format = AnswerFormat::of(|mark| specials.contains(mark));
        Ok(Self { template, probed, format })
    }

    /// Renders a conversation up to the point where the assistant answers.
    ///
    /// # Errors
    /// Why it cannot be rendered: the template refuses it, would lose a message, or exceeds a
    /// limit.
    pub(super) fn render(
        &self,
        messages: &[Message],
        specials: &SpecialTokens,
        limit: &PromptLimit,
    ) -> Result<RenderedChat, String> {
        self.check(messages)?;
        let texts = messages.iter().flat_map(|message| {
            [message.content.as_str(), message.reasoning.as_deref().unwrap_or_default()]
        });
        let guard = ControlTokenGuard::absent_from(&texts.collect::<Vec<_>>())
            .ok_or("messages must not contain all of the Unicode noncharacters U+FDD0 to U+FDEF")?;
        let whole = |text: &str, is_answer| {
            specials.hide_control_tokens(text, guard, is_answer).into_owned()
        };
        let starts =
            |text: &str, is_answer| specials.hide_starts(text, guard, is_answer).into_owned();
        let text = self.render_hidden(messages, &whole, limit)?;
        // The template may have joined or changed texts so that they became a token.
        let has_starts = |message: &Message| {
            specials.has_start(&message.content)
                || message.reasoning.as_ref().is_some_and(|text| specials.has_start(text))
        };
        if messages.iter().any(has_starts) {
            let safe = self.render_hidden(messages, &starts, limit)?;
            if specials.control_tokens(&safe) != specials.control_tokens(&text) {
                return Ok(RenderedChat { text: safe, guard });
            }
        }
        Ok(RenderedChat { text, guard })
    }

    /// Renders a conversation. `hide` hides control tokens in a text, and is told whether it is an
    /// answer.
    fn render_hidden(
        &self,
        messages: &[Message],
        hide: &dyn Fn(&str, bool) -> String,
        limit: &PromptLimit,
    ) -> Result<String, String> {
        let render = |splits: bool| {
            let messages =
                messages.iter().map(|message| self.template_message(message, splits, hide));
            self.template.render_within(messages.collect(), limit)
        };
        let is_always_split = self.format != AnswerFormat::Marks || self.probed.doubles_marks;
        match render(is_always_split) {
            Err(_) if !is_always_split && self.has_marked_answers(messages) => render(true),
            rendered => rendered,
        }
    }

    /// Refuses a conversation of which the template would lose messages.
    fn check(&self, messages: &[Message]) -> Result<(), String> {
        let is_system = |message: &Message| message.role == Role::System;
        if self.probed.loses_lone_system && messages.iter().all(is_system) {
            return Err("the chat template leaves out a system message without a user message: \
                        add one"
                .to_owned());
        }
        if self.probed.loses_later_system
            && let Some(i) = messages.iter().skip(1).position(is_system)
        {
            return Err(format!(
                "the chat template may leave out system messages after the first message, such as \
                 number {}: put their text into other messages",
                i + 2
            ));
        }
        let mut before = None;
        for (i, Message { role, .. }) in messages.iter().enumerate() {
            if self.probed.support(*role) == RoleSupport::Lost {
                return Err(format!(
                    "the chat template leaves out {} messages, such as number {}: put \
                     their text into a message that it writes",
                    role.name(),
                    i + 1
                ));
            }
            let is_repeated = *role == Role::User && before == Some(Role::User);
            if is_repeated && self.probed.loses_repeated_questions {
                return Err(format!(
                    "the chat template leaves out one of the user messages {i} and {}: \
                     join them",
                    i + 1
                ));
            }
            before = Some(*role);
        }
        Ok(())
    }

    /// Whether an answer in the conversation has parts that could be separated.
    fn has_marked_answers(&self, messages: &[Message]) -> bool {
        let mut answers = messages.iter().filter(|message| message.role == Role::Assistant);
        answers.any(|answer| self.format.split(&answer.content).is_some())
    }

    /// The message as the template gets it. `splits` separates the parts of answers.
    fn template_message(
        &self,
        message: &Message,
        splits: bool,
        hide: &dyn Fn(&str, bool) -> String,
    ) -> TemplateMessage {
        let Message { role, content, reasoning, .. } = message;
        let is_answer = *role == Role::Assistant;
        let whole =
            if is_answer { self.probed.with_opening(content) } else { Cow::Borrowed(&**content) };
        let is_split = splits && is_answer && reasoning.is_none();
        let parts = if is_split { self.format.split(&whole) } else { None };
        let (content, reasoning) = match &parts {
            Some(parts) => (&*parts.content, parts.reasoning.as_deref()),
            None => (&*whole, reasoning.as_deref()),
        };
        let content = hide(content, is_answer);
        TemplateMessage {
            role: *role,
            content: match self.probed.support(*role) {
                RoleSupport::Parts => TemplateContent::Parts(content),
                RoleSupport::Text | RoleSupport::Lost | RoleSupport::Refused => {
                    TemplateContent::Text(content)
                }
            },
            reasoning: reasoning.map(|text| hide(text, false)),
        }
    }
}

#[cfg(test)]
mod tests;
