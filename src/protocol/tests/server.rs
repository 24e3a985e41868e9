//! Server frames, compared byte by byte where existing clients depend on the exact text.

use std::time::Duration;

use serde_json::{Value, json};

use crate::domain::{Failure, FinishReason, Logprob, ModelInfo, Refusal, TokenLogprobs, Usage};
use crate::protocol::{
    Build, Code, EndLimit, EndReason, EndStats, ErrorFrame, Hello, Inference, InferenceState,
    Metrics, PhaseTimes, RequestId, ServerFrame, ServingInfo,
};

fn json_of(frame: &ServerFrame<'_>) -> Value {
    serde_json::from_str(&frame.text()).unwrap()
}

fn id() -> RequestId {
    RequestId::new("a\"b").unwrap()
}

fn usage() -> Usage {
    Usage {
        prompt_tokens: 110,
        cached_tokens: 10,
        prefilled_tokens: 100,
        tokens: 87,
        reasoning_tokens: 12,
        drafted: 40,
        accepted: 30,
        queued: Duration::from_micros(1_499),
        prompt: Duration::from_millis(40),
        generation: Duration::from_millis(1_186),
        total: Duration::from_micros(1_200_500),
        computing: Duration::ZERO,
    }
}

#[test]
fn token_frame_matches_the_contract() {
    let frame = ServerFrame::Token { id: None, content: " La", logprobs: &[] };
    assert_eq!(frame.text(), r#"{"op":"token","content":" La"}"#);
    let id = id();
    let frame = ServerFrame::Token { id: Some(&id), content: "\u{0}\n🦀", logprobs: &[] };
    assert_eq!(json_of(&frame), json!({"op": "token", "id": "a\"b", "content": "\u{0}\n🦀"}));
}

#[test]
fn token_frame_carries_logprobs_if_requested() {
    let logprob = |token, bytes: &[u8], logprob| Logprob { token, bytes: bytes.to_vec(), logprob };
    let tokens = [TokenLogprobs {
        chosen: logprob(7, b"a", -0.5),
        top: vec![logprob(7, b"a", -0.5), logprob(8, &[0xF0, 0x9F], f32::NEG_INFINITY)],
    }];
    let frame = ServerFrame::Token { id: None, content: "a", logprobs: &tokens };
    let first = json!({"token": "a", "id": 7, "logprob": -0.5, "bytes": [97]});
    let second = json!({"token": "\u{FFFD}", "id": 8, "logprob": -9999.0, "bytes": [240, 159]});
    let expected = json!({
        "op": "token", "content": "a",
        "logprobs": [{"token": "a", "id": 7, "logprob": -0.5, "bytes": [97],
                      "top": [first, second]}],
    });
    assert_eq!(json_of(&frame), expected);
}

fn end(
    finish_reason: EndReason,
    limit: Option<EndLimit>,
    stats: EndStats,
    warnings: &[String],
) -> ServerFrame<'_> {
    ServerFrame::End { id: None, finish_reason, limit, stop: None, stats, warnings }
}

#[test]
fn end_frame_of_a_divided_answer_tells_calls_and_limits() {
    let stats = || EndStats::new(&usage(), None);
    let frame = end(EndReason::ToolCalls, None, stats(), &[]);
    assert_eq!(json_of(&frame)["finish_reason"], "tool_calls");
    for (reason, limit) in
        [(FinishReason::MaxTokens, "max_tokens"), (FinishReason::ContextFull, "context")]
    {
        let frame = json_of(&end(reason.into(), EndLimit::of(reason), stats(), &[]));
        assert_eq!((&frame["finish_reason"], &frame["limit"]), (&json!("length"), &json!(limit)));
    }
    assert_eq!(EndLimit::of(FinishReason::Stop), None);
    let (finish_reason, stop) = (FinishReason::Stop.into(), Some("END"));
    let (limit, stats) = (None, stats());
    let frame = ServerFrame::End { id: None, finish_reason, limit, stop, stats, warnings: &[] };
    assert_eq!(json_of(&frame)["stop"], "END");
}

#[test]
fn end_frame_has_core_and_additional_stats() {
    let stats = EndStats::new(&usage(), Some(Duration::from_millis(45)));
    let frame = end(FinishReason::Stop.into(), None, stats, &[]);
    let expected = json!({
        "op": "end", "finish_reason": "stop",
        "stats": {"ttft_ms": 45, "total_ms": 1201, "tokens": 87, "tps": 72.51,
                  "prompt_tokens": 110, "cached_tokens": 10, "queue_ms": 1, "prompt_ms": 40,
                  "prompt_tps": 2500.0, "drafted": 40, "accepted": 30},
    });
    assert_eq!(json_of(&frame), expected);
}

#[test]
fn throughput_without_tokens_or_time_is_null() {
    let stats = |usage: Usage| serde_json::to_value(EndStats::new(&usage, None)).unwrap();
    for tokens in [0, 1] {
        assert_eq!(stats(Usage { tokens, ..usage() })["tps"], Value::Null);
    }
    assert!(stats(Usage { tokens: 2, ..usage() })["tps"].is_number());
    let instant = Usage { generation: Duration::ZERO, prompt: Duration::ZERO, ..usage() };
    assert_eq!(stats(instant)["tps"], Value::Null);
    assert_eq!(stats(instant)["prompt_tps"], Value::Null);
    let cached = Usage { cached_tokens: 110, prefilled_tokens: 0, ..usage() };
    assert_eq!(stats(cached)["prompt_tps"], Value::Null);
    assert_eq!(stats(usage())["ttft_ms"], Value::Null);
}

#[test]
fn total_time_is_at_least_the_time_to_first_token() {
    let stats = EndStats::new(&usage(), Some(Duration::from_secs(2)));
    assert_eq!(serde_json::to_value(stats).unwrap()["total_ms"], 2000);
}

#[test]
fn end_frame_has_the_warnings_if_there_are_any() {
    let stats = EndStats::new(&Usage::default(), None);
    let warnings = ["x is ignored".to_owned()];
    let frame = end(FinishReason::Stop.into(), None, stats, &warnings);
    let frame: Value = serde_json::from_str(&frame.text()).unwrap();
    assert_eq!(frame["warnings"], json!(warnings));
}

#[test]
fn finish_reasons_have_their_wire_names() {
    for (reason, word) in [
        (FinishReason::Stop, "stop"),
        (FinishReason::MaxTokens, "length"),
        (FinishReason::Abort, "abort"),
    ] {
        let stats = EndStats::new(&usage(), None);
        let frame = end(reason.into(), None, stats, &[]);
        assert_eq!(json_of(&frame)["finish_reason"], word);
    }
}

#[test]
fn small_frames_match_the_contract() {
    let id = id();
    let cases = [
        (ServerFrame::Queued { id: None, position: 3 }, json!({"op": "queued", "position": 3})),
        (
            ServerFrame::Progress { id: Some(&id), processed: 1024, total: 4096 },
            json!({"op": "progress", "id": "a\"b", "processed": 1024, "total": 4096}),
        ),
        (ServerFrame::MetricsSubscribed, json!({"op": "metrics_subscribed"})),
        (ServerFrame::MetricsUnsubscribed, json!({"op": "metrics_unsubscribed"})),
        (ServerFrame::Pong, json!({"op": "pong"})),
    ];
    for (frame, expected) in cases {
        assert_eq!(json_of(&frame), expected);
    }
}

#[test]
fn every_error_has_its_code_and_numbers() {
    let overflow = |is_lower_bound| Refusal::ContextOverflow {
        prompt_tokens: 600,
        ctx_size: 512,
        is_lower_bound,
    };
    let invalid = Refusal::InvalidParams { field: "temp".into(), reason: "too hot".into() };
    let grace = Duration::from_secs(10);
    let ended = |is_second| Failure::RunnerEnded { cause: "SIGKILL".into(), is_second };
    let cases: [(ErrorFrame, &str, Value); 15] = [
        (Refusal::Loading.into(), "loading", json!({"retry_after_ms": 1000})),
        (Refusal::Busy { queued: 9 }.into(), "busy", json!({"retry_after_ms": 1000})),
        (ErrorFrame::too_many_requests(64), "busy", json!({"retry_after_ms": 1000})),
        (Refusal::ShuttingDown.into(), "shutting_down", json!({})),
        (
            Refusal::EngineFailed { reason: "SIGABRT".into() }.into(),
            "engine_failed",
            json!({"retry_after_ms": 30_000}),
        ),
        (ended(false).into(), "engine_failed", json!({"retry_after_ms": 1000})),
        (ended(true).into(), "engine_failed", json!({})),
        (
            Failure::EngineStalled { limit: grace }.into(),
            "engine_stalled",
            json!({"retry_after_ms": 1000}),
        ),
        (
            Failure::Unavailable { reason: "SIGABRT".into() }.into(),
            "engine_failed",
            json!({"retry_after_ms": 30_000}),
        ),
        (overflow(true).into(), "context_overflow", json!({"prompt_tokens": 600, "ctx_size": 512})),
        (invalid.into(), "invalid_params", json!({})),
        (Failure::SlowClient { grace }.into(), "slow_client", json!({})),
        (Failure::EngineFailed { reason: "NaN".into() }.into(), "engine_failed", json!({})),
        (Failure::ShuttingDown.into(), "shutting_down", json!({})),
        (ErrorFrame::new(Code::NotFound, "nothing"), "not_found", json!({})),
    ];
    for (error, code, mut numbers) in cases {
        let message = error.message().to_owned();
        assert!(!message.is_empty());
        let fields = numbers.as_object_mut().unwrap();
        fields.extend([
            ("op".to_owned(), json!("error")),
            ("code".to_owned(), json!(code)),
            ("message".to_owned(), json!(message)),
        ]);
        assert_eq!(json_of(&ServerFrame::Error(&error)), numbers);
        numbers["id"] = json!("a\"b");
        let error = error.for_request(Some(id()));
        assert_eq!(json_of(&ServerFrame::Error(&error)), numbers);
    }
}

#[test]
fn error_codes_have_their_wire_names() {
    let words = [
        (Code::BadJson, "bad_json"),
        (Code::BadFrame, "bad_frame"),
        (Code::UnknownOp, "unknown_op"),
        (Code::InvalidParams, "invalid_params"),
        (Code::RequestInFlight, "request_in_flight"),
        (Code::DuplicateId, "duplicate_id"),
        (Code::NotFound, "not_found"),
        (Code::EngineStalled, "engine_stalled"),
        (Code::ContextOverflow, "context_overflow"),
        (Code::Busy, "busy"),
        (Code::Loading, "loading"),
        (Code::SlowClient, "slow_client"),
        (Code::EngineFailed, "engine_failed"),
        (Code::ShuttingDown, "shutting_down"),
    ];
    for (code, word) in words {
        assert_eq!(code.as_str(), word);
    }
}

fn hello_for(backend: &str) -> Hello {
    let build = Build {
        version: "0.1.0".into(),
        commit: "abc".into(),
        llama_cpp: "b1".into(),
        cpu_flags: "AVX2".into(),
    };
    let model = ModelInfo {
        name: "toy".into(),
        arch: "llama".into(),
        params: 5,
        size_bytes: 6,
        n_ctx_train: 7,
        n_layers: 16,
        chat_problem: None,
        is_demo: false,
    };
    let serving = ServingInfo {
        backend: backend.to_owned(),
        gpu_layers: 0,
        parallel: 4,
        ctx_size: 512,
        max_tokens: None,
    };
    Hello::new(build, model, serving)
}

#[test]
fn hello_frame_matches_the_contract() {
    let hello = hello_for("cpu");
    let expected = json!({
        "op": "hello", "protocol": 1, "server": "inference-core 0.1.0",
        "build": {"version": "0.1.0", "commit": "abc", "llama_cpp": "b1", "cpu_flags": "AVX2"},
        "model": {"name": "toy", "arch": "llama", "params": 5, "size_bytes": 6,
                  "n_ctx_train": 7, "chat": true, "demo": false},
        "ctx_size": 512, "parallel": 4, "backend": "cpu", "gpu_layers": 0, "n_layers": 16,
        "auth": "ok",
    });
    assert_eq!(json_of(&ServerFrame::Hello(&hello)), expected);
}

#[test]
fn hello_of_a_model_that_cannot_chat_says_why() {
    let frame = json_of(&ServerFrame::Hello(&hello_for("cpu").without_chat("broken".into())));
    assert_eq!(frame["model"]["chat"], false);
    assert_eq!(frame["model"]["chat_problem"], "broken");
}

#[test]
fn hello_after_a_load_without_offloading_names_the_cpu() {
    let hello = |layers| json_of(&ServerFrame::Hello(&hello_for("vulkan").offloaded(layers)));
    let location = |frame: Value| (frame["backend"].clone(), frame["gpu_layers"].clone());
    assert_eq!(location(hello(0)), (json!("cpu"), json!(0)));
    assert_eq!(location(hello(9)), (json!("vulkan"), json!(8)));
}

#[test]
fn metrics_frame_matches_the_contract() {
    let inference = Inference {
        cause: None,
        state: InferenceState::Idle,
        last_tps: Some(45.249),
        last_ttft: Some(Duration::from_millis(120)),
        total_tokens_generated: 1523,
        active: 1,
        queued: 2,
        slots: 4,
        kv_used_tokens: 5,
        kv_total_tokens: 2048,
        connections: 6,
        prompt_tokens_total: 7,
        tps_now: Some(8.0),
        uptime_s: 9,
        load_progress: None,
        suspended: 10,
        kv_running_tokens: 4,
        cached_tokens_total: 11,
        drafted_tokens_total: 13,
        accepted_tokens_total: 12,
        steps_total: 14,
        step_phases_ms: PhaseTimes::new([1, 2, 30, 4].map(Duration::from_millis)),
        restarts: 15,
    };
    let expected = json!({
        "op": "metrics", "timestamp": 1_706_735_234, "gpu": null, "gpus": [],
        "inference": {"state": "idle", "last_tps": 45.25, "last_ttft_ms": 120,
                      "total_tokens_generated": 1523, "active": 1, "queued": 2, "slots": 4,
                      "kv_used_tokens": 5, "kv_total_tokens": 2048, "connections": 6,
                      "prompt_tokens_total": 7, "tps_now": 8.0, "uptime_s": 9,
                      "suspended": 10, "kv_running_tokens": 4, "cached_tokens_total": 11,
                      "drafted_tokens_total": 13, "accepted_tokens_total": 12, "steps_total": 14,
                      "step_phases_ms": {"schedule": 1, "draft": 2, "decode": 30, "commit": 4},
                      "restarts": 15},
    });
    let metrics = Metrics::new(1_706_735_234, &[], inference.clone());
    assert_eq!(json_of(&ServerFrame::Metrics(&metrics)), expected);

    let load_progress = Some(0.256);
    let before = Inference { last_tps: None, last_ttft: None, load_progress, ..inference };
    let frame = json_of(&ServerFrame::Metrics(&Metrics::new(0, &[], before)));
    assert_eq!(frame["inference"]["last_tps"], 0.0);
    assert_eq!(frame["inference"]["last_ttft_ms"], 0);
    assert_eq!(frame["inference"]["load_progress"], 0.26);
}

#[test]
fn inference_states_have_their_wire_names() {
    for (state, word) in [
        (InferenceState::Loading, "loading"),
        (InferenceState::Idle, "idle"),
        (InferenceState::Busy, "busy"),
        (InferenceState::Stalled, "stalled"),
        (InferenceState::Draining, "draining"),
    ] {
        assert_eq!(serde_json::to_value(state).unwrap(), word);
    }
}
