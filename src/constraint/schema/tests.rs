//! What is changed in schemas for llguidance, and how large they may be.

use super::*;

fn parsed(schema: &Value) -> Result<Value, GrammarFault> {
    prepare(&JsonText(schema.to_string()))
}

#[test]
fn objects_have_no_other_members_unless_the_schema_speaks_of_them() {
    let open = json!({"properties": {"a": {"properties": {}}}, "required": ["a"]});
    let closed = compact(open.clone());
    assert_eq!(closed["additionalProperties"], false);
    assert_eq!(closed["properties"]["a"]["additionalProperties"], false);
    assert_eq!(closed["properties"].get("additionalProperties"), None);
    for schema in [
        json!({"properties": {"a": {}}, "additionalProperties": true}),
        json!({"properties": {"a": {}}, "required": ["b"]}),
        json!({"allOf": [open.clone(), {"properties": {"b": {}}}]}),
        json!({"properties": {"a": {}}, "anyOf": [{"properties": {"b": {}}}]}),
    ] {
        let closed = compact(schema.clone());
        assert!(!closed.to_string().contains("\"additionalProperties\":false"), "{schema}");
    }
}

#[test]
fn nesting_is_counted_outside_of_strings() {
    assert_eq!(depth(r#"{"[[[\"{": [1, {"a": []}]}"#), 4);
    let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
    assert_eq!(prepare(&JsonText(deep)), Err(GrammarFault::TooDeep));
}

#[test]
fn alternatives_may_be_many_but_not_multiply() {
    let any_of = |n: usize| json!({"anyOf": vec![json!({"type": "string"}); n]});
    assert!(parsed(&any_of(500)).is_ok());
    assert!(matches!(parsed(&any_of(501)), Err(GrammarFault::Invalid(_))));
    assert!(parsed(&json!({"allOf": [any_of(10), any_of(10)]})).is_ok());
    let all_of = json!({"allOf": vec![any_of(2); 40]});
    assert!(matches!(parsed(&all_of), Err(GrammarFault::Invalid(_))));
    let levels = (0..30).map(|i| {
        let next = json!({"$ref": format!("#/$defs/l{}", i + 1)});
        (format!("l{i}"), json!({"allOf": [next.clone(), next, any_of(2)]}))
    });
    let levels = levels.chain([("l30".to_owned(), json!({}))]);
    let schema = json!({"$ref": "#/$defs/l0", "$defs": Map::from_iter(levels)});
    assert!(matches!(parsed(&schema), Err(GrammarFault::Invalid(_))));
}

#[test]
fn one_of_alternatives_that_exclude_each_other_becomes_any_of() {
    let tagged = |tag: &str| json!({"type": "object", "properties": {"kind": {"const": tag}}, "required": ["kind"]});
    let of = |items: Value| {
        let defs = json!({"cat": tagged("cat"), "dog": tagged("dog")});
        let schema = parsed(&json!({"oneOf": items, "$defs": defs})).unwrap();
        schema.get("anyOf").is_some()
    };
    assert!(of(json!([{"$ref": "#/$defs/cat"}, {"$ref": "#/$defs/dog"}])));
    assert!(of(json!([{"type": "string"}, {"type": ["integer", "null"]}, {"const": true}])));
    assert!(of(json!([{"enum": [1, 2]}, {"enum": ["a"]}, {"const": 3}])));
    assert!(!of(json!([{"$ref": "#/$defs/cat"}, {"$ref": "#/$defs/cat"}])));
    assert!(!of(json!([{"type": "integer"}, {"type": "number"}])));
    assert!(!of(json!([{"const": 1}, {"const": 1.0}])));
    let untyped = json!({"properties": {"kind": {"const": "dog"}}, "required": ["kind"]});
    assert!(!of(json!([{"$ref": "#/$defs/cat"}, untyped])));
}
