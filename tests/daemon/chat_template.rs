//! Chat messages are rendered with the template in the model's file.

use inference_core::domain::FinishReason;

use crate::fixture::Gguf;
use crate::harness::{Harness, greedy};

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
    let mut gguf = Gguf::random("llama", 3);
    gguf.set_string("tokenizer.chat_template", "{{ raise_exception('only poems') }}");
    let harness = Harness::file(&gguf.write(folder.path(), "poet.gguf"), 1);
    let refusal = harness.chat("Hello", greedy(5)).unwrap_err();
    assert!(refusal.to_string().contains("only poems"), "{refusal}");
}
