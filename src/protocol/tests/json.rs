//! JSON corner cases: repeated keys, escapes, nesting, and the content of ignored fields.

use serde_json::json;

use crate::domain::{Message, Params, Prompt, Role};
use crate::protocol::{ClientFrame, Code, Infer, RequestId};

fn code(text: &str) -> Code {
    ClientFrame::parse(text).unwrap_err().code()
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
        prompt: Prompt::Messages(vec![Message {
            role: Role::User,
            content: "c".to_owned(),
            reasoning: None,
        }]),
        params: Params { seed: Some(1), logit_bias: vec![(3, 1.0)], ..Params::default() },
    };
    assert_eq!(ClientFrame::parse(text), Ok(ClientFrame::Infer(expected)));
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
    };
    assert_eq!(ClientFrame::parse(text), Ok(ClientFrame::Infer(expected)));
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
        for value in [deep(127), deep(100_000), "1e999".to_owned(), r#""\udc00""#.to_owned()] {
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
