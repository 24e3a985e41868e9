//! Renders a conversation with the model's own chat template.
//!
//! Templates are Jinja as the Python library Transformers runs it: with trimmed blocks, Python's
//! string methods, `raise_exception`, `strftime_now` and `generation` blocks.
//!
//! A template is code in a model file of unknown origin. It has no access to files, the network or
//! other templates, and it runs within limits, so that a request that it cannot serve is refused
//! with a reason (ADR-0017): fuel limits the steps of a rendering; [`bounds`] limits the size and
//! depth of the values that it writes; a bounded writer limits its output; and [`thread`] provides
//! a large stack and a deadline for the rest. A template that exceeds what these can stop ends the
//! runner, not the daemon.

mod bounds;
mod message;
mod thread;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use minijinja::syntax::SyntaxConfig;
use minijinja::{Environment, Error, ErrorKind, context};

use self::thread::DeadlineRunner;

pub(super) use self::message::{TemplateContent, TemplateMessage};

/// A model's chat template.
pub(super) struct ChatTemplate {
    compiled: Arc<CompiledTemplate>,
    runner: DeadlineRunner,
}

impl ChatTemplate {
    /// Compiles a template. `bos` and `eos` are the texts of the begin-of-text and end-of-text
    /// tokens.
    ///
    /// # Errors
    /// One line that says why the template cannot be used.
    pub(super) fn new(source: String, bos: String, eos: String) -> Result<Self, String> {
        let broken = |reason| format!("the model's chat template is broken: {reason}");
        let runner = DeadlineRunner::new(DEADLINE);
        let compiled =
            runner.run(move || CompiledTemplate::new(&source, bos, eos)).map_err(broken)?;
        Ok(Self { compiled: Arc::new(compiled.map_err(broken)?), runner })
    }

    /// Renders a conversation up to the point where the assistant answers.
    ///
    /// # Errors
    /// The template's own message if it raises an error, or which limit it exceeds.
    pub(super) fn render(&self, messages: Vec<TemplateMessage>) -> Result<String, String> {
        let compiled = self.compiled.clone();
        let rendered = self.runner.run(move || compiled.render(&messages));
        rendered.and_then(|text| text).map_err(|reason| {
            format!("the model's chat template refuses this conversation: {reason}")
        })
    }
}

/// A compiled template, and the values that are the same for every conversation.
struct CompiledTemplate {
    environment: Environment<'static>,
    bos: String,
    eos: String,
}

impl CompiledTemplate {
    /// Compiles `source` with the limits and functions that templates get.
    fn new(source: &str, bos: String, eos: String) -> Result<Self, String> {
        let mut environment = Environment::new();
        let mut syntax = SyntaxConfig::builder();
        let syntax = syntax.trim_blocks(true).lstrip_blocks(true).build();
        environment.set_syntax(syntax.map_err(|error| error.to_string())?);
        // Without this, errors would contain copies of the template's variables.
        environment.set_debug(false);
        environment.set_fuel(Some(FUEL));
        bounds::apply(&mut environment);
        environment.add_function("raise_exception", |reason: String| -> Result<String, Error> {
            Err(Error::new(ErrorKind::InvalidOperation, reason))
        });
        environment.add_function("strftime_now", strftime_now);
        environment
            .add_template_owned(NAME, without_training_blocks(source))
            .map_err(|error| error.to_string())?;
        Ok(Self { environment, bos, eos })
    }

    /// Renders a conversation within the limits on fuel and output.
    fn render(&self, messages: &[TemplateMessage]) -> Result<String, String> {
        let n_bytes: usize = messages.iter().map(TemplateMessage::n_bytes).sum();
        let messages: Vec<_> = messages.iter().map(TemplateMessage::to_value).collect();
        let template = self.environment.get_template(NAME).map_err(|error| error.to_string())?;
        let mut output =
            BoundedWriter { bytes: Vec::new(), remaining: MAX_OUTPUT_BYTES + MAX_COPIES * n_bytes };
        let variables = context! {
            messages,
            bos_token => self.bos.as_str(),
            eos_token => self.eos.as_str(),
            add_generation_prompt => true,
        };
        template
            .render_captured_to(variables, &mut output)
            .map_err(|error| error.detail().map_or_else(|| error.to_string(), str::to_owned))?;
        String::from_utf8(output.bytes).map_err(|_| "its output is not valid UTF-8".to_owned())
    }
}

/// The source with `generation` and `endgeneration` tags, which mark what Transformers trains on,
/// as `if true` blocks. These trim white space in the same way.
fn without_training_blocks(source: &str) -> String {
    let mut out = String::with_capacity(source.len());
    let mut rest = source;
    while let Some((before, from_tag)) = rest.split_once("{%") {
        out.extend([before, "{%"]);
        rest = from_tag;
        let Some((tag, after)) = from_tag.split_once("%}") else { break };
        match tag.trim_matches(['-', '+']).trim() {
            "generation" => out.push_str(&tag.replace("generation", "if true")),
            "endgeneration" => out.push_str(&tag.replace("endgeneration", "endif")),
            _ => out.push_str(tag),
        }
        out.push_str("%}");
        rest = after;
    }
    out.push_str(rest);
    out
}

/// The local time in a format such as `%Y-%m-%d`. A conversation that continues on another day
/// therefore has another prefix, and the prefix cache does not help.
fn strftime_now(format: &str) -> Result<String, Error> {
    let invalid = |reason: String| Error::new(ErrorKind::InvalidOperation, reason);
    if format.len() > MAX_DATE_FORMAT_BYTES {
        return Err(invalid(format!("strftime_now: more than {MAX_DATE_FORMAT_BYTES} bytes")));
    }
    jiff::fmt::strtime::format(format, &jiff::ZonedDateTime::now())
        .map_err(|error| invalid(format!("strftime_now: {error}")))
}

/// Collects a template's output up to a limit. Fuel limits the steps of a template, but not how
/// much a step writes.
struct BoundedWriter {
    bytes: Vec<u8>,
    remaining: usize,
}

impl io::Write for BoundedWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Some(remaining) = self.remaining.checked_sub(bytes.len()) else {
            return Err(io::Error::other("its output is far longer than the conversation"));
        };
        self.remaining = remaining;
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Number of steps that a rendering may take; minijinja counts them as fuel (ADR-0017).
const FUEL: u64 = 10_000_000;
/// Longest time for compiling or rendering; it stops work that uses no fuel (ADR-0017).
const DEADLINE: Duration = Duration::from_secs(10);
/// Maximum number of bytes that a template may write in addition to the messages.
const MAX_OUTPUT_BYTES: usize = 4 * 1024 * 1024;
/// How many copies of the messages a template may write; some repeat the last question.
const MAX_COPIES: usize = 4;
/// Longest date format in bytes. Each field may ask for 255 characters, so a long format would
/// bypass the limits on text.
const MAX_DATE_FORMAT_BYTES: usize = 128;
/// The template's name in minijinja.
const NAME: &str = "chat";

#[cfg(test)]
mod tests;
