//! JSON corner cases: repeated keys, escapes, nesting, and the content of ignored fields.

use serde_json::json;

use crate::domain::{Conversation, Message, Params, Prompt, Role};
use crate::protocol::{ClientFrame, Code, Infer, RequestId, Warnings};

fn code(text: &str) -> Code {
    ClientFrame::parse(text).unwrap_err().code()
}

fn chat(question: &str) -> Prompt {
    let message = Message::text(Role::User, question);
    Prompt::Chat(Box::new(Conversation::of(vec![message])))
}

#[test]
fn last_of_repeated_keys_counts_at_every_level() {
    let ping = r#"{"op":5,"op":"ping"}"#;
    assert_eq!(ClientFrame::parse(ping), Ok(ClientFrame::Ping));
    let text = r#"{"op":"infer","id":5,"id":"a","prompt":"x","prompt":null,"messages":5,
        "messages":[{"role":"god","role":"user","content":5,"content":"c"}],
        "params":{"temp":99},"params":{"seed":"x","seed":1,"top_k":1,"top_k":null,
        "logit_bias":{"3":5000,"3":1}}}"#;
    let expected = Infer {
        id: RequestId::new("a"),
        prompt: chat("c"),
        params: Params { seed: Some(1), logit_bias: vec![(3, 1.0)], ..Params::default() },
        is_divided: false,
        warnings: Warnings::default(),
    };
    assert_eq!(ClientFrame::parse(text), Ok(ClientFrame::Infer(Box::new(expected))));
}

#[test]
fn escapes_in_keys_and_values_are_decoded() {
    let text = r#"{"\u006fp":"\u0069nfer","id":"\ud83d\ude00","prompt":"a\n\u00e1",
                   "params":{"t\u0065mp":0,"stop":"\t","logit_bias":{"\u0031":2}}}"#;
    let expected = Infer {
        id: RequestId::new("😀"),
        prompt: Prompt::Text("a\ná".to_owned()),
        params: Params {
            temp: 0.0,
            stop: vec!["\t".to_owned()],
            logit_bias: vec![(1, 2.0)],
            ..Params::default()
        },
        is_divided: false,
        warnings: Warnings::default(),
    };
    assert_eq!(ClientFrame::parse(text), Ok(ClientFrame::Infer(Box::new(expected))));
}

#[test]
fn private_key_of_serde_json_is_an_ordinary_key() {
    // serde_json uses this key internally to pass a `RawValue` to itself.
    let text = r#"{"$serde_json::private::RawValue":"[","op":"infer","prompt":"x",
                   "params":{"$serde_json::private::RawValue":"{","temp":0}}"#;
    let Ok(ClientFrame::Infer(infer)) = ClientFrame::parse(text) else { panic!("refused") };
    assert_eq!(infer.params, Params { temp: 0.0, ..Params::default() });
    for field in ["op", "id", "prompt", "messages", "params"] {
        let inner = json!({"$serde_json::private::RawValue": "\"x\""});
        let frame = json!({"op": "infer", field: inner}).to_string();
        assert_eq!(code(&frame), Code::BadFrame);
    }
}

#[test]
fn deep_nesting_and_invalid_literals_are_bad_json_in_every_field() {
    let deep = |n: usize| format!("{}{}", "[".repeat(n), "]".repeat(n));
    for field in ["x", "op", "id", "prompt", "messages", "params"] {
        let frame = |value: &str| format!(r#"{{"op":"infer","{field}":{value}}}"#);
        for value in [deep(127), deep(100_000), "1e999".to_owned()] {
            assert_eq!(code(&frame(&value)), Code::BadJson, "{field}");
        }
        assert_ne!(code(&frame(&deep(126))), Code::BadJson, "{field}");
    }
    for name in ["x", "temp", "stop", "logit_bias"] {
        let frame =
            |value: &str| format!(r#"{{"op":"infer","prompt":"x","params":{{"{name}":{value}}}}}"#);
        assert_eq!(code(&frame(&deep(100_000))), Code::BadJson, "{name}");
        assert_eq!(code(&frame("1e999")), Code::BadJson, "{name}");
    }
}

/// The `id` of the error for a message that is not a valid frame.
fn id_of_error(text: &str) -> Option<String> {
    let error = ClientFrame::parse(text).unwrap_err();
    error.id().map(|id| id.as_str().to_owned())
}

#[test]
fn lone_surrogate_in_any_string_becomes_the_replacement_character() {
    let text = r#"{"op":"infer","id":"\ud83eq","pro\u006dpt":"fox \ud83e","x\udd8a":"\udd8a",
        "params":{"stop":["a\ude00\ud83d"],"\udc00":1}}"#;
    let Ok(ClientFrame::Infer(infer)) = ClientFrame::parse(text) else { panic!("refused") };
    assert_eq!(infer.id, RequestId::new("\u{fffd}q"));
    assert_eq!(infer.prompt, Prompt::Text("fox \u{fffd}".to_owned()));
    assert_eq!(infer.params.stop, ["a\u{fffd}\u{fffd}"]);
    let text = r#"{"op":"infer","messages":[{"role":"user","content":"\ud83e","\ud83e":0}]}"#;
    let Ok(ClientFrame::Infer(infer)) = ClientFrame::parse(text) else { panic!("refused") };
    assert_eq!(infer.prompt, chat("\u{fffd}"));
    let text = r#"{"op":"infer","id":"q","messages":[{"role":"\ud83e","content":""}]}"#;
    assert_eq!((code(text), id_of_error(text)), (Code::InvalidParams, Some("q".to_owned())));
    let text = r#"{"op":"\ud83e","id":"q"}"#;
    assert_eq!((code(text), id_of_error(text)), (Code::UnknownOp, Some("q".to_owned())));
}

#[test]
fn fault_inside_a_string_keeps_the_id_wherever_it_stands() {
    for text in [
        r#"{"op":"infer","id":"q","prompt":"a\x"}"#,
        r#"{"op":"infer","prompt":"a\x","id":"q"}"#,
        r#"{"op":"infer","prompt":"a\u12\"b","id":"q"}"#,
        r#"{"op":"infer","prompt":"\uD83E\uZZZZ","id":"q"}"#,
        "{\"op\":\"infer\",\"prompt\":\"two\nlines\",\"id\":\"q\"}",
        "{\"op\":\"infer\",\"prompt\":\"a\u{0}b\",\n\"id\":\"q\"}",
        r#"{"op":"infer","messages":[{"role":"user","content":"C:\dir"}],"id":"q"}"#,
        r#"{"k\ey":{"id":"other"},"id":"q"}"#,
        r#"{"id":"first","prompt":"\'","id":"q"}"#,
    ] {
        assert_eq!(
            (code(text), id_of_error(text).as_deref()),
            (Code::BadJson, Some("q")),
            "{text}"
        );
    }
}

#[test]
fn fault_outside_of_strings_keeps_an_id_that_stands_before_it() {
    let deep = format!(r#"{{"id":"q","x":{}"#, "[".repeat(1000));
    for text in [
        r#"{"op":"infer","id":"q","prompt":"cut o"#,
        r#"{"op":"infer","id":"q","prompt":"cut off\"#,
        r#"{"op":"infer","id":"q","prompt":"cut off\ud83"#,
        r#"{"op":"infer","id":"q","prompt":"#,
        r#"{"op":"infer","id":"q","params":{"temp":NaN}}"#,
        r#"{"op":"infer","id":"q",}"#,
        r#"{"op":"infer","id":"q"}}"#,
        r#"{"op":"infer","id":"q"} {"op":"ping","id":"r"}"#,
        r#" {"params":{"temp":1e999},"id":"q"}"#,
        &deep,
    ] {
        assert_eq!(
            (code(text), id_of_error(text).as_deref()),
            (Code::BadJson, Some("q")),
            "{text}"
        );
    }
}

#[test]
fn id_that_is_in_doubt_is_not_repeated() {
    let long = format!(r#"{{"id":"{}","x":NaN}}"#, "x".repeat(65));
    for text in [
        r#"{"op":"infer","id":"a\qb"}"#,
        "{\"op\":\"infer\",\"id\":\"a\nb\"}",
        r#"{"op":"infer","id":"cut o"#,
        r#"{"op":"infer","id":7,"prompt":"\x"}"#,
        r#"{"op":"infer","id":"a","id":7,"prompt":"\x"}"#,
        r#"{"op":"infer","params":{"id":"a"},"x":NaN}"#,
        r#"{"op":"infer","x":[}],"id":"a"}"#,
        r#"{'id':"a"}"#,
        r#"["id","a",NaN]"#,
        &long,
    ] {
        assert_eq!((code(text), id_of_error(text)), (Code::BadJson, None), "{text}");
    }
}
