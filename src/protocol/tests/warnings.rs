//! Warnings of ignored fields: what they say, and how many there are at most.

use std::collections::BTreeSet;
use std::fmt::Write;

use serde_json::{Value, json};

use crate::protocol::ClientFrame;
use crate::protocol::names::{
    FOREIGN_FIELDS, FRAME_FIELDS, FieldAdvice, MESSAGE_FIELDS, PARAM_FIELDS,
};

fn warnings_of(text: &str) -> Vec<String> {
    match ClientFrame::parse(text) {
        Ok(ClientFrame::Infer(infer)) => infer.warnings.texts(),
        other => panic!("{text:.200} became {other:?}"),
    }
}

fn warnings(frame: &Value) -> Vec<String> {
    warnings_of(&frame.to_string())
}

/// The only warning for a frame with the field `name`.
fn beside_params(name: &str) -> String {
    let [warning] = &warnings(&json!({"op": "infer", "prompt": "", name: 1}))[..] else {
        panic!("{name} has not one warning");
    };
    warning.clone()
}

/// The only warning for `params` with the field `name`.
fn inside_params(name: &str) -> String {
    let frame = json!({"op": "infer", "prompt": "", "params": {name: 1}});
    let [warning] = &warnings(&frame)[..] else { panic!("{name} has not one warning") };
    warning.clone()
}

#[test]
fn frame_with_every_known_field_has_no_warnings() {
    let params = json!({
        "temp": 0.5, "top_k": 7, "top_p": 0.25, "min_p": 0.125, "typical_p": 0.75,
        "repeat_penalty": 1.5, "repeat_last_n": 9, "presence_penalty": -0.5,
        "frequency_penalty": 2, "seed": 1, "stop": "a", "logit_bias": [[3, -100]],
        "ignore_eos": true, "max_tokens": 0, "cache_prompt": false, "progress": true,
        "logprobs": 20, "speculative": "ngram", "temperature": null, "special": true,
        "reasoning_budget": 10,
    });
    let messages = json!([
        {"role": "user", "content": "x", "name": "Ana"},
        {"role": "assistant", "reasoning_content": "y", "tool_calls": [{"name": "f"}]},
        {"role": "tool", "content": "z", "tool_call_id": "1"},
    ]);
    let frame = json!({
        "op": "infer", "id": "a", "messages": messages, "params": params,
        "tools": [{"name": "f"}], "tool_choice": "auto", "parallel_tool_calls": true,
        "documents": [{}], "reasoning": true, "reasoning_effort": "low", "enable_thinking": true,
        "chat_template_kwargs": {"x": 1}, "continue_final_message": false,
    });
    assert_eq!(warnings(&frame), Vec::<String>::new());
    assert_eq!(warnings(&json!({"op": "infer", "prompt": "x"})), Vec::<String>::new());
}

#[test]
fn misplaced_field_is_sent_to_its_place() {
    for name in PARAM_FIELDS {
        assert_eq!(beside_params(name), format!("{name} is ignored: send it in params"));
    }
    for name in ["id", "prompt", "messages"] {
        let expected = format!("params.{name} is ignored: send it beside params");
        assert_eq!(inside_params(name), expected);
    }
    let message = json!({"role": "user", "content": "", "temp": 1, "id": "a"});
    assert_eq!(
        warnings(&json!({"op": "infer", "messages": [message], "content": "x"})),
        [
            "content is ignored: send it in the entries of messages",
            "messages[0].temp is ignored: send it in params",
            "messages[0].id is ignored: send it beside messages",
        ]
    );
}

#[test]
fn misspelt_field_gets_the_nearest_name() {
    for (sent, meant) in [
        ("top_kk", "params.top_k"),
        ("tpo_p", "params.top_p"),
        ("topK", "params.top_k"),
        ("max-tokens", "params.max_tokens"),
        ("MaxTokens", "params.max_tokens"),
        ("max_token", "params.max_tokens"),
        ("temprature", "params.temperature"),
        ("frequencyPenalty", "params.frequency_penalty"),
        ("stops", "params.stop"),
        ("log_probs", "params.logprobs"),
        ("ignore_eso", "params.ignore_eos"),
    ] {
        let question = format!("there is no such field; did you mean {meant}?");
        assert_eq!(inside_params(sent), format!("params.{sent} is ignored: {question}"));
        assert_eq!(beside_params(sent), format!("{sent} is ignored: {question}"));
    }
    assert!(beside_params("promt").ends_with("did you mean prompt?"));
    assert!(beside_params("param").ends_with("did you mean params?"));
    let message = json!({"role": "user", "content": "", "contents": ""});
    assert_eq!(
        warnings(&json!({"op": "infer", "messages": [message]})),
        ["messages[0].contents is ignored: there is no such field; did you mean content?"]
    );
    for name in ["colour", "x", "zz", ""] {
        assert!(beside_params(name).ends_with("is ignored: there is no such field"), "{name}");
    }
}

#[test]
fn field_of_another_server_gets_its_name_here_or_is_not_supported() {
    for (sent, advice) in [
        ("n_predict", "send params.max_tokens instead"),
        ("max_completion_tokens", "send params.max_tokens instead"),
        ("maxOutputTokens", "send params.max_tokens instead"),
        ("repetition_penalty", "send params.repeat_penalty instead"),
        ("stream", "every answer is streamed"),
        ("model", "the server has one model"),
        ("response_format", "send format instead"),
        ("functions", "it is not supported"),
        ("n", "it is not supported"),
    ] {
        assert_eq!(beside_params(sent), format!("{sent} is ignored: {advice}"));
        assert_eq!(inside_params(sent), format!("params.{sent} is ignored: {advice}"));
    }
}

#[test]
fn advice_about_other_servers_fits_the_known_fields() {
    let mut names = BTreeSet::new();
    for &(name, advice) in FOREIGN_FIELDS {
        assert!(names.insert(name), "{name} is listed twice");
        for known in [FRAME_FIELDS, MESSAGE_FIELDS, PARAM_FIELDS] {
            assert!(!known.contains(&name), "{name} is a known field");
        }
        if let FieldAdvice::Send(field) = advice {
            let known = match field.strip_prefix("params.") {
                Some(name) => PARAM_FIELDS.contains(&name),
                None => FRAME_FIELDS.contains(&field),
            };
            assert!(known, "{name}: there is no {field}");
        }
    }
}

#[test]
fn null_is_absent_and_has_no_warning() {
    let frame = json!({"op": "infer", "prompt": "", "max_tokens": null, "params": {"x": null}});
    assert_eq!(warnings(&frame), Vec::<String>::new());
}

#[test]
fn repeated_field_has_one_warning() {
    let text = r#"{"op":"infer","messages":[{"role":"user","content":"","x":1,"x":2},
        {"role":"user","content":"","x":3}],"x":4,"x":5,"params":{"x":6}}"#;
    let expected = ["x", "messages[0].x", "params.x"]
        .map(|path| format!("{path} is ignored: there is no such field"));
    assert_eq!(warnings_of(text), expected);
}

#[test]
fn number_and_length_of_warnings_are_bounded() {
    let mut fields = String::new();
    for i in 0..10_000 {
        write!(fields, r#","\u0001\"{i}{}":0"#, "\\\\".repeat(50)).unwrap();
    }
    let found = warnings_of(&format!(r#"{{"op":"infer","prompt":""{fields}}}"#));
    assert_eq!(found.len(), 9);
    assert_eq!(found[8], "more unknown fields are ignored");
    for warning in &found {
        assert!(warning.len() < 250 && !warning.contains('\u{1}'), "{warning}");
    }
    let long = format!(r#"{{"op":"infer","prompt":"","params":{{"{}":0}}}}"#, "é".repeat(100_000));
    assert!(warnings_of(&long)[0].len() < 200);
}
