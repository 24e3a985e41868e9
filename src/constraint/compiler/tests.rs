//! Constraints over the vocabulary of the scripted model, in which each byte is a token.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::domain::{JsonText, Message, Role, Token, Tool, ToolChoice};
use crate::engine::AllowedTokens;
use crate::scripted::{END_TOKEN, ScriptedVocabulary};

mod hostile;
mod schemas;

fn compile(constraint: &Constraint) -> Result<Box<dyn AnswerConstraint>, Refusal> {
    ScriptedVocabulary.constrain(constraint, &PromptLimit::none())
}

fn schema(schema: &Value) -> Constraint {
    Constraint::JsonSchema(JsonText(schema.to_string()))
}

/// The reason why `constraint` is refused.
fn reason(constraint: &Constraint) -> String {
    match compile(constraint) {
        Err(Refusal::InvalidParams { field, reason }) if field == "format" => reason,
        other => panic!("{constraint:.100?} became {other:?}"),
    }
}

/// Whether `constraint` allows `text` as a whole answer.
fn allows(constraint: &Constraint, text: &str) -> bool {
    fits(&mut *compile(constraint).unwrap(), text)
}

/// Whether a compiled constraint allows `text` as a whole answer.
fn fits(compiled: &mut dyn AnswerConstraint, text: &str) -> bool {
    for byte in text.bytes() {
        let token = Token::from(byte);
        let is_allowed = match compiled.allowed().unwrap() {
            AllowedTokens::Any => true,
            AllowedTokens::Only(only) => only == token,
            AllowedTokens::Of(set) => set.contains(token),
            AllowedTokens::Nothing => false,
        };
        if !is_allowed {
            return false;
        }
        compiled.accept(token).unwrap();
    }
    match compiled.allowed().unwrap() {
        AllowedTokens::Nothing => true,
        AllowedTokens::Of(set) => set.contains(END_TOKEN),
        AllowedTokens::Any | AllowedTokens::Only(_) => false,
    }
}

/// An answer that takes, of the allowed tokens, those at the positions `choices`, and then those
/// that end it soonest.
fn answer(constraint: &Constraint, choices: &[u8]) -> String {
    let mut compiled = compile(constraint).unwrap();
    let mut bytes = Vec::new();
    let mut choices = choices.iter().map(|&choice| usize::from(choice));
    for _ in 0..2000 {
        let token = match compiled.allowed().unwrap() {
            AllowedTokens::Nothing => break,
            AllowedTokens::Any => panic!("everything is allowed"),
            AllowedTokens::Only(token) => token,
            AllowedTokens::Of(set) => {
                let tokens: Vec<Token> = (0..=END_TOKEN).filter(|&t| set.contains(t)).collect();
                let shortest = [END_TOKEN].into_iter().chain(b"\"}]0,".map(Token::from));
                let shortest = shortest.chain([tokens[0]]).find(|token| tokens.contains(token));
                choices.next().map_or_else(|| shortest.unwrap(), |i| tokens[i % tokens.len()])
            }
        };
        if token == END_TOKEN {
            break;
        }
        compiled.accept(token).unwrap();
        bytes.push(token as u8);
    }
    String::from_utf8(bytes).unwrap()
}

fn person() -> Value {
    json!({
        "type": "object",
        "properties": {
            "name": {"type": "string", "maxLength": 8},
            "age": {"type": "integer", "minimum": 0, "maximum": 150},
            "tags": {"type": "array", "items": {"enum": ["a", "b"]}, "maxItems": 3},
            "pet": {"anyOf": [{"type": "null"}, {"$ref": "#/$defs/pet"}]},
        },
        "required": ["name", "age", "tags", "pet"],
        "additionalProperties": false,
        "$defs": {"pet": {
            "type": "object", "properties": {"legs": {"type": "integer", "minimum": -8, "maximum": 8}},
            "required": ["legs"], "additionalProperties": false,
        }},
    })
}

proptest! {
    #[test]
    fn answer_fits_its_schema_whatever_is_chosen(choices in prop::collection::vec(0u8.., 0..80)) {
        let text = answer(&schema(&person()), &choices);
        let value: Value = serde_json::from_str(&text).unwrap();
        prop_assert!(value["name"].as_str().unwrap().chars().count() <= 8, "{}", text);
        prop_assert!(value["age"].as_u64().unwrap() <= 150, "{}", text);
        let tags = value["tags"].as_array().unwrap();
        prop_assert!(tags.len() <= 3 && tags.iter().all(|tag| tag == "a" || tag == "b"));
        let pet = &value["pet"];
        // serde_json reads -0 as a number with a fraction.
        let is_integer = |legs: &Value| legs.as_f64().is_some_and(|legs| legs.fract() == 0.0);
        prop_assert!(pet.is_null() || is_integer(&pet["legs"]), "{}", text);
        prop_assert_eq!(value.as_object().unwrap().len(), 4);
    }

    #[test]
    fn answer_of_any_json_is_an_object(choices in prop::collection::vec(0u8.., 0..60)) {
        let text = answer(&Constraint::Json, &choices);
        match serde_json::from_str::<Value>(&text) {
            Ok(value) => prop_assert!(value.is_object(), "{}", text),
            // JSON has numbers of any size, serde_json has not.
            Err(error) => prop_assert!(error.to_string().contains("out of range"), "{}", text),
        }
    }

    #[test]
    fn answer_is_one_of_the_choices(choices in prop::collection::vec(0u8.., 0..9)) {
        let texts = ["yes", "yes!", "no", "é \"x\"\n\u{7f}"].map(str::to_owned).to_vec();
        let text = answer(&Constraint::Choice(texts.clone()), &choices);
        prop_assert!(texts.contains(&text), "{}", text);
    }
}

#[test]
fn regex_matches_the_whole_answer() {
    for regex in ["[a-c]+\\d{2}/x", "^[a-c]+\\d{2}/x$"] {
        let regex = Constraint::Regex(regex.to_owned());
        assert!(allows(&regex, "abc12/x"));
        assert!(!allows(&regex, "abc12/xy") && !allows(&regex, "abc1/x") && !allows(&regex, ""));
    }
    assert!(allows(&Constraint::Regex("a\\$".to_owned()), "a$"));
}

#[test]
fn what_a_schema_prescribes_is_forced() {
    let mut compiled = compile(&schema(&person())).unwrap();
    let forced: Vec<u8> = compiled.forced().iter().map(|&token| token as u8).collect();
    assert_eq!(String::from_utf8(forced).unwrap(), "{\"name\": \"");
    for &byte in b"{\"name\": \"" {
        assert_eq!(compiled.allowed(), Ok(AllowedTokens::Only(Token::from(byte))));
        compiled.accept(Token::from(byte)).unwrap();
    }
    assert!(matches!(compiled.allowed(), Ok(AllowedTokens::Of(_))));
    assert!(compiled.forced().is_empty());
    assert!(compiled.accept(Token::from(b'\n')).is_err(), "a string has no line break");
}

#[test]
fn gbnf_allows_what_its_rules_say() {
    let lines = Constraint::Gbnf("root ::= \"a\nb\" \"c\"{,2}".to_owned());
    assert!(allows(&lines, "a\nb") && allows(&lines, "a\nbcc") && !allows(&lines, "a\nbccc"));
    let word = Constraint::Gbnf("root ::= [a-z]+ \"e\" x?\nx ::= (\"1\" | \"\"){2}".to_owned());
    for (text, is_allowed) in
        [("abe", true), ("ee", true), ("abe11", true), ("e", false), ("ab", false)]
    {
        assert_eq!(allows(&word, text), is_allowed, "{text}");
    }
    let nested = "root ::= value\nvalue ::= \"[\" ws (value (\",\" ws value)*)? \"]\" ws | number\n\
        number ::= \"-\"? [0-9]+ ws\nws ::= [ \\n]*";
    let nested = Constraint::Gbnf(nested.to_owned());
    for (text, is_allowed) in [("[]", true), ("[1, [-2,3 ]]", true), ("[1,]", false), ("[", false)]
    {
        assert_eq!(allows(&nested, text), is_allowed, "{text}");
    }
}

#[test]
fn lark_allows_what_its_rules_say() {
    let lark = Constraint::Lark("start: \"a\" b*\nb: /[0-9]/ \";\"".to_owned());
    assert!(allows(&lark, "a1;2;") && allows(&lark, "a") && !allows(&lark, "a1"));
}

#[test]
fn constraint_that_cannot_be_enforced_is_refused_with_the_reason() {
    for (constraint, expected) in [
        (
            Constraint::JsonSchema(JsonText("3".to_owned())),
            "cannot be enforced: a schema is an object",
        ),
        (Constraint::Choice(Vec::new()), "must not be empty"),
        (Constraint::Gbnf("root ::= x".to_owned()), "cannot be enforced: there is no rule x"),
    ] {
        assert_eq!(reason(&constraint), expected);
    }
    for constraint in [
        Constraint::Regex("(".to_owned()),
        Constraint::Regex("a(?=b)".to_owned()),
        Constraint::Lark("start: nothing".to_owned()),
        Constraint::Lark("start: /(/".to_owned()),
    ] {
        let reason = reason(&constraint);
        assert!(reason.starts_with("cannot be enforced: "), "{reason}");
        assert!(reason.len() < 400 && !reason.contains('\n'), "{reason}");
    }
}

fn weather() -> Conversation {
    let tool = |name: &str, parameters: Option<Value>| Tool {
        name: name.to_owned(),
        description: None,
        parameters: parameters.map(|schema| JsonText(schema.to_string())),
    };
    let city = json!({"type": "object", "properties": {"city": {"enum": ["Bern", "Rome"]}},
        "required": ["city"], "additionalProperties": false});
    Conversation {
        tools: vec![tool("weather", Some(city)), tool("time", None)],
        tool_choice: ToolChoice::Required,
        ..Conversation::of(vec![Message::text(Role::User, "Is it warm?")])
    }
}

fn calls(conversation: &Conversation, style: ToolCallStyle, text: &str) -> bool {
    let grammar = calls_grammar(conversation, style, |_| None).unwrap().unwrap();
    let tokenize = |text: &str| text.bytes().map(Token::from).collect();
    let compiler = ConstraintCompiler::new(&ScriptedVocabulary, Box::new(tokenize)).unwrap();
    fits(&mut compiler.compile_grammar(TopLevelGrammar::from_lark(grammar)).unwrap(), text)
}

#[test]
fn required_call_has_the_form_of_the_style_and_fits_the_schema_of_the_tool() {
    let conversation = weather();
    let bern = "{\"name\": \"weather\", \"arguments\": {\"city\": \"Bern\"}}";
    let hermes = format!("<tool_call>\n{bern}\n</tool_call>");
    assert!(calls(&conversation, ToolCallStyle::Hermes, &hermes));
    assert!(calls(&conversation, ToolCallStyle::Unknown, &format!("{hermes}\n{hermes}")));
    assert!(!calls(&conversation, ToolCallStyle::Hermes, &hermes.replace("Bern", "Oslo")));
    assert!(!calls(&conversation, ToolCallStyle::Hermes, &hermes.replace("weather", "wind")));
    assert!(calls(&conversation, ToolCallStyle::Mistral, &format!("[TOOL_CALLS][{bern}]")));
    assert!(calls(
        &conversation,
        ToolCallStyle::Granite,
        &format!("<|tool_call|>[{bern}, {bern}]")
    ));
    let llama = bern.replace("arguments", "parameters");
    assert!(calls(&conversation, ToolCallStyle::LlamaJson, &llama));
}

#[test]
fn arguments_of_a_required_call_are_an_object_whatever_the_schema_says() {
    let with = |schema: &str| {
        let mut conversation =
            Conversation { tool_choice: ToolChoice::Named("time".to_owned()), ..weather() };
        conversation.tools[1].parameters = Some(JsonText(schema.to_owned()));
        conversation
    };
    let call = |arguments: &str| {
        format!("<tool_call>\n{{\"name\": \"time\", \"arguments\": {arguments}}}\n</tool_call>")
    };
    for schema in [
        "{}",
        "true",
        r#"{"properties": {"zone": {"type": "integer"}}}"#,
        r#"{"type": ["null", "object"]}"#,
        r#"{"anyOf": [{"type": "string"}, {"properties": {"zone": {"type": "integer"}}}]}"#,
        r##"{"$ref": "#/$defs/a", "$defs": {"a": {"properties": {"zone": {}}}}}"##,
    ] {
        let conversation = with(schema);
        assert!(calls(&conversation, ToolCallStyle::Hermes, &call("{\"zone\": 3}")), "{schema}");
        for other in ["true", "null", "\"a\"", "[]"] {
            assert!(!calls(&conversation, ToolCallStyle::Hermes, &call(other)), "{schema}");
        }
    }
    for schema in [
        r#"{"type": "string"}"#,
        r#"{"type": ["null", "array"]}"#,
        r#"{"const": 5}"#,
        r#"{"anyOf": [{"type": "string"}]}"#,
    ] {
        match ScriptedVocabulary.constrain_calls(&with(schema), &PromptLimit::none()) {
            Err(Refusal::InvalidParams { field, .. }) => assert_eq!(field, "tools[1].parameters"),
            other => panic!("{schema}: {other:?}"),
        }
    }
}

#[test]
fn named_tool_is_the_only_one_and_is_called_once() {
    let named =
        |name: &str| Conversation { tool_choice: ToolChoice::Named(name.to_owned()), ..weather() };
    let call = "<tool_call>\n{\"name\": \"time\", \"arguments\": {\"zone\": 3}}\n</tool_call>";
    assert!(calls(&named("time"), ToolCallStyle::Hermes, call));
    assert!(!calls(&named("weather"), ToolCallStyle::Hermes, call));
    assert!(!calls(&named("time"), ToolCallStyle::Hermes, &format!("{call}\n{call}")));
    let unknown = calls_grammar(&named("wind"), ToolCallStyle::Hermes, |_| None);
    assert!(matches!(unknown, Err((field, _)) if field == "tool_choice"));
}

#[test]
fn required_call_is_the_only_one_without_parallel_calls() {
    let once = Conversation { parallel_tool_calls: false, ..weather() };
    let call = "<tool_call>\n{\"name\": \"time\", \"arguments\": {\"zone\": 3}}\n</tool_call>";
    assert!(calls(&once, ToolCallStyle::Hermes, call));
    assert!(!calls(&once, ToolCallStyle::Hermes, &format!("{call}\n{call}")));
}

#[test]
fn call_that_is_not_json_is_not_forced() {
    for style in [ToolCallStyle::QwenXml, ToolCallStyle::Harmony, ToolCallStyle::Glm] {
        assert!(calls_grammar(&weather(), style, |_| None).unwrap().is_none());
    }
    let auto = Conversation { tool_choice: ToolChoice::Auto, ..weather() };
    assert!(calls_grammar(&auto, ToolCallStyle::Hermes, |_| None).unwrap().is_none());
}
