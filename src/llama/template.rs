//! Renders a conversation with the model's own chat template.
//!
//! Templates are Jinja as the Python library Transformers runs it: blocks trimmed, Python's string
//! methods, `raise_exception`. A template comes with the model file, so it is given a budget and
//! no access to anything.

use minijinja::syntax::SyntaxConfig;
use minijinja::{Environment, Error, ErrorKind, context};

use crate::domain::Message;

/// Instructions a template may execute: a thousand messages take about a tenth of it.
const FUEL: u64 = 20_000_000;

const NAME: &str = "chat";

/// A model's chat template.
pub(super) struct ChatTemplate {
    environment: Environment<'static>,
    bos: String,
    eos: String,
}

impl ChatTemplate {
    /// Compiles a template. `bos` and `eos` are the texts of the begin and end tokens.
    ///
    /// # Errors
    /// The template's own error, where it is not valid Jinja.
    pub(super) fn new(source: String, bos: String, eos: String) -> Result<Self, String> {
        let mut environment = Environment::new();
        let mut syntax = SyntaxConfig::builder();
        let syntax = syntax.trim_blocks(true).lstrip_blocks(true).build();
        environment.set_syntax(syntax.map_err(|error| error.to_string())?);
        environment.set_fuel(Some(FUEL));
        environment
            .set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
        environment.add_function("raise_exception", |reason: String| -> Result<String, Error> {
            Err(Error::new(ErrorKind::InvalidOperation, reason))
        });
        environment
            .add_template_owned(NAME, source)
            .map_err(|error| format!("the model's chat template is broken: {error}"))?;
        Ok(Self { environment, bos, eos })
    }

    /// The text of the begin-of-text token, which a template may put in front itself.
    pub(super) fn bos(&self) -> &str {
        &self.bos
    }

    /// Renders a conversation, ready for the assistant's answer.
    ///
    /// # Errors
    /// The template's own words, where it refuses.
    pub(super) fn render(&self, messages: &[Message]) -> Result<String, String> {
        let messages: Vec<_> = messages
            .iter()
            .map(|m| context! { role => m.role.name(), content => m.content.as_str() })
            .collect();
        let template = self.environment.get_template(NAME).map_err(|error| error.to_string())?;
        template
            .render(context! {
                messages,
                bos_token => self.bos.as_str(),
                eos_token => self.eos.as_str(),
                add_generation_prompt => true,
            })
            .map_err(|error| {
                let reason = error.detail().map_or_else(|| error.to_string(), str::to_owned);
                format!("the model's chat template refuses this conversation: {reason}")
            })
    }
}

#[cfg(test)]
mod tests;
