//! Renders a conversation with the model's own chat template.
//!
//! Templates are Jinja as the Python library Transformers runs it: blocks trimmed, Python's string
//! methods, `raise_exception`, `strftime_now`, `generation` blocks. A template comes with the model file, so it is given a budget and
//! no access to anything: [`scan`] bounds its source, [`bounds`] the values it makes, fuel its
//! steps, and [`thread`] the stack and the time it takes.

mod bounds;
mod scan;
mod thread;

use std::borrow::Cow;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use minijinja::syntax::SyntaxConfig;
use minijinja::{Environment, Error, ErrorKind, context};

use crate::domain::Role;

use self::thread::Apart;

/// Instructions a template may execute: a thousand messages take about a fifth of it.
const FUEL: u64 = 10_000_000;

/// How long a template may take. A thousand messages take some tens of milliseconds, and fuel lasts
/// for a second or two; what is still busy then does something that costs no fuel.
const DEADLINE: Duration = Duration::from_secs(10);

/// What a template may write beyond the messages, and how often it may repeat those: headers,
/// instructions and a second look at the last question.
const MOST_BYTES: usize = 4 * 1024 * 1024;
const MOST_COPIES: usize = 4;

/// Longest form of a date. A number in it can ask for 255 characters, so a long one would be a way to
/// write much.
const MOST_DATE_BYTES: usize = 128;

const NAME: &str = "chat";

/// A model's chat template.
pub(in crate::llama) struct ChatTemplate {
    compiled: Arc<Compiled>,
    apart: Apart,
}

struct Compiled {
    environment: Environment<'static>,
    bos: String,
    eos: String,
}

impl ChatTemplate {
    /// Compiles a template. `bos` and `eos` are the texts of the begin and end tokens.
    ///
    /// # Errors
    /// The template's own error, where it is not valid Jinja.
    pub(in crate::llama) fn new(source: String, bos: String, eos: String) -> Result<Self, String> {
        let broken = |reason| format!("the model's chat template is broken: {reason}");
        let apart = Apart::new(DEADLINE);
        let compiled = apart.run(move || Compiled::new(&source, bos, eos)).map_err(broken)?;
        Ok(Self { compiled: Arc::new(compiled.map_err(broken)?), apart })
    }

    /// Renders a conversation, ready for the assistant's answer.
    ///
    /// # Errors
    /// The template's own words, where it refuses.
    pub(in crate::llama) fn render(
        &self,
        messages: &[(Role, Cow<'_, str>)],
    ) -> Result<String, String> {
        let compiled = self.compiled.clone();
        let messages: Vec<_> =
            messages.iter().map(|(role, content)| (*role, content.as_ref().to_owned())).collect();
        self.apart.run(move || compiled.render(&messages)).and_then(|text| text).map_err(|reason| {
            format!("the model's chat template refuses this conversation: {reason}")
        })
    }
}

impl Compiled {
    fn new(source: &str, bos: String, eos: String) -> Result<Self, String> {
        let mut environment = Environment::new();
        let mut syntax = SyntaxConfig::builder();
        let syntax = syntax.trim_blocks(true).lstrip_blocks(true).build();
        environment.set_syntax(syntax.map_err(|error| error.to_string())?);
        // Errors shall not carry copies of the template's variables.
        environment.set_debug(false);
        environment.set_fuel(Some(FUEL));
        bounds::set(&mut environment);
        environment.add_function("raise_exception", |reason: String| -> Result<String, Error> {
            Err(Error::new(ErrorKind::InvalidOperation, reason))
        });
        environment.add_function("strftime_now", strftime_now);
        let source = scan::prepare(source)?;
        environment.add_template_owned(NAME, source).map_err(|error| error.to_string())?;
        Ok(Self { environment, bos, eos })
    }

    fn render(&self, messages: &[(Role, String)]) -> Result<String, String> {
        let n_bytes: usize = messages.iter().map(|(_, content)| content.len()).sum();
        let messages: Vec<_> = messages
            .iter()
            .map(|(role, content)| context! { role => role.name(), content => content })
            .collect();
        let template = self.environment.get_template(NAME).map_err(|error| error.to_string())?;
        let mut text = Bounded { text: Vec::new(), left: MOST_BYTES + MOST_COPIES * n_bytes };
        let variables = context! {
            messages,
            bos_token => self.bos.as_str(),
            eos_token => self.eos.as_str(),
            add_generation_prompt => true,
        };
        template
            .render_captured_to(variables, &mut text)
            .map_err(|error| error.detail().map_or_else(|| error.to_string(), str::to_owned))?;
        String::from_utf8(text.text).map_err(|_| "it writes what is no text".to_owned())
    }
}

/// The local time in a form such as `%Y-%m-%d`. A conversation that is gone on with on another day begins
/// otherwise, and is read anew.
fn strftime_now(form: &str) -> Result<String, Error> {
    let refused = |reason: String| Error::new(ErrorKind::InvalidOperation, reason);
    if form.len() > MOST_DATE_BYTES {
        return Err(refused(format!("strftime_now: more than {MOST_DATE_BYTES} bytes")));
    }
    jiff::fmt::strtime::format(form, &jiff::ZonedDateTime::now())
        .map_err(|error| refused(format!("strftime_now: {error}")))
}

/// A text that does not grow beyond all bounds: fuel counts a template's steps, not its output.
struct Bounded {
    text: Vec<u8>,
    left: usize,
}

impl io::Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Some(left) = self.left.checked_sub(bytes.len()) else {
            return Err(io::Error::other("it writes far more than it was given"));
        };
        self.left = left;
        self.text.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
