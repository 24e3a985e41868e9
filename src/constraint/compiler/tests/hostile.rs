//! Constraints that are meant to take much time or memory, and messages about faults.

use std::time::Instant;

use super::*;

/// A schema with `n` alternatives, each of a member of its own.
fn any_of(n: usize) -> Value {
    let items = (0..n).map(|i| json!({"properties": {format!("p{i}"): {"const": i}}}));
    json!({"anyOf": items.collect::<Vec<_>>()})
}

/// A schema that refers to the first of `n` definitions, each of which `next` makes of a reference
/// to the following one.
fn chained(n: usize, next: impl Fn(Value) -> Value) -> Value {
    let reference = |i: usize| json!({"$ref": format!("#/$defs/d{i}")});
    let defs = (0..n).map(|i| (format!("d{i}"), next(reference(i + 1))));
    let defs: serde_json::Map<_, _> = defs.chain([(format!("d{n}"), json!({}))]).collect();
    json!({"$ref": "#/$defs/d0", "$defs": defs})
}

/// `n` properties that fit `of`.
fn many(n: usize, of: &Value) -> Value {
    let properties = (0..n).map(|i| (format!("property{i}"), of.clone()));
    json!({"properties": serde_json::Map::from_iter(properties)})
}

/// Schemas that are meant to take much time or memory.
fn hostile_schemas() -> Vec<(&'static str, Constraint)> {
    let nested = |n: usize| format!("{}{{}}{}", "{\"items\":".repeat(n), "}".repeat(n));
    let long = (0..5000).map(|i| format!("{}{i}", "x".repeat(40))).collect::<Vec<_>>();
    let mut faulty = many(1000, &json!({"type": "string"}));
    faulty["properties"]["property999"] = json!({"maxItems": -1});
    let text = |text: String| Constraint::JsonSchema(JsonText(text));
    vec![
        ("10,000 levels", text(nested(10_000))),
        ("100 levels", text(nested(90))),
        ("1 MB", text(format!("{{\"const\": \"{}\"}}", "x".repeat(1 << 20)))),
        ("all of any of", schema(&json!({"allOf": vec![any_of(9); 9]}))),
        ("all of 3 any of", schema(&json!({"allOf": vec![any_of(12); 3]}))),
        ("one of 1,000", schema(&json!({"oneOf": any_of(1000)["anyOf"]}))),
        ("any of 4,000", schema(&any_of(4_000))),
        ("any of 500", schema(&any_of(500))),
        ("any of 80 twice", schema(&json!({"properties": {"a": any_of(80), "b": any_of(80)}}))),
        ("enum of 5,000", schema(&json!({"enum": long}))),
        ("enum of numbers", schema(&json!({"enum": (0..5000).collect::<Vec<_>>()}))),
        ("1,000 properties", schema(&many(1000, &json!({"type": "string"})))),
        ("4,500 properties", schema(&many(4500, &json!({"type": "string"})))),
        ("fault in a large schema", schema(&faulty)),
        ("recursion", schema(&json!({"$ref": "#"}))),
        ("recursion of all", schema(&json!({"allOf": [{"$ref": "#"}, {"$ref": "#"}]}))),
        ("chain of references", schema(&chained(2_300, |next| json!({"items": next})))),
        (
            "doubling references",
            schema(&chained(40, |next| json!({"prefixItems": [next.clone(), next]}))),
        ),
        ("long string", schema(&json!({"type": "string", "minLength": 100_000_000u64}))),
        ("long array", schema(&json!({"type": "array", "minItems": 100_000_000u64}))),
        ("pattern", schema(&json!({"pattern": "(x+x+)+y", "maxLength": 100_000}))),
    ]
}

/// Grammars and regular expressions that are meant to take much time or memory.
fn hostile_grammars() -> Vec<(&'static str, Constraint)> {
    let (regex, lark, gbnf) = (Constraint::Regex, Constraint::Lark, Constraint::Gbnf);
    let rules = |n: usize, rule: &dyn Fn(usize) -> String| -> String { (0..n).map(rule).collect() };
    let doubling = rules(30, &|i| format!("r{i}: r{0} r{0}\n", i + 1));
    let terminals = rules(30, &|i| format!("T{i}: T{0} T{0}\n", i + 1));
    let chain = |n| rules(n, &|i| format!("r{i}: r{}\n", i + 1));
    let gbnf_chain = rules(1_990, &|i| format!("r{i} ::= r{}\n", i + 1));
    vec![
        ("10,000 brackets", regex("(".repeat(10_000))),
        ("lark brackets", lark(format!("start: {}", "(".repeat(10_000)))),
        ("gbnf brackets", gbnf(format!("root ::= {}", "(".repeat(10_000)))),
        ("repetition", regex("((a{1000}){1000}){1000}".to_owned())),
        ("repetitions", regex("(a{1,1000}){1,1000}".to_owned())),
        ("exponential states", regex(format!("(a|b)*a(a|b){{{}}}", 2000))),
        ("schema in lark", lark(format!("start: %json {}", any_of(4_000)))),
        ("10,000 rules", lark(format!("start: r0\n{}r10000: \"a\"\n", chain(10_000)))),
        ("1,990 rules", lark(format!("start: r0\n{}r1990: \"a\"\n", chain(1_990)))),
        ("doubling rules", lark(format!("start: r0\n{doubling}r30: \"a\"\n"))),
        ("doubling terminals", lark(format!("start: T0\n{terminals}T30: \"a\"\n"))),
        ("left recursion", lark("start: start start | \"a\"".to_owned())),
        ("no end", lark("start: start".to_owned())),
        ("gbnf recursion", gbnf("root ::= root root | \"a\"?".to_owned())),
        ("gbnf left recursion", gbnf("root ::= root \"a\" | \"b\"".to_owned())),
        ("gbnf repetition", gbnf("root ::= (\"a\"{1,60000}){1,60000}".to_owned())),
        ("gbnf rules", gbnf(format!("root ::= r0\n{gbnf_chain}r1990 ::= \"a\" root?\n"))),
    ]
}

#[test]
fn hostile_constraint_is_compiled_or_refused_in_one_line() {
    for (name, constraint) in hostile_schemas().into_iter().chain(hostile_grammars()) {
        let began = Instant::now();
        let outcome = compile(&constraint);
        let elapsed = began.elapsed();
        // The limits keep these short: ADR-0045 has the figures.
        eprintln!("{name}: {elapsed:.0?} {:.150?}", outcome.as_ref().err());
        if let Err(Refusal::InvalidParams { reason, .. }) = outcome {
            assert!(reason.len() < 400 && !reason.contains('\n'), "{name}: {reason}");
        }
    }
}

#[test]
fn constraint_within_the_documented_limits_is_compiled() {
    let choice = |n: usize, length: usize| {
        Constraint::Choice((0..n).map(|i| format!("{i:04}{}", "x".repeat(length - 4))).collect())
    };
    let mut optional = many(1000, &json!({"type": "boolean"}));
    optional["additionalProperties"] = json!(false);
    let mut nested = many(1000, &json!({"$ref": "#/$defs/a"}));
    nested["$defs"] = json!({"a": {"type": ["array", "object", "null", "string"]}});
    for (name, constraint) in [
        ("1,000 optional properties", schema(&optional)),
        ("1,000 optional properties of several types", schema(&nested)),
        ("a choice of 256 KiB", choice(1, 256 << 10)),
        ("1,024 choices of 256 bytes", choice(1024, 256)),
        ("const of 250 KB", schema(&json!({"const": "a".repeat(250_000)}))),
    ] {
        let mut compiled = match compile(&constraint) {
            Ok(compiled) => compiled,
            Err(refusal) => panic!("{name}: {refusal}"),
        };
        for _ in 0..8 {
            let token = match compiled.allowed() {
                Ok(AllowedTokens::Only(token)) => token,
                Ok(AllowedTokens::Of(set)) => {
                    (0..END_TOKEN).find(|&token| set.contains(token)).unwrap()
                }
                other => panic!("{name}: {other:?}"),
            };
            compiled.accept(token).unwrap_or_else(|error| panic!("{name}: {error}"));
        }
    }
}

#[test]
fn fault_in_a_grammar_is_told_in_one_plain_line() {
    for (constraint, expected) in [
        (Constraint::Regex("a(b".to_owned()), "character 2: the group has no end"),
        (
            Constraint::Regex("\\p{Nonsense}".to_owned()),
            "cannot be enforced: the regular expression is wrong: Unicode property not found",
        ),
        (Constraint::Regex("[^\\s\\S]".to_owned()), "no text fits it"),
        (Constraint::Lark("start: nothing".to_owned()), "line 1"),
        (Constraint::Lark("start: \"a\"\nb: (\"c\"".to_owned()), "line"),
        (Constraint::Lark("start: /(/".to_owned()), "unclosed group"),
        (Constraint::Lark("start = \"a\"".to_owned()), "line 1"),
        (Constraint::Lark("begin: \"a\"".to_owned()), "start"),
        (Constraint::Lark("start: \"a".to_owned()), "line 1"),
        (Constraint::Lark("start: start".to_owned()), ""),
        (
            Constraint::Lark("start: %json {\"not\": {}}".to_owned()),
            "the keyword not at #/not is not supported",
        ),
        (
            schema(&json!({"const": "x", "pattern": "^y"})),
            "at #/const: nothing fits it: no string fits all of its keywords",
        ),
        (
            schema(&json!({"type": "string", "pattern": "^y", "format": "date"})),
            "nothing fits it: no string fits all of its keywords",
        ),
        (Constraint::Gbnf("root ::= \"a".to_owned()), "line 1: a literal has no end"),
    ] {
        let reason = reason(&constraint);
        eprintln!("{constraint:?}: {reason}");
        assert!(reason.starts_with("cannot be enforced: "), "{reason}");
        assert!(reason.contains(expected) && !reason.contains(['\n', '\r']), "{reason}");
    }
}
