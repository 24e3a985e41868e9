//! Parsing client frames, and the errors for invalid frames.

use serde_json::{Value, json};

use crate::domain::{Conversation, Message, Params, Prompt, Range, Role, Speculation};
use crate::protocol::{ClientFrame, Code, ErrorFrame, Infer, RequestId, Warnings};

fn parse(frame: &Value) -> Result<ClientFrame, ErrorFrame> {
    ClientFrame::parse(&frame.to_string())
}

fn infer(frame: &Value) -> Infer {
    match parse(frame) {
        Ok(ClientFrame::Infer(infer)) => *infer,
        other => panic!("{frame} became {other:?}"),
    }
}

fn params(params: &Value) -> Params {
    infer(&json!({"op": "infer", "prompt": "x", "params": params})).params
}

/// The error message for `params`; checks that the code is `invalid_params`.
fn refused(params: &Value) -> String {
    let error = parse(&json!({"op": "infer", "prompt": "x", "params": params})).unwrap_err();
    assert_eq!(error.code(), Code::InvalidParams, "{params}: {error:?}");
    error.message().to_owned()
}

fn code(text: &str) -> Code {
    ClientFrame::parse(text).unwrap_err().code()
}

fn id(text: &str) -> RequestId {
    RequestId::new(text).unwrap()
}

#[test]
fn infer_frame_of_the_core_contract_is_parsed() {
    let text = r#"{"op":"infer","prompt":"Explica la teoría de la relatividad",
                   "params":{"temp":0.7,"max_tokens":500}}"#;
    let expected = Infer {
        id: None,
        prompt: Prompt::Text("Explica la teoría de la relatividad".to_owned()),
        params: Params { temp: 0.7, max_tokens: Some(500), ..Params::default() },
        is_divided: false,
        warnings: Warnings::default(),
    };
    assert_eq!(ClientFrame::parse(text), Ok(ClientFrame::Infer(Box::new(expected))));
}

#[test]
fn every_other_op_is_parsed() {
    let cases = [
        (json!({"op": "abort"}), ClientFrame::Abort { id: None }),
        (json!({"op": "abort", "id": "a"}), ClientFrame::Abort { id: Some(id("a")) }),
        (json!({"op": "subscribe_metrics"}), ClientFrame::SubscribeMetrics),
        (json!({"op": "unsubscribe_metrics"}), ClientFrame::UnsubscribeMetrics),
        (json!({"op": "ping"}), ClientFrame::Ping),
    ];
    for (frame, expected) in cases {
        assert_eq!(parse(&frame), Ok(expected));
    }
}

#[test]
fn absent_and_null_fields_mean_the_defaults() {
    let bare = infer(&json!({"op": "infer", "prompt": ""}));
    assert_eq!(bare.params, Params::default());
    let nulls = json!({
        "op": "infer", "id": null, "prompt": "", "messages": null,
        "params": {"temp": null, "top_k": null, "seed": null, "stop": null, "ignore_eos": null,
                   "max_tokens": null, "logit_bias": null},
    });
    assert_eq!(infer(&nulls), bare);
    assert_eq!(infer(&json!({"op": "infer", "prompt": "", "params": null})), bare);
}

#[test]
fn unknown_fields_are_ignored_everywhere() {
    let frame = json!({
        "op": "infer", "prompt": "x", "colour": "red",
        "params": {"temp": 0, "mood": ["good"], "grammar": {}},
    });
    assert_eq!(infer(&frame).params, Params { temp: 0.0, ..Params::default() });
    let others = [
        (json!({"op": "ping", "id": 5, "extra": {}}), ClientFrame::Ping),
        (json!({"op": "abort", "max_tokens": 5}), ClientFrame::Abort { id: None }),
    ];
    for (frame, expected) in others {
        assert_eq!(parse(&frame), Ok(expected));
    }
}

#[test]
fn every_parameter_sets_its_own_field() {
    let sent = json!({
        "temp": 0.5, "top_k": 7, "top_p": 0.25, "min_p": 0.125, "typical_p": 0.75,
        "repeat_penalty": 1.5, "repeat_last_n": 9, "presence_penalty": -0.5,
        "frequency_penalty": 2, "seed": 4_294_967_294_u32, "stop": ["a", "b"],
        "logit_bias": [[3, -100], [4, 1.5]], "ignore_eos": true, "max_tokens": 0,
        "cache_prompt": false, "progress": true, "logprobs": 20, "speculative": "ngram",
        "special": true, "reasoning_budget": 100,
    });
    let expected = Params {
        temp: 0.5,
        top_k: 7,
        top_p: 0.25,
        min_p: 0.125,
        typical_p: 0.75,
        repeat_penalty: 1.5,
        repeat_last_n: Some(9),
        presence_penalty: -0.5,
        frequency_penalty: 2.0,
        seed: Some(4_294_967_294),
        stop: vec!["a".to_owned(), "b".to_owned()],
        logit_bias: vec![(3, -100.0), (4, 1.5)],
        ignore_eos: true,
        max_tokens: Some(0),
        cache_prompt: false,
        progress: true,
        logprobs: 20,
        speculative: Some(Speculation::Ngram),
        special: Some(true),
        constraint: None,
        constraint_field: None,
        reasoning_budget: Some(100),
    };
    assert_eq!(params(&sent), expected);
}

#[test]
fn alternative_spellings_of_parameters_are_equivalent() {
    assert_eq!(params(&json!({"temperature": 0.5})), params(&json!({"temp": 0.5})));
    assert_eq!(params(&json!({"stop": "END"})), params(&json!({"stop": ["END"]})));
    assert_eq!(
        params(&json!({"logit_bias": {"12": 1}})),
        params(&json!({"logit_bias": [[12, 1]]}))
    );
    assert_eq!(params(&json!({"max_tokens": 40.0})), params(&json!({"max_tokens": 40})));
    assert_eq!(params(&json!({"stop": []})), Params::default());
}

#[test]
fn minus_one_means_no_limit_or_server_choice() {
    let sent = json!({"seed": -1, "repeat_last_n": -1, "max_tokens": -1, "reasoning_budget": -1});
    let expected =
        Params { seed: None, repeat_last_n: None, max_tokens: None, ..Params::default() };
    assert_eq!(params(&sent), expected);
}

#[test]
fn number_outside_its_range_is_refused_with_field_value_and_range() {
    let cases: [(&str, Range, bool); 14] = [
        ("temp", Params::TEMP, false),
        ("temperature", Params::TEMP, false),
        ("top_k", Params::TOP_K, true),
        ("top_p", Params::PROBABILITY, false),
        ("min_p", Params::PROBABILITY, false),
        ("typical_p", Params::PROBABILITY, false),
        ("repeat_penalty", Params::REPEAT_PENALTY, false),
        ("repeat_last_n", Params::REPEAT_LAST_N, true),
        ("presence_penalty", Params::PENALTY, false),
        ("frequency_penalty", Params::PENALTY, false),
        ("seed", Params::SEED, true),
        ("max_tokens", Params::MAX_TOKENS, true),
        ("reasoning_budget", Params::MAX_TOKENS, true),
        ("logprobs", Params::LOGPROBS, true),
    ];
    for (field, range, is_whole) in cases {
        for inside in [range.min, range.max] {
            params(&json!({ field: inside }));
        }
        let mut outside = vec![json!(range.min - 1.0), json!(range.max + 1.0), json!("1")];
        outside.extend([json!(true), json!([]), json!({}), json!(1e300)]);
        if is_whole {
            outside.push(json!(range.min + 1.5));
        }
        for value in outside {
            let message = refused(&json!({ field: value.clone() }));
            let bounds = format!("{} to {}", range.min, range.max);
            assert!(message.starts_with(field) && message.contains(&bounds), "{message}");
            if value.is_number() {
                assert!(message.contains(&value.to_string()), "{message}");
            }
        }
    }
}

#[test]
fn flags_accept_only_true_and_false() {
    for field in ["ignore_eos", "cache_prompt", "progress"] {
        for value in [json!(1), json!("true"), json!([])] {
            assert!(refused(&json!({ field: value })).starts_with(field));
        }
    }
}

#[test]
fn temp_and_temperature_together_are_refused() {
    assert!(refused(&json!({"temp": 1, "temperature": 1})).contains("temp"));
}

#[test]
fn invalid_stop_strings_are_refused() {
    let many = vec!["x"; Params::MAX_STOPS];
    assert_eq!(params(&json!({ "stop": many })).stop.len(), Params::MAX_STOPS);
    let long = "x".repeat(Params::MAX_STOP_BYTES);
    assert_eq!(params(&json!({ "stop": long })).stop.len(), 1);

    assert!(refused(&json!({"stop": vec!["x"; 10_000]})).contains("10000"));
    assert!(refused(&json!({"stop": long + "x"})).contains("1025"));
    for bad in [json!(""), json!(["a", ""]), json!(5), json!([null]), json!({})] {
        assert!(refused(&json!({ "stop": bad })).starts_with("stop"));
    }
}

#[test]
fn invalid_logit_biases_are_refused() {
    let longest: Vec<_> = (0..Params::MAX_LOGIT_BIASES).map(|id| (id, 1)).collect();
    assert_eq!(params(&json!({ "logit_bias": longest })).logit_bias.len(), longest.len());
    let bad = [
        json!(5),
        json!([5]),
        json!([[1]]),
        json!([[1, 2, 3]]),
        json!([["1", 2]]),
        json!([[1, 101]]),
        json!([[1, 5], [1, 5]]),
        json!({"1": 5, "01": 5}),
        json!([[-1, 0]]),
        json!([[2_147_483_648_u32, 0]]),
        json!({"x": 1}),
        json!({"-1": 1}),
        json!({"1": "x"}),
        json!({"1": null}),
        json!((0..=Params::MAX_LOGIT_BIASES).map(|id| (id, 1)).collect::<Vec<_>>()),
    ];
    for bias in bad {
        assert!(refused(&json!({ "logit_bias": bias })).starts_with("logit_bias"));
    }
}

#[test]
fn conversation_is_parsed() {
    let frame = json!({"op": "infer", "messages": [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "¿Qué tal?", "name": null},
        {"role": "assistant", "content": ""},
    ]});
    let message = |role, content: &str| Message::text(role, content);
    let expected = vec![
        message(Role::System, "Be brief."),
        message(Role::User, "¿Qué tal?"),
        message(Role::Assistant, ""),
    ];
    assert_eq!(infer(&frame).prompt, Prompt::Chat(Box::new(Conversation::of(expected))));
}

#[test]
fn invalid_conversation_is_refused_with_its_position() {
    let cases = [
        (json!([]), "messages:"),
        (json!(["hi"]), "messages[0]:"),
        (json!([{"role": "user", "content": "a"}, {"role": "bot", "content": "b"}]), "bot"),
        (json!([{"content": "a"}]), "messages[0].role"),
        (json!([{"role": "user"}]), "messages[0].content"),
        (json!([{"role": "user", "content": [{"type": "text"}]}]), "messages[0].content"),
    ];
    for (messages, named) in cases {
        let error = parse(&json!({"op": "infer", "messages": messages})).unwrap_err();
        assert_eq!(error.code(), Code::InvalidParams);
        assert!(error.message().contains(named), "{}", error.message());
    }
}

#[test]
fn conversation_beyond_the_message_limit_is_refused_with_its_length() {
    let message = json!({"role": "user", "content": ""});
    let frame = |n| json!({"op": "infer", "id": "a", "messages": vec![message.clone(); n]});
    let Prompt::Chat(longest) = infer(&frame(16_384)).prompt else { panic!("no messages") };
    assert_eq!(longest.messages.len(), 16_384);
    let error = parse(&frame(16_385)).unwrap_err();
    assert_eq!((error.code(), error.id()), (Code::InvalidParams, Some(&id("a"))));
    assert!(error.message().contains("at most 16384 messages, not 16385"), "{error:?}");
}

#[test]
fn malformed_json_is_bad_json() {
    let deep_list = "[".repeat(100_000);
    let deep_object = r#"{"op":"#.repeat(100_000);
    let closed = format!("{}1{}", r#"{"a":"#.repeat(200), "}".repeat(200));
    let texts = [
        "",
        "{",
        "{}}",
        "nonsense",
        "{'op':1}",
        r#"{"op":NaN}"#,
        r#"{"a":1e999}"#,
        &deep_list,
        &deep_object,
        &closed,
    ];
    for text in texts {
        assert_eq!(code(text), Code::BadJson);
    }
}

#[test]
fn valid_json_that_is_not_a_frame_is_bad_frame() {
    let frames = [
        json!(null),
        json!([]),
        json!("infer"),
        json!({}),
        json!({"op": null}),
        json!({"op": 5}),
        json!({"op": "infer"}),
        json!({"op": "infer", "prompt": 5}),
        json!({"op": "infer", "prompt": ["a"]}),
        json!({"op": "infer", "messages": "hi"}),
        json!({"op": "infer", "prompt": "a", "messages": []}),
        json!({"op": "infer", "prompt": "a", "params": []}),
        json!({"op": "infer", "prompt": "a", "id": 5}),
        json!({"op": "infer", "prompt": "a", "id": "x".repeat(65)}),
        json!({"op": "abort", "id": {}}),
    ];
    for frame in frames {
        assert_eq!(parse(&frame).unwrap_err().code(), Code::BadFrame, "{frame}");
    }
}

#[test]
fn unknown_op_is_quoted_and_shortened() {
    let error = parse(&json!({"op": "sing", "id": "a"})).unwrap_err();
    assert_eq!((error.code(), error.id()), (Code::UnknownOp, Some(&id("a"))));
    assert!(error.message().contains("\"sing\""));
    let error = parse(&json!({"op": "é".repeat(100_000)})).unwrap_err();
    assert!(error.message().len() < 300);
}

#[test]
fn control_characters_are_escaped_in_what_is_quoted() {
    let name = "a\n\u{7f}\u{9b}1m\u{2028}é";
    let escaped = r#""a\n\u007f\u009b1m\u2028é""#;
    let error = parse(&json!({"op": name})).unwrap_err();
    assert!(error.message().contains(escaped), "{}", error.message());
    let error = parse(&json!(name)).unwrap_err();
    assert!(error.message().contains(escaped), "{}", error.message());
    let mut frame = json!({"op": "infer", "prompt": ""});
    frame[name] = json!(1);
    assert!(infer(&frame).warnings.texts()[0].starts_with(escaped));
}

#[test]
fn error_carries_the_id_if_it_is_usable() {
    let longest = "x".repeat(RequestId::MAX_BYTES);
    for frame in [
        json!({"op": "infer", "id": longest}),
        json!({"op": "infer", "id": longest, "prompt": "", "params": {"temp": -1}}),
        json!({"id": longest}),
    ] {
        assert_eq!(parse(&frame).unwrap_err().id(), Some(&id(&longest)));
    }
    assert_eq!(parse(&json!({"op": "infer", "id": 7})).unwrap_err().id(), None);
}
