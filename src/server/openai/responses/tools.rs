//! Reads `tools` and `tool_choice`.
//!
//! The model calls functions. Functions in a namespace get one name, `NAMESPACE__NAME`, and calls
//! of them are divided again for the client ([`ToolNames`]). Tools of other types, such as a web
//! search that OpenAI would run itself, are left out and named.

use std::collections::BTreeMap;

use crate::domain::{Tool, ToolChoice};
use crate::protocol::{JsonSlice, Quoted};
use crate::server::json_fields::{InvalidField, JsonFields, UnusedFields, values_of};

/// The tools of a request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct RequestTools {
    pub(super) tools: Vec<Tool>,
    pub(super) names: ToolNames,
}

/// The namespaces of the tools, by the names under which the model knows the tools.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct ToolNames(BTreeMap<String, (String, String)>);

impl ToolNames {
    /// The name under which the model knows a tool.
    pub(super) fn known_to_model(&self, namespace: Option<&str>, name: &str) -> String {
        let Some(namespace) = namespace else { return name.to_owned() };
        let known = self.0.iter().find(|(_, (known, of))| known == namespace && of == name);
        known.map_or_else(|| joined(namespace, name), |(joined, _)| joined.clone())
    }

    /// The namespace of the tool that the model knows as `name`, and its name there.
    pub(super) fn known_to_client<'a>(&'a self, name: &'a str) -> (Option<&'a str>, &'a str) {
        match self.0.get(name) {
            Some((namespace, name)) => (Some(namespace), name),
            None => (None, name),
        }
    }
}

fn joined(namespace: &str, name: &str) -> String {
    let separator = if namespace.ends_with("__") || name.starts_with("__") { "" } else { "__" };
    format!("{namespace}{separator}{name}")
}

/// Reads the value of `tools`.
pub(super) fn tools(
    sent: JsonSlice<'_>,
    ignored: &mut UnusedFields,
) -> Result<RequestTools, InvalidField> {
    let mut tools = RequestTools::default();
    for (path, value) in values_of("tools", sent)? {
        tools.add(&path, value, None, ignored)?;
    }
    Ok(tools)
}

impl RequestTools {
    fn add(
        &mut self,
        path: &str,
        sent: JsonSlice<'_>,
        namespace: Option<&str>,
        ignored: &mut UnusedFields,
    ) -> Result<(), InvalidField> {
        let mut fields = JsonFields::of(path, sent)?;
        let kind = fields.required_text("type")?;
        match (&*kind, namespace) {
            ("function", _) => self.add_function(&mut fields, namespace),
            ("namespace", None) => {
                let name = fields.required_text("name")?;
                for (path, value) in fields.list("tools")?.unwrap_or_default() {
                    self.add(&path, value, Some(&name), ignored)?;
                }
                Ok(())
            }
            (other, _) => {
                ignored.add(format!("{path} ({other})"));
                Ok(())
            }
        }
    }

    fn add_function(
        &mut self,
        fields: &mut JsonFields<'_>,
        namespace: Option<&str>,
    ) -> Result<(), InvalidField> {
        let own_name = fields.required_text("name")?;
        if own_name.is_empty() || own_name.len() > MAX_NAME_BYTES {
            let reason = format!("must have 1 to {MAX_NAME_BYTES} bytes, not {}", own_name.len());
            return Err(fields.invalid("name", reason));
        }
        let name =
            namespace.map_or_else(|| own_name.clone(), |namespace| joined(namespace, &own_name));
        if self.tools.iter().any(|tool| tool.name == name) {
            return Err(fields.invalid("name", format!("{} occurs twice", Quoted(&name))));
        }
        if self.tools.len() >= MAX_TOOLS {
            return Err(InvalidField::new("tools", format!("must be at most {MAX_TOOLS}")));
        }
        let description = fields.text("description")?.map(|text| text.into_owned());
        let parameters = fields.object_text("parameters")?;
        if let Some(namespace) = namespace {
            self.names.0.insert(name.clone(), (namespace.to_owned(), own_name));
        }
        self.tools.push(Tool { name, description, parameters });
        Ok(())
    }

    /// Reads the value of `tool_choice`. A list of allowed tools removes the others.
    pub(super) fn choose(&mut self, sent: JsonSlice<'_>) -> Result<ToolChoice, InvalidField> {
        if let Some(text) = sent.text() {
            return mode("tool_choice", &text);
        }
        if sent.object(0).is_none() {
            let reason = format!("must be none, auto, required or an object, not {sent}");
            return Err(InvalidField::new("tool_choice", reason));
        }
        let mut fields = JsonFields::of("tool_choice", sent)?;
        match &*fields.required_text("type")? {
            "function" => {
                let name = self.chosen(&mut fields)?;
                Ok(ToolChoice::Named(name))
            }
            "allowed_tools" => {
                let choice = match fields.text("mode")? {
                    Some(text) => mode(&fields.path("mode"), &text)?,
                    None => ToolChoice::Auto,
                };
                let mut allowed = Vec::new();
                for (path, value) in fields.list("tools")?.unwrap_or_default() {
                    let mut tool = JsonFields::of(&path, value)?;
                    if tool.text("type")?.as_deref() == Some("function") {
                        allowed.push(self.chosen(&mut tool)?);
                    }
                }
                self.tools.retain(|tool| allowed.contains(&tool.name));
                Ok(choice)
            }
            other => {
                let reason = format!(
                    "must be function or allowed_tools, not {}: the model calls functions only",
                    Quoted(other)
                );
                Err(fields.invalid("type", reason))
            }
        }
    }

    /// The name, known to the model, of the tool that `fields` name.
    fn chosen(&self, fields: &mut JsonFields<'_>) -> Result<String, InvalidField> {
        let namespace = fields.text("namespace")?;
        let name = self.names.known_to_model(namespace.as_deref(), &fields.required_text("name")?);
        if self.tools.iter().any(|tool| tool.name == name) {
            return Ok(name);
        }
        Err(fields.invalid("name", format!("{} is none of the tools", Quoted(&name))))
    }
}

fn mode(path: &str, text: &str) -> Result<ToolChoice, InvalidField> {
    match text {
        "none" => Ok(ToolChoice::None),
        "auto" => Ok(ToolChoice::Auto),
        "required" => Ok(ToolChoice::Required),
        other => {
            let reason = format!("must be none, auto or required, not {}", Quoted(other));
            Err(InvalidField::new(path, reason))
        }
    }
}

/// Most tools of a request. OpenAI accepts 128 in a list; namespaces have more.
const MAX_TOOLS: usize = 1024;

/// Longest name of a tool.
const MAX_NAME_BYTES: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    const TOOLS: &str = r#"[
        {"type":"function","name":"f","description":"d","parameters":{"type":"object"},"strict":true},
        {"type":"namespace","name":"mcp__x__","description":"d","tools":[
            {"type":"function","name":"g"},{"type":"custom","name":"h"}]},
        {"type":"web_search"}]"#;

    fn read() -> (RequestTools, UnusedFields) {
        let mut ignored = UnusedFields::default();
        let tools = tools(JsonSlice::validate(TOOLS).unwrap(), &mut ignored).unwrap();
        (tools, ignored)
    }

    #[test]
    fn namespaces_are_flattened_and_other_tools_are_named() {
        let (tools, ignored) = read();
        let names: Vec<&str> = tools.tools.iter().map(|tool| &*tool.name).collect();
        assert_eq!(names, ["f", "mcp__x__g"]);
        assert_eq!(tools.tools[0].parameters.as_ref().unwrap().0, r#"{"type":"object"}"#);
        assert_eq!(ignored.names(), ["tools[1].tools[1] (custom)", "tools[2] (web_search)"]);
        assert_eq!(tools.names.known_to_client("mcp__x__g"), (Some("mcp__x__"), "g"));
        assert_eq!(tools.names.known_to_client("f"), (None, "f"));
        assert_eq!(tools.names.known_to_model(Some("mcp__x__"), "g"), "mcp__x__g");
    }

    #[test]
    fn tool_choice_is_a_mode_a_function_or_a_list_of_functions() {
        let named = |name: &str| Ok(ToolChoice::Named(name.to_owned()));
        for (text, expected, n_tools) in [
            (r#""none""#, Ok(ToolChoice::None), 2),
            (r#""required""#, Ok(ToolChoice::Required), 2),
            (r#"{"type":"function","name":"f"}"#, named("f"), 2),
            (r#"{"type":"function","namespace":"mcp__x__","name":"g"}"#, named("mcp__x__g"), 2),
            (
                r#"{"type":"allowed_tools","mode":"required","tools":[{"type":"function","name":"f"}]}"#,
                Ok(ToolChoice::Required),
                1,
            ),
            (
                r#"{"type":"function","name":"q"}"#,
                Err("tool_choice.name: \"q\" is none of the tools"),
                2,
            ),
            (
                r#"{"type":"web_search"}"#,
                Err(
                    "tool_choice.type: must be function or allowed_tools, not \"web_search\": the \
                     model calls functions only",
                ),
                2,
            ),
            (r#""any""#, Err("tool_choice: must be none, auto or required, not \"any\""), 2),
        ] {
            let (mut tools, _) = read();
            let choice = tools.choose(JsonSlice::validate(text).unwrap());
            let choice = choice.map_err(|error| error.to_string());
            assert_eq!(choice, expected.map_err(str::to_owned), "{text}");
            assert_eq!(tools.tools.len(), n_tools, "{text}");
        }
    }
}
