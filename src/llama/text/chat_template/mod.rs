//! Renders a conversation with the model's own chat template.
//!
//! Templates are Jinja2 as the Python library transformers runs it ([`jinja`]).
//!
//! A template is code in a model file of unknown origin. It has no access to files, the network or
//! other templates, and it runs within limits, so that a request that it cannot serve is refused
//! with a reason (ADR-0017): fuel, which grows with the conversation, limits the steps and the
//! memory of a rendering; [`jinja`] limits the size and depth of values; whatever writes looks at
//! the limit of the request; and there is a large stack ([`super::stack`]). A template that exceeds
//! what these can stop ends the runner, not the daemon.

mod conversation;
mod fuel;
mod jinja;
mod json;
mod message;
mod thread;

use std::time::Duration;

use minijinja::ErrorKind;
use minijinja::value::Value;

use crate::engine::{CancelFlag, PromptLimit};
use crate::llama::error::one_line;

use super::stack::on_large_stack;

use self::fuel::fuel_for;
use self::jinja::JinjaTemplate;
use self::thread::run_until;

pub(super) use self::conversation::{TemplateConversation, TemplateTool};
pub(super) use self::json::TemplateJson;
pub(super) use self::message::{TemplateArguments, TemplateCall, TemplateContent, TemplateMessage};

/// A model's chat template.
pub(super) struct ChatTemplate {
    compiled: CompiledTemplate,
    /// Whether the template gets an empty list of tools, and not `none`.
    has_tool_list: bool,
}

impl ChatTemplate {
    /// Compiles a template. `bos` and `eos` are the texts of the begin-of-text and end-of-text
    /// tokens.
    ///
    /// # Errors
    /// One line that says why the template cannot be used.
    pub(super) fn new(source: String, bos: String, eos: String) -> Result<Self, String> {
        let broken = |reason| one_line(&format!("the chat template is broken: {reason}"));
        let compiled = run_until(DEADLINE, move || CompiledTemplate::new(&source, bos, eos));
        let compiled = compiled.and_then(|compiled| compiled).map_err(broken)?;
        Ok(Self { compiled, has_tool_list: false })
    }

    /// The same template for conversations with an empty list of tools. Some templates go through
    /// the tools without asking whether there are any.
    pub(super) fn with_tool_list(self) -> Self {
        Self { has_tool_list: true, ..self }
    }

    /// The texts in the source that the template can write: those outside of tags, and string
    /// literals.
    pub(super) fn literals(&self) -> Vec<String> {
        self.compiled.jinja.literals()
    }

    /// Renders a conversation up to the point where the assistant answers, when the model is
    /// loaded.
    ///
    /// # Errors
    /// Those of [`Self::render_within`].
    pub(super) fn render(
        &self,
        conversation: impl Into<TemplateConversation>,
    ) -> Result<String, String> {
        let limit = PromptLimit::new(CancelFlag::default(), DEADLINE, "messages");
        self.render_within(&conversation.into(), &limit)
    }

    /// Renders a conversation of a request, which `limit` can end.
    ///
    /// # Errors
    /// One line: the template's own message if it raises an error, or which limit it exceeds.
    pub(super) fn render_within(
        &self,
        conversation: &TemplateConversation,
        limit: &PromptLimit,
    ) -> Result<String, String> {
        let render = || self.compiled.render(conversation, self.has_tool_list, limit);
        on_large_stack(RENDER_STACK_BYTES, render)
            .map_err(|error| error.to_string())
            .and_then(|text| text)
            .map_err(|reason| {
                one_line(&format!("the chat template refuses this conversation: {reason}"))
            })
    }
}

/// A compiled template, and the values that are the same for every conversation.
struct CompiledTemplate {
    jinja: JinjaTemplate,
    bos: String,
    eos: String,
}

impl CompiledTemplate {
    fn new(source: &str, bos: String, eos: String) -> Result<Self, String> {
        let jinja = JinjaTemplate::compile(source).map_err(|error| error.to_string())?;
        Ok(Self { jinja, bos, eos })
    }

    /// Renders a conversation with fuel for its size.
    fn render(
        &self,
        conversation: &TemplateConversation,
        has_tool_list: bool,
        limit: &PromptLimit,
    ) -> Result<String, String> {
        let fuel = fuel_for(conversation.size());
        let mut variables = conversation.variables(has_tool_list);
        variables.extend([
            ("bos_token".into(), self.bos.as_str().into()),
            ("eos_token".into(), self.eos.as_str().into()),
        ]);
        let variables = Value::from_pairs(variables);
        self.jinja.render(variables, fuel, limit).map_err(|error| match error.kind() {
            ErrorKind::OutOfFuel => TOO_LONG.to_owned(),
            _ => error.detail().map_or_else(|| error.to_string(), str::to_owned),
        })
    }
}

/// Why a conversation is refused that takes too much fuel.
const TOO_LONG: &str =
    "it is too long for this template, which takes more steps than its length allows";

/// Longest time for compiling, and for rendering when the model is loaded (ADR-0017).
const DEADLINE: Duration = Duration::from_secs(10);

/// Stack for compiling or rendering in bytes. It is address space that takes memory only when used,
/// and large enough for the deepest values outside of namespaces (ADR-0017).
const RENDER_STACK_BYTES: usize = 256 << 20;

#[cfg(test)]
mod tests;
