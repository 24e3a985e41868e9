//! What the start screen and the plan say about faults of a file that make its answers worse.

use std::path::Path;

use crate::fixture::Gguf;
use crate::process::{command, start_screen, unwrapped};

/// The start screen of a model, and what `plan` prints about it.
fn pages(gguf: &Gguf, args: &[&str]) -> (String, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = gguf.write(folder.path(), "model.gguf");
    let plan = command().arg("plan").arg(&path).args(args).output().unwrap();
    assert!(plan.status.success(), "{}", String::from_utf8_lossy(&plan.stderr));
    (screen(&path, args), String::from_utf8(plan.stdout).unwrap())
}

fn screen(model: &Path, args: &[&str]) -> String {
    let mut daemon = command();
    daemon.arg(model).args(["0", "--threads", "1"]).args(args);
    start_screen(daemon).1
}

/// A model with a byte-pair vocabulary, and the text `,` as token 11.
fn byte_pair_model() -> Gguf {
    let mut gguf = Gguf::random("llama", 1).without("tokenizer.ggml.token_type");
    gguf.set_string("tokenizer.ggml.model", "gpt2");
    gguf.set_strings("tokenizer.ggml.merges", &["a b", "h e", "l l"]);
    gguf.set_bool("tokenizer.ggml.add_bos_token", false);
    gguf.change_tokens(|tokens| {
        // The vocabulary of bytes contains it further on.
        let comma = tokens.iter().position(|token| token == b",");
        if let Some(comma) = comma {
            tokens[comma] = b",,".to_vec();
        }
        tokens[11] = b",".to_vec();
    });
    gguf
}

#[test]
fn missing_pre_tokenizer_is_on_the_start_screen_and_in_the_plan() {
    let (screen, plan) = pages(&byte_pair_model().without("tokenizer.ggml.pre"), &[]);
    for page in [&screen, &plan] {
        assert!(unwrapped(page).contains("warning: the file names no pre-tokenizer"), "{page}");
        assert!(page.lines().all(|line| line.chars().count() <= 80), "{page}");
    }
    let warning = screen.find("warning").unwrap();
    assert!(warning < screen.find("\nready").unwrap(), "{screen}");
    let (screen, plan) = pages(&byte_pair_model(), &[]);
    assert!(!screen.contains("pre-tokenizer") && !plan.contains("pre-tokenizer"), "{screen}{plan}");
}

#[test]
fn ordinary_text_that_ends_answers_is_on_the_start_screen() {
    let gguf = byte_pair_model().without("tokenizer.ggml.eos_token_id");
    let (screen, _) = pages(&gguf, &[]);
    let words = "warning: by its file this model ends answers with the ordinary text \",\"";
    assert!(unwrapped(&screen).contains(words), "{screen}");
    assert!(screen.lines().all(|line| line.chars().count() <= 80), "{screen}");
}

#[test]
fn ordinary_text_before_every_prompt_is_on_the_start_screen() {
    let mut gguf = byte_pair_model().without("tokenizer.ggml.bos_token_id");
    gguf.set_bool("tokenizer.ggml.add_bos_token", true);
    let (screen, _) = pages(&gguf, &[]);
    let words = "every prompt begins with the ordinary text \",\"";
    assert!(unwrapped(&screen).contains(words), "{screen}");
}

#[test]
fn window_that_llama_cpp_does_not_use_is_in_the_plan() {
    let mut gguf = Gguf::random("phi3", 1);
    gguf.set_u32("phi3.attention.sliding_window", 64);
    let folder = tempfile::tempdir().unwrap();
    let path = gguf.write(folder.path(), "model.gguf");
    let plan = |args: &[&str]| {
        let output = command().arg("plan").arg(&path).args(args).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    assert!(plan(&["--ctx-size", "128"]).contains("sliding window"), "{}", plan(&[]));
    assert!(!plan(&["--ctx-size", "64"]).contains("sliding window"));
}

#[test]
fn model_without_faults_has_no_warning() {
    let (screen, plan) = pages(&Gguf::random("llama", 1), &[]);
    assert!(!screen.contains("warning") && !plan.contains("warning"), "{screen}{plan}");
}
