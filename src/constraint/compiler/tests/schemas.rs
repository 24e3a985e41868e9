//! Each keyword of JSON schemas is enforced, or refused with its place.

use super::*;

/// The reason why a schema is refused.
fn refused(schema: &str) -> String {
    let constraint = Constraint::JsonSchema(JsonText(schema.to_owned()));
    match compile(&constraint) {
        Err(Refusal::InvalidParams { reason, .. }) => reason,
        other => panic!("{schema} became {other:?}"),
    }
}

#[test]
fn keyword_that_is_not_enforced_is_refused_with_its_place() {
    for (schema, place) in [
        (r#"{"properties": {"a": {"not": {"type": "null"}}}}"#, "#/properties/a/not"),
        (r#"{"properties": {"not": {"not": {}}}}"#, "#/properties/not/not"),
        (r#"{"items": {"if": {}, "then": false}}"#, "#/items/if"),
        (r#"{"type": "array", "uniqueItems": true}"#, "#/uniqueItems"),
        (r#"{"type": "array", "contains": {"const": 1}}"#, "#/contains"),
        (r#"{"propertyNames": {"maxLength": 3}}"#, "#/propertyNames"),
        (r#"{"dependentRequired": {"a": ["b"]}}"#, "#/dependentRequired"),
        (r#"{"dependentSchemas": {"a": false}}"#, "#/dependentSchemas"),
        (r#"{"dependencies": {"a": ["b"]}}"#, "#/dependencies"),
        (r#"{"unevaluatedProperties": false}"#, "#/unevaluatedProperties"),
        (r#"{"prefixItems": [{"not": {}}]}"#, "#/prefixItems/0/not"),
        (r#"{"$schema": "http://json-schema.org/draft-07/schema#", "minContains": 1}"#, "#/min"),
        (r##"{"$dynamicRef": "#a"}"##, "#/$dynamicRef"),
        (r#"{"x-guidance": {}}"#, "#/x-guidance"),
        (
            r##"{"$ref": "#/$defs/a", "$defs": {"a": {"items": {"not": {}}}}}"##,
            "#/$defs/a/items/not",
        ),
    ] {
        let reason = refused(schema);
        assert!(reason.starts_with("cannot be enforced: the keyword "), "{schema}: {reason}");
        assert!(reason.contains(place) && reason.ends_with(" is not supported"), "{reason}");
    }
}

#[test]
fn wrong_value_of_a_keyword_is_refused_with_its_place() {
    for (schema, place) in [
        (r#"{"items": {"type": "foo"}}"#, "#/items/type"),
        (r#"{"type": []}"#, "#/type"),
        (r#"{"type": 3}"#, "#/type"),
        (r#"{"enum": []}"#, "#/enum"),
        (r#"{"enum": 1}"#, "#/enum"),
        (r#"{"format": "no-such-format"}"#, "#/format"),
        (r#"{"anyOf": {}}"#, "#/anyOf"),
        (r#"{"anyOf": [{"anyOf": []}]}"#, "#/anyOf/0/anyOf"),
        (r#"{"oneOf": [{"minimum": 1}, {"maximum": 3}]}"#, "#/oneOf"),
        (r#"{"properties": {"a": 3}}"#, "#/properties/a"),
        (r#"{"properties": []}"#, "#/properties"),
        (r#"{"patternProperties": {"(": {}}}"#, "#/patternProperties/("),
        (r#"{"patternProperties": {"a": {}, "b": {}}}"#, "#/patternProperties"),
        (r#"{"type": "object", "required": ["a"], "properties": {"a": false}}"#, "#/properties/a"),
        (r#"{"type": "object", "required": ["a"], "additionalProperties": false}"#, "#/"),
        (r#"{"required": "a"}"#, "#/required"),
        (r#"{"minProperties": 3}"#, "#/minProperties"),
        (r#"{"maxItems": -1}"#, "#/maxItems"),
        (r#"{"minItems": 1e30}"#, "#/minItems"),
        (r#"{"type": "array", "minItems": 3, "maxItems": 2}"#, "#/minItems"),
        (r#"{"type": "string", "minLength": 3, "maxLength": 2}"#, "#/minLength"),
        (r#"{"type": "string", "minLength": 99999999999}"#, "#/minLength"),
        (r#"{"type": "integer", "minimum": 3, "maximum": 2}"#, "#/minimum"),
        (r#"{"minimum": "3"}"#, "#/minimum"),
        (r#"{"multipleOf": 0}"#, "#/multipleOf"),
        (r#"{"multipleOf": 0.12345}"#, "#/multipleOf"),
        (r#"{"allOf": [{"multipleOf": 70001}, {"multipleOf": 70003}]}"#, "#/allOf/1/multipleOf"),
        (r#"{"const": 9007199254740993}"#, "#/const"),
        (r#"{"enum": [[9007199254740993]]}"#, "#/enum"),
        (r#"{"maximum": 1e300}"#, "#/maximum"),
        (r#"{"maximum": 1e400}"#, "#/maximum"),
        (r#"{"properties": {"a": {"type": "null", "type": "string"}}}"#, "#/properties/a/type"),
        (r#"{"pattern": "(?=a)"}"#, "#/pattern"),
        (r#"{"pattern": "a^b"}"#, "#/pattern"),
        (r#"{"pattern": "(a{1000}){1000}"}"#, "#/pattern"),
        (r#"{"allOf": [{"type": "null"}, {"type": "string"}]}"#, "#/allOf"),
        (r##"{"items": {"$ref": "#/$defs/none"}}"##, "#/items/$ref"),
        (r##"{"$ref": "#name", "$defs": {"a": {"$anchor": "name"}}}"##, "#/$ref"),
        (r#"{"$ref": "https://example.com/schema.json"}"#, "#/$ref"),
        (r#"{"$ref": "other.json#/a"}"#, "#/$ref"),
        (r##"{"$ref": "#/"}"##, "#/$ref"),
        (r##"{"$ref": "#/a%2"}"##, "#/$ref"),
        (r#"{"items": {"$id": "https://example.com/a"}}"#, "#/items/$id"),
    ] {
        let reason = refused(schema);
        let is_placed = reason.contains(&format!("at {place}"));
        assert!(is_placed && reason.starts_with("cannot be enforced: "), "{schema}: {reason}");
        assert!(reason.len() < 300 && !reason.contains('\n'), "{reason}");
    }
    for schema in ["false", "3", "[]", "", "{\"a\"}"] {
        assert!(refused(schema).starts_with("cannot be enforced: "), "{schema}");
    }
}

#[test]
fn keyword_is_enforced() {
    for (schema, fits, does_not) in [
        ("true", "[1]", "1 2"),
        (r#"{"type": ["integer", "null"]}"#, "-7", "1.5"),
        (r#"{"enum": ["a\"b", {"k": [1]}, 7]}"#, "{\"k\": [1]}", "8"),
        (r#"{"const": 9007199254740992}"#, "9007199254740992", "9007199254740993"),
        (r#"{"const": 0.1}"#, "0.1", "0.2"),
        (r#"{"const": 1e-7}"#, "0.0000001", "0"),
        (r#"{"minimum": -0.5, "exclusiveMaximum": 3}"#, "2.9", "3"),
        (r#"{"type": "integer", "exclusiveMinimum": 1, "maximum": 9007199254740992}"#, "2", "1"),
        (r#"{"type": "number", "multipleOf": 0.25}"#, "1.75", "1.7"),
        (r#"{"type": "string", "minLength": 2, "maxLength": 3}"#, "\"äöü\"", "\"a\""),
        (r#"{"type": "string", "pattern": "\\d{2}"}"#, "\"a12\"", "\"٣٣\""),
        (r#"{"type": "string", "pattern": "^\\w+$"}"#, "\"ab_1\"", "\"é\""),
        (r#"{"type": "string", "pattern": "^[a&&b]$"}"#, "\"&\"", "\"c\""),
        (r#"{"type": "string", "pattern": "^a\\sb$"}"#, "\"a\u{feff}b\"", "\"a-b\""),
        (r#"{"type": "string", "format": "date"}"#, "\"2024-02-29\"", "\"2024-02-30\""),
        (r#"{"type": "array", "items": {"type": "null"}, "minItems": 1}"#, "[null]", "[]"),
        (r#"{"prefixItems": [{"const": 1}], "items": false, "type": "array"}"#, "[1]", "[1, 2]"),
        (r#"{"type": "array", "items": [{"const": 1}], "additionalItems": false}"#, "[1]", "[2]"),
        (r#"{"properties": {"a\"\\b": {"const": 1}}, "type": "object"}"#, r#"{"a\"\\b": 1}"#, "[]"),
        (r#"{"type": "object", "required": ["b"]}"#, "{\"b\": 1}", "{}"),
        (
            r#"{"properties": {"a": {"const": "x"}}, "additionalProperties": {"type": "integer"}}"#,
            "{\"a\": \"x\", \"b\": 2}",
            "{\"a\": \"x\", \"\\u0061\": 2}",
        ),
        (
            r#"{"type": "object", "patternProperties": {"^\\d$": {"const": 1}},
                "additionalProperties": false}"#,
            "{\"3\": 1}",
            "{\"a\": 1}",
        ),
        (r#"{"type": "object", "maxProperties": 1}"#, "{\"a\": 1}", "{\"a\": 1, \"b\": 2}"),
        (r#"{"type": "object", "properties": {"a": false}}"#, "{}", "{\"a\": 1}"),
        (r#"{"allOf": [{"type": "integer"}, {"minimum": 5}]}"#, "5", "4"),
        (r#"{"allOf": [{"multipleOf": 4}, {"multipleOf": 6}], "type": "integer"}"#, "12", "6"),
        (r#"{"oneOf": [{"type": "null"}, {"type": "boolean"}]}"#, "true", "1"),
        (r#"{"type": "array", "uniqueItems": false}"#, "[1, 1]", "{}"),
        (r##"{"$ref": "#/$defs/a~1b", "$defs": {"a/b": {"const": 1}}}"##, "1", "2"),
        (r##"{"$ref": "#/$defs/a~0b", "$defs": {"a~b": {"const": 1}}}"##, "1", "2"),
        (r##"{"$ref": "#/$defs/A%3Cint%3E", "$defs": {"A<int>": {"const": 1}}}"##, "1", "2"),
        (r##"{"$ref": "#/definitions/a", "definitions": {"a": {"const": 1}}}"##, "1", "2"),
        (r##"{"items": {"$ref": "#"}, "type": "array"}"##, "[[], [[]]]", "[1]"),
        (
            r##"{"$id": "https://example.com/a", "$anchor": "a", "$comment": "b", "const": 1}"##,
            "1",
            "2",
        ),
        (r#"{"$schema": "http://json-schema.org/draft-04/schema#", "const": 1}"#, "1", "2"),
    ] {
        let constraint = Constraint::JsonSchema(JsonText(schema.to_owned()));
        assert!(allows(&constraint, fits), "{schema} allows {fits}");
        assert!(!allows(&constraint, does_not), "{schema} does not allow {does_not}");
    }
}

#[test]
fn control_character_that_only_an_escape_could_write_is_refused_with_its_place() {
    for (schema, place) in [
        (r#"{"const": "a\u0001b"}"#, "#/const"),
        (r#"{"items": {"enum": [[{"a": "\u001b"}]]}}"#, "#/items/enum"),
        (r#"{"enum": ["\u007f"]}"#, "#/enum"),
        (r#"{"pattern": "^\\u0001$"}"#, "#/pattern"),
        (r#"{"pattern": "[\\x00-\\x07\\x7f]"}"#, "#/pattern"),
        (r#"{"patternProperties": {"\u0001": {}}}"#, "#/patternProperties/"),
    ] {
        let reason = refused(schema);
        assert!(reason.contains(&format!("at {place}")), "{schema}: {reason}");
        assert!(reason.ends_with("cannot be in an answer"), "{reason}");
    }
    let others = r#"{"const": "\b\f\n\r\t\\\""}"#;
    let others = Constraint::JsonSchema(JsonText(others.to_owned()));
    assert!(allows(&others, r#""\b\f\n\r\t\\\"""#));
}

/// A class that has all control characters is where llguidance would take any escape for one.
#[test]
fn pattern_matches_no_quotation_mark_or_backslash_that_it_does_not_name() {
    for (pattern, fits, does_not) in [
        (r"^[\\u0000-\\u001f]{2}$", r#""\n\t""#, r#""\\\"""#),
        (r#"^a[^\"]b$"#, r#""a\\b""#, r#""a\"b""#),
        (r"^a[^\\\\]b$", r#""a\"b""#, r#""a\\b""#),
        (r#"^a[^\"\\\\]b$"#, r#""a\nb""#, r#""a\"b""#),
        (r"^\\p{Cc}$", r#""\r""#, r#""\\""#),
        (r"^[^ -~]$", r#""\f""#, r#""\"""#),
        (r"^\\W$", r#""\"""#, r#""a""#),
        (r"^([\\x00-\\x0f]|[\\x0d-\\x1f])$", r#""\b""#, r#""\\""#),
        (r"^[^a]$", r#""\\""#, r#""a""#),
    ] {
        let string = format!(r#"{{"type": "string", "pattern": "{pattern}"}}"#);
        let limited = format!(r#"{{"type": "string", "maxLength": 9, "pattern": "{pattern}"}}"#);
        let name = format!(
            r#"{{"type": "object", "patternProperties": {{"{pattern}": {{"const": 1}}}},
                "additionalProperties": false}}"#
        );
        for (schema, before, after) in [(string, "", ""), (limited, "", ""), (name, "{", ": 1}")] {
            let constraint = Constraint::JsonSchema(JsonText(schema.clone()));
            let answer = |text: &str| format!("{before}{text}{after}");
            assert!(allows(&constraint, &answer(fits)), "{schema} allows {fits}");
            assert!(!allows(&constraint, &answer(does_not)), "{schema} allows {does_not}");
        }
    }
}

#[test]
fn schema_that_only_a_text_without_end_fits_is_refused_with_its_place() {
    for (schema, place) in [
        (r##"{"type": "array", "items": {"$ref": "#"}, "minItems": 1}"##, "#/items"),
        (
            r##"{"type": "object", "required": ["a", "b"],
                "properties": {"a": {"type": "string"}, "b": {"$ref": "#"}}}"##,
            "#/properties/b",
        ),
        (
            r##"{"$ref": "#/$defs/a", "$defs": {
                "a": {"type": "array", "prefixItems": [{"$ref": "#/$defs/b"}], "minItems": 1},
                "b": {"anyOf": [{"allOf": [{"$ref": "#/$defs/a"}]}]}}}"##,
            "#/$ref",
        ),
        (r#"{"type": "array", "items": {"type": "null"}, "minItems": 20000}"#, "#"),
    ] {
        let reason = refused(schema);
        assert!(reason.contains(&format!("at {place}")), "{schema}: {reason}");
        assert!(reason.contains("without end"), "{reason}");
    }
    let list = r##"{"type": "object", "required": ["next"], "properties": {"next":
        {"anyOf": [{"$ref": "#"}, {"type": "null"}]}}}"##;
    let list = Constraint::JsonSchema(JsonText(list.to_owned()));
    assert!(allows(&list, "{\"next\": {\"next\": null}}"));
    let optional = r##"{"type": "object", "properties": {"a": {"$ref": "#/$defs/n"}, "b": {}},
        "$defs": {"n": {"type": "array", "items": {"$ref": "#/$defs/n"}, "minItems": 1}}}"##;
    let optional = Constraint::JsonSchema(JsonText(optional.to_owned()));
    assert!(allows(&optional, "{\"b\": 1}") && !allows(&optional, "{\"a\": [[]]}"));
    for grammar in [
        Constraint::Gbnf("root ::= \"a\" root".to_owned()),
        Constraint::Lark("start: \"a\" start".to_owned()),
    ] {
        assert!(reason(&grammar).contains("text without end"), "{grammar:?}");
    }
}

#[test]
fn annotation_and_unknown_keyword_change_nothing() {
    let schema = r#"{"type": "integer", "title": "a", "default": {"not": 1}, "deprecated": true,
        "examples": ["x"], "format": "int32", "x-order": {"type": "foo"}}"#;
    assert!(allows(&Constraint::JsonSchema(JsonText(schema.to_owned())), "7"));
}

#[test]
fn fault_in_the_schema_of_a_tool_names_the_tool() {
    let fault = |schema: &str, tool_choice: ToolChoice| {
        let mut conversation = Conversation { tool_choice, ..weather() };
        conversation.tools[1].parameters = Some(JsonText(schema.to_owned()));
        match ScriptedVocabulary.constrain_calls(&conversation, &PromptLimit::none()) {
            Err(Refusal::InvalidParams { field, reason }) => format!("{field}: {reason}"),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(
        fault(r#"{"properties": {"zone": {"not": {}}}}"#, ToolChoice::Named("time".to_owned())),
        "tools[1].parameters: the schema of the tool time cannot be enforced: the keyword not at \
         #/properties/zone/not is not supported"
    );
    let wrong = fault(r#"{"items": {"type": "foo"}}"#, ToolChoice::Required);
    assert!(wrong.starts_with("tools[1].parameters: the schema of the tool time "), "{wrong}");
    assert!(wrong.contains("at #/items/type: "), "{wrong}");
    let pattern = fault(r#"{"pattern": "("}"#, ToolChoice::Required);
    assert!(
        pattern.contains("tools[1].parameters: ") && pattern.contains("#/pattern"),
        "{pattern}"
    );
}
