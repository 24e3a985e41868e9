//! Reads `tools` and `tool_choice`.
//!
//! The model calls functions. Functions in a namespace get one name, `NAMESPACE__NAME`, and calls
//! of them are divided again for the client ([`ToolNames`]). Tools of other types, such as a web
//! search that OpenAI would run itself, are left out and named.

use std::borrow::Cow;
use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, MapAccess};

use crate::domain::{Tool, ToolChoice};
use crate::protocol::Quoted;
use crate::server::json::{
    AtMost, IgnoredFields, InvalidField, Kept, ObjectText, Unused, read_forms, tagged,
    tagged_otherwise,
};

/// The forms of a tool, which its `type` tells apart.
#[derive(Debug)]
pub(super) struct ToolForms;

impl JsonSchema for ToolForms {
    fn schema_name() -> Cow<'static, str> {
        "ResponseTool".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [
            tagged(&["function"], &generator.subschema_for::<FunctionTool>()),
            tagged(&["namespace"], &generator.subschema_for::<NamespaceTool>()),
            tagged_otherwise(&["function", "namespace"]),
        ] })
    }
}

/// A function that the model may call.
#[derive(Debug, Deserialize, JsonSchema)]
struct FunctionTool {
    name: String,
    description: Option<String>,
    /// The JSON schema of the arguments.
    parameters: Option<ObjectText>,
    #[serde(rename = "type")]
    _type: Option<Unused>,
    #[serde(rename = "strict")]
    _strict: Option<Unused>,
}

/// Functions with a common name.
#[derive(Debug, Deserialize, JsonSchema)]
struct NamespaceTool {
    name: String,
    tools: Option<AtMost<Kept<ToolForms>, MAX_TOOLS>>,
    #[serde(rename = "type")]
    _type: Option<Unused>,
    #[serde(rename = "description")]
    _description: Option<Unused>,
}

/// Which tools the model may or must call: `none`, `auto` or `required`, or an object.
#[derive(Debug)]
pub(super) enum ResponseToolChoice {
    Mode(String),
    Tool(Box<ChosenTools>),
}

read_forms! {
    ResponseToolChoice, "none, auto, required or an object",
    fn visit_str<E: Error>(self, text: &str) -> Result<ResponseToolChoice, E> {
        Ok(ResponseToolChoice::Mode(text.to_owned()))
    }
    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<ResponseToolChoice, A::Error> {
        let chosen = ChosenTools::deserialize(MapAccessDeserializer::new(map))?;
        Ok(ResponseToolChoice::Tool(Box::new(chosen)))
    }
}

impl JsonSchema for ResponseToolChoice {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "ResponseToolChoice".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let chosen = generator.subschema_for::<ChosenTools>();
        let modes = ["none", "auto", "required"];
        json_schema!({ "anyOf": [{ "type": "string", "enum": modes }, chosen] })
    }
}

/// A function, or the tools that the model may call.
#[derive(Debug, Deserialize, JsonSchema)]
pub(super) struct ChosenTools {
    /// `function` or `allowed_tools`.
    r#type: String,
    /// The name of the function.
    name: Option<String>,
    /// The namespace of the function.
    namespace: Option<String>,
    /// `none`, `auto` or `required`, of tools that are allowed.
    mode: Option<String>,
    /// The tools that are allowed.
    tools: Option<AtMost<AllowedResponseTool, MAX_TOOLS>>,
}

/// A tool that the model may call.
#[derive(Debug, Deserialize, JsonSchema)]
struct AllowedResponseTool {
    r#type: Option<String>,
    name: Option<String>,
    namespace: Option<String>,
}

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

/// Reads the value of `tools`. Tools of other types are named in `ignored`.
pub(super) fn tools(
    sent: &AtMost<Kept<ToolForms>, MAX_TOOLS>,
    ignored: &mut IgnoredFields,
) -> Result<RequestTools, InvalidField> {
    let mut tools = RequestTools::default();
    for (i, sent) in sent.0.iter().enumerate() {
        tools.add(&format!("tools[{i}]"), sent, None, ignored)?;
    }
    Ok(tools)
}

impl RequestTools {
    fn add(
        &mut self,
        path: &str,
        sent: &Kept<ToolForms>,
        namespace: Option<&str>,
        ignored: &mut IgnoredFields,
    ) -> Result<(), InvalidField> {
        let kind = sent.kind(path)?;
        let kind = kind.ok_or_else(|| InvalidField::new(format!("{path}.type"), "is missing"))?;
        match (&*kind, namespace) {
            ("function", _) => self.add_function(path, sent.read_as(path, ignored)?, namespace),
            ("namespace", None) => {
                let NamespaceTool { name, tools, .. } = sent.read_as(path, ignored)?;
                for (i, sent) in tools.iter().flat_map(|tools| &tools.0).enumerate() {
                    self.add(&format!("{path}.tools[{i}]"), sent, Some(&name), ignored)?;
                }
                Ok(())
            }
            (other, _) => {
                ignored.add_kind(path, other);
                Ok(())
            }
        }
    }

    fn add_function(
        &mut self,
        path: &str,
        sent: FunctionTool,
        namespace: Option<&str>,
    ) -> Result<(), InvalidField> {
        let FunctionTool { name: own_name, description, parameters, .. } = sent;
        let invalid = |reason: String| InvalidField::new(format!("{path}.name"), reason);
        if own_name.is_empty() || own_name.len() > MAX_NAME_BYTES {
            let reason = format!("must have 1 to {MAX_NAME_BYTES} bytes, not {}", own_name.len());
            return Err(invalid(reason));
        }
        let name =
            namespace.map_or_else(|| own_name.clone(), |namespace| joined(namespace, &own_name));
        if self.tools.iter().any(|tool| tool.name == name) {
            return Err(invalid(format!("{} occurs twice", Quoted(&name))));
        }
        if self.tools.len() >= MAX_TOOLS {
            return Err(InvalidField::new("tools", format!("must be at most {MAX_TOOLS}")));
        }
        if let Some(namespace) = namespace {
            self.names.0.insert(name.clone(), (namespace.to_owned(), own_name));
        }
        let parameters = parameters.map(ObjectText::into_text);
        self.tools.push(Tool { name, description, parameters });
        Ok(())
    }

    /// Reads the value of `tool_choice`. A list of allowed tools removes the others.
    pub(super) fn choose(&mut self, sent: ResponseToolChoice) -> Result<ToolChoice, InvalidField> {
        let chosen = match sent {
            ResponseToolChoice::Mode(text) => return mode("tool_choice", &text),
            ResponseToolChoice::Tool(chosen) => *chosen,
        };
        match &*chosen.r#type {
            "function" => {
                let name = self.chosen("tool_choice", chosen.namespace.as_deref(), chosen.name)?;
                Ok(ToolChoice::Named(name))
            }
            "allowed_tools" => {
                let choice = match chosen.mode {
                    Some(text) => mode("tool_choice.mode", &text)?,
                    None => ToolChoice::Auto,
                };
                let mut allowed = Vec::new();
                let sent = chosen.tools.map(|tools| tools.0).unwrap_or_default();
                for (i, tool) in sent.into_iter().enumerate() {
                    if tool.r#type.as_deref() == Some("function") {
                        let path = format!("tool_choice.tools[{i}]");
                        allowed.push(self.chosen(&path, tool.namespace.as_deref(), tool.name)?);
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
                Err(InvalidField::new("tool_choice.type", reason))
            }
        }
    }

    /// The name, known to the model, of the tool `name` in `namespace`, which is named at `path`.
    fn chosen(
        &self,
        path: &str,
        namespace: Option<&str>,
        name: Option<String>,
    ) -> Result<String, InvalidField> {
        let invalid = |reason: String| InvalidField::new(format!("{path}.name"), reason);
        let name = name.ok_or_else(|| invalid("is missing".to_owned()))?;
        let name = self.names.known_to_model(namespace, &name);
        if self.tools.iter().any(|tool| tool.name == name) {
            return Ok(name);
        }
        Err(invalid(format!("{} is none of the tools", Quoted(&name))))
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

    fn read() -> (RequestTools, IgnoredFields) {
        let mut ignored = IgnoredFields::default();
        let tools = tools(&serde_json::from_str(TOOLS).unwrap(), &mut ignored).unwrap();
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
                Err("tool_choice.name \"q\" is none of the tools"),
                2,
            ),
            (
                r#"{"type":"web_search"}"#,
                Err("tool_choice.type must be function or allowed_tools, not \"web_search\": the \
                     model calls functions only"),
                2,
            ),
            (r#""any""#, Err("tool_choice must be none, auto or required, not \"any\""), 2),
        ] {
            let (mut tools, _) = read();
            let choice = tools.choose(serde_json::from_str(text).unwrap());
            let choice = choice.map_err(|error| error.to_string());
            assert_eq!(choice, expected.map_err(str::to_owned), "{text}");
            assert_eq!(tools.tools.len(), n_tools, "{text}");
        }
    }
}
