//! The engine's greedy text is the text of llama.cpp itself, with its own context, batches and
//! greedy sampler.

use std::mem::ManuallyDrop;
use std::num::NonZeroU32;
use std::path::Path;

use inference_core::domain::Params;
use inference_core::llama::ModelSource;
use llama_cpp_2::context::params::LlamaContextParams;
use llama_cpp_2::llama_backend::LlamaBackend;
use llama_cpp_2::llama_batch::LlamaBatch;
use llama_cpp_2::model::LlamaModel;
use llama_cpp_2::model::params::LlamaModelParams;
use llama_cpp_2::sampling::LlamaSampler;

use crate::fixture::{Gguf, demo_path};
use crate::harness::{Harness, NEAR_TIE, assert_same_greedy_text, greedy};

const PROMPTS: [&str; 6] = [
    "Hola, ¿cómo estás?",
    "Tell me a story about a dog",
    "Once upon a time",
    "Había una vez un niño que",
    "🐶 and 🦄 went to the café: «¡qué día!»",
    "x",
];

/// The greedy text of llama.cpp, of at most `max_tokens` tokens.
fn llama_cpp_text(path: &Path, prompt: &str, max_tokens: usize) -> String {
    // The harness of the test has initialized the backend, which stays initialized.
    let backend = ManuallyDrop::new(LlamaBackend {});
    let model = LlamaModel::load_from_file(&backend, path, &LlamaModelParams::default()).unwrap();
    let params = LlamaContextParams::default().with_n_ctx(NonZeroU32::new(1024)).with_n_threads(1);
    let mut context = model.new_context(&backend, params).unwrap();
    let vocab = model.vocab();
    let mut sampler = LlamaSampler::greedy();
    let mut pending = vocab.tokenize(prompt.as_bytes(), true, true);
    let mut bytes = Vec::new();
    let mut pos = 0;
    for _ in 0..max_tokens {
        let mut batch = LlamaBatch::new(pending.len(), 1);
        for (i, &token) in pending.iter().enumerate() {
            batch.add(token, pos, &[0], i + 1 == pending.len()).unwrap();
            pos += 1;
        }
        context.decode(&mut batch).unwrap();
        let token = sampler.sample(&context, -1);
        if vocab.is_eog(token) {
            break;
        }
        bytes.extend(vocab.token_to_piece(token, false, None));
        pending = vec![token];
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn assert_same_as_llama_cpp(path: &Path, source: ModelSource) {
    let harness = Harness::new(source, 2, 1024);
    for prompt in PROMPTS {
        let params = Params { logprobs: 2, cache_prompt: false, ..greedy(80) };
        let ours = harness.generate(prompt, params);
        assert_same_greedy_text(prompt, &ours, &llama_cpp_text(path, prompt, 80), NEAR_TIE);
    }
}

/// Compares with a model that `make real-models` has downloaded. Passes without it.
#[allow(clippy::print_stderr, reason = "says why nothing is compared")]
fn assert_same_as_llama_cpp_if_downloaded(name: &str) {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("models").join(name);
    if std::env::var("REAL_MODELS").is_ok_and(|value| value == "0") {
        eprintln!("skipped: REAL_MODELS=0");
    } else if !path.exists() {
        eprintln!("skipped: {} is missing: `make real-models` downloads it", path.display());
    } else {
        assert_same_as_llama_cpp(&path, ModelSource::File(path.clone()));
    }
}

#[test]
fn greedy_text_of_the_demo_model_is_that_of_llama_cpp() {
    assert_same_as_llama_cpp(&demo_path(), ModelSource::Demo);
}

#[test]
fn greedy_text_of_other_models_is_that_of_llama_cpp() {
    let folder = tempfile::tempdir().unwrap();
    for (arch, seed) in [("qwen2", 1), ("llama", 2)] {
        let path = Gguf::random(arch, seed).write(folder.path(), "random.gguf");
        assert_same_as_llama_cpp(&path, ModelSource::File(path.clone()));
    }
}

#[test]
fn greedy_text_of_smollm2_is_that_of_llama_cpp() {
    assert_same_as_llama_cpp_if_downloaded("smollm2-135m.gguf");
}

#[test]
fn greedy_text_of_gemma_is_that_of_llama_cpp() {
    assert_same_as_llama_cpp_if_downloaded("gemma-3-270m.gguf");
}
