//! How a conversation becomes a text, in which the control tokens are the template's own.
//!
//! A template is tried before it is trusted: `probe` renders conversations of marker words when the
//! model is loaded. It finds out which form of content the template reads, and which messages it
//! would lose. A conversation with such a message is refused, because the model would answer
//! something else than what was asked.
//!
//! What clients wrote is guarded ([`super::special`]): nobody can end a turn or begin a role by
//! typing. The marks that a model writes in its answer, such as `</think>`, count as marks in
//! messages of the assistant, so that an answer can go back as it came. Some templates want the
//! parts of an answer as separate fields; [`answer`] separates them.
//!
//! Tools go to the template if it writes them ([`tools`]), otherwise into the texts of messages
//! ([`tool_text`]). What the model writes for a call, and around its thinking, is judged by what
//! the template writes ([`tool_style`], [`thinking`]).

mod answer;
mod builtin;
mod probe;
mod render;
mod thinking;
mod tool_style;
mod tool_text;
mod tools;

use std::borrow::Cow;

use crate::domain::{
    AnswerStart, AnswerStyle, Conversation, Message, Role, ToolCallStyle, ToolChoice,
};
use crate::engine::PromptLimit;
use crate::llama::error::one_line;

use super::chat_template::ChatTemplate;
use super::special::{ControlTokenGuard, SpecialTokens};

use self::answer::AnswerFormat;
use self::probe::{Probed, Prober, RoleSupport, probe};
use self::render::Rendering;
use self::thinking::probe_thinking;
use self::tool_text::messages_with_tools_as_text;
use self::tools::{NativeTools, probe_tools};

pub(super) use self::answer::is_answer_mark;
pub use self::builtin::{BUILTIN_CHAT_TEMPLATES, builtin_chat_template};

/// The chat format of a model.
pub(super) struct Chat {
    template: ChatTemplate,
    probed: Probed,
    /// How tools are given to the template; `None` if they are texts of messages.
    tools: Option<NativeTools>,
    format: AnswerFormat,
    style: AnswerStyle,
}

/// A rendered conversation.
#[derive(Debug)]
pub(super) struct RenderedChat {
    /// The text, in which control tokens of the messages are hidden by `guard`.
    pub(super) text: String,
    pub(super) guard: ControlTokenGuard,
    /// How the answer begins after it.
    pub(super) start: AnswerStart,
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
        let found = match probe(&mut Prober::new(&template, specials)) {
            Ok(found) => found,
            Err(problem) => {
                template = template.with_tool_list();
                probe(&mut Prober::new(&template, specials)).map_err(|_| line(problem))?
            }
        };
        let (probed, questions) = found;
        let format = AnswerFormat::of(|mark| specials.contains(mark));
        let mut prober = Prober::new(&template, specials);
        let tools = probe_tools(&mut prober, &questions);
        let thinking = probe_thinking(&mut prober, &questions, format);
        for literal in template.literals() {
            specials.guard_marks_of_literal(&literal);
        }
        let tool_calls = tools.as_ref().map_or(ToolCallStyle::Unknown, |tools| tools.style);
        let style = AnswerStyle { thinking, tool_calls };
        Ok(Self { template, probed, tools, format, style })
    }

    /// How the model marks the parts of its answers.
    pub(super) fn answer_style(&self) -> &AnswerStyle {
        &self.style
    }

    /// Renders a conversation up to the point where the assistant answers, or goes on with its last
    /// message.
    ///
    /// # Errors
    /// Why it cannot be rendered: the template refuses it, would lose a message, or exceeds a
    /// limit.
    pub(super) fn render(
        &self,
        conversation: &Conversation,
        specials: &SpecialTokens,
        limit: &PromptLimit,
    ) -> Result<RenderedChat, String> {
        let Conversation { messages, continues_last, .. } = conversation;
        self.check(messages)?;
        let last = messages.last();
        let can_continue =
            last.is_some_and(|last| last.role == Role::Assistant && last.tool_calls.is_empty());
        if *continues_last && !can_continue {
            return Err("only a last message of the assistant without tool_calls can be continued"
                .to_owned());
        }
        let messages = self.arranged(conversation);
        Rendering { chat: self, conversation, messages, specials, limit }.render()
    }

    /// The messages in a form that the template can write.
    fn arranged<'c>(&self, conversation: &'c Conversation) -> Cow<'c, [Message]> {
        let messages = &conversation.messages;
        let has_tools =
            !conversation.tools.is_empty() && conversation.tool_choice != ToolChoice::None;
        let has_calls = messages
            .iter()
            .any(|message| message.role == Role::Tool || !message.tool_calls.is_empty());
        let messages = match &self.tools {
            Some(tools) if has_calls => Cow::Owned(tools.arranged(messages)),
            None if has_tools || has_calls => Cow::Owned(messages_with_tools_as_text(
                conversation,
                self.probed.support(Role::System).is_written(),
            )),
            _ => Cow::Borrowed(&messages[..]),
        };
        if self.probed.joins_instructions && n_instructions(&messages) > 1 {
            return Cow::Owned(with_joined_instructions(&messages));
        }
        messages
    }

    /// Refuses a conversation of which the template would lose messages.
    fn check(&self, messages: &[Message]) -> Result<(), String> {
        if self.probed.loses_lone_system && messages.iter().all(is_instruction) {
            return Err("the chat template leaves out a system message without a user message: \
                        add one"
                .to_owned());
        }
        let n_leading = n_instructions(messages);
        if self.probed.loses_later_system
            && let Some(i) = messages.iter().skip(n_leading).position(is_instruction)
        {
            return Err(format!(
                "the chat template may leave out system messages that follow other messages, such \
                 as number {}: put their text into other messages",
                n_leading + i + 1
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
}

fn is_instruction(message: &Message) -> bool {
    matches!(message.role, Role::System | Role::Developer)
}

/// The number of instructions at the beginning.
fn n_instructions(messages: &[Message]) -> usize {
    messages.iter().take_while(|message| is_instruction(message)).count()
}

/// The messages, with a single one instead of the instructions at the beginning.
fn with_joined_instructions(messages: &[Message]) -> Vec<Message> {
    let (instructions, others) = messages.split_at(n_instructions(messages));
    let texts: Vec<_> = instructions.iter().map(|message| &*message.content).collect();
    let joined = Message::text(instructions[0].role, texts.join("\n\n"));
    [&[joined], others].concat()
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod tool_tests;
