//! Chat messages are rendered with the template in the model's file.

use std::path::{Path, PathBuf};

use inference_core::domain::{FinishReason, Params, Token};
use serde_json::json;

use crate::client::{is_op, read_until, send};
use crate::fixture::Gguf;
use crate::harness::{Harness, greedy};
use crate::process::{Daemon, command};

/// A random model with this chat template.
fn model_with_template(folder: &Path, template: &str) -> PathBuf {
    let mut gguf = Gguf::random("llama", 3);
    gguf.set_string("tokenizer.chat_template", template);
    gguf.write(folder, "model.gguf")
}

#[test]
fn chat_with_the_demo_model_ends_by_itself() {
    let harness = Harness::demo(2);
    let answer = harness.chat("Hola, ¿cómo estás?", greedy(60)).unwrap();
    assert_eq!(answer.reason, FinishReason::Stop);
    assert!(!answer.text.is_empty());
}

#[test]
fn chat_without_a_template_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let gguf = Gguf::random("llama", 3).without("tokenizer.chat_template");
    let harness = Harness::file(&gguf.write(folder.path(), "plain.gguf"), 1);
    let refusal = harness.chat("Hello", greedy(5)).unwrap_err();
    assert!(refusal.to_string().contains("no chat template"), "{refusal}");
}

#[test]
fn error_raised_by_a_template_is_quoted() {
    let folder = tempfile::tempdir().unwrap();
    let model = model_with_template(folder.path(), "{{ raise_exception('only poems') }}");
    let harness = Harness::file(&model, 1);
    let refusal = harness.chat("Hello", greedy(5)).unwrap_err();
    assert!(refusal.to_string().contains("only poems"), "{refusal}");
}

#[tokio::test]
async fn model_whose_template_loses_the_question_says_that_it_cannot_chat() {
    let folder = tempfile::tempdir().unwrap();
    for (template, problem) in
        [("{{ .System }} {{ .Prompt }}", "broken"), ("Hello", "leaves out what the user writes")]
    {
        let daemon = Daemon::start_model(&model_with_template(folder.path(), template), &[]);
        let mut socket = daemon.connect().await;
        let hello = read_until(&mut socket, is_op("hello")).await.unwrap();
        assert_eq!(hello["model"]["chat"], false);
        let said = hello["model"]["chat_problem"].as_str().unwrap();
        assert!(said.contains(problem), "{said}");
        let messages = json!([{"role": "user", "content": "Hi"}]);
        send(&mut socket, json!({"op": "infer", "messages": messages})).await;
        let error = read_until(&mut socket, is_op("error")).await.unwrap();
        assert!(error["message"].as_str().unwrap().contains(problem), "{error}");
    }
}

#[tokio::test]
async fn chosen_template_replaces_that_of_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let model = model_with_template(folder.path(), "Hello");
    let file = folder.path().join("own.jinja");
    std::fs::write(&file, "{% for m in messages %}{{ m.content }}{% endfor %}").unwrap();
    for template in ["chatml", file.to_str().unwrap()] {
        let daemon = Daemon::start_model(&model, &["--chat-template", template]);
        let mut socket = daemon.connect().await;
        let hello = read_until(&mut socket, is_op("hello")).await.unwrap();
        assert_eq!(hello["model"]["chat"], true);
        let messages = json!([{"role": "user", "content": "Hi"}]);
        let request = json!({"op": "infer", "messages": messages, "params": {"max_tokens": 0}});
        send(&mut socket, request).await;
        read_until(&mut socket, is_op("end")).await.unwrap();
    }
}

#[test]
fn chosen_template_that_cannot_be_used_ends_the_daemon() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("own.jinja");
    std::fs::write(&file, "{% for %}").unwrap();
    for (template, reason) in
        [(file.to_str().unwrap(), "is broken"), ("no-such", "there is no such file")]
    {
        let output = command().args(["--demo", "0", "--chat-template", template]).output().unwrap();
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(64), "{text}");
        assert!(text.contains("--chat-template") && text.contains(reason), "{text}");
    }
}

/// A control token of the demo model that does not end an answer.
const MARK: Token = 3;

/// Generates two marks, and nothing else.
fn marks(params: Params) -> Params {
    Params { logit_bias: vec![(MARK, 100.0)], logprobs: 1, max_tokens: Some(2), ..params }
}

#[test]
fn mark_in_an_answer_is_shown_in_chats_and_on_request() {
    let harness = Harness::demo(1);
    let mark = "<|system|>";
    let shown = mark.repeat(2);
    let special = |special| Params { special: Some(special), ..marks(greedy(2)) };
    let raw = harness.generate("Hi", marks(greedy(2)));
    assert_eq!(raw.text, "");
    assert_eq!(raw.logprobs[0].chosen.bytes, mark.as_bytes());
    assert_eq!(harness.generate("Hi", special(true)).text, shown);
    assert_eq!(harness.chat("Hi", marks(greedy(2))).unwrap().text, shown);
    assert_eq!(harness.chat("Hi", special(false)).unwrap().text, "");
}

#[test]
fn mark_is_found_as_a_stop_string_whether_it_is_shown_or_not() {
    let harness = Harness::demo(1);
    let params = Params { stop: vec!["<|system|>".to_owned()], ..marks(greedy(2)) };
    for answer in [harness.generate("Hi", params.clone()), harness.chat("Hi", params).unwrap()] {
        assert_eq!(answer.reason, FinishReason::Stop);
        assert_eq!(answer.text, "");
        assert_eq!(answer.usage.tokens, 1);
    }
}
