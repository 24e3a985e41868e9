//! The field `format`: each form of it, and what is refused.

use serde_json::{Value, json};

use crate::domain::{Constraint, JsonText, Params};
use crate::protocol::{ClientFrame, ErrorFrame, Infer};

fn infer(format: &Value) -> Result<Infer, ErrorFrame> {
    let frame = json!({"op": "infer", "prompt": "x", "format": format});
    match ClientFrame::parse(&frame.to_string())? {
        ClientFrame::Infer(infer) => Ok(*infer),
        other => panic!("{other:?}"),
    }
}

#[test]
fn format_is_read_in_all_its_forms() {
    let schema = json!({"type": "object", "properties": {"b": {}, "a": {}}});
    for (format, expected) in [
        (json!("json"), Constraint::Json),
        (json!({"type": "json"}), Constraint::Json),
        (
            json!({"type": "json_schema", "schema": schema}),
            Constraint::JsonSchema(JsonText(schema.to_string())),
        ),
        (json!({"type": "regex", "pattern": "a+"}), Constraint::Regex("a+".to_owned())),
        (
            json!({"type": "choice", "choices": ["a", "b"]}),
            Constraint::Choice(vec!["a".to_owned(), "b".to_owned()]),
        ),
        (
            json!({"type": "grammar", "syntax": "lark", "grammar": "start: \"a\""}),
            Constraint::Lark("start: \"a\"".to_owned()),
        ),
        (
            json!({"type": "grammar", "syntax": "gbnf", "grammar": "root ::= \"a\""}),
            Constraint::Gbnf("root ::= \"a\"".to_owned()),
        ),
    ] {
        let infer = infer(&format).unwrap();
        assert_eq!(infer.params.constraint.as_deref(), Some(&expected), "{format}");
        assert!(infer.warnings.texts().is_empty(), "{format}");
    }
    assert_eq!(infer(&Value::Null).unwrap().params, Params::default());
}

#[test]
fn format_with_a_fault_is_refused_with_its_member() {
    for (format, expected) in [
        (json!("yaml"), "format: must be \"json\" or an object with a type, not \"yaml\""),
        (json!(7), "format: must be \"json\" or an object with a type, not 7"),
        (json!({}), "format.type: is missing"),
        (json!({"type": "xml"}), "format.type: must be \"json\", "),
        (json!({"type": "json_schema"}), "format.schema: is missing: send a JSON schema"),
        (json!({"type": "regex", "pattern": 1}), "format.pattern: must be a string, not 1"),
        (json!({"type": "choice", "choices": []}), "format.choices: must have 1 to 1024"),
        (json!({"type": "choice", "choices": [""]}), "format.choices: must be a list of strings"),
        (json!({"type": "grammar", "grammar": "x"}), "format.syntax: is missing"),
        (
            json!({"type": "grammar", "grammar": "x", "syntax": "bnf"}),
            "format.syntax: must be \"lark\" or \"gbnf\", not \"bnf\"",
        ),
    ] {
        let error = infer(&format).unwrap_err();
        assert!(error.message().starts_with(expected), "{format}: {}", error.message());
    }
}

#[test]
fn unknown_member_of_format_is_ignored_with_a_warning() {
    let sent = json!({"type": "json", "strict": true, "schemas": {}});
    let warnings = infer(&sent).unwrap().warnings.texts();
    assert_eq!(
        warnings,
        [
            "format.strict is ignored: there is no such field",
            "format.schemas is ignored: there is no such field; did you mean format.schema?",
        ]
    );
}
