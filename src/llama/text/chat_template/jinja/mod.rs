//! Chat templates as Python's Jinja2 renders them with the settings of transformers.
//!
//! minijinja compiles and runs the templates. These files change what differs from Jinja2. The test
//! compares some hundred snippets with what Jinja2 makes of them (`tests/jinja`), and
//! docs/TEMPLATES.md lists the differences that are left.
//!
//! - [`source`] and [`literals`] adapt the syntax before compiling, [`operators`] and [`macros`]
//!   the compiled instructions;
//! - [`mod@print`], [`json`], [`percent`], [`braces`] and [`layout`] write values;
//! - [`texts`], [`search`], [`containers`] and [`bound_methods`] are the methods of Python's types;
//! - [`text_filters`], [`list_filters`], [`numbers`], [`predicates`] and [`globals`] are Jinja2's
//!   names;
//! - [`bounds`] limits what a template can cost.

mod arguments;
mod bound_methods;
mod bounds;
mod braces;
mod characters;
mod containers;
mod globals;
mod json;
mod keys;
mod layout;
mod list_filters;
mod literals;
mod macros;
mod numbers;
mod operators;
mod order;
mod percent;
mod predicates;
mod print;
mod range;
mod search;
mod slices;
mod source;
mod text_filters;
mod texts;
mod views;
mod wrap;

use std::sync::Arc;

use minijinja::machinery::{CompiledTemplate, TemplateConfig, eval, make_string_output};
use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Value, ValueKind};
use minijinja::{AutoEscape, Environment, Error, ErrorKind, Output, State};

use crate::engine::PromptLimit;

/// A compiled template.
pub(super) struct JinjaTemplate {
    environment: Environment<'static>,
    compiled: CompiledTemplate<'static>,
    /// As minijinja compiled it.
    source: &'static str,
    syntax: SyntaxConfig,
}

impl JinjaTemplate {
    /// Compiles a template. Its source stays in memory until the process ends.
    ///
    /// # Errors
    /// The template is not Jinja2.
    pub(super) fn compile(source: &str) -> Result<Self, Error> {
        let mut syntax = SyntaxConfig::builder();
        let syntax = syntax.trim_blocks(true).lstrip_blocks(true).build()?;
        let source: &'static str = Box::leak(source::adapted(source, &syntax)?.into());
        let config = TemplateConfig {
            syntax_config: syntax.clone(),
            default_auto_escape: Arc::new(|_: &str| AutoEscape::None),
        };
        let mut compiled = CompiledTemplate::new(NAME, source, &config)?;
        compiled.instructions = operators::rewrite(&compiled.instructions);
        for block in compiled.blocks.values_mut() {
            *block = operators::rewrite(block);
        }
        Ok(Self { environment: environment(), compiled, source, syntax })
    }

    /// The texts in the source that the template can write.
    pub(super) fn literals(&self) -> Vec<String> {
        source::literals(self.source, &self.syntax)
    }

    /// Renders the template with at most `fuel` units of fuel: one for an instruction or 64 bytes.
    /// Ends early, with an error, once `limit` is reached.
    ///
    /// # Errors
    /// The template raises an error, fails as it would in Python, or runs out of fuel.
    pub(super) fn render(
        &self,
        variables: Value,
        fuel: u64,
        limit: &PromptLimit,
    ) -> Result<String, Error> {
        let mut environment = self.environment.clone();
        environment.set_fuel(Some(fuel));
        let limit = limit.clone();
        environment.set_formatter(move |out, state, value| {
            let check = limit.check();
            check.map_err(|due| Error::new(ErrorKind::InvalidOperation, due.to_string()))?;
            write_value(out, state, value)
        });
        let mut text = String::new();
        eval(
            &environment,
            &self.compiled.instructions,
            variables,
            &self.compiled.blocks,
            &mut make_string_output(&mut text),
            AutoEscape::None,
        )?;
        Ok(text)
    }
}

fn environment() -> Environment<'static> {
    let mut environment = Environment::new();
    // Without this, errors would contain copies of the template's variables.
    environment.set_debug(false);
    environment.set_unknown_method_callback(method);
    operators::install(&mut environment);
    globals::install(&mut environment);
    predicates::install(&mut environment);
    text_filters::install(&mut environment);
    list_filters::install(&mut environment);
    numbers::install(&mut environment);
    environment
}

/// Writes what `{{ value }}` stands for.
fn write_value(out: &mut Output<'_>, state: &State<'_, '_>, value: &Value) -> Result<(), Error> {
    bounds::check(state, value)?;
    if *state.auto_escape() != AutoEscape::None && !value.is_safe() {
        let escaped = text_filters::escape(state, value)?;
        return Ok(out.write_str(escaped.as_str().unwrap_or_default())?);
    }
    match value.as_str() {
        Some(text) => Ok(out.write_str(text)?),
        None => Ok(out.write_str(&print::text_of(value))?),
    }
}

/// Calls a method of one of Python's types.
fn method(
    state: &mut State<'_, '_>,
    value: &Value,
    name: &str,
    arguments: &[Value],
) -> Result<Value, Error> {
    match (value.kind(), value.as_str()) {
        (ValueKind::String, Some(text)) => texts::method(state, text, name, arguments),
        _ => containers::method(state, value, name, arguments),
    }
}

/// The template's name in minijinja.
const NAME: &str = "chat";

#[cfg(test)]
mod tests;
