//! Properties that hold for every message a client may send.

use proptest::prelude::*;
use serde_json::{Value, json};

use crate::domain::Params;
use crate::protocol::names::{CONVERSATION_FIELDS, PARAM_FIELDS};
use crate::protocol::{ClientFrame, Code, ErrorFrame};

fn parse(frame: &Value) -> Result<ClientFrame, ErrorFrame> {
    ClientFrame::parse(&frame.to_string())
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 24, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::hash_map("[a-z0-9]{0,3}", inner, 0..6)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

fn any_params() -> impl Strategy<Value = Value> {
    let names = prop::sample::select(PARAM_FIELDS);
    let values =
        prop_oneof![any_json(), (-2..30).prop_map(Value::from), (0.0..1.5).prop_map(Value::from)];
    prop::collection::hash_map(names, values, 0..4)
        .prop_map(|map| map.into_iter().map(|(k, v)| (k.to_owned(), v)).collect())
}

/// Fragments of JSON and of almost-JSON that mutations insert into frames.
const FRAGMENTS: [&str; 28] = [
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "\"",
    "\\",
    " ",
    "-",
    "0",
    ".5",
    "e9",
    "1e999",
    "null",
    "true",
    "\"op\"",
    "\"id\":null,",
    "\"prompt\":\"y\",",
    "\"messages\":[{\"role\":\"user\"}],",
    "\"params\":{\"temp\":2},",
    "\"\\u006fp\":",
    "\\ud800",
    "\\ud83d\\ude00",
    "\\u0000",
    "\u{1}",
    "é",
    "[[[[[[[[",
];

/// Valid frames with up to three spots replaced by fragments.
fn mutated_frame() -> impl Strategy<Value = String> {
    let frames = prop::sample::select(vec![
        r#"{"op":"ping"}"#,
        r#"{"op":"abort","id":"a\nb"}"#,
        r#"{"id":"a","op":"infer","prompt":"Ol\u00e1","params":{"temp":0.5,"seed":-1}}"#,
        r#"{"op":"infer","prompt":"x","params":{"stop":["a","b"],"logit_bias":{"1":2,"x":0}}}"#,
        r#"{"op":"infer","params":{"logit_bias":[[1,-2.5],[3,4]],"progress":true},"prompt":""}"#,
        r#"{"op":"infer","messages":[{"role":"user","content":"a"},{"role":"tool"}],"x":[{}]}"#,
    ]);
    let changes = prop::collection::vec(
        (any::<prop::sample::Index>(), 0..4_usize, prop::sample::select(FRAGMENTS.to_vec())),
        0..4,
    );
    (frames, changes).prop_map(|(frame, changes)| {
        let mut chars: Vec<char> = frame.chars().collect();
        for (position, removed, fragment) in changes {
            let start = position.index(chars.len() + 1);
            let end = chars.len().min(start + removed);
            chars.splice(start..end, fragment.chars());
        }
        chars.into_iter().collect()
    })
}

proptest! {
    #[test]
    fn parsing_any_text_does_not_panic(text in any::<String>()) {
        let _ = ClientFrame::parse(&text);
    }

    #[test]
    fn parsing_a_mutated_frame_does_not_panic(text in mutated_frame()) {
        if let Err(error) = ClientFrame::parse(&text) {
            prop_assert!(error.message().len() < 400, "{}", error.message());
        }
    }

    #[test]
    fn malformed_json_is_refused_with_the_error_of_serde_json(text in mutated_frame()) {
        let refused = ClientFrame::parse(&text).err().filter(|error| error.code() == Code::BadJson);
        let expected = serde_json::from_str::<Value>(&text).err();
        // serde_json refuses lone surrogates as well, in two ways.
        let surrogate = ["lone leading surrogate", "unexpected end of hex escape"];
        let is_of_surrogate = |error: &serde_json::Error| {
            surrogate.iter().any(|reason| error.to_string().starts_with(reason))
        };
        prop_assume!(!expected.as_ref().is_some_and(is_of_surrogate));
        prop_assert_eq!(
            refused.map(|error| error.message().to_owned()),
            expected.map(|error| format!("the frame is not valid JSON: {error}"))
        );
    }

    #[test]
    fn parsing_any_json_field_does_not_panic(op in "infer|abort|[a-z]{3}", rest in any_json()) {
        for field in ["id", "prompt", "messages", "params"] {
            let _ = parse(&json!({"op": op, "prompt": "x", field: rest.clone()}));
        }
        for field in CONVERSATION_FIELDS {
            let message = json!({"role": "user", "content": "x"});
            let _ = parse(&json!({"op": op, "messages": [message], *field: rest.clone()}));
        }
        for field in ["content", "tool_calls", "tool_call_id", "name"] {
            let message = json!({"role": "assistant", "content": "x", field: rest.clone()});
            let _ = parse(&json!({"op": op, "messages": [message]}));
        }
    }

    #[test]
    fn accepted_parameters_are_within_their_ranges(sent in any_params()) {
        match parse(&json!({"op": "infer", "prompt": "x", "params": sent})) {
            Ok(ClientFrame::Infer(infer)) => {
                let params = infer.params;
                prop_assert!(Params::TEMP.contains(params.temp.into()));
                for probability in [params.top_p, params.min_p, params.typical_p] {
                    prop_assert!(Params::PROBABILITY.contains(probability.into()));
                }
                for penalty in [params.presence_penalty, params.frequency_penalty] {
                    prop_assert!(Params::PENALTY.contains(penalty.into()));
                }
                prop_assert!(params.repeat_penalty > 0.0);
                prop_assert!(Params::LOGPROBS.contains(params.logprobs.into()));
                prop_assert!(params.stop.iter().all(|stop| !stop.is_empty()));
            }
            Ok(other) => prop_assert!(false, "{other:?}"),
            Err(error) => {
                prop_assert_eq!(error.code(), Code::InvalidParams);
                prop_assert!(error.message().len() < 400, "{}", error.message());
            }
        }
    }
}
