//! Draft models in the plan.

use crate::fixture::{Gguf, demo_path};
use crate::refusals::refusal;

use super::{plan, plan_json, start_screen};

#[test]
fn draft_model_is_planned_on_the_cpu() {
    let draft = demo_path();
    let args = ["--demo", "--vram", "3GB", "--draft", draft.to_str().unwrap()];
    let page = plan(&args);
    let row = page.lines().find(|line| line.starts_with("draft, cpu")).unwrap();
    assert!(row.split_whitespace().nth(2) == Some("7"), "{page}");
    let with_draft = plan_json(&args);
    let alone = plan_json(&["--demo", "--gpu-layers", "0"]);
    let cpu = alone["places"].as_array().unwrap().last().unwrap();
    for part in ["weights", "kv"] {
        assert_eq!(with_draft["draft"][part], cpu[part], "{part}");
    }
    assert!(alone["draft"].is_null());
}

#[test]
fn draft_model_as_large_as_the_model_is_used_with_a_warning() {
    let draft = demo_path();
    let draft = ["--draft", draft.to_str().unwrap()];
    for text in [start_screen(&draft), plan(&[&["--demo"], &draft[..]].concat())] {
        assert!(
            text.contains("warning: a draft model of 3.1 MiB hardly speeds up a model of 3.1 MiB"),
            "{text}"
        );
    }
    assert!(!start_screen(&[]).contains("warning"), "a warning without a draft model");
}

#[test]
fn draft_model_with_another_vocabulary_is_refused_before_the_load() {
    let folder = tempfile::tempdir().unwrap();
    let mut other = Gguf::random("llama", 1);
    // Up to 128 additional tokens would count as padding.
    other.change_tokens(|tokens| tokens.extend((0..129).map(|i| format!("{i} more").into_bytes())));
    let other = other.write(folder.path(), "other.gguf");
    let draft = ["--draft", other.to_str().unwrap()];
    // A plan loads nothing, so its error comes from the header.
    let (code, error) = refusal(&[&["plan", "--demo"][..], &draft].concat());
    assert!(error.contains("other.gguf has another vocabulary"), "{error}");
    assert_eq!(code, Some(64));
    assert_eq!(refusal(&[&["--demo", "0"][..], &draft].concat()), (code, error));
}
